// The rows that a network learns from or predicts: views on the caller's arrays, and how rows are gathered.
#pragma once

#include <vector>

#include "../linalg/gemm.h"

namespace fastmlp {

// A row-major matrix of uint8, float or double without padding.
struct Inputs {
    const void* data;
    InputKind kind;
    int64_t rows, columns;

    int64_t row_bytes() const { return columns * (kind == InputKind::uint8 ? 1 : kind == InputKind::float32 ? 4 : 8); }
    const char* row(int64_t i) const { return static_cast<const char*>(data) + i * row_bytes(); }
};

class NonzeroBits;  // columns.h

template <class T> struct Dataset {
    Inputs inputs;
    const NonzeroBits* nonzero = nullptr;  // null where no columns can be skipped
    std::vector<std::int32_t> labels;      // cross_entropy: one per row, a copy that nobody else can change
    const T* targets = nullptr;            // squared_error: (rows, outputs)

    const std::int32_t* labels_from(int64_t row) const { return labels.empty() ? nullptr : labels.data() + row; }
    const T* targets_from(int64_t row, int64_t outputs) const { return targets ? targets + row * outputs : nullptr; }
};

// Reads rows order[first + i] of the inputs, scaled, into row i of `out`, a row at a time, so that the caller
// can compute in between and have the memory bring the next row near meanwhile. Shuffled rows come from
// DRAM and no hardware foresees them; read at one go they cost an eighth of a training step.
template <class T> class RowGather {
public:
    // `order` null means rows first, first + 1, ... With a mask, only the columns whose bit is set are kept.
    RowGather(const Kernels<T>& kernels, const Inputs& inputs, const int64_t* order, int64_t first, int64_t rows,
              T scale, MatrixView<T> out, const std::uint64_t* mask = nullptr) noexcept
        : convert_(kernels.convert[static_cast<int>(inputs.kind)]),
          compress_(kernels.compress),
          mask_(mask),
          inputs_(inputs),
          order_(order),
          first_(first),
          rows_(rows),
          scale_(scale),
          out_(out) {}

    Fetch next_row() const noexcept { return done_ < rows_ ? Fetch{source(done_), inputs_.row_bytes()} : Fetch{}; }

    void read(int64_t rows) noexcept {
        const int64_t end = std::min(done_ + rows, rows_);
        for (; done_ < end; ++done_) {
            convert_(out_.row(done_), source(done_), inputs_.columns, scale_);
            if (mask_) compress_(out_.row(done_), mask_, inputs_.columns);
        }
    }
    void read_all() noexcept { read(rows_); }

private:
    const char* source(int64_t i) const noexcept { return inputs_.row(order_ ? order_[first_ + i] : first_ + i); }

    void (*convert_)(T*, const void*, int64_t, T);
    void (*compress_)(T*, const std::uint64_t*, int64_t);
    const std::uint64_t* mask_;
    Inputs inputs_;
    const int64_t* order_;
    int64_t first_, rows_, done_ = 0;
    T scale_;
    MatrixView<T> out_;
};

}  // namespace fastmlp
