// The products of a dense layer in bfloat16: its weights, and what passes through it, in pairs along the summed dimension.
//
// Weights, biases, sums, activations' functions and updates are those of the DenseLayer, in float. Matrices of float that
// stand for bfloat16 hold rounded values; each is in pairs once or twice, as the products want it:
//   forward          inputs in pairs of columns, weights in pairs of inputs
//   input gradient   gradient in pairs of columns, weights in pairs of outputs
//   weight gradient  transposed inputs and gradient in pairs of rows
#pragma once

#include "pair_weights.h"

namespace fastmlp {

class PairLayer {
public:
    // With `has_input_gradient`, the weights are kept in pairs of outputs, too. Throws std::bad_alloc.
    PairLayer(const DenseLayer<float>& layer, const Kernels<float>& kernels, const Bfloat16Kernels& pairs,
              bool has_input_gradient)
        : layer_(&layer),
          kernels_(&kernels),
          pairs_(&pairs),
          weights_(layer, kernels, pairs),
          transposed_shape_{padded_pairs_of(layer.outputs()), layer.inputs(), kernels.lanes},
          transposed_(has_input_gradient ? transposed_shape_.size() : 0),
          active_pairs_(static_cast<std::size_t>(padded_pairs_of(layer.inputs()))) {}

    // For micro-batches of so many rows, whose inputs have so many columns. Throws std::bad_alloc.
    void reserve(int64_t rows, int64_t columns) {
        inputs_ = Matrix<std::uint32_t>(rows, pairs_of(columns));
        transposed_inputs_ = Matrix<std::uint32_t>(columns, pairs_of(rows));
        gradient_ = Matrix<std::uint32_t>(rows, pairs_of(layer_->outputs()));
        gradient_rows_ = Buffer<std::uint32_t>(padded_pairs_of(rows) * layer_->shape().padded_columns());
    }

    // The next four by all workers, each for its part.

    // `transposed` is memory for a transposed copy of the weights, which has nothing to hold.
    void round_weights(const Worker& worker, float* transposed) noexcept {
        weights_.take_weights(worker);
        if (transposed_.size()) round_transposed(worker, transposed);
    }

    // Of a layer whose inputs no other layer computes. With `active`, they are these columns, in whole pairs.
    void round_inputs(const Worker& worker, MatrixView<const float> inputs, const ActiveColumns* active) noexcept {
        if (worker.index == 0 && active)
            for (int64_t pair = 0; pair < pairs_of(active->count()); ++pair)
                active_pairs_[static_cast<std::size_t>(pair)] = active->index()[2 * pair] / 2;
        const Range mine = worker.share(inputs.rows);
        take_inputs({inputs.row(mine.begin), mine.size(), inputs.columns, inputs.stride}, mine.begin, 0);
        const MatrixView<std::uint32_t> rows = inputs_.view();
        const int64_t pairs = pairs_of(inputs.columns), end = std::min(padded_pairs_of(inputs.columns), rows.stride);
        for (int64_t i = mine.begin; active && i < mine.end; ++i) std::fill(rows.row(i) + pairs, rows.row(i) + end, 0u);
        round_transposed_inputs(worker, inputs);
    }

    // What weight_gradient reads, but for the inputs of round_inputs.
    void round_transposed_inputs(const Worker& worker, MatrixView<const float> inputs) noexcept {
        constexpr int64_t at_once = 64;  // columns
        const MatrixView<std::uint32_t> to = transposed_inputs_.view();
        const int64_t parts = (inputs.columns + at_once - 1) / at_once;
        const Range mine = worker.share(padded_pairs_of(inputs.rows) / pair_block * parts);
        for (int64_t i = mine.begin; i < mine.end; ++i) {
            const int64_t first = i / parts * pair_block, column = i % parts * at_once;
            const int64_t columns = std::min(at_once, inputs.columns - column);
            alignas(alignment_bytes) std::uint32_t block[pair_block * at_once];
            for (int64_t pair = 0; pair < pair_block; ++pair)
                pair_rows_of(inputs, first + pair, column, columns, block + pair * at_once);
            transpose(to.row(column) + first, to.stride, block, at_once, pair_block, columns);
        }
    }
    void round_gradient_rows(const Worker& worker, MatrixView<const float> gradient) noexcept {
        const Range mine = worker.share(padded_pairs_of(gradient.rows));
        const PanelShape& shape = layer_->shape();
        for (int64_t panel = 0; panel < shape.panels(); ++panel) {
            const int64_t width = shape.width_of(panel), first = panel * shape.full_width();
            std::uint32_t* const to = gradient_panel(panel, gradient.rows);
            for (int64_t pair = mine.begin; pair < mine.end; ++pair)
                pair_rows_of(gradient, pair, first, width, to + pair * width);
        }
    }

    void round(MatrixView<float> x) const noexcept { weights_.round(x); }
    // Parts of the inputs, and of the gradient with respect to z, from this row and this even column on.
    void take_inputs(MatrixView<const float> part, int64_t row, int64_t column) noexcept {
        weights_.pair_columns(part, inputs_.view(), row, column);
    }
    void take_gradient(MatrixView<const float> part, int64_t row, int64_t column) noexcept {
        weights_.pair_columns(part, gradient_.view(), row, column);
    }

    // For tiles of layers: the products, and the tallest tile. Row 0 of the tiles is row `first` of what was taken.
    int height() const noexcept { return weights_.height(); }
    void forward_tile(const Tile& tile, const ActiveColumns* active, float* z, int64_t stride,
                      int64_t first = 0) noexcept {
        weights_.multiply(tile, rows_from(first, inputs_), active ? active->count() : layer_->inputs(),
                          active ? active_pairs_.data() : nullptr, z, stride);
    }
    void input_gradient_tile(const Tile& tile, float* sums, int64_t stride, int64_t first = 0) noexcept {
        const MatrixView<const std::uint32_t> gradient = rows_from(first, gradient_);
        const int64_t vectors = transposed_shape_.vectors_of(tile.panel);
        pairs_->tile[tile.rows - 1][vectors - 1]({pairs_of(layer_->outputs()), gradient.row(tile.row), gradient.stride,
                                                  transposed_.data() + transposed_shape_.offset_of(tile.panel)},
                                                 sums, stride);
    }

    // Calls on_weights(offset, sums, size) with the gradient of weights that lie there, and on_tile() after each tile; this
    // worker's tiles, of a micro-batch of so many rows and columns.
    template <class OnWeights, class OnTile>
    void weight_gradient(const Worker& worker, int64_t rows, int64_t columns, const ActiveColumns* active,
                         OnWeights on_weights, OnTile on_tile) noexcept {
        const MatrixView<const std::uint32_t> in = transposed_inputs_.view();
        const PanelShape& shape = layer_->shape();
        for_each_tile(height() / 2, pairs_of(columns), shape, worker, [&](const Tile& tile) {  // of pairs of inputs
            alignas(alignment_bytes) float sums[max_pair_tile * panel_width<float>];
            const int64_t first = 2 * tile.row, count = std::min(2 * tile.rows, columns - first);
            const int64_t width = shape.width_of(tile.panel), offset = shape.offset_of(tile.panel);
            pairs_->tile[count - 1][shape.vectors_of(tile.panel) - 1](
                {pairs_of(rows), in.row(first), in.stride, gradient_panel(tile.panel, rows)}, sums, width);
            if (active)
                for (int64_t i = 0; i < count; ++i)
                    on_weights(offset + active->index()[first + i] * width, sums + i * width, width);
            else
                on_weights(offset + first * width, sums, count * width);
            on_tile();
        });
    }

private:
    static MatrixView<const std::uint32_t> rows_from(int64_t first, Matrix<std::uint32_t>& matrix) noexcept {
        const MatrixView<std::uint32_t> all = matrix.view();
        return {all.row(first), all.rows - first, all.columns, all.stride};
    }
    // Some columns of rows 2 pair and 2 pair + 1 of x; zeros for rows that it lacks.
    void pair_rows_of(MatrixView<const float> x, int64_t pair, int64_t column, int64_t columns,
                      std::uint32_t* to) const noexcept {
        const int64_t row = 2 * pair;
        if (row >= x.rows)
            std::fill_n(to, columns, 0u);
        else
            pairs_->pair_rows(x.row(row) + column, row + 1 < x.rows ? x.row(row + 1) + column : nullptr, columns, to);
    }
    // Of pairs, which have the size of a float.
    void transpose(std::uint32_t* to, int64_t to_stride, const std::uint32_t* from, int64_t from_stride, int64_t rows,
                   int64_t columns) const noexcept {
        const auto as_floats = [](auto* pairs) { return static_cast<float*>(static_cast<void*>(pairs)); };
        kernels_->transpose(as_floats(to), to_stride, as_floats(const_cast<std::uint32_t*>(from)), from_stride, rows,
                            columns);
    }
    std::uint32_t* gradient_panel(int64_t panel, int64_t rows) noexcept {
        return gradient_rows_.data() + panel * layer_->shape().full_width() * padded_pairs_of(rows);
    }
    void round_transposed(const Worker& worker, float* transposed) noexcept {
        const PanelShape &from = layer_->shape(), &to = layer_->transposed_shape();
        const Range mine = worker.share(to.panels());
        for (int64_t panel = mine.begin; panel < mine.end; ++panel) {
            for (int64_t i = 0; i < from.panels(); ++i) layer_->transpose_block(panel, i, transposed);
            const int64_t width = to.width_of(panel);
            const float* even = transposed + to.offset_of(panel);
            std::uint32_t* pairs = transposed_.data() + transposed_shape_.offset_of(panel);
            for (int64_t i = 0; i < to.rows; i += 2, even += 2 * width, pairs += width)
                pairs_->pair_rows(even, i + 1 < to.rows ? even + width : nullptr, width, pairs);
        }
    }

    const DenseLayer<float>* layer_;
    const Kernels<float>* kernels_;
    const Bfloat16Kernels* pairs_;
    PairWeights weights_;
    PanelShape transposed_shape_;  // in rows of pairs
    Buffer<std::uint32_t> transposed_;
    Matrix<std::uint32_t> inputs_;             // in pairs of columns
    Matrix<std::uint32_t> transposed_inputs_;  // (columns, pairs of rows)
    Matrix<std::uint32_t> gradient_;
    Buffer<std::uint32_t> gradient_rows_;  // panels
    std::vector<std::int32_t> active_pairs_;
};

// Calls f(pair layer) if layer i is one of these, the first ones of a network, and says so.
template <class T, class F> bool in_pairs_of(std::vector<PairLayer>& layers, std::size_t i, F f) noexcept {
    if constexpr (std::is_same_v<T, float>)
        if (i < layers.size()) {
            f(layers[i]);
            return true;
        }
    return false;
}

}  // namespace fastmlp
