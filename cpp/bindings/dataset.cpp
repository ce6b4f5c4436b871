// Inputs, what is known of them, and data sets of both precisions.
#include "../nn/moments.h"

#include "bound_dataset.h"
#include "gil.h"
#include "register.h"

namespace fastmlp {

std::unique_ptr<NonzeroBits> find_nonzero(const py::object& inputs, int n_threads) {
    const Inputs view = inputs_view(inputs);
    const Pin pin = pin_inputs(inputs);
    const ReleasedGil released;
    return std::make_unique<NonzeroBits>(view, n_threads);
}

py::tuple position(const CsrInputs& inputs, int64_t value) {
    require(0 <= value && value < inputs.values.shape(0), "value out of range");
    return py::make_tuple(inputs.indices.row_of(value), inputs.indices.column_of(value));
}

// (sums, squares) of the columns of a dense array.
py::tuple column_moments_of(const py::array& x, const Array<double>& weights, const Array<double>& about,
                            int n_threads) {
    const Inputs view = inputs_view(x);
    require(weights.ndim() == 1 && weights.shape(0) == view.rows && about.ndim() == 1 && about.shape(0) == view.columns,
            "weights must have one entry per row, about one per column");
    Array<double> sums(view.columns), squares(view.columns);
    {
        const Pin pins[] = {Pin(x), Pin(weights), Pin(about)};
        double *const to_sums = sums.mutable_data(), *const to_squares = squares.mutable_data();
        const ReleasedGil released;
        column_moments(view, weights.data(), about.data(), to_sums, to_squares, n_threads);
    }
    return py::make_tuple(sums, squares);
}

// The row and the column of each value.
py::tuple positions(const CsrInputs& inputs) {
    const Inputs view = inputs.view();
    Array<int64_t> rows(inputs.values.shape(0));
    for (int64_t row = 0; row < view.rows; ++row)
        std::fill(rows.mutable_data() + view.first_value(row), rows.mutable_data() + view.first_value(row + 1), row);
    return py::make_tuple(rows, Array<std::int32_t>(inputs.values.shape(0), view.column_index));
}

template <class T> void register_dataset(py::module_& m, const char* name) {
    py::class_<BoundDataset<T>>(m, name).def_property_readonly(
        "rows", [](const BoundDataset<T>& data) { return data.inputs.rows; });
}

void register_datasets(py::module_& m) {
    using py::arg;
    py::class_<CsrInputs>(m, "CsrInputs")
        .def(py::init<const py::array&, const Array<std::int32_t>&, const Array<std::int64_t>&, int64_t>(),
             arg("values"), arg("column_index").noconvert(), arg("row_starts").noconvert(), arg("columns"))
        .def_readonly("values", &CsrInputs::values)
        .def_property_readonly("ascending", [](const CsrInputs& inputs) { return inputs.indices.ascending(); })
        .def_property_readonly(
            "shape", [](const CsrInputs& inputs) { return py::make_tuple(inputs.view().rows, inputs.view().columns); })
        .def("__len__", [](const CsrInputs& inputs) { return inputs.view().rows; })
        .def("position", &position, arg("value"))
        .def("positions", &positions);
    m.def("column_moments", &column_moments_of, arg("x"), arg("weights").noconvert(), arg("about").noconvert(),
          arg("n_threads"));
    py::class_<NonzeroBits>(m, "NonzeroBits").def(py::init(&find_nonzero), arg("inputs"), arg("n_threads"));
    register_dataset<float>(m, "DatasetFloat32");
    register_dataset<double>(m, "DatasetFloat64");
}

}  // namespace fastmlp
