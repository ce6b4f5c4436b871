// Steps of both precisions: forward, and backward of gradients that the caller has computed.
#include "../nn/step.h"

#include <optional>

#include "gil.h"
#include "layer_arrays.h"
#include "register.h"

namespace fastmlp {

template <class T> bool is_short(const Step<T>& step, int64_t begin, int64_t end) {
    return static_cast<double>(end - begin) * step.network().training_operations() < short_operations;
}

template <class T> void check_rows(const Step<T>& step, int64_t begin, int64_t end) {
    require(0 <= begin && begin < end && end <= step.rows(), "rows out of range");
}

template <class T>
int64_t forward(Step<T>& step, const py::array& x, int64_t begin, int64_t end, int n_threads) {
    const Inputs inputs = inputs_view(x, step.network().inputs());
    require(inputs.rows == step.rows(), "inputs must have the rows of the step");
    check_rows(step, begin, end);
    if (is_short(step, begin, end)) return step.forward(inputs, begin, end, n_threads);
    const Pin pin(x);
    const ReleasedGil released;
    return step.forward(inputs, begin, end, n_threads);
}

template <class T> Array<T> outputs(Step<T>& step) {
    Array<T> array = new_matrix<T>(step.rows(), step.network().outputs());
    copy_rows(step.outputs(), matrix_view_of_new(array));
    return array;
}

template <class T>
int64_t backward(Step<T>& step, const Array<T>& gradient, int64_t begin, int64_t end, bool sums,
                 std::optional<Array<T>>& in_gradient, int n_threads) {
    const MatrixView<const T> view = matrix_view(gradient, "gradient");
    require(view.rows == step.rows() && view.columns == step.network().outputs(),
            "gradient must have the shape of the outputs");
    check_rows(step, begin, end);
    require(!in_gradient || (in_gradient->ndim() == 2 && in_gradient->shape(0) == step.rows() &&
                             in_gradient->shape(1) == step.network().inputs()),
            "in_gradient must have the shape of the inputs");
    T* const to = in_gradient ? in_gradient->mutable_data() : nullptr;
    step.reserve_for_backward(sums, to);
    if (is_short(step, begin, end)) return step.backward(view, begin, end, sums, to, n_threads);
    const Pin pins[] = {Pin(gradient), to ? Pin(*in_gradient) : Pin()};
    const ReleasedGil released;
    return step.backward(view, begin, end, sums, to, n_threads);
}

template <class T> py::tuple gradients(const Step<T>& step) {
    py::list weights, biases;
    for (std::size_t i = 0; i < step.network().layers().size(); ++i) {
        require(step.gradients(i).weights, "no gradients have been summed");
        const auto [of_weights, of_biases] = new_layer_arrays(step.network().layers()[i], step.gradients(i));
        weights.append(of_weights);
        biases.append(of_biases);
    }
    return py::make_tuple(weights, biases);
}

template <class T> void register_step(py::module_& m, const char* name) {
    using py::arg;
    py::class_<Step<T>>(m, name)
        .def(py::init([](Network<T>& network, int64_t rows) {
                 require(rows >= 1, "a step needs at least one row");
                 return std::make_unique<Step<T>>(network, rows);
             }),
             py::keep_alive<1, 2>(), arg("network"), arg("rows"))
        .def("forward", guarded(&forward<T>), arg("inputs"), arg("begin"), arg("end"), arg("n_threads"))
        .def("outputs", guarded(&outputs<T>))
        .def("backward", guarded(&backward<T>), arg("gradient").noconvert(), arg("begin"), arg("end"), arg("sums"),
             arg("in_gradient").noconvert(), arg("n_threads"))
        .def("gradients", guarded(&gradients<T>));
}

void register_steps(py::module_& m) {
    register_step<float>(m, "StepFloat32");
    register_step<double>(m, "StepFloat64");
}

}  // namespace fastmlp
