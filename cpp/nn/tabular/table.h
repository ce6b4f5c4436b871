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
    // Of the embedding of each number, if it has one: a periodic embedding of so many frequencies, or the edges of the
    // bins of a piecewise linear one, ascending, of each number.
    int64_t embedding_outputs = 0, frequencies = 0;
    std::vector<std::vector<double>> bin_edges;
    std::vector<Category> categories;                // embedded in so many dimensions
    std::vector<int64_t> hidden;                     // widths
    int64_t outputs = 1;
    int64_t members = 1;            // networks that share the weights of their hidden layers
    bool scales_inputs = false;     // each member has factors of the first hidden layer's inputs
    bool scales_layers = false;     // and of the inputs and outputs of each hidden layer, with biases of its own
    bool mixes_activation = false;  // each hidden unit has a share of its activation, the rest is the identity

    bool is_periodic() const { return frequencies > 0 && numbers > 0; }
    bool is_piecewise() const { return !bin_edges.empty(); }
    // A piecewise linear embedding has a linear part and replaces the number.
    bool passes_numbers() const { return !is_piecewise(); }
    int64_t width() const {  // of the first hidden layer's inputs
        const int64_t per_number = passes_numbers() + (is_periodic() || is_piecewise() ? embedding_outputs : 0);
        int64_t width = numbers * per_number + columns;
        for (const Category& category : categories) width += category.dimension;
        return width;
    }
};

}  // namespace fastmlp
