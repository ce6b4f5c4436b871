// Vectors of 16 bytes in plain C++, for any processor: compilers turn them into vector instructions.
#pragma once

#include <cstdint>

namespace fastmlp::FASTMLP_ISA {

inline constexpr int row_tile = 4;  // 4 x 2 accumulators leave 8 of 16 registers for B and broadcasts

template <class T> struct Vec {
    static constexpr int lanes = 16 / sizeof(T);
    T v[lanes];

    template <class F> static Vec each(F f) {
        Vec r;
        for (int i = 0; i < lanes; ++i) r.v[i] = f(i);
        return r;
    }
    static Vec zero() { return broadcast(T(0)); }
    static Vec broadcast(T x) {
        return each([&](int) { return x; });
    }
    static Vec load(const T* p) {
        return each([&](int i) { return p[i]; });
    }
    void store(T* p) const {
        for (int i = 0; i < lanes; ++i) p[i] = v[i];
    }
    friend Vec operator+(Vec a, Vec b) {
        return each([&](int i) { return a.v[i] + b.v[i]; });
    }
    friend Vec operator-(Vec a, Vec b) {
        return each([&](int i) { return a.v[i] - b.v[i]; });
    }
    friend Vec operator*(Vec a, Vec b) {
        return each([&](int i) { return a.v[i] * b.v[i]; });
    }
    friend Vec operator/(Vec a, Vec b) {
        return each([&](int i) { return a.v[i] / b.v[i]; });
    }
    friend Vec fma(Vec a, Vec b, Vec c) {
        return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
    }
    friend Vec max(Vec a, Vec b) {
        return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
    }
    friend Vec min(Vec a, Vec b) {
        return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
    }
    friend Vec sqrt(Vec a) {
        return each([&](int i) { return root(a.v[i]); });
    }
    friend Vec abs(Vec a) {
        return each([&](int i) { return a.v[i] < 0 ? -a.v[i] : a.v[i] + T(0); });
    }
    friend Vec round(Vec a) {  // to the nearest integer, for |a| below half the mantissa's range
        const T shift = sizeof(T) == 4 ? T(12582912.0) : T(6755399441055744.0);
        return each([&](int i) { return (a.v[i] + shift) - shift; });
    }
    friend Vec with_sign_of(Vec magnitude, Vec sign) {
        return each([&](int i) { return copy_sign(magnitude.v[i], sign.v[i]); });
    }
    friend Vec select_less(Vec a, Vec b, Vec yes, Vec no) {
        return each([&](int i) { return a.v[i] < b.v[i] ? yes.v[i] : no.v[i]; });
    }
    void compress_store(T* p, unsigned bits) const {
        for (int i = 0; i < lanes; ++i) {
            *p = v[i];
            p += bits >> i & 1;
        }
    }
    friend Vec interleave_low(Vec a, Vec b) {
        return each([&](int i) { return (i % 2 ? b : a).v[i / 2]; });
    }
    friend Vec interleave_high(Vec a, Vec b) {
        return each([&](int i) { return (i % 2 ? b : a).v[(i + lanes) / 2]; });
    }
    friend Vec power_of_two(Vec n) {
        return each([&](int i) { return two_to(n.v[i]); });
    }

private:
    static float root(float x) { return __builtin_sqrtf(x); }
    static double root(double x) { return __builtin_sqrt(x); }
    static float copy_sign(float magnitude, float sign) { return __builtin_copysignf(magnitude, sign); }
    static double copy_sign(double magnitude, double sign) { return __builtin_copysign(magnitude, sign); }
    // n + bias moved into the exponent's bits; a conversion of NaN to an integer would be undefined
    static float two_to(float n) {
        std::uint32_t bits;
        n += 12582912.0f + 127.0f;
        __builtin_memcpy(&bits, &n, sizeof n);
        bits <<= 23;
        __builtin_memcpy(&n, &bits, sizeof n);
        return n;
    }
    static double two_to(double n) {
        std::uint64_t bits;
        n += 6755399441055744.0 + 1023.0;
        __builtin_memcpy(&bits, &n, sizeof n);
        bits <<= 52;
        __builtin_memcpy(&n, &bits, sizeof n);
        return n;
    }
};

struct Pairs {
    std::uint32_t v[Vec<float>::lanes];

    static Pairs load(const std::uint32_t* p) {
        Pairs r;
        for (int i = 0; i < Vec<float>::lanes; ++i) r.v[i] = p[i];
        return r;
    }
    static Pairs broadcast(std::uint32_t x) {
        Pairs r;
        for (std::uint32_t& pair : r.v) pair = x;
        return r;
    }
    Vec<float> low() const {
        return Vec<float>::each([&](int i) { return of_bits(v[i] << 16); });
    }
    Vec<float> high() const {
        return Vec<float>::each([&](int i) { return of_bits(v[i] & 0xffff0000u); });
    }

private:
    static float of_bits(std::uint32_t bits) {
        float x;
        __builtin_memcpy(&x, &bits, sizeof x);
        return x;
    }
};

// Rounded once, as if fused: in double the product is exact, and so is the sum unless one operand is too small to matter.
inline Vec<float> fma_to_zero(Vec<float> a, Vec<float> b, Vec<float> c) {
    return Vec<float>::each([&](int i) {
        const float sum =
            static_cast<float>(static_cast<double>(a.v[i]) * static_cast<double>(b.v[i]) + static_cast<double>(c.v[i]));
        return __builtin_fabsf(sum) < 0x1p-126f ? __builtin_copysignf(0.0f, sum) : sum;
    });
}

}  // namespace fastmlp::FASTMLP_ISA
