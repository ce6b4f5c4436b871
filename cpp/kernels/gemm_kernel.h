// One register tile of a matrix product: C (m, n) = A (m, k) * B (k, n), with n one or two vectors.
//
// Legend: m rows of the tile (1 .. row_tile), n its columns, k the summed dimension; kk runs over k.
// Nothing is packed here: A is read by broadcasts, straight from row-major activations or from their
// transpose (an outer product of two contiguous rows), B by whole vectors. The tile stays in registers over
// all of k. An element of C is one chain of multiply-adds (fused, but on generic) over kk = 0 .. k-1, starting from
// zero, whatever the tile's height and width: its bits do not depend on where in the matrix it stands.
//
// The outer-product tile also asks the memory for one line per step of k, of data that its caller reads next:
// 50 lines asked for at once fill the core's miss buffers and stall it, one now and then costs nothing.
#pragma once

#include "update_step.h"

// Without it GCC keeps some of the smaller accumulator arrays in memory: 80 instead of 200 GFLOP/s.
#define FOR_UNROLLED(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); ++i)

namespace fastmlp::FASTMLP_ISA {

template <class T, int m, int vectors> inline void set_zero(Vec<T> (&sum)[m][vectors]) {
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) sum[i][j] = Vec<T>::zero();
}

// What a row of A is: a row of the tile, or (A transposed) a step of k.
enum class Operand { row_major, transposed };

// Adds steps 0 .. k-1 to the sums, and asks for the lines at fetch, fetch + fetch_step, ... if A is transposed.
// With `rows_of_b`, step kk uses row rows_of_b[kk] of B: A then holds the columns that are not all zero.
template <class T, int m, int vectors, Operand operand, bool sparse = false>
inline void accumulate_tile(std::int64_t k, const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride,
                            const char* fetch, std::int64_t fetch_step, Vec<T> (&sum)[m][vectors],
                            const std::int32_t* rows_of_b = nullptr) {
    using V = Vec<T>;
    for (std::int64_t kk = 0; kk < k; ++kk) {
        V b_row[vectors];
        FOR_UNROLLED(j, vectors) b_row[j] = V::load((sparse ? b + rows_of_b[kk] * b_stride : b) + j * V::lanes);
        FOR_UNROLLED(i, m) {
            const V a_i = V::broadcast(operand == Operand::row_major ? a[i * a_stride] : a[i]);
            FOR_UNROLLED(j, vectors) sum[i][j] = fma(a_i, b_row[j], sum[i][j]);
        }
        a += operand == Operand::row_major ? 1 : a_stride;
        if (!sparse) b += b_stride;
        if constexpr (operand == Operand::transposed) {
            __builtin_prefetch(fetch);
            fetch += fetch_step;
        }
    }
}

template <class T, int m, int vectors>
void gemm_tile_kernel(std::int64_t k, const T* a, std::int64_t a_stride,  // (m, k), row-major
                      const T* b, std::int64_t b_stride,                  // (k, vectors * lanes)
                      T* c, std::int64_t c_stride) {                      // (m, vectors * lanes)
    Vec<T> sum[m][vectors];
    set_zero<T>(sum);
    accumulate_tile<T, m, vectors, Operand::row_major>(k, a, a_stride, b, b_stride, nullptr, 0, sum);
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) sum[i][j].store(c + i * c_stride + j * Vec<T>::lanes);
}

template <class T, int m, int vectors>
void gemm_sparse_kernel(std::int64_t k, const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride, T* c,
                        std::int64_t c_stride, const std::int32_t* rows_of_b) {
    Vec<T> sum[m][vectors];
    set_zero<T>(sum);
    accumulate_tile<T, m, vectors, Operand::row_major, true>(k, a, a_stride, b, b_stride, nullptr, 0, sum, rows_of_b);
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) sum[i][j].store(c + i * c_stride + j * Vec<T>::lanes);
}

// One row times four full panels at once. A tile of one row has two chains of additions, each waiting for the
// last; eight of them keep the multiply-adders busy.
template <class T>
void gemm_row_kernel(std::int64_t k,
                     const T* a,                             // (k)
                     const T* b, std::int64_t panel_stride,  // four panels (k, 2 * lanes), so many elements apart
                     T* c) {                                 // (4 * 2 * lanes)
    using V = Vec<T>;
    constexpr int width = panel_vectors * V::lanes;
    V sum[row_panels][panel_vectors];
    FOR_UNROLLED(p, row_panels)
        FOR_UNROLLED(j, panel_vectors) sum[p][j] = V::zero();
    for (std::int64_t kk = 0; kk < k; ++kk) {
        const V a_k = V::broadcast(a[kk]);
        FOR_UNROLLED(p, row_panels)
            FOR_UNROLLED(j, panel_vectors)
                sum[p][j] = fma(a_k, V::load(b + p * panel_stride + kk * width + j * V::lanes), sum[p][j]);
    }
    FOR_UNROLLED(p, row_panels)
        FOR_UNROLLED(j, panel_vectors) sum[p][j].store(c + p * width + j * V::lanes);
}

// The sums of an outer product, its steps shared evenly among the ranges that are fetched meanwhile.
template <class T, int m, int vectors>
inline void accumulate_outer(std::int64_t k, const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride,
                             const Fetch& fetch, Vec<T> (&sum)[m][vectors]) {
    set_zero<T>(sum);
    const std::int64_t steps = k / fetch.count + 1, fetch_step = (fetch.bytes + steps - 1) / steps;
    for (const char* const* from = fetch.from; k > 0; ++from, k -= steps, a += steps * a_stride, b += steps * b_stride)
        accumulate_tile<T, m, vectors, Operand::transposed>(k < steps ? k : steps, a, a_stride, b, b_stride, *from,
                                                            fetch_step, sum);
}

template <class T, int m, int vectors>
void outer_tile_kernel(std::int64_t k, const T* a, std::int64_t a_stride,  // (k, m), row-major: A is its transpose
                       const T* b, std::int64_t b_stride,                  // (k, vectors * lanes)
                       T* c,                                               // (m, vectors * lanes)
                       const Fetch& fetch) {
    constexpr int width = vectors * Vec<T>::lanes;
    Vec<T> sum[m][vectors];
    accumulate_outer<T>(k, a, a_stride, b, b_stride, fetch, sum);
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) sum[i][j].store(c + i * width + j * Vec<T>::lanes);
}

// The same tile as the gradient of weights, used while it is in registers: row i of the tile belongs to row
// rows[i] of w, or to row i if `rows` is null.
template <class T, int m, int vectors>
void outer_sgd_kernel(std::int64_t k, const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride, T* w,
                      const std::int32_t* rows, const Fetch& fetch, const UpdateRule<T>& rule) {
    using V = Vec<T>;
    constexpr int width = vectors * V::lanes;
    T* row[m];
    FOR_UNROLLED(i, m) row[i] = w + (rows ? rows[i] : i) * width;
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) __builtin_prefetch(row[i] + j * V::lanes, 1);  // wanted when the sums are done
    V sum[m][vectors];
    accumulate_outer<T>(k, a, a_stride, b, b_stride, fetch, sum);
    if (rule.l1 == 0 && rule.l2 == 0) {  // the penalty's seven operations a vector are a fifth of a small batch's tile
        const V step = V::broadcast(-rule.learning_rate);
        FOR_UNROLLED(i, m)
            FOR_UNROLLED(j, vectors) {
                T* p = row[i] + j * V::lanes;
                fma(step, sum[i][j], V::load(p)).store(p);
            }
        return;
    }
    FOR_UNROLLED(i, m)
        FOR_UNROLLED(j, vectors) {
            T* p = row[i] + j * V::lanes;
            sgd_step<T>(V::load(p), sum[i][j], rule).store(p);
        }
}

}  // namespace fastmlp::FASTMLP_ISA
