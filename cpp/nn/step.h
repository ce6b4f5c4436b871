// A step of training whose loss is the caller's: forward keeps what backward needs.
#pragma once

#include <atomic>
#include <vector>

#include "epoch_plan.h"
#include "network.h"
#include "optimizer.h"

namespace fastmlp {

// Of one batch of rows, which pass through the layers in the micro-batches of a Trainer, so that the sums of gradients
// have the same bits. The parameters must be the same in backward as in forward.
template <class T> class Step {
public:
    Step(Network<T>& network, int64_t rows);  // throws std::bad_alloc

    // Rows [begin, end) of dense inputs through all layers. Micro-batches that begin there are taken whole; returns the
    // end of the last one, or -1 if an input is not finite. Throws std::bad_alloc, as backward does.
    int64_t forward(const Inputs& inputs, int64_t begin, int64_t end, int n_threads);
    // The values z (rows, outputs) of the output layer.
    MatrixView<T> outputs() { return outputs_.back().view(); }

    // What `gradient` (rows, outputs), that of a loss with respect to z, is with respect to the parameters, in `sums`,
    // which the rows from 0 on begin anew, and with respect to the inputs, in `in_gradient` (rows, inputs), unpadded.
    // Each only if it is not null. Returns as forward does.
    int64_t backward(MatrixView<const T> gradient, int64_t begin, int64_t end, bool sums, T* in_gradient,
                     int n_threads);
    void reserve_for_backward(bool sums, bool in_gradient);  // throws std::bad_alloc
    LayerArrays<const T> gradients(std::size_t layer) const { return states_[layer].gradients(); }
    const Network<T>& network() const { return network_; }
    int64_t rows() const { return plan_.rows(); }

private:
    double operations_between_barriers(int64_t rows) const {
        return network_.training_operations() * static_cast<double>(rows) /
               (2 * static_cast<double>(network_.layers().size()));
    }
    MatrixView<T> part(Matrix<T>& of, const MicroBatch& batch) const {
        MatrixView<T> view = of.view();
        view.data = view.data ? view.row(batch.begin) : nullptr;
        view.rows = batch.rows();
        return view;
    }
    void forward_batch(const Worker& worker, const Inputs& inputs, const MicroBatch& batch) noexcept;
    void backward_batch(const Worker& worker, const MicroBatch& batch, MatrixView<const T> gradient, bool sums,
                        T* in_gradient) noexcept;

    Network<T>& network_;
    const Kernels<T>& kernels_;
    const int64_t max_rows_;                    // of a micro-batch
    EpochPlan plan_;                            // a single mini-batch
    Matrix<T> inputs_;                          // scaled
    std::vector<Matrix<T>> outputs_;            // of each layer
    std::vector<Matrix<T>> derivatives_;  // of each layer; empty where backward needs none
    Matrix<T> gradients_[2];                    // with respect to z of a layer and of the one below, of a micro-batch
    Matrix<T> in_gradient_;                     // of a micro-batch
    std::vector<LayerState<T>> states_;
    Buffer<T> sums_;
    std::atomic<bool> finite_{true};
};

}  // namespace fastmlp
