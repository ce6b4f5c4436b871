// Embeddings, and the gradients of their parameters.
#include "front.h"

#include <algorithm>

namespace fastmlp {

template <class T>
Front<T>::Front(const TabularShape& shape, const Kernels<T>& kernels)
    : shape_(shape), kernels_(&kernels), width_(shape.width()) {
    const int64_t lanes = kernels.lanes, K = shape.frequencies, D = shape.embedding_outputs;
    int64_t terms = K;  // that weights_ adds up
    for (const auto& edges : shape.bin_edges) {
        terms = std::max(terms, static_cast<int64_t>(edges.size()) - 1);
        edges_.emplace_back(edges.begin(), edges.end());
    }
    if (shape.is_periodic()) {
        frequencies_ = ParameterArray<T>(shape.numbers, K, lanes);
        phases_ = ParameterArray<T>(shape.numbers, K, lanes);
    }
    if (shape.is_piecewise()) slopes_ = ParameterArray<T>(shape.numbers, D, lanes);
    if (embeds_numbers()) {
        weights_ = ParameterArray<T>(shape.numbers, terms * D, lanes);
        biases_ = ParameterArray<T>(shape.numbers, D, lanes);
    }
    for (const auto& category : shape.categories)
        tables_.emplace_back(category.cardinality, category.dimension, lanes);
}

template <class T> int64_t Front<T>::first_column_of(int64_t category) const {
    int64_t column = width_;
    for (int64_t i = categories() - 1; i >= category; --i) column -= tables_[static_cast<std::size_t>(i)].columns();
    return column;
}

template <class T> void Front<T>::forward(const Table<T>& table, MatrixView<T> out) const noexcept {
    const int64_t numbers = shape_.numbers, D = shape_.embedding_outputs;
    for (int64_t j = 0; shape_.is_periodic() && j < numbers; ++j)
        kernels_->periodic(embedding_of(j), table.numbers + j, numbers, table.rows, out.data + j * D, out.stride);
    for (int64_t i = 0; i < table.rows; ++i) {
        for (int64_t j = 0; shape_.is_piecewise() && j < numbers; ++j)
            piecewise(j, table.numbers[i * numbers + j], out.row(i) + j * D);
        T* to = out.row(i) + embedded_numbers() * D;
        if (shape_.passes_numbers()) to = std::copy_n(table.numbers + i * numbers, numbers, to);
        to = std::copy_n(table.columns + i * shape_.columns, shape_.columns, to);
        for (int64_t c = 0; c < categories(); ++c) {
            const ParameterArray<T>& values = tables_[static_cast<std::size_t>(c)];
            to = std::copy_n(values.row(table.codes[i * categories() + c]), values.columns(), to);
        }
    }
}

template <class T>
void Front<T>::number_gradient(int64_t number, const Table<T>& table, MatrixView<const T> gradient,
                               ParameterArray<T>* const* gradients, T* sums) const noexcept {
    if (shape_.is_piecewise()) return piecewise_gradient(number, table, gradient, gradients);
    kernels_->periodic_gradient(embedding_of(number), table.numbers + number, shape_.numbers, table.rows,
                                gradient.data + number * shape_.embedding_outputs, gradient.stride,
                                {gradients[0]->row(number), gradients[1]->row(number), gradients[2]->row(number),
                                 gradients[3]->row(number)},
                                sums);
}

template <class T> typename Front<T>::Position Front<T>::position_of(int64_t number, T x) const noexcept {
    const std::vector<T>& edges = edges_[static_cast<std::size_t>(number)];
    const auto bins = static_cast<int64_t>(edges.size()) - 1;
    const auto above = std::upper_bound(edges.begin(), edges.end(), x) - edges.begin();
    const int64_t bin = std::clamp<int64_t>(above - 1, 0, bins - 1);
    const T left = edges[static_cast<std::size_t>(bin)], right = edges[static_cast<std::size_t>(bin + 1)];
    return {bin, (x - left) / (right - left)};
}

template <class T> void Front<T>::piecewise(int64_t number, T x, T* out) const noexcept {
    const int64_t D = shape_.embedding_outputs;
    const Position position = position_of(number, x);
    const T *const slopes = slopes_.row(number), *const biases = biases_.row(number);
    for (int64_t d = 0; d < D; ++d) out[d] = slopes[d] * x + biases[d];
    const T* weights = weights_.row(number);
    for (int64_t bin = 0; bin < position.bin; ++bin, weights += D)
        for (int64_t d = 0; d < D; ++d) out[d] += weights[d];
    for (int64_t d = 0; d < D; ++d) out[d] += position.share * weights[d];
}

template <class T>
void Front<T>::piecewise_gradient(int64_t number, const Table<T>& table, MatrixView<const T> gradient,
                                  ParameterArray<T>* const* gradients) const noexcept {
    const int64_t D = shape_.embedding_outputs;
    T *const slopes = gradients[0]->row(number), *const biases = gradients[2]->row(number);
    std::fill_n(slopes, D, T(0));
    std::fill_n(biases, D, T(0));
    std::fill_n(gradients[1]->row(number), gradients[1]->columns(), T(0));
    for (int64_t i = 0; i < table.rows; ++i) {
        const T x = table.numbers[i * shape_.numbers + number];
        const T* const g = gradient.row(i) + number * D;
        const Position position = position_of(number, x);
        T* weights = gradients[1]->row(number);
        for (int64_t bin = 0; bin < position.bin; ++bin, weights += D)
            for (int64_t d = 0; d < D; ++d) weights[d] += g[d];
        for (int64_t d = 0; d < D; ++d) {
            weights[d] += position.share * g[d];
            slopes[d] += x * g[d];
            biases[d] += g[d];
        }
    }
}

template <class T>
void Front<T>::category_gradient(int64_t category, const Table<T>& table, MatrixView<const T> gradient,
                                 ParameterArray<T>& to) const noexcept {
    std::fill_n(to.values().data(), to.values().size(), T(0));
    const int64_t first = first_column_of(category);
    for (int64_t i = 0; i < table.rows; ++i) {
        T* const sums = to.row(table.codes[i * categories() + category]);
        const T* const from = gradient.row(i) + first;
        for (int64_t j = 0; j < to.columns(); ++j) sums[j] += from[j];
    }
}

template class Front<float>;
template class Front<double>;

}  // namespace fastmlp
