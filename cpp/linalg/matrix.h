// The memory of matrices: aligned buffers, row-major views with padded rows, and column panels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "../kernels/kernel_table.h"
#include "huge_pages.h"

namespace fastmlp {

using std::int64_t;

enum class Fill { zeros, nothing };

// An array, of zeros unless it is said otherwise, that starts on a cache line. Throws std::bad_alloc.
template <class T> class Buffer {
public:
    Buffer() = default;
    explicit Buffer(int64_t size, Fill fill = Fill::zeros)
        : size_(size), data_(static_cast<T*>(::operator new(static_cast<std::size_t>(size) * sizeof(T), alignment))) {
        const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(T);
        advise_huge_pages(data_.get(), bytes);
        if (fill == Fill::zeros) std::memset(static_cast<void*>(data_.get()), 0, bytes);
    }
    T* data() { return data_.get(); }
    const T* data() const { return data_.get(); }
    int64_t size() const { return size_; }

private:
    static constexpr std::align_val_t alignment{alignment_bytes};
    struct Free {
        void operator()(T* p) const { ::operator delete(p, alignment); }
    };
    int64_t size_ = 0;
    std::unique_ptr<T, Free> data_;
};

// Elements of the widest panel of any instruction set.
template <class T>
inline constexpr int64_t panel_width = panel_vectors * alignment_bytes / static_cast<int64_t>(sizeof(T));

constexpr int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Elements from one row to the next: whole cache lines, and an odd number of them, so that the rows of a
// register tile, read together, do not share the same few sets of the L1 cache.
template <class T> constexpr int64_t padded_stride(int64_t columns) {
    constexpr int64_t line = alignment_bytes / static_cast<int64_t>(sizeof(T));
    return (round_up(columns, line) / line | 1) * line;
}

// A row-major view.
template <class T> struct MatrixView {
    T* data;
    int64_t rows, columns, stride;

    T* row(int64_t i) const { return data + i * stride; }
    operator MatrixView<const T>() const { return {data, rows, columns, stride}; }
};

// Both (rows, columns), with any strides.
template <class From, class To> void copy_rows(MatrixView<From> from, MatrixView<To> to) {
    for (int64_t i = 0; i < from.rows; ++i) std::copy_n(from.row(i), from.columns, to.row(i));
}

// A row-major matrix whose rows are padded. Padding starts as zero; kernels may overwrite it, and no result reads it.
template <class T> class Matrix {
public:
    Matrix() = default;
    Matrix(int64_t rows, int64_t columns, Fill fill = Fill::zeros)
        : rows_(rows), columns_(columns), buffer_(rows * padded_stride<T>(columns), fill) {}
    MatrixView<T> view() { return first_rows(rows_); }
    MatrixView<T> first_rows(int64_t rows) { return {buffer_.data(), rows, columns_, padded_stride<T>(columns_)}; }

private:
    int64_t rows_ = 0, columns_ = 0;
    Buffer<T> buffer_;
};

// The column panels of a matrix (rows, columns): panel p holds columns [p * width, (p+1) * width) of all rows, row
// after row, so that a product reads it as one stream. The last panel is one vector wide instead of two if its columns
// fit; its padding is zero.
struct PanelShape {
    int64_t rows = 0, columns = 0;
    int64_t lanes = 1;

    int64_t full_width() const { return panel_vectors * lanes; }
    int64_t panels() const { return (columns + full_width() - 1) / full_width(); }
    int64_t vectors() const { return (columns + lanes - 1) / lanes; }  // of a whole row
    int64_t vectors_of(int64_t panel) const {
        return std::min<int64_t>(panel_vectors, vectors() - panel * panel_vectors);
    }
    int64_t width_of(int64_t panel) const { return vectors_of(panel) * lanes; }
    int64_t offset_of(int64_t panel) const { return panel * full_width() * rows; }
    int64_t padded_columns() const { return vectors() * lanes; }
    int64_t size() const { return rows * padded_columns(); }
};

// panels <- matrix (rows, columns), row-major with any stride.
template <class T> void pack_panels(const PanelShape& shape, const T* matrix, int64_t stride, T* panels) {
    for (int64_t p = 0; p < shape.panels(); ++p) {
        const int64_t width = shape.width_of(p), first = p * shape.full_width();
        const int64_t columns = std::min(width, shape.columns - first);
        for (int64_t i = 0; i < shape.rows; ++i)
            std::copy_n(matrix + i * stride + first, columns, panels + shape.offset_of(p) + i * width);
    }
}

// matrix (rows, columns) <- panels.
template <class T> void unpack_panels(const PanelShape& shape, const T* panels, T* matrix, int64_t stride) {
    for (int64_t p = 0; p < shape.panels(); ++p) {
        const int64_t width = shape.width_of(p), first = p * shape.full_width();
        const int64_t columns = std::min(width, shape.columns - first);
        for (int64_t i = 0; i < shape.rows; ++i)
            std::copy_n(panels + shape.offset_of(p) + i * width, columns, matrix + i * stride + first);
    }
}

}  // namespace fastmlp
