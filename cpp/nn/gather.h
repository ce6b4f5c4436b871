// How rows are gathered from the caller's arrays into a network's inputs.
#pragma once

#include "columns.h"

namespace fastmlp {

// Reads rows order[first + i] of the inputs, scaled, into row i of `out`, a few at a time, so that the caller can
// compute tiles in between and have the memory bring the next rows near meanwhile. Shuffled rows come from DRAM and
// no hardware foresees them; read at one go they cost an eighth of a training step. What makes them cheap:
//   - the lines of a row are asked for one by one over a whole tile: fifty at once stall the core
//   - a row is read one tile after its last line was asked for
//   - the pages of many rows are touched at once, before: each of these lines stops the core until memory has
//     answered, but all of them together no longer than one
template <class T> class RowGather {
public:
    // `order` null means rows first, first + 1, ... With `active`, only these columns are kept; CSR inputs need it.
    RowGather(const Kernels<T>& kernels, const Inputs& inputs, const int64_t* order, int64_t first, int64_t rows,
              T scale, MatrixView<T> out, const ActiveColumns* active = nullptr) noexcept
        : convert_(kernels.convert[static_cast<int>(inputs.kind)]),
          compress_(kernels.compress),
          active_(active),
          inputs_(inputs),
          order_(order),
          first_(first),
          rows_(rows),
          scale_(scale),
          out_(out) {}

    // The caller will compute so many tiles, with next() before and read() after each.
    void spread_over(int64_t tiles) noexcept {
        rows_per_tile_ =
            std::clamp<int64_t>(tiles < rows_ ? rows_ / std::max<int64_t>(1, tiles) + 1 : 1, 1, Prefetch::max_ranges);
        tiles_per_row_ = rows_ == 0 ? 1 : std::max<int64_t>(1, tiles / rows_);
    }
    Prefetch next() noexcept {
        near_ = asked_;
        Prefetch prefetch;
        if (asked_ == rows_) return prefetch;
        if (asked_ >= touched_) touch_pages();
        prefetch.count = static_cast<int>(std::min(rows_per_tile_, rows_ - asked_));
        for (int i = 0; i < prefetch.count; ++i)
            prefetch.bytes = std::max(prefetch.bytes, inputs_.row_bytes(source(asked_ + i)) / tiles_per_row_ + 1);
        for (int i = 0; i < prefetch.count; ++i)
            prefetch.from[i] = inputs_.row(source(asked_ + i)) + part_ * prefetch.bytes;
        if (++part_ == tiles_per_row_) part_ = 0, asked_ += prefetch.count;
        return prefetch;
    }
    void read() noexcept { read_until(near_); }
    void read_all() noexcept { read_until(rows_); }

private:
    int64_t source(int64_t i) const noexcept { return order_ ? order_[first_ + i] : first_ + i; }

    void touch_pages() noexcept {
        constexpr int64_t rows_at_once = 32, page_bytes = 4096;
        for (touched_ = asked_; touched_ < std::min(asked_ + rows_at_once, rows_); ++touched_) {
            const char* const row = inputs_.row(source(touched_));
            const int64_t bytes = inputs_.row_bytes(source(touched_));
            for (int64_t byte = 0; byte < bytes; byte += page_bytes) __builtin_prefetch(row + byte);
            __builtin_prefetch(row + bytes - 1);
        }
    }

    void read_until(int64_t end) noexcept {
        for (; done_ < end; ++done_) {
            T* row = out_.row(done_);
            if (inputs_.sparse()) {
                scatter(row, source(done_));
                continue;
            }
            convert_(row, inputs_.row(source(done_)), inputs_.columns, scale_);
            if (active_) compress_(row, active_->mask(), inputs_.columns);
        }
    }

    void scatter(T* row, int64_t source) const noexcept {
        std::fill_n(row, active_->count(), T(0));
        constexpr int64_t block = 64;
        T values[block];
        const int64_t end = inputs_.first_value(source + 1);
        for (int64_t begin = inputs_.first_value(source); begin < end; begin += block) {
            const int64_t count = std::min(block, end - begin);
            convert_(values, inputs_.value(begin), count, scale_);
            const std::int32_t* columns = inputs_.column_index + begin;
            for (int64_t i = 0; i < count; ++i) row[active_->place_of(columns[i])] = values[i];
        }
    }

    void (*convert_)(T*, const void*, int64_t, T);
    void (*compress_)(T*, const std::uint64_t*, int64_t);
    const ActiveColumns* active_;
    Inputs inputs_;
    const int64_t* order_;
    int64_t first_, rows_;
    int64_t touched_ = 0, asked_ = 0, near_ = 0, done_ = 0;  // rows: pages touched, lines asked for, come, read
    int64_t rows_per_tile_ = 1, tiles_per_row_ = 1;
    int64_t part_ = 0;  // of row asked_ that is asked for next, of tiles_per_row_
    T scale_;
    MatrixView<T> out_;
};

}  // namespace fastmlp
