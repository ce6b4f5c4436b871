// How rows are gathered from the caller's arrays into a network's inputs.
#pragma once

#include "columns.h"
#include "input_reader.h"

namespace fastmlp {

// For tiles whose kernel does not.
inline void fetch(const Prefetch& prefetch) noexcept {
    for (int i = 0; i < prefetch.count; ++i)
        for (int64_t byte = 0; byte < prefetch.bytes; byte += alignment_bytes)
            __builtin_prefetch(prefetch.from[i] + byte);
}

// Copies rows order[first + i] of the inputs, as `reader` reads them, into row i of `out`. The caller computes tiles meanwhile, so that
// memory brings the next rows: shuffled rows come from DRAM and the hardware cannot predict them; copied at once, they
// take an eighth of a training step. Three things make them cheap:
//   - the lines of a row are prefetched one by one over a whole tile: fifty at once stall the core
//   - a row is copied one tile after its last line was prefetched
//   - before that, the pages of many rows are prefetched together: the first access to a page stalls the core until
//     memory has answered, but many at once stall it no longer than one
template <class T> class RowGather {
public:
    // `order` null means rows first, first + 1, ... With `active`, only these columns are kept; CSR inputs need it.
    RowGather(const Kernels<T>& kernels, const InputReader<T>& reader, const Inputs& inputs, const int64_t* order,
              int64_t first, int64_t rows, MatrixView<T> out, const ActiveColumns* active = nullptr) noexcept
        : reader_(reader),
          compress_(kernels.compress),
          active_(active),
          inputs_(inputs),
          order_(order),
          first_(first),
          rows_(rows),
          out_(out) {}

    // The caller will compute this many tiles, with prefetch() before and copy_ready() after each. With `takes_lines`,
    // the copies' lines are taken from the other cores that have read them, all lines of a row at once.
    void spread_over(int64_t tiles, bool takes_lines) noexcept {
        takes_lines_ = takes_lines;
        rows_per_tile_ =
            std::clamp<int64_t>(tiles < rows_ ? rows_ / std::max<int64_t>(1, tiles) + 1 : 1, 1, Prefetch::max_ranges);
        tiles_per_row_ = rows_ == 0 ? 1 : std::max<int64_t>(1, tiles / rows_);
    }
    // What the kernel of the next tile is to prefetch.
    Prefetch prefetch() noexcept {
        ready_ = lines_prefetched_;
        Prefetch prefetch;
        if (lines_prefetched_ == rows_) return prefetch;
        if (lines_prefetched_ >= pages_prefetched_) prefetch_pages();
        prefetch.count = static_cast<int>(std::min(rows_per_tile_, rows_ - lines_prefetched_));
        for (int i = 0; i < prefetch.count; ++i)
            prefetch.bytes =
                std::max(prefetch.bytes, inputs_.row_bytes(source(lines_prefetched_ + i)) / tiles_per_row_ + 1);
        for (int i = 0; i < prefetch.count; ++i)
            prefetch.from[i] = inputs_.row(source(lines_prefetched_ + i)) + part_ * prefetch.bytes;
        if (++part_ == tiles_per_row_) part_ = 0, lines_prefetched_ += prefetch.count;
        return prefetch;
    }
    void copy_ready() noexcept { copy_until(ready_); }
    void copy_all() noexcept { copy_until(rows_); }

private:
    int64_t source(int64_t i) const noexcept { return order_ ? order_[first_ + i] : first_ + i; }

    void prefetch_pages() noexcept {
        constexpr int64_t rows_at_once = 32, page_bytes = 4096;
        const int64_t end = std::min(lines_prefetched_ + rows_at_once, rows_);
        for (pages_prefetched_ = lines_prefetched_; pages_prefetched_ < end; ++pages_prefetched_) {
            const char* const row = inputs_.row(source(pages_prefetched_));
            const int64_t bytes = inputs_.row_bytes(source(pages_prefetched_));
            for (int64_t byte = 0; byte < bytes; byte += page_bytes) __builtin_prefetch(row + byte);
            __builtin_prefetch(row + bytes - 1);
        }
    }

    void copy_until(int64_t end) noexcept {
        for (; copied_ < end; ++copied_) {
            T* row = out_.row(copied_);
            if (takes_lines_)
                for (int64_t j = 0; j < out_.columns; j += alignment_bytes / static_cast<int64_t>(sizeof(T)))
                    __builtin_prefetch(row + j, 1);
            if (inputs_.sparse()) {
                scatter(row, source(copied_));
                continue;
            }
            reader_.read_row(inputs_, source(copied_), row);
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
            reader_.read_values(inputs_, begin, count, values);
            const std::int32_t* columns = inputs_.column_index + begin;
            for (int64_t i = 0; i < count; ++i) row[active_->position_of(columns[i])] = values[i];
        }
    }

    InputReader<T> reader_;
    void (*compress_)(T*, const std::uint64_t*, int64_t);
    const ActiveColumns* active_;
    Inputs inputs_;
    const int64_t* order_;
    int64_t first_, rows_;
    int64_t pages_prefetched_ = 0, lines_prefetched_ = 0, ready_ = 0, copied_ = 0;  // in rows
    int64_t rows_per_tile_ = 1, tiles_per_row_ = 1;
    int64_t part_ = 0;  // of row lines_prefetched_, in tiles_per_row_ parts: the next to prefetch
    MatrixView<T> out_;
    bool takes_lines_ = false;
};

}  // namespace fastmlp
