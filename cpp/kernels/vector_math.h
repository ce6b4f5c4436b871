// Functions of vectors that take several instructions: exponential, logarithm, selection and sums of lanes.
#pragma once

#include <cstdint>

#include "simd/simd.h"

namespace fastmlp::FASTMLP_ISA {

using std::int64_t;

// Those of the C library, so that all instruction sets round alike.
inline float log(float x) { return __builtin_logf(x); }
inline double log(double x) { return __builtin_log(x); }

template <class T> constexpr int log1p_degree = sizeof(T) == 4 ? 7 : 16;  // 9^-degree / (2 degree + 1) < eps/8

template <class T> struct ExpConstants;
template <> struct ExpConstants<float> {
    static constexpr float lowest = -87.3f, highest = 88.37f;  // 2^n stays a normal number
    static constexpr float ln2_high = 0.693359375f;            // 9 bits: n * ln2_high is exact
    static constexpr float ln2_low = -2.12194440e-4f;
    static constexpr int degree = 7;  // (ln2/2)^8 / 8! = 5e-9 < eps/2
};
template <> struct ExpConstants<double> {
    static constexpr double lowest = -708.3, highest = 709.4;
    static constexpr double ln2_high = 0.693147180369123816490;  // the low 21 bits are zero
    static constexpr double ln2_low = 1.90821492927058770002e-10;
    static constexpr int degree = 13;  // (ln2/2)^14 / 14! = 4e-18 < eps/2
};

template <class T> constexpr T infinity() { return static_cast<T>(__builtin_inf()); }

template <class T> constexpr T inverse_factorial(int n) {
    double f = 1;
    for (int i = 2; i <= n; ++i) f *= i;
    return static_cast<T>(1 / f);
}

// e^x = 2^n e^r with |r| <= ln2/2; `tail` is e^r - 1 by its Taylor series. NaN passes through.
template <class T> struct ExpParts {
    Vec<T> power, tail;
};
template <class T> inline ExpParts<T> exp_parts(Vec<T> n, Vec<T> r) {
    using V = Vec<T>;
    using C = ExpConstants<T>;
    V series = V::broadcast(inverse_factorial<T>(C::degree));
    for (int i = C::degree - 1; i >= 2; --i) series = fma(series, r, V::broadcast(inverse_factorial<T>(i)));
    return {power_of_two(n), fma(series * r, r, r)};
}
template <class T> inline ExpParts<T> exp_parts(Vec<T> x) {
    using V = Vec<T>;
    using C = ExpConstants<T>;
    x = min(V::broadcast(C::highest), max(V::broadcast(C::lowest), x));  // this order lets NaN through
    const V n = round(x * V::broadcast(T(1.44269504088896340736)));
    V r = fma(n, V::broadcast(-C::ln2_high), x);
    r = fma(n, V::broadcast(-C::ln2_low), r);
    return exp_parts<T>(n, r);
}
template <class T> inline Vec<T> exp(Vec<T> x) {
    using V = Vec<T>;
    using C = ExpConstants<T>;
    const auto [power, tail] = exp_parts<T>(x);
    const V value = power * (tail + V::broadcast(1));  // not fma(power, tail, power): without FMA, power * tail may be 0
    const V bounded = select_less(V::broadcast(C::highest), x, V::broadcast(infinity<T>()), value);
    return select_less(x, V::broadcast(C::lowest), V::zero(), bounded);
}
template <class T> inline Vec<T> expm1(Vec<T> x) {
    const auto [power, tail] = exp_parts<T>(x);
    return fma(power, tail, power - Vec<T>::broadcast(1));
}

// log(1 + x) for x in [0, 1]: 2 atanh(s) with s = x / (2 + x) <= 1/3, by its series.
template <class T> inline Vec<T> log1p_of_unit(Vec<T> x) {
    using V = Vec<T>;
    const V s = x / (x + V::broadcast(2)), square = s * s;
    V series = V::zero();
    for (int i = log1p_degree<T>; i >= 0; --i) series = fma(series, square, V::broadcast(T(1) / T(2 * i + 1)));
    return (s + s) * series;
}

template <class T> struct NormalConstants;
template <> struct NormalConstants<float> {
    static constexpr float highest = 13.3f;  // from there on the density is 0
    static constexpr float center = 3 * 1.41421356f;
    static constexpr float series[] = {1.25300806f,     -0.135621134f,  -0.0475622365f,  0.12964633f,
                                       -0.119273635f,   0.0682946826f,  -0.0237835394f,  0.00258207095f,
                                       0.00198194884f,  -0.000814332638f, -0.000282978349f};
};
template <> struct NormalConstants<double> {
    static constexpr double highest = 37.7;
    static constexpr double center = 4 * 1.4142135623730951;
    static constexpr double series[] = {
        1.2329951186255525,     -0.13962111684056252,    0.015379652102619606,   0.068097054254693795,
        -0.10103906603629732,   0.093732834998309228,    -0.066330365812352592,  0.037167515538137267,
        -0.016197734056553399,  0.0050319699721891886,   -0.00075777329466989746, -0.00019925666341904036,
        0.00015062169248348296, -2.4399320957932539e-5,  -1.1222060493415098e-5, 5.7099599471618799e-6,
        2.9386815082743349e-7,  -8.2570623916449204e-7,  7.452560133314941e-8,   1.1021770674402751e-7,
        -1.7799946655296622e-8, -1.4107097348892792e-8,  1.7868874524010629e-9,  1.238274560173601e-9};
};

// The standard normal distribution at |z|: e^(-z^2/2) and the probability of more than |z|, both to some ulp.
template <class T> struct NormalTail {
    Vec<T> exponential, probability;
};
// The probability is e^(-x^2/2) f(t) / (2 + sqrt(8) x), with t = (x - center) / (x + center): f is the polynomial
// through the Chebyshev points of (1 + 2u) e^(u^2) erfc(u), u = x/sqrt(2), and lies between 1 and 1.3. x^2 is exact in
// two parts, because an error of it is one of the exponent.
template <class T> inline NormalTail<T> normal_tail(Vec<T> z) {
    using V = Vec<T>;
    using C = NormalConstants<T>;
    using E = ExpConstants<T>;
    const V x = min(V::broadcast(C::highest), abs(z));  // this order lets NaN through
    const V high = round(x * V::broadcast(16)) * V::broadcast(T(1) / 16), half = V::broadcast(T(-0.5));
    const V square = half * (high * high), rest = half * ((x - high) * (x + high));
    const V exponent = max(V::broadcast(E::lowest), square);
    const V n = round((exponent + rest) * V::broadcast(T(1.44269504088896340736)));
    const V r = fma(n, V::broadcast(-E::ln2_low), fma(n, V::broadcast(-E::ln2_high), exponent) + rest);
    const auto [power, tail] = exp_parts<T>(n, r);
    const V e = select_less(square + rest, V::broadcast(E::lowest), V::zero(), fma(power, tail, power));
    const V t = (x - V::broadcast(C::center)) / (x + V::broadcast(C::center));
    constexpr int degree = static_cast<int>(sizeof(C::series) / sizeof(T)) - 1;
    V f = V::broadcast(C::series[degree]);
    for (int i = degree - 1; i >= 0; --i) f = fma(f, t, V::broadcast(C::series[i]));
    return {e, e * f / fma(x, V::broadcast(T(2.8284271247461900976)), V::broadcast(2))};
}

// The first `count` lanes of a, the others of b.
template <class T> inline Vec<T> first_lanes(int64_t count, Vec<T> a, Vec<T> b) {
    T index[Vec<T>::lanes];
    for (int i = 0; i < Vec<T>::lanes; ++i) index[i] = T(i);
    return select_less(Vec<T>::load(index), Vec<T>::broadcast(T(count)), a, b);
}
// p[0 .. count), then zeros: the memory after p[count - 1] may be unmapped.
template <class T> inline Vec<T> load_first(int64_t count, const T* p) {
    if (count >= Vec<T>::lanes) return Vec<T>::load(p);
    T lane[Vec<T>::lanes] = {};
    for (int64_t i = 0; i < count; ++i) lane[i] = p[i];
    return Vec<T>::load(lane);
}
template <class T> inline T sum_of_lanes(Vec<T> a) {
    T lane[Vec<T>::lanes];
    a.store(lane);
    T sum = lane[0];
    for (int i = 1; i < Vec<T>::lanes; ++i) sum += lane[i];
    return sum;
}

}  // namespace fastmlp::FASTMLP_ISA
