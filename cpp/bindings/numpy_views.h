// NumPy arrays as the core's views. Nothing is converted: an array that does not fit is rejected.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>

#include "../nn/dataset.h"

namespace fastmlp {

namespace py = pybind11;

// Without py::array::forcecast: with it, a float64 1e40 would silently become a float32 inf.
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

inline InputKind input_kind(const py::array& values) {
    require((values.flags() & py::array::c_style) && (values.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_),
            "inputs must be C-contiguous and aligned");
    if (py::isinstance<Array<float>>(values)) return InputKind::float32;
    if (py::isinstance<Array<double>>(values)) return InputKind::float64;
    if (py::isinstance<Array<std::uint8_t>>(values)) return InputKind::uint8;
    throw std::invalid_argument("inputs must be uint8, float32 or float64, got " +
                                std::string(py::str(values.dtype())));
}

// Keeps an array alive and its memory in place: NumPy does not resize an array that has a weak reference, not even with
// refcheck=False.
class Pin {
public:
    Pin() = default;
    explicit Pin(const py::array& array) {
        for (py::object each = array; py::isinstance<py::array>(each); each = py::getattr(each, "base"))
            held_.emplace_back(each, py::weakref(each));  // a view's memory belongs to its base
    }

private:
    std::vector<std::pair<py::object, py::weakref>> held_;
};

// A CSR matrix: a copy of its indices, and the caller's values, kept alive.
struct CsrInputs {
    py::array values;  // (values)
    Pin pin;
    InputKind kind;
    CsrIndices indices;

    CsrInputs(const py::array& values, const Array<std::int32_t>& column_index, const Array<std::int64_t>& row_starts,
              int64_t columns)
        : values(values),
          pin(values),
          kind(input_kind(values)),
          indices(checked(values, column_index, row_starts, columns)) {}
    Inputs view() const { return indices.with_values(values.data(), kind); }

private:
    static CsrIndices checked(const py::array& values, const Array<std::int32_t>& column_index,
                              const Array<std::int64_t>& row_starts, int64_t columns) {
        require(values.ndim() == 1 && column_index.ndim() == 1 && values.shape(0) == column_index.shape(0) &&
                    row_starts.ndim() == 1 && row_starts.shape(0) >= 1,
                "values and column_index must have shape (values,), row_starts (rows + 1,)");
        return {row_starts.data(), row_starts.shape(0) - 1, column_index.data(), column_index.shape(0), columns};
    }
};

// Of an array (rows, columns) or CsrInputs.
inline Inputs inputs_view(const py::object& x) {
    if (!py::isinstance<py::array>(x)) {
        require(py::isinstance<CsrInputs>(x), "inputs must be an array or CsrInputs");
        return x.cast<const CsrInputs&>().view();
    }
    const auto array = py::reinterpret_borrow<py::array>(x);
    require(array.ndim() == 2, "inputs must have 2 dimensions");
    return {array.data(), input_kind(array), array.shape(0), array.shape(1)};
}

inline Inputs inputs_view(const py::object& x, int64_t features) {
    const Inputs inputs = inputs_view(x);
    if (inputs.columns != features)
        throw std::invalid_argument("inputs must have shape (rows, " + std::to_string(features) + ")");
    return inputs;
}

// Of the memory that inputs_view sees.
inline Pin pin_inputs(const py::object& x) {
    return py::isinstance<py::array>(x) ? Pin(py::reinterpret_borrow<py::array>(x)) : x.cast<const CsrInputs&>().pin;
}

template <class T> Array<T> new_matrix(int64_t rows, int64_t columns) {
    return Array<T>(std::vector<py::ssize_t>{rows, columns});
}

}  // namespace fastmlp
