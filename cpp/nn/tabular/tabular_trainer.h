// Training of a network for tables with Adam, whose settings each group of parameters scales.
//
// A batch passes through in two phases. First each unit, some rows of one member, goes through all layers forward and
// backward by one worker. Then the workers share the tiles of the weights' gradients, which update the weights at once.
// Members pass in groups, so that a group's activations stay in cache; the gradients of shared weights add up over the
// groups.
// No sum depends on the number of workers: units differ in rows, which no product adds up.
#pragma once

#include <cmath>
#include <optional>

#include "../../linalg/pace.h"
#include "../layer_update.h"
#include "../pair_layer.h"
#include "tabular_net.h"

namespace fastmlp {

// Factors of an optimizer's settings for some parameters.
struct GroupFactors {
    double learning_rate = 1, weight_decay = 0, epsilon = 1;
};

template <class T> class TabularTrainer {
public:
    // `gradient_factor` multiplies the gradient of the mean loss. With `bfloat16` (float only), hidden layers multiply in
    // bfloat16; heads remain float, like all sums and factors. Throws std::bad_alloc.
    TabularTrainer(TabularNet<T>& net, const OptimizerSettings& optimizer, double gradient_factor,
                   std::optional<PairOrder> bfloat16);

    // Of the array or, for dense layers, of "<layer>.weights" and "<layer>.biases". Throws std::invalid_argument.
    void set_factors(const std::string& name, const GroupFactors& factors);

    // Trains from `position` of the epoch on until its end is reached, `seconds` have passed, or sum.loss is not finite;
    // adds the losses of the rows to `sum` and returns the next position. Throws std::bad_alloc; nothing is changed then.
    int64_t run(const LabelledTable<T>& data, const EpochPlan& plan, const UpdateSettings& settings, int64_t position,
                LossSum& sum, int n_threads, double seconds);
    // The gradient of the mean loss of the plan's first batch, in gradients, instead of an update.
    void sum_gradients(const LabelledTable<T>& data, const EpochPlan& plan, const UpdateSettings& settings,
                       int n_threads);

    TabularNet<T>& net() const { return net_; }
    int64_t updates() const { return updates_; }
    // Calls f(name, gradient) for each array, and g(name, layer, whether its biases are used, gradients) for each
    // dense layer.
    template <class F, class G> void for_each_gradient(F f, G g) {
        std::size_t i = 0;
        net_.for_each_array([&](const std::string& name, ParameterArray<T>&) { f(name, arrays_[i++].gradient); });
        i = 0;
        net_.for_each_layer(
            [&](const std::string& name, DenseLayer<T>& layer, bool has_biases) {
                g(name, layer, has_biases, layers_[i++].state.gradients());
            });
    }

    void save_snapshot();  // of the parameters; throws std::bad_alloc
    bool has_snapshot() const { return snapshot_.size() > 0; }
    void restore_snapshot();

private:
    struct ArrayState {
        ParameterArray<T>* array;
        ParameterArray<T> gradient, mean, square;
        GroupFactors factors;
    };
    struct LayerEntry {
        DenseLayer<T>* layer;
        LayerState<T> state;
        GroupFactors weights, biases;
    };
    struct HiddenArrays {
        ArrayState *input_factors, *output_factors, *member_biases, *activation_shares;  // null: there are none
    };
    // What forward leaves of a hidden layer, of a group; some are empty.
    struct LayerBuffers {
        Matrix<T> inputs;  // times the factors
        Matrix<T> unscaled, outputs, derivatives, differences, dropped;
        Matrix<T> gradients;  // with respect to the product
        // Of each block of rows, the column sums that make up the gradients of the members' arrays of these names.
        Matrix<T> input_factors, output_factors, member_biases, activation_shares;
    };
    struct Pass {  // of one update
        const LabelledTable<T>& data;
        const EpochPlan& plan;
        MicroBatch batch;
        UpdateSettings settings;
        int64_t update;  // from 1 on
        bool updates;
    };

    int64_t run_slice(const LabelledTable<T>& data, const EpochPlan& plan, const UpdateSettings& settings,
                      int64_t position, bool updates, LossSum& sum, int n_threads, double seconds);
    void reserve(const EpochPlan& plan, const UpdateSettings& settings, int workers, bool updates);
    void train_batch(const Worker& worker, const Pass& pass) noexcept;
    void embed(const Pass& pass, Range rows) noexcept;
    // Of some rows of one member, forward and backward, by one worker.
    void pass_unit(const Pass& pass, int64_t group_begin, int64_t member, Range rows) noexcept;
    void backward_unit(const Pass& pass, MatrixView<const T> head_gradient, int64_t member, int64_t first,
                       Range rows) noexcept;
    // Of a group of members whose units are done.
    void take_gradients(const Worker& worker, const Pass& pass, Range members) noexcept;
    void take_array_gradient(const Worker& worker, const Pass& pass, ArrayState& state, int64_t row,
                             MatrixView<const T> sums) noexcept;
    void add_front_gradients(const Worker& worker, const Pass& pass, Range members) noexcept;
    void take_front_gradients(const Worker& worker, const Pass& pass) noexcept;
    void clip_and_update(const Worker& worker, const Pass& pass) noexcept;
    void refresh_copies(const Worker& worker) noexcept {  // of weights that are not in pairs
        for (std::size_t i = pair_layers_.size(); i < layers_.size(); ++i)
            layers_[i].layer->refresh_transposed(worker, layers_[i].state.transposed());
    }
    // Calls f(pair layer) if hidden layer i computes its products in bfloat16, and says so.
    template <class F> bool in_pairs(std::size_t i, F f) noexcept { return in_pairs_of<T>(pair_layers_, i, f); }
    // Before the gradient of a layer's inputs: rounds that of its product if it is in pairs. The height of the tiles.
    int take_gradient(std::size_t i, MatrixView<const T> gradient, int64_t first, const PanelShape& shape) noexcept {
        int height = tile_height(kernels_, shape);
        in_pairs(i, [&](auto& pairs) {
            pairs.take_gradient(gradient, first, 0);
            height = pairs.height();
        });
        return height;
    }
    // The weights of all layers that are in pairs, and of a group the operands of their gradients.
    void round_weights(const Worker& worker) noexcept {
        for (std::size_t i = 0; i < pair_layers_.size(); ++i)
            in_pairs(i, [&](auto& pairs) { pairs.round_weights(worker, layers_[i].state.transposed()); });
    }
    void round_operands(const Worker& worker, const Pass& pass, int64_t rows) noexcept {
        for (std::size_t i = 0; i < pair_layers_.size(); ++i)
            in_pairs(i, [&](auto& pairs) {
                pairs.round_transposed_inputs(worker, inputs_of(i, pass, rows));
                pairs.round_gradient_rows(worker, part(buffers_[i].gradients, 0, rows));
            });
    }
    // What hidden layer i, or the heads, read of a group of so many rows.
    MatrixView<const T> inputs_of(std::size_t i, const Pass& pass, int64_t rows) noexcept {
        if (i < buffers_.size() && hidden_arrays_[i].input_factors) return part(buffers_[i].inputs, 0, rows);
        if (i == 0) return part(embedded_, 0, rows);
        return part(pass.settings.dropout > 0 ? buffers_[i - 1].dropped : buffers_[i - 1].outputs, 0, rows);
    }

    UpdateRule<T> rule(const GroupFactors& factors, const Pass& pass) const noexcept;
    UpdateRules<T> rules(const LayerEntry& layer, const Pass& pass) const noexcept {
        return {rule(layer.weights, pass), rule(layer.biases, pass)};
    }
    void update_array(const Pass& pass, ArrayState& state, int64_t begin, int64_t size) noexcept;
    Dropout<T> dropout_of(const Pass& pass, std::size_t layer, int64_t row) const noexcept {
        if (!(pass.settings.dropout > 0)) return {};
        return {kernels_, pass.settings.dropout, pass.settings.dropout_key, layer, row};
    }
    bool is_fused(const Pass& pass) const noexcept { return pass.updates && !(pass.settings.max_gradient_norm > 0); }
    Table<T> batch_table(int64_t rows) const {
        return {batch_numbers_.data(), batch_columns_.data(), batch_codes_.data(), rows};
    }
    // The rows that the sums of a block are over. Their order does not depend on the number of threads.
    static constexpr int64_t sum_rows = 32;
    static int64_t sum_blocks_of(int64_t rows) { return (rows + sum_rows - 1) / sum_rows; }
    // Calls f(row of the unit, rows, block of the unit) for each part of its tile that lies in one block.
    template <class F> static void for_each_sum_block(const Tile& tile, F f) {
        for (int64_t row = tile.row, end; row < tile.row + tile.rows; row = end) {
            const int64_t block = row / sum_rows;
            end = std::min(tile.row + tile.rows, (block + 1) * sum_rows);
            f(row, end - row, block);
        }
    }
    // In a tile of a unit, from `column` on, the gradient with respect to `in` times the factors becomes that with respect
    // to `in`. Adds to `products` and `sums`, which have a row for each block of the unit; `sums` may be empty.
    void scale_gradient(const Tile& tile, MatrixView<T> gradient, MatrixView<const T> in, const T* factors, int64_t column,
                        int64_t width, MatrixView<T> products, MatrixView<T> sums) noexcept {
        for_each_sum_block(tile, [&](int64_t row, int64_t rows, int64_t block) {
            kernels_.scale_columns_gradient(gradient.row(row) + column, gradient.stride, in.row(row) + column, in.stride,
                                            rows, width, factors + column, products.row(block) + column,
                                            sums.data ? sums.row(block) + column : nullptr);
        });
    }
    // Rows of a member in the matrices of its group.
    static MatrixView<T> part(Matrix<T>& matrix, int64_t first, int64_t rows) {
        MatrixView<T> view = matrix.view();
        if (view.data) view.data = view.row(first);
        view.rows = rows;
        return view;
    }

    template <class F> void for_each_buffer(F f) {  // of parameters
        for (ArrayState& state : arrays_) f(state.array->values());
        for (LayerEntry& entry : layers_) {
            f(entry.layer->weights());
            f(entry.layer->biases());
        }
    }

    TabularNet<T>& net_;
    const Kernels<T>& kernels_;
    const OptimizerSettings optimizer_;
    const double gradient_factor_;
    std::vector<ArrayState> arrays_;  // in the order of for_each_array
    std::vector<LayerEntry> layers_;  // in that of for_each_layer: hidden layers, then heads
    std::vector<HiddenArrays> hidden_arrays_;
    std::vector<PairLayer> pair_layers_;  // of all hidden layers, or of none
    int64_t updates_ = 0;

    int64_t reserved_rows_ = 0, group_members_ = 1;
    bool reserved_dropout_ = false;
    Buffer<T> batch_numbers_, batch_columns_, batch_targets_, batch_weights_;
    Buffer<std::int32_t> batch_codes_, batch_labels_;
    Matrix<T> embedded_, embedded_gradient_;  // (batch, width)
    std::vector<LayerBuffers> buffers_;
    Matrix<T> outputs_;         // of the heads; become their gradients
    Matrix<T> front_gradients_;  // with respect to the embedded rows, of each member of the group
    RowLosses<T> losses_{0};     // of all members
    std::vector<Buffer<T>> workspaces_;
    std::vector<PackedColumns<T>> packed_;
    Buffer<T> sums_, snapshot_;
    Pace pace_;
};

}  // namespace fastmlp
