// The kinds of activations, losses and update rules.
#include "../kernels/parts.h"
#include "register.h"

#include <pybind11/native_enum.h>

namespace fastmlp {

namespace py = pybind11;

template <class Kind> void register_enum(py::module_& m, const char* name) {
    py::native_enum<Kind> kinds(m, name, "enum.Enum");
    for (int i = 0; i < count_of<Kind>; ++i) {
        const Kind kind = static_cast<Kind>(i);
        kinds.value(name_of(kind), kind);
    }
    kinds.finalize();
}

void register_enums(py::module_& m) {
    register_enum<Activation>(m, "Activation");
    register_enum<Loss>(m, "Loss");
    register_enum<UpdateKind>(m, "UpdateKind");
    register_enum<PairOrder>(m, "PairOrder");
}

}  // namespace fastmlp
