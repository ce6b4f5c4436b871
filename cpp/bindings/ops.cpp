// fastmlp.ops: the operations of a network one by one, on plain arrays.
#include "../kernels/dispatch.h"
#include "../linalg/gemm.h"
#include "../nn/loss.h"
#include "gil.h"
#include "numpy_views.h"
#include "register.h"

namespace fastmlp {

template <class T>
Array<T> matmul_of(const Array<T>& a, const Array<T>& b, bool transpose_a, bool transpose_b, int n_threads) {
    const MatrixView<const T> a_view = matrix_view(a, "a"), b_view = matrix_view(b, "b");
    const int64_t inner_a = transpose_a ? a_view.rows : a_view.columns,
                  inner_b = transpose_b ? b_view.columns : b_view.rows;
    require(inner_a == inner_b, "inner dimensions must agree");
    Array<T> c = new_matrix<T>(transpose_a ? a_view.columns : a_view.rows, transpose_b ? b_view.rows : b_view.columns);
    const MatrixView<T> c_view = matrix_view_of_new(c);
    const Pin pins[] = {Pin(a), Pin(b)};
    const ReleasedGil released;
    matmul(a_view, transpose_a, b_view, transpose_b, c_view, kernels_of<T>(current_table()), n_threads);
    return c;
}

// The kernels work on padded rows: copies in, made before the lock is left, and out.
template <class T> Matrix<T> padded_copy(MatrixView<const T> from) {
    Matrix<T> copy(from.rows, from.columns);
    for (int64_t i = 0; i < from.rows; ++i) std::copy_n(from.row(i), from.columns, copy.view().row(i));
    return copy;
}
template <class T> Array<T> unpadded(Matrix<T>& matrix) {
    const MatrixView<T> from = matrix.view();
    Array<T> array = new_matrix<T>(from.rows, from.columns);
    for (int64_t i = 0; i < from.rows; ++i)
        std::copy_n(from.row(i), from.columns, array.mutable_data() + i * from.columns);
    return array;
}
template <class T> int64_t padded_columns(MatrixView<const T> view, const Kernels<T>& kernels) {
    return round_up(view.columns, kernels.lanes);
}

template <class T> Array<T> activate(const Array<T>& z, Activation kind) {
    const auto& kernels = kernels_of<T>(current_table());
    const auto from = matrix_view(z, "z");
    Matrix<T> copy = padded_copy(from);
    {
        const ReleasedGil released;
        const auto view = copy.view();
        kernels.activate[static_cast<int>(kind)](view.data, view.stride, nullptr, view.rows,
                                                 padded_columns(from, kernels), nullptr);
    }
    return unpadded(copy);
}

template <class T> Array<T> activation_gradient(const Array<T>& output, const Array<T>& gradient, Activation kind) {
    const auto& kernels = kernels_of<T>(current_table());
    const auto from = matrix_view(output, "output"), from_gradient = matrix_view(gradient, "grad_output");
    require(from.rows == from_gradient.rows && from.columns == from_gradient.columns,
            "output and grad_output must have equal shapes");
    Matrix<T> outputs = padded_copy(from), gradients = padded_copy(from_gradient);
    {
        const ReleasedGil released;
        kernels.activation_gradient[static_cast<int>(kind)](gradients.view().data, gradients.view().stride,
                                                            outputs.view().data, nullptr, outputs.view().stride,
                                                            from.rows, padded_columns(from, kernels), nullptr);
    }
    return unpadded(gradients);
}

template <class T> Array<T> softmax(const Array<T>& z) {
    const auto& kernels = kernels_of<T>(current_table());
    const auto from = matrix_view(z, "z");
    Matrix<T> copy = padded_copy(from);
    {
        const ReleasedGil released;
        const auto view = copy.view();
        if (view.columns > 0)
            kernels.predict[static_cast<int>(Loss::cross_entropy)](view.data, view.stride, view.rows, view.columns);
    }
    return unpadded(copy);
}

template <class T> py::tuple loss_of(Loss loss, const Array<T>& z, const std::int32_t* labels, const T* targets) {
    const auto& kernels = kernels_of<T>(current_table());
    const auto from = matrix_view(z, "z");
    require(from.rows > 0 && from.columns > 0, "z must not be empty");
    Matrix<T> copy = padded_copy(from);
    LossSum sum;
    {
        const ReleasedGil released;
        RowLosses<T> losses(from.rows);
        loss_and_gradient(loss, false, kernels, copy.view(), {labels, targets, from.columns, nullptr},
                          T(1) / static_cast<T>(from.rows), losses, 0);
        sum.add(losses, from.rows);
    }
    return py::make_tuple(sum.loss / static_cast<double>(from.rows), unpadded(copy));
}

template <class T> py::tuple softmax_cross_entropy(const Array<T>& z, const Array<std::int32_t>& labels) {
    const auto view = matrix_view(z, "z");
    require(labels.ndim() == 1 && labels.shape(0) == view.rows, "labels must have one entry per row of z");
    const std::vector<std::int32_t> copy(labels.data(), labels.data() + view.rows);  // that no other thread can change
    for (const std::int32_t label : copy)
        require(label >= 0 && label < view.columns, "labels must lie in [0, classes)");
    return loss_of<T>(Loss::cross_entropy, z, copy.data(), nullptr);
}

template <class T> py::tuple squared_error(const Array<T>& prediction, const Array<T>& target) {
    const auto a = matrix_view(prediction, "prediction"), b = matrix_view(target, "target");
    require(a.rows == b.rows && a.columns == b.columns, "prediction and target must have equal shapes");
    const Pin pin(target);
    return loss_of<T>(Loss::squared_error, prediction, nullptr, target.data());
}

template <class T> void register_ops_of(py::module_& m) {
    using py::arg;
    m.def("matmul", &matmul_of<T>, arg("a").noconvert(), arg("b").noconvert(), arg("transpose_a"), arg("transpose_b"),
          arg("n_threads"));
    m.def("activate", &activate<T>, arg("z").noconvert(), arg("activation"));
    m.def("activation_gradient", &activation_gradient<T>, arg("output").noconvert(), arg("grad_output").noconvert(),
          arg("activation"));
    m.def("softmax", &softmax<T>, arg("z").noconvert());
    m.def("softmax_cross_entropy", &softmax_cross_entropy<T>, arg("z").noconvert(), arg("labels").noconvert());
    m.def("squared_error", &squared_error<T>, arg("prediction").noconvert(), arg("target").noconvert());
}

void register_ops(py::module_& m) {
    register_ops_of<float>(m);
    register_ops_of<double>(m);
}

}  // namespace fastmlp
