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
    int64_t max_row_values = 0;

    bool sparse() const { return row_starts != nullptr; }
    int64_t first_value(int64_t row) const { return row_starts ? row_starts[row] : row * columns; }
    const char* value(int64_t i) const { return static_cast<const char*>(data) + i * value_bytes(); }
    const char* row(int64_t i) const { return value(first_value(i)); }
    int64_t row_bytes(int64_t i) const { return (first_value(i + 1) - first_value(i)) * value_bytes(); }
    // Upper bound of the distinct columns of any `any_rows` rows: a CSR row names at most max_row_values.
    int64_t max_columns(int64_t any_rows) const {
        return sparse() ? std::min(columns, any_rows * max_row_values) : columns;
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

// The positions of a CSR matrix's values: a checked copy, because the caller's arrays may change while they are read.
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
        return {values, kind, rows, columns_, row_starts_.data(), column_index_.data(), max_row_values_};
    }

private:
    int64_t columns_, max_row_values_ = 0;
    bool ascending_ = true;
    std::vector<int64_t> row_starts_;
    std::vector<std::int32_t> column_index_;
};

// The labels of `rows` rows as the core keeps them. Throws std::invalid_argument if one lies outside of [0, classes).
std::vector<std::int32_t> checked_labels(const int64_t* labels, int64_t rows, int64_t classes);

class NonzeroBits;  // columns.h

// Labels or targets (whichever the loss uses) and sample weights of a block of rows.
template <class T> struct Targets {
    const std::int32_t* labels;
    const T* targets;  // (rows, outputs)
    int64_t target_stride;
    const T* sample_weights;  // null: all 1
};

template <class T> struct Dataset {
    Inputs inputs;
    const NonzeroBits* nonzero = nullptr;  // null where no columns can be skipped, and for CSR inputs
    std::vector<std::int32_t> labels;      // (rows), a copy that no other thread can change, if the loss uses labels
    const T* targets = nullptr;            // (rows, outputs), otherwise
    const T* sample_weights = nullptr;     // (rows); null: all 1

    // From row `row` on.
    Targets<T> targets_from(int64_t row, int64_t outputs) const {
        return {labels.empty() ? nullptr : labels.data() + row, targets ? targets + row * outputs : nullptr, outputs,
                sample_weights ? sample_weights + row : nullptr};
    }
};

}  // namespace fastmlp
