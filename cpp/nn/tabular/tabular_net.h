// A network for tables: embeddings, hidden layers that its members share, and an output layer of each member.
//
// Of member k: the inputs of a hidden layer are multiplied by its factors r_k, and with scales_layers the layer's
// product by s_k, with biases b_k. RealMLP has one member and factors of the first layer's inputs; TabM has many members.
#pragma once

#include "../dense.h"
#include "front.h"

namespace fastmlp {

template <class T> class TabularNet {
public:
    struct Hidden {
        DenseLayer<T> dense;
        ParameterArray<T> input_factors;   // r (members, inputs); empty: 1
        ParameterArray<T> output_factors;  // s (members, outputs); empty: 1
        ParameterArray<T> member_biases;   // b (members, outputs); empty: those of `dense`
        ParameterArray<T> activation_shares;  // (members, outputs); empty: 1
    };
    // What forward keeps of a hidden layer for backward: rows of matrices of the stride of its outputs. Null: nothing.
    struct Kept {
        T *unscaled = nullptr, *derivatives = nullptr, *differences = nullptr;
    };

    // Throws std::invalid_argument, std::bad_alloc.
    TabularNet(const TabularShape& shape, Activation activation, const PartSettings<T>& settings,
               const LossFunction<T>& loss, const KernelTable& table);
    TabularNet(const TabularNet&) = delete;

    const TabularShape& shape() const { return shape_; }
    const LossFunction<T>& loss() const { return loss_; }
    const KernelTable& table() const { return *table_; }
    const Kernels<T>& kernels() const { return kernels_; }
    const Epilogue<T>& epilogue() const { return epilogue_; }
    Front<T>& front() { return front_; }
    std::vector<Hidden>& hidden() { return hidden_; }
    std::vector<DenseLayer<T>>& heads() { return heads_; }
    const std::vector<DenseLayer<T>>& heads() const { return heads_; }
    bool uses_labels() const { return properties_of(loss_.kind).uses_labels; }
    double forward_operations() const;  // of one row, all members

    // out = what hidden layer i of a member makes of `in`, whose factors are applied; by one worker.
    void hidden_forward(std::size_t i, int64_t member, MatrixView<const T> in, MatrixView<T> out,
                        const Kept& kept = {}) const noexcept {
        const Hidden& layer = hidden_[i];
        const PanelShape& shape = layer.dense.shape();
        hidden_forward_tiles(i, member, tile_height(kernels_, shape), out, kept, [&](const Tile& tile, T* to) {
            panel_tile(kernels_, in, shape, layer.dense.weights().data(), tile, to, out.stride);
        });
    }
    // The same with tiles of up to `height` rows, whose products product(tile, to) leaves in rows of the stride of `out`.
    template <class ProductOf>
    void hidden_forward_tiles(std::size_t i, int64_t member, int height, MatrixView<T> out, const Kept& kept,
                              ProductOf product_of) const noexcept {
        const Hidden& layer = hidden_[i];
        const PanelShape& shape = layer.dense.shape();
        const T* const biases = layer.member_biases ? layer.member_biases.row(member) : layer.dense.biases().data();
        for_each_tile(height, out.rows, shape, Worker::alone(), [&](const Tile& tile) {
            const int64_t first = tile.panel * shape.full_width(), width = shape.width_of(tile.panel);
            const int64_t at = tile.row * out.stride + first;
            const MatrixView<T> z{out.data + at, tile.rows, width, out.stride};
            const auto part = [&](T* of) { return of ? of + at : nullptr; };
            T* const product = layer.output_factors && kept.unscaled ? kept.unscaled + at : z.data;
            product_of(tile, product);
            if (layer.output_factors)
                kernels_.scale_columns(z.data, out.stride, product, out.stride, tile.rows, width,
                                       layer.output_factors.row(member) + first);
            if (layer.activation_shares)
                kernels_.mix_activation[static_cast<int>(activation_)](
                    z.data, out.stride, biases + first, tile.rows, width, settings_.value,
                    layer.activation_shares.row(member) + first, part(kept.derivatives), part(kept.differences));
            else
                epilogue_.forward(z, biases + first, part(kept.derivatives));
        });
    }

    // out (rows, outputs), unpadded: the mean over the members of what the loss compares with labels or targets.
    void forward(const Table<T>& table, T* out, int n_threads) const;
    // out (rows, width), unpadded: the outputs of the first `count` hidden layers of member 0, or the embedded rows.
    void hidden_outputs(const Table<T>& table, std::size_t count, T* out, int n_threads) const;

    // Calls f(name, array) for each array beside the dense layers, and f(name, layer, whether its
    // biases are used) for each dense layer.
    template <class F> void for_each_array(F f) {
        front_.for_each_array(f);
        for (std::size_t i = 0; i < hidden_.size(); ++i) {
            const std::string prefix = "hidden." + std::to_string(i) + ".";
            const auto call = [&](const char* name, ParameterArray<T>& array) {
                if (array) f(prefix + name, array);
            };
            call("input_factors", hidden_[i].input_factors);
            call("output_factors", hidden_[i].output_factors);
            call("member_biases", hidden_[i].member_biases);
            call("activation_shares", hidden_[i].activation_shares);
        }
    }
    template <class F> void for_each_layer(F f) {
        for (std::size_t i = 0; i < hidden_.size(); ++i)
            f("hidden." + std::to_string(i), hidden_[i].dense, !hidden_[i].member_biases);
        for (std::size_t i = 0; i < heads_.size(); ++i) f("heads." + std::to_string(i), heads_[i], true);
    }

private:
    // Passes `in` of a member through the first `count` hidden layers; side(0 or 1, columns) is memory for the rows.
    template <class Side>
    MatrixView<const T> through_hidden(int64_t member, std::size_t count, MatrixView<const T> in,
                                       Side side) const noexcept;
    // Calls f(rows, embedded, side) for blocks of the table's rows, shared among workers.
    template <class F> void for_each_block(const Table<T>& table, int n_threads, F f) const;

    TabularShape shape_;
    const KernelTable* table_;
    const Kernels<T>& kernels_;
    Activation activation_;
    PartSettings<T> settings_;
    Epilogue<T> epilogue_;
    LossFunction<T> loss_;
    Front<T> front_;
    std::vector<Hidden> hidden_;
    std::vector<DenseLayer<T>> heads_;
};

}  // namespace fastmlp
