// Data sets that view NumPy arrays.
#pragma once

#include <optional>

#include "../nn/network.h"
#include "numpy_views.h"

namespace fastmlp {

// A data set, the arrays that it views, kept alive, and the kind of network that it is for.
template <class T> struct BoundDataset : Dataset<T> {
    Pin inputs_pin, targets_pin, sample_weights_pin;
    py::object inputs_owner, nonzero_owner;
    int64_t outputs;
    Loss loss;

    bool fits(const Network<T>& network) const {
        return this->inputs.columns == network.inputs() && outputs == network.outputs() &&
               loss == network.loss().kind;
    }
};

template <class T>
std::unique_ptr<BoundDataset<T>> new_dataset(const Network<T>& network, const py::object& inputs,
                                             const py::object& nonzero, const std::optional<Array<T>>& sample_weights) {
    auto data = std::make_unique<BoundDataset<T>>();
    data->inputs = inputs_view(inputs, network.inputs());
    network.standardization().check(data->inputs);
    data->inputs_owner = inputs;
    data->inputs_pin = pin_inputs(inputs);
    data->outputs = network.outputs();
    data->loss = network.loss().kind;
    if (!nonzero.is_none()) {
        const auto& bits = nonzero.cast<const NonzeroBits&>();
        require(bits.empty() || bits.describes(data->inputs), "nonzero must be of the same inputs");
        data->nonzero_owner = nonzero;
        data->nonzero = bits.empty() || network.standardization().subtracts() ? nullptr : &bits;
    }
    if (sample_weights) {
        require(sample_weights->ndim() == 1 && sample_weights->shape(0) == data->inputs.rows,
                "sample_weights must have one entry per row");
        data->sample_weights_pin = Pin(*sample_weights);
        data->sample_weights = sample_weights->data();
    }
    return data;
}

template <class T>
std::unique_ptr<BoundDataset<T>> labelled_dataset(const Network<T>& network, const py::object& inputs,
                                                  const Array<std::int64_t>& labels, const py::object& nonzero,
                                                  const std::optional<Array<T>>& sample_weights) {
    auto data = new_dataset(network, inputs, nonzero, sample_weights);
    require(network.uses_labels(), "the loss takes targets, not integer labels");
    require(labels.ndim() == 1 && labels.shape(0) == data->inputs.rows, "labels must have one entry per row");
    data->labels = checked_labels(labels.data(), data->inputs.rows, network.outputs());
    return data;
}

template <class T>
std::unique_ptr<BoundDataset<T>> target_dataset(const Network<T>& network, const py::object& inputs,
                                                const Array<T>& targets, const py::object& nonzero,
                                                const std::optional<Array<T>>& sample_weights) {
    auto data = new_dataset(network, inputs, nonzero, sample_weights);
    require(!network.uses_labels(), "the loss takes integer labels, not targets");
    require(targets.ndim() == 2 && targets.shape(0) == data->inputs.rows && targets.shape(1) == network.outputs(),
            "targets must have shape (rows, outputs)");
    data->targets = targets.data();
    data->targets_pin = Pin(targets);
    return data;
}

}  // namespace fastmlp
