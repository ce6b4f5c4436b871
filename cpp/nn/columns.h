// Input columns that are zero in every row of a micro-batch: their products are zero, so they are skipped.
//
// A batch of 128 rows of MNIST uses 529 of the 784 columns. The result has the bits of the full product: only additions
// of zero are left out. In the order of AMX, which sums columns in groups, the last bits may differ. CSR inputs use the
// same mechanism: a micro-batch is a dense matrix of the columns that its rows name, so no buffer is as wide as the data.
#pragma once

#include <vector>

#include "dataset.h"

namespace fastmlp {

// A bit for each element of the inputs: whether it is not zero.
class NonzeroBits {
public:
    NonzeroBits() = default;
    // Stays empty where batches have few columns to skip, and for CSR inputs, which name their columns. Throws
    // std::bad_alloc.
    NonzeroBits(const Inputs& inputs, int n_threads);

    bool empty() const { return bits_.empty(); }
    bool describes(const Inputs& inputs) const { return inputs.rows == rows_ && inputs.columns == columns_; }
    const std::uint64_t* row(int64_t i) const { return bits_.data() + i * words_; }

private:
    int64_t rows_ = 0, columns_ = 0, words_ = 0;
    std::vector<std::uint64_t> bits_;  // (rows, words), bit j % 64 of word j / 64 for column j
};

// The columns of one micro-batch that are not all zero.
class ActiveColumns {
public:
    ActiveColumns() = default;
    explicit ActiveColumns(int64_t columns)
        : columns_(columns),
          marked_(static_cast<std::size_t>(columns + 63) / 64),
          mask_(marked_.size()),
          index_(static_cast<std::size_t>(columns)),
          position_(static_cast<std::size_t>(columns)) {}

    // Marks the columns of rows order[first] .. order[first + rows) that hold a value other than zero, or, in CSR
    // inputs, any stored value. `order` null means rows first, first + 1, ...
    void mark_nonzero(const NonzeroBits& bits, const int64_t* order, int64_t first, int64_t rows) noexcept;
    void mark_nonzero(const Inputs& csr, const int64_t* order, int64_t first, int64_t rows) noexcept;
    // Takes what all workers have marked; after a barrier each does so, so that all have the same list. With `in_pairs`,
    // an even column and the next one are both active, or neither.
    void merge(const ActiveColumns* workers, int count, bool in_pairs = false) noexcept;

    // Whether the micro-batch's inputs hold these columns only: always for CSR, whose buffers are no wider; otherwise
    // if enough can be skipped to pay.
    bool in_use() const { return in_use_; }
    int64_t count() const { return count_; }
    const std::uint64_t* mask() const { return mask_.data(); }
    const std::int32_t* index() const { return index_.data(); }  // (count), ascending
    int64_t position_of(int64_t active_column) const { return position_[static_cast<std::size_t>(active_column)]; }
    bool contains(int64_t column) const { return mask_[static_cast<std::size_t>(column / 64)] >> (column % 64) & 1; }

private:
    int64_t columns_ = 0, count_ = 0;
    bool sparse_ = false, in_use_ = false;
    std::vector<std::uint64_t> marked_, mask_;    // by this worker in its rows; in the whole micro-batch
    std::vector<std::int32_t> index_, position_;  // index_[position_[column]] = column
};

}  // namespace fastmlp
