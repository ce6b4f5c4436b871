// The rows of a table, prepared: numbers, columns that pass as they are, and codes of categories.
#pragma once

#include "../loss.h"

namespace fastmlp {

// Views on row-major arrays without padding.
template <class T> struct Table {
    const T* numbers;           // (rows, shape.numbers)
    const T* columns;           // (rows, shape.columns)
    const std::int32_t* codes;  // (rows, categories), each below the category's cardinality
    int64_t rows;
};

template <class T> struct LabelledTable : Table<T> {
    std::vector<std::int32_t> labels;   // or else
    const T* targets = nullptr;         // (rows, outputs)
    const T* sample_weights = nullptr;  // null: all 1
};

// What a network for tables is made of.
struct TabularShape {
    struct Category {
        int64_t cardinality, dimension;
    };
    int64_t numbers = 0, columns = 0;
    int64_t frequencies = 0, embedding_outputs = 0;  // of the periodic embedding of each number; 0: there is none
    std::vector<Category> categories;                // embedded in so many dimensions
    std::vector<int64_t> hidden;                     // widths
    int64_t outputs = 1;
    int64_t members = 1;            // networks that share the weights of their hidden layers
    bool scales_inputs = false;     // each member has factors of the first hidden layer's inputs
    bool scales_layers = false;     // and of the inputs and outputs of each hidden layer, with biases of its own
    bool mixes_activation = false;  // each hidden unit has a share of its activation, the rest is the identity

    int64_t width() const {  // of the first hidden layer's inputs
        int64_t width = numbers * (1 + (frequencies > 0 ? embedding_outputs : 0)) + columns;
        for (const Category& category : categories) width += category.dimension;
        return width;
    }
};

}  // namespace fastmlp
