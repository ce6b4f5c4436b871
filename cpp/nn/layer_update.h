// The gradient of a layer's weights and biases, tile by tile into a GradientSink, and the weights' transposed copy,
// which follows its updates.
#pragma once

#include "gradient_sink.h"

namespace fastmlp {

// By all workers, of a layer whose inputs are dense. `gradient` is that with respect to z. With `copies`, updates
// change the transposed copy too; without `with_biases`, the layer's biases are not used. `packed` is this worker's
// memory for copies of `in`; null: none are made.
template <class T>
void take_layer_gradient(const Worker& worker, DenseLayer<T>& layer, LayerState<T>& state, MatrixView<const T> in,
                         MatrixView<const T> gradient, bool copies, bool with_biases, PackedColumns<T>* packed,
                         GradientSink<T>& sink) noexcept {
    const ParameterBlock<T> weights = state.weights_of(layer), biases = state.biases_of(layer);
    copies = copies && sink.updates();
    const auto on_biases = [&](int64_t offset, const T* sums, int64_t size) {
        if (with_biases) sink.take_biases(biases, offset, sums, size);
    };
    if (layer.is_narrow()) {
        layer.narrow_weight_gradient(
            worker, in, gradient,
            [&](int64_t panel, int64_t offset, const T* sums, int64_t size) {
                sink.take_weights(weights, offset, sums, size);
                if (copies) layer.transpose_block(panel, 0, state.transposed());
            },
            on_biases);
        return;
    }
    const int64_t tiles = layer.weight_tiles(layer.inputs(), worker.count).count();
    int64_t waiting = -1;  // the panel of a tile that is updated during the next one
    const auto on_change = [&](int64_t panel) {
        if (copies && panel >= 0) state.tile_changed(layer, panel, tiles);
    };
    layer.weight_gradient(
        worker, in, gradient,
        [&](const OuterProduct<T>& product, int64_t panel) {
            sink.take_tile(weights, product, Prefetch{});
            on_change(sink.overlaps() ? std::exchange(waiting, panel) : panel);
        },
        on_biases, nullptr, packed);
    sink.finish_tiles();
    on_change(waiting);
}

}  // namespace fastmlp
