// The tile registers of AMX: a tile is 16 rows of 64 bytes at most.
//
// Their shape takes some 200 cycles to load, as long as the products of 200 pairs. So it stays until the thread loads
// another one, or releases it at the end of its work.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace fastmlp::FASTMLP_ISA {

inline thread_local int loaded_rows = 0;  // of this thread's shape; 0: none is loaded

inline bool any_loaded = false;  // by any thread; otherwise none needs memory for its own number

inline void release_shape() {
    if (!__atomic_load_n(&any_loaded, __ATOMIC_RELAXED) || loaded_rows == 0) return;
    _tile_release();
    loaded_rows = 0;
}

// The tiles of a product C (m, vectors * 16) += A (m, 16 pairs) * B (16 pairs, vectors * 16). Registers: A is 2, B is
// 3 and 4, C is 0 and 1.
class ProductTiles {
public:
    explicit ProductTiles(int m) {
        if (loaded_rows != m) load_shape(m);
        _tile_zero(0);
        _tile_zero(1);
    }

    // Strides in bytes.
    void load_a(const void* a, std::int64_t stride) { _tile_loadd(2, a, stride); }
    void add_first(const void* b, std::int64_t stride) {
        _tile_loadd(3, b, stride);
        _tile_dpbf16ps(0, 2, 3);
    }
    void add_second(const void* b, std::int64_t stride) {
        _tile_loadd(4, b, stride);
        _tile_dpbf16ps(1, 2, 4);
    }
    void store_first(void* c, std::int64_t stride) { _tile_stored(0, c, stride); }
    void store_second(void* c, std::int64_t stride) { _tile_stored(1, c, stride); }

private:
    static void load_shape(int m) {
        struct alignas(64) {
            std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
            std::uint16_t bytes[16] = {64, 64, 64, 64, 64};
            std::uint8_t rows[16] = {};
        } shape;
        shape.rows[0] = shape.rows[1] = shape.rows[2] = static_cast<std::uint8_t>(m);
        shape.rows[3] = shape.rows[4] = 16;
        _tile_loadconfig(&shape);
        __atomic_store_n(&any_loaded, true, __ATOMIC_RELAXED);
        loaded_rows = m;
    }
};

}  // namespace fastmlp::FASTMLP_ISA
