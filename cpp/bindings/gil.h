// Releasing the GIL for a native call, and the interpreter's exit while threads are in one.
//
// The interpreter ends a thread that returns to it during finalization. Inside C++ frames that ends the process with
// an error. So the interpreter waits at its exit until no native call is under way, and threads that begin one
// afterwards raise SystemExit.
//
// Free-threaded Python has no GIL. What the GIL protects in other builds is atomic, behind a mutex, or protected by the
// lock of a Python object (guarded). fork stops all Python threads first, so that a child finds none inside these locks.
#pragma once

#include <pybind11/critical_section.h>
#include <pybind11/pybind11.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

namespace fastmlp {

class ReleasedGil {
public:
    ReleasedGil() {
        // The call is counted before interpreter_ends_ is read, and end_calls() sets that before it reads the count:
        // either this thread sees the end, or the end sees this call.
        ++calls_;
        if (interpreter_ends_ && std::this_thread::get_id() != ending_thread_) {
            --calls_;
            PyErr_SetNone(PyExc_SystemExit);
            throw pybind11::error_already_set();
        }
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
        ending_thread_ = std::this_thread::get_id();  // before interpreter_ends_, with which others read it
        interpreter_ends_ = true;
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
        while (calls_ > 0 && std::chrono::steady_clock::now() < deadline) {
            const pybind11::gil_scoped_release release;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    // In a child of fork, which has none of the threads that were in a call.
    static void forget_calls() {
        calls_ = 0;
        const std::thread::id here = std::this_thread::get_id();
        if (forking_thread_ != here) first_fork_ = forks_;
        forking_thread_ = here;
        ++forks_;
    }
    static int forks() { return forks_; }  // from the first process to this one
    // Whether a thread that was in the process after so many forks is in this one, and no newer thread with its number.
    static bool is_here(std::thread::id thread, int forks) {
        return forks == forks_ || (thread == forking_thread_ && forks >= first_fork_);
    }

private:
    static inline std::atomic<int> calls_{0};  // changed by every thread
    static inline std::atomic<int> forks_{0};  // changed in a new child, which has one thread
    // The thread that made the last fork, and how many others made before its first one.
    static inline std::thread::id forking_thread_;
    static inline int first_fork_ = 0;
    static inline std::atomic<bool> interpreter_ends_{false};
    static inline std::thread::id ending_thread_;  // written once, before interpreter_ends_
    PyThreadState* thread_;
};

// A pass of fewer operations takes about 10 us and ends before another Python thread could begin.
inline constexpr double short_operations = 1e6;

// Whether training keeps the GIL: only for the experiment that measures what that would cost.
inline std::atomic<bool> training_holds_gil{false};

// In free-threaded Python, a method that holds the lock of its object, as it holds the GIL in other builds: until it ends
// or releases the GIL. So two threads that use one object find what they would find with the GIL. In other builds, the
// method itself.
#ifdef Py_GIL_DISABLED
template <class R, class Self, class... A> auto guarded(R (*method)(Self&, A...)) {
    return [method](const pybind11::object& self, A... arguments) -> R {
        const pybind11::scoped_critical_section lock(self);
        return method(self.cast<Self&>(), std::forward<A>(arguments)...);
    };
}
template <class R, class Self, class... A> auto guarded(R (Self::*method)(A...)) {
    return [method](const pybind11::object& self, A... arguments) -> R {
        const pybind11::scoped_critical_section lock(self);
        return (self.cast<Self&>().*method)(std::forward<A>(arguments)...);
    };
}
#else
template <class Method> Method guarded(Method method) { return method; }
#endif

}  // namespace fastmlp
