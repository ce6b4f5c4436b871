// One SIMD vector of float or double, for the instruction set this file is compiled for. The only intrinsics.
//
// Compiled once per instruction set, each time inside a namespace of its own (FASTMLP_ISA): an inline
// function built with AVX-512 flags must never be the copy that the linker keeps for everybody.
// Every operation acts lane by lane, so that an element's result never depends on its lane.
#pragma once

#include <cstdint>

#if defined(FASTMLP_ISA_AVX512) || defined(FASTMLP_ISA_AVX2)
#include <immintrin.h>
#elif defined(FASTMLP_ISA_NEON)
#include <arm_neon.h>
#endif

#ifndef FASTMLP_ISA
#error "FASTMLP_ISA names the namespace of the instruction set that this file is compiled for"
#endif

namespace fastmlp::FASTMLP_ISA {

template <class T> struct Vec;

#if defined(FASTMLP_ISA_AVX512)

inline constexpr int row_tile = 14;  // 14 x 2 accumulators + 2 of B + 1 broadcast fill 31 of the 32 registers

template <> struct Vec<float> {
    static constexpr int lanes = 16;
    __m512 v;
    static Vec zero() { return {_mm512_setzero_ps()}; }
    static Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
    static Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
    void store(float* p) const { _mm512_storeu_ps(p, v); }
    friend Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
    friend Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
    friend Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
    friend Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
    friend Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
    friend Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
    friend Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
    friend Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
    friend Vec abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
    friend Vec round(Vec a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
    friend Vec with_sign_of(Vec magnitude, Vec sign) {
        return {_mm512_or_ps(magnitude.v, _mm512_and_ps(sign.v, _mm512_set1_ps(-0.0f)))};
    }
    friend Vec select_less(Vec a, Vec b, Vec yes, Vec no) {
        return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), no.v, yes.v)};
    }
    // the lanes whose bit is set, one after another; whatever follows them up to a whole vector is overwritten
    void compress_store(float* p, unsigned bits) const {
        _mm512_storeu_ps(p, _mm512_maskz_compress_ps(static_cast<__mmask16>(bits), v));
    }
    // a0 b0 a1 b1 ... of the lower and of the upper halves
    friend Vec interleave_low(Vec a, Vec b) {
        return {_mm512_permutex2var_ps(a.v, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
                                       b.v)};
    }
    friend Vec interleave_high(Vec a, Vec b) {
        return {_mm512_permutex2var_ps(
            a.v, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), b.v)};
    }
    // 2^n for an integer n of a normal number's exponent: n + bias moved into the exponent's bits
    friend Vec power_of_two(Vec n) {
        return {_mm512_castsi512_ps(
            _mm512_slli_epi32(_mm512_castps_si512(_mm512_add_ps(n.v, _mm512_set1_ps(12582912.0f + 127.0f))), 23))};
    }
};

template <> struct Vec<double> {
    static constexpr int lanes = 8;
    __m512d v;
    static Vec zero() { return {_mm512_setzero_pd()}; }
    static Vec broadcast(double x) { return {_mm512_set1_pd(x)}; }
    static Vec load(const double* p) { return {_mm512_loadu_pd(p)}; }
    void store(double* p) const { _mm512_storeu_pd(p, v); }
    friend Vec operator+(Vec a, Vec b) { return {_mm512_add_pd(a.v, b.v)}; }
    friend Vec operator-(Vec a, Vec b) { return {_mm512_sub_pd(a.v, b.v)}; }
    friend Vec operator*(Vec a, Vec b) { return {_mm512_mul_pd(a.v, b.v)}; }
    friend Vec operator/(Vec a, Vec b) { return {_mm512_div_pd(a.v, b.v)}; }
    friend Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
    friend Vec max(Vec a, Vec b) { return {_mm512_max_pd(a.v, b.v)}; }
    friend Vec min(Vec a, Vec b) { return {_mm512_min_pd(a.v, b.v)}; }
    friend Vec sqrt(Vec a) { return {_mm512_sqrt_pd(a.v)}; }
    friend Vec abs(Vec a) { return {_mm512_abs_pd(a.v)}; }
    friend Vec round(Vec a) { return {_mm512_roundscale_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
    friend Vec with_sign_of(Vec magnitude, Vec sign) {
        return {_mm512_or_pd(magnitude.v, _mm512_and_pd(sign.v, _mm512_set1_pd(-0.0)))};
    }
    friend Vec select_less(Vec a, Vec b, Vec yes, Vec no) {
        return {_mm512_mask_blend_pd(_mm512_cmp_pd_mask(a.v, b.v, _CMP_LT_OQ), no.v, yes.v)};
    }
    void compress_store(double* p, unsigned bits) const {
        _mm512_storeu_pd(p, _mm512_maskz_compress_pd(static_cast<__mmask8>(bits), v));
    }
    friend Vec interleave_low(Vec a, Vec b) {
        return {_mm512_permutex2var_pd(a.v, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b.v)};
    }
    friend Vec interleave_high(Vec a, Vec b) {
        return {_mm512_permutex2var_pd(a.v, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b.v)};
    }
    friend Vec power_of_two(Vec n) {
        return {_mm512_castsi512_pd(_mm512_slli_epi64(
            _mm512_castpd_si512(_mm512_add_pd(n.v, _mm512_set1_pd(6755399441055744.0 + 1023.0))), 52))};
    }
};

#elif defined(FASTMLP_ISA_AVX2)

inline constexpr int row_tile = 6;  // 6 x 2 accumulators + 2 of B + 1 broadcast fill 15 of the 16 registers

template <> struct Vec<float> {
    static constexpr int lanes = 8;
    __m256 v;
    static Vec zero() { return {_mm256_setzero_ps()}; }
    static Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }
    static Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
    void store(float* p) const { _mm256_storeu_ps(p, v); }
    friend Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
    friend Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
    friend Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
    friend Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
    friend Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
    friend Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
    friend Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
    friend Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.v)}; }
    friend Vec abs(Vec a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
    friend Vec round(Vec a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
    friend Vec with_sign_of(Vec magnitude, Vec sign) {
        return {_mm256_or_ps(magnitude.v, _mm256_and_ps(sign.v, _mm256_set1_ps(-0.0f)))};
    }
    friend Vec select_less(Vec a, Vec b, Vec yes, Vec no) {
        return {_mm256_blendv_ps(no.v, yes.v, _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ))};
    }
    void compress_store(float* p, unsigned bits) const {
        float lane[lanes];
        store(lane);
        for (int i = 0; i < lanes; ++i) {
            *p = lane[i];
            p += bits >> i & 1;
        }
    }
    friend Vec interleave_low(Vec a, Vec b) {
        return {_mm256_permute2f128_ps(_mm256_unpacklo_ps(a.v, b.v), _mm256_unpackhi_ps(a.v, b.v), 0x20)};
    }
    friend Vec interleave_high(Vec a, Vec b) {
        return {_mm256_permute2f128_ps(_mm256_unpacklo_ps(a.v, b.v), _mm256_unpackhi_ps(a.v, b.v), 0x31)};
    }
    friend Vec power_of_two(Vec n) {
        return {_mm256_castsi256_ps(
            _mm256_slli_epi32(_mm256_castps_si256(_mm256_add_ps(n.v, _mm256_set1_ps(12582912.0f + 127.0f))), 23))};
    }
};

template <> struct Vec<double> {
    static constexpr int lanes = 4;
    __m256d v;
    static Vec zero() { return {_mm256_setzero_pd()}; }
    static Vec broadcast(double x) { return {_mm256_set1_pd(x)}; }
    static Vec load(const double* p) { return {_mm256_loadu_pd(p)}; }
    void store(double* p) const { _mm256_storeu_pd(p, v); }
    friend Vec operator+(Vec a, Vec b) { return {_mm256_add_pd(a.v, b.v)}; }
    friend Vec operator-(Vec a, Vec b) { return {_mm256_sub_pd(a.v, b.v)}; }
    friend Vec operator*(Vec a, Vec b) { return {_mm256_mul_pd(a.v, b.v)}; }
    friend Vec operator/(Vec a, Vec b) { return {_mm256_div_pd(a.v, b.v)}; }
    friend Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
    friend Vec max(Vec a, Vec b) { return {_mm256_max_pd(a.v, b.v)}; }
    friend Vec min(Vec a, Vec b) { return {_mm256_min_pd(a.v, b.v)}; }
    friend Vec sqrt(Vec a) { return {_mm256_sqrt_pd(a.v)}; }
    friend Vec abs(Vec a) { return {_mm256_andnot_pd(_mm256_set1_pd(-0.0), a.v)}; }
    friend Vec round(Vec a) { return {_mm256_round_pd(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
    friend Vec with_sign_of(Vec magnitude, Vec sign) {
        return {_mm256_or_pd(magnitude.v, _mm256_and_pd(sign.v, _mm256_set1_pd(-0.0)))};
    }
    friend Vec select_less(Vec a, Vec b, Vec yes, Vec no) {
        return {_mm256_blendv_pd(no.v, yes.v, _mm256_cmp_pd(a.v, b.v, _CMP_LT_OQ))};
    }
    void compress_store(double* p, unsigned bits) const {
        double lane[lanes];
        store(lane);
        for (int i = 0; i < lanes; ++i) {
            *p = lane[i];
            p += bits >> i & 1;
        }
    }
    friend Vec interleave_low(Vec a, Vec b) {
        return {_mm256_permute2f128_pd(_mm256_unpacklo_pd(a.v, b.v), _mm256_unpackhi_pd(a.v, b.v), 0x20)};
    }
    friend Vec interleave_high(Vec a, Vec b) {
        return {_mm256_permute2f128_pd(_mm256_unpacklo_pd(a.v, b.v), _mm256_unpackhi_pd(a.v, b.v), 0x31)};
    }
    friend Vec power_of_two(Vec n) {
        return {_mm256_castsi256_pd(_mm256_slli_epi64(
            _mm256_castpd_si256(_mm256_add_pd(n.v, _mm256_set1_pd(6755399441055744.0 + 1023.0))), 52))};
    }
};

#elif defined(FASTMLP_ISA_NEON)

// 10 x 2 accumulators: four multiply-adds a cycle with a latency of four need 16. With 2 of B, 10 of the 32 registers
// are left for broadcasts, which compilers load ahead: from 11 rows on GCC 12 spills, Clang 19 from 13.
inline constexpr int row_tile = 10;

template <> struct Vec<float> {
    static constexpr int lanes = 4;
    float32x4_t v;
    static Vec zero() { return broadcast(0); }
    static Vec broadcast(float x) { return {vdupq_n_f32(x)}; }
    static Vec load(const float* p) { return {vld1q_f32(p)}; }
    void store(float* p) const { vst1q_f32(p, v); }
    friend Vec operator+(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
    friend Vec operator-(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
    friend Vec operator*(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
    friend Vec operator/(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
    friend Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
    // not vmaxq and vminq, which differ in the sign of a zero: the second operand if either is NaN or both are equal
    friend Vec max(Vec a, Vec b) { return select_less(b, a, a, b); }
    friend Vec min(Vec a, Vec b) { return select_less(a, b, a, b); }
    friend Vec sqrt(Vec a) { return {vsqrtq_f32(a.v)}; }
    friend Vec abs(Vec a) { return {vabsq_f32(a.v)}; }
    friend Vec round(Vec a) { return {vrndnq_f32(a.v)}; }
    friend Vec with_sign_of(Vec magnitude, Vec sign) {
        return {vbslq_f32(vdupq_n_u32(0x80000000u), sign.v, magnitude.v)};
    }
    friend Vec select_less(Vec a, Vec b, Vec yes, Vec no) { return {vbslq_f32(vcltq_f32(a.v, b.v), yes.v, no.v)}; }
    void compress_store(float* p, unsigned bits) const {
        float lane[lanes];
        store(lane);
        for (int i = 0; i < lanes; ++i) {
            *p = lane[i];
            p += bits >> i & 1;
        }
    }
    friend Vec interleave_low(Vec a, Vec b) { return {vzip1q_f32(a.v, b.v)}; }
    friend Vec interleave_high(Vec a, Vec b) { return {vzip2q_f32(a.v, b.v)}; }
    friend Vec power_of_two(Vec n) {
        return {vreinterpretq_f32_u32(
            vshlq_n_u32(vreinterpretq_u32_f32(vaddq_f32(n.v, vdupq_n_f32(12582912.0f + 127.0f))), 23))};
    }
};

template <> struct Vec<double> {
    static constexpr int lanes = 2;
    float64x2_t v;
    static Vec zero() { return broadcast(0); }
    static Vec broadcast(double x) { return {vdupq_n_f64(x)}; }
    static Vec load(const double* p) { return {vld1q_f64(p)}; }
    void store(double* p) const { vst1q_f64(p, v); }
    friend Vec operator+(Vec a, Vec b) { return {vaddq_f64(a.v, b.v)}; }
    friend Vec operator-(Vec a, Vec b) { return {vsubq_f64(a.v, b.v)}; }
    friend Vec operator*(Vec a, Vec b) { return {vmulq_f64(a.v, b.v)}; }
    friend Vec operator/(Vec a, Vec b) { return {vdivq_f64(a.v, b.v)}; }
    friend Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f64(c.v, a.v, b.v)}; }
    friend Vec max(Vec a, Vec b) { return select_less(b, a, a, b); }
    friend Vec min(Vec a, Vec b) { return select_less(a, b, a, b); }
    friend Vec sqrt(Vec a) { return {vsqrtq_f64(a.v)}; }
    friend Vec abs(Vec a) { return {vabsq_f64(a.v)}; }
    friend Vec round(Vec a) { return {vrndnq_f64(a.v)}; }
    friend Vec with_sign_of(Vec magnitude, Vec sign) {
        return {vbslq_f64(vdupq_n_u64(0x8000000000000000u), sign.v, magnitude.v)};
    }
    friend Vec select_less(Vec a, Vec b, Vec yes, Vec no) { return {vbslq_f64(vcltq_f64(a.v, b.v), yes.v, no.v)}; }
    void compress_store(double* p, unsigned bits) const {
        double lane[lanes];
        store(lane);
        for (int i = 0; i < lanes; ++i) {
            *p = lane[i];
            p += bits >> i & 1;
        }
    }
    friend Vec interleave_low(Vec a, Vec b) { return {vzip1q_f64(a.v, b.v)}; }
    friend Vec interleave_high(Vec a, Vec b) { return {vzip2q_f64(a.v, b.v)}; }
    friend Vec power_of_two(Vec n) {
        return {vreinterpretq_f64_u64(
            vshlq_n_u64(vreinterpretq_u64_f64(vaddq_f64(n.v, vdupq_n_f64(6755399441055744.0 + 1023.0))), 52))};
    }
};

#else  // generic: plain C++ that any compiler turns into whatever vectors the processor has

inline constexpr int row_tile = 4;  // 4 x 2 accumulators leave room in 16 registers of 16 bytes

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
    static float two_to(float n) {  // n + 127 moved into the exponent's bits, without a conversion that NaN would upset
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

#endif

}  // namespace fastmlp::FASTMLP_ISA
