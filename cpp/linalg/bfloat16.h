// Matrices of bfloat16: float's exponent, and the upper 7 bits of its mantissa.
#pragma once

#include "matrix.h"

namespace fastmlp {

// Rows 2 i and 2 i + 1 of `from`, which has an odd number of them or an even one, become row i of the panels. Panels may
// have more rows, which are left as they are.
void pair_panels(const Bfloat16Kernels& kernels, const PanelShape& shape, MatrixView<const float> from,
                 std::uint32_t* panels) noexcept;

// c (m, n) = op(a) * op(b), where op transposes or not, of a and b rounded to bfloat16. All row-major and unpadded. An
// element is added up in the order of the kernels: the same bits on all processors. Throws std::bad_alloc.
void matmul_bfloat16(MatrixView<const float> a, bool transpose_a, MatrixView<const float> b, bool transpose_b,
                     MatrixView<float> c, const Kernels<float>& kernels, const Bfloat16Kernels& pairs, int threads);

}  // namespace fastmlp
