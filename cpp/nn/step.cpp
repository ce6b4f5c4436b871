// Forward and backward of a step, micro-batch after micro-batch.
#include "step.h"

#include "gradient_sink.h"

namespace fastmlp {

template <class T>
Step<T>::Step(Network<T>& network, int64_t rows)
    : network_(network),
      kernels_(network.kernels()),
      max_rows_(max_micro_batch_rows(network.training_operations())),
      plan_(nullptr, rows, std::max<int64_t>(1, rows), 1, 1.0),
      inputs_(rows, network.inputs()) {
    for (const auto& layer : network.layers()) {
        outputs_.emplace_back(rows, layer.outputs());
        derivatives_.push_back(layer.epilogue().keeps_derivative() ? Matrix<T>(rows, layer.outputs()) : Matrix<T>());
        states_.emplace_back(layer, 0, false);
    }
}

template <class T> void Step<T>::reserve_for_backward(bool sums, bool in_gradient) {
    const auto& layers = network_.layers();
    for (std::size_t i = in_gradient ? 0 : 1; i < layers.size(); ++i) states_[i].reserve_transposed(layers[i]);
    int64_t size = 0, width = 0;
    for (const auto& layer : layers) {
        size += layer.weights().size() + layer.biases().size();
        width = std::max(width, layer.outputs());
    }
    const int64_t rows = plan_.max_micro_batch(max_rows_);
    for (auto& side : gradients_)
        if (!side.view().data) side = Matrix<T>(rows, width);
    if (in_gradient && !in_gradient_.view().data) in_gradient_ = Matrix<T>(rows, network_.inputs());
    if (!sums || sums_.size()) return;
    sums_ = Buffer<T>(size);
    T* memory = sums_.data();
    for (std::size_t i = 0; i < layers.size(); ++i) memory = states_[i].set_gradients(memory, layers[i]);
}

template <class T>
void Step<T>::forward_batch(const Worker& worker, const Inputs& inputs, const MicroBatch& batch) noexcept {
    const MatrixView<T> own_inputs = part(inputs_, batch);
    const InputReader<T> reader = network_.reader();
    const Range mine = worker.share(batch.rows());
    for (int64_t i = mine.begin; i < mine.end; ++i) {
        reader.read_row(inputs, batch.begin + i, own_inputs.row(i));
        if (!kernels_.finite(own_inputs.row(i), inputs.columns)) finite_ = false;
    }
    worker.wait_for_all();
    MatrixView<const T> in = own_inputs;
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
        const MatrixView<T> out = part(outputs_[i], batch);
        network_.layers()[i].forward(worker, in, out, nullptr, part(derivatives_[i], batch));
        worker.wait_for_all();
        in = out;
    }
}

template <class T>
int64_t Step<T>::forward(const Inputs& inputs, int64_t begin, int64_t end, int n_threads) {
    finite_ = true;
    const int threads = useful_threads(n_threads, operations_between_barriers(std::min(end - begin, max_rows_)));
    run_team(threads, [&](const Worker& worker) noexcept {
        for (int64_t at = begin; at < end;) {
            const MicroBatch batch = plan_.micro_batch_at(at, max_rows_);
            forward_batch(worker, inputs, batch);
            at = batch.end;
        }
    });
    return finite_ ? plan_.micro_batch_at(end - 1, max_rows_).end : -1;
}

template <class T>
void Step<T>::backward_batch(const Worker& worker, const MicroBatch& batch, MatrixView<const T> output_gradient,
                             bool sums, T* in_gradient) noexcept {
    auto& layers = network_.layers();
    if (batch.is_first())
        for (std::size_t i = 0; i < layers.size(); ++i)
            if (states_[i].transposed()) layers[i].refresh_transposed(worker, states_[i].transposed());
    const auto side = [&](std::size_t layer) {
        MatrixView<T> view = gradients_[layer % 2].first_rows(batch.rows());
        view.columns = layers[layer].outputs();
        return view;
    };
    const Range mine = worker.share(batch.rows());
    const MatrixView<T> last = side(layers.size() - 1);
    for (int64_t i = mine.begin; i < mine.end; ++i) {
        std::copy_n(output_gradient.row(batch.begin + i), last.columns, last.row(i));
        std::fill(last.row(i) + last.columns, last.row(i) + round_up(last.columns, kernels_.lanes), T(0));
    }
    worker.wait_for_all();
    GradientSink<T> sink(kernels_, UpdateKind::sgd, {}, batch, false);
    for (std::size_t i = layers.size(); i-- > 0;) {
        const MatrixView<T> gradient = side(i);
        const MatrixView<const T> in = part(i == 0 ? inputs_ : outputs_[i - 1], batch);
        if (i > 0)
            layers[i].input_gradient(worker, gradient, states_[i].transposed(), in, layers[i - 1].epilogue(),
                                     part(derivatives_[i - 1], batch), side(i - 1));
        else if (in_gradient)
            layers[0].input_gradient(worker, gradient, states_[0].transposed(), in,
                                     Epilogue<T>(Activation::identity, {}, kernels_), {},
                                     in_gradient_.first_rows(batch.rows()));
        if (sums) {
            const ParameterBlock<T> weights = states_[i].weights_of(layers[i]);
            const ParameterBlock<T> biases = states_[i].biases_of(layers[i]);
            layers[i].weight_gradient(
                worker, in, gradient,
                [&](const OuterProduct<T>& product, int64_t) { sink.take_tile(weights, product, Prefetch{}); },
                [&](int64_t offset, const T* values, int64_t size) { sink.take_biases(biases, offset, values, size); });
        }
        worker.wait_for_all();
    }
    if (!in_gradient) return;
    const MatrixView<T> from = in_gradient_.first_rows(batch.rows());
    const InputReader<T> reader = network_.reader();
    for (int64_t i = mine.begin; i < mine.end; ++i)
        for (int64_t j = 0; j < from.columns; ++j)
            in_gradient[(batch.begin + i) * from.columns + j] = from.row(i)[j] * reader.factor(j);
    worker.wait_for_all();
}

template <class T>
int64_t Step<T>::backward(MatrixView<const T> gradient, int64_t begin, int64_t end, bool sums, T* in_gradient,
                          int n_threads) {
    const int threads = useful_threads(n_threads, operations_between_barriers(std::min(end - begin, max_rows_)));
    run_team(threads, [&](const Worker& worker) noexcept {
        for (int64_t at = begin; at < end;) {
            const MicroBatch batch = plan_.micro_batch_at(at, max_rows_);
            backward_batch(worker, batch, gradient, sums, in_gradient);
            at = batch.end;
        }
    });
    return plan_.micro_batch_at(end - 1, max_rows_).end;
}

template class Step<float>;
template class Step<double>;

}  // namespace fastmlp
