// Factors of units and of activations, and what backward needs for their gradients.
#pragma once

#include "activations.h"

namespace fastmlp::FASTMLP_ISA {

template <class T>
void scale_columns_kernel(T* out, int64_t out_stride, const T* in, int64_t in_stride, int64_t rows, int64_t columns,
                          const T* factors) {
    using V = Vec<T>;
    for (int64_t i = 0; i < rows; ++i, out += out_stride, in += in_stride)
        for (int64_t j = 0; j < columns; j += V::lanes) (V::load(in + j) * V::load(factors + j)).store(out + j);
}

template <class T>
void scale_columns_gradient_kernel(T* gradient, int64_t stride, const T* in, int64_t in_stride, int64_t rows,
                                   int64_t columns, const T* factors, T* products, T* sums) {
    using V = Vec<T>;
    for (int64_t j = 0; j < columns; j += V::lanes) {
        const V factor = V::load(factors + j);
        V product = V::load(products + j), sum = sums ? V::load(sums + j) : V::zero();
        for (int64_t i = 0; i < rows; ++i) {
            T* const at = gradient + i * stride + j;
            const V g = V::load(at);
            product = fma(g, V::load(in + i * in_stride + j), product);
            sum = sum + g;
            (g * factor).store(at);
        }
        product.store(products + j);
        if (sums) sum.store(sums + j);
    }
}

template <class T, Activation kind>
void mix_activation_kernel(T* z, int64_t stride, const T* bias, int64_t rows, int64_t columns, const T* settings,
                           const T* share, T* derivative, T* difference) {
    using V = Vec<T>;
    using A = ActivationOf<T, kind>;
    const V one = V::broadcast(1);
    for (int64_t j = 0; j < columns; j += V::lanes) {
        const V b = V::load(bias + j), alpha = V::load(share + j);
        for (int64_t i = 0; i < rows; ++i) {
            const int64_t at = i * stride + j;
            const V x = V::load(z + at) + b;
            V y, slope;
            if constexpr (A::keeps_derivative) {
                const ValueAndDerivative<T> both = A::both(x, settings);
                y = both.value;
                slope = both.derivative;
            } else {
                y = A::value(x, settings);
                slope = A::gradient(one, y, settings);
            }
            const V d = y - x;
            fma(alpha, d, x).store(z + at);
            if (!derivative) continue;
            fma(alpha, slope - one, one).store(derivative + at);
            d.store(difference + at);
        }
    }
}

template <class T>
void mix_gradient_kernel(T* gradient, int64_t stride, const T* derivative, const T* difference, int64_t kept_stride,
                         int64_t rows, int64_t columns, T* sums) {
    using V = Vec<T>;
    for (int64_t j = 0; j < columns; j += V::lanes) {
        V sum = V::load(sums + j);
        for (int64_t i = 0; i < rows; ++i) {
            T* const at = gradient + i * stride + j;
            const V g = V::load(at);
            sum = fma(g, V::load(difference + i * kept_stride + j), sum);
            (g * V::load(derivative + i * kept_stride + j)).store(at);
        }
        sum.store(sums + j);
    }
}

}  // namespace fastmlp::FASTMLP_ISA
