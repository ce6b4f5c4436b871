// Products of bfloat16 matrices, for the instruction set that this file is compiled for.
//
// Legend as in gemm_kernel.h, but two kk make a pair: the even one in the lower half of 32 bits, the odd one above. The
// sums are float, in one of the orders of processors that multiply pairs (PairOrder). All others compute the same bits
// with float's multiply-adds.
#include "kernel_table.h"
#include "simd/simd.h"

namespace fastmlp::FASTMLP_ISA {

#ifdef __AVX512BF16__
constexpr bool multiplies_pairs = true;
#else
constexpr bool multiplies_pairs = false;
Vec<float> add_products(Pairs a, Pairs b, Vec<float> c);  // never called
#endif

template <int m, int vectors, bool sparse> void chain_tile(const PairProduct& product, float* c, int64_t c_stride) {
    using V = Vec<float>;
    constexpr int64_t width = vectors * V::lanes;  // a panel may have more than 2^31 elements
    const std::uint32_t *a = product.a, *b = product.b;
    V sum[m][vectors];
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) sum[i][j] = V::zero();
    for (int64_t k = 0; k < product.pairs; ++k, ++a, b += vectors * V::lanes) {
        if (sparse) b = product.b + product.rows_of_b[k] * width;
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

// The order of AMX in float's multiply-adds: slow, so that models and tests do not depend on the processor.
void block_tile(int m, int vectors, const PairProduct& product, float* c, int64_t c_stride) {
    using V = Vec<float>;
    const int64_t width = vectors * V::lanes;
    const V one = V::broadcast(1), zero = V::zero();
    for (int i = 0; i < m; ++i)
        for (int j = 0; j < vectors; ++j) {
            V sum = zero;
            for (int64_t begin = 0; begin < product.pairs; begin += pair_block) {
                const int64_t end = product.pairs < begin + pair_block ? product.pairs : begin + pair_block;
                V even = zero, odd = zero;
                for (int64_t k = begin; k < end; ++k) {
                    const Pairs a = Pairs::broadcast(product.a[i * product.a_stride + k]);
                    const int64_t row = product.rows_of_b ? product.rows_of_b[k] : k;
                    const Pairs b = Pairs::load(product.b + row * width + j * V::lanes);
                    even = fma_to_zero(a.low(), b.low(), even);
                    odd = fma_to_zero(a.high(), b.high(), odd);
                }
                if (end - begin < pair_block) {  // the empty pairs make a negative zero positive
                    even = fma_to_zero(zero, zero, even);
                    odd = fma_to_zero(zero, zero, odd);
                }
                sum = fma_to_zero(one, fma_to_zero(one, even, odd), sum);
            }
            sum.store(c + i * c_stride + j * V::lanes);
        }
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

// From element j on, without the processor's instructions: of short rows, and of what is left of long ones.
void round_rest(float* x, int64_t j, int64_t columns) {
    for (; j < columns; ++j) {
        const std::uint32_t bits = rounded(x[j]) << 16;
        __builtin_memcpy(x + j, &bits, sizeof bits);
    }
}
void pair_rest_of_columns(const float* x, int64_t j, int64_t columns, std::uint32_t* out) {
    for (; j < columns / 2; ++j) out[j] = rounded(x[2 * j]) | rounded(x[2 * j + 1]) << 16;
    if (columns % 2) out[columns / 2] = rounded(x[columns - 1]);
}
void pair_rest_of_rows(const float* even, const float* odd, int64_t j, int64_t columns, std::uint32_t* out) {
    if (odd)
        for (; j < columns; ++j) out[j] = rounded(even[j]) | rounded(odd[j]) << 16;
    else
        for (; j < columns; ++j) out[j] = rounded(even[j]);
}

void round_elements(float* x, int64_t stride, int64_t rows, int64_t columns) {
    for (int64_t i = 0; i < rows; ++i, x += stride) {
        int64_t j = 0;
#ifdef __AVX512BF16__
        using V = Vec<float>;
        for (; j + V::lanes <= columns; j += V::lanes) Pairs::of(V::zero(), V::load(x + j)).high().store(x + j);
#endif
        round_rest(x, j, columns);
    }
}

void pair_columns(const float* x, int64_t stride, int64_t rows, int64_t columns, std::uint32_t* out,
                  int64_t out_stride) {
    for (int64_t i = 0; i < rows; ++i, x += stride, out += out_stride) {
        int64_t j = 0;
#ifdef __AVX512BF16__
        using V = Vec<float>;
        for (; j + V::lanes <= columns / 2; j += V::lanes)
            Pairs::of_neighbours(V::load(x + 2 * j), V::load(x + 2 * j + V::lanes)).store(out + j);
#endif
        pair_rest_of_columns(x, j, columns, out);
    }
}

void pair_rows(const float* even, const float* odd, int64_t columns, std::uint32_t* out) {
    int64_t j = 0;
#ifdef __AVX512BF16__
    using V = Vec<float>;
    for (; j + V::lanes <= columns; j += V::lanes)
        Pairs::of(V::load(even + j), odd ? V::load(odd + j) : V::zero()).store(out + j);
#endif
    pair_rest_of_rows(even, odd, j, columns, out);
}

template <int m, int vectors> constexpr void fill_tiles_of(Bfloat16Kernels& k, PairOrder order) {
    PairTile &tile = k.tile[m - 1][vectors - 1], &sparse = k.sparse[m - 1][vectors - 1];
    if (order == PairOrder::chain) {
        tile = chain_tile<m, vectors, false>;
        sparse = chain_tile<m, vectors, true>;
    } else {
        tile = sparse = [](const PairProduct& product, float* c, int64_t c_stride) {
            block_tile(m, vectors, product, c, c_stride);
        };
    }
}
template <int m> constexpr void fill_tiles(Bfloat16Kernels& k, PairOrder order) {
    if constexpr (m >= 1) {
        fill_tiles_of<m, 1>(k, order);
        fill_tiles_of<m, 2>(k, order);
        fill_tiles<m - 1>(k, order);
    }
}
constexpr Bfloat16Kernels kernels_of(PairOrder order) {
    Bfloat16Kernels k{};
    k.row_tile = row_tile;
    k.native = multiplies_pairs && order == PairOrder::chain;
    k.round = round_elements;
    k.pair_columns = pair_columns;
    k.pair_rows = pair_rows;
    fill_tiles<row_tile>(k, order);
    return k;
}

extern const Bfloat16Kernels bfloat16[count_of<PairOrder>];
constexpr Bfloat16Kernels bfloat16[] = {kernels_of(PairOrder::chain), kernels_of(PairOrder::blocks)};

}  // namespace fastmlp::FASTMLP_ISA
