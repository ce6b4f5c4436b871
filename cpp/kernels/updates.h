// The update rules: one struct each, with its step and its properties (see UpdateProperties in parts.h).
//
// `step` returns the new parameters, from a vector of parameters w and their gradient g, which includes the penalty's,
// and updates state_count vectors of state. `threshold` is that of the soft thresholding that follows.
#pragma once

#include "kernel_table.h"
#include "simd/simd.h"

namespace fastmlp::FASTMLP_ISA {

template <class T, UpdateKind kind> struct UpdateOf;

template <class T> struct UpdateOf<T, UpdateKind::sgd> {
    static constexpr int state_count = 0;
    static constexpr bool moves_without_gradient = false, overlaps_with_product = false, corrects_bias = false,
                          schedules_momentum = false;
    static Vec<T> step(Vec<T> w, Vec<T> g, Vec<T>*, const UpdateRule<T>& rule) {
        return fma(Vec<T>::broadcast(-rule.learning_rate), g, w);
    }
    static Vec<T> threshold(const Vec<T>*, const UpdateRule<T>& rule) { return Vec<T>::broadcast(rule.soft_threshold); }
};

template <class T> struct UpdateOf<T, UpdateKind::momentum> {
    static constexpr int state_count = 1;  // the velocity
    static constexpr bool moves_without_gradient = true, overlaps_with_product = false, corrects_bias = false,
                          schedules_momentum = false;
    static Vec<T> step(Vec<T> w, Vec<T> g, Vec<T>* state, const UpdateRule<T>& rule) {
        using V = Vec<T>;
        const V momentum = V::broadcast(rule.momentum), move = V::broadcast(-rule.learning_rate) * g;
        const V velocity = state[0] = fma(momentum, state[0], move);
        return rule.nesterov ? w + fma(momentum, velocity, move) : w + velocity;
    }
    static Vec<T> threshold(const Vec<T>*, const UpdateRule<T>& rule) { return Vec<T>::broadcast(rule.soft_threshold); }
};

template <class T> struct UpdateOf<T, UpdateKind::adam> {
    static constexpr int state_count = 2;  // the running means of the gradient and of its square
    // its roots and divisions take a third as long as the sums of a batch of 128, and overlap with them
    static constexpr bool moves_without_gradient = true, overlaps_with_product = true, corrects_bias = true,
                          schedules_momentum = false;
    [[gnu::always_inline]] static Vec<T> step(Vec<T> w, Vec<T> g, Vec<T>* state, const UpdateRule<T>& rule) {
        return w - move(g, state, rule);
    }
    static Vec<T> threshold(const Vec<T>* state, const UpdateRule<T>& rule) {
        return Vec<T>::broadcast(rule.soft_threshold) / root(state, rule);
    }

protected:
    [[gnu::always_inline]] static Vec<T> move(Vec<T> g, Vec<T>* state, const UpdateRule<T>& rule) {
        using V = Vec<T>;
        state[0] = fma(V::broadcast(rule.beta_1), state[0], V::broadcast(rule.one_minus_beta_1) * g);
        state[1] = fma(V::broadcast(rule.beta_2), state[1], V::broadcast(rule.one_minus_beta_2) * (g * g));
        return V::broadcast(rule.learning_rate) * state[0] / root(state, rule);
    }
    static Vec<T> root(const Vec<T>* state, const UpdateRule<T>& rule) {
        return sqrt(state[1]) + Vec<T>::broadcast(rule.epsilon);
    }
};

// The parameters also shrink by a factor, which no running mean sees (Loshchilov and Hutter 2019).
template <class T> struct UpdateOf<T, UpdateKind::adamw> : UpdateOf<T, UpdateKind::adam> {
    [[gnu::always_inline]] static Vec<T> step(Vec<T> w, Vec<T> g, Vec<T>* state, const UpdateRule<T>& rule) {
        const Vec<T> move = UpdateOf<T, UpdateKind::adam>::move(g, state, rule);
        return fma(Vec<T>::broadcast(rule.decay), w, Vec<T>::zero() - move);
    }
};

// Adam with Nesterov's momentum (Dozat 2016); the rates contain the schedule of the momentum.
template <class T> struct UpdateOf<T, UpdateKind::nadam> : UpdateOf<T, UpdateKind::adam> {
    static constexpr bool corrects_bias = false, schedules_momentum = true;
    [[gnu::always_inline]] static Vec<T> step(Vec<T> w, Vec<T> g, Vec<T>* state, const UpdateRule<T>& rule) {
        using V = Vec<T>;
        state[0] = fma(V::broadcast(rule.beta_1), state[0], V::broadcast(rule.one_minus_beta_1) * g);
        state[1] = fma(V::broadcast(rule.beta_2), state[1], V::broadcast(rule.one_minus_beta_2) * (g * g));
        const V move = fma(V::broadcast(rule.learning_rate), state[0], V::broadcast(rule.gradient_rate) * g);
        return w - move / UpdateOf<T, UpdateKind::adam>::root(state, rule);
    }
};

// The gradient divided by the root of its mean square (Tieleman and Hinton 2012).
template <class T> struct UpdateOf<T, UpdateKind::rmsprop> {
    static constexpr int state_count = 1;  // the running mean of the gradient's square
    static constexpr bool moves_without_gradient = true, overlaps_with_product = true, corrects_bias = false,
                          schedules_momentum = false;
    [[gnu::always_inline]] static Vec<T> step(Vec<T> w, Vec<T> g, Vec<T>* state, const UpdateRule<T>& rule) {
        using V = Vec<T>;
        state[0] = fma(V::broadcast(rule.rho), state[0], V::broadcast(rule.one_minus_rho) * (g * g));
        return w - V::broadcast(rule.learning_rate) * g / root(state, rule);
    }
    static Vec<T> threshold(const Vec<T>* state, const UpdateRule<T>& rule) {
        return Vec<T>::broadcast(rule.soft_threshold) / root(state, rule);
    }

private:
    static Vec<T> root(const Vec<T>* state, const UpdateRule<T>& rule) {
        return sqrt(state[0]) + Vec<T>::broadcast(rule.epsilon);
    }
};

// The gradient with the penalty's: g + l2 * w + l1 * sign(w).
template <class T> [[gnu::always_inline]] inline Vec<T> penalized(Vec<T> w, Vec<T> g, const UpdateRule<T>& rule) {
    using V = Vec<T>;
    const V zero = V::zero(), l1 = V::broadcast(rule.l1);
    const V sign = select_less(zero, w, l1, select_less(w, zero, zero - l1, zero));
    return fma(V::broadcast(rule.l2), w, g + sign);
}

// w moved towards zero by `by`, at most to zero: the proximal step of l1.
template <class T> inline Vec<T> soft_thresholded(Vec<T> w, Vec<T> by) {
    const Vec<T> zero = Vec<T>::zero();
    return max(zero, w - by) + min(zero, w + by);
}

// One update of the vector of parameters at `at`, with gradient g. The states have the parameters' layout; those that
// the kind lacks may be null.
template <class T, UpdateKind kind>
inline void update_vector(int64_t at, Vec<T> g, T* parameters, T* state_1, T* state_2, const UpdateRule<T>& rule) {
    using V = Vec<T>;
    using U = UpdateOf<T, kind>;
    V w = V::load(parameters + at), state[2];
    if constexpr (U::state_count > 0) state[0] = V::load(state_1 + at);
    if constexpr (U::state_count > 1) state[1] = V::load(state_2 + at);
    if (rule.l1 != 0 || rule.l2 != 0) g = penalized<T>(w, g, rule);
    w = U::step(w, g, state, rule);
    if constexpr (U::state_count > 0) state[0].store(state_1 + at);
    if constexpr (U::state_count > 1) state[1].store(state_2 + at);
    if (rule.soft_threshold != 0) w = soft_thresholded<T>(w, U::threshold(state, rule));
    w.store(parameters + at);
}

template <class T, UpdateKind kind>
void update_kernel(T* w, const T* g, T* state_1, T* state_2, int64_t size, const UpdateRule<T>& rule) {
    for (int64_t i = 0; i < size; i += Vec<T>::lanes)
        update_vector<T, kind>(i, Vec<T>::load(g + i), w, state_1, state_2, rule);
}

// The update of vector i of a tile's parameters.
template <class T, UpdateKind kind>
inline void update_vector_of_tile(const TileUpdate<T>& tile, int64_t i, const UpdateRule<T>& rule) {
    constexpr int lanes = Vec<T>::lanes;
    const int64_t row = i >> (tile.vectors - 1);
    const int64_t row_of_w = tile.row_index ? tile.row_index[row] : row;
    const int64_t at = tile.offset + (row_of_w * tile.vectors + (i & (tile.vectors - 1))) * lanes;
    update_vector<T, kind>(at, Vec<T>::load(tile.gradient + i * lanes), tile.w, tile.state_1, tile.state_2, rule);
}

template <class T, UpdateKind kind> void update_tile_kernel(const TileUpdate<T>& tile, const UpdateRule<T>& rule) {
    for (int64_t i = 0; i < tile.rows * tile.vectors; ++i) update_vector_of_tile<T, kind>(tile, i, rule);
}

}  // namespace fastmlp::FASTMLP_ISA
