// Input columns that are zero in every row of a chunk: their products are zero, so they are skipped.
//
// Of MNIST's 784 columns a batch of 128 touches 529. The result is that of the full product, to the last bit:
// what is left out are additions of zero. CSR inputs come down the same way: a chunk of theirs is a dense matrix of
// the columns that its rows name, so no buffer is as wide as the data.
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
    std::vector<std::uint64_t> bits_;
};

// The columns of one chunk that are not all zero.
class ActiveColumns {
public:
    ActiveColumns() = default;
    explicit ActiveColumns(int64_t columns)
        : columns_(columns),
          seen_(static_cast<std::size_t>(columns + 63) / 64),
          mask_(seen_.size()),
          index_(static_cast<std::size_t>(columns)),
          place_(static_cast<std::size_t>(columns)) {}

    // Workers each look at some of the chunk's rows, order[first] .. order[first + rows); `order` null means rows
    // first, first + 1, ... Once all have, each unites what all have seen, so that everybody has the same list.
    void look_at(const NonzeroBits& bits, const int64_t* order, int64_t first, int64_t rows) noexcept;
    void look_at(const Inputs& csr, const int64_t* order, int64_t first, int64_t rows) noexcept;  // any stored value
    void unite(const ActiveColumns* workers, int count) noexcept;

    // Whether the chunk's inputs hold no other columns: always for CSR, whose chunks have room for no others;
    // otherwise if so many can be skipped that it pays.
    bool in_use() const { return in_use_; }
    int64_t count() const { return count_; }
    const std::uint64_t* mask() const { return mask_.data(); }
    const std::int32_t* index() const { return index_.data(); }  // (count), ascending
    int64_t place_of(int64_t active_column) const { return place_[static_cast<std::size_t>(active_column)]; }
    bool contains(int64_t column) const { return mask_[static_cast<std::size_t>(column / 64)] >> (column % 64) & 1; }

private:
    int64_t columns_ = 0, count_ = 0;
    bool sparse_ = false, in_use_ = false;
    std::vector<std::uint64_t> seen_, mask_;   // by this worker in its rows; in the whole chunk
    std::vector<std::int32_t> index_, place_;  // index_[place_[column]] = column
};

}  // namespace fastmlp
