// The activations: one struct each, with its value at z and the gradient with respect to z.
//
// `gradient` multiplies g, the gradient with respect to the output, by the derivative, which is a function of the output.
// Where it is none, keeps_derivative is true: `both` computes value and derivative, which share most of their work, and
// forward keeps the derivative for backward. `settings` hold setting_count numbers, in the order of the row in
// activations.py.
#pragma once

#include "parts.h"
#include "vector_math.h"

namespace fastmlp::FASTMLP_ISA {

template <class T, Activation kind> struct ActivationOf;

template <class T> struct ValueAndDerivative {
    Vec<T> value, derivative;
};

template <class T> struct ActivationOf<T, Activation::identity> {
    static constexpr int setting_count = 0;
    static constexpr bool keeps_derivative = false;
    static Vec<T> value(Vec<T> z, const T*) { return z; }
    static Vec<T> gradient(Vec<T> g, Vec<T>, const T*) { return g; }
};

template <class T> struct ActivationOf<T, Activation::relu> {
    static constexpr int setting_count = 0;
    static constexpr bool keeps_derivative = false;
    static Vec<T> value(Vec<T> z, const T*) { return max(Vec<T>::zero(), z); }  // this order lets NaN through
    static Vec<T> gradient(Vec<T> g, Vec<T> output, const T*) {                 // 0 at 0
        return select_less(Vec<T>::zero(), output, g, Vec<T>::zero());
    }
};

template <class T> struct ActivationOf<T, Activation::tanh> {
    static constexpr int setting_count = 0;
    static constexpr bool keeps_derivative = false;
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
    static constexpr bool keeps_derivative = false;
    static Vec<T> value(Vec<T> z, const T*) {
        const Vec<T> one = Vec<T>::broadcast(1);
        return one / (one + exp<T>(Vec<T>::zero() - z));
    }
    static Vec<T> gradient(Vec<T> g, Vec<T> output, const T*) { return g * (output * (Vec<T>::broadcast(1) - output)); }
};

template <class T> struct ActivationOf<T, Activation::exponential> {
    static constexpr int setting_count = 0;
    static constexpr bool keeps_derivative = false;
    static Vec<T> value(Vec<T> z, const T*) { return exp<T>(z); }
    static Vec<T> gradient(Vec<T> g, Vec<T> output, const T*) { return g * output; }
};

template <class T> struct ActivationOf<T, Activation::leaky_relu> {
    static constexpr int setting_count = 1;  // slope >= 0: so z and the output have one sign
    static constexpr bool keeps_derivative = false;
    static Vec<T> value(Vec<T> z, const T* settings) {
        return select_less(z, Vec<T>::zero(), Vec<T>::broadcast(settings[0]) * z, z);
    }
    static Vec<T> gradient(Vec<T> g, Vec<T> output, const T* settings) {  // slope at 0
        return select_less(Vec<T>::zero(), output, g, Vec<T>::broadcast(settings[0]) * g);
    }
};

template <class T> struct ActivationOf<T, Activation::silu> {  // z * logistic(z)
    static constexpr int setting_count = 0;
    static constexpr bool keeps_derivative = true;
    static ValueAndDerivative<T> both(Vec<T> z, const T*) {
        using V = Vec<T>;
        const V finite = max(V::broadcast(T(-1e9)), z);  // -inf becomes 0; this order lets NaN through
        const V one = V::broadcast(1), above = one + exp<T>(V::zero() - z), p = one / above;
        return {finite / above, p * fma(z, one - p, one)};
    }
};

// z where it is positive, else alpha * (e^z - 1)
template <class T> struct ActivationOf<T, Activation::elu> {
    static constexpr int setting_count = 1;  // alpha >= 0
    static constexpr bool keeps_derivative = false;
    static Vec<T> value(Vec<T> z, const T* settings) {
        const Vec<T> below = Vec<T>::broadcast(settings[0]) * expm1<T>(min(Vec<T>::zero(), z));
        return select_less(Vec<T>::zero(), z, z, below);
    }
    static Vec<T> gradient(Vec<T> g, Vec<T> output, const T* settings) {  // alpha at 0
        return g * select_less(Vec<T>::zero(), output, Vec<T>::broadcast(1), output + Vec<T>::broadcast(settings[0]));
    }
};

// scale * z where it is positive, else scale * alpha * (e^z - 1): with these constants, layers of normal random weights
// of variance 1 / inputs keep mean 0 and variance 1 (Klambauer et al. 2017).
template <class T> struct ActivationOf<T, Activation::selu> {
    static constexpr int setting_count = 0;
    static constexpr bool keeps_derivative = false;
    static constexpr T scale = T(1.0507009873554804934), scaled_alpha = T(1.7580993408473768600);
    static Vec<T> value(Vec<T> z, const T*) {
        const Vec<T> below = Vec<T>::broadcast(scaled_alpha) * expm1<T>(min(Vec<T>::zero(), z));
        return select_less(Vec<T>::zero(), z, Vec<T>::broadcast(scale) * z, below);
    }
    static Vec<T> gradient(Vec<T> g, Vec<T> output, const T*) {
        const Vec<T> below = output + Vec<T>::broadcast(scaled_alpha);
        return g * select_less(Vec<T>::zero(), output, Vec<T>::broadcast(scale), below);
    }
};

// log(1 + e^z)
template <class T> struct ActivationOf<T, Activation::softplus> {
    static constexpr int setting_count = 0;
    static constexpr bool keeps_derivative = false;
    static Vec<T> value(Vec<T> z, const T*) {
        return max(Vec<T>::zero(), z) + log1p_of_unit<T>(exp<T>(Vec<T>::zero() - abs(z)));
    }
    static Vec<T> gradient(Vec<T> g, Vec<T> output, const T*) {  // logistic(z) = 1 - e^-output
        return g * (Vec<T>::zero() - expm1<T>(Vec<T>::zero() - output));
    }
};

// Bounds |z|, so that no product with it is infinity times zero. NaN passes through.
template <class T> inline Vec<T> bounded(Vec<T> z) {
    return min(Vec<T>::broadcast(T(1e9)), max(Vec<T>::broadcast(T(-1e9)), z));
}

// z * P(N <= z), N normally distributed (Hendrycks and Gimpel 2016)
template <class T> struct ActivationOf<T, Activation::gelu> {
    static constexpr int setting_count = 0;
    static constexpr bool keeps_derivative = true;
    static ValueAndDerivative<T> both(Vec<T> z, const T*) {
        using V = Vec<T>;
        const auto [exponential, tail] = normal_tail<T>(z);
        const V below = select_less(z, V::zero(), tail, V::broadcast(1) - tail);
        const V density = V::broadcast(T(0.39894228040143267794)) * exponential;
        return {max(V::broadcast(T(-1e9)), z) * below, fma(bounded<T>(z), density, below)};
    }
};

// z * logistic(2u), the same as z * (1 + tanh(u)) / 2, with u = sqrt(2 / pi) * (z + 0.044715 z^3)
template <class T> struct ActivationOf<T, Activation::gelu_tanh> {
    static constexpr int setting_count = 0;
    static constexpr bool keeps_derivative = true;
    static ValueAndDerivative<T> both(Vec<T> z, const T*) {
        using V = Vec<T>;
        const V one = V::broadcast(1), x = bounded<T>(z), above = one + exp<T>(minus_2u(x)), p = one / above;
        const V slope = fma(x * x, V::broadcast(3 * cubic), V::broadcast(linear));  // of -2u
        return {max(V::broadcast(T(-1e9)), z) / above, fma(x * slope, p * (p - one), p)};
    }

private:
    static constexpr T linear = T(-1.5957691216057307117), cubic = T(-0.071354816272600248768);
    static Vec<T> minus_2u(Vec<T> z) { return z * fma(z * z, Vec<T>::broadcast(cubic), Vec<T>::broadcast(linear)); }
};

// z * tanh(log(1 + e^z)) = z * n / (n + 2) with n = e^z * (e^z + 2) (Misra 2019)
template <class T> struct ActivationOf<T, Activation::mish> {
    static constexpr int setting_count = 0;
    static constexpr bool keeps_derivative = true;
    static ValueAndDerivative<T> both(Vec<T> z, const T*) {
        using V = Vec<T>;
        const V e = exponential(z), two = V::broadcast(2), n = e * (e + two), inverse = V::broadcast(1) / (n + two);
        const V rise = (e * inverse) * ((e + V::broadcast(1)) * inverse) * V::broadcast(4);
        return {max(V::broadcast(T(-1e9)), z) * (n / (n + two)), fma(bounded<T>(z), rise, n * inverse)};
    }

private:
    // from 20 (single precision) or 40 on, n / (n + 2) is 1 to the last bit
    static Vec<T> exponential(Vec<T> z) { return exp<T>(min(Vec<T>::broadcast(sizeof(T) == 4 ? 20 : 40), z)); }
};

template <class T, Activation kind>
void activate_kernel(T* z, int64_t stride, const T* bias, int64_t rows, int64_t columns, const T* settings,
                     T* derivative) {
    using V = Vec<T>;
    using A = ActivationOf<T, kind>;
    for (int64_t j = 0; j < columns; j += V::lanes) {
        const V b = bias ? V::load(bias + j) : V::zero();
        for (int64_t i = 0; i < rows; ++i) {
            T* p = z + i * stride + j;
            const V x = V::load(p) + b;
            if constexpr (A::keeps_derivative) {
                const ValueAndDerivative<T> y = A::both(x, settings);
                y.value.store(p);
                if (derivative) y.derivative.store(derivative + i * stride + j);
            } else {
                A::value(x, settings).store(p);
            }
        }
    }
}

template <class T, Activation kind>
void activation_gradient_kernel(T* gradient, int64_t stride, const T* output, const T* derivative,
                                int64_t output_stride, int64_t rows, int64_t columns, const T* settings) {
    using V = Vec<T>;
    using A = ActivationOf<T, kind>;
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; j += V::lanes) {
            T* p = gradient + i * stride + j;
            const int64_t at = i * output_stride + j;
            if constexpr (A::keeps_derivative)
                (V::load(p) * V::load(derivative + at)).store(p);
            else
                A::gradient(V::load(p), V::load(output + at), settings).store(p);
        }
}

}  // namespace fastmlp::FASTMLP_ISA
