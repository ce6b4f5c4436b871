// Vectors of 64-bit ARM: 16 bytes, 32 registers.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace fastmlp::FASTMLP_ISA {

template <class T> struct Vec;

// 10 x 2 accumulators: four multiply-adds a cycle with a latency of four need 16. With 2 of B, 10 of the 32 registers
// are left for broadcasts, which compilers load early: GCC 12 spills from 11 rows on, Clang 19 from 13.
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

struct Pairs {
    uint32x4_t v;
    static Pairs load(const std::uint32_t* p) { return {vld1q_u32(p)}; }
    static Pairs broadcast(std::uint32_t x) { return {vdupq_n_u32(x)}; }
    Vec<float> low() const { return {vreinterpretq_f32_u32(vshlq_n_u32(v, 16))}; }
    Vec<float> high() const { return {vreinterpretq_f32_u32(vandq_u32(v, vdupq_n_u32(0xffff0000u)))}; }
};

inline Vec<float> fma_to_zero(Vec<float> a, Vec<float> b, Vec<float> c) {
    const Vec<float> sum = fma(a, b, c);
    return select_less(abs(sum), Vec<float>::broadcast(0x1p-126f), with_sign_of(Vec<float>::zero(), sum), sum);
}

}  // namespace fastmlp::FASTMLP_ISA
