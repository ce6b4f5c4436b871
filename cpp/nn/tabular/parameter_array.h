// Parameters beside the weights and biases of dense layers: factors, embeddings, biases of members.
#pragma once

#include "../../linalg/matrix.h"

namespace fastmlp {

// (rows, columns), each row padded to whole vectors. Padding is zero.
template <class T> class ParameterArray {
public:
    ParameterArray() = default;
    // Throws std::bad_alloc.
    ParameterArray(int64_t rows, int64_t columns, int64_t lanes)
        : rows_(rows), columns_(columns), stride_(round_up(columns, lanes)), values_(rows * stride_) {}

    explicit operator bool() const { return values_.size() > 0; }
    int64_t rows() const { return rows_; }
    int64_t columns() const { return columns_; }
    int64_t stride() const { return stride_; }
    MatrixView<T> view() { return {values_.data(), rows_, columns_, stride_}; }
    MatrixView<const T> view() const { return {values_.data(), rows_, columns_, stride_}; }
    T* row(int64_t i) { return values_.data() + i * stride_; }
    const T* row(int64_t i) const { return values_.data() + i * stride_; }
    Buffer<T>& values() { return values_; }
    const Buffer<T>& values() const { return values_; }

private:
    int64_t rows_ = 0, columns_ = 0, stride_ = 0;
    Buffer<T> values_;
};

}  // namespace fastmlp
