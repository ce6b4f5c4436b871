// The losses: what the output layer's values cost, and their gradient.
#pragma once

#include <cmath>
#include <limits>

#include "dataset.h"

namespace fastmlp {

// What each row cost. Kept per row, so that sums run in the order of the rows whoever computed them.
template <class T> struct RowLosses {
    explicit RowLosses(int64_t rows) : loss(rows), correct(rows) {}
    Buffer<T> loss;
    Buffer<std::int32_t> correct;  // 1 where the largest output is the label
};

struct LossSum {
    double loss = 0;
    int64_t correct = 0;
    double penalty = 0;  // of the weights before each update, times its rows

    template <class T> void add(const RowLosses<T>& losses, int64_t rows, double factor = 1) {
        for (int64_t i = 0; i < rows; ++i) {
            loss += losses.loss.data()[i] * factor;
            correct += losses.correct.data()[i];
        }
    }
};

// What the outputs of some rows are compared with; the loss's own kind is read.
template <class T> struct Wanted {
    const std::int32_t* labels;
    const T* targets;
    int64_t target_stride;
    const T* weights;  // of the rows; null: all 1
};

// A probability that is kept this far from 0 in the reported loss, which so is never infinite.
template <class T> T largest_cost(bool clipped) {
    return clipped ? static_cast<T>(-std::log(static_cast<double>(std::numeric_limits<T>::epsilon())))
                   : std::numeric_limits<T>::infinity();
}

// z (rows, outputs) becomes the gradient of its rows' weighted losses times `scale`; what they cost goes to `losses`,
// from row `first` on. With `clipped`, a term of the cross-entropies costs at most -log(epsilon of T).
template <class T>
void loss_and_gradient(Loss loss, bool clipped, const Kernels<T>& kernels, MatrixView<T> z, const Wanted<T>& wanted,
                       T scale, RowLosses<T>& losses, int64_t first) noexcept {
    T* cost = losses.loss.data() + first;
    kernels.loss[static_cast<int>(loss)]({z.data, z.stride, z.rows, z.columns, wanted.labels, wanted.targets,
                                          wanted.target_stride, scale, largest_cost<T>(clipped), nullptr, cost,
                                          losses.correct.data() + first});
    if (!wanted.weights) return;
    for (int64_t i = 0; i < z.rows; ++i) {
        cost[i] *= wanted.weights[i];
        for (int64_t j = 0; j < z.columns; ++j) z.row(i)[j] *= wanted.weights[i];
    }
}

}  // namespace fastmlp
