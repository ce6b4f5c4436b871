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

// What the rows of A are: those of the tile, all pairs; a pair, all rows of the tile; and whether pairs take chosen rows
// of B.
enum class PairOperand { row_major, sparse, transposed };

template <int m, int vectors, PairOperand operand>
void pair_tile(const PairProduct& product, float* c, int64_t c_stride) {
    using V = Vec<float>;
    constexpr bool transposed = operand == PairOperand::transposed;
    const std::uint32_t *a = product.a, *b = product.b;
    V sum[m][vectors];
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) sum[i][j] = V::zero();
    for (int64_t k = 0; k < product.pairs; ++k, a += transposed ? product.a_stride : 1, b += vectors * V::lanes) {
        if (operand == PairOperand::sparse) b = product.b + product.rows_of_b[k] * (vectors * V::lanes);
        const auto a_of = [&](int i) { return Pairs::broadcast(a[transposed ? i : i * product.a_stride]); };
        if constexpr (multiplies_pairs) {
            Pairs b_row[vectors];
            FOR_UNROLLED(j, vectors) b_row[j] = Pairs::load(b + j * V::lanes);
            FOR_UNROLLED(i, m) {
                const Pairs a_i = a_of(i);
                FOR_UNROLLED(j, vectors) sum[i][j] = add_products(a_i, b_row[j], sum[i][j]);
            }
        } else {  // the odd ones of all rows first, so that only half of b is in registers
            V b_row[vectors];
            FOR_UNROLLED(j, vectors) b_row[j] = Pairs::load(b + j * V::lanes).high();
            FOR_UNROLLED(i, m) {
                const V a_i = a_of(i).high();
                FOR_UNROLLED(j, vectors) sum[i][j] = fma_to_zero(a_i, b_row[j], sum[i][j]);
            }
            FOR_UNROLLED(j, vectors) b_row[j] = Pairs::load(b + j * V::lanes).low();
            FOR_UNROLLED(i, m) {
                const V a_i = a_of(i).low();
                FOR_UNROLLED(j, vectors) sum[i][j] = fma_to_zero(a_i, b_row[j], sum[i][j]);
            }
        }
    }
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) sum[i][j].store(c + i * c_stride + j * V::lanes);
}

// The nearest bfloat16, ties to even: what processors make of a float. Without branches, so that compilers use vectors.
inline std::uint32_t rounded(float x) {
    std::uint32_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    const std::uint32_t exponent = bits & 0x7f800000u, fraction = bits & 0x007fffffu, upper = bits >> 16;
    const std::uint32_t nearest = (bits + 0x7fffu + (upper & 1u)) >> 16;
    const std::uint32_t special = upper | (fraction != 0 ? 0x40u : 0u);  // NaN stays NaN
    return exponent == 0 ? upper & 0x8000u : exponent == 0x7f800000u ? special : nearest;
}

void round_elements(float* x, int64_t stride, int64_t rows, int64_t columns) {
    for (int64_t i = 0; i < rows; ++i, x += stride)
        for (int64_t j = 0; j < columns; ++j) {
            const std::uint32_t bits = rounded(x[j]) << 16;
            __builtin_memcpy(x + j, &bits, sizeof bits);
        }
}

void pair_columns(const float* x, int64_t stride, int64_t rows, int64_t columns, std::uint32_t* out,
                  int64_t out_stride) {
    for (int64_t i = 0; i < rows; ++i, x += stride, out += out_stride) {
        for (int64_t j = 0; j < columns / 2; ++j) out[j] = rounded(x[2 * j]) | rounded(x[2 * j + 1]) << 16;
        if (columns % 2) out[columns / 2] = rounded(x[columns - 1]);
    }
}

void pair_rows(const float* even, const float* odd, int64_t columns, std::uint32_t* out) {
    if (odd)
        for (int64_t j = 0; j < columns; ++j) out[j] = rounded(even[j]) | rounded(odd[j]) << 16;
    else
        for (int64_t j = 0; j < columns; ++j) out[j] = rounded(even[j]);
}

template <int m, int vectors> constexpr void fill_tiles_of(Bfloat16Kernels& k) {
    k.tile[m - 1][vectors - 1] = pair_tile<m, vectors, PairOperand::row_major>;
    k.sparse[m - 1][vectors - 1] = pair_tile<m, vectors, PairOperand::sparse>;
    k.outer[m - 1][vectors - 1] = pair_tile<m, vectors, PairOperand::transposed>;
}
template <int m> constexpr void fill_tiles(Bfloat16Kernels& k) {
    if constexpr (m >= 1) {
        fill_tiles_of<m, 1>(k);
        fill_tiles_of<m, 2>(k);
        fill_tiles<m - 1>(k);
    }
}

extern const Bfloat16Kernels bfloat16;
constexpr Bfloat16Kernels bfloat16 = [] {
    Bfloat16Kernels k{};
    k.native = multiplies_pairs;
    k.round = round_elements;
    k.pair_columns = pair_columns;
    k.pair_rows = pair_rows;
    fill_tiles<row_tile>(k);
    return k;
}();

}  // namespace fastmlp::FASTMLP_ISA
