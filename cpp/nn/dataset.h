// The rows that a network learns from or predicts: views on the caller's arrays, and how rows are gathered.
#pragma once

#include <vector>

#include "../linalg/matrix.h"

namespace fastmlp {

// A row-major matrix of uint8, float or double without padding.
struct Inputs {
    const void* data;
    InputKind kind;
    int64_t rows, columns;

    int64_t row_bytes() const { return columns * (kind == InputKind::uint8 ? 1 : kind == InputKind::float32 ? 4 : 8); }
    const char* row(int64_t i) const { return static_cast<const char*>(data) + i * row_bytes(); }
};

template <class T> struct Dataset {
    Inputs inputs;
    std::vector<std::int32_t> labels;  // cross_entropy: one per row, a copy that nobody else can change
    const T* targets = nullptr;        // squared_error: (rows, outputs)

    const std::int32_t* labels_from(int64_t row) const { return labels.empty() ? nullptr : labels.data() + row; }
};

// out (order.size, columns) = inputs[order] * scale. `order` null means rows first, first + 1, ...
template <class T>
void gather_rows(const Kernels<T>& kernels, const Inputs& inputs, const int64_t* order, int64_t first, int64_t rows,
                 T scale, T* out, int64_t out_stride) noexcept {
    const auto convert = kernels.convert[static_cast<int>(inputs.kind)];
    const auto source = [&](int64_t i) { return inputs.row(order ? order[first + i] : first + i); };
    constexpr int64_t ahead = 2;  // rows; shuffled rows come from DRAM, and no hardware foresees them
    for (int64_t i = 0; i < rows; ++i) {
        if (i + ahead < rows)
            for (int64_t byte = 0; byte < inputs.row_bytes(); byte += alignment_bytes)
                __builtin_prefetch(source(i + ahead) + byte);
        convert(out + i * out_stride, source(i), inputs.columns, scale);
    }
}

}  // namespace fastmlp
