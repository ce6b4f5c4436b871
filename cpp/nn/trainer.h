// Training: one epoch, in slices, over micro-batches.
//
// An update takes the gradient of the mean loss over its rows: one mini-batch, or several (accumulation). Its rows pass
// through forward and backward in micro-batches, in order, and their gradients add up. So memory does not grow with
// the batch, and accumulation is the same thing as a large batch.
#pragma once

#include <optional>
#include <type_traits>
#include <vector>

#include "../linalg/pace.h"
#include "epoch_plan.h"
#include "layer_update.h"
#include "network.h"
#include "norms.h"
#include "pair_layer.h"

namespace fastmlp {

template <class T> class Trainer {
public:
    // With `bfloat16`, for float only, products are computed in it, with sums in this order, but for those of a small output
    // layer. Throws std::bad_alloc.
    Trainer(Network<T>& network, const OptimizerSettings& optimizer, std::optional<PairOrder> bfloat16 = {});

    // Trains from `position` of the epoch on until its end is reached, `seconds` have passed (checked after each
    // micro-batch), or `sum.loss` is no longer finite. Adds what the rows cost to `sum` and returns the next position.
    // Position 0 begins an epoch and drops an update that an earlier call left unfinished; another must be one that the
    // last call returned. Throws std::invalid_argument, std::bad_alloc; nothing is changed then.
    int64_t run(const Dataset<T>& data, const EpochPlan& plan, const UpdateSettings& settings, int64_t position,
                LossSum& sum, int n_threads, double seconds);

    // The first half of an update: sums the gradient of the data loss over the rows of the update that holds
    // `position`, in slices as run() does. It is complete in gradients() when the end of the update is returned. Of the
    // settings, only dropout has an effect.
    int64_t sum_gradients(const Dataset<T>& data, const EpochPlan& plan, const UpdateSettings& settings,
                          int64_t position, LossSum& sum, int n_threads, double seconds);
    // The second half: one update with gradients(), which clipping scales. alpha is divided by gradient_divisor.
    void update(const UpdateSettings& settings, double gradient_divisor, int n_threads);
    // Of all layers, one after another, in the layout of the parameters; one extra vector at the end is reserved for
    // values that distributed training sums along. Throws std::bad_alloc.
    Buffer<T>& gradients();

    Network<T>& network() const { return network_; }
    const std::vector<LayerState<T>>& layer_states() const { return states_; }
    std::vector<LayerState<T>>& layer_states() { return states_; }
    int64_t updates() const { return updates_; }
    void set_updates(int64_t updates) { updates_ = updates; }

    // Copies the parameters and the optimizer's state. Throws std::bad_alloc.
    void save_snapshot();
    bool has_snapshot() const { return snapshot_.size() > 0; }
    void restore_snapshot();
    // All parameters and the optimizer's state as they lie in memory, padding included.
    int64_t memory_size();
    void copy_memory_to(T* values);
    void copy_memory_from(const T* values);

private:
    // What the slices of an epoch share. Without updates they sum gradients, up to the end of an update.
    struct Epoch {
        const Dataset<T>& data;
        const EpochPlan& plan;
        const UpdateSettings& settings;
        bool updates;
        int64_t updates_before = 0;  // of the trainer, before the first update of the plan
    };
    // The rows of a micro-batch, gathered.
    struct BatchBuffers {
        Matrix<T> inputs;
        Buffer<std::int32_t> labels;  // or else
        Matrix<T> targets;
        Buffer<T> sample_weights;            // if the data have them
        std::vector<ActiveColumns> columns;  // of each worker, equal once merged; empty if all columns are kept

        // From row `row` of the micro-batch on.
        Targets<T> targets_from(int64_t row, bool weighted) {
            const MatrixView<T> rows = targets.view();
            return {labels.data() ? labels.data() + row : nullptr, rows.data ? rows.row(row) : nullptr, rows.stride,
                    weighted ? sample_weights.data() + row : nullptr};
        }
    };
    // The micro-batch that the last slice gathered for the next one. Neither data sets nor plans change, so comparing
    // addresses is enough.
    struct PrefetchedBatch {
        const Dataset<T>* data = nullptr;
        const EpochPlan* plan = nullptr;
        int64_t begin = 0;
        int workers = 0, side = 0;
        bool operator==(const PrefetchedBatch& other) const {
            return data == other.data && plan == other.plan && begin == other.begin && workers == other.workers;
        }
    };
    // Of an update: the divisor of its gradient, and the factor that makes the weighted losses of its rows add up to
    // their weighted mean times its rows.
    struct UpdateScale {
        double gradient_divisor, loss_factor;
    };

    int64_t run_slice(Epoch epoch, int64_t position, LossSum& sum, int n_threads, double seconds);
    void reserve_buffers(const Epoch& epoch);
    void reserve_for_workers(const Epoch& epoch, int workers);
    double operations_between_barriers(const Epoch& epoch) const;
    UpdateScale scale_of_update(const Epoch& epoch, const MicroBatch& batch) const noexcept;

    // This worker's part of a micro-batch. Between the two calls, a barrier.
    void find_columns(const Worker& worker, const Epoch& epoch, const MicroBatch& batch, BatchBuffers& to) noexcept;
    // Copies labels or targets at once; the caller copies the inputs between its tiles.
    RowGather<T> gather(const Worker& worker, const Epoch& epoch, const MicroBatch& batch, BatchBuffers& to) noexcept;

    // Before the first micro-batch: copies its rows unless they are there, and the transposed weights.
    void begin_slice(const Worker& worker, const Epoch& epoch, const MicroBatch& first, bool is_gathered,
                     int side) noexcept;
    void refresh_transposed(const Worker& worker) noexcept {
        for (std::size_t i = 1; i < states_.size(); ++i)
            network_.layers()[i].refresh_transposed(worker, states_[i].transposed());
    }

    // The steps of a micro-batch, each by all workers.
    void measure_weights(const Worker& worker) noexcept;
    void drop_inputs(const Worker& worker, const MicroBatch& batch, BatchBuffers& buffers,
                     const UpdateSettings& settings) noexcept;
    void forward(const Worker& worker, const Epoch& epoch, const MicroBatch& batch, BatchBuffers& buffers,
                 const UpdateSettings& settings, double gradient_divisor) noexcept;
    // Whether the output layer is so narrow that all workers can read all of its weights, each for some rows.
    bool has_narrow_head() const noexcept {
        return network_.layers().size() > 1 && network_.layers().back().shape().panels() <= 2 &&
               pair_layers_.size() < network_.layers().size();
    }
    // Calls f(pair layer) if layer i computes its products in bfloat16, and says so.
    template <class F> bool in_pairs(std::size_t i, F f) noexcept {
        return in_pairs_of<T>(pair_layers_, i, f);
    }
    void round_operands(const Worker& worker, const MicroBatch& batch, BatchBuffers& buffers) noexcept;
    // One layer of forward.
    template <class OnTile>
    void forward_layer(const Worker& worker, std::size_t i, const MicroBatch& batch, BatchBuffers& buffers,
                       const ActiveColumns* active, const UpdateSettings& settings, OnTile on_tile) noexcept;
    void round_outputs(std::size_t i, const Tile& tile) noexcept;
    void round_gradient(std::size_t i, MatrixView<T> part, int64_t row, int64_t first) noexcept;
    // Of some rows, by one worker: output layer, loss, and with a narrow head the gradient of the layer below.
    void output_gradient(Range rows, const MicroBatch& batch, BatchBuffers& buffers, const ActiveColumns* active,
                         const UpdateSettings& settings, double gradient_divisor, bool weighted) noexcept;
    void backward(const Worker& worker, const MicroBatch& batch, BatchBuffers& buffers, const UpdateSettings& settings,
                  const UpdateRules<T>& rules, GradientSink<T>& sink, RowGather<T>& next_rows) noexcept;
    // Of one layer; with an update, the weights' transposed copy follows them.
    void weight_gradient(const Worker& worker, std::size_t i, MatrixView<const T> in, MatrixView<const T> gradient,
                         const ActiveColumns* active, const UpdateRules<T>& rules, GradientSink<T>& sink,
                         RowGather<T>& next_rows) noexcept;
    // An update with complete sums of gradients, and the running mean of the parameters. Begins with a barrier.
    void clip_and_update(const Worker& worker, const UpdateRules<T>& rules, double max_gradient_norm) noexcept;
    void average_parameters(const Worker& worker) noexcept;
    // All of them, while the next micro-batch is gathered into the buffers of the other side.
    void train_micro_batch(const Worker& worker, const Epoch& epoch, const MicroBatch& batch, const MicroBatch& next,
                           const UpdateScale& scale, int side) noexcept;
    void add_costs(const Epoch& epoch, const MicroBatch& batch, const UpdateScale& scale, LossSum& sum) const noexcept;

    double penalty(const UpdateSettings& settings, double gradient_divisor) const noexcept;  // of the weights measured
    Dropout<T> dropout_of(std::size_t layer, const MicroBatch& batch, const UpdateSettings& settings,
                          int64_t first_row = 0) const noexcept {
        if (layer == 0 ? settings.input_dropout == 0 : !drops_) return {};
        const double rate = layer == 0 ? settings.input_dropout : settings.dropout;
        return {kernels_, rate, settings.dropout_key, layer, batch.begin - batch.update_begin + first_row};
    }
    UpdateRules<T> rules_of(std::size_t layer, const UpdateRules<T>& rules) const noexcept {
        return optimizer_.rate_factors.empty() ? rules : rules.scaled(optimizer_.rate_factors[layer]);
    }
    // The outputs of the layer below, after dropout.
    MatrixView<const T> inputs_of(std::size_t layer, const MicroBatch& batch, BatchBuffers& buffers,
                                  const ActiveColumns* active) noexcept;
    // The columns that the micro-batch's inputs hold; null if all.
    const ActiveColumns* active_columns(const Worker& worker, const BatchBuffers& buffers) const noexcept {
        if (buffers.columns.empty()) return nullptr;
        const ActiveColumns& columns = buffers.columns[static_cast<std::size_t>(worker.index)];
        return columns.in_use() ? &columns : nullptr;
    }
    // Calls f(buffer) for all parameters and the optimizer's state, in the same order each time.
    template <class F> void for_each_array(F f) {
        for (std::size_t i = 0; i < states_.size(); ++i) {
            f(network_.layers()[i].weights());
            f(network_.layers()[i].biases());
            states_[i].for_each_state(f);
        }
    }

    Network<T>& network_;
    const Kernels<T>& kernels_;
    OptimizerSettings optimizer_;
    std::vector<LayerState<T>> states_;
    std::vector<PairLayer> pair_layers_;  // of the layers that compute in bfloat16, the first ones
    int64_t updates_ = 0;     // so far
    const int64_t max_rows_;  // of a micro-batch
    int64_t reserved_rows_ = 0, reserved_columns_ = 0;  // of the buffers below
    BatchBuffers batches_[2];                           // the current micro-batch and the next one
    PrefetchedBatch prefetched_;
    std::vector<Matrix<T>> outputs_;    // of each layer; the last one's become its gradient
    std::vector<Matrix<T>> dropped_;    // the outputs of each hidden layer after dropout; empty without
    bool drops_ = false;                // whether layers read these
    std::vector<Matrix<T>> derivatives_;  // of each layer; empty where backward needs none
    std::vector<Matrix<T>> gradients_;  // with respect to z of each hidden layer
    RowLosses<T> losses_{0};
    std::vector<PackedColumns<T>> packed_;  // of each worker; empty where no layer has panels enough
    PartCounters rows_done_;                // panels of each row tile of the last hidden layer
    Buffer<T> sums_;             // of gradients, of all layers
    Norms<T> norms_, gradient_norms_;
    Buffer<T> snapshot_;
    int64_t snapshot_updates_ = 0;
    Pace pace_;
};

}  // namespace fastmlp
