// The losses: one struct each, with its value and its gradient with respect to the output layer's values z.
//
// A loss on targets compares each output with one target. Its struct computes the term of one element, whose column it
// receives, and one kernel serves all these losses. Its settings, setting_count numbers in the order of the row in
// losses.py, are those of the batch. `Sum` adds the terms of a row in its order, and `of_row` turns the
// sum into the row's loss.
#pragma once

#include "activations.h"
#include "row_kernels.h"

namespace fastmlp::FASTMLP_ISA {

template <class T> struct LossTerm {
    Vec<T> value, gradient;
};

// Lane by lane, and then over the lanes in order.
template <class T> struct SumByLane {
    Vec<T> sum = Vec<T>::zero();
    void add(Vec<T> x) { sum = sum + x; }
    T total() const { return sum_of_lanes<T>(sum); }
};

template <class T> struct SumInOrder {
    T sum = 0;
    void add(Vec<T> x) {
        T lane[Vec<T>::lanes];
        x.store(lane);
        for (int i = 0; i < Vec<T>::lanes; ++i) sum += lane[i];
    }
    T total() const { return sum; }
};

template <class T, Loss kind> struct LossOf;

// -sum q log softmax(z), with q = 1 - label_smoothing for the label, plus label_smoothing / outputs for every column
template <class T> struct LossOf<T, Loss::cross_entropy> {
    static constexpr bool uses_labels = true, takes_levels = false;
    static constexpr int setting_count = 1;  // label_smoothing in [0, 1)

    static void predict(T* z, int64_t stride, int64_t rows, int64_t outputs) {
        using V = Vec<T>;
        for (int64_t i = 0; i < rows; ++i, z += stride) {
            const V total = V::broadcast(exponentiate(z, outputs).sum);
            for (int64_t j = 0; j < outputs; j += V::lanes) (V::load(z + j) / total).store(z + j);
        }
    }

    static void run(const LossBatch<T>& batch) {
        const int64_t vectors = (batch.outputs + Vec<T>::lanes - 1) / Vec<T>::lanes;
        if (vectors == 1)
            run_narrow<1>(batch);
        else if (vectors == 2)
            run_narrow<2>(batch);
        else
            run_by_row(batch);
    }

private:
    static void run_by_row(const LossBatch<T>& batch) {
        using V = Vec<T>;
        for (int64_t i = 0; i < batch.rows; ++i) {
            T* z = batch.z + i * batch.stride;
            const std::int32_t label = batch.labels[i];
            const T smoothing = batch.settings[0];
            // what the columns' q weigh of z: without smoothing the label's alone
            const T z_mean = smoothing > 0 ? z[label] + smoothing * (mean(z, batch.outputs) - z[label]) : z[label];
            const auto [max, column, sum] = exponentiate(z, batch.outputs);
            report(batch, i, column == label, max - z_mean, sum);
            const T e_label = z[label];
            const V factor = V::broadcast(batch.scale / sum);
            for (int64_t j = 0; j < batch.outputs; j += V::lanes) (V::load(z + j) * factor).store(z + j);
            z[label] = (e_label / sum - T(1)) * batch.scale;
            if (smoothing > 0) smooth(z, batch.outputs, label, smoothing, batch.scale);
        }
    }

    // For few outputs: a row in each lane, with the operations of run_by_row in the same order.
    template <int vectors> static void run_narrow(const LossBatch<T>& batch) {
        using V = Vec<T>;
        constexpr int64_t lanes = V::lanes, width = vectors * lanes;
        const int64_t outputs = batch.outputs;
        const V scale = V::broadcast(batch.scale), smoothing = V::broadcast(batch.settings[0]);
        const V count = V::broadcast(static_cast<T>(outputs)), half = V::broadcast(T(0.5));
        for (int64_t begin = 0; begin < batch.rows; begin += lanes) {
            const int64_t rows = batch.rows - begin < lanes ? batch.rows - begin : lanes;
            T last[lanes * width] = {}, columns[width * lanes], label_of[lanes] = {}, row[4][lanes];
            T* z = batch.z + begin * batch.stride;
            int64_t stride = batch.stride;
            const auto copy_last = [&](T* to, int64_t to_stride, const T* from, int64_t from_stride) {
                for (int64_t i = 0; i < rows; ++i)
                    for (int64_t j = 0; j < width; ++j) to[i * to_stride + j] = from[i * from_stride + j];
            };
            if (rows < lanes) {
                copy_last(last, width, z, stride);
                z = last;
                stride = width;
            }
            for (int64_t i = 0; i < rows; ++i) label_of[i] = static_cast<T>(batch.labels[begin + i]);
            FOR_UNROLLED(v, vectors) transpose_block<T>(columns + v * lanes * lanes, lanes, z + v * lanes, stride);
            const V label = V::load(label_of);
            const auto column = [&](int64_t j) { return V::load(columns + j * lanes); };
            const auto of_label = [&](int64_t j, V yes, V no) {
                return select_less(abs(label - V::broadcast(static_cast<T>(j))), half, yes, no);
            };

            V max = column(0), largest = V::zero(), z_label = V::zero(), z_sum = V::zero();
            for (int64_t j = 0; j < outputs; ++j) {
                const V z_j = column(j);
                largest = select_less(max, z_j, V::broadcast(static_cast<T>(j)), largest);
                max = select_less(max, z_j, z_j, max);
                z_label = of_label(j, z_j, z_label);
                z_sum = z_sum + z_j;
            }
            const V z_mean = batch.settings[0] > 0 ? z_label + smoothing * (z_sum / count - z_label) : z_label;

            V sums[lanes];  // as SumByLane adds them: columns that are `lanes` apart first
            for (int64_t j = 0; j < outputs; ++j) {
                const V e = exp<T>(column(j) - max);
                e.store(columns + j * lanes);
                sums[j % lanes] = j < lanes ? e : sums[j % lanes] + e;
            }
            V sum = sums[0];
            for (int64_t j = 1; j < (outputs < lanes ? outputs : lanes); ++j) sum = sum + sums[j];

            const V factor = scale / sum, each = smoothing / count * scale;
            for (int64_t j = 0; j < width; ++j) {
                V gradient = V::zero();
                if (j < outputs) {
                    const V e = column(j);
                    gradient = of_label(j, (e / sum - V::broadcast(T(1))) * scale, e * factor);
                    if (batch.settings[0] > 0) {
                        gradient = gradient - each;
                        gradient = of_label(j, gradient + smoothing * scale, gradient);
                    }
                }
                gradient.store(columns + j * lanes);
            }
            FOR_UNROLLED(v, vectors) transpose_block<T>(z + v * lanes, stride, columns + v * lanes * lanes, lanes);
            if (rows < lanes) copy_last(batch.z + begin * batch.stride, batch.stride, last, width);

            max.store(row[0]), z_mean.store(row[1]), sum.store(row[2]), largest.store(row[3]);
            for (int64_t i = 0; i < rows; ++i)
                report(batch, begin + i, row[3][i] == label_of[i], row[0][i] - row[1][i], row[2][i]);
        }
    }

    // What row i cost: `margin` is the largest z over the mean that q weighs, `sum` that of the exponentials.
    static void report(const LossBatch<T>& batch, int64_t i, bool is_label, T margin, T sum) {
        batch.correct[i] = is_label && sum == sum;  // no label is correct for NaN
        const T loss = margin + log(sum);
        batch.loss[i] = batch.max_term < loss ? batch.max_term : loss;  // this order lets NaN through
    }

    static T mean(const T* z, int64_t outputs) {
        T sum = 0;
        for (int64_t j = 0; j < outputs; ++j) sum += z[j];
        return sum / static_cast<T>(outputs);
    }
    // From the gradient for q of the label alone to that for the smoothed q.
    static void smooth(T* gradient, int64_t outputs, std::int32_t label, T smoothing, T scale) {
        const T each = smoothing / static_cast<T>(outputs) * scale;
        for (int64_t j = 0; j < outputs; ++j) gradient[j] -= each;
        gradient[label] += smoothing * scale;
    }

    struct Exponentials {
        T max;                // of the row before
        std::int32_t column;  // the first with that value
        T sum;                // of the exponentials
    };
    // row (outputs) = exp(row - max), padding zero.
    static Exponentials exponentiate(T* row, int64_t outputs) {
        using V = Vec<T>;
        T max = row[0];
        std::int32_t column = 0;
        for (int64_t j = 1; j < outputs; ++j)
            if (row[j] > max) max = row[j], column = static_cast<std::int32_t>(j);
        SumByLane<T> sum;
        for (int64_t j = 0; j < outputs; j += V::lanes) {
            const V e = first_lanes<T>(outputs - j, exp<T>(V::load(row + j) - V::broadcast(max)), V::zero());
            e.store(row + j);
            sum.add(e);
        }
        return {max, column, sum.total()};
    }
};

// 1/2 sum (z - target)^2
template <class T> struct LossOf<T, Loss::squared_error> {
    static constexpr bool uses_labels = false, takes_levels = false;
    static constexpr int setting_count = 0;
    using Output = ActivationOf<T, Activation::identity>;
    using Sum = SumInOrder<T>;
    static LossTerm<T> term(Vec<T> z, Vec<T> target, int64_t, const LossBatch<T>&) {
        const Vec<T> difference = z - target;
        return {difference * difference, difference};
    }
    static T of_row(T sum, const T*, int64_t) { return sum / 2; }
};

// sum -target * log p - (1 - target) * log(1 - p), with p = logistic(z) and targets in [0, 1]. With e = exp(-|z|), no
// term overflows: p is 1 or e over 1 + e, -log p and -log(1 - p) are max(z, 0) - z * target and log(1 + e). With
// label_smoothing, the targets are moved by that share of the way to 1/2.
template <class T> struct LossOf<T, Loss::binary_cross_entropy> {
    static constexpr bool uses_labels = false, takes_levels = false;
    static constexpr int setting_count = 1;  // label_smoothing in [0, 1)
    using Output = ActivationOf<T, Activation::logistic>;
    using Sum = SumByLane<T>;
    static LossTerm<T> term(Vec<T> z, Vec<T> given, int64_t, const LossBatch<T>& batch) {
        using V = Vec<T>;
        const V target = fma(V::broadcast(batch.settings[0]), V::broadcast(T(0.5)) - given, given);
        const V zero = V::zero(), one = V::broadcast(1), e = exp<T>(zero - abs(z));
        const V value = max(zero, z) - z * target + log1p_of_unit<T>(e);
        const V p = select_less(z, zero, e, one) / (one + e);
        return {min(V::broadcast(batch.max_term), value), p - target};  // this order lets NaN through
    }
    static T of_row(T sum, const T*, int64_t) { return sum; }
};

// Half the deviance, sum e^z - target * z + target * log(target) - target: 0 where e^z is the target.
template <class T> struct LossOf<T, Loss::poisson> {
    static constexpr bool uses_labels = false, takes_levels = false;
    static constexpr int setting_count = 0;
    using Output = ActivationOf<T, Activation::exponential>;
    using Sum = SumByLane<T>;
    static LossTerm<T> term(Vec<T> z, Vec<T> target, int64_t, const LossBatch<T>&) {
        using V = Vec<T>;
        T logs[V::lanes];
        target.store(logs);
        for (T& each : logs) each = each > 0 ? log(each) : 0;
        // target (e^d - 1 - d), because the differences of large numbers would lose the digits of a small loss
        const V mean = exp<T>(z), zero = V::zero(), d = z - V::load(logs);
        const V near = target * (expm1<T>(d) - d), far = mean - target - target * d;
        const V of_count = select_less(abs(d), V::broadcast(1), near, far);
        return {select_less(zero, target, of_count, mean), mean - target};
    }
    static T of_row(T sum, const T*, int64_t) { return sum; }
};

// sum |z - target|; its gradient is 0 at 0
template <class T> struct LossOf<T, Loss::absolute_error> {
    static constexpr bool uses_labels = false, takes_levels = false;
    static constexpr int setting_count = 0;
    using Output = ActivationOf<T, Activation::identity>;
    using Sum = SumByLane<T>;
    static LossTerm<T> term(Vec<T> z, Vec<T> target, int64_t, const LossBatch<T>&) {
        using V = Vec<T>;
        const V zero = V::zero(), one = V::broadcast(1), difference = z - target;
        const V sign = select_less(zero, difference, one, select_less(difference, zero, zero - one, difference));
        return {abs(difference), sign};  // of NaN, NaN
    }
    static T of_row(T sum, const T*, int64_t) { return sum; }
};

// sum d^2 / 2 where |d| <= delta, else delta * (|d| - delta / 2), d = z - target (Huber 1964)
template <class T> struct LossOf<T, Loss::huber> {
    static constexpr bool uses_labels = false, takes_levels = false;
    static constexpr int setting_count = 1;  // delta > 0
    using Output = ActivationOf<T, Activation::identity>;
    using Sum = SumByLane<T>;
    static LossTerm<T> term(Vec<T> z, Vec<T> target, int64_t, const LossBatch<T>& batch) {
        using V = Vec<T>;
        const V delta = V::broadcast(batch.settings[0]), difference = z - target;
        const V near = min(delta, max(V::zero() - delta, difference));  // this order lets NaN through
        return {near * (difference - V::broadcast(T(0.5)) * near), near};
    }
    static T of_row(T sum, const T*, int64_t) { return sum; }
};

// sum level * (target - z) where z is below the target, else (1 - level) * (z - target): least at that quantile of the
// targets (Koenker and Bassett 1978); its gradient is 0 at 0
template <class T> struct LossOf<T, Loss::quantile> {
    static constexpr bool uses_labels = false, takes_levels = true;
    static constexpr int setting_count = 1;  // level in (0, 1)
    using Output = ActivationOf<T, Activation::identity>;
    using Sum = SumByLane<T>;
    static LossTerm<T> term(Vec<T> z, Vec<T> target, int64_t column, const LossBatch<T>& batch) {
        using V = Vec<T>;
        const V level = batch.levels ? V::load(batch.levels + column) : V::broadcast(batch.settings[0]);
        const V zero = V::zero(), below = zero - level, above = V::broadcast(1) - level, difference = z - target;
        const V slope = select_less(zero, difference, above, select_less(difference, zero, below, difference));
        return {slope * difference, slope};  // of NaN, NaN
    }
    static T of_row(T sum, const T*, int64_t) { return sum; }
};

// Half the gamma deviance, sum target / e^z + z - log(target) - 1: 0 where e^z is the target.
template <class T> struct LossOf<T, Loss::gamma> {
    static constexpr bool uses_labels = false, takes_levels = false;
    static constexpr int setting_count = 0;
    using Output = ActivationOf<T, Activation::exponential>;
    using Sum = SumByLane<T>;
    static LossTerm<T> term(Vec<T> z, Vec<T> target, int64_t, const LossBatch<T>&) {
        const Vec<T> ratio = target * exp<T>(Vec<T>::zero() - z);
        return {ratio + z, Vec<T>::broadcast(1) - ratio};
    }
    static T of_row(T sum, const T* targets, int64_t outputs) {
        for (int64_t j = 0; j < outputs; ++j) sum -= log(targets[j]) + 1;
        return sum;
    }
};

// Whether each z predicts the side of 1/2 on which its target lies; no z of NaN does.
template <class T> bool all_correct(const T* z, const T* targets, int64_t outputs) {
    bool correct = true;
    for (int64_t j = 0; j < outputs; ++j) correct &= (z[j] > 0) == (targets[j] > T(0.5)) && z[j] == z[j];
    return correct;
}

template <class T, Loss kind> void loss_kernel(const LossBatch<T>& given) {
    using V = Vec<T>;
    using L = LossOf<T, kind>;
    if constexpr (L::uses_labels) {
        L::run(given);
    } else {
        const LossBatch<T> batch = given;  // a copy: no store to z may alias it
        for (int64_t i = 0; i < batch.rows; ++i) {
            T* z = batch.z + i * batch.stride;
            const T* targets = batch.targets + i * batch.target_stride;
            if constexpr (kind == Loss::binary_cross_entropy) batch.correct[i] = all_correct(z, targets, batch.outputs);
            typename L::Sum sum;
            for (int64_t j = 0; j < batch.outputs; j += V::lanes) {
                const int64_t left = batch.outputs - j;
                const LossTerm<T> term = L::term(V::load(z + j), load_first(left, targets + j), j, batch);
                sum.add(first_lanes<T>(left, term.value, V::zero()));
                first_lanes<T>(left, term.gradient * V::broadcast(batch.scale), V::zero()).store(z + j);
            }
            batch.loss[i] = L::of_row(sum.total(), targets, batch.outputs);
        }
    }
}

template <class T, Loss kind> void predict_kernel(T* z, int64_t stride, int64_t rows, int64_t outputs) {
    using V = Vec<T>;
    using L = LossOf<T, kind>;
    if constexpr (L::uses_labels) {
        L::predict(z, stride, rows, outputs);
    } else {
        for (int64_t i = 0; i < rows; ++i, z += stride)
            for (int64_t j = 0; j < outputs; j += V::lanes) L::Output::value(V::load(z + j), nullptr).store(z + j);
    }
}

}  // namespace fastmlp::FASTMLP_ISA
