// One dense layer: its parameters, and the three products of forward and backward.
//
// Weights (inputs, outputs) are stored in column panels; gradients and optimizer state share that layout, so an update
// is one pass over equal blocks. Backward also needs the weights transposed: a copy, in panels too, which the trainer
// owns and refreshes after each update.
#pragma once

#include "../linalg/packed_columns.h"
#include "columns.h"
#include "dropout.h"
#include "epilogue.h"

namespace fastmlp {

// Arrays of one layer in its layout: its parameters, their gradients, or a state of the optimizer.
template <class T> struct LayerArrays {
    T* weights;
    T* biases;
    operator LayerArrays<const T>() const { return {weights, biases}; }
};

template <class T> class DenseLayer {
public:
    // Throws std::bad_alloc.
    DenseLayer(int64_t inputs, int64_t outputs, const Epilogue<T>& epilogue, const Kernels<T>& kernels)
        : inputs_(inputs),
          outputs_(outputs),
          kernels_(&kernels),
          epilogue_(epilogue),
          shape_{inputs, outputs, kernels.lanes},
          transposed_shape_{outputs, inputs, kernels.lanes},
          weights_(shape_.size()),
          biases_(shape_.padded_columns()) {}

    int64_t inputs() const { return inputs_; }
    int64_t outputs() const { return outputs_; }
    const PanelShape& shape() const { return shape_; }
    const PanelShape& transposed_shape() const { return transposed_shape_; }
    const Epilogue<T>& epilogue() const { return epilogue_; }
    // The tiles of a panel of the weights' gradient, of so many inputs.
    RowTiles weight_tiles(int64_t inputs, int workers) const {
        return {inputs, row_tiles(kernels_->row_tile, inputs, shape_.panels(), workers)};
    }
    Buffer<T>& weights() { return weights_; }
    const Buffer<T>& weights() const { return weights_; }
    Buffer<T>& biases() { return biases_; }
    const Buffer<T>& biases() const { return biases_; }
    LayerArrays<T> parameters() { return {weights_.data(), biases_.data()}; }
    LayerArrays<const T> parameters() const { return {weights_.data(), biases_.data()}; }

    // out (rows, outputs) = activation(in (rows, inputs) * W + b); this worker's tiles. With `active`, `in` holds
    // these columns only and the others are zero. The activation's derivatives go to `derivatives`, of the size of `out`,
    // if it keeps them and that is not empty. With dropout, `dropped` is `out` times the mask, as the derivatives are.
    // on_tile(tile) is called after each tile, but for a single row of one worker.
    template <class OnTile = void (*)(const Tile&)>
    void forward(const Worker& worker, MatrixView<const T> in, MatrixView<T> out, const ActiveColumns* active = nullptr,
                 MatrixView<T> derivatives = {}, const Dropout<T>& dropout = {}, MatrixView<T> dropped = {},
                 OnTile on_tile = [](const Tile&) {}) const noexcept {
        if (in.rows == 1 && worker.count == 1 && !active && !dropout)
            return forward_row(in.data, out.data, derivatives.data);
        const int lanes = kernels_->lanes;
        const bool by_lane = !active && is_narrow() && kernels_->gemm_narrow[outputs_ - 1] && in.rows >= lanes &&
                             in.stride >= round_up(inputs_, lanes);
        const int height = by_lane ? 4 * lanes : active ? kernels_->row_tile : tile_height(*kernels_, shape_);
        const auto product = [&](const Tile& tile, T* to) {
            if (active)
                panel_tile_sparse(*kernels_, in, shape_, weights_.data(), active->index(), tile, to, out.stride);
            else if (by_lane)
                kernels_->gemm_narrow[outputs_ - 1](tile.rows, inputs_, in.row(tile.row), in.stride, weights_.data(),
                                                    to, out.stride);
            else
                panel_tile(*kernels_, in, shape_, weights_.data(), tile, to, out.stride);
        };
        forward_tiles(worker, height, out, product, derivatives, dropout, dropped, on_tile);
    }
    // The same with tiles of up to `height` rows, whose products product(tile, to) leaves in rows of the stride of `out`.
    template <class ProductOf, class OnTile>
    void forward_tiles(const Worker& worker, int height, MatrixView<T> out, ProductOf product, MatrixView<T> derivatives,
                       const Dropout<T>& dropout, MatrixView<T> dropped, OnTile on_tile) const noexcept {
        for_each_tile(height, out.rows, shape_, worker, [&](const Tile& tile) {
            const int64_t first = tile.panel * shape_.full_width();
            T* to = out.row(tile.row) + first;
            product(tile, to);
            T* const derivative = derivatives.data ? derivatives.row(tile.row) + first : nullptr;
            const MatrixView<T> z{to, tile.rows, shape_.width_of(tile.panel), out.stride};
            epilogue_.forward(z, biases_.data() + first, derivative);
            if (dropout)
                dropout.apply(z, tile.row, first, {dropped.row(tile.row) + first, z.rows, z.columns, dropped.stride},
                              nullptr, derivative);
            on_tile(tile);
        });
    }

    // in_gradient (rows, inputs) = gradient (rows, outputs) * Wᵀ, taken back through the epilogue of the layer below,
    // whose outputs are `in` before `dropout`, and whose activation's derivatives are `derivatives` if it keeps them; this
    // worker's tiles.
    void input_gradient(const Worker& worker, MatrixView<const T> gradient, const T* transposed, MatrixView<const T> in,
                        const Epilogue<T>& below, MatrixView<const T> derivatives, MatrixView<T> in_gradient,
                        const Dropout<T>& dropout = {}) const noexcept {
        const auto product = [&](const Tile& tile, T* sums) {
            panel_tile(*kernels_, gradient, transposed_shape_, transposed, tile, sums, in_gradient.stride);
        };
        input_gradient_tiles(worker, tile_height(*kernels_, transposed_shape_), product, in, below, derivatives,
                             in_gradient, dropout, [](const Tile&) {});
    }
    // The same with tiles of up to `height` rows, whose products product(tile, sums) leaves in rows of the stride of
    // `in_gradient`.
    template <class ProductOf, class OnTile>
    void input_gradient_tiles(const Worker& worker, int height, ProductOf product, MatrixView<const T> in,
                              const Epilogue<T>& below, MatrixView<const T> derivatives, MatrixView<T> in_gradient,
                              const Dropout<T>& dropout, OnTile on_tile) const noexcept {
        const PanelShape& shape = transposed_shape_;
        for_each_tile(height, in.rows, shape, worker, [&](const Tile& tile) {
            const int64_t first = tile.panel * shape.full_width(), width = shape.width_of(tile.panel);
            T* sums = in_gradient.row(tile.row) + first;
            product(tile, sums);
            if (dropout && !derivatives.data) {
                const MatrixView<T> masked{sums, tile.rows, width, in_gradient.stride};
                dropout.apply(masked, tile.row, first, masked);
            }
            below.backward({sums, tile.rows, width, in_gradient.stride},
                           {in.row(tile.row) + first, tile.rows, width, in.stride},
                           derivatives.data ? derivatives.row(tile.row) + first : nullptr);
            on_tile(tile);
        });
    }

    // Calls on_tile(OuterProduct, panel) for each tile of inᵀ * gradient, and on_biases(first, sums, columns) with the
    // gradient's column sums, in the layout of the parameters. With `active`, `in` holds these columns only. `packed` is
    // this worker's memory for copies of `in`; null: none are made.
    template <class OnTile, class OnBiases>
    void weight_gradient(const Worker& worker, MatrixView<const T> in, MatrixView<const T> gradient, OnTile on_tile,
                         OnBiases on_biases, const ActiveColumns* active = nullptr,
                         PackedColumns<T>* packed = nullptr) const noexcept {
        const std::int32_t* row_index = active ? active->index() : nullptr;
        using Packed = PackedColumns<T>;
        if (!Packed::pays(*kernels_, in.rows, shape_.panels() / worker.count)) packed = nullptr;
        if (packed) packed->begin_product();
        const auto take_tile = [&](const Tile& tile) {
            OuterProduct<T> product =
                outer_product(*kernels_, in, gradient, shape_, tile.row, tile.rows, tile.panel, row_index);
            if (packed) product.a = packed->columns_of(tile, in);
            on_tile(product, tile.panel);
        };
        for_each_tile(kernels_->row_tile, in.columns, shape_, worker, take_tile,
                      Packed::block_tiles(*kernels_, std::max<int64_t>(1, in.rows)));
        bias_gradient(worker, gradient, on_biases);
    }

    // Whether the outputs are few enough for narrow_weight_gradient.
    bool is_narrow() const { return shape_.vectors() == 1 && outputs_ <= kernels_->row_tile; }

    // The same for few outputs, with outputs as rows of a tile and inputs in the lanes: the other way round most lanes
    // would hold padding. Calls on_weights(panel, offset, sums, size) for the weights of the inputs of each panel of the
    // transposed weights. The sums have equal bits.
    template <class OnWeights, class OnBiases>
    void narrow_weight_gradient(const Worker& worker, MatrixView<const T> in, MatrixView<const T> gradient,
                                OnWeights on_weights, OnBiases on_biases) const noexcept {
        const PanelShape inputs{1, inputs_, kernels_->lanes};
        const int64_t outputs = outputs_, lanes = kernels_->lanes;
        worker.share_out(inputs.panels(), [&](int64_t panel) {
            constexpr int64_t max_lanes = panel_width<T> / panel_vectors;
            alignas(alignment_bytes) T tile[max_row_tile * panel_width<T>], sums[panel_width<T> * max_lanes] = {};
            const int64_t first = panel * inputs.full_width(), width = inputs.width_of(panel);
            MatrixView<const T> of_panel = in;
            of_panel.data += first;
            OuterProduct<T>{*kernels_, gradient, of_panel, outputs, width / lanes, 0, nullptr}.compute(tile, Prefetch{});
            const int64_t count = std::min(width, inputs_ - first);
            kernels_->transpose(sums, lanes, tile, width, outputs, count);
            on_weights(panel, first * lanes, sums, count * lanes);
        });
        bias_gradient(worker, gradient, on_biases);
    }

    // The column sums of the gradient; this worker's panels, some at a time.
    template <class OnBiases>
    void bias_gradient(const Worker& worker, MatrixView<const T> gradient, OnBiases on_biases) const noexcept {
        constexpr int64_t at_once = 4;
        const Range mine = worker.share(shape_.panels());
        for (int64_t panel = mine.begin; panel < mine.end; panel += at_once) {
            alignas(alignment_bytes) T sums[at_once * panel_width<T>];
            const int64_t first = panel * shape_.full_width(), end = std::min(panel + at_once, mine.end);
            const int64_t width = std::min(end * shape_.full_width(), shape_.padded_columns()) - first;
            kernels_->column_sums(gradient.data + first, gradient.stride, gradient.rows, width, sums);
            on_biases(first, sums, width);
        }
    }

    // Calls on_weights(offset, size) for the weights of each column that is not active; this worker's part.
    template <class OnWeights>
    void for_inactive(const Worker& worker, const ActiveColumns& active, OnWeights on_weights) const noexcept {
        const Range mine = worker.share(inputs_);
        for (int64_t panel = 0; panel < shape_.panels(); ++panel)
            for (int64_t row = mine.begin; row < mine.end; ++row)
                if (!active.contains(row))
                    on_weights(shape_.offset_of(panel) + row * shape_.width_of(panel), shape_.width_of(panel));
    }

    // Makes this worker's part of the transposed copy (in panels of transposed_shape()) equal to the weights again.
    void refresh_transposed(const Worker& worker, T* transposed) const noexcept {
        const Range mine = worker.share(transposed_shape_.panels());
        for (int64_t to = mine.begin; to < mine.end; ++to)
            for (int64_t from = 0; from < shape_.panels(); ++from) transpose_block(to, from, transposed);
    }
    // What panel `to` of the transposed copy holds of panel `from` of the weights.
    void transpose_block(int64_t to, int64_t from, T* transposed) const noexcept {
        const int64_t first_input = to * transposed_shape_.full_width(), to_width = transposed_shape_.width_of(to);
        const int64_t first_output = from * shape_.full_width(), from_width = shape_.width_of(from);
        kernels_->transpose(transposed + transposed_shape_.offset_of(to) + first_output * to_width, to_width,
                            weights_.data() + shape_.offset_of(from) + first_input * from_width, from_width,
                            std::min(to_width, inputs_ - first_input), std::min(from_width, outputs_ - first_output));
    }

private:
    void forward_row(const T* in, T* out, T* derivatives) const noexcept {
        const int64_t full_panels = shape_.vectors() / panel_vectors;
        int64_t panel = 0;
        for (; panel + row_panels <= full_panels; panel += row_panels)
            kernels_->gemm_row(inputs_, in, weights_.data() + shape_.offset_of(panel), shape_.offset_of(1),
                               out + panel * shape_.full_width());
        for (; panel < shape_.panels(); ++panel)
            panel_tile(*kernels_, {in, 1, inputs_, inputs_}, shape_, weights_.data(), Tile{0, 1, panel, 0, 0, 0, {0, 0}},
                       out + panel * shape_.full_width(), 0);
        epilogue_.forward({out, 1, shape_.padded_columns(), 0}, biases_.data(), derivatives);
    }

    int64_t inputs_, outputs_;
    const Kernels<T>* kernels_;
    Epilogue<T> epilogue_;
    PanelShape shape_;             // of the weights (inputs, outputs)
    PanelShape transposed_shape_;  // of their transpose (outputs, inputs)
    Buffer<T> weights_, biases_;
};

}  // namespace fastmlp
