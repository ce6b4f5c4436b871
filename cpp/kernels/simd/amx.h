// The tile registers of AMX: a tile is 16 rows of 64 bytes at most.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace fastmlp::FASTMLP_ISA {

// The tiles of a product C (m, vectors * 16) += A (m, 16 pairs) * B (16 pairs, vectors * 16), while one lives. Registers: A
// is 2, B is 3 and 4, C is 0 and 1.
class ProductTiles {
public:
    explicit ProductTiles(int m) {
        struct alignas(64) {
            std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
            std::uint16_t bytes[16] = {64, 64, 64, 64, 64};
            std::uint8_t rows[16] = {};
        } shape;
        shape.rows[0] = shape.rows[1] = shape.rows[2] = static_cast<std::uint8_t>(m);
        shape.rows[3] = shape.rows[4] = 16;
        _tile_loadconfig(&shape);
        _tile_zero(0);
        _tile_zero(1);
    }
    ~ProductTiles() { _tile_release(); }

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
};

}  // namespace fastmlp::FASTMLP_ISA
