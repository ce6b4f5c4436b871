// How the values of inputs become numbers of T as they are read: times a scale, or standardized.
#pragma once

#include <stdexcept>

#include "../kernels/dispatch.h"
#include "dataset.h"

namespace fastmlp {

// Of each column of the inputs; in double, because a column's mean may be much larger than its deviation.
struct Standardization {
    std::vector<double> mean, factor;  // empty, or of all columns: x becomes (x - mean) * factor

    Standardization() = default;
    Standardization(const double* mean, const double* deviation, int64_t columns)
        : mean(mean, mean + columns), factor(static_cast<std::size_t>(columns)) {
        for (std::size_t j = 0; j < factor.size(); ++j) factor[j] = 1 / deviation[j];
    }
    // Then zeros do not stay zeros: CSR inputs cannot be read, and no column is zero.
    bool subtracts() const {
        return std::any_of(mean.begin(), mean.end(), [](double x) { return x != 0; });
    }
    void check(const Inputs& inputs) const {  // throws std::invalid_argument
        if (inputs.sparse() && subtracts())
            throw std::invalid_argument(
                "X must be dense for a network that subtracts the means of its inputs (it was standardized with dense rows),"
                " got a sparse matrix");
    }
};

template <class T> class InputReader {
public:
    InputReader(const Kernels<T>& kernels, T scale, const Standardization& standardization)
        : kernels_(&kernels),
          scale_(scale),
          mean_(standardization.mean.empty() ? nullptr : standardization.mean.data()),
          factor_(standardization.factor.empty() ? nullptr : standardization.factor.data()) {}

    bool changes_nothing() const { return scale_ == 1 && !factor_; }
    T factor(int64_t column) const { return factor_ ? static_cast<T>(factor_[column]) : scale_; }

    // out (columns) = row i of dense inputs.
    void read_row(const Inputs& inputs, int64_t i, T* out) const noexcept {
        read(inputs, inputs.row(i), inputs.columns, nullptr, out);
    }
    // out (count) = some values of CSR inputs.
    void read_values(const Inputs& inputs, int64_t first, int64_t count, T* out) const noexcept {
        read(inputs, inputs.value(first), count, inputs.column_index + first, out);
    }

private:
    void read(const Inputs& inputs, const char* values, int64_t count, const std::int32_t* columns,
              T* out) const noexcept {
        const int kind = static_cast<int>(inputs.kind);
        if (factor_)
            kernels_->standardize[kind](out, values, count, columns, mean_, factor_);
        else
            kernels_->convert[kind](out, values, count, scale_);
    }

    const Kernels<T>* kernels_;
    T scale_;
    const double *mean_, *factor_;
};

}  // namespace fastmlp
