// The barrier at which the workers of a team meet, and the cores that they may run on.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#ifdef __linux__
#include <sched.h>
#endif

namespace fastmlp {

inline void pause_briefly() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb");  // some 10 ns; `yield` is a no-op on most processors, and the barrier counts pauses
#endif
}

// How many cores this process may run on.
inline int available_cores() {
#ifdef __linux__
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
#endif
    return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

// All workers wait until the last arrives. They spin for about 20 us, much longer than equal shares of work differ if
// each worker has a core, and then sleep: a worker that spins on the core that the last one needs delays the whole
// team until the scheduler's next slice. Where spinning failed, because other programs use the cores, later waits spin
// less. A team larger than the machine yields instead, so that its other workers run; if a yield takes long, another
// program ran, and the team sleeps from then on.
class Barrier {
public:
    explicit Barrier(int workers) : workers_(workers) {
        if (workers <= available_cores())
            spins_ = max_spins, min_spins_ = 64;
        else
            yields_ = max_yields;
    }
    void wait() noexcept {
        const unsigned round = round_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == workers_) {
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1);
            if (sleepers_.load() == 0) return;
            const std::lock_guard<std::mutex> lock(mutex_);
            wake_.notify_all();
            return;
        }
        const int spins = spins_.load(std::memory_order_relaxed);
        for (int spin = 0; spin < spins; ++spin) {
            if (round_.load(std::memory_order_acquire) != round) {
                if (spins < max_spins) spins_.store(spins + 16, std::memory_order_relaxed);
                return;
            }
            pause_briefly();
        }
        spins_.store(std::max(spins / 2, min_spins_), std::memory_order_relaxed);
        using clock = std::chrono::steady_clock;
        const clock::time_point begin = clock::now();
        clock::time_point before = begin;
        for (int turn = 0; turn < yields_.load(std::memory_order_relaxed); ++turn) {
            if (round_.load(std::memory_order_acquire) != round) return;
            std::this_thread::yield();
            const clock::time_point after = clock::now();
            if (after - std::exchange(before, after) > std::chrono::milliseconds(1)) yields_.store(0);
        }
        std::unique_lock<std::mutex> lock(mutex_);
        ++sleepers_;  // before round_ is read again: either the last worker sees a sleeper, or this one its round
        wake_.wait(lock, [&] { return round_.load() != round; });
        --sleepers_;
        slept_ += std::chrono::duration<double>(clock::now() - begin).count();
    }
    // Seconds that a worker has slept here, on average over those that wait for the last one.
    double slept() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return slept_ / (workers_ - 1);
    }

private:
    static constexpr int max_spins = 2000, max_yields = 200;
    const int workers_;
    int min_spins_ = 0;
    std::atomic<int> spins_{0}, yields_{0};
    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<unsigned> round_{0};
    std::atomic<int> sleepers_{0};
    double slept_ = 0;  // under the mutex
    std::mutex mutex_;
    std::condition_variable wake_;
};

}  // namespace fastmlp
