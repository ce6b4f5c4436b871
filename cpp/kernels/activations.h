// The activations: one struct each, with its value at z and the gradient with respect to z.
//
// `gradient` multiplies g, the gradient with respect to the output, by the derivative, computed from the output or,
// where needs_input, from z. `settings` hold setting_count numbers, in the order of the row in activations.py.
#pragma once

#include "parts.h"
#include "vector_math.h"

namespace fastmlp::FASTMLP_ISA {

template <class T, Activation kind> struct ActivationOf;

template <class T> struct ActivationOf<T, Activation::identity> {
    static constexpr int setting_count = 0;
    static constexpr bool needs_input = false;
    static Vec<T> value(Vec<T> z, const T*) { return z; }
    static Vec<T> gradient(Vec<T> g, Vec<T>, const T*) { return g; }
};

template <class T> struct ActivationOf<T, Activation::relu> {
    static constexpr int setting_count = 0;
    static constexpr bool needs_input = false;
    static Vec<T> value(Vec<T> z, const T*) { return max(Vec<T>::zero(), z); }  // this order lets NaN through
    static Vec<T> gradient(Vec<T> g, Vec<T> output, const T*) {                 // 0 at 0
        return select_less(Vec<T>::zero(), output, g, Vec<T>::zero());
    }
};

template <class T> struct ActivationOf<T, Activation::tanh> {
    static constexpr int setting_count = 0;
    static constexpr bool needs_input = false;
    static Vec<T> value(Vec<T> z, const T*) {
        using V = Vec<T>;
        const V e = expm1<T>(abs(z) + abs(z));
        const V t = e / (e + V::broadcast(2));
        // from 20 on, tanh is 1 to the last bit of a double
        return with_sign_of(select_less(V::broadcast(20), abs(z), V::broadcast(1), t), z);
    }
    static Vec<T> gradient(Vec<T> g, Vec<T> output, const T*) {
        return g * fma(Vec<T>::zero() - output, output, Vec<T>::broadcast(1));
    }
};

template <class T> struct ActivationOf<T, Activation::logistic> {
    static constexpr int setting_count = 0;
    static constexpr bool needs_input = false;
    static Vec<T> value(Vec<T> z, const T*) {
        const Vec<T> one = Vec<T>::broadcast(1);
        return one / (one + exp<T>(Vec<T>::zero() - z));
    }
    static Vec<T> gradient(Vec<T> g, Vec<T> output, const T*) { return g * (output * (Vec<T>::broadcast(1) - output)); }
};

template <class T> struct ActivationOf<T, Activation::exponential> {
    static constexpr int setting_count = 0;
    static constexpr bool needs_input = false;
    static Vec<T> value(Vec<T> z, const T*) { return exp<T>(z); }
    static Vec<T> gradient(Vec<T> g, Vec<T> output, const T*) { return g * output; }
};

template <class T> struct ActivationOf<T, Activation::leaky_relu> {
    static constexpr int setting_count = 1;  // slope >= 0: so z and the output have one sign
    static constexpr bool needs_input = false;
    static Vec<T> value(Vec<T> z, const T* settings) {
        return select_less(z, Vec<T>::zero(), Vec<T>::broadcast(settings[0]) * z, z);
    }
    static Vec<T> gradient(Vec<T> g, Vec<T> output, const T* settings) {  // slope at 0
        return select_less(Vec<T>::zero(), output, g, Vec<T>::broadcast(settings[0]) * g);
    }
};

template <class T> struct ActivationOf<T, Activation::silu> {  // z * logistic(z)
    static constexpr int setting_count = 0;
    static constexpr bool needs_input = true;
    static Vec<T> value(Vec<T> z, const T*) {
        using V = Vec<T>;
        const V finite = max(V::broadcast(T(-1e9)), z);  // -inf becomes 0; this order lets NaN through
        return finite / (V::broadcast(1) + exp<T>(V::zero() - z));
    }
    static Vec<T> gradient(Vec<T> g, Vec<T> z, const T*) {
        using V = Vec<T>;
        const V one = V::broadcast(1), p = one / (one + exp<T>(V::zero() - z));
        return g * (p * fma(z, one - p, one));
    }
};

template <class T, Activation kind>
void activate_kernel(T* z, int64_t stride, const T* bias, int64_t rows, int64_t columns, const T* settings, T* input) {
    using V = Vec<T>;
    using A = ActivationOf<T, kind>;
    for (int64_t j = 0; j < columns; j += V::lanes) {
        const V b = bias ? V::load(bias + j) : V::zero();
        for (int64_t i = 0; i < rows; ++i) {
            T* p = z + i * stride + j;
            const V x = V::load(p) + b;
            if constexpr (A::needs_input)
                if (input) x.store(input + i * stride + j);
            A::value(x, settings).store(p);
        }
    }
}

template <class T, Activation kind>
void activation_gradient_kernel(T* gradient, int64_t stride, const T* output, const T* input, int64_t output_stride,
                                int64_t rows, int64_t columns, const T* settings) {
    using V = Vec<T>;
    using A = ActivationOf<T, kind>;
    const T* at = A::needs_input ? input : output;
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; j += V::lanes) {
            T* p = gradient + i * stride + j;
            A::gradient(V::load(p), V::load(at + i * output_stride + j), settings).store(p);
        }
}

}  // namespace fastmlp::FASTMLP_ISA
