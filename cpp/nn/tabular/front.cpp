// Embeddings, and the gradients of their parameters.
#include "front.h"

namespace fastmlp {

template <class T>
Front<T>::Front(const TabularShape& shape, const Kernels<T>& kernels)
    : shape_(shape), kernels_(&kernels), width_(shape.width()) {
    const int64_t lanes = kernels.lanes, K = shape.frequencies, D = shape.embedding_outputs;
    if (embeds_numbers()) {
        frequencies_ = ParameterArray<T>(shape.numbers, K, lanes);
        phases_ = ParameterArray<T>(shape.numbers, K, lanes);
        weights_ = ParameterArray<T>(shape.numbers, K * D, lanes);
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
    for (int64_t j = 0; j < embedded_numbers(); ++j)
        kernels_->periodic(embedding_of(j), table.numbers + j, numbers, table.rows, out.data + j * D, out.stride);
    const int64_t embedded = embedded_numbers() * D;
    for (int64_t i = 0; i < table.rows; ++i) {
        T* to = std::copy_n(table.numbers + i * numbers, numbers, out.row(i) + embedded);
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
    kernels_->periodic_gradient(embedding_of(number), table.numbers + number, shape_.numbers, table.rows,
                                gradient.data + number * shape_.embedding_outputs, gradient.stride,
                                {gradients[0]->row(number), gradients[1]->row(number), gradients[2]->row(number),
                                 gradients[3]->row(number)},
                                sums);
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
