// Matrices of bfloat16: float's exponent, and the upper 7 bits of its mantissa.
#pragma once

#include <cstdint>
#include <cstring>

#include "matrix.h"

namespace fastmlp {

// The nearest bfloat16, ties to even: what processors make of it. Denormals become zero, large numbers infinite.
inline std::uint32_t bfloat16_of(float x) noexcept {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    const std::uint32_t exponent = bits & 0x7f800000u;
    if (exponent == 0) return bits >> 16 & 0x8000u;
    if (exponent == 0x7f800000u) return bits >> 16 | (bits & 0x007fffffu ? 0x40u : 0u);  // NaN stays NaN
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

// Two elements that follow each other along the summed dimension of a product.
inline std::uint32_t bfloat16_pair(float even, float odd) noexcept {
    return bfloat16_of(even) | bfloat16_of(odd) << 16;
}

// c (m, n) = op(a) * op(b), where op transposes or not, of a and b rounded to bfloat16. All row-major and unpadded. An
// element is one chain over kk = 1, 0, 3, 2, ..., whose every sum is rounded to float, denormals to zero: the same bits on
// all processors. Throws std::bad_alloc.
void matmul_bfloat16(MatrixView<const float> a, bool transpose_a, MatrixView<const float> b, bool transpose_b,
                     MatrixView<float> c, const Kernels<float>& kernels, const Bfloat16Kernels& pairs, int threads);

}  // namespace fastmlp
