// What one update does to a vector of parameters.
#pragma once

#include "kernel_table.h"
#include "simd.h"

namespace fastmlp::FASTMLP_ISA {

// The gradient with the penalty's: g + l2 * w + l1 * sign(w).
template <class T> inline Vec<T> penalized(Vec<T> w, Vec<T> g, const UpdateRule<T>& rule) {
    using V = Vec<T>;
    const V zero = V::zero(), l1 = V::broadcast(rule.l1);
    const V sign = select_less(zero, w, l1, select_less(w, zero, zero - l1, zero));
    return fma(V::broadcast(rule.l2), w, g + sign);
}

template <class T> inline Vec<T> sgd_step(Vec<T> w, Vec<T> g, const UpdateRule<T>& rule) {
    return fma(Vec<T>::broadcast(-rule.learning_rate), penalized<T>(w, g, rule), w);
}

template <class T> inline Vec<T> momentum_step(Vec<T> w, Vec<T> g, const UpdateRule<T>& rule, T* velocity) {
    using V = Vec<T>;
    const V momentum = V::broadcast(rule.momentum);
    const V step = V::broadcast(-rule.learning_rate) * penalized<T>(w, g, rule);
    const V speed = fma(momentum, V::load(velocity), step);
    speed.store(velocity);
    return rule.nesterov ? w + fma(momentum, speed, step) : w + speed;
}

template <class T> inline Vec<T> adam_step(Vec<T> w, Vec<T> g, const UpdateRule<T>& rule, T* mean, T* square) {
    using V = Vec<T>;
    g = penalized<T>(w, g, rule);
    const V m = fma(V::broadcast(rule.beta_1), V::load(mean), V::broadcast(rule.rest_1) * g);
    const V v = fma(V::broadcast(rule.beta_2), V::load(square), V::broadcast(rule.rest_2) * (g * g));
    m.store(mean);
    v.store(square);
    return w - V::broadcast(rule.learning_rate) * m / (sqrt(v) + V::broadcast(rule.epsilon));
}

}  // namespace fastmlp::FASTMLP_ISA
