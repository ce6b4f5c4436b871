// From a table's rows to the inputs of the first dense layer.
//
// A row of the outputs holds the embeddings of all numbers, the numbers themselves unless these embeddings are
// piecewise linear, the columns that pass as they are, and the embeddings of all categories. A piecewise linear
// embedding of x is
//   w x + b + sum over bins j of clamp((x - left_j) / width_j, 0, 1) V_j,
// where the first bin is not clamped below and the last one not above.
#pragma once

#include <string>

#include "../../kernels/dispatch.h"
#include "parameter_array.h"
#include "table.h"

namespace fastmlp {

template <class T> class Front {
public:
    Front(const TabularShape& shape, const Kernels<T>& kernels);  // throws std::bad_alloc

    int64_t width() const { return width_; }
    bool learns() const { return embeds_numbers() || !tables_.empty(); }
    int64_t categories() const { return static_cast<int64_t>(tables_.size()); }
    int64_t embedded_numbers() const { return embeds_numbers() ? shape_.numbers : 0; }

    // out (rows, width)
    void forward(const Table<T>& table, MatrixView<T> out) const noexcept;

    // Calls f(name, array) for each array of parameters, in the same order each time.
    template <class F> void for_each_array(F f) {
        if (shape_.is_periodic()) {
            f("numbers.frequencies", frequencies_);
            f("numbers.phases", phases_);
        }
        if (shape_.is_piecewise()) f("numbers.slopes", slopes_);
        if (embeds_numbers()) {
            f("numbers.weights", weights_);
            f("numbers.biases", biases_);
        }
        for (std::size_t i = 0; i < tables_.size(); ++i) f("categories." + std::to_string(i), tables_[i]);
    }
    static constexpr int max_number_arrays = 4;
    int number_arrays() const { return shape_.is_periodic() ? 4 : shape_.is_piecewise() ? 3 : 0; }

    // The gradients of row `number` of the arrays of numbers, of which `gradients` begin with their gradients in the
    // order of for_each_array. `gradient` (rows, width) is that of forward's `out`; `sums`: workspace of
    // workspace_size().
    void number_gradient(int64_t number, const Table<T>& table, MatrixView<const T> gradient,
                         ParameterArray<T>* const* gradients, T* sums) const noexcept;
    int64_t workspace_size() const {
        return (shape_.frequencies * (2 + shape_.embedding_outputs) + shape_.embedding_outputs) * kernels_->lanes;
    }
    // The gradient of the table of one category.
    void category_gradient(int64_t category, const Table<T>& table, MatrixView<const T> gradient,
                           ParameterArray<T>& to) const noexcept;

private:
    // The bin of x, and how far x lies in it.
    struct Position {
        int64_t bin;
        T share;
    };
    bool embeds_numbers() const { return shape_.is_periodic() || shape_.is_piecewise(); }
    Position position_of(int64_t number, T x) const noexcept;
    void piecewise(int64_t number, T x, T* out) const noexcept;
    void piecewise_gradient(int64_t number, const Table<T>& table, MatrixView<const T> gradient,
                            ParameterArray<T>* const* gradients) const noexcept;
    PeriodicEmbedding<T> embedding_of(int64_t number) const {
        return {shape_.frequencies,      shape_.embedding_outputs, frequencies_.row(number),
                phases_.row(number), weights_.row(number),     biases_.row(number)};
    }
    int64_t first_column_of(int64_t category) const;

    TabularShape shape_;
    const Kernels<T>* kernels_;
    int64_t width_;
    // A row for each number; empty if numbers have no such embedding.
    ParameterArray<T> frequencies_, phases_;  // (numbers, frequencies), of periodic embeddings
    ParameterArray<T> slopes_;                // (numbers, embedding outputs), of piecewise linear ones
    ParameterArray<T> weights_;               // (numbers, frequencies or bins, times embedding outputs)
    ParameterArray<T> biases_;                // (numbers, embedding outputs)
    std::vector<std::vector<T>> edges_;
    std::vector<ParameterArray<T>> tables_;  // of each category: (cardinality, dimension)
};

}  // namespace fastmlp
