// Parameters, gradients and optimizer state as plain row-major arrays: from panels and back.
#pragma once

#include "trainer.h"

namespace fastmlp {

// weights (inputs, outputs), row-major, and biases (outputs) <- arrays of a layer in its own layout.
template <class T>
void unpack_layer(const DenseLayer<T>& layer, LayerArrays<const T> from, T* weights, T* biases) {
    unpack_panels(layer.shape(), from.weights, weights, layer.outputs());
    std::copy_n(from.biases, layer.outputs(), biases);
}

// The other way. Padding becomes zero: a fit that diverged leaves NaN there.
template <class T>
void pack_layer(const DenseLayer<T>& layer, const T* weights, const T* biases, LayerArrays<T> to) {
    std::fill_n(to.weights, layer.shape().size(), T(0));
    std::fill_n(to.biases, layer.shape().padded_columns(), T(0));
    pack_panels(layer.shape(), weights, layer.outputs(), to.weights);
    std::copy_n(biases, layer.outputs(), to.biases);
}

// A parameter vector holds all weights, those of a layer row by row, and then all biases.
template <class T> int64_t parameter_count(const Network<T>& network) {
    int64_t count = 0;
    for (const auto& layer : network.layers()) count += (layer.inputs() + 1) * layer.outputs();
    return count;
}

// Calls f(i, weights, biases) with the parts of a parameter vector that belong to layer i.
template <class T, class Element, class F>
void for_each_layer_of(const Network<T>& network, Element* vector, F f) {
    Element *weights = vector, *biases = vector;
    for (const auto& layer : network.layers()) biases += layer.inputs() * layer.outputs();
    for (std::size_t i = 0; i < network.layers().size(); ++i) {
        const DenseLayer<T>& layer = network.layers()[i];
        f(i, weights, biases);
        weights += layer.inputs() * layer.outputs();
        biases += layer.outputs();
    }
}

template <class T> void get_parameters(const Network<T>& network, T* vector) {
    for_each_layer_of(network, vector, [&](std::size_t i, T* weights, T* biases) {
        unpack_layer(network.layers()[i], network.layers()[i].parameters(), weights, biases);
    });
}

template <class T> void set_parameters(Network<T>& network, const T* vector) {
    for_each_layer_of(network, vector, [&](std::size_t i, const T* weights, const T* biases) {
        pack_layer(network.layers()[i], weights, biases, network.layers()[i].parameters());
    });
}

// Those that sum_gradients has summed.
template <class T> void get_gradients(const Trainer<T>& trainer, T* vector) {
    const Network<T>& network = trainer.network();
    for_each_layer_of(network, vector, [&](std::size_t i, T* weights, T* biases) {
        unpack_layer(network.layers()[i], trainer.layer_states()[i].gradients(), weights, biases);
    });
}

}  // namespace fastmlp
