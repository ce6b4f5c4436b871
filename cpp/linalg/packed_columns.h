// Copies of the columns that outer products read, tile by tile.
#pragma once

#include "gemm.h"

namespace fastmlp {

// Of one worker, for one product at a time. An outer product reads a few columns of each row of A: a line or two per
// row, of which the rest is gone from the L1 cache before the next tile needs it. A copy of a tile's columns is one
// short stream. It pays if many panels use it.
template <class T> class PackedColumns {
public:
    // For products of at most so many rows. Throws std::bad_alloc.
    PackedColumns(const Kernels<T>& kernels, int64_t rows)
        : kernels_(kernels), rows_(rows), memory_(std::max(block_size, kernels.row_tile * rows), Fill::nothing) {}

    int64_t rows() const { return rows_; }
    // How many tiles of A a worker takes for all its panels, before it takes the next tiles: those in a part of an L2
    // cache.
    static int64_t block_tiles(const Kernels<T>& kernels, int64_t rows) {
        return std::clamp<int64_t>(block_size / (kernels.row_tile * rows), 1, 64);
    }
    // Whether copies pay for so many panels: they cost as much as the tiles of about one.
    static bool pays(const Kernels<T>& kernels, int64_t rows, int64_t panels) {
        return rows >= 64 && panels * kernels.row_tile >= 72;
    }
    void begin_product() noexcept { block_ = -1; }
    // The columns of `a` from the tile's first one on: a copy, if the tile has one or enough panels will read it.
    MatrixView<const T> columns_of(const Tile& tile, MatrixView<const T> a) noexcept {
        a.data += tile.row;
        if (tile.block != block_) block_ = tile.block, packed_ = 0;
        const int64_t position = tile.row_tile - tile.block;
        const std::uint64_t bit = std::uint64_t{1} << position;
        T* const copy = memory_.data() + position * kernels_.row_tile * a.rows;
        if (!(packed_ & bit)) {
            if (!pays(kernels_, a.rows, tile.panels_left)) return a;
            kernels_.pack_columns(copy, a.data, a.stride, a.rows, tile.rows);
            packed_ |= bit;
        }
        return {copy, a.rows, tile.rows, tile.rows};
    }

private:
    static constexpr int64_t block_size = 128 * 1024 / static_cast<int64_t>(sizeof(T));

    const Kernels<T>& kernels_;
    int64_t rows_;
    Buffer<T> memory_;
    int64_t block_ = -1;        // the first tile of the current block
    std::uint64_t packed_ = 0;  // a bit for each tile of it
};

}  // namespace fastmlp
