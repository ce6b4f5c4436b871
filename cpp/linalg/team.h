// A team of threads that runs one function. OpenMP, where it is there, says how many threads a user allows.
//
// A native call opens one team; its workers meet at a Barrier.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "../kernels/dispatch.h"
#include "../kernels/simd/denormals.h"
#include "thread_pool.h"
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

inline constexpr bool has_openmp() {
#ifdef _OPENMP
    return true;
#else
    return false;
#endif
}

// OMP_THREAD_LIMIT, where OpenMP is there to read it.
inline int thread_limit() {
#ifdef _OPENMP
    return omp_get_thread_limit();
#else
    return TeamHook::max_size;
#endif
}

inline int max_workers() { return std::max(16, 2 * available_cores()); }  // more workers never help

// Runs f(worker) on up to `threads` workers at once, without denormals. f must not throw. Throws std::bad_alloc before f
// runs.
template <class F> void run_team(int threads, F f) {
    static_assert(noexcept(f(Worker::alone())), "an exception would end the process");
    const auto work = [&](const Worker& worker) noexcept {
        const FlushedDenormals flushed;
        f(worker);
        end_products();
    };
    if (threads <= 1) return work(Worker::alone());
    ThreadPool& pool = ThreadPool::mine();
    threads = 1 + pool.grow(threads - 1);
    if (threads == 1) return work(Worker::alone());
    Barrier barrier(threads);
    LoopCursors cursors(threads);
    TeamHook::add(threads);
    pool.run(threads - 1, [&](int i) noexcept { work(Worker{i, threads, &barrier, &cursors}); });
}

// How many threads a call from this thread may use if the user sets no number: threadpoolctl's limit or
// OMP_NUM_THREADS, where OpenMP is there to read them.
inline int default_thread_count() {
#ifdef _OPENMP
    return std::min(omp_get_max_threads(), max_workers());
#else
    return std::min(available_cores(), max_workers());
#endif
}

// A worker pays for its barriers if it has this many operations between two of them: about 2 us on one core, against
// 0.1 us for a barrier.
inline constexpr double min_operations_per_worker = 4e5;

// How many threads of `threads` a call uses: memory for each worker is allocated for no more.
inline int useful_threads(int threads, double operations_between_barriers,
                          double min_operations = min_operations_per_worker) {
    const double useful = operations_between_barriers / min_operations;
    if (!TeamHook::whole.load(std::memory_order_relaxed) && useful < threads)
        threads = useful < 1 ? 1 : static_cast<int>(useful);
    if (threads <= 1) return 1;  // first, because max_workers() takes 0.2 us
    return std::min({threads, max_workers(), thread_limit()});
}

}  // namespace fastmlp
