// A layer's weights (inputs, outputs) and biases (outputs) as NumPy arrays.
#pragma once

#include <utility>

#include "../nn/parameters.h"
#include "numpy_views.h"

namespace fastmlp {

template <class T>
std::pair<Array<T>, Array<T>> new_layer_arrays(const DenseLayer<T>& layer, LayerArrays<const T> from) {
    Array<T> weights = new_matrix<T>(layer.inputs(), layer.outputs()), biases(layer.outputs());
    unpack_layer(layer, from, weights.mutable_data(), biases.mutable_data());
    return {weights, biases};
}

template <class T> bool fit_layer(const DenseLayer<T>& layer, const Array<T>& weights, const Array<T>& biases) {
    return weights.ndim() == 2 && weights.shape(0) == layer.inputs() && weights.shape(1) == layer.outputs() &&
           biases.ndim() == 1 && biases.shape(0) == layer.outputs();
}

}  // namespace fastmlp
