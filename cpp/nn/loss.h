// The losses: what the output layer's values cost, and their gradient.
#pragma once

#include <cmath>

#include "dataset.h"

namespace fastmlp {

enum class Loss { cross_entropy, squared_error };

// What each row cost. Kept per row, so that sums run in the order of the rows whoever computed them.
template <class T> struct RowLosses {
    explicit RowLosses(int64_t rows) : loss(rows), exp_sum(rows), hit(rows) {}
    Buffer<T> loss, exp_sum;
    Buffer<std::int32_t> hit;  // 1 where the largest output is the label
};

struct LossSum {
    double loss = 0;
    int64_t hits = 0;

    template <class T> void add(const RowLosses<T>& losses, int64_t rows) {
        for (int64_t i = 0; i < rows; ++i) {
            loss += losses.loss.data()[i];
            hits += losses.hit.data()[i];
        }
    }
};

// z (rows, outputs) becomes the gradient of its rows' losses times `scale`; what they cost goes to `losses`,
// from row `first` on. Of labels and targets (rows, outputs), the loss's own is read.
template <class T>
void loss_and_gradient(Loss loss, const Kernels<T>& kernels, MatrixView<T> z, const std::int32_t* labels,
                       const T* targets, int64_t target_stride, T scale, RowLosses<T>& losses, int64_t first) noexcept {
    T* cost = losses.loss.data() + first;
    if (loss == Loss::squared_error) {
        kernels.squared_error(z.data, z.stride, z.rows, z.columns, targets, target_stride, scale, cost);
        return;
    }
    T* exp_sum = losses.exp_sum.data() + first;
    kernels.softmax_cross_entropy(z.data, z.stride, z.rows, z.columns, labels, scale, cost, exp_sum,
                                  losses.hit.data() + first);
    for (int64_t i = 0; i < z.rows; ++i) cost[i] += std::log(exp_sum[i]);
}

}  // namespace fastmlp
