// The kinds of activations, losses and optimizers.
#include "../nn/optimizer.h"
#include "register.h"

#include <pybind11/native_enum.h>

#include "../nn/loss.h"

namespace fastmlp {

namespace py = pybind11;

void register_enums(py::module_& m) {
    py::native_enum<Activation>(m, "Activation", "enum.Enum")
        .value("identity", Activation::identity)
        .value("relu", Activation::relu)
        .value("tanh", Activation::tanh)
        .value("logistic", Activation::logistic)
        .finalize();
    py::native_enum<Loss>(m, "Loss", "enum.Enum")
        .value("cross_entropy", Loss::cross_entropy)
        .value("squared_error", Loss::squared_error)
        .value("binary_cross_entropy", Loss::binary_cross_entropy)
        .value("poisson", Loss::poisson)
        .finalize();
    py::native_enum<UpdateKind>(m, "UpdateKind", "enum.Enum")
        .value("sgd", UpdateKind::sgd)
        .value("momentum", UpdateKind::momentum)
        .value("adam", UpdateKind::adam)
        .finalize();
}

}  // namespace fastmlp
