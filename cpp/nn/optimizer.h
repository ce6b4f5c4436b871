// Optimizers: their settings, their state beside the parameters, and the rule of one update.
//
// Conventions are scikit-learn's: velocity = momentum * velocity - learning_rate * g, w += velocity (Nesterov:
// w += momentum * velocity - learning_rate * g); Adam corrects the learning rate, epsilon stands outside the root.
#pragma once

#include <cmath>

#include "../kernels/dispatch.h"
#include "dense.h"

namespace fastmlp {

struct OptimizerSettings {
    UpdateKind kind = UpdateKind::sgd;
    double momentum = 0;
    bool nesterov = false;
    double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-8;
};

// What may change from one epoch to the next.
struct UpdateSettings {
    double learning_rate = 0.1;
    double l1 = 0, l2 = 0;          // of the penalty l1 * sum|w| + l2/2 * sum w^2
    double alpha = 0;               // adds alpha / the rows of the update, or the sum of their weights, to l2
    bool proximal = false;          // l1 by a proximal step instead of a subgradient
    bool measures_penalty = false;  // before each update, for LossSum
};

// What training keeps beside the parameters of one layer: the optimizer's state in their layout, the place of their
// gradient sums, and the transposed weights that backward reads. Throws std::bad_alloc.
template <class T> class LayerState {
public:
    LayerState(const DenseLayer<T>& layer, UpdateKind kind) {
        const int64_t weights = layer.weights().size(), biases = layer.biases().size();
        for (int i = 0; i < properties_of(kind).state_count; ++i)
            state_[2 * i] = Buffer<T>(weights), state_[2 * i + 1] = Buffer<T>(biases);
    }
    // of the weights, and then of the biases; returns where the next layer's begin
    T* put_gradients(T* place, const DenseLayer<T>& layer) {
        gradients_[0] = place;
        gradients_[1] = place + layer.weights().size();
        return gradients_[1] + layer.biases().size();
    }
    void make_room_for_transposed(const DenseLayer<T>& layer) {
        if (!transposed_.size()) transposed_ = Buffer<T>(layer.transposed_shape().size());
    }
    T* transposed() { return transposed_.data(); }
    ParameterBlock<T> weights_of(DenseLayer<T>& layer) {
        return {layer.weights().data(), gradients_[0], state_[0].data(), state_[2].data()};
    }
    ParameterBlock<T> biases_of(DenseLayer<T>& layer) {
        return {layer.biases().data(), gradients_[1], state_[1].data(), state_[3].data()};
    }
    // Calls f(buffer) for each array of the optimizer's state that there is.
    template <class F> void for_each_state(F f) {
        for (Buffer<T>& state : state_)
            if (state.size()) f(state);
    }
    LayerArrays<const T> gradients() const { return {gradients_[0], gradients_[1]}; }  // null until some are summed
    int state_count() const { return state_[2].size() ? 2 : state_[0].size() ? 1 : 0; }
    LayerArrays<T> state(int i) { return {state_[2 * i].data(), state_[2 * i + 1].data()}; }

private:
    T* gradients_[2] = {};
    Buffer<T> transposed_;
    Buffer<T> state_[4];
};

// The l2 of an update whose rows weigh so much.
inline double l2_of_update(const UpdateSettings& settings, double weight) {
    return settings.l2 + (weight > 0 ? settings.alpha / weight : 0);
}

// The rule of update number `step` (from 1), whose rows weigh so much.
//
// A proximal step for l1 leaves exact zeros: w <- argmin_v l1 |v| + (v - w)^2 / (2 s), which is w moved by s * l1
// towards zero, where s is how far the optimizer goes for a gradient that lasts: the learning rate; with momentum
// that / (1 - momentum); for Adam its element's own step. So it rests where the penalized loss is stationary.
template <class T>
UpdateRule<T> update_rule(const OptimizerSettings& optimizer, const UpdateSettings& settings, int64_t step, double weight,
                          bool penalized) {
    double rate = settings.learning_rate;
    if (properties_of(optimizer.kind).corrects_bias) {
        const double t = static_cast<double>(step);
        rate *= std::sqrt(1 - std::pow(optimizer.beta_2, t)) / (1 - std::pow(optimizer.beta_1, t));
    }
    return {static_cast<T>(rate),
            penalized && !settings.proximal ? static_cast<T>(settings.l1) : T(0),
            penalized ? static_cast<T>(l2_of_update(settings, weight)) : T(0),
            penalized && settings.proximal && settings.l1 != 0
                ? static_cast<T>(rate * settings.l1 / (1 - optimizer.momentum))
                : T(0),
            static_cast<T>(optimizer.momentum),
            optimizer.nesterov,
            static_cast<T>(optimizer.beta_1),
            static_cast<T>(1 - optimizer.beta_1),
            static_cast<T>(optimizer.beta_2),
            static_cast<T>(1 - optimizer.beta_2),
            static_cast<T>(optimizer.epsilon)};
}

}  // namespace fastmlp
