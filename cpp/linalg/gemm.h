// Blocked, parallel matrix products over register tiles.
//
// Legend: C (m, n) = A (m, k) * B (k, n). B lies in panels (see PanelShape) or is row-major with padded rows.
// Loop order, outside in:
//   panel of B        about k * 128 bytes; stays in L2 over all row tiles
//     row tile of A   row_tile * k elements; streams from L2, or from L3 if the batch is large
//       k             the accumulators stay in registers
// Workers share the tiles in this order, so that each mostly computes the same panels: its part of the weights stays
// in the L2 cache of its core. Outer products take a block of row tiles for all panels of a worker first.
#pragma once

#include "matrix.h"
#include "team.h"

namespace fastmlp {

// A tile of a product: rows [row, row + rows) of A, the columns of one panel.
struct Tile {
    int64_t row, rows, panel;
    int64_t row_tile;     // which of the row tiles it is
    int64_t block;        // the first row tile of its block
    int64_t panels_left;  // that this worker computes for the whole block next, with this one
    Range next;           // the rows of the worker's next tile if they may be in another core's cache; else empty
};

// How many tiles the rows of a product are cut into: as few as possible, or up to half as many more where the workers
// then take less time, because the tiles divide among them. A tile costs its rows and, once more, about a row; lower
// ones than `least_height` waste the multiply-adders.
inline int64_t row_tiles(int row_tile, int64_t rows, int64_t panels, int workers) {
    constexpr int64_t least_height = 7;
    const int64_t least = (rows + row_tile - 1) / row_tile;
    int64_t best = least, best_time = INT64_MAX;
    if (workers > 1)
        for (int64_t tiles = least; 2 * tiles <= 3 * least && rows / tiles >= least_height; ++tiles) {
            const int64_t rounds = (tiles * panels + workers - 1) / workers, height = (rows + tiles - 1) / tiles;
            if (rounds * (height + 1) < best_time) best = tiles, best_time = rounds * (height + 1);
        }
    return best;
}

// The row tiles of a product of `rows` rows; their heights differ by at most one.
class RowTiles {
public:
    RowTiles(int64_t rows, int64_t tiles) : count_(tiles), height_(rows / tiles), taller_(rows % tiles) {}
    int64_t count() const { return count_; }
    Range rows(int64_t tile) const { return {begin(tile), begin(tile + 1)}; }
    int64_t begin(int64_t tile) const { return tile * height_ + std::min(tile, taller_); }

private:
    int64_t count_, height_, taller_;  // the first `taller_` tiles have a row more
};

// Calls f(tile) for each of this worker's tiles of a product of `rows` rows. In its first pass over the rows, a worker
// reads rows that others have written, which are still in their cores' caches; they are prefetched one tile ahead.
// Each worker has some panels; it computes the row tiles of a block for all of them before those of the next block.
template <class F>
void for_each_tile(int row_tile, int64_t rows, const PanelShape& shape, const Worker& worker, F f,
                   int64_t block_tiles = INT64_MAX) {
    if (rows == 0) return;
    const int64_t panels = shape.panels(), group_panels = (panels + worker.count - 1) / worker.count;
    const RowTiles tiles(rows, row_tiles(row_tile, rows, panels, worker.count));
    block_tiles = std::clamp<int64_t>(block_tiles, 1, tiles.count());
    int64_t near = worker.count > 1 ? 1 : tiles.count();
    worker.share_out_ranges(tiles.count() * panels, [&](Range range) {
        for (int64_t i = range.begin; i < range.end;) {
            const int64_t first_panel = i / (tiles.count() * group_panels) * group_panels;
            const int64_t of_group = std::min(group_panels, panels - first_panel);
            const int64_t in_group = i - first_panel * tiles.count();
            const int64_t first_tile = in_group / (block_tiles * of_group) * block_tiles;
            const int64_t of_block = std::min(block_tiles, tiles.count() - first_tile);
            const int64_t in_block = in_group - first_tile * of_group;
            const int64_t panel = first_panel + in_block / of_block;
            const int64_t panels_left = std::min(range.end - i, of_block * of_group - in_block) / of_block;
            int64_t tile = first_tile + in_block % of_block;
            for (const int64_t end = std::min(range.end, i + first_tile + of_block - tile); i < end; ++i, ++tile) {
                const Range own = tiles.rows(tile);
                const int64_t next = tile + 1 == tiles.count() ? 0 : tile + 1;
                f(Tile{own.begin, own.size(), panel, tile, first_tile, panels_left,
                       near++ < tiles.count() ? tiles.rows(next) : Range{0, 0}});
            }
        }
    });
}

template <class T> Prefetch prefetch_rows(MatrixView<const T> a, Range rows) {
    Prefetch prefetch;
    prefetch.from[0] = static_cast<const char*>(static_cast<const void*>(a.row(rows.begin)));
    prefetch.bytes = rows.size() * a.stride * static_cast<int64_t>(sizeof(T));
    return prefetch;
}

// Rows of a tile of C = A * panels at most. Where the panels have few rows, C needs no tile of registers.
template <class T> int tile_height(const Kernels<T>& kernels, const PanelShape& shape) {
    return shape.rows > 0 && shape.rows <= kernels.row_tile ? 32 : kernels.row_tile;
}

// One tile of C = A * panels.
template <class T>
void panel_tile(const Kernels<T>& kernels, MatrixView<const T> a, const PanelShape& shape, const T* panels,
                const Tile& tile, T* c, int64_t c_stride) {
    const int64_t vectors = shape.vectors_of(tile.panel);
    if (shape.rows > 0 && shape.rows <= kernels.row_tile)
        return kernels.gemm_short[shape.rows - 1][vectors - 1](tile.rows, a.row(tile.row), a.stride,
                                                               panels + shape.offset_of(tile.panel), c, c_stride);
    kernels.gemm_tile[tile.rows - 1][vectors - 1](
        {shape.rows, a.row(tile.row), a.stride, panels + shape.offset_of(tile.panel), vectors * shape.lanes,
         prefetch_rows(a, tile.next)},
        c, c_stride);
}

// The same for a sparse A, which holds only the columns that belong to rows rows_of_b[0 .. a.columns) of B.
template <class T>
void panel_tile_sparse(const Kernels<T>& kernels, MatrixView<const T> a, const PanelShape& shape, const T* panels,
                       const std::int32_t* rows_of_b, const Tile& tile, T* c, int64_t c_stride) {
    const int64_t vectors = shape.vectors_of(tile.panel);
    kernels.gemm_sparse[tile.rows - 1][vectors - 1](
        {a.columns, a.row(tile.row), a.stride, panels + shape.offset_of(tile.panel), vectors * shape.lanes,
         prefetch_rows(a, tile.next), rows_of_b},
        c, c_stride);
}

// Copies a tile's sums, one row after another, to its place in the caller's c, which has no padding.
template <class T> void copy_tile(const PanelShape& shape, const Tile& tile, const T* sums, MatrixView<T> c) {
    const int64_t width = shape.width_of(tile.panel), first = tile.panel * shape.full_width();
    for (int64_t i = 0; i < tile.rows; ++i)
        std::copy_n(sums + i * width, std::min(width, c.columns - first), c.row(tile.row + i) + first);
}

// One tile of C = Aᵀ * B, with A (k, m) and B (k, n) row-major, where C has the layout of panels.
template <class T> struct OuterProduct {
    const Kernels<T>& kernels;
    MatrixView<const T> a, b;  // from the tile's first column on
    int64_t rows, vectors;     // of the tile
    int64_t offset;            // of the tile in the panels; of the whole panel if `row_index` is not null
    // The rows of the panel that the tile's rows update; null: they follow each other from `offset` on.
    const std::int32_t* row_index;

    int64_t size() const { return rows * vectors * kernels.lanes; }
    Product<T> product(const Prefetch& prefetch) const {
        return {a.rows, a.data, a.stride, b.data, b.stride, prefetch};
    }
    void compute(T* tile, const Prefetch& prefetch) const {
        kernels.outer_tile[rows - 1][vectors - 1](product(prefetch), tile);
    }
    // Updates the weights with the product as their gradient, by a rule without state; `weights` are all panels.
    void update(UpdateKind kind, T* weights, const Prefetch& prefetch, const UpdateRule<T>& rule) const {
        kernels.outer_update[static_cast<int>(kind)][rows - 1][vectors - 1](product(prefetch), weights + offset,
                                                                            row_index, rule);
    }
    // Computes the product while the parameters of an earlier tile are updated.
    void compute_and_update(UpdateKind kind, T* tile, const Prefetch& prefetch, const TileUpdate<T>& earlier,
                            const UpdateRule<T>& rule) const {
        kernels.outer_overlap[static_cast<int>(kind)][rows - 1][vectors - 1](product(prefetch), tile, earlier, rule);
    }
};

// Inlined: the call would cost a small tile some per cent.
template <class T>
[[gnu::always_inline]] inline OuterProduct<T> outer_product(const Kernels<T>& kernels, MatrixView<const T> a,
                                                            MatrixView<const T> b, const PanelShape& shape, int64_t row,
                                                            int64_t rows, int64_t panel,
                                                            const std::int32_t* row_index = nullptr) {
    a.data += row;
    b.data += panel * shape.full_width();
    const int64_t offset = shape.offset_of(panel) + (row_index ? 0 : row * shape.width_of(panel));
    return {kernels, a, b, rows, shape.vectors_of(panel), offset, row_index ? row_index + row : nullptr};
}

// c (m, n) = op(a) * op(b), where op transposes or not. All row-major and unpadded. Throws std::bad_alloc.
template <class T>
void matmul(MatrixView<const T> a, bool transpose_a, MatrixView<const T> b, bool transpose_b, MatrixView<T> c,
            const Kernels<T>& kernels, int threads);

}  // namespace fastmlp
