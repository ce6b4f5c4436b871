// Properties of this build and this machine, threads, and the check of input arrays.
#include "../kernels/dispatch.h"
#include "../linalg/checks.h"
#include "gil.h"
#include "numpy_views.h"
#include "register.h"

namespace fastmlp {

template <class T> int64_t first_not_finite_in(const Array<T>& x, double limit, int n_threads) {
    const T* data = x.data();
    const int64_t size = x.size();
    const Pin pin(x);
    const ReleasedGil released;
    return first_not_finite(data, size, limit, n_threads);
}

void register_config(py::module_& m) {
    m.def("current_isa", [] { return current_table().isa; });
    m.def(
        "multiplies_bfloat16", [](PairOrder order) { return bfloat16_kernels(current_table(), order).native; },
        py::arg("order"));
    m.def("available_isas", [] {
        std::vector<std::string> names;
        for (const KernelTable* table : available_tables()) names.push_back(table->isa);
        return names;
    });
    m.def("has_openmp", &has_openmp);
    m.def("default_thread_count", &default_thread_count);
    m.def("end_native_calls", &ReleasedGil::end_calls, py::arg("seconds"));
    m.def("forget_native_calls", &ReleasedGil::forget_calls);
    m.def("first_not_finite", &first_not_finite_in<float>, py::arg("x").noconvert(), py::arg("limit"),
          py::arg("n_threads"));
    m.def("first_not_finite", &first_not_finite_in<double>, py::arg("x").noconvert(), py::arg("limit"),
          py::arg("n_threads"));
    m.def(
        "peak_gflops",
        [](bool single, int n_threads, double seconds) {
            const KernelTable& table = current_table();
            const ReleasedGil released;
            return single ? peak_gflops(table.float32, n_threads, seconds)
                          : peak_gflops(table.float64, n_threads, seconds);
        },
        py::arg("single_precision"), py::arg("n_threads"), py::arg("seconds"));
}

}  // namespace fastmlp
