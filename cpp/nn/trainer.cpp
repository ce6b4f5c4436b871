// Training outside of the micro-batch: buffers, slices of an epoch, updates with sums, copies of the memory.
#include "trainer.h"

#include <cmath>
#include <stdexcept>

#include "slice_clock.h"

namespace fastmlp {

template <class T>
Trainer<T>::Trainer(Network<T>& network, const OptimizerSettings& optimizer,
                    std::optional<PairOrder> bfloat16)
    : network_(network),
      kernels_(network.kernels()),
      optimizer_(optimizer),
      max_rows_(max_micro_batch_rows(network.training_operations())) {
    const int state_count = properties_of(optimizer.kind).state_count;
    for (const auto& layer : network.layers()) states_.emplace_back(layer, state_count, optimizer.average_decay > 0);
    if constexpr (std::is_same_v<T, float>) {
        const std::size_t count = network.layers().size() - (computes_outputs_in_pairs(network.outputs()) ? 0 : 1);
        for (std::size_t i = 0; bfloat16 && i < count; ++i)
            pair_layers_.emplace_back(network.layers()[i], kernels_, bfloat16_kernels(network.table(), *bfloat16), i > 0);
    }
}

// Buffers.

template <class T> void Trainer<T>::reserve_buffers(const Epoch& epoch) {
    for (std::size_t i = 1; i < states_.size(); ++i) states_[i].reserve_transposed(network_.layers()[i]);
    if (epoch.plan.sums_micro_batches(max_rows_) || epoch.settings.max_gradient_norm > 0) gradients();
    const int64_t rows = epoch.plan.max_micro_batch(max_rows_), named = epoch.data.inputs.max_columns(rows);
    const int64_t columns = pair_layers_.empty() ? named : std::min(2 * named, network_.inputs());
    if (epoch.data.sample_weights)
        for (BatchBuffers& batch : batches_)
            if (batch.sample_weights.size() < rows) batch.sample_weights = Buffer<T>(rows);
    norms_.reserve(network_.layers());
    gradient_norms_.reserve(network_.layers());
    drops_ = epoch.settings.dropout > 0;
    if (rows <= reserved_rows_ && columns <= reserved_columns_ && (!drops_ || !dropped_.empty())) return;
    reserved_rows_ = 0;
    dropped_.clear();
    prefetched_ = {};
    outputs_.clear();
    derivatives_.clear();
    gradients_.clear();
    for (BatchBuffers& batch : batches_) {
        batch.inputs = Matrix<T>(rows, columns);
        if (network_.uses_labels())
            batch.labels = Buffer<std::int32_t>(rows);
        else
            batch.targets = Matrix<T>(rows, network_.outputs());
    }
    for (const auto& layer : network_.layers()) {
        outputs_.emplace_back(rows, layer.outputs());
        derivatives_.push_back(layer.epilogue().keeps_derivative() ? Matrix<T>(rows, layer.outputs()) : Matrix<T>());
    }
    for (std::size_t i = 0; i + 1 < outputs_.size(); ++i) {
        gradients_.emplace_back(rows, network_.layers()[i].outputs());
        if (drops_) dropped_.emplace_back(rows, network_.layers()[i].outputs());
    }
    for (std::size_t i = 0; i < pair_layers_.size(); ++i)
        pair_layers_[i].reserve(rows, i == 0 ? columns : network_.layers()[i].inputs());
    losses_ = RowLosses<T>(rows);
    rows_done_ = PartCounters(rows);
    reserved_rows_ = rows;
    reserved_columns_ = columns;
}

template <class T> void Trainer<T>::reserve_for_workers(const Epoch& epoch, int workers) {
    const Dataset<T>& data = epoch.data;
    for (BatchBuffers& batch : batches_)
        if (!data.inputs.sparse() && !data.nonzero)
            batch.columns.clear();
        else if (static_cast<int>(batch.columns.size()) < workers)
            batch.columns.assign(static_cast<std::size_t>(workers), ActiveColumns(network_.inputs()));
    const auto packs = [&](const DenseLayer<T>& layer) {
        return PackedColumns<T>::pays(kernels_, reserved_rows_, layer.shape().panels() / workers);
    };
    if (std::none_of(network_.layers().begin(), network_.layers().end(), packs)) return packed_.clear();
    if (!packed_.empty() && packed_[0].rows() < reserved_rows_) packed_.clear();
    while (static_cast<int>(packed_.size()) < workers) packed_.emplace_back(kernels_, reserved_rows_);
}

template <class T> Buffer<T>& Trainer<T>::gradients() {
    if (!sums_.size()) {
        int64_t size = 0;
        for (const auto& layer : network_.layers()) size += layer.weights().size() + layer.biases().size();
        sums_ = Buffer<T>(size + kernels_.lanes);
        T* memory = sums_.data();
        for (std::size_t i = 0; i < states_.size(); ++i)
            memory = states_[i].set_gradients(memory, network_.layers()[i]);
    }
    return sums_;
}

// The penalty.

template <class T> void Trainer<T>::measure_weights(const Worker& worker) noexcept {
    norms_.measure(worker, kernels_, network_.layers(), [&](std::size_t i) -> LayerArrays<const T> {
        return {network_.layers()[i].weights().data(), nullptr};
    });
}

template <class T> double Trainer<T>::penalty(const UpdateSettings& settings, double gradient_divisor) const noexcept {
    return settings.l1 * norms_.absolute() + l2_of_update(settings, gradient_divisor) / 2 * norms_.squares();
}

// Updates with sums of gradients.

template <class T>
void Trainer<T>::clip_and_update(const Worker& worker, const UpdateRules<T>& rules, double max_gradient_norm) noexcept {
    worker.wait_for_all();
    T scale = 1;
    if (max_gradient_norm > 0) {
        gradient_norms_.measure(worker, kernels_, network_.layers(),
                                [&](std::size_t i) { return states_[i].gradients(); });
        worker.wait_for_all();
        scale = clipping_factor<T>(std::sqrt(gradient_norms_.squares()), max_gradient_norm);
    }
    const auto update_share = [&](const ParameterBlock<T>& block, const UpdateRule<T>& rule) {
        const Range mine = worker.share(block.size / kernels_.lanes);
        const int64_t begin = mine.begin * kernels_.lanes, size = mine.size() * kernels_.lanes;
        if (scale != 1)
            for (int64_t j = begin; j < begin + size; ++j) block.gradient[j] *= scale;
        update_block(kernels_, optimizer_.kind, block, begin, block.gradient + begin, size, rule);
    };
    for (std::size_t i = 0; i < states_.size(); ++i) {
        const UpdateRules<T> own = rules_of(i, rules);
        update_share(states_[i].weights_of(network_.layers()[i]), own.weights);
        update_share(states_[i].biases_of(network_.layers()[i]), own.biases);
    }
}

template <class T> void Trainer<T>::average_parameters(const Worker& worker) noexcept {
    if (!(optimizer_.average_decay > 0)) return;
    worker.wait_for_all();
    const T weight = updates_ == 0 ? T(1) : static_cast<T>(1 - optimizer_.average_decay);  // the first one is copied
    const auto average = [&](T* mean, const Buffer<T>& values) {
        const Range mine = worker.share(values.size());
        for (int64_t j = mine.begin; j < mine.end; ++j) mean[j] += weight * (values.data()[j] - mean[j]);
    };
    for (std::size_t i = 0; i < states_.size(); ++i) {
        const LayerArrays<T> means = states_[i].average();
        average(means.weights, network_.layers()[i].weights());
        average(means.biases, network_.layers()[i].biases());
    }
}

// Slices.

template <class T> double Trainer<T>::operations_between_barriers(const Epoch& epoch) const {
    const int64_t rows = epoch.plan.max_micro_batch(max_rows_);
    const double skipped = static_cast<double>(network_.inputs() - epoch.data.inputs.max_columns(rows));
    const double per_row = network_.training_operations() -
                           4.0 * skipped * static_cast<double>(network_.layers()[0].outputs());
    return per_row * static_cast<double>(rows) / (2 * static_cast<double>(network_.layers().size()));
}

template <class T>
typename Trainer<T>::UpdateScale Trainer<T>::scale_of_update(const Epoch& epoch,
                                                             const MicroBatch& batch) const noexcept {
    if (epoch.plan.gradient_divisor() > 0) return {epoch.plan.gradient_divisor(), 1};
    const double rows = static_cast<double>(batch.update_rows());
    if (!epoch.data.sample_weights) return {rows, 1};
    double weight = 0;
    for (int64_t i = batch.update_begin; i < batch.update_end; ++i)
        weight += static_cast<double>(epoch.data.sample_weights[epoch.plan.row(i)]);
    return {weight, weight > 0 ? rows / weight : 0};
}

template <class T>
void Trainer<T>::add_costs(const Epoch& epoch, const MicroBatch& batch, const UpdateScale& scale,
                           LossSum& sum) const noexcept {
    sum.add(losses_, batch.rows(), scale.loss_factor);
    if (epoch.settings.measures_penalty && batch.is_first())
        sum.penalty += static_cast<double>(batch.update_rows()) * penalty(epoch.settings, scale.gradient_divisor);
}

// Of a worker between two barriers: some 1 us. Whether so small a team pays depends on the machine; Pace finds it out.
constexpr double min_operations = 1.5e5;

template <class T>
int64_t Trainer<T>::run_slice(Epoch epoch, int64_t position, LossSum& sum, int n_threads, double seconds) {
    const EpochPlan& plan = epoch.plan;
    if (position >= plan.rows()) return plan.rows();
    const MicroBatch first = plan.micro_batch_at(position, max_rows_);
    if (first.begin != position) throw std::invalid_argument("position must be 0 or what the last call returned");
    epoch.updates_before = updates_ - plan.update_of(position);
    reserve_buffers(epoch);
    SliceClock clock(pace_, seconds);
    const int workers = clock.workers(useful_threads(n_threads, operations_between_barriers(epoch), min_operations));
    reserve_for_workers(epoch, workers);
    const bool is_prefetched = position > 0 && prefetched_ == PrefetchedBatch{&epoch.data, &plan, position, workers, 0};
    const int first_side = is_prefetched ? prefetched_.side : 0;
    prefetched_ = {};
    const bool began_finite = std::isfinite(sum.loss);
    bool ends = false;
    run_team(workers, [&](const Worker& worker) noexcept {
        if (worker.index == 0) clock.team_begins();
        begin_slice(worker, epoch, first, is_prefetched, first_side);
        MicroBatch batch = first;
        UpdateScale scale = scale_of_update(epoch, first);
        for (int side = first_side;; side ^= 1) {
            const MicroBatch next = plan.micro_batch_at(batch.end, max_rows_);
            train_micro_batch(worker, epoch, batch, next, scale, side);
            if (worker.index == 0) {
                add_costs(epoch, batch, scale, sum);
                const bool has_diverged = began_finite && !std::isfinite(sum.loss);
                const bool is_summed = !epoch.updates && batch.is_last();
                ends = clock.is_over(worker, batch.rows()) || next.rows() == 0 || is_summed || has_diverged;
                if (ends) prefetched_ = {&epoch.data, &plan, next.begin, worker.count, side ^ 1};
            }
            worker.wait_for_all();
            if (worker.index == 0) {
                position = batch.end;
                updates_ += epoch.updates && batch.is_last();
            }
            if (ends) break;
            batch = next;
            if (batch.is_first()) scale = scale_of_update(epoch, batch);
        }
    });
    clock.team_has_ended();
    return position;
}

template <class T>
int64_t Trainer<T>::run(const Dataset<T>& data, const EpochPlan& plan, const UpdateSettings& settings, int64_t position,
                        LossSum& sum, int n_threads, double seconds) {
    return run_slice({data, plan, settings, true}, position, sum, n_threads, seconds);
}

template <class T>
int64_t Trainer<T>::sum_gradients(const Dataset<T>& data, const EpochPlan& plan, const UpdateSettings& settings,
                                  int64_t position, LossSum& sum, int n_threads, double seconds) {
    gradients();
    UpdateSettings only_sums = settings;
    only_sums.measures_penalty = false;
    return run_slice({data, plan, only_sums, false}, position, sum, n_threads, seconds);
}

template <class T> void Trainer<T>::update(const UpdateSettings& settings, double gradient_divisor, int n_threads) {
    const UpdateRules<T> rules = update_rules<T>(optimizer_, settings, updates_ + 1, gradient_divisor);
    gradients();
    gradient_norms_.reserve(network_.layers());
    run_team(useful_threads(n_threads, static_cast<double>(sums_.size())), [&](const Worker& worker) noexcept {
        clip_and_update(worker, rules, settings.max_gradient_norm);
        average_parameters(worker);
    });
    ++updates_;
}

// Copies of the memory.

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

template class Trainer<float>;
template class Trainer<double>;

}  // namespace fastmlp
