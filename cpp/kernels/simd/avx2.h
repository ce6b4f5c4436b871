// Vectors of AVX2 with FMA: 32 bytes, 16 registers.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace fastmlp::FASTMLP_ISA {

template <class T> struct Vec;

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

struct Pairs {
    __m256i v;
    static Pairs load(const std::uint32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
    static Pairs broadcast(std::uint32_t x) { return {_mm256_set1_epi32(static_cast<int>(x))}; }
    Vec<float> low() const { return {_mm256_castsi256_ps(_mm256_slli_epi32(v, 16))}; }
    Vec<float> high() const {
        return {_mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32(static_cast<int>(0xffff0000u))))};
    }
};

inline Vec<float> fma_to_zero(Vec<float> a, Vec<float> b, Vec<float> c) { return fma(a, b, c); }

}  // namespace fastmlp::FASTMLP_ISA
