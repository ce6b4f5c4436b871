// The product of two matrices of the caller's: packs B, shares the tiles, copies C out of its padding.
#include "gemm.h"

namespace fastmlp {

template <class T>
void matmul(MatrixView<const T> a, bool transpose_a, MatrixView<const T> b, bool transpose_b, MatrixView<T> c,
            const Kernels<T>& kernels, int threads) {
    const int64_t m = c.rows, n = c.columns, k = transpose_a ? a.rows : a.columns;
    if (m == 0 || n == 0) return;
    const PanelShape shape{k, n, kernels.lanes};
    Buffer<T> panels(shape.size());
    if (transpose_b) {
        Matrix<T> turned(k, n);
        const MatrixView<T> t = turned.view();
        kernels.transpose(t.data, t.stride, b.data, b.stride, b.rows, b.columns);
        pack_panels(shape, t.data, t.stride, panels.data());
    } else {
        pack_panels(shape, b.data, b.stride, panels.data());
    }
    threads = useful_threads(threads, 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k));
    run_team(threads, [&](const Worker& worker) noexcept {
        for_each_tile(kernels.row_tile, m, shape, worker, [&](const Tile& tile) {
            alignas(alignment_bytes) T sums[max_row_tile * panel_width<T>];
            const int64_t width = shape.width_of(tile.panel);
            const T* packed = panels.data() + shape.offset_of(tile.panel);
            if (transpose_a)
                kernels.outer_tile[tile.rows - 1][shape.vectors_of(tile.panel) - 1](
                    {k, a.data + tile.row, a.stride, packed, width, Prefetch{}}, sums);
            else
                panel_tile(kernels, a, shape, panels.data(), tile, sums, width);
            copy_tile(shape, tile, sums, c);
        });
    });
}

template void matmul(MatrixView<const float>, bool, MatrixView<const float>, bool, MatrixView<float>,
                     const Kernels<float>&, int);
template void matmul(MatrixView<const double>, bool, MatrixView<const double>, bool, MatrixView<double>,
                     const Kernels<double>&, int);

}  // namespace fastmlp
