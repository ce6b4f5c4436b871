// NumPy arrays seen as the core's views. No conversion happens here: an array that does not fit is refused.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>

#include "../nn/dataset.h"

namespace fastmlp {

namespace py = pybind11;

// Without py::array::forcecast: with it, a float64 1e40 would become a float32 inf without a word.
template <class T> using Array = py::array_t<T, py::array::c_style>;

template <class T> constexpr InputKind input_kind_of();
template <> constexpr InputKind input_kind_of<std::uint8_t>() { return InputKind::uint8; }
template <> constexpr InputKind input_kind_of<float>() { return InputKind::float32; }
template <> constexpr InputKind input_kind_of<double>() { return InputKind::float64; }

inline void require(bool holds, const char* message) {
    if (!holds) throw std::invalid_argument(message);
}

template <class T> MatrixView<const T> matrix_view(const Array<T>& array, const char* name) {
    if (array.ndim() != 2)
        throw std::invalid_argument(std::string(name) + " must have 2 dimensions, got " + std::to_string(array.ndim()));
    return {array.data(), array.shape(0), array.shape(1), array.shape(1)};
}

template <class T> MatrixView<T> matrix_view_of_new(Array<T>& array) {
    return {array.mutable_data(), array.shape(0), array.shape(1), array.shape(1)};
}

inline Inputs inputs_view(const py::array& x, int64_t features) {
    if (x.ndim() != 2 || x.shape(1) != features)
        throw std::invalid_argument("inputs must have shape (rows, " + std::to_string(features) + ")");
    require((x.flags() & py::array::c_style) && (x.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_),
            "inputs must be C-contiguous and aligned");
    InputKind kind;
    if (x.dtype().equal(py::dtype::of<std::uint8_t>()))
        kind = InputKind::uint8;
    else if (x.dtype().equal(py::dtype::of<float>()))
        kind = InputKind::float32;
    else if (x.dtype().equal(py::dtype::of<double>()))
        kind = InputKind::float64;
    else
        throw std::invalid_argument("inputs must be uint8, float32 or float64, got " + std::string(py::str(x.dtype())));
    return {x.data(), kind, x.shape(0), x.shape(1)};
}

template <class T> Array<T> new_matrix(int64_t rows, int64_t columns) {
    return Array<T>(std::vector<py::ssize_t>{rows, columns});
}

}  // namespace fastmlp
