// The rows that a network learns from or predicts: views on the caller's arrays.
#pragma once

#include <vector>

#include "../linalg/gemm.h"

namespace fastmlp {

// Values of uint8, float or double: a row-major matrix without padding, or those of a CSR matrix, row after row.
struct Inputs {
    const void* data;
    InputKind kind;
    int64_t rows, columns;
    // CSR only: values first_value(i) .. first_value(i + 1) are row i's, in different columns, in any order.
    const int64_t* row_starts = nullptr;
    const std::int32_t* column_index = nullptr;
    int64_t longest_row = 0;

    bool sparse() const { return row_starts != nullptr; }
    int64_t first_value(int64_t row) const { return row_starts ? row_starts[row] : row * columns; }
    const char* value(int64_t i) const { return static_cast<const char*>(data) + i * value_bytes(); }
    const char* row(int64_t i) const { return value(first_value(i)); }
    int64_t row_bytes(int64_t i) const { return (first_value(i + 1) - first_value(i)) * value_bytes(); }
    // Columns that any so many rows need room for: of CSR inputs those that they may name.
    int64_t most_columns(int64_t any_rows) const {
        return sparse() ? std::min(columns, any_rows * longest_row) : columns;
    }
    Inputs part(int64_t begin, int64_t end) const {
        Inputs part = *this;
        part.rows = end - begin;
        if (sparse())
            part.row_starts += begin;
        else
            part.data = row(begin);
        return part;
    }

private:
    int64_t value_bytes() const { return kind == InputKind::uint8 ? 1 : kind == InputKind::float32 ? 4 : 8; }
};

// Where the values of a CSR matrix stand: a checked copy, because the caller's arrays may change while they are read.
class CsrIndices {
public:
    // row_starts (rows + 1), column_index (values). Throws std::invalid_argument, std::bad_alloc.
    CsrIndices(const int64_t* row_starts, int64_t rows, const std::int32_t* column_index, int64_t values,
               int64_t columns);

    bool ascending() const { return ascending_; }  // in each row; then no column is named twice
    int64_t row_of(int64_t value) const;
    std::int32_t column_of(int64_t value) const { return column_index_[static_cast<std::size_t>(value)]; }
    Inputs with_values(const void* values, InputKind kind) const {
        const int64_t rows = static_cast<int64_t>(row_starts_.size()) - 1;
        return {values, kind, rows, columns_, row_starts_.data(), column_index_.data(), longest_row_};
    }

private:
    int64_t columns_, longest_row_ = 0;
    bool ascending_ = true;
    std::vector<int64_t> row_starts_;
    std::vector<std::int32_t> column_index_;
};

// The labels of `rows` rows as the core keeps them. Throws std::invalid_argument if one lies outside of [0, classes).
std::vector<std::int32_t> checked_labels(const int64_t* labels, int64_t rows, int64_t classes);

class NonzeroBits;  // columns.h

template <class T> struct Dataset {
    Inputs inputs;
    const NonzeroBits* nonzero = nullptr;  // null where no columns can be skipped, and for CSR inputs
    std::vector<std::int32_t> labels;      // cross_entropy: one per row, a copy that nobody else can change
    const T* targets = nullptr;            // the other losses: (rows, outputs)
    const T* weights = nullptr;            // of the rows; null: all 1

    const std::int32_t* labels_from(int64_t row) const { return labels.empty() ? nullptr : labels.data() + row; }
    const T* targets_from(int64_t row, int64_t outputs) const { return targets ? targets + row * outputs : nullptr; }
};

}  // namespace fastmlp
