// Passes over rows and arrays: sums, norms, conversions, compression, transposes.
#pragma once

#include "parts.h"
#include "vector_math.h"

namespace fastmlp::FASTMLP_ISA {

// Of as many vectors of columns side by side: their chains of additions run at the same time.
template <class T, int vectors> inline void sum_columns(const T* x, int64_t stride, int64_t rows, T* sums) {
    using V = Vec<T>;
    V sum[vectors];
    FOR_UNROLLED(j, vectors) sum[j] = V::zero();
    for (int64_t i = 0; i < rows; ++i, x += stride)
        FOR_UNROLLED(j, vectors) sum[j] = sum[j] + V::load(x + j * V::lanes);
    FOR_UNROLLED(j, vectors) sum[j].store(sums + j * V::lanes);
}

template <class T> void column_sums_kernel(const T* x, int64_t stride, int64_t rows, int64_t columns, T* sums) {
    constexpr int64_t lanes = Vec<T>::lanes;
    int64_t j = 0;
    for (; j + 8 * lanes <= columns; j += 8 * lanes) sum_columns<T, 8>(x + j, stride, rows, sums + j);
    for (; j + 2 * lanes <= columns; j += 2 * lanes) sum_columns<T, 2>(x + j, stride, rows, sums + j);
    if (j < columns) sum_columns<T, 1>(x + j, stride, rows, sums + j);
}

// Whole vectors, whose surplus the next row overwrites; the last row ends where its columns end.
template <class T>
void pack_columns_kernel(T* out, const T* in, int64_t stride, int64_t rows, int64_t columns) {
    using V = Vec<T>;
    for (int64_t i = 0; i + 1 < rows; ++i, in += stride, out += columns)
        for (int64_t j = 0; j < columns; j += V::lanes) V::load(in + j).store(out + j);
    for (int64_t j = 0; j < columns; ++j) out[j] = in[j];
}

template <class T> void add_kernel(T* sum, const T* x, int64_t size) {
    using V = Vec<T>;
    for (int64_t i = 0; i < size; i += V::lanes) (V::load(sum + i) + V::load(x + i)).store(sum + i);
}

// Adds `count` rows of B, read side by side, to m rows of C: an element of C is loaded and stored once for all of them.
template <class T, int m, int count>
[[gnu::always_inline]] inline void add_some_rows(T* c, int64_t c_stride, int64_t columns, const T* a, int64_t a_stride,
                                                 const T* const* rows) {
    using V = Vec<T>;
    int64_t j = 0;
    for (; j + 2 * V::lanes <= columns; j += 2 * V::lanes) {  // two vectors share each element of A
        V sum[m][2];
        FOR_UNROLLED(i, m)
            FOR_UNROLLED(v, 2) sum[i][v] = V::load(c + i * c_stride + j + v * V::lanes);
        FOR_UNROLLED(r, count) {
            const V b[2] = {V::load(rows[r] + j), V::load(rows[r] + j + V::lanes)};
            FOR_UNROLLED(i, m) {
                const V factor = V::broadcast(a[i * a_stride + r]);
                FOR_UNROLLED(v, 2) sum[i][v] = fma(factor, b[v], sum[i][v]);
            }
        }
        FOR_UNROLLED(i, m)
            FOR_UNROLLED(v, 2) sum[i][v].store(c + i * c_stride + j + v * V::lanes);
    }
    for (; j < columns; j += V::lanes) {
        V sum[m];
        FOR_UNROLLED(i, m) sum[i] = V::load(c + i * c_stride + j);
        FOR_UNROLLED(r, count) {
            const V b = load_first(columns - j, rows[r] + j);
            FOR_UNROLLED(i, m) sum[i] = fma(V::broadcast(a[i * a_stride + r]), b, sum[i]);
        }
        FOR_UNROLLED(i, m) sum[i].store(c + i * c_stride + j);
    }
}

template <class T, int count>
inline void add_to_all_rows(T* c, int64_t c_stride, int64_t m, int64_t columns, const T* a, int64_t a_stride,
                            const T* const* rows) {
    int64_t i = 0;
    for (; i + 4 <= m; i += 4)
        add_some_rows<T, 4, count>(c + i * c_stride, c_stride, columns, a + i * a_stride, a_stride, rows);
    for (; i + 2 <= m; i += 2)
        add_some_rows<T, 2, count>(c + i * c_stride, c_stride, columns, a + i * a_stride, a_stride, rows);
    if (i < m) add_some_rows<T, 1, count>(c + i * c_stride, 0, columns, a + i * a_stride, 0, rows);
}

template <class T>
void add_rows_kernel(T* c, int64_t c_stride, int64_t m, int64_t columns, int64_t k, const T* a, int64_t a_stride, const T* b, int64_t b_stride,
                     const std::int32_t* rows_of_b) {
    constexpr int at_once = 8;
    const T* rows[at_once];
    int64_t kk = 0;
    for (; kk + at_once <= k; kk += at_once) {
        FOR_UNROLLED(i, at_once) rows[i] = b + (rows_of_b ? rows_of_b[kk + i] : kk + i) * b_stride;
        add_to_all_rows<T, at_once>(c, c_stride, m, columns, a + kk, a_stride, rows);
    }
    for (; kk < k; ++kk) {
        rows[0] = b + (rows_of_b ? rows_of_b[kk] : kk) * b_stride;
        add_to_all_rows<T, 1>(c, c_stride, m, columns, a + kk, a_stride, rows);
    }
}

// Short sums in T, which lose half a digit, are added in double: one float sum of 10^5 squares would lose four.
template <class T> void norms_kernel(const T* w, int64_t size, double* sums) {
    using V = Vec<T>;
    constexpr int64_t short_sum = 32 * V::lanes;
    for (int64_t begin = 0, end; begin < size; begin = end) {
        end = begin + short_sum < size ? begin + short_sum : size;
        V absolute = V::zero(), squares = V::zero();
        for (int64_t i = begin; i < end; i += V::lanes) {
            const V x = V::load(w + i);
            absolute = absolute + abs(x);
            squares = fma(x, x, squares);
        }
        T lane[2][V::lanes];
        absolute.store(lane[0]);
        squares.store(lane[1]);
        for (int kind = 0; kind < 2; ++kind) {
            double sum = 0;
            for (int i = 0; i < V::lanes; ++i) sum += static_cast<double>(lane[kind][i]);
            sums[kind] += sum;
        }
    }
}

template <InputKind kind> struct InputOf;
template <> struct InputOf<InputKind::uint8> {
    using type = std::uint8_t;
};
template <> struct InputOf<InputKind::float32> {
    using type = float;
};
template <> struct InputOf<InputKind::float64> {
    using type = double;
};

template <class T, InputKind kind> void convert_kernel(T* out, const void* in, int64_t columns, T scale) {
    const auto* x = static_cast<const typename InputOf<kind>::type*>(in);
    for (int64_t j = 0; j < columns; ++j) out[j] = static_cast<T>(x[j]) * scale;
}

template <class T, InputKind kind>
void standardize_kernel(T* out, const void* in, int64_t count, const std::int32_t* columns, const double* mean,
                        const double* factor) {
    const auto* x = static_cast<const typename InputOf<kind>::type*>(in);
    if (columns)
        for (int64_t j = 0; j < count; ++j) out[j] = static_cast<T>(static_cast<double>(x[j]) * factor[columns[j]]);
    else
        for (int64_t j = 0; j < count; ++j) out[j] = static_cast<T>((static_cast<double>(x[j]) - mean[j]) * factor[j]);
}

// In place: a store ends where the columns already read end, or before.
template <class T> void compress_kernel(T* row, const std::uint64_t* mask, int64_t columns) {
    using V = Vec<T>;
    T* out = row;
    for (int64_t j = 0; j < columns; j += V::lanes) {
        const unsigned bits = static_cast<unsigned>(mask[j / 64] >> (j % 64)) & ((1u << V::lanes) - 1);
        V::load(row + j).compress_store(out, bits);
        out += __builtin_popcount(bits);
    }
}

// x - x is 0 for finite x and NaN otherwise, and a sum keeps a NaN.
template <class T> bool finite_kernel(const T* x, int64_t size) {
    using V = Vec<T>;
    V sums[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
    int64_t i = 0;
    for (; i + 4 * V::lanes <= size; i += 4 * V::lanes)
        FOR_UNROLLED(j, 4) {
            const V v = V::load(x + i + j * V::lanes);
            sums[j] = sums[j] + (v - v);
        }
    T sum = sum_of_lanes<T>((sums[0] + sums[1]) + (sums[2] + sums[3]));
    for (; i < size; ++i) sum += x[i] - x[i];
    return sum == 0;
}

// A square block of one vector per row, by rounds of perfect shuffles: log2(lanes) of them transpose it.
template <class T> inline void transpose_block(T* out, int64_t out_stride, const T* in, int64_t in_stride) {
    using V = Vec<T>;
    constexpr int lanes = V::lanes;
    V row[lanes], shuffled[lanes];
    FOR_UNROLLED(i, lanes) row[i] = V::load(in + i * in_stride);
    _Pragma("GCC unroll 16") for (int round = 1; round < lanes; round *= 2) {
        FOR_UNROLLED(i, lanes / 2) {
            shuffled[2 * i] = interleave_low(row[i], row[i + lanes / 2]);
            shuffled[2 * i + 1] = interleave_high(row[i], row[i + lanes / 2]);
        }
        FOR_UNROLLED(i, lanes) row[i] = shuffled[i];
    }
    FOR_UNROLLED(i, lanes) row[i].store(out + i * out_stride);
}

template <class T>
void transpose_kernel(T* out, int64_t out_stride, const T* in, int64_t in_stride, int64_t rows, int64_t columns) {
    constexpr int64_t block = Vec<T>::lanes;
    for (int64_t j0 = 0; j0 < columns; j0 += block)
        for (int64_t i0 = 0; i0 < rows; i0 += block) {
            const int64_t i1 = i0 + block < rows ? i0 + block : rows, j1 = j0 + block < columns ? j0 + block : columns;
            if (i1 - i0 == block && j1 - j0 == block) {
                transpose_block<T>(out + j0 * out_stride + i0, out_stride, in + i0 * in_stride + j0, in_stride);
                continue;
            }
            for (int64_t j = j0; j < j1; ++j)
                for (int64_t i = i0; i < i1; ++i) out[j * out_stride + i] = in[i * in_stride + j];
        }
}

// 12 chains cover a latency of four to six cycles at two multiply-adds a cycle, and fit in 16 registers. Where there
// are 32 registers, 16 chains cover four cycles at four multiply-adds a cycle.
template <class T> int64_t fma_rounds_kernel(int64_t rounds) {
    using V = Vec<T>;
    constexpr int chains = row_tile < 10 ? 12 : 16;
    V chain[chains];
    const V a = V::broadcast(T(0.5)), b = V::broadcast(T(0.25));
    FOR_UNROLLED(i, chains) chain[i] = V::broadcast(T(i));  // equal chains could be computed as one
    for (int64_t round = 0; round < rounds; ++round) {
        FOR_UNROLLED(i, chains) chain[i] = fma(a, b, chain[i]);
    }
    T sink[V::lanes];
    FOR_UNROLLED(i, chains - 1) chain[0] = chain[0] + chain[i + 1];
    chain[0].store(sink);
    return sink[0] == T(-1) ? 0 : rounds * chains * V::lanes;  // never -1: the chains are needed
}

}  // namespace fastmlp::FASTMLP_ISA
