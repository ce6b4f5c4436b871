// Threads: a team that runs one function, its barrier, and how work is shared. The only OpenMP.
//
// A native call opens one team, once; inside, workers meet at a barrier of our own, because libgomp's makes
// a system call each time. Work is cut by position, never by the summed dimension, and no result depends on
// the number of workers.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <new>
#include <thread>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace fastmlp {

using std::int64_t;

inline void pause_briefly() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// All workers wait until the last has come. Spins, then yields, then sleeps: a spin that never ends would
// starve the worker it waits for when there are more threads than cores.
class Barrier {
public:
    explicit Barrier(int workers) : workers_(workers) {}
    void wait() noexcept {
        if (workers_ == 1) return;
        const unsigned round = round_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == workers_) {
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            return;
        }
        for (int tries = 0; round_.load(std::memory_order_acquire) == round; ++tries) {
            if (tries < 2000)
                pause_briefly();
            else if (tries < 4000)
                std::this_thread::yield();
            else
                std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
    }

private:
    const int workers_;
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<unsigned> round_{0};
};

struct Range {
    int64_t begin, end;
    int64_t size() const { return end - begin; }
};

// One member of a team.
struct Worker {
    int index;
    int count;
    Barrier* barrier;

    void wait_for_all() const noexcept { barrier->wait(); }
    // This worker's part of 0 .. total: contiguous, sizes differ by at most one.
    Range share(int64_t total) const { return {total * index / count, total * (index + 1) / count}; }
};

// Runs f(worker) on up to `threads` workers at once; the team is as large as the system grants.
// f must not throw.
template <class F> void run_team(int threads, F f) {
    static_assert(noexcept(f(Worker{})), "an exception would end the process");
    if (threads <= 1) {
        Barrier barrier(1);
        f(Worker{0, 1, &barrier});
        return;
    }
#ifdef _OPENMP
    alignas(Barrier) unsigned char place[sizeof(Barrier)];
    Barrier* barrier = nullptr;
#pragma omp parallel num_threads(threads)
    {
#pragma omp single
        barrier = new (place) Barrier(omp_get_num_threads());
        f(Worker{omp_get_thread_num(), omp_get_num_threads(), barrier});
    }
#else
    Barrier barrier(threads);
    std::vector<std::thread> others;
    others.reserve(static_cast<std::size_t>(threads - 1));
    for (int i = 1; i < threads; ++i) others.emplace_back([&, i] { f(Worker{i, threads, &barrier}); });
    f(Worker{0, threads, &barrier});
    for (std::thread& other : others) other.join();
#endif
}

// The threads that a call from this thread may use when the user names no number.
inline int default_thread_count() {
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
#endif
}

inline const char* threading_name() {
#ifdef _OPENMP
    return "OpenMP";
#else
    return "std::thread";
#endif
}

// A worker is worth its barriers when it has this much to do between two of them: about 2 us on one core,
// against 0.3 us for a barrier.
inline constexpr double least_operations_per_worker = 4e5;

inline int useful_threads(int threads, double operations_between_barriers) {
    const double useful = operations_between_barriers / least_operations_per_worker;
    return useful < 1 ? 1 : useful < threads ? static_cast<int>(useful) : threads;
}

}  // namespace fastmlp
