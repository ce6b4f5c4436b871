// The training step: forward, loss, backward and update of one micro-batch after another.
//
// One team runs a whole slice. Between two barriers, the workers share the tiles of one or two matrix products:
//   forward   layer by layer
//   head      the output layer, the loss and the gradient with respect to the last hidden layer, by rows; in large teams
//             by whoever completes a tile's rows in the last hidden layer, without a barrier
//   backward  from the last layer: the gradient of the layer below, for the next phase, and this layer's weight
//             gradient, whose tiles go into a GradientSink; between the first layer's tiles the next micro-batch's rows
//             are gathered, so that memory loads one row while the core computes
// That is 2 * n - 1 barriers per micro-batch for n layers, one less in large teams, and one more if the output layer is
// wide: then the gradient of the layer below is a product of its own. Each worker begins with the same tiles each time,
// so its panels of weights and states stay in its L2 as far as they fit; inputs and activations of a micro-batch pass
// through L2; a tile's sums are in registers, and the gradient of all weights exists only if several micro-batches add
// up to it. With bfloat16 there is one barrier more before forward, after inputs and weights are rounded, and one more
// before each weight gradient.
#include "trainer.h"

namespace fastmlp {

// From so many workers on, a barrier costs more than counting the tiles of each row, and a store to a line that the
// others have read more than asking for it first.
constexpr int large_team = 4;

// A micro-batch's rows.

template <class T>
void Trainer<T>::find_columns(const Worker& worker, const Epoch& epoch, const MicroBatch& batch,
                              BatchBuffers& to) noexcept {
    if (to.columns.empty()) return;
    const Range mine = worker.share(batch.rows());
    ActiveColumns& columns = to.columns[static_cast<std::size_t>(worker.index)];
    const int64_t first = batch.begin + mine.begin;
    if (epoch.data.nonzero)
        columns.mark_nonzero(*epoch.data.nonzero, epoch.plan.order(), first, mine.size());
    else
        columns.mark_nonzero(epoch.data.inputs, epoch.plan.order(), first, mine.size());
}

template <class T>
RowGather<T> Trainer<T>::gather(const Worker& worker, const Epoch& epoch, const MicroBatch& batch,
                                BatchBuffers& to) noexcept {
    const Range mine = worker.share(batch.rows());
    if (!to.columns.empty()) to.columns[static_cast<std::size_t>(worker.index)].merge(to.columns.data(), worker.count,
                                                                                      !pair_layers_.empty());
    for (int64_t i = mine.begin; i < mine.end; ++i) {
        const Targets<T> from = epoch.data.targets_from(epoch.plan.row(batch.begin + i), network_.outputs());
        if (from.labels) to.labels.data()[i] = *from.labels;
        if (from.targets) std::copy_n(from.targets, network_.outputs(), to.targets.view().row(i));
        if (from.sample_weights) to.sample_weights.data()[i] = *from.sample_weights;
    }
    MatrixView<T> inputs = to.inputs.view();
    inputs.data = inputs.row(mine.begin);
    return {kernels_,    network_.reader(), epoch.data.inputs, epoch.plan.order(), batch.begin + mine.begin,
            mine.size(), inputs,            active_columns(worker, to)};
}

template <class T>
void Trainer<T>::begin_slice(const Worker& worker, const Epoch& epoch, const MicroBatch& first, bool is_gathered,
                             int side) noexcept {
    refresh_transposed(worker);
    if (!is_gathered) {
        find_columns(worker, epoch, first, batches_[side]);
        worker.wait_for_all();
        gather(worker, epoch, first, batches_[side]).copy_all();
    }
    worker.wait_for_all();
}

template <class T>
MatrixView<const T> Trainer<T>::inputs_of(std::size_t layer, const MicroBatch& batch, BatchBuffers& buffers,
                                          const ActiveColumns* active) noexcept {
    Matrix<T>& from = layer == 0 ? buffers.inputs : (drops_ ? dropped_ : outputs_)[layer - 1];
    MatrixView<T> inputs = from.first_rows(batch.rows());
    if (layer == 0 && active) inputs.columns = active->count();
    return inputs;
}

// Forward and backward.

template <class T>
void Trainer<T>::round_operands(const Worker& worker, const MicroBatch& batch, BatchBuffers& buffers) noexcept {
    if (pair_layers_.empty()) return;
    const ActiveColumns* active = active_columns(worker, buffers);
    in_pairs(0, [&](auto& pairs) { pairs.round_inputs(worker, inputs_of(0, batch, buffers, active), active); });
    for (std::size_t i = 0; i < pair_layers_.size(); ++i)
        in_pairs(i, [&](auto& pairs) { pairs.round_weights(worker, states_[i].transposed()); });
    worker.wait_for_all();
}

template <class T>
template <class OnTile>
void Trainer<T>::forward_layer(const Worker& worker, std::size_t i, const MicroBatch& batch, BatchBuffers& buffers,
                               const ActiveColumns* active, const UpdateSettings& settings, OnTile on_tile) noexcept {
    const DenseLayer<T>& layer = network_.layers()[i];
    const MatrixView<T> out = outputs_[i].first_rows(batch.rows());
    if (i > 0) active = nullptr;
    const bool drops = drops_ && i + 1 < network_.layers().size();
    const MatrixView<T> dropped = drops ? dropped_[i].view() : MatrixView<T>{};
    const Dropout<T> dropout = drops ? dropout_of(i + 1, batch, settings) : Dropout<T>{};
    const bool is_done = in_pairs(i, [&](auto& pairs) {
        const auto product = [&](const Tile& tile, T* to) { pairs.forward_tile(tile, active, to, out.stride); };
        layer.forward_tiles(worker, pairs.height(), out, product, derivatives_[i].view(), dropout, dropped,
                            [&](const Tile& tile) {
                                if (i + 1 < network_.layers().size()) round_outputs(i, tile);
                                on_tile(tile);
                            });
    });
    if (!is_done)
        layer.forward(worker, inputs_of(i, batch, buffers, active), out, active, derivatives_[i].view(), dropout, dropped,
                      on_tile);
}

// A tile of a hidden layer's outputs, and what the next layer reads of them.
template <class T> void Trainer<T>::round_outputs(std::size_t i, const Tile& tile) noexcept {
    const PanelShape& shape = network_.layers()[i].shape();
    const int64_t first = tile.panel * shape.full_width();
    const auto part = [&](MatrixView<T> all) {
        return MatrixView<T>{all.row(tile.row) + first, tile.rows, shape.width_of(tile.panel), all.stride};
    };
    const MatrixView<T> outputs = part(outputs_[i].view());
    in_pairs(i, [&](auto& pairs) { pairs.round(outputs); });
    const MatrixView<T> inputs = drops_ ? part(dropped_[i].view()) : outputs;
    if (drops_) in_pairs(i, [&](auto& pairs) { pairs.round(inputs); });
    in_pairs(i + 1, [&](auto& next) { next.take_inputs(inputs, tile.row, first); });
}

// Some rows and columns of the gradient with respect to z of layer i.
template <class T> void Trainer<T>::round_gradient(std::size_t i, MatrixView<T> part, int64_t row, int64_t first) noexcept {
    in_pairs(i, [&](auto& pairs) {
        pairs.round(part);
        if (i > 0) pairs.take_gradient(part, row, first);
    });
}

template <class T>
void Trainer<T>::drop_inputs(const Worker& worker, const MicroBatch& batch, BatchBuffers& buffers,
                             const UpdateSettings& settings) noexcept {
    const Dropout<T> dropout = dropout_of(0, batch, settings);
    if (!dropout) return;
    const ActiveColumns* active = active_columns(worker, buffers);
    const Range mine = worker.share(batch.rows());
    MatrixView<T> inputs = buffers.inputs.first_rows(batch.rows());
    inputs = {inputs.row(mine.begin), mine.size(), active ? active->count() : inputs.columns, inputs.stride};
    dropout.apply(inputs, mine.begin, 0, inputs, active ? active->index() : nullptr);
    worker.wait_for_all();
}

template <class T>
void Trainer<T>::forward(const Worker& worker, const Epoch& epoch, const MicroBatch& batch, BatchBuffers& buffers,
                         const UpdateSettings& settings, double gradient_divisor) noexcept {
    auto& layers = network_.layers();
    const ActiveColumns* active = active_columns(worker, buffers);
    const auto finish_rows = [&](Range rows) {
        output_gradient(rows, batch, buffers, active, settings, gradient_divisor, epoch.data.sample_weights);
    };
    const bool finishes_tiles = has_narrow_head() && worker.count >= large_team;
    drop_inputs(worker, batch, buffers, settings);
    round_operands(worker, batch, buffers);
    const std::size_t shared_layers = std::max(layers.size() - 1, pair_layers_.size());  // the others are by rows
    for (std::size_t i = 0; i < shared_layers; ++i) {
        const int64_t panels = layers[i].shape().panels();
        const bool is_last_hidden = i + 2 == layers.size();
        forward_layer(worker, i, batch, buffers, active, settings, [&](const Tile& tile) {
            if (finishes_tiles && is_last_hidden && rows_done_.completes(tile.row_tile, panels))
                finish_rows({tile.row, tile.row + tile.rows});
        });
        worker.wait_for_all();
    }
    if (finishes_tiles) return;
    finish_rows(worker.share(batch.rows()));
    worker.wait_for_all();
}

template <class T>
void Trainer<T>::output_gradient(Range rows, const MicroBatch& batch, BatchBuffers& buffers,
                                 const ActiveColumns* active, const UpdateSettings& settings, double gradient_divisor,
                                 bool weighted) noexcept {
    if (rows.size() == 0) return;
    auto& layers = network_.layers();
    const std::size_t last = layers.size() - 1;
    const Worker alone = Worker::alone();
    const auto part = [&](auto matrix) {
        if (matrix.data) matrix.data = matrix.row(rows.begin);
        matrix.rows = rows.size();
        return matrix;
    };
    const MatrixView<T> z = part(outputs_[last].view());
    if (last >= pair_layers_.size())
        layers[last].forward(alone, part(inputs_of(last, batch, buffers, active)), z, last == 0 ? active : nullptr);
    const T scale = gradient_divisor > 0 ? T(1) / static_cast<T>(gradient_divisor) : T(0);
    loss_and_gradient(network_.loss(), kernels_, z, buffers.targets_from(rows.begin, weighted), scale, losses_,
                      rows.begin);
    round_gradient(last, z, rows.begin, 0);
    if (!has_narrow_head()) return;
    const MatrixView<T> below = part(gradients_[last - 1].view());
    layers[last].input_gradient(alone, z, states_[last].transposed(), part(outputs_[last - 1].view()),
                                layers[last - 1].epilogue(), part(derivatives_[last - 1].view()), below,
                                dropout_of(last, batch, settings, rows.begin));
    round_gradient(last - 1, below, rows.begin, 0);
}

template <class T>
void Trainer<T>::backward(const Worker& worker, const MicroBatch& batch, BatchBuffers& buffers,
                          const UpdateSettings& settings, const UpdateRules<T>& rules, GradientSink<T>& sink,
                          RowGather<T>& next_rows) noexcept {
    auto& layers = network_.layers();
    const ActiveColumns* active = active_columns(worker, buffers);
    const int64_t inputs = active ? active->count() : network_.inputs();
    const int64_t tiles = inputs == 0 ? 0 : layers[0].weight_tiles(inputs, worker.count).count();
    next_rows.spread_over(tiles * layers[0].shape().panels() / worker.count, worker.count >= large_team);
    const auto gradient_of = [&](std::size_t i) {
        return (i + 1 == layers.size() ? outputs_[i] : gradients_[i]).first_rows(batch.rows());
    };
    const auto input_gradient = [&](std::size_t i) {
        const MatrixView<T> to = gradient_of(i - 1), outputs = outputs_[i - 1].first_rows(batch.rows());
        const Epilogue<T>& epilogue = layers[i - 1].epilogue();
        const MatrixView<T> derivatives = derivatives_[i - 1].view();
        const Dropout<T> dropout = dropout_of(i, batch, settings);
        const bool is_done = in_pairs(i, [&](auto& pairs) {
            const auto product = [&](const Tile& tile, T* sums) { pairs.input_gradient_tile(tile, sums, to.stride); };
            const PanelShape& shape = layers[i].transposed_shape();
            layers[i].input_gradient_tiles(
                worker, pairs.height(), product, outputs, epilogue, derivatives, to, dropout, [&](const Tile& tile) {
                    const int64_t first = tile.panel * shape.full_width();
                    const int64_t width = shape.width_of(tile.panel);
                    round_gradient(i - 1, {to.row(tile.row) + first, tile.rows, width, to.stride}, tile.row, first);
                });
        });
        if (!is_done)
            layers[i].input_gradient(worker, gradient_of(i), states_[i].transposed(), outputs, epilogue, derivatives, to,
                                     dropout);
    };
    if (layers.size() > 1 && !has_narrow_head()) {
        input_gradient(layers.size() - 1);
        worker.wait_for_all();
    }
    for (std::size_t i = layers.size(); i-- > 0;) {
        in_pairs(i, [&](auto& pairs) {
            if (i > 0) pairs.round_transposed_inputs(worker, inputs_of(i, batch, buffers, active));
            pairs.round_gradient_rows(worker, gradient_of(i));
            worker.wait_for_all();
        });
        if (i > 1) input_gradient(i - 1);
        weight_gradient(worker, i, inputs_of(i, batch, buffers, active), gradient_of(i), i == 0 ? active : nullptr,
                        rules_of(i, rules), sink, next_rows);
        if (i > 1) worker.wait_for_all();
    }
    next_rows.copy_all();
    if (active && sink.needs_zeros()) {
        const ParameterBlock<T> weights = states_[0].weights_of(layers[0]);
        layers[0].for_inactive(worker, *active,
                               [&](int64_t offset, int64_t size) { sink.take_zeros(weights, offset, size); });
    }
}

template <class T>
void Trainer<T>::weight_gradient(const Worker& worker, std::size_t i, MatrixView<const T> in,
                                 MatrixView<const T> gradient, const ActiveColumns* active,
                                 const UpdateRules<T>& rules, GradientSink<T>& sink,
                                 RowGather<T>& next_rows) noexcept {
    DenseLayer<T>& layer = network_.layers()[i];
    LayerState<T>& state = states_[i];
    sink.set_rules(rules);
    PackedColumns<T>* const packed = packed_.empty() ? nullptr : &packed_[static_cast<std::size_t>(worker.index)];
    const ParameterBlock<T> weights = state.weights_of(layer), biases = state.biases_of(layer);
    const auto on_biases = [&](int64_t offset, const T* sums, int64_t size) {
        sink.take_biases(biases, offset, sums, size);
    };
    const bool is_done = in_pairs(i, [&](auto& pairs) {
        pairs.weight_gradient(
            worker, in.rows, in.columns, active,
            [&](int64_t offset, const T* sums, int64_t size) { sink.take_weights(weights, offset, sums, size); },
            [&] {
                if (i > 0) return;
                next_rows.copy_ready();
                fetch(next_rows.prefetch());
            });
        layer.bias_gradient(worker, gradient, on_biases);
    });
    if (is_done) return;
    if (i > 0) return take_layer_gradient(worker, layer, state, in, gradient, true, true, packed, sink);
    layer.weight_gradient(
        worker, in, gradient,
        [&](const OuterProduct<T>& product, int64_t) {
            sink.take_tile(weights, product, next_rows.prefetch());
            next_rows.copy_ready();
        },
        on_biases, active, packed);
    sink.finish_tiles();
}

template <class T>
void Trainer<T>::train_micro_batch(const Worker& worker, const Epoch& epoch, const MicroBatch& batch,
                                   const MicroBatch& next, const UpdateScale& scale, int side) noexcept {
    BatchBuffers &buffers = batches_[side], &next_buffers = batches_[side ^ 1];
    const int64_t update = epoch.plan.update_of(batch.begin);
    UpdateSettings settings = epoch.settings.at(update);
    settings.dropout_key = Dropout<T>::key_of_update(settings.dropout_key, epoch.updates_before + update);
    const bool ends_update = epoch.updates && batch.is_last(), clips = settings.max_gradient_norm > 0;
    if (settings.measures_penalty && batch.is_first()) measure_weights(worker);
    find_columns(worker, epoch, next, next_buffers);
    forward(worker, epoch, batch, buffers, settings, scale.gradient_divisor);
    const UpdateRules<T> rules = update_rules<T>(optimizer_, settings, epoch.updates_before + update + 1,
                                                  scale.gradient_divisor);
    GradientSink<T> sink(kernels_, optimizer_.kind, rules, batch, epoch.updates && !clips);
    RowGather<T> next_rows = gather(worker, epoch, next, next_buffers);
    backward(worker, batch, buffers, settings, rules, sink, next_rows);
    if (ends_update && clips) {
        clip_and_update(worker, rules, settings.max_gradient_norm);
        worker.wait_for_all();
        refresh_transposed(worker);
    }
    if (ends_update) average_parameters(worker);
}

#define FASTMLP_INSTANTIATE(T)                                                                                   \
    template void Trainer<T>::begin_slice(const Worker&, const Epoch&, const MicroBatch&, bool, int) noexcept;   \
    template void Trainer<T>::train_micro_batch(const Worker&, const Epoch&, const MicroBatch&, const MicroBatch&, \
                                                const UpdateScale&, int) noexcept;
FASTMLP_INSTANTIATE(float)
FASTMLP_INSTANTIATE(double)

}  // namespace fastmlp
