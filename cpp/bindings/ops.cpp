// fastmlp.ops: the operations of a network one by one, on plain arrays.
#include <optional>

#include "../kernels/dispatch.h"
#include "../linalg/bfloat16.h"
#include "../linalg/gemm.h"
#include "../nn/epilogue.h"
#include "../nn/loss.h"
#include "gil.h"
#include "numpy_views.h"
#include "part_settings.h"
#include "register.h"

namespace fastmlp {

// What f(a, b, product) computes without the GIL.
template <class T, class F>
Array<T> product_of(const Array<T>& a, const Array<T>& b, bool transpose_a, bool transpose_b, F f) {
    const MatrixView<const T> a_view = matrix_view(a, "a"), b_view = matrix_view(b, "b");
    const int64_t inner_a = transpose_a ? a_view.rows : a_view.columns,
                  inner_b = transpose_b ? b_view.columns : b_view.rows;
    require(inner_a == inner_b, "inner dimensions must agree");
    Array<T> c = new_matrix<T>(transpose_a ? a_view.columns : a_view.rows, transpose_b ? b_view.rows : b_view.columns);
    const MatrixView<T> c_view = matrix_view_of_new(c);
    const Pin pins[] = {Pin(a), Pin(b)};
    const ReleasedGil released;
    f(a_view, b_view, c_view);
    return c;
}

template <class T>
Array<T> matmul_of(const Array<T>& a, const Array<T>& b, bool transpose_a, bool transpose_b, int n_threads) {
    return product_of(a, b, transpose_a, transpose_b, [&](auto a_view, auto b_view, MatrixView<T> c) {
        matmul(a_view, transpose_a, b_view, transpose_b, c, kernels_of<T>(current_table()), n_threads);
    });
}

Array<float> matmul_bfloat16_of(const Array<float>& a, const Array<float>& b, bool transpose_a, bool transpose_b,
                                PairOrder order, int n_threads) {
    return product_of(a, b, transpose_a, transpose_b, [&](auto a_view, auto b_view, MatrixView<float> c) {
        matmul_bfloat16(a_view, transpose_a, b_view, transpose_b, c, kernels_of<float>(current_table()),
                        bfloat16_kernels(current_table(), order), n_threads);
    });
}

// Kernels work on padded rows. The copy is made under the GIL, so that no other thread changes the array meanwhile.
template <class T> Matrix<T> padded_copy(MatrixView<const T> from) {
    Matrix<T> copy(from.rows, from.columns);
    copy_rows(from, copy.view());
    return copy;
}

// What f(view) makes of a padded copy of the array, without the GIL.
template <class T, class F> Array<T> changed_copy(MatrixView<const T> from, F f) {
    Matrix<T> copy = padded_copy(from);
    {
        const ReleasedGil released;
        f(copy.view());
    }
    Array<T> array = new_matrix<T>(from.rows, from.columns);
    copy_rows(copy.view(), matrix_view_of_new(array));
    return array;
}

template <class T> MatrixView<T> with_padding(MatrixView<T> view, const Kernels<T>& kernels) {
    view.columns = round_up(view.columns, kernels.lanes);
    return view;
}

using Settings = std::vector<double>;

template <class T> Array<T> activate(const Array<T>& z, Activation kind, const Settings& settings) {
    const auto& kernels = kernels_of<T>(current_table());
    const Epilogue<T> epilogue(kind, settings_of<T>(kind, settings), kernels);
    return changed_copy(matrix_view(z, "z"),
                        [&](MatrixView<T> view) { epilogue.forward(with_padding(view, kernels), nullptr); });
}

template <class T>
Array<T> activation_gradient(const Array<T>& output, const Array<T>& gradient, Activation kind,
                             const Settings& settings, const std::optional<Array<T>>& z) {
    const auto& kernels = kernels_of<T>(current_table());
    const Epilogue<T> epilogue(kind, settings_of<T>(kind, settings), kernels);
    require(!epilogue.keeps_derivative() || z, "the derivative of this activation needs z");
    const auto from = matrix_view(output, "output"), from_gradient = matrix_view(gradient, "grad_output");
    const auto from_z = matrix_view(z ? *z : output, "z");
    require(from.rows == from_gradient.rows && from.columns == from_gradient.columns && from.rows == from_z.rows &&
                from.columns == from_z.columns,
            "output, grad_output and z must have equal shapes");
    Matrix<T> outputs = padded_copy(from), derivatives;
    if (epilogue.keeps_derivative()) {
        Matrix<T> inputs = padded_copy(from_z);
        derivatives = Matrix<T>(from.rows, from.columns);
        epilogue.forward(with_padding(inputs.view(), kernels), nullptr, derivatives.view().data);
    }
    return changed_copy(from_gradient, [&](MatrixView<T> view) {
        epilogue.backward(with_padding(view, kernels), with_padding(outputs.view(), kernels), derivatives.view().data);
    });
}

template <class T> Array<T> softmax(const Array<T>& z) {
    const auto& kernels = kernels_of<T>(current_table());
    return changed_copy(matrix_view(z, "z"), [&](MatrixView<T> view) {
        if (view.columns > 0)
            kernels.predict[static_cast<int>(Loss::cross_entropy)](view.data, view.stride, view.rows, view.columns);
    });
}

// (mean loss, its gradient with respect to z)
template <class T>
py::tuple mean_loss(const LossFunction<T>& loss, const Array<T>& z, const std::int32_t* labels, const T* targets) {
    const auto from = matrix_view(z, "z");
    require(from.rows > 0 && from.columns > 0, "z must not be empty");
    LossSum sum;
    const Array<T> gradient = changed_copy(from, [&](MatrixView<T> view) {
        RowLosses<T> losses(from.rows);
        loss_and_gradient(loss, kernels_of<T>(current_table()), view, {labels, targets, from.columns, nullptr},
                          T(1) / static_cast<T>(from.rows), losses, 0);
        sum.add(losses, from.rows);
    });
    return py::make_tuple(sum.loss / static_cast<double>(from.rows), gradient);
}

template <class T>
py::tuple loss_on_labels(const Array<T>& z, const Array<std::int64_t>& labels, Loss kind, const Settings& settings) {
    const auto view = matrix_view(z, "z");
    require(properties_of(kind).uses_labels, "the loss takes targets, not integer labels");
    require(labels.ndim() == 1 && labels.shape(0) == view.rows, "labels must have one entry per row of z");
    const std::vector<std::int32_t> checked = checked_labels(labels.data(), view.rows, view.columns);
    return mean_loss<T>(loss_function<T>(kind, settings, view.columns, false), z, checked.data(), nullptr);
}

template <class T>
py::tuple loss_on_targets(const Array<T>& z, const Array<T>& targets, Loss kind, const Settings& settings) {
    const auto a = matrix_view(z, "z"), b = matrix_view(targets, "targets");
    require(!properties_of(kind).uses_labels, "the loss takes integer labels, not targets");
    require(a.rows == b.rows && a.columns == b.columns, "z and targets must have equal shapes");
    const Pin pin(targets);
    return mean_loss<T>(loss_function<T>(kind, settings, a.columns, false), z, nullptr, targets.data());
}

template <class T> void register_ops_of(py::module_& m) {
    using py::arg;
    m.def("matmul", &matmul_of<T>, arg("a").noconvert(), arg("b").noconvert(), arg("transpose_a"), arg("transpose_b"),
          arg("n_threads"));
    m.def("activate", &activate<T>, arg("z").noconvert(), arg("activation"), arg("settings"));
    m.def("activation_gradient", &activation_gradient<T>, arg("output").noconvert(), arg("grad_output").noconvert(),
          arg("activation"), arg("settings"), arg("z").noconvert() = py::none());
    m.def("softmax", &softmax<T>, arg("z").noconvert());
    m.def("loss", &loss_on_labels<T>, arg("z").noconvert(), arg("labels").noconvert(), arg("loss"), arg("settings"));
    m.def("loss", &loss_on_targets<T>, arg("z").noconvert(), arg("targets").noconvert(), arg("loss"), arg("settings"));
}

void register_ops(py::module_& m) {
    using py::arg;
    m.def("matmul_bfloat16", &matmul_bfloat16_of, arg("a").noconvert(), arg("b").noconvert(), arg("transpose_a"),
          arg("transpose_b"), arg("order"), arg("n_threads"));
    register_ops_of<float>(m);
    register_ops_of<double>(m);
}

}  // namespace fastmlp
