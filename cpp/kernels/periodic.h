// Periodic embeddings of one number: D outputs, linear in the cosines of K frequencies.
//
// Legend: x (rows) is the number in each row; K frequencies w and phases b (in radians); weights (K, D) and biases (D).
//   t = 2 pi w x + b,  out = cos(t) * weights + biases
// Rows lie in the lanes, so that no sum runs across lanes but the last one of each parameter's gradient.
#pragma once

#include "kernel_table.h"
#include "vector_math.h"

namespace fastmlp::FASTMLP_ISA {

// sin(2 pi s) for |s| <= 1/4, by its Taylor series.
template <class T> inline Vec<T> sine_of_quarter(Vec<T> s) {
    using V = Vec<T>;
    constexpr int degree = sizeof(T) == 4 ? 13 : 23;  // (pi/2)^(degree + 2) / (degree + 2)! < eps/16
    const V z = V::broadcast(T(6.28318530717958647692)) * s, square = V::zero() - z * z;
    V series = V::broadcast(inverse_factorial<T>(degree));
    for (int i = degree - 2; i >= 1; i -= 2) series = fma(series, square, V::broadcast(inverse_factorial<T>(i)));
    return z * series;
}

// The cosine and sine of an angle in turns.
template <class T> struct CosineAndSine {
    Vec<T> cosine, sine;
};
template <class T> inline CosineAndSine<T> cosine_and_sine(Vec<T> turns) {
    using V = Vec<T>;
    const V r = turns - round(turns), a = abs(r);  // |r| <= 1/2
    const V folded = min(a, V::broadcast(T(0.5)) - a);
    return {sine_of_quarter<T>(V::broadcast(T(0.25)) - a), sine_of_quarter<T>(with_sign_of(folded, r))};
}

inline constexpr double turns_per_radian = 0.15915494309189533577;

template <class T> void periodic_kernel(const PeriodicEmbedding<T>& p, const T* x, int64_t x_stride, int64_t rows,
                                        T* out, int64_t out_stride) {
    using V = Vec<T>;
    constexpr int lanes = V::lanes;
    V cosines[max_frequencies];
    T lane[lanes];
    for (int64_t i = 0; i < rows; i += lanes) {
        const int64_t count = rows - i < lanes ? rows - i : lanes;
        for (int64_t l = 0; l < lanes; ++l) lane[l] = l < count ? x[(i + l) * x_stride] : T(0);
        const V of_rows = V::load(lane);
        for (int64_t k = 0; k < p.frequency_count; ++k)
            cosines[k] = cosine_and_sine<T>(fma(V::broadcast(p.frequencies[k]), of_rows,
                                                V::broadcast(p.phases[k] * T(turns_per_radian)))).cosine;
        for (int64_t d = 0; d < p.outputs; ++d) {
            V sum = V::broadcast(p.biases[d]);
            for (int64_t k = 0; k < p.frequency_count; ++k)
                sum = fma(cosines[k], V::broadcast(p.weights[k * p.outputs + d]), sum);
            sum.store(lane);
            for (int64_t l = 0; l < count; ++l) out[(i + l) * out_stride + d] = lane[l];
        }
    }
}

// The gradients of the parameters, from that of the outputs (rows, D). `sums` has a vector for each parameter.
template <class T> void periodic_gradient_kernel(const PeriodicEmbedding<T>& p, const T* x, int64_t x_stride,
                                                 int64_t rows, const T* gradient, int64_t gradient_stride,
                                                 const PeriodicGradient<T>& to, T* sums) {
    using V = Vec<T>;
    constexpr int lanes = V::lanes;
    const int64_t K = p.frequency_count, D = p.outputs, count_of_sums = K * (2 + D) + D;
    for (int64_t i = 0; i < count_of_sums; ++i) V::zero().store(sums + i * lanes);
    const auto add = [&](int64_t at, V value) { (V::load(sums + at * lanes) + value).store(sums + at * lanes); };
    V of_outputs[max_embedding_outputs];
    T lane[lanes];
    for (int64_t i = 0; i < rows; i += lanes) {
        const int64_t count = rows - i < lanes ? rows - i : lanes;
        const auto load_rows = [&](const T* from, int64_t stride) {
            for (int64_t l = 0; l < lanes; ++l) lane[l] = l < count ? from[(i + l) * stride] : T(0);
            return V::load(lane);
        };
        const V of_rows = load_rows(x, x_stride);
        for (int64_t d = 0; d < D; ++d) {
            of_outputs[d] = load_rows(gradient + d, gradient_stride);
            add(K * (2 + D) + d, of_outputs[d]);
        }
        for (int64_t k = 0; k < K; ++k) {
            const auto [cosine, sine] = cosine_and_sine<T>(fma(V::broadcast(p.frequencies[k]), of_rows,
                                                               V::broadcast(p.phases[k] * T(turns_per_radian))));
            V of_cosine = V::zero();
            for (int64_t d = 0; d < D; ++d) {
                of_cosine = fma(of_outputs[d], V::broadcast(p.weights[k * D + d]), of_cosine);
                add(2 * K + k * D + d, cosine * of_outputs[d]);
            }
            const V of_angle = V::zero() - sine * of_cosine;
            add(k, of_angle * of_rows);
            add(K + k, of_angle);
        }
    }
    const auto total = [&](int64_t at) { return sum_of_lanes<T>(V::load(sums + at * lanes)); };
    for (int64_t k = 0; k < K; ++k) {
        to.frequencies[k] = total(k) * T(6.28318530717958647692);
        to.phases[k] = total(K + k);
        for (int64_t d = 0; d < D; ++d) to.weights[k * D + d] = total(2 * K + k * D + d);
    }
    for (int64_t d = 0; d < D; ++d) to.biases[d] = total(K * (2 + D) + d);
}

}  // namespace fastmlp::FASTMLP_ISA
