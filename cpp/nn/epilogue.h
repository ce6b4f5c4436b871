// What happens to a tile of z after the product: bias and activation, and the way back.
#pragma once

#include "../kernels/dispatch.h"
#include "../linalg/matrix.h"

namespace fastmlp {

template <class T> class Epilogue {
public:
    Epilogue(Activation activation, const PartSettings<T>& settings, const Kernels<T>& kernels)
        : settings_(settings),
          needs_input_(properties_of(activation).needs_input),
          activate_(kernels.activate[static_cast<int>(activation)]),
          gradient_(kernels.activation_gradient[static_cast<int>(activation)]) {}

    // Whether backward needs what forward leaves in `input`.
    bool needs_input() const noexcept { return needs_input_; }
    // z (rows, columns) becomes activation(z + bias); with needs_input, z + bias goes to `input`, of z's stride, unless
    // that is null. Columns are a multiple of `lanes`, here and below.
    void forward(MatrixView<T> z, const T* bias, T* input = nullptr) const noexcept {
        activate_(z.data, z.stride, bias, z.rows, z.columns, settings_.value, input);
    }
    // The gradient with respect to the output becomes that with respect to z + bias. Both (rows, columns).
    void backward(MatrixView<T> gradient, MatrixView<const T> output, const T* input) const noexcept {
        gradient_(gradient.data, gradient.stride, output.data, input, output.stride, gradient.rows, gradient.columns,
                  settings_.value);
    }

private:
    PartSettings<T> settings_;
    bool needs_input_;
    void (*activate_)(T*, int64_t, const T*, int64_t, int64_t, const T*, T*);
    void (*gradient_)(T*, int64_t, const T*, const T*, int64_t, int64_t, int64_t, const T*);
};

}  // namespace fastmlp
