// A multilayer perceptron: its layers, its predictions and their loss.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "../kernels/dispatch.h"
#include "dense.h"
#include "gather.h"
#include "loss.h"
#include "pair_weights.h"

namespace fastmlp {

// Owner of the parameter lock.
struct LockOwner {
    std::mutex mutex;        // of the fields
    std::thread::id thread;  // default: no thread
    int forks = 0;           // of its process, from the first one on
    // Counts the changes of the parameters, and the begin and the end of each lock.
    std::atomic<int64_t> version{0};
};

template <class T> class Network {
public:
    // sizes: features, hidden widths, outputs; hidden: of each hidden layer. Throws std::invalid_argument,
    // std::bad_alloc.
    Network(const std::vector<int64_t>& sizes, const std::vector<Epilogue<T>>& hidden, const LossFunction<T>& loss,
            double input_scale, const KernelTable& table);

    int64_t inputs() const { return sizes_.front(); }
    int64_t outputs() const { return sizes_.back(); }
    const LossFunction<T>& loss() const { return loss_; }
    bool uses_labels() const { return properties_of(loss_.kind).uses_labels; }  // otherwise targets
    InputReader<T> reader() const { return {kernels(), input_scale_, standardization_}; }
    const Standardization& standardization() const { return standardization_; }
    // Of the inputs, from now on.
    void standardize(const Standardization& standardization);
    LockOwner& lock_owner() { return lock_owner_; }
    void note_change() noexcept { ++lock_owner_.version; }  // of parameters
    const KernelTable& table() const { return *table_; }
    const Kernels<T>& kernels() const { return kernels_of<T>(*table_); }
    std::vector<DenseLayer<T>>& layers() { return layers_; }
    const std::vector<DenseLayer<T>>& layers() const { return layers_; }

    // Floating-point operations of one row, forward, and in a whole training step.
    double forward_operations() const;
    double training_operations() const;

    // out (rows, outputs), unpadded: what the loss compares with labels or targets. Returns whether all scaled inputs
    // are finite numbers of T; if not, `out` is undefined. With an order of bfloat16, which double has not and CSR inputs
    // have not, products are those of a trainer with it. Throws std::bad_alloc.
    bool forward(const Inputs& inputs, T* out, int n_threads, std::optional<PairOrder> bfloat16 = {}) const;

    // Adds the losses and correct predictions of rows [begin, end) of the data to `sum`.
    void evaluate(const Dataset<T>& data, int64_t begin, int64_t end, LossSum& sum, int n_threads) const;

    // sum |w| and sum w^2 over all weights.
    void weight_norms(double sums[2]) const;

    // Whether all weights and biases are finite numbers, and their sum of absolute values, too.
    bool is_finite() const;

private:
    // Cuts the rows into blocks that stay in the L2 cache through all layers, shares them among workers, and
    // calls on_inputs(x) with the scaled inputs of each and then on_outputs(range, z) with the output layer's values.
    // The first layers compute in bfloat16 if their weights are in pairs.
    template <class OnInputs, class OnOutputs>
    void for_each_block(const Inputs& inputs, int n_threads, const std::vector<PairWeights>& in_pairs,
                        OnInputs on_inputs, OnOutputs on_outputs) const;
    std::vector<PairWeights> weights_in_pairs(PairOrder order, int n_threads) const;
    // One layer, of a block of rows; `operands` is memory for the inputs of layers in pairs.
    void forward_layer(std::size_t i, MatrixView<const T> in, MatrixView<T> out, const ActiveColumns* active,
                       const std::vector<PairWeights>& in_pairs, Matrix<std::uint32_t>* operands) const noexcept;

    std::vector<int64_t> sizes_;
    LossFunction<T> loss_;
    T input_scale_;
    Standardization standardization_;
    const KernelTable* table_;
    std::vector<DenseLayer<T>> layers_;
    LockOwner lock_owner_;
};

}  // namespace fastmlp
