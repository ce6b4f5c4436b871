// The product of two matrices of the caller's in bfloat16: rounds them to pairs, shares the tiles.
#include "bfloat16.h"

#include "gemm.h"

namespace fastmlp {

namespace {

// (rows, columns) row-major; `turned` holds the transpose if it is needed.
MatrixView<const float> oriented(MatrixView<const float> matrix, bool transpose, const Kernels<float>& kernels,
                                 Matrix<float>& turned) {
    if (!transpose) return matrix;
    turned = Matrix<float>(matrix.columns, matrix.rows);
    const MatrixView<float> t = turned.view();
    kernels.transpose(t.data, t.stride, matrix.data, matrix.stride, matrix.rows, matrix.columns);
    return t;
}

}  // namespace

void pair_panels(const Bfloat16Kernels& kernels, const PanelShape& shape, MatrixView<const float> from,
                 std::uint32_t* panels) noexcept {
    for (int64_t panel = 0; panel < shape.panels(); ++panel) {
        const int64_t width = shape.width_of(panel), first = panel * shape.full_width();
        const int64_t columns = std::min(width, shape.columns - first);
        std::uint32_t* pairs = panels + shape.offset_of(panel);
        for (int64_t i = 0; 2 * i < from.rows; ++i, pairs += width)
            kernels.pair_rows(from.row(2 * i) + first, 2 * i + 1 < from.rows ? from.row(2 * i + 1) + first : nullptr,
                              columns, pairs);
    }
}

void matmul_bfloat16(MatrixView<const float> a, bool transpose_a, MatrixView<const float> b, bool transpose_b,
                     MatrixView<float> c, const Kernels<float>& kernels, const Bfloat16Kernels& pairs, int threads) {
    const int64_t m = c.rows, n = c.columns, k = transpose_a ? a.rows : a.columns;
    Matrix<float> turned_a, turned_b;
    const MatrixView<const float> left = oriented(a, transpose_a, kernels, turned_a);
    const MatrixView<const float> right = oriented(b, transpose_b, kernels, turned_b);
    const int64_t count = (k + 1) / 2;
    const PanelShape shape{round_up(count, pair_block), n, kernels.lanes};
    Matrix<std::uint32_t> rows(m, shape.rows);
    Buffer<std::uint32_t> panels(shape.size());
    const MatrixView<std::uint32_t> of_a = rows.view();
    pairs.pair_columns(left.data, left.stride, m, k, of_a.data, of_a.stride);
    pair_panels(pairs, shape, right, panels.data());
    threads = useful_threads(threads, 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k));
    run_team(threads, [&](const Worker& worker) noexcept {
        for_each_tile(pairs.row_tile, m, shape, worker, [&](const Tile& tile) {
            alignas(alignment_bytes) float sums[max_pair_tile * panel_width<float>];
            pairs.tile[tile.rows - 1][shape.vectors_of(tile.panel) - 1](
                {count, of_a.row(tile.row), of_a.stride, panels.data() + shape.offset_of(tile.panel)}, sums,
                shape.width_of(tile.panel));
            copy_tile(shape, tile, sums, c);
        });
    });
}

}  // namespace fastmlp
