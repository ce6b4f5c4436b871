// A private door for the tests: one process compares the instruction sets of its machine.
#include "../kernels/dispatch.h"
#include "numpy_views.h"
#include "register.h"

namespace fastmlp {

void register_testing(py::module_& m) {
    py::module_ testing = m.def_submodule("testing", "For fastmlp's own tests.");
    testing.def("available_isas", [m] { return m.attr("available_isas")(); });
    testing.def("current_isa", [] { return current_table().isa; });
    testing.def("use_isa", &use_table, py::arg("name"));
}

}  // namespace fastmlp
