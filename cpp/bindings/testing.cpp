// For tests and measurements: the instruction set, the size of teams, plans of epochs, the GIL.
#include "../kernels/dispatch.h"
#include "../linalg/pace.h"
#include "../nn/epoch_plan.h"
#include "failing_new.h"
#include "gil.h"
#include "numpy_views.h"
#include "register.h"

namespace fastmlp {

void register_testing(py::module_& m) {
    py::module_ testing = m.def_submodule("testing", "For fastmlp's own tests and experiments.");
    testing.def("available_isas", [m] { return m.attr("available_isas")(); });
    testing.def("current_isa", [] { return current_table().isa; });
    testing.def("use_isa", &use_table, py::arg("name"));
    testing.def("emulate_bfloat16", &emulate_bfloat16, py::arg("emulates"));
#ifdef FASTMLP_FAIL_ALLOCATIONS
    testing.def("fail_allocation", &fail_allocation, py::arg("n"));
    testing.def("allocation_failed", &allocation_failed);
    testing.def("living_buffers", &living_buffers);
#endif
    testing.def("use_whole_teams", [](bool whole) { TeamHook::whole = whole; }, py::arg("whole"));
    testing.def("teams_run", [] {  // {workers: teams of that size since the last call}
        py::dict sizes;
        for (int workers = 2; workers <= TeamHook::max_size; ++workers)
            if (const auto teams = TeamHook::ran[static_cast<std::size_t>(workers)].exchange(0))
                sizes[py::int_(workers)] = teams;
        return sizes;
    });
    testing.def("micro_batch", [](const EpochPlan& plan, int64_t position, int64_t max_rows) {
        const MicroBatch found = plan.micro_batch_at(position, max_rows);
        return py::make_tuple(found.begin, found.end, found.update_begin, found.update_end);
    });
    testing.def("max_micro_batch", &EpochPlan::max_micro_batch);
    testing.def("sums_micro_batches", &EpochPlan::sums_micro_batches);
    py::class_<Pace>(testing, "Pace")
        .def(py::init<>())
        .def("workers", &Pace::workers, py::arg("wanted"), py::arg("now"))
        .def("is_over", &Pace::is_over, py::arg("seconds"), py::arg("rows"), py::arg("parts"), py::arg("slept"),
             py::arg("now"))
        .def("report", &Pace::report, py::arg("seconds"), py::arg("rows"), py::arg("slept"), py::arg("now"));
    testing.def("hold_gil", [](bool hold) { training_holds_gil = hold; }, py::arg("hold"));
}

}  // namespace fastmlp
