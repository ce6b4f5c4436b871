// Products of bfloat16 matrices, for the instruction set that this file is compiled for.
//
// Legend as in gemm_kernel.h, but two kk make a pair: the even one in the lower half of 32 bits, the odd one above. The
// sums are float. An element of C is one chain over kk = 1, 0, 3, 2, ..., in which each product is added with one
// rounding, and denormal sums become zero. That is what processors do that multiply pairs; all others compute the same
// bits with float's multiply-adds.
#include "kernel_table.h"
#include "simd/simd.h"

namespace fastmlp::FASTMLP_ISA {

#ifdef __AVX512BF16__
constexpr bool multiplies_pairs = true;
#else
constexpr bool multiplies_pairs = false;
Vec<float> add_products(Pairs a, Pairs b, Vec<float> c);  // never called
#endif

template <int m, int vectors> void pair_tile(const PairProduct& product, float* c, int64_t c_stride) {
    using V = Vec<float>;
    const std::uint32_t *a = product.a, *b = product.b;
    V sum[m][vectors];
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) sum[i][j] = V::zero();
    for (int64_t k = 0; k < product.pairs; ++k, ++a, b += vectors * V::lanes) {
        if constexpr (multiplies_pairs) {
            Pairs b_row[vectors];
            FOR_UNROLLED(j, vectors) b_row[j] = Pairs::load(b + j * V::lanes);
            FOR_UNROLLED(i, m) {
                const Pairs a_i = Pairs::broadcast(a[i * product.a_stride]);
                FOR_UNROLLED(j, vectors) sum[i][j] = add_products(a_i, b_row[j], sum[i][j]);
            }
        } else {  // the odd ones of all rows first, so that only half of b is in registers
            V b_row[vectors];
            FOR_UNROLLED(j, vectors) b_row[j] = Pairs::load(b + j * V::lanes).high();
            FOR_UNROLLED(i, m) {
                const V a_i = Pairs::broadcast(a[i * product.a_stride]).high();
                FOR_UNROLLED(j, vectors) sum[i][j] = fma_to_zero(a_i, b_row[j], sum[i][j]);
            }
            FOR_UNROLLED(j, vectors) b_row[j] = Pairs::load(b + j * V::lanes).low();
            FOR_UNROLLED(i, m) {
                const V a_i = Pairs::broadcast(a[i * product.a_stride]).low();
                FOR_UNROLLED(j, vectors) sum[i][j] = fma_to_zero(a_i, b_row[j], sum[i][j]);
            }
        }
    }
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) sum[i][j].store(c + i * c_stride + j * V::lanes);
}

template <int m> constexpr void fill_tiles(Bfloat16Kernels& k) {
    if constexpr (m >= 1) {
        k.tile[m - 1][0] = pair_tile<m, 1>;
        k.tile[m - 1][1] = pair_tile<m, 2>;
        fill_tiles<m - 1>(k);
    }
}

extern const Bfloat16Kernels bfloat16;
constexpr Bfloat16Kernels bfloat16 = [] {
    Bfloat16Kernels k{multiplies_pairs, {}};
    fill_tiles<row_tile>(k);
    return k;
}();

}  // namespace fastmlp::FASTMLP_ISA
