// Predictions of networks for tables.
#include "tabular_net.h"

#include <algorithm>
#include <stdexcept>

#include "../../linalg/team.h"

namespace fastmlp {

template <class T>
TabularNet<T>::TabularNet(const TabularShape& shape, Activation activation, const PartSettings<T>& settings,
                          const LossFunction<T>& loss, const KernelTable& table)
    : shape_(shape),
      table_(&table),
      kernels_(kernels_of<T>(table)),
      activation_(activation),
      settings_(settings),
      epilogue_(activation, settings, kernels_),
      loss_(loss),
      front_(shape, kernels_) {
    if (shape.frequencies > max_frequencies || shape.embedding_outputs > max_embedding_outputs)
        throw std::invalid_argument("an embedding has at most 128 frequencies and 64 outputs");
    const auto with_edges = static_cast<int64_t>(shape.bin_edges.size());
    if (shape.is_piecewise() && (shape.frequencies > 0 || with_edges != shape.numbers))
        throw std::invalid_argument("each number needs the edges of its bins, or all a periodic embedding");
    const auto are_equal = [](double left, double right) { return !(static_cast<T>(left) < static_cast<T>(right)); };
    for (const auto& edges : shape.bin_edges)
        if (edges.size() < 2 || std::adjacent_find(edges.begin(), edges.end(), are_equal) != edges.end())
            throw std::invalid_argument("the edges of bins must be at least two ascending numbers");
    if (shape.width() < 1 || shape.outputs < 1 || shape.members < 1 || shape.hidden.empty())
        throw std::invalid_argument("a network needs inputs, hidden layers, outputs and members");
    const int64_t lanes = kernels_.lanes, members = shape.members;
    int64_t inputs = shape.width();
    for (const int64_t width : shape.hidden) {
        if (width < 1 || width > INT32_MAX) throw std::invalid_argument("layer sizes must lie in [1, 2^31)");
        Hidden layer{DenseLayer<T>(inputs, width, epilogue_, kernels_), {}, {}, {}, {}};
        if (shape.scales_layers || (shape.scales_inputs && hidden_.empty()))
            layer.input_factors = ParameterArray<T>(members, inputs, lanes);
        if (shape.scales_layers) {
            layer.output_factors = ParameterArray<T>(members, width, lanes);
            layer.member_biases = ParameterArray<T>(members, width, lanes);
        }
        if (shape.mixes_activation) layer.activation_shares = ParameterArray<T>(members, width, lanes);
        hidden_.push_back(std::move(layer));
        inputs = width;
    }
    const Epilogue<T> of_output(Activation::identity, {}, kernels_);
    for (int64_t i = 0; i < members; ++i) heads_.emplace_back(inputs, shape.outputs, of_output, kernels_);
}

template <class T> double TabularNet<T>::forward_operations() const {
    double of_member = 0;
    const auto add = [&](const DenseLayer<T>& layer) {
        of_member += 2.0 * static_cast<double>(layer.inputs()) * static_cast<double>(layer.outputs());
    };
    for (const Hidden& layer : hidden_) add(layer.dense);
    add(heads_[0]);
    return of_member * static_cast<double>(shape_.members);
}

template <class T>
template <class Side>
MatrixView<const T> TabularNet<T>::through_hidden(int64_t member, std::size_t count, MatrixView<const T> in,
                                                  Side side) const noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        const int from = static_cast<int>(i % 2), to = 1 - from;
        if (const ParameterArray<T>& factors = hidden_[i].input_factors) {
            const MatrixView<T> scaled = side(from, in.columns);
            kernels_.scale_columns(scaled.data, scaled.stride, in.data, in.stride, in.rows, factors.stride(),
                                   factors.row(member));
            in = scaled;
        }
        const MatrixView<T> out = side(to, hidden_[i].dense.outputs());
        hidden_forward(i, member, in, out);
        in = out;
    }
    return in;
}

// Rows that pass through all layers together: two layers' activations stay in L2.
constexpr int64_t block_rows = 128;

template <class T>
template <class F>
void TabularNet<T>::for_each_block(const Table<T>& table, int n_threads, F f) const {
    n_threads = useful_threads(n_threads, forward_operations() * static_cast<double>(table.rows));
    const int64_t least = (table.rows + block_rows - 1) / block_rows;
    const RowTiles blocks(table.rows, std::max<int64_t>(1, std::min(round_up(least, n_threads), table.rows)));
    n_threads = static_cast<int>(std::min<int64_t>(n_threads, blocks.count()));
    int64_t max_width = std::max(front_.width(), shape_.outputs);
    for (const int64_t width : shape_.hidden) max_width = std::max(max_width, width);
    const int64_t height = table.rows / blocks.count() + 1, stride = padded_stride<T>(max_width);
    std::vector<Buffer<T>> memory;  // of each worker: the embedded rows, and the activations of two layers
    for (int i = 0; i < n_threads; ++i) memory.emplace_back(3 * height * stride);
    run_team(n_threads, [&](const Worker& worker) noexcept {
        T* const mine = memory[static_cast<std::size_t>(worker.index)].data();
        worker.share_out(blocks.count(), [&](int64_t block) {
            const Range rows = blocks.rows(block);
            const MatrixView<T> embedded{mine, rows.size(), front_.width(), stride};
            const auto side = [&](int i, int64_t columns) {
                return MatrixView<T>{mine + (1 + i) * height * stride, rows.size(), columns, stride};
            };
            front_.forward({table.numbers + rows.begin * shape_.numbers, table.columns + rows.begin * shape_.columns,
                            table.codes + rows.begin * front_.categories(), rows.size()},
                           embedded);
            f(rows, embedded, side);
        });
    });
}

template <class T> void TabularNet<T>::forward(const Table<T>& table, T* out, int n_threads) const {
    const int64_t members = shape_.members, outputs = shape_.outputs;
    const T share = T(1) / static_cast<T>(members);
    for_each_block(table, n_threads, [&](Range rows, MatrixView<const T> embedded, auto side) noexcept {
        const MatrixView<T> mean{out + rows.begin * outputs, rows.size(), outputs, outputs};
        for (int64_t member = 0; member < members; ++member) {
            const MatrixView<const T> in = through_hidden(member, hidden_.size(), embedded, side);
            const MatrixView<T> z = side(1 - static_cast<int>(hidden_.size() % 2), outputs);  // `in` is on the other
            heads_[static_cast<std::size_t>(member)].forward(Worker::alone(), in, z);
            kernels_.predict[static_cast<int>(loss_.kind)](z.data, z.stride, z.rows, outputs);
            for (int64_t i = 0; i < z.rows; ++i)
                for (int64_t j = 0; j < outputs; ++j)
                    mean.row(i)[j] = (member == 0 ? T(0) : mean.row(i)[j]) + share * z.row(i)[j];
        }
    });
}

template <class T>
void TabularNet<T>::hidden_outputs(const Table<T>& table, std::size_t count, T* out, int n_threads) const {
    for_each_block(table, n_threads, [&](Range rows, MatrixView<const T> embedded, auto side) noexcept {
        const MatrixView<const T> in = through_hidden(0, count, embedded, side);
        copy_rows(in, MatrixView<T>{out + rows.begin * in.columns, in.rows, in.columns, in.columns});
    });
}

template class TabularNet<float>;
template class TabularNet<double>;

}  // namespace fastmlp
