// Training: one epoch, in slices, over chunks of rows.
//
// An update takes the gradient of the mean loss over its rows: one mini-batch, or several (accumulation).
// Its rows pass through forward and backward in chunks of at most chunk_rows, in order, and their gradients
// add up; so memory does not grow with the batch, and accumulation is the same thing as a large batch.
#pragma once

#include <vector>

#include "network.h"
#include "optimizer.h"

namespace fastmlp {

// How the rows of an epoch are cut into batches, chunks and updates.
struct EpochPlan {
    int64_t rows;
    int64_t batch_rows;
    int64_t batches_per_update;
    int64_t chunk_rows;
    double weight = 0;  // that divides the gradient of an update; 0: its rows

    struct Chunk {
        int64_t begin, end;                // rows, in the epoch's order
        int64_t update_begin, update_end;  // of the update that the chunk belongs to
        bool first, last;                  // of its update
        double weight;                     // of the update's rows: how many, or the sum of their weights, or the plan's
        int64_t update_rows() const { return update_end - update_begin; }
        int64_t size() const { return end - begin; }
    };
    // The chunk that starts at `row`, where the one before ended; empty at the end of the epoch. Its rows weigh 1.
    Chunk chunk_at(int64_t row) const;
    int64_t largest_chunk() const { return std::min({rows, batch_rows, chunk_rows}); }
    bool sums_chunks() const {
        return batches_per_update > 1 ? rows > std::min(batch_rows, chunk_rows)
                                      : std::min(rows, batch_rows) > chunk_rows;
    }
};

template <class T> class Trainer {
public:
    Trainer(Network<T>& network, const OptimizerSettings& optimizer);

    // Trains on rows order[position] .. order[rows) of the data until they are used up, `seconds` have passed (looked
    // at after each chunk), or `sum.loss` has ceased to be finite; adds losses and hits to `sum` and returns the new
    // position. With position 0 an epoch begins; an update left unfinished by an earlier call is dropped.
    // Throws std::bad_alloc before anything is changed.
    int64_t run(const Dataset<T>& data, const int64_t* order, int64_t rows, int64_t batch_rows,
                int64_t batches_per_update, const StepSettings& settings, int64_t position, int threads, double seconds,
                LossSum& sum);

    // Half an update: the gradient of the data loss summed over the batch that `position` lies in, of rows order[0] ..
    // order[rows) (null: all, in order), and divided by `weight`, in slices like run(); when the position returned is
    // the batch's end, it stands in gradients().
    int64_t sum_gradients(const Dataset<T>& data, const int64_t* order, int64_t rows, int64_t batch_rows, double weight,
                          int64_t position, int threads, double seconds, LossSum& sum);
    // The other half: one update from what stands in gradients(), of rows that weigh so much.
    void update(const StepSettings& settings, double weight, int threads);
    // Of all layers, one after another, in the layout of the parameters; a vector more, which nobody here reads, takes
    // what is to travel with them. Throws std::bad_alloc.
    Buffer<T>& gradients();

    Network<T>& network() const { return network_; }
    const std::vector<LayerState<T>>& layer_states() const { return states_; }
    std::vector<LayerState<T>>& layer_states() { return states_; }
    const OptimizerSettings& optimizer() const { return optimizer_; }
    int64_t steps() const { return steps_; }
    void set_steps(int64_t steps) { steps_ = steps; }

    // Keeps a copy of the parameters and of the optimizer's state, for restore(). Throws std::bad_alloc.
    void remember();
    bool remembers() const { return !remembered_.empty(); }
    void restore();
    // Calls f(buffer) for all parameters and the optimizer's state, in the same order each time.
    template <class F> void for_each_array(F f) {
        for (std::size_t i = 0; i < states_.size(); ++i) {
            f(network_.layers()[i].weights());
            f(network_.layers()[i].biases());
            states_[i].for_each_state(f);
        }
    }

private:
    // The chunk that the last slice has gathered ahead, where the next one begins. A position > 0 goes on with the data
    // and the order of the slice before, so that pointers tell all.
    struct Ahead {
        const void* inputs = nullptr;
        const int64_t* order = nullptr;
        int64_t begin = 0, end = 0;
        int workers = 0, side = 0;
        bool operator==(const Ahead& other) const {
            return inputs == other.inputs && order == other.order && begin == other.begin && end == other.end &&
                   workers == other.workers;
        }
    };
    struct ChunkBuffers {
        Matrix<T> inputs;
        Buffer<std::int32_t> labels;
        Matrix<T> targets;
        Buffer<T> weights;                   // of the rows, if the data have them
        std::vector<ActiveColumns> columns;  // of each worker; the same for all once united
    };
    // The columns that the chunk's inputs hold; null if all.
    const ActiveColumns* active_columns(const Worker& worker, const ChunkBuffers& chunk) const noexcept {
        if (chunk.columns.empty()) return nullptr;
        const ActiveColumns& columns = chunk.columns[static_cast<std::size_t>(worker.index)];
        return columns.in_use() ? &columns : nullptr;
    }
    int64_t run_chunks(const Dataset<T>& data, const int64_t* order, const EpochPlan& plan,
                       const StepSettings* settings, int64_t position, int threads, double seconds, LossSum& sum);
    void make_room(const EpochPlan& plan, const Dataset<T>& data);
    void make_room_for_columns(int workers);
    // Looks for the columns of this worker's rows of a chunk; a barrier, and then they can be gathered.
    void find_columns(const Worker& worker, const Dataset<T>& data, const int64_t* order, const EpochPlan::Chunk& chunk,
                      ChunkBuffers& to) noexcept;
    // Labels or targets of this worker's rows of the chunk at once, its inputs as the caller asks for them.
    RowGather<T> gather(const Worker& worker, const Dataset<T>& data, const int64_t* order,
                        const EpochPlan::Chunk& chunk, ChunkBuffers& to) noexcept;
    // This worker's part of the norms of the weights, which are summed panel by panel, whoever does it.
    void measure_weights(const Worker& worker) noexcept;
    double penalty(const StepSettings& settings, double weight) const noexcept;  // of the weights measured
    void forward(const Worker& worker, const EpochPlan::Chunk& chunk, ChunkBuffers& chunk_buffers,
                 bool weighted) noexcept;
    void backward(const Worker& worker, const EpochPlan::Chunk& chunk, ChunkBuffers& chunk_buffers,
                  const StepSettings* settings, RowGather<T> next_rows) noexcept;
    MatrixView<const T> inputs_of(std::size_t layer, const EpochPlan::Chunk& chunk, ChunkBuffers& buffers,
                                  const ActiveColumns* active);

    Network<T>& network_;
    const Kernels<T>& kernels_;
    OptimizerSettings optimizer_;
    std::vector<LayerState<T>> states_;
    int64_t steps_ = 0;       // updates so far
    int64_t room_ = 0;        // rows that the buffers below hold
    int64_t input_room_ = 0;  // columns of inputs that they hold
    ChunkBuffers chunks_[2];  // the chunk at work, and the next one
    Ahead ahead_;
    std::vector<Matrix<T>> outputs_;    // of each layer; the last one's become its gradient
    std::vector<Matrix<T>> gradients_;  // of each hidden layer's sums
    RowLosses<T> losses_{0};
    Buffer<T> sums_;             // of gradients, of all layers
    std::vector<double> norms_;  // sum |w| and sum w^2 of each panel of each layer
    std::vector<Buffer<T>> remembered_;
    int64_t remembered_steps_ = 0;
};

}  // namespace fastmlp
