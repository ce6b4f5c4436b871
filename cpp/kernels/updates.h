// What one update does to a vector of parameters.
#pragma once

#include "kernel_table.h"
#include "simd/simd.h"

namespace fastmlp::FASTMLP_ISA {

// The gradient with the penalty's: g + l2 * w + l1 * sign(w).
template <class T> [[gnu::always_inline]] inline Vec<T> penalized(Vec<T> w, Vec<T> g, const UpdateRule<T>& rule) {
    using V = Vec<T>;
    const V zero = V::zero(), l1 = V::broadcast(rule.l1);
    const V sign = select_less(zero, w, l1, select_less(w, zero, zero - l1, zero));
    return fma(V::broadcast(rule.l2), w, g + sign);
}

// w moved towards zero by `by`, and no further: what a proximal step for l1 does.
template <class T> inline Vec<T> soft_thresholded(Vec<T> w, Vec<T> by) {
    const Vec<T> zero = Vec<T>::zero();
    return max(zero, w - by) + min(zero, w + by);
}

template <class T> inline Vec<T> sgd_step(Vec<T> w, Vec<T> g, const UpdateRule<T>& rule) {
    return fma(Vec<T>::broadcast(-rule.learning_rate), g, w);
}

// One update of the parameters w[at ..] of one vector with their gradient. The states lie as w does; those that the
// kind lacks may be null.
template <class T, UpdateKind kind>
inline void update_step(std::int64_t at, Vec<T> g, T* parameters, T* state_1, T* state_2, const UpdateRule<T>& rule) {
    using V = Vec<T>;
    V w = V::load(parameters + at);
    if (rule.l1 != 0 || rule.l2 != 0) g = penalized<T>(w, g, rule);
    if constexpr (kind == UpdateKind::sgd) {
        w = sgd_step<T>(w, g, rule);
    } else if constexpr (kind == UpdateKind::momentum) {
        const V momentum = V::broadcast(rule.momentum), step = V::broadcast(-rule.learning_rate) * g;
        const V velocity = fma(momentum, V::load(state_1 + at), step);
        velocity.store(state_1 + at);
        w = rule.nesterov ? w + fma(momentum, velocity, step) : w + velocity;
    } else {
        const V mean = fma(V::broadcast(rule.beta_1), V::load(state_1 + at), V::broadcast(rule.one_minus_beta_1) * g);
        const V square =
            fma(V::broadcast(rule.beta_2), V::load(state_2 + at), V::broadcast(rule.one_minus_beta_2) * (g * g));
        mean.store(state_1 + at);
        square.store(state_2 + at);
        const V root = sqrt(square) + V::broadcast(rule.epsilon);
        w = w - V::broadcast(rule.learning_rate) * mean / root;
        if (rule.soft_threshold != 0) w = soft_thresholded<T>(w, V::broadcast(rule.soft_threshold) / root);
    }
    if (kind != UpdateKind::adam && rule.soft_threshold != 0)
        w = soft_thresholded<T>(w, V::broadcast(rule.soft_threshold));
    w.store(parameters + at);
}

}  // namespace fastmlp::FASTMLP_ISA
