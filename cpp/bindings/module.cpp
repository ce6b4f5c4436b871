// The door to Python: what the extension module _core offers.
#include "register.h"

PYBIND11_MODULE(_core, m) {
    m.doc() = "The C++ core of fastmlp; use it through fastmlp.Network, Trainer and ops.";
    fastmlp::register_config(m);
    fastmlp::register_networks(m);
    fastmlp::register_ops(m);
    fastmlp::register_testing(m);
}
