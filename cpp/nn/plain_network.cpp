// One chunk of rows after another goes through all layers; the workers share each layer's panels, or its rows.
#include "plain_network.h"

#include <atomic>

namespace fastmlp {

namespace {

template <class T> class PlainForward {
public:
    PlainForward(const std::vector<PlainLayer<T>>& layers, const std::vector<Epilogue<T>>& hidden, Loss loss,
                 const Standardization& standardization, const Inputs& inputs, T* out, const Kernels<T>& kernels)
        : layers_(layers),
          hidden_(hidden),
          last_(Activation::identity, {}, kernels),
          predict_(kernels.predict[static_cast<int>(loss)]),
          inputs_(inputs),
          out_(out),
          kernels_(kernels),
          reader_(kernels, T(1), standardization),
          in_place_(reader_.changes_nothing() &&
                    inputs.kind == (sizeof(T) == 4 ? InputKind::float32 : InputKind::float64)) {
        for (const auto& layer : layers) {
            const int64_t outputs = layer.weights.columns;
            max_width_ = std::max(max_width_, outputs);
            if (&layer != &layers.front() || !inputs.sparse()) max_inputs_ = std::max(max_inputs_, layer.weights.rows);
            biases_.emplace_back(round_up(outputs, kernels.lanes));  // kernels read whole vectors
            std::copy_n(layer.biases, outputs, biases_.back().data());
        }
        // many rows amortise the packing of panels; two layers' activations take tens of megabytes at most
        chunk_rows_ = std::min(inputs.rows, std::clamp<int64_t>((1 << 22) / max_width_, 128, 1024));
        for (std::size_t side = 0; side < 2; ++side) {  // of the even and of the odd layers
            int64_t width = 0;
            for (std::size_t i = side; i < layers.size(); i += 2) width = std::max(width, layers[i].weights.columns);
            sides_[side] = Matrix<T>(chunk_rows_, width, Fill::nothing);
        }
        if (!inputs.sparse() && !in_place_) converted_ = Matrix<T>(chunk_rows_, inputs.columns, Fill::nothing);
    }

    bool run(int n_threads) {
        double operations = 0;
        for (std::size_t i = 0; i < layers_.size(); ++i)
            operations += 2.0 * static_cast<double>(layers_[i].weights.columns) *
                          (i == 0 && inputs_.sparse() ? stored_values_per_row()
                                                      : static_cast<double>(layers_[i].weights.rows));
        const double between_barriers =
            operations * static_cast<double>(chunk_rows_) / static_cast<double>(layers_.size());
        const int threads = useful_threads(n_threads, between_barriers);
        const int64_t panel =
            chunk_rows_ <= few_rows ? 0 : std::min(max_inputs_, block_inputs) * max_group_panels * panel_width<T>;
        const int64_t row = inputs_.sparse() ? inputs_.max_row_values : 0;
        std::vector<Buffer<T>> panels, rows;
        for (int i = 0; i < threads; ++i) panels.emplace_back(panel), rows.emplace_back(row);
        run_team(threads, [&](const Worker& worker) noexcept {
            T* const own_panel = panels[static_cast<std::size_t>(worker.index)].data();
            T* const own_row = rows[static_cast<std::size_t>(worker.index)].data();
            for (int64_t begin = 0; begin < inputs_.rows; begin += chunk_rows_)
                pass(worker, {begin, std::min(inputs_.rows, begin + chunk_rows_)}, own_panel, own_row);
        });
        return all_finite_;
    }

private:
    // So many rows at most take the weights where they are: packing would take as long as the product.
    static constexpr int64_t few_rows = 24;
    // Panels that are packed together: the more, the less often the rows are read; a row's part of them is some lines.
    static constexpr int64_t min_group_panels = 4, max_group_panels = 16;
    // Of so many inputs at a time, a panel stays in L1 over a block of rows.
    static constexpr int64_t block_inputs = 2048 / sizeof(T);
    // Rows of a block: its inputs, 192 KiB, stay in L2 over the panels of a group.
    static constexpr int64_t block_rows = 96;
    // Packing reads so many rows ahead: each lies on another page, where the hardware prefetches nothing.
    static constexpr int64_t rows_ahead = 8;

    double stored_values_per_row() const {
        return static_cast<double>(inputs_.row_starts[inputs_.rows] - inputs_.row_starts[0]) /
               static_cast<double>(std::max<int64_t>(1, inputs_.rows));
    }
    MatrixView<T> side(std::size_t layer, int64_t rows) {
        MatrixView<T> view = sides_[layer % 2].first_rows(rows);
        view.columns = layers_[layer].weights.columns;
        return view;
    }

    // The rows of a chunk, from the inputs to `out`; this worker's part.
    void pass(const Worker& worker, Range chunk, T* panel, T* row) noexcept {
        MatrixView<const T> in{};
        if (!inputs_.sparse()) in = dense_inputs(worker, chunk);
        for (std::size_t i = 0; i < layers_.size(); ++i) {
            const MatrixView<T> z = side(i, chunk.size());
            if (i == 0 && inputs_.sparse())
                sparse_layer(worker, chunk, z, row);
            else if (in.rows <= few_rows)
                layer_in_place(worker, i, in, z);
            else
                layer(worker, i, in, z, panel);
            in = z;
            worker.wait_for_all();
        }
        const MatrixView<T> z = side(layers_.size() - 1, chunk.size());
        const Range mine = worker.share(z.rows);
        const MatrixView<T> part{z.row(mine.begin), mine.size(), z.columns, z.stride};
        predict_(part.data, part.stride, part.rows, part.columns);
        copy_rows(part, MatrixView<T>{out_ + (chunk.begin + mine.begin) * z.columns, part.rows, z.columns, z.columns});
        worker.wait_for_all();  // the next chunk overwrites z
    }

    MatrixView<const T> dense_inputs(const Worker& worker, Range chunk) noexcept {
        const Range mine = worker.share(chunk.size());
        MatrixView<const T> in{static_cast<const T*>(static_cast<const void*>(inputs_.row(chunk.begin))), chunk.size(),
                               inputs_.columns, inputs_.columns};
        if (!in_place_) {
            const MatrixView<T> to = converted_.first_rows(chunk.size());
            for (int64_t i = mine.begin; i < mine.end; ++i)
                reader_.read_row(inputs_, chunk.begin + i, to.row(i));
            in = to;
        }
        for (int64_t i = mine.begin; i < mine.end; ++i)
            if (!kernels_.finite(in.row(i), in.columns)) all_finite_ = false;
        if (!in_place_) worker.wait_for_all();
        return in;
    }

    const Epilogue<T>& epilogue(std::size_t layer) const { return layer < hidden_.size() ? hidden_[layer] : last_; }

    // Each worker computes some of the outputs.
    void layer_in_place(const Worker& worker, std::size_t i, MatrixView<const T> in, MatrixView<T> z) noexcept {
        const MatrixView<const T> weights = layers_[i].weights;
        const Range vectors = worker.share((weights.columns + kernels_.lanes - 1) / kernels_.lanes);
        const int64_t first = vectors.begin * kernels_.lanes, padded = vectors.size() * kernels_.lanes;
        if (padded == 0) return;
        for (int64_t row = 0; row < z.rows; ++row) std::fill_n(z.row(row) + first, padded, T(0));
        kernels_.add_rows(z.data + first, z.stride, z.rows, std::min(padded, weights.columns - first), weights.rows,
                          in.data, in.stride, weights.data + first, weights.stride, nullptr);
        epilogue(i).forward({z.data + first, z.rows, padded, z.stride}, biases_[i].data() + first);
    }

    // The first layer of CSR inputs, whose columns ascend in each row: each worker computes some of the rows.
    void sparse_layer(const Worker& worker, Range chunk, MatrixView<T> z, T* values) noexcept {
        const MatrixView<const T> weights = layers_[0].weights;
        const int64_t padded = round_up(weights.columns, kernels_.lanes);
        const Range mine = worker.share(chunk.size());
        for (int64_t i = mine.begin; i < mine.end; ++i) {
            const int64_t begin = inputs_.first_value(chunk.begin + i);
            const int64_t count = inputs_.first_value(chunk.begin + i + 1) - begin;
            reader_.read_values(inputs_, begin, count, values);
            if (!kernels_.finite(values, count)) all_finite_ = false;
            std::fill_n(z.row(i), padded, T(0));
            kernels_.add_rows(z.row(i), 0, 1, weights.columns, count, values, 0, weights.data, weights.stride,
                              inputs_.column_index + begin);
        }
        epilogue(0).forward({z.row(mine.begin), mine.size(), padded, z.stride}, biases_[0].data());
    }

    void layer(const Worker& worker, std::size_t i, MatrixView<const T> in, MatrixView<T> z, T* packed) noexcept {
        const MatrixView<const T> weights = layers_[i].weights;
        const PanelShape shape{weights.rows, weights.columns, kernels_.lanes};
        const bool all_inputs_at_once = weights.rows <= block_inputs;
        const int64_t group_panels =
            std::clamp(shape.panels() / (2 * worker.count), min_group_panels, max_group_panels);
        const int64_t groups = (shape.panels() + group_panels - 1) / group_panels;
        // with few groups, the workers also share the rows, and each packs the group for its part
        const int64_t parts = groups < 2 * worker.count ? worker.count : 1;
        int64_t packed_group = -1;
        worker.share_out(groups * parts, [&](int64_t task) {
            const int64_t group = task / parts, part = task % parts, first_panel = group * group_panels;
            const int64_t panels = std::min(group_panels, shape.panels() - first_panel);
            const Range rows{z.rows * part / parts, z.rows * (part + 1) / parts};
            for (int64_t begin = 0; begin < weights.rows; begin += block_inputs) {
                const int64_t k = std::min(block_inputs, weights.rows - begin);
                if (!all_inputs_at_once || group != packed_group)
                    pack(shape, {weights.row(begin), k, weights.columns, weights.stride}, first_panel, panels, packed);
                const int64_t step = block_rows / kernels_.row_tile * kernels_.row_tile;
                for (int64_t block = rows.begin; block < rows.end; block += step) {
                    const Range of_block{block, std::min(block + step, rows.end)};
                    for (int64_t panel = first_panel; panel < first_panel + panels; ++panel)
                        panel_of_block(i, in, z, of_block, {begin, begin + k}, panel,
                                       packed + (panel - first_panel) * k * shape.full_width());
                }
            }
            packed_group = group;
        });
    }

    // z += the product of some rows, some inputs and a packed panel; with the last inputs, the epilogue follows.
    void panel_of_block(std::size_t i, MatrixView<const T> in, MatrixView<T> z, Range rows, Range inputs, int64_t panel,
                        const T* packed) noexcept {
        const MatrixView<const T> weights = layers_[i].weights;
        const PanelShape shape{weights.rows, weights.columns, kernels_.lanes};
        const int64_t width = shape.width_of(panel), first = panel * shape.full_width();
        const Prefetch no_prefetch;
        for (int64_t row = rows.begin; row < rows.end; row += kernels_.row_tile) {
            const int64_t count = std::min<int64_t>(kernels_.row_tile, rows.end - row);
            T* const to = z.row(row) + first;
            kernels_.gemm_tile[count - 1][width / kernels_.lanes - 1](
                {inputs.size(), in.row(row) + inputs.begin, in.stride, packed, width, no_prefetch, nullptr,
                 inputs.begin > 0},
                to, z.stride);
            if (inputs.end == weights.rows)
                epilogue(i).forward({to, count, width, z.stride}, biases_[i].data() + first);
        }
    }

    // packed, panel after panel (rows, width) = some panels of the weights, with zeros after the last column.
    static void pack(const PanelShape& shape, MatrixView<const T> weights, int64_t first_panel, int64_t panels,
                     T* packed) noexcept {
        const int64_t full_width = shape.full_width(), panel_size = weights.rows * full_width;
        constexpr int64_t line = alignment_bytes / static_cast<int64_t>(sizeof(T));
        const int64_t last_width = shape.width_of(first_panel + panels - 1);
        const int64_t last_columns = std::min(last_width, weights.columns - (first_panel + panels - 1) * full_width);
        for (int64_t i = 0; i < weights.rows; ++i) {
            const T* from = weights.row(i) + first_panel * full_width;
            if (i + rows_ahead < weights.rows)
                for (int64_t j = 0; j < panels * full_width; j += line)
                    __builtin_prefetch(from + rows_ahead * weights.stride + j);
            T* to = packed + i * full_width;
            for (int64_t panel = 0; panel + 1 < panels; ++panel, from += full_width, to += panel_size)
                for (int64_t j = 0; j < full_width; ++j) to[j] = from[j];
            to += i * (last_width - full_width);
            for (int64_t j = 0; j < last_columns; ++j) to[j] = from[j];
            std::fill_n(to + last_columns, last_width - last_columns, T(0));
        }
    }

    const std::vector<PlainLayer<T>>& layers_;
    const std::vector<Epilogue<T>>& hidden_;
    const Epilogue<T> last_;
    void (*predict_)(T*, int64_t, int64_t, int64_t);
    const Inputs& inputs_;
    T* const out_;
    const Kernels<T>& kernels_;
    const InputReader<T> reader_;
    const bool in_place_;  // the inputs are of type T, and not standardized
    int64_t max_width_ = 1, max_inputs_ = 1, chunk_rows_ = 1;
    std::vector<Buffer<T>> biases_;
    Matrix<T> sides_[2], converted_;
    std::atomic<bool> all_finite_{true};
};

}  // namespace

template <class T>
bool forward_plain(const std::vector<PlainLayer<T>>& layers, const std::vector<Epilogue<T>>& hidden, Loss loss,
                   const Standardization& standardization, const Inputs& inputs, T* out, const KernelTable& table,
                   int n_threads) {
    if (inputs.rows == 0) return true;
    return PlainForward<T>(layers, hidden, loss, standardization, inputs, out, kernels_of<T>(table)).run(n_threads);
}

template bool forward_plain(const std::vector<PlainLayer<float>>&, const std::vector<Epilogue<float>>&, Loss,
                            const Standardization&, const Inputs&, float*, const KernelTable&, int);
template bool forward_plain(const std::vector<PlainLayer<double>>&, const std::vector<Epilogue<double>>&, Loss,
                            const Standardization&, const Inputs&, double*, const KernelTable&, int);

}  // namespace fastmlp
