// A private door for tests and measurements: instruction sets compared in one process, Python's lock held.
#include "../kernels/dispatch.h"
#include "failing_new.h"
#include "numpy_views.h"
#include "register.h"

namespace fastmlp {

void register_testing(py::module_& m) {
    py::module_ testing = m.def_submodule("testing", "For fastmlp's own tests and experiments.");
    testing.def("available_isas", [m] { return m.attr("available_isas")(); });
    testing.def("current_isa", [] { return current_table().isa; });
    testing.def("use_isa", &use_table, py::arg("name"));
#ifdef FASTMLP_FAIL_ALLOCATIONS
    testing.def("fail_allocation", &fail_allocation, py::arg("n"));
    testing.def("allocation_failed", &allocation_failed);
    testing.def("living_buffers", &living_buffers);
#endif
    testing.def("hold_gil", [](bool hold) { training_holds_gil = hold; }, py::arg("hold"));
}

}  // namespace fastmlp
