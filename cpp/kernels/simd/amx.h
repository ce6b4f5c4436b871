// The tile registers of AMX: a tile is 16 rows of 64 bytes at most.
//
// Their shape takes some 200 cycles to load, as long as the products of 200 pairs. So it stays until the thread loads
// another one, or releases it at the end of its work.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace fastmlp::FASTMLP_ISA {

inline constexpr int tile_rows = 16;

inline thread_local int loaded_rows = 0;  // of this thread's shape; 0: none is loaded

inline bool any_loaded = false;  // by any thread; otherwise none needs memory for its own number

inline void release_shape() {
    if (!__atomic_load_n(&any_loaded, __ATOMIC_RELAXED) || loaded_rows == 0) return;
    _tile_release();
    loaded_rows = 0;
}

// The tiles of a product C (m, vectors * 16) += A (m, 16 pairs) * B (16 pairs, vectors * 16), where m is 32 at most.
// Registers: C is 0 and 1, and 2 and 3 from row 16 on; A is 4, and 5 from row 16 on; B is 6 and 7. An instruction on C
// waits for the one before it three times as long as it computes: all four are in use where C is as large as that.
template <int m, int vectors> class ProductTiles {
public:
    ProductTiles() {
        if (loaded_rows != m) load_shape();
        _tile_zero(0);
        if constexpr (vectors > 1) _tile_zero(1);
        if constexpr (m > tile_rows) _tile_zero(2);
        if constexpr (m > tile_rows && vectors > 1) _tile_zero(3);
    }

    // Strides in bytes.
    void add(const char* a, std::int64_t a_stride, const char* b, std::int64_t b_stride) {
        _tile_loadd(4, a, a_stride);
        _tile_loadd(6, b, b_stride);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (vectors > 1) {
            _tile_loadd(7, b + 64, b_stride);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (m > tile_rows) {
            _tile_loadd(5, a + tile_rows * a_stride, a_stride);
            _tile_dpbf16ps(2, 5, 6);
            if constexpr (vectors > 1) _tile_dpbf16ps(3, 5, 7);
        }
    }
    void store(char* c, std::int64_t stride) {
        _tile_stored(0, c, stride);
        if constexpr (vectors > 1) _tile_stored(1, c + 64, stride);
        if constexpr (m > tile_rows) _tile_stored(2, c + tile_rows * stride, stride);
        if constexpr (m > tile_rows && vectors > 1) _tile_stored(3, c + tile_rows * stride + 64, stride);
    }

private:
    static void load_shape() {
        struct alignas(64) {
            std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
            std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            std::uint8_t rows[16] = {};
        } shape;
        constexpr int upper = m < tile_rows ? m : tile_rows, lower = m > tile_rows ? m - tile_rows : upper;
        shape.rows[0] = shape.rows[1] = shape.rows[4] = static_cast<std::uint8_t>(upper);
        shape.rows[2] = shape.rows[3] = shape.rows[5] = static_cast<std::uint8_t>(lower);
        shape.rows[6] = shape.rows[7] = tile_rows;
        _tile_loadconfig(&shape);
        __atomic_store_n(&any_loaded, true, __ATOMIC_RELAXED);
        loaded_rows = m;
    }
};

}  // namespace fastmlp::FASTMLP_ISA
