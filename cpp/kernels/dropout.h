// Dropout: which units of a row are kept, from a generator without state.
#pragma once

#include "kernel_table.h"
#include "mixing.h"
#include "simd/simd.h"

namespace fastmlp::FASTMLP_ISA {

// 32 bits that depend on every bit of the row's key and of the unit's number: multiplications carry low bits up, shifts
// carry high bits down. The constants are odd and have no pattern in their bits.
inline std::uint32_t dropout_bits(std::uint64_t key, std::uint32_t unit) {
    std::uint32_t x = unit * 0x9E3779B1u + static_cast<std::uint32_t>(key);
    x = (x ^ x >> 16) * 0x21F0AAADu + static_cast<std::uint32_t>(key >> 32);
    x = (x ^ x >> 15) * 0x735A2D97u;
    return x ^ x >> 15;
}

template <class T>
void dropout_kernel(T* out, int64_t out_stride, const T* in, int64_t in_stride, int64_t rows, int64_t columns,
                    std::uint64_t key, int64_t first_row, int64_t first_unit, const std::int32_t* units,
                    std::uint32_t threshold, T scale, T* also) {
    using V = Vec<T>;
    constexpr int64_t block = 64;
    alignas(alignment_bytes) T factors[block] = {};
    for (int64_t i = 0; i < rows; ++i, out += out_stride, in += in_stride) {
        const std::uint64_t of_row = mixed(key + static_cast<std::uint64_t>(first_row + i));
        const auto factor = [&](int64_t unit) {
            return dropout_bits(of_row, static_cast<std::uint32_t>(unit)) >= threshold ? scale : T(0);
        };
        for (int64_t begin = 0; begin < columns; begin += block) {
            const int64_t size = columns - begin < block ? columns - begin : block;
            // loops of any length, which the compiler makes loops over vectors
            if (units)
                for (int64_t j = 0; j < size; ++j) factors[j] = factor(units[begin + j]);
            else
                for (int64_t j = 0; j < size; ++j) factors[j] = factor(first_unit + begin + j);
            for (int64_t j = 0; j < size; j += V::lanes)
                (V::load(in + begin + j) * V::load(factors + j)).store(out + begin + j);
            if (!also) continue;
            T* const p = also + i * in_stride + begin;
            for (int64_t j = 0; j < size; j += V::lanes) (V::load(p + j) * V::load(factors + j)).store(p + j);
        }
    }
}

}  // namespace fastmlp::FASTMLP_ISA
