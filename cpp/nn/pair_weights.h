// The weights of a dense layer in bfloat16, in pairs of inputs, and their product with rows in pairs of columns.
#pragma once

#include "../linalg/bfloat16.h"
#include "dense.h"

namespace fastmlp {

inline int64_t pairs_of(int64_t count) { return (count + 1) / 2; }
inline int64_t padded_pairs_of(int64_t count) { return round_up(pairs_of(count), pair_block); }

// Whether output layers of so many outputs compute in bfloat16: the products of fewer take no time, and losses need their
// digits.
inline bool computes_outputs_in_pairs(int64_t outputs) { return outputs > 16; }

class PairWeights {
public:
    // Throws std::bad_alloc.
    PairWeights(const DenseLayer<float>& layer, const Kernels<float>& kernels, const Bfloat16Kernels& pairs)
        : layer_(&layer),
          pairs_(&pairs),
          shape_{padded_pairs_of(layer.inputs()), layer.outputs(), kernels.lanes},
          weights_(shape_.size()) {}

    // Takes the layer's weights; by all workers, each for its part.
    void take_weights(const Worker& worker) noexcept {
        const int64_t pairs = pairs_of(layer_->inputs());
        const Range mine = worker.share(pairs * shape_.panels());
        for (int64_t i = mine.begin; i < mine.end; ++i) {
            const int64_t panel = i / pairs, pair = i % pairs, width = shape_.width_of(panel);
            const float* even = layer_->weights().data() + layer_->shape().offset_of(panel) + 2 * pair * width;
            pairs_->pair_rows(even, 2 * pair + 1 < layer_->inputs() ? even + width : nullptr, width,
                              weights_.data() + shape_.offset_of(panel) + pair * width);
        }
    }

    // Rounds in place.
    void round(MatrixView<float> x) const noexcept { pairs_->round(x.data, x.stride, x.rows, x.columns); }
    // Rounds some rows, to this row and this even column of `to`.
    void pair_columns(MatrixView<const float> from, MatrixView<std::uint32_t> to, int64_t row,
                      int64_t column) const noexcept {
        const int64_t columns = std::min(from.columns, 2 * to.columns - column);  // without the padding
        pairs_->pair_columns(from.data, from.stride, from.rows, columns, to.row(row) + column / 2, to.stride);
    }

    // The tallest tile, and the product of the tile's rows of `in`, of so many columns. With `active`, `in` holds these
    // pairs of columns.
    int height() const noexcept { return pairs_->row_tile; }
    void multiply(const Tile& tile, MatrixView<const std::uint32_t> in, int64_t columns, const std::int32_t* active,
                  float* z, int64_t stride) const noexcept {
        const auto& kernels = active ? pairs_->sparse : pairs_->tile;
        kernels[tile.rows - 1][shape_.vectors_of(tile.panel) - 1](
            {pairs_of(columns), in.row(tile.row), in.stride, weights_.data() + shape_.offset_of(tile.panel), active}, z,
            stride);
    }

private:
    const DenseLayer<float>* layer_;
    const Bfloat16Kernels* pairs_;
    PanelShape shape_;  // in rows of pairs
    Buffer<std::uint32_t> weights_;
};

}  // namespace fastmlp
