// How rows are gathered from the caller's arrays into a network's inputs.
#pragma once

#include "columns.h"

namespace fastmlp {

// Reads rows order[first + i] of the inputs, scaled, into row i of `out`, a row at a time, so that the caller
// can compute in between and have the memory bring the next row near meanwhile. Shuffled rows come from
// DRAM and no hardware foresees them; read at one go they cost an eighth of a training step.
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

    Fetch next_row() const noexcept {
        if (done_ == rows_) return {};
        return {inputs_.row(source(done_)), inputs_.row_bytes(source(done_))};
    }

    void read(int64_t rows) noexcept {
        const int64_t end = std::min(done_ + rows, rows_);
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
    void read_all() noexcept { read(rows_); }

private:
    int64_t source(int64_t i) const noexcept { return order_ ? order_[first_ + i] : first_ + i; }

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
    int64_t first_, rows_, done_ = 0;
    T scale_;
    MatrixView<T> out_;
};

}  // namespace fastmlp
