// Everything that acts element by element or row by row: activations, losses, updates, conversions.
//
// An element's result is the same chain of operations in every lane, row and call. Sums over a row run
// lane by lane and then over the lanes in order, so they depend on the row's width alone.
#pragma once

#include "updates.h"
#include "vector_math.h"

namespace fastmlp::FASTMLP_ISA {

using std::int64_t;

template <class T, Activation kind> inline Vec<T> activation(Vec<T> z) {
    using V = Vec<T>;
    const V one = V::broadcast(1);
    if constexpr (kind == Activation::relu) return max(V::zero(), z);  // this order lets NaN through
    if constexpr (kind == Activation::tanh) {
        const V e = expm1<T>(abs(z) + abs(z));
        const V t = e / (e + V::broadcast(2));
        // from 20 on, tanh is 1 to the last bit of a double
        return with_sign_of(select_less(V::broadcast(20), abs(z), one, t), z);
    }
    if constexpr (kind == Activation::logistic) return one / (one + exp<T>(V::zero() - z));
    if constexpr (kind == Activation::exponential) return exp<T>(z);
    return z;
}

// The derivative in terms of the activation's output; for relu, 0 at 0.
template <class T, Activation kind> inline Vec<T> gradient_of_activation(Vec<T> g, Vec<T> output) {
    using V = Vec<T>;
    const V one = V::broadcast(1);
    if constexpr (kind == Activation::relu) return select_less(V::zero(), output, g, V::zero());
    if constexpr (kind == Activation::tanh) return g * fma(V::zero() - output, output, one);
    if constexpr (kind == Activation::logistic) return g * (output * (one - output));
    if constexpr (kind == Activation::exponential) return g * output;
    return g;
}

template <class T, Activation kind>
void activate_kernel(T* z, int64_t stride, const T* bias, int64_t rows, int64_t columns) {
    using V = Vec<T>;
    for (int64_t j = 0; j < columns; j += V::lanes) {
        const V b = bias ? V::load(bias + j) : V::zero();
        for (int64_t i = 0; i < rows; ++i) {
            T* p = z + i * stride + j;
            activation<T, kind>(V::load(p) + b).store(p);
        }
    }
}

template <class T, Activation kind>
void activation_gradient_kernel(T* gradient, int64_t stride, const T* output, int64_t output_stride, int64_t rows,
                                int64_t columns) {
    using V = Vec<T>;
    if constexpr (kind == Activation::identity) return;
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; j += V::lanes) {
            T* p = gradient + i * stride + j;
            gradient_of_activation<T, kind>(V::load(p), V::load(output + i * output_stride + j)).store(p);
        }
}

// row = exp(row - largest), padding zero; returns the sum. `at` becomes the first largest column.
template <class T> inline T exponentiate_row(T* row, int64_t outputs, T* largest, std::int32_t* at) {
    using V = Vec<T>;
    T best = row[0];
    std::int32_t column = 0;
    for (int64_t j = 1; j < outputs; ++j)
        if (row[j] > best) best = row[j], column = static_cast<std::int32_t>(j);
    V sum = V::zero();
    for (int64_t j = 0; j < outputs; j += V::lanes) {
        const V e = first_lanes<T>(outputs - j, exp<T>(V::load(row + j) - V::broadcast(best)), V::zero());
        e.store(row + j);
        sum = sum + e;
    }
    *largest = best;
    *at = column;
    return sum_of_lanes<T>(sum);
}

template <class T> void softmax_kernel(T* z, int64_t stride, int64_t rows, int64_t outputs) {
    using V = Vec<T>;
    for (int64_t i = 0; i < rows; ++i, z += stride) {
        T largest;
        std::int32_t column;
        const V total = V::broadcast(exponentiate_row(z, outputs, &largest, &column));
        for (int64_t j = 0; j < outputs; j += V::lanes) (V::load(z + j) / total).store(z + j);
    }
}

template <class T>
void softmax_cross_entropy_kernel(T* z, int64_t stride, int64_t rows, int64_t outputs, const std::int32_t* labels,
                                  T scale, T* margin, T* sum, std::int32_t* correct) {
    using V = Vec<T>;
    for (int64_t i = 0; i < rows; ++i, z += stride) {
        const T z_label = z[labels[i]];
        T largest;
        std::int32_t predicted;
        sum[i] = exponentiate_row(z, outputs, &largest, &predicted);
        correct[i] = predicted == labels[i] && sum[i] == sum[i];  // NaN hits nothing
        margin[i] = largest - z_label;
        const T e_label = z[labels[i]];
        const V factor = V::broadcast(scale / sum[i]);
        for (int64_t j = 0; j < outputs; j += V::lanes) (V::load(z + j) * factor).store(z + j);
        z[labels[i]] = (e_label / sum[i] - T(1)) * scale;
    }
}

template <class T>
void squared_error_kernel(T* z, int64_t stride, int64_t rows, int64_t outputs, const T* targets, int64_t target_stride,
                          T scale, T* loss) {
    for (int64_t i = 0; i < rows; ++i) {
        T sum = 0;
        for (int64_t j = 0; j < outputs; ++j) {
            const T difference = z[i * stride + j] - targets[i * target_stride + j];
            sum += difference * difference;
            z[i * stride + j] = difference * scale;
        }
        loss[i] = sum / 2;
    }
}

// With e = exp(-|z|), no term overflows: p is 1 or e over 1 + e, -log p and -log(1 - p) are max(z, 0) - z * target
// and log(1 + e).
template <class T>
void binary_cross_entropy_kernel(T* z, int64_t stride, int64_t rows, int64_t outputs, const T* targets,
                                 int64_t target_stride, T scale, T max_term, T* loss) {
    using V = Vec<T>;
    const V zero = V::zero(), one = V::broadcast(1);
    for (int64_t i = 0; i < rows; ++i, z += stride, targets += target_stride) {
        V sum = zero;
        for (int64_t j = 0; j < outputs; j += V::lanes) {
            const V x = V::load(z + j), target = load_first(outputs - j, targets + j), e = exp<T>(zero - abs(x));
            const V cost = max(zero, x) - x * target + log1p_of_unit<T>(e);
            sum = sum + first_lanes<T>(outputs - j, min(V::broadcast(max_term), cost), zero);
            const V p = select_less(x, zero, e, one) / (one + e);
            first_lanes<T>(outputs - j, (p - target) * V::broadcast(scale), zero).store(z + j);
        }
        loss[i] = sum_of_lanes<T>(sum);
    }
}

template <class T>
void poisson_kernel(T* z, int64_t stride, int64_t rows, int64_t outputs, const T* targets, int64_t target_stride,
                    T scale, T* loss) {
    using V = Vec<T>;
    for (int64_t i = 0; i < rows; ++i, z += stride, targets += target_stride) {
        V sum = V::zero();
        for (int64_t j = 0; j < outputs; j += V::lanes) {
            const V x = V::load(z + j), target = load_first(outputs - j, targets + j), mean = exp<T>(x);
            sum = sum + first_lanes<T>(outputs - j, mean - target * x, V::zero());
            first_lanes<T>(outputs - j, (mean - target) * V::broadcast(scale), V::zero()).store(z + j);
        }
        loss[i] = sum_of_lanes<T>(sum);
    }
}

template <class T> void column_sums_kernel(const T* x, int64_t stride, int64_t rows, int64_t columns, T* sums) {
    using V = Vec<T>;
    for (int64_t j = 0; j < columns; j += V::lanes) {
        V sum = V::zero();
        for (int64_t i = 0; i < rows; ++i) sum = sum + V::load(x + i * stride + j);
        sum.store(sums + j);
    }
}

template <class T> void add_kernel(T* sum, const T* x, int64_t size) {
    using V = Vec<T>;
    for (int64_t i = 0; i < size; i += V::lanes) (V::load(sum + i) + V::load(x + i)).store(sum + i);
}

template <class T, UpdateKind kind>
void update_kernel(T* w, const T* g, T* state_1, T* state_2, int64_t size, const UpdateRule<T>& rule) {
    for (int64_t i = 0; i < size; i += Vec<T>::lanes)
        update_step<T, kind>(i, Vec<T>::load(g + i), w, state_1, state_2, rule);
}

// Short sums in T, which lose half a digit, are gathered in double: one float sum of 10^5 squares would lose four.
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

template <class T, class Input> void convert_kernel(T* out, const void* in, int64_t columns, T scale) {
    const Input* x = static_cast<const Input*>(in);
    for (int64_t j = 0; j < columns; ++j) out[j] = static_cast<T>(x[j]) * scale;
}

// In place: what is written never reaches beyond what has been read.
template <class T> void compress_kernel(T* row, const std::uint64_t* mask, int64_t columns) {
    using V = Vec<T>;
    T* out = row;
    for (int64_t j = 0; j < columns; j += V::lanes) {
        const unsigned bits = static_cast<unsigned>(mask[j / 64] >> (j % 64)) & ((1u << V::lanes) - 1);
        V::load(row + j).compress_store(out, bits);
        out += __builtin_popcount(bits);
    }
}

// x - x is 0 for finite x and NaN otherwise, and a sum never loses a NaN.
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

// 12 chains cover a latency of four to six cycles at two multiply-adds a cycle, and fit in 16 registers; 16, where
// there are 32, four cycles at four.
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
