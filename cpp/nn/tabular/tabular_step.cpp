// One update of a network for tables.
#include "../norms.h"
#include "tabular_trainer.h"

namespace fastmlp {

// Phase one: units.

template <class T> void TabularTrainer<T>::embed(const Pass& pass, Range rows) noexcept {
    const TabularShape& shape = net_.shape();
    const auto categories = static_cast<int64_t>(shape.categories.size());
    const auto copy = [&](const auto* from, int64_t columns, auto* to, int64_t i, int64_t source) {
        if (from) std::copy_n(from + source * columns, columns, to + i * columns);
    };
    for (int64_t i = rows.begin; i < rows.end; ++i) {
        const int64_t source = pass.plan.row(pass.batch.begin + i);
        copy(pass.data.numbers, shape.numbers, batch_numbers_.data(), i, source);
        copy(pass.data.columns, shape.columns, batch_columns_.data(), i, source);
        copy(pass.data.codes, categories, batch_codes_.data(), i, source);
        copy(pass.data.labels.empty() ? nullptr : pass.data.labels.data(), 1, batch_labels_.data(), i, source);
        copy(pass.data.targets, shape.outputs, batch_targets_.data(), i, source);
        copy(pass.data.sample_weights, 1, batch_weights_.data(), i, source);
    }
    net_.front().forward({batch_numbers_.data() + rows.begin * shape.numbers,
                          batch_columns_.data() + rows.begin * shape.columns,
                          batch_codes_.data() + rows.begin * categories, rows.size()},
                         part(embedded_, rows.begin, rows.size()));
}

template <class T>
void TabularTrainer<T>::pass_unit(const Pass& pass, int64_t group_begin, int64_t member, Range rows) noexcept {
    if (net_.shape().members == 1) embed(pass, rows);
    const int64_t batch_rows = pass.batch.rows(), size = rows.size();
    const int64_t first = (member - group_begin) * batch_rows + rows.begin;  // in the matrices of the group
    MatrixView<const T> in = part(embedded_, rows.begin, size);
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
        LayerBuffers& buffers = buffers_[i];
        const auto& layer = net_.hidden()[i];
        if (layer.input_factors) {
            const MatrixView<T> scaled = part(buffers.inputs, first, size);
            kernels_.scale_columns(scaled.data, scaled.stride, in.data, in.stride, size, layer.input_factors.stride(),
                                   layer.input_factors.row(member));
            in = scaled;
        }
        const MatrixView<T> out = part(buffers.outputs, first, size);
        const typename TabularNet<T>::Kept kept{part(buffers.unscaled, first, size).data,
                                                part(buffers.derivatives, first, size).data,
                                                part(buffers.differences, first, size).data};
        const bool is_done = in_pairs(i, [&](auto& pairs) {
            pairs.take_inputs(in, first, 0);
            net_.hidden_forward_tiles(i, member, pairs.height(), out, kept, [&](const Tile& tile, T* to) {
                pairs.forward_tile(tile, nullptr, to, out.stride, first);
            });
        });
        if (!is_done) net_.hidden_forward(i, member, in, out, kept);
        in = out;
        if (const Dropout<T> dropout = dropout_of(pass, i, member * batch_rows)) {
            const MatrixView<T> dropped = part(buffers.dropped, first, size);
            dropout.apply(out, rows.begin, 0, dropped);
            in = dropped;
        }
    }
    const MatrixView<T> z = part(outputs_, first, size);
    net_.heads()[static_cast<std::size_t>(member)].forward(Worker::alone(), in, z);
    const bool labels = net_.uses_labels();
    const Targets<T> targets{labels ? batch_labels_.data() + rows.begin : nullptr,
                             labels ? nullptr : batch_targets_.data() + rows.begin * net_.shape().outputs,
                             net_.shape().outputs,
                             pass.data.sample_weights ? batch_weights_.data() + rows.begin : nullptr};
    const double scale = gradient_factor_ / static_cast<double>(batch_rows * net_.shape().members);
    loss_and_gradient(net_.loss(), kernels_, z, targets, static_cast<T>(scale), losses_,
                      member * batch_rows + rows.begin);
    backward_unit(pass, z, member, first, rows);
}

template <class T>
void TabularTrainer<T>::backward_unit(const Pass& pass, MatrixView<const T> head_gradient, int64_t member,
                                      int64_t first, Range rows) noexcept {
    const int64_t size = rows.size();
    const auto hidden = static_cast<int64_t>(buffers_.size());
    const auto blocks = [&](Matrix<T>& of) {  // those of these rows, which begin as zeros
        const int64_t of_member = (first - rows.begin) / pass.batch.rows() * sum_blocks_of(pass.batch.rows());
        const MatrixView<T> sums = part(of, of_member + rows.begin / sum_rows, sum_blocks_of(size));
        if (sums.data) std::fill_n(sums.data, sums.rows * sums.stride, T(0));
        return sums;
    };
    // The gradient with respect to the inputs of layer `above`, tile by tile, becomes that of the layer below.
    MatrixView<const T> gradient = head_gradient;
    for (int64_t above = hidden; above > 0; --above) {
        const bool is_head = above == hidden;
        const auto i = static_cast<std::size_t>(above - 1);
        LayerState<T>& state = layers_[static_cast<std::size_t>(is_head ? hidden + member : above)].state;
        const auto* const layer_above = is_head ? nullptr : &net_.hidden()[static_cast<std::size_t>(above)];
        const DenseLayer<T>& dense =
            is_head ? net_.heads()[static_cast<std::size_t>(member)] : layer_above->dense;
        const ParameterArray<T>* const factors =
            layer_above && layer_above->input_factors ? &layer_above->input_factors : nullptr;
        LayerBuffers& buffers = buffers_[i];
        const auto& layer = net_.hidden()[i];
        const Dropout<T> dropout = dropout_of(pass, i, member * pass.batch.rows());
        const MatrixView<T> out = part(buffers.outputs, first, size), to = part(buffers.gradients, first, size);
        const MatrixView<T> derivatives = part(buffers.derivatives, first, size);
        const MatrixView<T> layer_inputs = dropout ? part(buffers.dropped, first, size) : out;
        const MatrixView<T> differences = part(buffers.differences, first, size);
        const MatrixView<T> shares = blocks(buffers.activation_shares);
        const MatrixView<T> products = blocks(buffers.output_factors), sums = blocks(buffers.member_biases);
        MatrixView<T> products_above{};
        if (factors) products_above = blocks(buffers_[static_cast<std::size_t>(above)].input_factors);
        const PanelShape& shape = dense.transposed_shape();
        const std::size_t pair_layer = is_head ? pair_layers_.size() : static_cast<std::size_t>(above);
        const int height = take_gradient(pair_layer, gradient, first, shape);
        for_each_tile(height, size, shape, Worker::alone(), [&](const Tile& tile) {
            const int64_t column = tile.panel * shape.full_width(), width = shape.width_of(tile.panel);
            const auto at = [&](MatrixView<T> of) { return of.data ? of.row(tile.row) + column : nullptr; };
            T* const g = at(to);
            if (!in_pairs(pair_layer, [&](auto& pairs) { pairs.input_gradient_tile(tile, g, to.stride, first); }))
                panel_tile(kernels_, gradient, shape, state.transposed(), tile, g, to.stride);
            const MatrixView<T> g_tile{g, tile.rows, width, to.stride};
            if (factors)
                scale_gradient(tile, to, layer_inputs, factors->row(member), column, width, products_above, {});
            if (dropout) dropout.apply(g_tile, rows.begin + tile.row, column, g_tile);
            if (layer.activation_shares)
                for_each_sum_block(tile, [&](int64_t row, int64_t count, int64_t block) {
                    kernels_.mix_gradient(to.row(row) + column, to.stride, derivatives.row(row) + column,
                                          differences.row(row) + column, differences.stride, count, width,
                                          shares.row(block) + column);
                });
            else
                net_.epilogue().backward(g_tile, {at(out), tile.rows, width, out.stride}, at(derivatives));
            if (layer.output_factors)
                scale_gradient(tile, to, part(buffers.unscaled, first, size), layer.output_factors.row(member), column,
                               width, products, sums);
        });
        gradient = to;
    }
    ArrayState* const factors = hidden_arrays_[0].input_factors;
    if (!factors && !net_.front().learns()) return;
    const DenseLayer<T>& dense = net_.hidden()[0].dense;
    const PanelShape& shape = dense.transposed_shape();
    const MatrixView<T> to = part(front_gradients_, first, size);
    const MatrixView<T> embedded = part(embedded_, rows.begin, size), products = blocks(buffers_[0].input_factors);
    for_each_tile(take_gradient(0, gradient, first, shape), size, shape, Worker::alone(), [&](const Tile& tile) {
        const int64_t column = tile.panel * shape.full_width(), width = shape.width_of(tile.panel);
        T* const g = to.row(tile.row) + column;
        if (!in_pairs(0, [&](auto& pairs) { pairs.input_gradient_tile(tile, g, to.stride, first); }))
            panel_tile(kernels_, gradient, shape, layers_[0].state.transposed(), tile, g, to.stride);
        if (factors) scale_gradient(tile, to, embedded, factors->array->row(member), column, width, products, {});
    });
}

// Phase two: gradients and updates.

template <class T> UpdateRule<T> TabularTrainer<T>::rule(const GroupFactors& factors, const Pass& pass) const noexcept {
    // PyTorch's Adam: epsilon is added to the corrected root.
    const double t = static_cast<double>(pass.update), rate = pass.settings.learning_rate * factors.learning_rate;
    const double correction = std::sqrt(1 - std::pow(optimizer_.beta_2, t));
    UpdateRule<T> rule{};
    rule.learning_rate = static_cast<T>(rate * correction / (1 - std::pow(optimizer_.beta_1, t)));
    rule.beta_1 = static_cast<T>(optimizer_.beta_1);
    rule.one_minus_beta_1 = static_cast<T>(1 - optimizer_.beta_1);
    rule.beta_2 = static_cast<T>(optimizer_.beta_2);
    rule.one_minus_beta_2 = static_cast<T>(1 - optimizer_.beta_2);
    rule.epsilon = static_cast<T>(optimizer_.epsilon * factors.epsilon * correction);
    rule.decay = static_cast<T>(1 - pass.settings.learning_rate * optimizer_.weight_decay *
                                        pass.settings.weight_decay_factor * factors.weight_decay);
    return rule;
}

template <class T>
void TabularTrainer<T>::update_array(const Pass& pass, ArrayState& state, int64_t begin, int64_t size) noexcept {
    kernels_.update[static_cast<int>(UpdateKind::adamw)](
        state.array->values().data() + begin, state.gradient.values().data() + begin,
        state.mean.values().data() + begin, state.square.values().data() + begin, size, rule(state.factors, pass));
}

template <class T>
void TabularTrainer<T>::take_array_gradient(const Worker& worker, const Pass& pass, ArrayState& state, int64_t row,
                                            MatrixView<const T> sums) noexcept {
    const int64_t lanes = kernels_.lanes;
    const Range mine = worker.share(state.gradient.stride() / lanes);
    const int64_t begin = mine.begin * lanes, size = mine.size() * lanes;
    if (size == 0) return;
    kernels_.column_sums(sums.data + begin, sums.stride, sums.rows, size, state.gradient.row(row) + begin);
    if (is_fused(pass)) update_array(pass, state, row * state.gradient.stride() + begin, size);
}

template <class T>
void TabularTrainer<T>::take_gradients(const Worker& worker, const Pass& pass, Range members) noexcept {
    const int64_t rows = pass.batch.rows(), count = members.size(), group_rows = count * rows;
    const bool is_single = net_.shape().members == 1;
    const MicroBatch group{members.begin * rows, members.end * rows, 0, net_.shape().members * rows};
    PackedColumns<T>* const packed = packed_.empty() ? nullptr : &packed_[static_cast<std::size_t>(worker.index)];
    GradientSink<T> sink(kernels_, UpdateKind::adamw, {}, group, is_fused(pass));
    const auto of_member = [&](auto view, int64_t member, int64_t rows_each) {
        view.data = view.row((member - members.begin) * rows_each);
        view.rows = rows_each;
        return view;
    };
    int loops = 0;
    const auto next_loop = [&] {  // at most two between barriers
        if (loops++ == 2) worker.wait_for_all(), loops = 1;
    };
    if (!pair_layers_.empty()) {
        round_operands(worker, pass, group_rows);
        worker.wait_for_all();
    }
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
        LayerBuffers& buffers = buffers_[i];
        next_loop();
        sink.set_rules(rules(layers_[i], pass));
        DenseLayer<T>& dense = net_.hidden()[i].dense;
        LayerState<T>& state = layers_[i].state;
        const MatrixView<const T> gradient = part(buffers.gradients, 0, group_rows);
        const bool has_biases = !hidden_arrays_[i].member_biases;
        const bool is_done = in_pairs(i, [&](auto& pairs) {
            const ParameterBlock<T> weights = state.weights_of(dense), biases = state.biases_of(dense);
            pairs.weight_gradient(
                worker, group_rows, dense.inputs(), nullptr,
                [&](int64_t offset, const T* sums, int64_t count) { sink.take_weights(weights, offset, sums, count); },
                [] {});
            if (has_biases)
                dense.bias_gradient(worker, gradient, [&](int64_t offset, const T* sums, int64_t count) {
                    sink.take_biases(biases, offset, sums, count);
                });
        });
        if (!is_done)
            take_layer_gradient<T>(worker, dense, state, inputs_of(i, pass, group_rows), gradient, true, has_biases,
                                   packed, sink);
        const HiddenArrays& arrays = hidden_arrays_[i];
        for (int64_t member = members.begin; member < members.end; ++member) {
            const auto take = [&](ArrayState* state, Matrix<T>& sums) {
                if (!state) return;
                take_array_gradient(worker, pass, *state, member, of_member(sums.view(), member, sum_blocks_of(rows)));
            };
            take(arrays.input_factors, buffers.input_factors);
            take(arrays.output_factors, buffers.output_factors);
            take(arrays.member_biases, buffers.member_biases);
            take(arrays.activation_shares, buffers.activation_shares);
        }
    }
    next_loop();
    const auto take_head = [&](const Worker& by, int64_t member, GradientSink<T>& to) {
        const auto index = static_cast<std::size_t>(member);
        LayerEntry& entry = layers_[buffers_.size() + index];
        to.set_rules(rules(entry, pass));
        take_layer_gradient<T>(by, net_.heads()[index], entry.state,
                               of_member(inputs_of(buffers_.size(), pass, group_rows), member, rows),
                               of_member(part(outputs_, 0, group_rows), member, rows), true, true, nullptr, to);
    };
    if (is_single) return take_head(worker, 0, sink);
    GradientSink<T> of_head(kernels_, UpdateKind::adamw, {}, {0, rows, 0, rows}, is_fused(pass));
    worker.share_out(count, [&](int64_t i) { take_head(Worker::alone(), members.begin + i, of_head); });
}

template <class T>
void TabularTrainer<T>::add_front_gradients(const Worker& worker, const Pass& pass, Range members) noexcept {
    if (net_.shape().members == 1 || !net_.front().learns()) return;
    const Range mine = worker.share(pass.batch.rows());
    const MatrixView<T> sum = embedded_gradient_.view();
    for (int64_t i = mine.begin; i < mine.end; ++i)
        for (int64_t member = members.begin; member < members.end; ++member) {
            const T* const from = front_gradients_.view().row((member - members.begin) * pass.batch.rows() + i);
            if (member == 0)
                std::copy_n(from, sum.stride, sum.row(i));
            else
                kernels_.add(sum.row(i), from, sum.stride);
        }
}

template <class T> void TabularTrainer<T>::take_front_gradients(const Worker& worker, const Pass& pass) noexcept {
    Front<T>& front = net_.front();
    if (!front.learns()) return;
    const Table<T> table = batch_table(pass.batch.rows());
    const MatrixView<const T> gradient = part(net_.shape().members == 1 ? front_gradients_ : embedded_gradient_, 0,
                                              pass.batch.rows());
    const auto update_rows = [&](ArrayState& state, int64_t row, int64_t rows) {
        if (is_fused(pass)) update_array(pass, state, row * state.gradient.stride(), rows * state.gradient.stride());
    };
    const int64_t numbers = front.embedded_numbers();
    worker.share_out(numbers + front.categories(), [&](int64_t i) {
        if (i >= numbers) {
            ArrayState& state = arrays_[static_cast<std::size_t>(front.number_arrays() + i - numbers)];
            front.category_gradient(i - numbers, table, gradient, state.gradient);
            return update_rows(state, 0, state.gradient.rows());
        }
        ParameterArray<T>* to[Front<T>::max_number_arrays];
        for (int j = 0; j < front.number_arrays(); ++j) to[j] = &arrays_[static_cast<std::size_t>(j)].gradient;
        front.number_gradient(i, table, gradient, to, workspaces_[static_cast<std::size_t>(worker.index)].data());
        for (int j = 0; j < front.number_arrays(); ++j) update_rows(arrays_[static_cast<std::size_t>(j)], i, 1);
    });
}

template <class T> void TabularTrainer<T>::clip_and_update(const Worker& worker, const Pass& pass) noexcept {
    T scale = 1;
    if (pass.settings.max_gradient_norm > 0) {
        double sums[2] = {0, 0};  // by each worker, all alike
        for (ArrayState& state : arrays_)
            kernels_.norms(state.gradient.values().data(), state.gradient.values().size(), sums);
        kernels_.norms(sums_.data(), sums_.size(), sums);
        scale = clipping_factor<T>(std::sqrt(sums[1]), pass.settings.max_gradient_norm);
        worker.wait_for_all();
    }
    const auto update_share = [&](const ParameterBlock<T>& block, const UpdateRule<T>& by) {
        const Range mine = worker.share(block.size / kernels_.lanes);
        const int64_t begin = mine.begin * kernels_.lanes, size = mine.size() * kernels_.lanes;
        if (scale != 1)
            for (int64_t j = begin; j < begin + size; ++j) block.gradient[j] *= scale;
        update_block(kernels_, UpdateKind::adamw, block, begin, block.gradient + begin, size, by);
    };
    for (ArrayState& state : arrays_)
        update_share({state.array->values().data(), state.gradient.values().data(),
                      {state.mean.values().data(), state.square.values().data()}, state.array->values().size()},
                     rule(state.factors, pass));
    for (LayerEntry& entry : layers_) {
        const UpdateRules<T> by = rules(entry, pass);
        update_share(entry.state.weights_of(*entry.layer), by.weights);
        update_share(entry.state.biases_of(*entry.layer), by.biases);
    }
    worker.wait_for_all();
    refresh_copies(worker);
}

template <class T> void TabularTrainer<T>::train_batch(const Worker& worker, const Pass& pass) noexcept {
    const int64_t members = net_.shape().members, rows = pass.batch.rows();
    round_weights(worker);
    if (members > 1) embed(pass, worker.share(rows));
    if (members > 1 || !pair_layers_.empty()) worker.wait_for_all();
    for (int64_t begin = 0; begin < members; begin += group_members_) {
        const Range group{begin, std::min(begin + group_members_, members)};
        // Units of at most 128 rows, some for each worker, of whole blocks.
        const int64_t wanted = std::max((rows + 127) / 128, (2 * worker.count + group.size() - 1) / group.size());
        const RowTiles units(sum_blocks_of(rows), std::min(sum_blocks_of(rows), wanted));
        worker.share_out(group.size() * units.count(), [&](int64_t i) {
            const Range blocks = units.rows(i % units.count());
            pass_unit(pass, begin, begin + i / units.count(),
                      {blocks.begin * sum_rows, std::min(rows, blocks.end * sum_rows)});
        });
        worker.wait_for_all();
        add_front_gradients(worker, pass, group);
        take_gradients(worker, pass, group);
        worker.wait_for_all();
    }
    take_front_gradients(worker, pass);
    if (net_.front().learns()) worker.wait_for_all();
    if (pass.updates && !is_fused(pass)) {
        clip_and_update(worker, pass);
        worker.wait_for_all();
    }
}

#define FASTMLP_INSTANTIATE(T) template void TabularTrainer<T>::train_batch(const Worker&, const Pass&) noexcept;
FASTMLP_INSTANTIATE(float)
FASTMLP_INSTANTIATE(double)

}  // namespace fastmlp
