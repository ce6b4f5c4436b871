// The losses: what the output layer's values cost, and their gradient.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "dataset.h"

namespace fastmlp {

// What each row cost, kept per row: sums run in the order of the rows for every number of workers.
template <class T> struct RowLosses {
    explicit RowLosses(int64_t rows) : loss(rows), weight(rows), correct(rows) {}
    Buffer<T> loss, weight;        // the loss times the sample weight; the sample weight, 1 without weights
    Buffer<std::int32_t> correct;  // 1 where the prediction is right, of the cross-entropies
};

struct LossSum {
    double loss = 0;
    double correct = 0;  // correct predictions, or the sum of their sample weights
    double penalty = 0;  // of the weights before each update, times its rows

    template <class T> void add(const RowLosses<T>& losses, int64_t rows, double factor = 1) {
        for (int64_t i = 0; i < rows; ++i) {
            loss += losses.loss.data()[i] * factor;
            correct += losses.correct.data()[i] * static_cast<double>(losses.weight.data()[i]) * factor;
        }
    }
};

// Largest reported term: -log(epsilon of T) when clipped, as in scikit-learn, else infinity.
template <class T> T max_term(bool clipped) {
    return clipped ? static_cast<T>(-std::log(static_cast<double>(std::numeric_limits<T>::epsilon())))
                   : std::numeric_limits<T>::infinity();
}

// A loss with its settings.
template <class T> struct LossFunction {
    Loss kind;
    PartSettings<T> settings;
    bool clipped;           // a term of the cross-entropies costs at most max_term
    std::vector<T> levels;  // of each output, padded to whole vectors; empty: all have that of the settings
};

// z (rows, outputs) becomes the gradient of its rows' weighted losses times `scale`; what they cost goes to `losses`,
// from row `first` on.
template <class T>
void loss_and_gradient(const LossFunction<T>& loss, const Kernels<T>& kernels, MatrixView<T> z, const Targets<T>& targets,
                       T scale, RowLosses<T>& losses, int64_t first) noexcept {
    LossBatch<T> batch{};
    batch.z = z.data;
    batch.stride = z.stride;
    batch.rows = z.rows;
    batch.outputs = z.columns;
    batch.labels = targets.labels;
    batch.targets = targets.targets;
    batch.target_stride = targets.target_stride;
    batch.scale = scale;
    batch.max_term = max_term<T>(loss.clipped);
    batch.settings = loss.settings.value;
    batch.levels = loss.levels.empty() ? nullptr : loss.levels.data();
    batch.loss = losses.loss.data() + first;
    batch.correct = losses.correct.data() + first;
    kernels.loss[static_cast<int>(loss.kind)](batch);
    T* weight = losses.weight.data() + first;
    if (!targets.sample_weights) {
        std::fill_n(weight, z.rows, T(1));
        return;
    }
    std::copy_n(targets.sample_weights, z.rows, weight);
    for (int64_t i = 0; i < z.rows; ++i) {
        batch.loss[i] *= targets.sample_weights[i];
        for (int64_t j = 0; j < z.columns; ++j) z.row(i)[j] *= targets.sample_weights[i];
    }
}

}  // namespace fastmlp
