// A team of threads that runs one function, through OpenMP or std::thread, and what fork needs. The only OpenMP.
//
// A native call opens one team; its workers meet at a Barrier.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <exception>
#include <future>
#include <optional>
#include <thread>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "worker.h"

namespace fastmlp {

// For tests of threads. With `whole`, a call that may use n threads uses n, however little there is to do and however
// busy the machine is. `ran` counts the teams of more than one worker that ran, by their size.
struct TeamHook {
    static constexpr int max_size = 1024;  // larger teams count as this large
    static inline std::atomic<bool> whole{false};
    static inline std::array<std::atomic<int64_t>, max_size + 1> ran{};
    static void add(int workers) {
        ran[static_cast<std::size_t>(std::min(workers, max_size))].fetch_add(1, std::memory_order_relaxed);
    }
};

inline int max_workers() { return std::max(16, 2 * available_cores()); }  // more workers never help

// Starts up to `count` threads running f(1), f(2), ...; fewer if the system refuses one.
template <class F> std::vector<std::thread> start_threads(int count, F f) noexcept {
    std::vector<std::thread> started;
    try {
        started.reserve(static_cast<std::size_t>(count));
        for (int i = 1; i <= count; ++i) started.emplace_back(f, i);
    } catch (const std::exception&) {  // the team is smaller
    }
    return started;
}

// The pool of threads, and what fork needs: a child has only the thread that forked, and would deadlock waiting for
// pool threads that it does not have.
class Team {
public:
    static bool has_pool() {
#ifdef _OPENMP
        return used_;
#else
        return false;
#endif
    }
    // Ends the calling thread's pool, before it forks; the next team makes a new one. Returns whether that succeeded.
    static bool end_pool() {
#ifdef _OPENMP
        ++pools_ended_;
        return omp_pause_resource_all(omp_pause_hard) == 0;
#else
        return true;
#endif
    }
    // In a child of a thread whose pool did not end: all teams have one worker from now on.
    static void work_alone() { alone_ = true; }
    static int allowed(int threads) {
        if (alone_) return 1;
        used_ = true;
        threads = std::min(threads, max_workers());
#ifdef _OPENMP
        threads = granted(threads);
#endif
        return threads;
    }

private:
    // libgomp ends the process if the system refuses it a thread. So before the calling thread's pool grows, as many
    // threads are started and joined, and the team has as many workers as that gave.
    static int granted(int threads) {
        static thread_local int pool = 1, ended = 0;
        const int ended_by_now = pools_ended_;
        if (ended != ended_by_now) ended = ended_by_now, pool = 1;
        if (threads > pool) {
            std::promise<void> all_have_started;
            const std::shared_future<void> started(all_have_started.get_future());
            std::vector<std::thread> others = start_threads(threads - 1, [&](int) { started.wait(); });
            all_have_started.set_value();
            for (std::thread& other : others) other.join();
            threads = static_cast<int>(others.size()) + 1;
            pool = std::max(pool, threads);
        }
        return threads;
    }
    static inline std::atomic<bool> used_{false}, alone_{false};
    static inline std::atomic<int> pools_ended_{0};
};

// Runs f(worker) on up to `threads` workers at once. f must not throw. Throws std::bad_alloc before f runs.
template <class F> void run_team(int threads, F f) {
    static_assert(noexcept(f(Worker::alone())), "an exception would end the process");
    if (threads <= 1) return f(Worker::alone());  // first, because available_cores() takes 0.2 us
    threads = Team::allowed(threads);
    if (threads == 1) return f(Worker::alone());
    std::optional<Barrier> barrier;
    LoopCursors cursors(threads);
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
    {
#pragma omp single
        {
            barrier.emplace(omp_get_num_threads());
            TeamHook::add(omp_get_num_threads());
        }
        f(Worker{omp_get_thread_num(), omp_get_num_threads(), &*barrier, &cursors});
    }
#else
    std::promise<int> size;
    const std::shared_future<int> granted(size.get_future());
    std::vector<std::thread> others =
        start_threads(threads - 1, [&](int i) { f(Worker{i, granted.get(), &*barrier, &cursors}); });
    const int count = static_cast<int>(others.size()) + 1;
    barrier.emplace(count);
    TeamHook::add(count);
    size.set_value(count);
    f(Worker{0, count, &*barrier, &cursors});
    for (std::thread& other : others) other.join();
#endif
}

// How many threads a call from this thread may use if the user sets no number.
inline int default_thread_count() {
#ifdef _OPENMP
    return std::min(omp_get_max_threads(), max_workers());
#else
    return std::min(available_cores(), max_workers());
#endif
}

inline const char* threading_name() {
#ifdef _OPENMP
    return "OpenMP";
#else
    return "std::thread";
#endif
}

// A worker pays for its barriers if it has this many operations between two of them: about 2 us on one core, against
// 0.1 us for a barrier.
inline constexpr double min_operations_per_worker = 4e5;

inline int useful_threads(int threads, double operations_between_barriers) {
    if (TeamHook::whole.load(std::memory_order_relaxed)) return threads;
    const double useful = operations_between_barriers / min_operations_per_worker;
    return useful < 1 ? 1 : useful < threads ? static_cast<int>(useful) : threads;
}

}  // namespace fastmlp
