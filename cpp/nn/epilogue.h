// What happens to a tile of z after the product: bias and activation, and the way back.
#pragma once

#include "../linalg/matrix.h"

namespace fastmlp {

template <class T> class Epilogue {
public:
    Epilogue(Activation activation, const Kernels<T>& kernels)
        : activate_(kernels.activate[static_cast<int>(activation)]),
          gradient_(kernels.activation_gradient[static_cast<int>(activation)]) {}

    // z (rows, columns) becomes activation(z + bias). Columns are a multiple of `lanes`, here and below.
    void forward(MatrixView<T> z, const T* bias) const noexcept {
        activate_(z.data, z.stride, bias, z.rows, z.columns, nullptr);
    }
    // The gradient with respect to the output becomes that with respect to z. Both (rows, columns).
    void backward(MatrixView<T> gradient, MatrixView<const T> output) const noexcept {
        gradient_(gradient.data, gradient.stride, output.data, nullptr, output.stride, gradient.rows, gradient.columns,
                  nullptr);
    }

private:
    void (*activate_)(T*, int64_t, const T*, int64_t, int64_t, const T*);
    void (*gradient_)(T*, int64_t, const T*, const T*, int64_t, int64_t, int64_t, const T*);
};

}  // namespace fastmlp
