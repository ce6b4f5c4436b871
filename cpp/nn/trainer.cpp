// The training step: forward, loss, backward and update of one chunk of rows after another.
//
// One team runs a whole slice. Between two barriers, the workers share out the tiles of one matrix product or two:
//   forward   layer by layer; the output layer by rows, so that its loss needs no barrier
//   backward  from the last layer: the gradient of the layer below, then this layer's weight gradient, whose
//             tiles go into the update while they are in registers (SGD), in L1 (momentum), or, for Adam, beside
//             the sums of the next tile; between the first layer's tiles the next chunk's rows are gathered, so
//             that the memory brings one row while the core computes
// That is 2 barriers per layer and chunk. What lies where: a worker's panels of weights and states stay in its L2 as
// far as it reaches, for it begins with the same tiles each time; a chunk's inputs and activations pass through L2;
// a tile's sums are in registers, and the gradient of all weights exists only if several chunks add up to it.
#include "trainer.h"

#include <chrono>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "../linalg/oversubscription.h"

namespace fastmlp {

// Rows of a chunk: enough to amortise a pass over the weights (their update, gradient sums and transposed
// copy), few enough that inputs and activations stay near the core: 256 rows of 784 floats are 800 KiB.
constexpr int64_t most_chunk_rows = 256;
// Operations of a chunk, so that a slice ends soon after its time even for huge layers: about 20 ms.
constexpr double most_chunk_operations = 5e9;

static int64_t rows_of_chunks(double operations_per_row) {
    return std::clamp<int64_t>(static_cast<int64_t>(most_chunk_operations / operations_per_row), 1, most_chunk_rows);
}

template <class T>
Trainer<T>::Trainer(Network<T>& network, const OptimizerSettings& optimizer)
    : network_(network),
      kernels_(network.kernels()),
      optimizer_(optimizer),
      max_rows_(rows_of_chunks(network.training_operations())) {
    const int state_count = properties_of(optimizer.kind).state_count;
    for (const auto& layer : network.layers()) states_.emplace_back(layer, state_count);
}

template <class T> void Trainer<T>::make_room(const EpochPlan& plan, const Dataset<T>& data) {
    for (std::size_t i = 1; i < states_.size(); ++i) states_[i].reserve_transposed(network_.layers()[i]);
    if (plan.sums_micro_batches(max_rows_)) gradients();
    const int64_t rows = plan.max_micro_batch(max_rows_), columns = data.inputs.max_columns(rows);
    if (data.sample_weights)
        for (ChunkBuffers& chunk : chunks_)
            if (chunk.sample_weights.size() < rows) chunk.sample_weights = Buffer<T>(rows);
    int64_t panels = 0;
    for (const auto& layer : network_.layers()) panels += layer.shape().panels();
    norms_.resize(static_cast<std::size_t>(2 * panels));
    if (rows <= room_ && columns <= input_room_) return;
    room_ = 0;
    prefetched_ = {};
    outputs_.clear();
    gradients_.clear();
    for (ChunkBuffers& chunk : chunks_) {
        chunk.inputs = Matrix<T>(rows, columns);
        if (network_.uses_labels())
            chunk.labels = Buffer<std::int32_t>(rows);
        else
            chunk.targets = Matrix<T>(rows, network_.outputs());
    }
    for (const auto& layer : network_.layers()) outputs_.emplace_back(rows, layer.outputs());
    for (std::size_t i = 0; i + 1 < outputs_.size(); ++i) gradients_.emplace_back(rows, network_.layers()[i].outputs());
    losses_ = RowLosses<T>(rows);
    room_ = rows;
    input_room_ = columns;
}

template <class T>
void Trainer<T>::find_columns(const Worker& worker, const Dataset<T>& data, const int64_t* order,
                              const MicroBatch& chunk, ChunkBuffers& to) noexcept {
    if (to.columns.empty()) return;
    const Range mine = worker.share(chunk.rows());
    ActiveColumns& columns = to.columns[static_cast<std::size_t>(worker.index)];
    if (data.nonzero)
        columns.mark_nonzero(*data.nonzero, order, chunk.begin + mine.begin, mine.size());
    else
        columns.mark_nonzero(data.inputs, order, chunk.begin + mine.begin, mine.size());
}

template <class T>
RowGather<T> Trainer<T>::gather(const Worker& worker, const Dataset<T>& data, const int64_t* order,
                                const MicroBatch& chunk, ChunkBuffers& to) noexcept {
    const Range mine = worker.share(chunk.rows());
    if (!to.columns.empty()) to.columns[static_cast<std::size_t>(worker.index)].merge(to.columns.data(), worker.count);
    const ActiveColumns* active = active_columns(worker, to);
    for (int64_t i = mine.begin; i < mine.end; ++i) {
        const int64_t source = order ? order[chunk.begin + i] : chunk.begin + i;
        const Targets<T> from = data.targets_from(source, network_.outputs());
        if (from.labels) to.labels.data()[i] = *from.labels;
        if (from.targets) std::copy_n(from.targets, network_.outputs(), to.targets.view().row(i));
        if (from.sample_weights) to.sample_weights.data()[i] = *from.sample_weights;
    }
    MatrixView<T> inputs = to.inputs.view();
    inputs.data = inputs.row(mine.begin);
    return {kernels_, data.inputs, order, chunk.begin + mine.begin, mine.size(), network_.input_scale(),
            inputs,   active};
}

template <class T> void Trainer<T>::make_room_for_columns(int workers) {
    for (ChunkBuffers& chunk : chunks_)
        if (static_cast<int>(chunk.columns.size()) < workers)
            chunk.columns.assign(static_cast<std::size_t>(workers), ActiveColumns(network_.inputs()));
}

template <class T>
MatrixView<const T> Trainer<T>::inputs_of(std::size_t layer, const MicroBatch& chunk, ChunkBuffers& buffers,
                                          const ActiveColumns* active) {
    MatrixView<T> inputs = (layer == 0 ? buffers.inputs : outputs_[layer - 1]).first_rows(chunk.rows());
    if (layer == 0 && active) inputs.columns = active->count();
    return inputs;
}

template <class T> void Trainer<T>::measure_weights(const Worker& worker) noexcept {
    double* sums = norms_.data();
    for (const auto& layer : network_.layers()) {
        const PanelShape& shape = layer.shape();
        const Range mine = worker.share(shape.panels());
        for (int64_t panel = mine.begin; panel < mine.end; ++panel) {
            std::fill_n(sums + 2 * panel, 2, 0.0);
            kernels_.norms(layer.weights().data() + shape.offset_of(panel), shape.rows * shape.width_of(panel),
                           sums + 2 * panel);
        }
        sums += 2 * shape.panels();
    }
}

template <class T> double Trainer<T>::penalty(const UpdateSettings& settings, double weight) const noexcept {
    double absolute = 0, squares = 0;
    for (std::size_t i = 0; i < norms_.size(); i += 2) absolute += norms_[i], squares += norms_[i + 1];
    return settings.l1 * absolute + l2_of_update(settings, weight) / 2 * squares;
}

template <class T>
void Trainer<T>::forward(const Worker& worker, const MicroBatch& chunk, ChunkBuffers& buffers, double divisor,
                         bool weighted) noexcept {
    auto& layers = network_.layers();
    const ActiveColumns* active = active_columns(worker, buffers);
    if (chunk.is_first())
        for (std::size_t i = 1; i < layers.size(); ++i) layers[i].refresh_transposed(worker, states_[i].transposed());
    for (std::size_t i = 0; i + 1 < layers.size(); ++i) {
        layers[i].forward(worker, inputs_of(i, chunk, buffers, active), outputs_[i].first_rows(chunk.rows()),
                          i == 0 ? active : nullptr);
        worker.wait_for_all();
    }

    const std::size_t last = layers.size() - 1;
    const Range mine = worker.share(chunk.rows());
    if (mine.size() > 0) {
        MatrixView<const T> in = inputs_of(last, chunk, buffers, active);
        MatrixView<T> z = outputs_[last].first_rows(chunk.rows());
        in = {in.row(mine.begin), mine.size(), in.columns, in.stride};
        z = {z.row(mine.begin), mine.size(), z.columns, z.stride};
        layers[last].forward(Worker::alone(), in, z, last == 0 ? active : nullptr);
        const T scale = divisor > 0 ? T(1) / static_cast<T>(divisor) : T(0);
        loss_and_gradient(network_.loss(), network_.clips_loss(), kernels_, z,
                          buffers.targets_from(mine.begin, weighted), scale, losses_, mine.begin);
    }
    worker.wait_for_all();
}

template <class T>
void Trainer<T>::backward(const Worker& worker, const MicroBatch& chunk, ChunkBuffers& buffers, GradientSink<T>& sink,
                          RowGather<T>& next_rows) noexcept {
    auto& layers = network_.layers();
    const ActiveColumns* active = active_columns(worker, buffers);
    next_rows.spread_over(layers[0].weight_tiles(active ? active->count() : network_.inputs()) / worker.count);
    for (std::size_t i = layers.size(); i-- > 0;) {
        const MatrixView<T> gradient = (i + 1 == layers.size() ? outputs_[i] : gradients_[i]).first_rows(chunk.rows());
        const MatrixView<const T> in = inputs_of(i, chunk, buffers, active);
        if (i > 0)
            layers[i].input_gradient(worker, gradient, states_[i].transposed(), in, layers[i - 1].epilogue(),
                                     gradients_[i - 1].first_rows(chunk.rows()));
        const ParameterBlock<T> weights = states_[i].weights_of(layers[i]), biases = states_[i].biases_of(layers[i]);
        const auto on_tile = [&](const OuterProduct<T>& product) {
            sink.take_tile(weights, product, i == 0 ? next_rows.prefetch() : Prefetch{});
            if (i == 0) next_rows.copy_ready();
        };
        const auto on_biases = [&](int64_t offset, const T* sums, int64_t size) {
            sink.take_biases(biases, offset, sums, size);
        };
        layers[i].weight_gradient(worker, in, gradient, on_tile, on_biases, i == 0 ? active : nullptr);
        sink.finish_tiles();
        if (i > 0) worker.wait_for_all();
    }
    next_rows.copy_all();
    if (active && sink.needs_zeros()) {
        const ParameterBlock<T> weights = states_[0].weights_of(layers[0]);
        layers[0].for_inactive(worker, *active,
                               [&](int64_t offset, int64_t size) { sink.take_zeros(weights, offset, size); });
    }
}

template <class T>
int64_t Trainer<T>::run_micro_batches(const Dataset<T>& data, const EpochPlan& plan, const UpdateSettings* settings,
                                      int64_t position, LossSum& sum, int n_threads, double seconds) {
    const auto now = [] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    };
    if (position >= plan.rows()) return plan.rows();
    const MicroBatch first = plan.micro_batch_at(position, max_rows_);
    if (first.begin != position) throw std::invalid_argument("position must be 0 or what the last call returned");
    make_room(plan, data);
    const bool measures = settings && settings->measures_penalty;
    const double layers = static_cast<double>(network_.layers().size());
    const int64_t rows = plan.max_micro_batch(max_rows_),
                  skipped = network_.inputs() - data.inputs.max_columns(rows);
    const double operations =
        (network_.training_operations() -
         4.0 * static_cast<double>(skipped) * static_cast<double>(network_.layers()[0].outputs())) *
        static_cast<double>(rows);
    const bool began_finite = std::isfinite(sum.loss);
    const double start = now();
    const int threads = Oversubscription::workers(useful_threads(n_threads, operations / (2 * layers)));
    if (data.inputs.sparse() || data.nonzero)
        make_room_for_columns(threads);
    else
        for (ChunkBuffers& chunk : chunks_) chunk.columns.clear();
    const PrefetchedBatch wanted{&data, &plan, position, threads, 0};
    const bool is_prefetched = position > 0 && prefetched_ == wanted;
    const int first_side = is_prefetched ? prefetched_.side : 0;
    prefetched_ = {};
    bool stop = false;
    double begin = start, end = start, slept = 0;  // of the first worker
    run_team(threads, [&](const Worker& worker) noexcept {
        if (worker.index == 0) begin = now();
        MicroBatch chunk = first;
        if (!is_prefetched) {
            find_columns(worker, data, plan.order(), chunk, chunks_[first_side]);
            worker.wait_for_all();
            gather(worker, data, plan.order(), chunk, chunks_[first_side]).copy_all();
            worker.wait_for_all();
        }
        int64_t weighed = -1;  // the update whose divisor is known
        double divisor = plan.gradient_divisor(), loss_factor = 1;
        for (int side = first_side;; side ^= 1) {
            if (plan.gradient_divisor() == 0 && std::exchange(weighed, chunk.update_begin) != chunk.update_begin) {
                const double update_rows = static_cast<double>(chunk.update_rows());
                divisor = update_rows;
                if (data.sample_weights) {
                    divisor = 0;
                    for (int64_t i = chunk.update_begin; i < chunk.update_end; ++i)
                        divisor += static_cast<double>(data.sample_weights[plan.order() ? plan.order()[i] : i]);
                    loss_factor = divisor > 0 ? update_rows / divisor : 0;
                }
            }
            if (measures && chunk.is_first()) measure_weights(worker);
            const MicroBatch next = plan.micro_batch_at(chunk.end, max_rows_);
            find_columns(worker, data, plan.order(), next, chunks_[side ^ 1]);
            forward(worker, chunk, chunks_[side], divisor, data.sample_weights);
            GradientSink<T> sink(
                kernels_, optimizer_.kind,
                update_rules<T>(optimizer_, settings ? *settings : UpdateSettings{}, updates_ + 1, divisor), chunk,
                settings);
            RowGather<T> next_rows = gather(worker, data, plan.order(), next, chunks_[side ^ 1]);
            backward(worker, chunk, chunks_[side], sink, next_rows);
            if (worker.index == 0) {
                sum.add(losses_, chunk.rows(), loss_factor);
                if (measures && chunk.is_first())
                    sum.penalty += static_cast<double>(chunk.update_rows()) * penalty(*settings, divisor);
                end = now();
                if (worker.count > 1) slept = worker.barrier->slept();
                const bool diverged = began_finite && !std::isfinite(sum.loss);
                const bool is_sum = !settings && chunk.is_last();
                stop = next.rows() == 0 || is_sum || end - start >= seconds || diverged ||
                       Oversubscription::is_seen(end - begin, slept);
                if (stop) prefetched_ = {&data, &plan, next.begin, worker.count, side ^ 1};
            }
            worker.wait_for_all();
            if (worker.index == 0) {
                position = chunk.end;
                updates_ += settings && chunk.is_last();
            }
            if (stop) break;
            chunk = next;
        }
    });
    // A team that lacks a core also waits for its members when it begins and when it ends.
    if (threads > 1) Oversubscription::report(now() - start, slept + (begin - start) + (now() - end));
    return position;
}

template <class T>
int64_t Trainer<T>::run(const Dataset<T>& data, const EpochPlan& plan, const UpdateSettings& settings,
                        int64_t position, LossSum& sum, int n_threads, double seconds) {
    return run_micro_batches(data, plan, &settings, position, sum, n_threads, seconds);
}

template <class T> int64_t Trainer<T>::memory_size() {
    int64_t size = 0;
    for_each_array([&](const Buffer<T>& array) { size += array.size(); });
    return size;
}

template <class T> void Trainer<T>::copy_memory_to(T* values) {
    for_each_array([&](const Buffer<T>& from) { values = std::copy_n(from.data(), from.size(), values); });
}

template <class T> void Trainer<T>::copy_memory_from(const T* values) {
    for_each_array([&](Buffer<T>& to) {
        std::copy_n(values, to.size(), to.data());
        values += to.size();
    });
}

template <class T> void Trainer<T>::save_snapshot() {
    if (!has_snapshot()) snapshot_ = Buffer<T>(memory_size());
    copy_memory_to(snapshot_.data());
    snapshot_updates_ = updates_;
}

template <class T> void Trainer<T>::restore_snapshot() {
    copy_memory_from(snapshot_.data());
    updates_ = snapshot_updates_;
}

template <class T> Buffer<T>& Trainer<T>::gradients() {
    if (!sums_.size()) {
        int64_t size = 0;
        for (const auto& layer : network_.layers()) size += layer.weights().size() + layer.biases().size();
        sums_ = Buffer<T>(size + kernels_.lanes);
        T* place = sums_.data();
        for (std::size_t i = 0; i < states_.size(); ++i) 
            place = states_[i].place_gradients(place, network_.layers()[i]);
    }
    return sums_;
}

template <class T>
int64_t Trainer<T>::sum_gradients(const Dataset<T>& data, const EpochPlan& plan, int64_t position, LossSum& sum,
                                  int n_threads, double seconds) {
    gradients();
    return run_micro_batches(data, plan, nullptr, position, sum, n_threads, seconds);
}

template <class T> void Trainer<T>::update(const UpdateSettings& settings, double gradient_divisor, int n_threads) {
    const UpdateRules<T> rules = update_rules<T>(optimizer_, settings, updates_ + 1, gradient_divisor);
    gradients();
    run_team(useful_threads(n_threads, static_cast<double>(sums_.size())), [&](const Worker& worker) noexcept {
        const auto update_share = [&](const ParameterBlock<T>& block, const UpdateRule<T>& rule) {
            const Range mine = worker.share(block.size / kernels_.lanes);
            const int64_t begin = mine.begin * kernels_.lanes;
            update_block(kernels_, optimizer_.kind, block, begin, block.gradient + begin, mine.size() * kernels_.lanes,
                         rule);
        };
        for (std::size_t i = 0; i < states_.size(); ++i) {
            update_share(states_[i].weights_of(network_.layers()[i]), rules.weights);
            update_share(states_[i].biases_of(network_.layers()[i]), rules.biases);
        }
    });
    ++updates_;
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace fastmlp
