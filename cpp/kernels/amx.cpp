// Products of bfloat16 matrices on AMX: 16 x 16 sums of 32 products each with one instruction.
//
// It has the lanes of AVX-512, whose kernels round.
#include "kernel_table.h"
#include "simd/amx.h"
#include "simd/simd.h"

namespace fastmlp::FASTMLP_ISA {

template <int m, int vectors, bool sparse> void amx_tile(const PairProduct& product, float* c, int64_t c_stride) {
    constexpr int64_t lanes = Vec<float>::lanes, width = vectors * lanes, bytes = 4;
    alignas(alignment_bytes) std::uint32_t rows[pair_block * width];  // of B, the chosen ones
    const auto at = [](auto* pointer) { return static_cast<const char*>(static_cast<const void*>(pointer)); };
    ProductTiles<m, vectors> tiles;
    const std::uint32_t* b = product.b;
    for (int64_t k = 0; k < product.pairs; k += pair_block, b += pair_block * width) {
        if (sparse) {
            const int64_t count = product.pairs - k < pair_block ? product.pairs - k : pair_block;
            for (int64_t i = 0; i < count; ++i)
                for (int64_t j = 0; j < width; ++j) rows[i * width + j] = product.b[product.rows_of_b[k + i] * width + j];
            for (int64_t i = count * width; i < pair_block * width; ++i) rows[i] = 0;
            b = rows;
        }
        tiles.add(at(product.a + k), product.a_stride * bytes, at(b), width * bytes);
    }
    tiles.store(static_cast<char*>(static_cast<void*>(c)), c_stride * bytes);
}

template <int m> constexpr void fill_tiles(Bfloat16Kernels& k) {
    if constexpr (m >= 1) {
        k.tile[m - 1][0] = amx_tile<m, 1, false>;
        k.tile[m - 1][1] = amx_tile<m, 2, false>;
        k.sparse[m - 1][0] = amx_tile<m, 1, true>;
        k.sparse[m - 1][1] = amx_tile<m, 2, true>;
        fill_tiles<m - 1>(k);
    }
}

void release_tiles() { release_shape(); }

extern const Bfloat16Kernels products;
constexpr Bfloat16Kernels products = [] {
    Bfloat16Kernels k{};
    k.native = true;
    k.row_tile = max_pair_tile;
    fill_tiles<max_pair_tile>(k);
    return k;
}();

}  // namespace fastmlp::FASTMLP_ISA
