// The extension module fastmlp._core.
#include "register.h"

namespace py = pybind11;

PYBIND11_MODULE(_core, m, py::mod_gil_not_used(), py::multiple_interpreters::not_supported()) {
    m.doc() = "The C++ core of fastmlp; use it through fastmlp.Network, Trainer and ops.";
    fastmlp::register_enums(m);
    fastmlp::register_datasets(m);
    fastmlp::register_networks(m);
    fastmlp::register_trainers(m);
    fastmlp::register_steps(m);
    fastmlp::register_tabular(m);
    fastmlp::register_ops(m);
    fastmlp::register_files(m);
    fastmlp::register_config(m);
    fastmlp::register_testing(m);
    fastmlp::register_memory_reserve();
}
