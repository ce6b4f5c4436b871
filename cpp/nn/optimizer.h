// Optimizers: their settings, their state beside the parameters, and the rule of one update.
//
// Conventions are scikit-learn's: velocity = momentum * velocity - learning_rate * g, w += velocity (Nesterov:
// w += momentum * velocity - learning_rate * g); Adam corrects the learning rate, epsilon stands outside the root.
#pragma once

#include <cmath>

#include "dense.h"

namespace fastmlp {

struct OptimizerSettings {
    UpdateKind kind = UpdateKind::sgd;
    double momentum = 0;
    bool nesterov = false;
    double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-8;
};

// What may change from one epoch to the next.
struct StepSettings {
    double learning_rate = 0.1;
    double l1 = 0, l2 = 0;
};

// What training keeps beside the parameters of one layer: gradient sums and optimizer state, in their layout,
// and the transposed weights that backward reads. Throws std::bad_alloc.
template <class T> class LayerState {
public:
    LayerState(const DenseLayer<T>& layer, UpdateKind kind) {
        const int64_t weights = layer.weights().size(), biases = layer.biases().size();
        if (kind != UpdateKind::sgd) state_[0] = Buffer<T>(weights), state_[1] = Buffer<T>(biases);
        if (kind == UpdateKind::adam) state_[2] = Buffer<T>(weights), state_[3] = Buffer<T>(biases);
    }
    void make_room_for_gradients(const DenseLayer<T>& layer) {
        if (!gradients_[0].size()) gradients_[0] = Buffer<T>(layer.weights().size());
        if (!gradients_[1].size()) gradients_[1] = Buffer<T>(layer.biases().size());
    }
    void make_room_for_transposed(const DenseLayer<T>& layer) {
        if (!transposed_.size()) transposed_ = Buffer<T>(layer.transposed_shape().size());
    }
    T* transposed() { return transposed_.data(); }
    ParameterBlock<T> weights_of(DenseLayer<T>& layer) {
        return {layer.weights().data(), gradients_[0].data(), state_[0].data(), state_[2].data()};
    }
    ParameterBlock<T> biases_of(DenseLayer<T>& layer) {
        return {layer.biases().data(), gradients_[1].data(), state_[1].data(), state_[3].data()};
    }
    const Buffer<T>& weight_gradients() const { return gradients_[0]; }
    const Buffer<T>& bias_gradients() const { return gradients_[1]; }

private:
    Buffer<T> gradients_[2];
    Buffer<T> transposed_;
    Buffer<T> state_[4];
};

// The rule of update number `step` (from 1).
template <class T>
UpdateRule<T> update_rule(const OptimizerSettings& optimizer, const StepSettings& settings, int64_t step,
                          bool penalized) {
    double rate = settings.learning_rate;
    if (optimizer.kind == UpdateKind::adam) {
        const double t = static_cast<double>(step);
        rate *= std::sqrt(1 - std::pow(optimizer.beta_2, t)) / (1 - std::pow(optimizer.beta_1, t));
    }
    return {static_cast<T>(rate),
            penalized ? static_cast<T>(settings.l1) : T(0),
            penalized ? static_cast<T>(settings.l2) : T(0),
            static_cast<T>(optimizer.momentum),
            optimizer.nesterov,
            static_cast<T>(optimizer.beta_1),
            static_cast<T>(1 - optimizer.beta_1),
            static_cast<T>(optimizer.beta_2),
            static_cast<T>(1 - optimizer.beta_2),
            static_cast<T>(optimizer.epsilon)};
}

}  // namespace fastmlp
