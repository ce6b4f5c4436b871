// Optimizers: their settings, their state beside the parameters, and the rule of one update.
//
// Conventions are scikit-learn's: velocity = momentum * velocity - learning_rate * g, w += velocity (Nesterov:
// w += momentum * velocity - learning_rate * g); Adam corrects the learning rate and adds epsilon outside the root.
#pragma once

#include <cmath>
#include <vector>

#include "../kernels/dispatch.h"
#include "dense.h"

namespace fastmlp {

struct OptimizerSettings {
    struct RateFactors {
        double weights, biases;
    };
    UpdateKind kind = UpdateKind::sgd;
    double momentum = 0;
    bool nesterov = false;
    double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-8;
    double weight_decay = 0;                // of adamw
    double rho = 0.99;                      // of rmsprop
    double momentum_decay = 0;              // of nadam
    double average_decay = 0;               // above 0: a running mean of the parameters is kept
    std::vector<RateFactors> rate_factors;  // of the learning rate, of each layer; empty: 1
};

// Factors of the settings in each update of an epoch; empty: 1.
struct UpdateSchedule {
    std::vector<double> learning_rate, weight_decay, dropout;

    bool covers(int64_t updates) const {
        const auto covered = [&](const std::vector<double>& factors) {
            return factors.empty() || static_cast<int64_t>(factors.size()) >= updates;
        };
        return covered(learning_rate) && covered(weight_decay) && covered(dropout);
    }
};

// What may change from one epoch to the next.
struct UpdateSettings {
    double learning_rate = 0.1;
    double l1 = 0, l2 = 0;          // of the penalty l1 * sum|w| + l2/2 * sum w^2
    double alpha = 0;               // adds alpha / gradient_divisor to l2
    bool proximal = false;          // l1 by a proximal step instead of a subgradient
    bool measures_penalty = false;  // before each update, for LossSum
    double weight_decay_factor = 1;
    double max_gradient_norm = 0;  // above 0: of all parameters together; a longer gradient of the data loss is scaled
    double dropout = 0, input_dropout = 0;  // probabilities to drop a hidden unit, an input
    std::uint64_t dropout_key = 0;  // the seed; in a micro-batch, the key of its update
    const UpdateSchedule* schedule = nullptr;

    // Those of update `update` of the epoch, from 0 on, without a schedule.
    UpdateSettings at(int64_t update) const noexcept {
        UpdateSettings settings = *this;
        if (!schedule) return settings;
        settings.schedule = nullptr;
        const auto factor = [&](const std::vector<double>& factors) {
            return factors.empty() ? 1.0 : factors[static_cast<std::size_t>(update)];
        };
        settings.learning_rate *= factor(schedule->learning_rate);
        settings.weight_decay_factor *= factor(schedule->weight_decay);
        settings.dropout *= factor(schedule->dropout);
        settings.input_dropout *= factor(schedule->dropout);
        return settings;
    }
};

inline constexpr int max_state_count = 2;  // arrays that the kernels of an update take beside the parameters

// All weights or all biases of a layer, and the arrays that have an element for each of them, in the same layout.
template <class T> struct ParameterBlock {
    T* value;
    T* gradient;                      // summed over the micro-batches of an update
    T* state[max_state_count] = {};  // of the optimizer; null where it keeps none
    int64_t size;
};

// What training keeps for one layer beside its parameters: state of the optimizer, sums of gradients, and the
// transposed weights that backward reads. Throws std::bad_alloc.
template <class T> class LayerState {
public:
    LayerState(const DenseLayer<T>& layer, int state_count, bool averages)
        : optimizer_states_(static_cast<std::size_t>(state_count)) {
        for (int i = 0; i < state_count + averages; ++i)
            states_.push_back({Buffer<T>(layer.weights().size()), Buffer<T>(layer.biases().size())});
    }

    int state_count() const { return static_cast<int>(states_.size()); }  // with the mean
    LayerArrays<T> state(int i) {
        State& state = states_[static_cast<std::size_t>(i)];
        return {state.weights.data(), state.biases.data()};
    }
    // The running mean of the parameters, if the trainer keeps one.
    LayerArrays<T> average() { return state(static_cast<int>(optimizer_states_)); }
    LayerArrays<const T> gradients() const { return gradients_; }  // null until set_gradients
    // Sums gradients in `memory`; returns its end.
    T* set_gradients(T* memory, const DenseLayer<T>& layer) {
        gradients_ = {memory, memory + layer.weights().size()};
        return gradients_.biases + layer.biases().size();
    }
    void reserve_transposed(const DenseLayer<T>& layer) {
        if (!panels_changed_.size()) panels_changed_ = PartCounters(layer.shape().panels());
        if (!transposed_.size()) transposed_ = Buffer<T>(layer.transposed_shape().size());
    }
    T* transposed() { return transposed_.data(); }
    // After an update of one of the `tiles` of this panel of the weights: after the last one, copies the panel.
    void tile_changed(const DenseLayer<T>& layer, int64_t panel, int64_t tiles) noexcept {
        if (panels_changed_.completes(panel, tiles))
            for (int64_t to = 0; to < layer.transposed_shape().panels(); ++to)
                layer.transpose_block(to, panel, transposed_.data());
    }

    ParameterBlock<T> weights_of(DenseLayer<T>& layer) {
        ParameterBlock<T> block{layer.weights().data(), gradients_.weights, {}, layer.weights().size()};
        for (std::size_t i = 0; i < optimizer_states_; ++i) block.state[i] = states_[i].weights.data();
        return block;
    }
    ParameterBlock<T> biases_of(DenseLayer<T>& layer) {
        ParameterBlock<T> block{layer.biases().data(), gradients_.biases, {}, layer.biases().size()};
        for (std::size_t i = 0; i < optimizer_states_; ++i) block.state[i] = states_[i].biases.data();
        return block;
    }
    // Calls f(buffer) for each array of the optimizer's state, and of the mean.
    template <class F> void for_each_state(F f) {
        for (State& state : states_) {
            f(state.weights);
            f(state.biases);
        }
    }

private:
    struct State {
        Buffer<T> weights, biases;
    };
    std::size_t optimizer_states_;
    std::vector<State> states_;  // of the optimizer, and then the mean
    LayerArrays<T> gradients_{};
    Buffer<T> transposed_;
    PartCounters panels_changed_;  // tiles of each panel
};

// Updates `size` parameters of a block from `offset` on, with their gradient.
template <class T>
void update_block(const Kernels<T>& kernels, UpdateKind kind, const ParameterBlock<T>& block, int64_t offset,
                  const T* gradient, int64_t size, const UpdateRule<T>& rule) noexcept {
    const auto state = [&](int i) { return block.state[i] ? block.state[i] + offset : nullptr; };
    kernels.update[static_cast<int>(kind)](block.value + offset, gradient, state(0), state(1), size, rule);
}

// The l2 of an update with this gradient_divisor.
inline double l2_of_update(const UpdateSettings& settings, double gradient_divisor) {
    return settings.l2 + (gradient_divisor > 0 ? settings.alpha / gradient_divisor : 0);
}

// The factors of the learning rate in update t of nadam, from 1 on, in PyTorch's form.
struct NadamRates {
    double gradient, mean;

    NadamRates(const OptimizerSettings& optimizer, int64_t t) {
        const double shrinks = std::pow(0.96, optimizer.momentum_decay);
        const auto momentum_of = [&](double power) { return optimizer.beta_1 * (1 - 0.5 * power); };
        double product = 1, power = 1;  // of the momenta so far, of `shrinks`
        for (int64_t i = 1; i <= t && product > 1e-18; ++i)  // a smaller product changes no bit of 1 - product
            product *= momentum_of(power *= shrinks);
        const double now = std::pow(shrinks, static_cast<double>(t));
        const double momentum = momentum_of(now), next = momentum_of(now * shrinks);
        gradient = (1 - momentum) / (1 - product);
        mean = next / (1 - product * next);
    }
};

// The rules of one update, of weights and of biases, which no penalty moves.
template <class T> struct UpdateRules {
    UpdateRule<T> weights, biases;

    // For a layer whose learning rates have these factors.
    UpdateRules scaled(const OptimizerSettings::RateFactors& factors) const {
        UpdateRules scaled = *this;
        const T factor = static_cast<T>(factors.weights);
        scaled.weights.learning_rate *= factor;
        scaled.weights.gradient_rate *= factor;
        scaled.weights.soft_threshold *= factor;
        scaled.weights.decay = 1 - (1 - weights.decay) * factor;
        scaled.biases.learning_rate *= static_cast<T>(factors.biases);
        scaled.biases.gradient_rate *= static_cast<T>(factors.biases);
        return scaled;
    }
};

// Of update number `update`, from 1 on.
//
// A proximal step for l1 leaves exact zeros: w <- argmin_v l1 |v| + (v - w)^2 / (2 s), which is w moved by s * l1
// towards zero. Here s is the step size: the learning rate, with momentum that / (1 - momentum), for Adam
// what each element's running mean is multiplied by. So w rests where the penalized loss is stationary.
template <class T>
UpdateRules<T> update_rules(const OptimizerSettings& optimizer, const UpdateSettings& settings, int64_t update,
                            double gradient_divisor) {
    double rate = settings.learning_rate;
    if (properties_of(optimizer.kind).corrects_bias) {
        const double t = static_cast<double>(update);
        rate *= std::sqrt(1 - std::pow(optimizer.beta_2, t)) / (1 - std::pow(optimizer.beta_1, t));
    }
    double epsilon = optimizer.epsilon, gradient_rate = 0;
    if (properties_of(optimizer.kind).schedules_momentum) {
        const NadamRates rates(optimizer, update);
        const double correction = std::sqrt(1 - std::pow(optimizer.beta_2, static_cast<double>(update)));
        gradient_rate = rate * rates.gradient * correction;
        rate *= rates.mean * correction;
        epsilon *= correction;  // sqrt(v / c^2) + epsilon is (sqrt(v) + epsilon * c) / c
    }
    UpdateRule<T> rule{};
    rule.gradient_rate = static_cast<T>(gradient_rate);
    rule.learning_rate = static_cast<T>(rate);
    rule.momentum = static_cast<T>(optimizer.momentum);
    rule.nesterov = optimizer.nesterov;
    rule.beta_1 = static_cast<T>(optimizer.beta_1);
    rule.one_minus_beta_1 = static_cast<T>(1 - optimizer.beta_1);
    rule.beta_2 = static_cast<T>(optimizer.beta_2);
    rule.one_minus_beta_2 = static_cast<T>(1 - optimizer.beta_2);
    rule.rho = static_cast<T>(optimizer.rho);
    rule.one_minus_rho = static_cast<T>(1 - optimizer.rho);
    rule.epsilon = static_cast<T>(epsilon);
    rule.decay = 1;
    UpdateRules<T> rules{rule, rule};
    rules.weights.decay =
        static_cast<T>(1 - settings.learning_rate * optimizer.weight_decay * settings.weight_decay_factor);
    rules.weights.l2 = static_cast<T>(l2_of_update(settings, gradient_divisor));
    if (!settings.proximal)
        rules.weights.l1 = static_cast<T>(settings.l1);
    else if (settings.l1 != 0)  // without l1, momentum may be 1
        rules.weights.soft_threshold = static_cast<T>((rate + gradient_rate) * settings.l1 / (1 - optimizer.momentum));
    return rules;
}

}  // namespace fastmlp
