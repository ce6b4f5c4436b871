// The topics of the extension module, one function and one file each.
#pragma once

#include <pybind11/pybind11.h>

namespace fastmlp {

void register_enums(pybind11::module_& m);     // enums.cpp
void register_datasets(pybind11::module_& m);  // dataset.cpp
void register_networks(pybind11::module_& m);  // network.cpp
void register_trainers(pybind11::module_& m);  // trainer.cpp
void register_steps(pybind11::module_& m);     // step.cpp
void register_tabular(pybind11::module_& m);   // tabular.cpp
void register_ops(pybind11::module_& m);       // ops.cpp
void register_files(pybind11::module_& m);     // files.cpp
void register_config(pybind11::module_& m);    // config.cpp
void register_testing(pybind11::module_& m);   // testing.cpp
void register_memory_reserve();                // memory_reserve.cpp

}  // namespace fastmlp
