// Finds the columns of the inputs that are zero in a whole micro-batch.
#include "columns.h"

namespace fastmlp {

namespace {

template <class Input> void nonzero_bits(const Inputs& inputs, int64_t row, std::uint64_t* bits) noexcept {
    const Input* x = static_cast<const Input*>(static_cast<const void*>(inputs.row(row)));
    for (int64_t begin = 0; begin < inputs.columns; begin += 64) {
        const int64_t end = std::min<int64_t>(64, inputs.columns - begin);
        std::uint64_t word = 0;
        for (int64_t j = 0; j < end; ++j) word |= static_cast<std::uint64_t>(x[begin + j] != 0) << j;
        bits[begin / 64] = word;
    }
}

void nonzero_bits_of_row(const Inputs& inputs, int64_t row, std::uint64_t* bits) noexcept {
    switch (inputs.kind) {
        case InputKind::uint8:
            return nonzero_bits<std::uint8_t>(inputs, row, bits);
        case InputKind::float32:
            return nonzero_bits<float>(inputs, row, bits);
        case InputKind::float64:
            return nonzero_bits<double>(inputs, row, bits);
        case InputKind::count:
            break;
    }
}

// Whether 128 rows from all over the data leave a tenth of the columns at zero.
bool worth_finding(const Inputs& inputs, int64_t words) {
    std::vector<std::uint64_t> any(static_cast<std::size_t>(words)), row(static_cast<std::size_t>(words));
    const int64_t samples = std::min<int64_t>(128, inputs.rows);
    int64_t active = 0;
    for (int64_t i = 0; i < samples; ++i) {
        nonzero_bits_of_row(inputs, inputs.rows * i / samples, row.data());
        for (std::size_t word = 0; word < any.size(); ++word) any[word] |= row[word];
    }
    for (const std::uint64_t word : any) active += __builtin_popcountll(word);
    return active * 10 <= inputs.columns * 9;
}

}  // namespace

NonzeroBits::NonzeroBits(const Inputs& inputs, int n_threads)
    : rows_(inputs.rows), columns_(inputs.columns), words_((inputs.columns + 63) / 64) {
    if (inputs.sparse() || !worth_finding(inputs, words_)) return;
    bits_.resize(static_cast<std::size_t>(inputs.rows * words_));
    const double operations = static_cast<double>(inputs.rows) * static_cast<double>(inputs.columns);
    run_team(useful_threads(n_threads, operations), [&](const Worker& worker) noexcept {
        const Range mine = worker.share(inputs.rows);
        for (int64_t i = mine.begin; i < mine.end; ++i) nonzero_bits_of_row(inputs, i, bits_.data() + i * words_);
    });
}

void ActiveColumns::mark_nonzero(const NonzeroBits& bits, const int64_t* order, int64_t first, int64_t rows) noexcept {
    std::fill(marked_.begin(), marked_.end(), 0);
    sparse_ = false;
    const auto row = [&](int64_t i) { return bits.row(order ? order[i] : i); };
    constexpr int64_t rows_at_once = 32;  // memory brings many together as fast as one
    for (int64_t begin = first, end; begin < first + rows; begin = end) {
        end = std::min(begin + rows_at_once, first + rows);
        for (int64_t i = begin; i < end; ++i)
            for (std::size_t word = 0; word < marked_.size(); word += 8) __builtin_prefetch(row(i) + word);
        for (int64_t i = begin; i < end; ++i)
            for (std::size_t word = 0; word < marked_.size(); ++word) marked_[word] |= row(i)[word];
    }
}

void ActiveColumns::mark_nonzero(const Inputs& csr, const int64_t* order, int64_t first, int64_t rows) noexcept {
    std::fill(marked_.begin(), marked_.end(), 0);
    sparse_ = true;
    const auto values_of = [&](int64_t i) {
        const int64_t row = order ? order[i] : i;
        return Range{csr.first_value(row), csr.first_value(row + 1)};
    };
    for (int64_t i = first; i < first + rows; ++i) {
        const Range next = values_of(std::min(i + 1, first + rows - 1));  // in DRAM, if the rows are shuffled
        for (int64_t j = next.begin; j < next.end; j += 16) __builtin_prefetch(csr.column_index + j);
        const Range values = values_of(i);
        for (int64_t j = values.begin; j < values.end; ++j)
            marked_[static_cast<std::size_t>(csr.column_index[j] / 64)] |= std::uint64_t{1} << csr.column_index[j] % 64;
    }
}

void ActiveColumns::merge(const ActiveColumns* workers, int count, bool in_pairs) noexcept {
    count_ = 0;
    for (std::size_t word = 0; word < mask_.size(); ++word) {
        mask_[word] = 0;
        for (int worker = 0; worker < count; ++worker) mask_[word] |= workers[worker].marked_[word];
        if (in_pairs) {
            constexpr std::uint64_t even = 0x5555555555555555u;
            mask_[word] |= (mask_[word] & even) << 1 | (mask_[word] >> 1 & even);
            if (const int64_t end = columns_ - static_cast<int64_t>(word * 64); end < 64)
                mask_[word] &= (std::uint64_t{1} << end) - 1;  // an odd number of columns
        }
        for (std::uint64_t left = mask_[word]; left; left &= left - 1) {
            const std::int32_t column = static_cast<std::int32_t>(word * 64) + __builtin_ctzll(left);
            position_[static_cast<std::size_t>(column)] = static_cast<std::int32_t>(count_);
            index_[static_cast<std::size_t>(count_++)] = column;
        }
    }
    in_use_ = sparse_ || (count_ <= columns_ - columns_ / 10 && count_ < columns_);
}

}  // namespace fastmlp
