// Training of a network for tables outside of the update: states, buffers, slices of an epoch, snapshots.
#include "tabular_trainer.h"

#include <cmath>
#include <stdexcept>

#include "../slice_clock.h"

namespace fastmlp {

template <class T>
TabularTrainer<T>::TabularTrainer(TabularNet<T>& net, const OptimizerSettings& optimizer, double gradient_factor,
                                  std::optional<PairOrder> bfloat16)
    : net_(net), kernels_(net.kernels()), optimizer_(optimizer), gradient_factor_(gradient_factor) {
    net.for_each_array([&](const std::string&, ParameterArray<T>& array) {
        const auto alike = [&] { return ParameterArray<T>(array.rows(), array.columns(), kernels_.lanes); };
        arrays_.push_back({&array, alike(), alike(), alike(), {}});
    });
    net.for_each_layer([&](const std::string&, DenseLayer<T>& layer, bool) {
        layers_.push_back({&layer, LayerState<T>(layer, 2, false), {}, {}});
        layers_.back().state.reserve_transposed(layer);
    });
    const auto state_of = [&](const ParameterArray<T>& array) -> ArrayState* {
        for (ArrayState& state : arrays_)
            if (state.array == &array) return &state;
        return nullptr;
    };
    for (const auto& layer : net.hidden())
        hidden_arrays_.push_back({state_of(layer.input_factors), state_of(layer.output_factors),
                                  state_of(layer.member_biases), state_of(layer.activation_shares)});
    if constexpr (std::is_same_v<T, float>)
        for (std::size_t i = 0; bfloat16 && i < net.hidden().size(); ++i)
            pair_layers_.emplace_back(net.hidden()[i].dense, kernels_, bfloat16_kernels(net.table(), *bfloat16),
                                      i > 0 || hidden_arrays_[0].input_factors || net.front().learns());
}

template <class T> void TabularTrainer<T>::set_factors(const std::string& name, const GroupFactors& factors) {
    bool found = false;
    std::size_t i = 0;
    net_.for_each_array([&](const std::string& array, ParameterArray<T>&) {
        if (array == name) arrays_[i].factors = factors, found = true;
        ++i;
    });
    i = 0;
    net_.for_each_layer([&](const std::string& layer, DenseLayer<T>&, bool has_biases) {
        if (layer + ".weights" == name) layers_[i].weights = factors, found = true;
        if (has_biases && layer + ".biases" == name) layers_[i].biases = factors, found = true;
        ++i;
    });
    if (!found) throw std::invalid_argument("the network has no parameters " + name);
}

// Buffers.

template <class T>
void TabularTrainer<T>::reserve(const EpochPlan& plan, const UpdateSettings& settings, int workers, bool updates) {
    const TabularShape& shape = net_.shape();
    while (static_cast<int>(workspaces_.size()) < workers) workspaces_.emplace_back(net_.front().workspace_size());
    const bool drops = settings.dropout > 0;
    const int64_t rows = plan.max_micro_batch(plan.rows());
    // A group has about 512 rows: they fit in cache, and are enough for the products that sum over them.
    constexpr int64_t group_rows = 512;
    const int64_t group = std::clamp<int64_t>(group_rows / std::max<int64_t>(1, rows), 1, shape.members);
    if ((!updates || settings.max_gradient_norm > 0 || group < shape.members) && !sums_.size()) {
        int64_t size = 0;
        for (const LayerEntry& entry : layers_) size += entry.layer->weights().size() + entry.layer->biases().size();
        sums_ = Buffer<T>(size);
        T* memory = sums_.data();
        for (LayerEntry& entry : layers_) memory = entry.state.set_gradients(memory, *entry.layer);
    }
    if (rows <= reserved_rows_ && (!drops || reserved_dropout_) && group == group_members_) {
        while (!packed_.empty() && static_cast<int>(packed_.size()) < workers)
            packed_.emplace_back(kernels_, packed_[0].rows());
        return;
    }
    reserved_rows_ = 0;
    group_members_ = group;
    const int64_t all = group * rows, width = net_.front().width();
    batch_numbers_ = Buffer<T>(rows * shape.numbers);
    batch_columns_ = Buffer<T>(rows * shape.columns);
    batch_codes_ = Buffer<std::int32_t>(rows * static_cast<int64_t>(shape.categories.size()));
    batch_labels_ = Buffer<std::int32_t>(rows);
    batch_targets_ = Buffer<T>(rows * shape.outputs);
    batch_weights_ = Buffer<T>(rows);
    embedded_ = Matrix<T>(rows, width);
    buffers_.clear();
    for (std::size_t i = 0; i < net_.hidden().size(); ++i) {
        const auto& layer = net_.hidden()[i];
        const int64_t inputs = layer.dense.inputs(), outputs = layer.dense.outputs();
        LayerBuffers buffers;
        const auto matrix = [&](bool needed, int64_t columns) {
            return needed ? Matrix<T>(all, columns) : Matrix<T>();
        };
        const bool scales = bool(layer.output_factors), mixes = bool(layer.activation_shares);
        const auto sums = [&](const ParameterArray<T>& of) {
            return of ? Matrix<T>(group * sum_blocks_of(rows), of.columns()) : Matrix<T>();
        };
        buffers.inputs = matrix(bool(layer.input_factors), inputs);
        buffers.input_factors = sums(layer.input_factors);
        buffers.output_factors = sums(layer.output_factors);
        buffers.member_biases = sums(layer.member_biases);
        buffers.activation_shares = sums(layer.activation_shares);
        buffers.outputs = matrix(true, outputs);
        buffers.gradients = matrix(true, outputs);
        buffers.unscaled = matrix(scales, outputs);
        buffers.derivatives = matrix(mixes || net_.epilogue().keeps_derivative(), outputs);
        buffers.differences = matrix(mixes, outputs);
        buffers.dropped = matrix(drops, outputs);
        buffers_.push_back(std::move(buffers));
    }
    for (std::size_t i = 0; i < pair_layers_.size(); ++i) pair_layers_[i].reserve(all, net_.hidden()[i].dense.inputs());
    outputs_ = Matrix<T>(all, shape.outputs);
    if (net_.front().learns() || hidden_arrays_[0].input_factors) front_gradients_ = Matrix<T>(all, width);
    if (net_.front().learns() && shape.members > 1) embedded_gradient_ = Matrix<T>(rows, width);
    losses_ = RowLosses<T>(rows * shape.members);
    packed_.clear();
    for (int i = 0; i < workers; ++i) packed_.emplace_back(kernels_, all);
    reserved_rows_ = rows;
    reserved_dropout_ = drops;
}

// Slices.

template <class T>
int64_t TabularTrainer<T>::run_slice(const LabelledTable<T>& data, const EpochPlan& plan,
                                     const UpdateSettings& settings, int64_t position, bool updates, LossSum& sum,
                                     int n_threads, double seconds) {
    if (position >= plan.rows()) return plan.rows();
    const auto members = static_cast<double>(net_.shape().members);
    const int64_t max_rows = plan.max_micro_batch(plan.rows());
    const double operations = 3 * net_.forward_operations() * static_cast<double>(max_rows) / 5;
    SliceClock clock(pace_, seconds);
    constexpr double min_operations = 1.5e5;  // of a worker between two barriers
    const int workers = clock.workers(useful_threads(n_threads, operations, min_operations));
    reserve(plan, settings, workers, updates);
    const int64_t updates_before = updates_ - plan.update_of(position);
    bool ends = false;
    run_team(workers, [&](const Worker& worker) noexcept {
        if (worker.index == 0) clock.team_begins();
        refresh_copies(worker);
        worker.wait_for_all();
        for (MicroBatch batch = plan.micro_batch_at(position, plan.rows());;
             batch = plan.micro_batch_at(batch.end, plan.rows())) {
            const int64_t update = plan.update_of(batch.begin);
            Pass pass{data, plan, batch, settings.at(update), updates_before + update + 1, updates};
            pass.settings.dropout_key = Dropout<T>::key_of_update(settings.dropout_key, updates_before + update);
            train_batch(worker, pass);
            if (worker.index == 0) {
                sum.add(losses_, batch.rows() * net_.shape().members, 1 / members);
                updates_ += updates;
                position = batch.end;
                ends = clock.is_over(worker, batch.rows()) || position == plan.rows() || !updates ||
                       !std::isfinite(sum.loss);
            }
            worker.wait_for_all();
            if (ends) break;
        }
    });
    clock.team_has_ended();
    return position;
}

template <class T>
int64_t TabularTrainer<T>::run(const LabelledTable<T>& data, const EpochPlan& plan, const UpdateSettings& settings,
                               int64_t position, LossSum& sum, int n_threads, double seconds) {
    return run_slice(data, plan, settings, position, true, sum, n_threads, seconds);
}

template <class T>
void TabularTrainer<T>::sum_gradients(const LabelledTable<T>& data, const EpochPlan& plan,
                                      const UpdateSettings& settings, int n_threads) {
    LossSum sum;
    run_slice(data, plan, settings, 0, false, sum, n_threads, 1e9);
}

// Snapshots.

template <class T> void TabularTrainer<T>::save_snapshot() {
    int64_t size = 0;
    for_each_buffer([&](const Buffer<T>& values) { size += values.size(); });
    if (snapshot_.size() != size) snapshot_ = Buffer<T>(size);
    T* to = snapshot_.data();
    for_each_buffer([&](const Buffer<T>& values) { to = std::copy_n(values.data(), values.size(), to); });
}

template <class T> void TabularTrainer<T>::restore_snapshot() {
    const T* from = snapshot_.data();
    for_each_buffer([&](Buffer<T>& values) {
        std::copy_n(from, values.size(), values.data());
        from += values.size();
    });
}

template class TabularTrainer<float>;
template class TabularTrainer<double>;

}  // namespace fastmlp
