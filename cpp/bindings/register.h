// The parts of the module, one function each.
#pragma once

#include <pybind11/pybind11.h>

namespace fastmlp {

void register_config(pybind11::module_& m);    // config.cpp
void register_files(pybind11::module_& m);     // files.cpp
void register_networks(pybind11::module_& m);  // networks.cpp
void register_ops(pybind11::module_& m);       // ops.cpp
void register_testing(pybind11::module_& m);   // testing.cpp

// Whether training keeps Python's lock: only for the experiment that measures what that would cost.
inline bool training_holds_gil = false;

}  // namespace fastmlp
