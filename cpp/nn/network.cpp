// Predictions and their loss, one block of rows after another.
#include "network.h"

#include <cmath>
#include <stdexcept>

namespace fastmlp {

// Rows that go through all layers together: tall enough to amortise reading the weights, small enough that
// two layers' activations stay in L2 (128 rows of 512 floats are 256 KiB).
constexpr int64_t block_rows = 128;

template <class T>
Network<T>::Network(const std::vector<int64_t>& sizes, const std::vector<Epilogue<T>>& hidden,
                    const LossFunction<T>& loss, double input_scale, const KernelTable& table)
    : sizes_(sizes), loss_(loss), input_scale_(static_cast<T>(input_scale)), table_(&table) {
    if (sizes.size() < 2) throw std::invalid_argument("a network needs at least two layer sizes");
    for (const int64_t size : sizes)
        if (size < 1 || size > INT32_MAX) throw std::invalid_argument("layer sizes must lie in [1, 2^31)");
    if (hidden.size() + 2 != sizes.size()) throw std::invalid_argument("each hidden layer needs one activation");
    const Epilogue<T> of_output(Activation::identity, {}, kernels());
    for (std::size_t i = 0; i + 1 < sizes.size(); ++i)
        layers_.emplace_back(sizes[i], sizes[i + 1], i < hidden.size() ? hidden[i] : of_output, kernels());
}

template <class T> void Network<T>::standardize(const Standardization& given) {
    if (standardization_.mean.size() != given.mean.size()) {
        standardization_ = given;
    } else {  // a prediction in another thread may read the vectors
        std::copy(given.mean.begin(), given.mean.end(), standardization_.mean.begin());
        std::copy(given.factor.begin(), given.factor.end(), standardization_.factor.begin());
    }
}

template <class T> double Network<T>::forward_operations() const {
    double sum = 0;
    for (const auto& layer : layers_)
        sum += 2.0 * static_cast<double>(layer.inputs()) * static_cast<double>(layer.outputs());
    return sum;
}

template <class T> double Network<T>::training_operations() const {
    return 3 * forward_operations() - 2.0 * static_cast<double>(sizes_[0]) * static_cast<double>(sizes_[1]);
}

template <class T>
template <class OnInputs, class OnOutputs>
void Network<T>::for_each_block(const Inputs& inputs, int n_threads, const std::vector<PairWeights>& in_pairs,
                                OnInputs on_inputs, OnOutputs on_outputs) const {
    // As many blocks for each worker, of equal heights, unless that makes them lower than half a tile.
    n_threads = useful_threads(n_threads, forward_operations() * static_cast<double>(inputs.rows));
    const int64_t least = (inputs.rows + block_rows - 1) / block_rows, tile = kernels().row_tile;
    const int64_t wanted = std::max<int64_t>(1, std::min(round_up(least, n_threads), 2 * inputs.rows / tile));
    const int64_t rows = std::max<int64_t>(1, (inputs.rows + wanted - 1) / wanted);
    const int64_t blocks = (inputs.rows + rows - 1) / rows;
    n_threads = static_cast<int>(std::clamp<int64_t>(blocks, 1, n_threads));
    const InputReader<T> reader = this->reader();
    const bool direct = !inputs.sparse() && reader.changes_nothing() &&
                        inputs.kind == (sizeof(T) == 4 ? InputKind::float32 : InputKind::float64);
    const int64_t max_width = *std::max_element(sizes_.begin() + 1, sizes_.end());
    const int64_t columns = direct ? 0 : inputs.max_columns(rows);
    const int64_t input_size = rows * padded_stride<T>(columns), side_size = rows * padded_stride<T>(max_width);
    // The block's inputs, the activations of a layer and of the next share `memory`.
    const auto pass = [&](Range part, T* memory, ActiveColumns* found, Matrix<std::uint32_t>* operands) noexcept {
        MatrixView<const T> in{static_cast<const T*>(static_cast<const void*>(inputs.row(part.begin))), part.size(),
                               inputs.columns, inputs.columns};
        if (found) {
            found->mark_nonzero(inputs, nullptr, part.begin, part.size());
            found->merge(found, 1);
        }
        if (!direct) {
            const MatrixView<T> converted{memory, part.size(), found ? found->count() : columns,
                                          padded_stride<T>(columns)};
            RowGather<T>(kernels(), reader, inputs, nullptr, part.begin, part.size(), converted, found)
                .copy_all();
            in = converted;
        }
        on_inputs(in);
        MatrixView<T> out{};
        for (std::size_t i = 0; i < layers_.size(); ++i) {
            const int64_t side = i % 2 ? side_size : 0;
            out = {memory + input_size + side, part.size(), layers_[i].outputs(), padded_stride<T>(max_width)};
            forward_layer(i, in, out, i == 0 ? found : nullptr, in_pairs, operands);
            in = out;
        }
        on_outputs(part, out);
    };
    const int64_t size = input_size + 2 * side_size;
    constexpr int64_t max_on_stack = 4096;  // one row of many networks; an allocation costs as much as a small one
    if (inputs.rows == 1 && !inputs.sparse() && in_pairs.empty() && size <= max_on_stack) {
        alignas(alignment_bytes) T memory[max_on_stack];
        return run_team(1, [&](const Worker&) noexcept { pass({0, 1}, memory, nullptr, nullptr); });
    }
    struct Workspace {
        Buffer<T> memory;
        ActiveColumns columns;  // of CSR inputs
        std::vector<Matrix<std::uint32_t>> operands;  // of each layer in pairs: its inputs
    };
    std::vector<Workspace> workspaces;
    for (int i = 0; i < n_threads; ++i)
        workspaces.push_back({Buffer<T>(size), inputs.sparse() ? ActiveColumns(inputs.columns) : ActiveColumns(), {}});
    for (Workspace& workspace : workspaces)
        for (std::size_t i = 0; i < in_pairs.size(); ++i)
            workspace.operands.emplace_back(rows, pairs_of(layers_[i].inputs()));
    run_team(n_threads, [&](const Worker& worker) noexcept {
        Workspace& mine = workspaces[static_cast<std::size_t>(worker.index)];
        worker.share_out(blocks, [&](int64_t block) {
            pass({block * rows, std::min(inputs.rows, (block + 1) * rows)}, mine.memory.data(),
                 inputs.sparse() ? &mine.columns : nullptr, mine.operands.data());
        });
    });
}

template <class T>
void Network<T>::forward_layer(std::size_t i, MatrixView<const T> in, MatrixView<T> out, const ActiveColumns* active,
                               const std::vector<PairWeights>& in_pairs,
                               Matrix<std::uint32_t>* operands) const noexcept {
    if constexpr (std::is_same_v<T, float>)
        if (i < in_pairs.size()) {
            const PairWeights& weights = in_pairs[i];
            const MatrixView<std::uint32_t> pairs = operands[i].first_rows(in.rows);
            weights.pair_columns(in, pairs, 0, 0);
            const auto product = [&](const Tile& tile, T* z) {
                weights.multiply(tile, pairs, in.columns, nullptr, z, out.stride);
            };
            layers_[i].forward_tiles(Worker::alone(), weights.height(), out, product, {}, {}, {}, [](const Tile&) {});
            if (i + 1 == in_pairs.size() && i + 1 < layers_.size()) weights.round(out);  // a layer of floats reads it
            return;
        }
    layers_[i].forward(Worker::alone(), in, out, active);
}

template <class T>
std::vector<PairWeights> Network<T>::weights_in_pairs(PairOrder order, int n_threads) const {
    std::vector<PairWeights> found;
    if constexpr (std::is_same_v<T, float>) {
        const std::size_t count = layers_.size() - (computes_outputs_in_pairs(outputs()) ? 0 : 1);
        for (std::size_t i = 0; i < count; ++i)
            found.emplace_back(layers_[i], kernels(), bfloat16_kernels(*table_, order));
        run_team(useful_threads(n_threads, forward_operations()), [&](const Worker& worker) noexcept {
            for (PairWeights& weights : found) weights.take_weights(worker);
        });
    }
    return found;
}

template <class T>
bool Network<T>::forward(const Inputs& inputs, T* out, int n_threads, std::optional<PairOrder> bfloat16) const {
    const std::vector<PairWeights> in_pairs =
        bfloat16 ? weights_in_pairs(*bfloat16, n_threads) : std::vector<PairWeights>();
    std::atomic<bool> all_finite{true};
    const auto check = [&](MatrixView<const T> x) noexcept {
        for (int64_t i = 0; i < x.rows; ++i)
            if (!kernels().finite(x.row(i), x.columns)) all_finite = false;
    };
    for_each_block(inputs, n_threads, in_pairs, check, [&](Range part, MatrixView<T> z) noexcept {
        kernels().predict[static_cast<int>(loss_.kind)](z.data, z.stride, z.rows, z.columns);
        copy_rows(z, MatrixView<T>{out + part.begin * z.columns, z.rows, z.columns, z.columns});
    });
    return all_finite;
}

template <class T>
void Network<T>::evaluate(const Dataset<T>& data, int64_t begin, int64_t end, LossSum& sum, int n_threads) const {
    RowLosses<T> losses(end - begin);
    const auto checked_before = [](MatrixView<const T>) noexcept {};
    const Inputs inputs = data.inputs.part(begin, end);
    for_each_block(inputs, n_threads, {}, checked_before, [&](Range part, MatrixView<T> z) noexcept {
        loss_and_gradient(loss_, kernels(), z, data.targets_from(begin + part.begin, z.columns), T(1),
                          losses, part.begin);
    });
    sum.add(losses, end - begin);
}

template <class T> void Network<T>::weight_norms(double sums[2]) const {
    sums[0] = sums[1] = 0;
    for (const auto& layer : layers_) kernels().norms(layer.weights().data(), layer.weights().size(), sums);
}

template <class T> bool Network<T>::is_finite() const {
    double sums[2] = {0, 0};
    for (const auto& layer : layers_) {
        kernels().norms(layer.weights().data(), layer.weights().size(), sums);
        kernels().norms(layer.biases().data(), layer.biases().size(), sums);
    }
    return std::isfinite(sums[0]);  // not the squares: those of large float64 would overflow
}

template class Network<float>;
template class Network<double>;

}  // namespace fastmlp
