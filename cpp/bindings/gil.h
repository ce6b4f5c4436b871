// Releasing the GIL for a native call, and the interpreter's exit while threads are in one.
//
// The interpreter ends a thread that returns to it during finalization. Inside C++ frames that ends the process with
// an error. So the interpreter waits at its exit until no native call is under way, and threads that begin one
// afterwards raise SystemExit. Everything here is read and written under the GIL.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <thread>

namespace fastmlp {

class ReleasedGil {
public:
    ReleasedGil() {
        if (interpreter_ends_ && std::this_thread::get_id() != ending_thread_) {
            PyErr_SetNone(PyExc_SystemExit);
            throw pybind11::error_already_set();
        }
        ++calls_;
        thread_ = PyEval_SaveThread();
    }
    ReleasedGil(const ReleasedGil&) = delete;
    ~ReleasedGil() {
        PyEval_RestoreThread(thread_);
        --calls_;
    }

    static bool is_in_call() { return calls_ > 0; }  // whether some thread is in a native call

    // At the interpreter's exit: other threads begin no native call from now on; waits for those under way.
    static void end_calls(double seconds) {
        interpreter_ends_ = true;
        ending_thread_ = std::this_thread::get_id();
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
        while (calls_ > 0 && std::chrono::steady_clock::now() < deadline) {
            const pybind11::gil_scoped_release release;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    // In a child of fork, which has none of the threads that were in a call.
    static void forget_calls() {
        calls_ = 0;
        ++forks_;
    }
    static int forks() { return forks_; }  // from the first process to this one

private:
    static inline int calls_ = 0, forks_ = 0;
    static inline bool interpreter_ends_ = false;
    static inline std::thread::id ending_thread_;
    PyThreadState* thread_;
};

// A pass of fewer operations takes about 10 us and ends before another Python thread could begin.
inline constexpr double short_operations = 1e6;

// Whether training keeps the GIL: only for the experiment that measures what that would cost.
inline bool training_holds_gil = false;

}  // namespace fastmlp
