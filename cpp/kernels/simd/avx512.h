// Vectors of AVX-512: 64 bytes, 32 registers.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace fastmlp::FASTMLP_ISA {

template <class T> struct Vec;

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
    void compress_store(float* p, unsigned bits) const {
        _mm512_storeu_ps(p, _mm512_maskz_compress_ps(static_cast<__mmask16>(bits), v));
    }
    friend Vec interleave_low(Vec a, Vec b) {
        return {_mm512_permutex2var_ps(a.v, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
                                       b.v)};
    }
    friend Vec interleave_high(Vec a, Vec b) {
        return {_mm512_permutex2var_ps(
            a.v, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), b.v)};
    }
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

struct Pairs {
    __m512i v;
    static Pairs load(const std::uint32_t* p) { return {_mm512_loadu_si512(p)}; }
    static Pairs broadcast(std::uint32_t x) { return {_mm512_set1_epi32(static_cast<int>(x))}; }
    Vec<float> low() const { return {_mm512_castsi512_ps(_mm512_slli_epi32(v, 16))}; }
    Vec<float> high() const {
        return {_mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
    }
#ifdef __AVX512BF16__
    // The nearest bfloat16 of each element; of neighbours, those that follow each other in both vectors.
    static Pairs of(Vec<float> even, Vec<float> odd) {
        const auto widened = [](Vec<float> x) { return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x.v)); };
        return {_mm512_or_si512(widened(even), _mm512_slli_epi32(widened(odd), 16))};
    }
    static Pairs of_neighbours(Vec<float> first, Vec<float> second) {
        return {(__m512i)_mm512_cvtne2ps_pbh(second.v, first.v)};
    }
    void store(std::uint32_t* p) const { _mm512_storeu_si512(p, v); }
    friend Vec<float> add_products(Pairs a, Pairs b, Vec<float> c) {
        return {_mm512_dpbf16_ps(c.v, (__m512bh)a.v, (__m512bh)b.v)};
    }
#endif
};

inline Vec<float> fma_to_zero(Vec<float> a, Vec<float> b, Vec<float> c) { return fma(a, b, c); }

}  // namespace fastmlp::FASTMLP_ISA
