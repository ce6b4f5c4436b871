// One register tile of a matrix product: C (m, n) = A (m, k) * B (k, n), with n one or two vectors.
//
// Legend: m rows of the tile (1 .. row_tile), n its columns, k the summed dimension; kk runs over k.
// Nothing is packed here: A is read by broadcasts, directly from row-major activations or from their
// transpose (an outer product of two contiguous rows), B by whole vectors. The tile stays in registers over
// all of k. An element of C is one chain of multiply-adds (fused, but on generic) over kk = 0 .. k-1, starting from
// zero, for every height and width of the tile: its bits do not depend on its position in the matrix.
//
// A tile also prefetches data that its caller reads next, spread over the iterations of k: fifty lines at once would fill
// the core's miss buffers and stall it.
#pragma once

#include "row_kernels.h"
#include "updates.h"

namespace fastmlp::FASTMLP_ISA {

template <class T, int m, int vectors> inline void set_zero(Vec<T> (&sum)[m][vectors]) {
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) sum[i][j] = Vec<T>::zero();
}

template <class T, int m, int vectors> inline void load_tile(Vec<T> (&sum)[m][vectors], const T* c, int64_t c_stride) {
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) sum[i][j] = Vec<T>::load(c + i * c_stride + j * Vec<T>::lanes);
}

template <class T, int m, int vectors> inline void store_tile(const Vec<T> (&sum)[m][vectors], T* c) {
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) sum[i][j].store(c + (i * vectors + j) * Vec<T>::lanes);
}

// What a row of A holds: all kk of a row of the tile, or (A transposed) all rows of the tile for one kk.
enum class Operand { row_major, transposed };

// Adds the products of kk = 0 .. k-1 to the sums. With `prefetches`, iteration kk prefetches line + kk * line_stride. With
// the widest vectors two iterations share a prefetch of one line: one each takes four per cent of a tile's time there.
template <class T, int m, int vectors, Operand operand, bool prefetches, bool sparse = false>
inline void accumulate_tile(const Product<T>& product, const char* line, int64_t line_stride,
                            Vec<T> (&sum)[m][vectors]) {
    using V = Vec<T>;
    const auto [k, a_begin, a_stride, b_begin, b_stride, prefetch, rows_of_b, continues] = product;
    const T *a = a_begin, *b = b_begin;
    int64_t kk = 0;
    const auto iterate = [&]() __attribute__((always_inline)) {
        V b_row[vectors];
        FOR_UNROLLED(j, vectors) b_row[j] = V::load((sparse ? b + rows_of_b[kk] * b_stride : b) + j * V::lanes);
        FOR_UNROLLED(i, m) {
            const V a_i = V::broadcast(operand == Operand::row_major ? a[i * a_stride] : a[i]);
            FOR_UNROLLED(j, vectors) sum[i][j] = fma(a_i, b_row[j], sum[i][j]);
        }
        a += operand == Operand::row_major ? 1 : a_stride;
        if (!sparse) b += b_stride;
        ++kk;
    };
    constexpr int period = sizeof(V) == alignment_bytes ? 2 : 1;
    const bool lines_differ = period * line_stride > alignment_bytes;
    while (prefetches && kk + period <= k) {
        FOR_UNROLLED(i, period) iterate();
        __builtin_prefetch(line);
        if (period > 1 && lines_differ) __builtin_prefetch(line + line_stride);
        line += period * line_stride;
    }
    if (prefetches && kk < k) __builtin_prefetch(line);
    while (kk < k) iterate();
}

// Prefetches cost two per cent, so they are left out where the next rows are in the core's own cache.
template <class T, int m, int vectors, bool sparse>
[[gnu::always_inline]] inline void gemm_tile(const Product<T>& product, T* c, int64_t c_stride) {
    constexpr Operand rows = Operand::row_major;
    const int64_t k = product.k, bytes = product.prefetch.bytes;
    Vec<T> sum[m][vectors];
    if (product.continues)
        load_tile<T>(sum, c, c_stride);
    else
        set_zero<T>(sum);
    if (bytes > 0 && k > 0)  // k is 0 where all inputs are zero
        accumulate_tile<T, m, vectors, rows, true, sparse>(product, product.prefetch.from[0], (bytes + k - 1) / k, sum);
    else
        accumulate_tile<T, m, vectors, rows, false, sparse>(product, nullptr, 0, sum);
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) sum[i][j].store(c + i * c_stride + j * Vec<T>::lanes);
}

template <class T, int m, int vectors> void gemm_tile_kernel(const Product<T>& product, T* c, int64_t c_stride) {
    gemm_tile<T, m, vectors, false>(product, c, c_stride);
}

template <class T, int m, int vectors> void gemm_sparse_kernel(const Product<T>& product, T* c, int64_t c_stride) {
    gemm_tile<T, m, vectors, true>(product, c, c_stride);
}

// Any number of rows times a B of so few rows, m, that all of it stays in the registers.
template <class T, int m, int vectors>
void gemm_short_kernel(int64_t rows, const T* a, int64_t a_stride, const T* b, T* c, int64_t c_stride) {
    using V = Vec<T>;
    V b_row[m][vectors];
    load_tile<T>(b_row, b, vectors * V::lanes);
    for (; rows > 0; --rows, a += a_stride, c += c_stride) {
        V sum[vectors];
        FOR_UNROLLED(j, vectors) sum[j] = V::zero();
        FOR_UNROLLED(kk, m) {
            const V a_k = V::broadcast(a[kk]);
            FOR_UNROLLED(j, vectors) sum[j] = fma(a_k, b_row[kk][j], sum[j]);
        }
        FOR_UNROLLED(j, vectors) sum[j].store(c + j * V::lanes);
    }
}

// Blocks of rows, one in each lane, times the n columns of a B of one vector.
template <class T, int n, int blocks>
inline void gemm_narrow_blocks(int64_t k, const T* a, int64_t a_stride, const T* b, T* c, int64_t c_stride) {
    using V = Vec<T>;
    constexpr int lanes = V::lanes;
    V sum[blocks][n];
    set_zero<T>(sum);
    T columns[blocks][lanes * lanes];
    for (int64_t begin = 0; begin < k; begin += lanes) {
        FOR_UNROLLED(i, blocks) transpose_block<T>(columns[i], lanes, a + i * lanes * a_stride + begin, a_stride);
        const int64_t end = k - begin < lanes ? k - begin : lanes;
        for (int64_t kk = 0; kk < end; ++kk, b += lanes)
            FOR_UNROLLED(j, n) {
                const V b_j = V::broadcast(b[j]);
                FOR_UNROLLED(i, blocks) sum[i][j] = fma(V::load(columns[i] + kk * lanes), b_j, sum[i][j]);
            }
    }
    FOR_UNROLLED(i, blocks) {
        T rows[lanes * lanes] = {};
        FOR_UNROLLED(j, n) sum[i][j].store(rows + j * lanes);
        transpose_block<T>(c + i * lanes * c_stride, c_stride, rows, lanes);
    }
}

// With fewer lanes, transposing costs as much as the padding of a tile.
inline constexpr int least_narrow_lanes = 16;

// At least `lanes` rows; the last block may compute rows again. Several blocks at once where n is too small to keep the
// multiply-adders busy.
template <class T, int n>
void gemm_narrow_kernel(int64_t rows, int64_t k, const T* a, int64_t a_stride, const T* b, T* c, int64_t c_stride) {
    constexpr int lanes = Vec<T>::lanes, blocks = n <= 2 ? 4 : n <= 4 ? 2 : 1;
    int64_t i = 0;
    for (; i + blocks * lanes <= rows; i += blocks * lanes)
        gemm_narrow_blocks<T, n, blocks>(k, a + i * a_stride, a_stride, b, c + i * c_stride, c_stride);
    for (; i < rows; i += lanes) {
        if (i + lanes > rows) i = rows - lanes;
        gemm_narrow_blocks<T, n, 1>(k, a + i * a_stride, a_stride, b, c + i * c_stride, c_stride);
    }
}

// One row times four full panels at once. A tile of one row has two chains of additions, each limited by its latency;
// eight of them keep the multiply-adders busy.
template <class T>
void gemm_row_kernel(int64_t k,
                     const T* a,                        // (k)
                     const T* b, int64_t panel_stride,  // four panels (k, 2 * lanes), panel_stride apart
                     T* c) {                            // (4 * 2 * lanes)
    using V = Vec<T>;
    constexpr int width = panel_vectors * V::lanes;
    V sum[row_panels][panel_vectors];
    FOR_UNROLLED(p, row_panels)
        FOR_UNROLLED(j, panel_vectors) sum[p][j] = V::zero();
    for (int64_t kk = 0; kk < k; ++kk) {
        const V a_k = V::broadcast(a[kk]);
        FOR_UNROLLED(p, row_panels)
            FOR_UNROLLED(j, panel_vectors)
                sum[p][j] = fma(a_k, V::load(b + p * panel_stride + kk * width + j * V::lanes), sum[p][j]);
    }
    FOR_UNROLLED(p, row_panels)
        FOR_UNROLLED(j, panel_vectors) sum[p][j].store(c + p * width + j * V::lanes);
}

// The sums of an outer product. The iterations of k are divided evenly among the ranges to prefetch; after every
// `period` iterations, between() is called.
template <class T, int m, int vectors, class Between>
inline void accumulate_outer(const Product<T>& product, Vec<T> (&sum)[m][vectors], int64_t period, Between between) {
    set_zero<T>(sum);
    const Prefetch& prefetch = product.prefetch;
    const int64_t range = product.k / prefetch.count + 1, line_stride = (prefetch.bytes + range - 1) / range;
    Product<T> rest = product;
    const char* const* from = prefetch.from;
    for (int64_t k = product.k; k > 0; ++from, k -= range) {
        const char* line = *from;
        for (int64_t left = k < range ? k : range; left > 0; left -= rest.k) {
            rest.k = left < period ? left : period;
            accumulate_tile<T, m, vectors, Operand::transposed, true>(rest, line, line_stride, sum);
            rest.a += rest.k * rest.a_stride;
            rest.b += rest.k * rest.b_stride;
            line += rest.k * line_stride;
            between();
        }
    }
}

template <class T, int m, int vectors> void outer_tile_kernel(const Product<T>& product, T* c) {
    Vec<T> sum[m][vectors];
    accumulate_outer<T>(product, sum, product.k, [] {});
    store_tile<T>(sum, c);
}

// Updates w, (.., vectors * lanes), while its gradient is in registers: row i of the tile is the gradient of row
// row_index[i] of w, or of row i if `row_index` is null.
template <class T, int m, int vectors, UpdateKind kind>
void outer_update_kernel(const Product<T>& product, T* w, const std::int32_t* row_index, const UpdateRule<T>& rule) {
    using V = Vec<T>;
    using U = UpdateOf<T, kind>;
    constexpr int64_t width = vectors * V::lanes;  // a panel may have more than 2^31 elements
    T* row[m];
    FOR_UNROLLED(i, m) row[i] = w + (row_index ? row_index[i] : i) * width;
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) __builtin_prefetch(row[i] + j * V::lanes, 1);  // read when the sums are complete
    V sum[m][vectors];
    accumulate_outer<T>(product, sum, product.k, [] {});
    // the penalty's seven operations a vector are a fifth of a small batch's tile
    if (rule.l1 == 0 && rule.l2 == 0 && rule.soft_threshold == 0) {
        FOR_UNROLLED(i, m)
            FOR_UNROLLED(j, vectors) {
                T* p = row[i] + j * V::lanes;
                U::step(V::load(p), sum[i][j], nullptr, rule).store(p);
            }
        return;
    }
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) {
            T* p = row[i] + j * V::lanes;
            const V w = V::load(p);
            const V moved = U::step(w, penalized<T>(w, sum[i][j], rule), nullptr, rule);
            soft_thresholded<T>(moved, U::threshold(nullptr, rule)).store(p);
        }
}

// Between the iterations of k the parameters of an earlier tile are updated, a vector at a time: roots and divisions
// overlap with multiply-adds. What remains is the latency of the states in L2, or beyond it where they do not fit.
template <class T, int m, int vectors, UpdateKind kind>
void outer_overlap_kernel(const Product<T>& product, T* c, const TileUpdate<T>& earlier, const UpdateRule<T>& rule) {
    Vec<T> sum[m][vectors];
    const int64_t k = product.k, updates = earlier.rows * earlier.vectors;
    const int64_t period = updates == 0 ? k : k < updates ? 1 : k / updates;
    int64_t i = 0;
    accumulate_outer<T>(product, sum, period, [&] {
        if (i < updates) update_vector_of_tile<T, kind>(earlier, i++, rule);
    });
    while (i < updates) update_vector_of_tile<T, kind>(earlier, i++, rule);
    store_tile<T>(sum, c);
}

}  // namespace fastmlp::FASTMLP_ISA
