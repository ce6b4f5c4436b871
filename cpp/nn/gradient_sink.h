// Where the gradient of a micro-batch goes, part by part: into the sums of its update, or into the parameters.
#pragma once

#include <utility>

#include "../linalg/gemm.h"
#include "epoch_plan.h"
#include "optimizer.h"

namespace fastmlp {

// Of one worker. An update of a single micro-batch needs no sums: each tile of its gradient updates the weights while
// it is in registers, in L1, or beside the product of the next tile, as the optimizer's properties allow.
template <class T> class GradientSink {
public:
    // Unless `updates`, the gradient is summed only.
    GradientSink(const Kernels<T>& kernels, UpdateKind kind, const UpdateRules<T>& rules, const MicroBatch& batch,
                 bool updates) noexcept
        : kernels_(kernels),
          kind_(kind),
          properties_(properties_of(kind)),
          rules_(rules),
          is_first_(batch.is_first()),
          updates_(updates && batch.is_last()),
          needs_sums_(!is_first_ || !updates_),
          overlaps_(!needs_sums_ && properties_.overlaps_with_product && batch.rows() >= min_rows_to_overlap) {}

    bool updates() const noexcept { return updates_; }
    // Whether a tile updates the parameters only during the next tile's product.
    bool overlaps() const noexcept { return overlaps_; }
    // From the next tile on.
    void set_rules(const UpdateRules<T>& rules) noexcept { rules_ = rules; }

    void take_tile(const ParameterBlock<T>& weights, const OuterProduct<T>& product,
                   const Prefetch& prefetch) noexcept {
        if (!needs_sums_ && properties_.state_count == 0) {
            product.update(kind_, weights.value, prefetch, rules_.weights);
            return;
        }
        T* const tile = tiles_[side_ ^= 1];
        if (overlaps_) {
            product.compute_and_update(kind_, tile, prefetch, earlier_, rules_.weights);
            earlier_.gradient = tile;
            earlier_.rows = product.rows;
            earlier_.vectors = product.vectors;
            earlier_.row_index = product.row_index;
            earlier_.offset = product.offset;
            earlier_.w = weights.value;
            earlier_.state_1 = weights.state[0];
            earlier_.state_2 = weights.state[1];
            return;
        }
        product.compute(tile, prefetch);
        const int64_t width = product.size() / product.rows;
        if (product.row_index)
            for (int64_t i = 0; i < product.rows; ++i)
                take(weights, rules_.weights, product.offset + product.row_index[i] * width, tile + i * width, width);
        else
            take(weights, rules_.weights, product.offset, tile, product.size());
    }
    // After the last tile of a layer: its update, which no product overlaps with.
    void finish_tiles() noexcept {
        if (overlaps_) kernels_.update_tile[static_cast<int>(kind_)](std::exchange(earlier_, {}), rules_.weights);
    }
    // Sums that are complete.
    void take_weights(const ParameterBlock<T>& weights, int64_t offset, const T* gradient, int64_t size) noexcept {
        take(weights, rules_.weights, offset, gradient, size);
    }
    void take_biases(const ParameterBlock<T>& biases, int64_t offset, const T* gradient, int64_t size) noexcept {
        take(biases, rules_.biases, offset, gradient, size);
    }

    // Whether weights with a zero gradient need take_zeros: sums begin and are used, penalties and state move weights.
    bool needs_zeros() const noexcept {
        const bool moves = properties_.moves_without_gradient || rules_.weights.l1 != 0 || rules_.weights.l2 != 0 ||
                           rules_.weights.soft_threshold != 0;
        return needs_sums_ ? is_first_ || updates_ : moves;
    }
    // size <= panel_width
    void take_zeros(const ParameterBlock<T>& weights, int64_t offset, int64_t size) noexcept {
        static constexpr T zeros[panel_width<T>] = {};
        take(weights, rules_.weights, offset, zeros, size);
    }

private:
    // A tile of fewer rows has too few iterations over k to hide the update of another behind them.
    static constexpr int64_t min_rows_to_overlap = 64;

    void take(const ParameterBlock<T>& block, const UpdateRule<T>& rule, int64_t offset, const T* gradient,
              int64_t size) noexcept {
        if (needs_sums_) {
            T* const sum = block.gradient + offset;
            if (is_first_)
                std::copy_n(gradient, size, sum);
            else
                kernels_.add(sum, gradient, size);
            gradient = sum;
        }
        if (updates_) update_block(kernels_, kind_, block, offset, gradient, size, rule);
    }

    const Kernels<T>& kernels_;
    const UpdateKind kind_;
    const UpdateProperties properties_;
    UpdateRules<T> rules_;
    const bool is_first_, updates_;  // whether the sums begin, and whether they are used
    const bool needs_sums_, overlaps_;
    alignas(alignment_bytes) T tiles_[2][max_row_tile * panel_width<T>];  // the current one and the one before
    int side_ = 0;
    TileUpdate<T> earlier_;
};

}  // namespace fastmlp
