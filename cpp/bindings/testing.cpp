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
    testing.def(
        "tile",
        [](const std::string& dtype) {
            const KernelTable& table = current_table();
            return dtype == "float32" ? py::make_tuple(table.float32.row_tile, panel_vectors * table.float32.lanes)
                                      : py::make_tuple(table.float64.row_tile, panel_vectors * table.float64.lanes);
        },
        py::arg("dtype"), "Rows and columns of a register tile.");
}

}  // namespace fastmlp
