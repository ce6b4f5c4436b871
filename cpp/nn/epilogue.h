// What happens to a tile of z after the product: bias and activation, and the way back.
#pragma once

#include "../kernels/dispatch.h"
#include "../linalg/matrix.h"

namespace fastmlp {

template <class T> class Epilogue {
public:
    Epilogue(Activation activation, const PartSettings<T>& settings, const Kernels<T>& kernels)
        : settings_(settings),
          keeps_derivative_(properties_of(activation).keeps_derivative),
          activate_(kernels.activate[static_cast<int>(activation)]),
          gradient_(kernels.activation_gradient[static_cast<int>(activation)]) {}

    // Whether backward needs what forward leaves in `derivative`.
    bool keeps_derivative() const noexcept { return keeps_derivative_; }
    // z (rows, columns) becomes activation(z + bias); with keeps_derivative, its derivative goes to `derivative`, of z's
    // stride, unless that is null. Columns are a multiple of `lanes`, here and below.
    void forward(MatrixView<T> z, const T* bias, T* derivative = nullptr) const noexcept {
        activate_(z.data, z.stride, bias, z.rows, z.columns, settings_.value, derivative);
    }
    // The gradient with respect to the output becomes that with respect to z + bias. Both (rows, columns).
    void backward(MatrixView<T> gradient, MatrixView<const T> output, const T* derivative) const noexcept {
        gradient_(gradient.data, gradient.stride, output.data, derivative, output.stride, gradient.rows, gradient.columns,
                  settings_.value);
    }

private:
    PartSettings<T> settings_;
    bool keeps_derivative_;
    void (*activate_)(T*, int64_t, const T*, int64_t, int64_t, const T*, T*);
    void (*gradient_)(T*, int64_t, const T*, const T*, int64_t, int64_t, int64_t, const T*);
};

}  // namespace fastmlp
