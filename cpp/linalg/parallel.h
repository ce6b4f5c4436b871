// Threads: a team that runs one function, its barrier, and how work is shared. The only OpenMP.
//
// A native call opens one team, once; inside, workers meet at a barrier of our own, because libgomp's makes
// a system call each time. Work is cut by position, never by the summed dimension, and no result depends on
// the number of workers or on who does what.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif

namespace fastmlp {

using std::int64_t;

inline void pause_briefly() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb");  // some 10 ns; `yield` takes none on most processors, and the barrier counts in pauses
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

// How many workers a team should have while other threads keep some from their cores: a team of two of which one waits
// for the scheduler's next slice at each barrier is slower than one worker, ten times if its steps are short. Others
// can be of this process: OpenBLAS's threads spin for a tenth of a second after each use. Results do not depend on it.
class Oversubscription {
public:
    static int workers(int threads) {
        if (TeamHook::whole.load(std::memory_order_relaxed)) return threads;
        return now() < until_.load(std::memory_order_relaxed) ? std::max(1, threads / 2) : threads;
    }
    // Whether a team that has waited for `lost` of its seconds had better end.
    static bool is_seen(double seconds, double lost) { return lost > 2e-3 && lost > seconds / 2; }
    // A team has ended.
    static void report(double seconds, double lost) {
        double pause = pause_.load(std::memory_order_relaxed);
        if (is_seen(seconds, lost)) {
            pause = std::min(2 * pause, max_pause);
            until_.store(now() + pause, std::memory_order_relaxed);
        } else if (seconds > 1e-2) {
            pause = min_pause;
        }
        pause_.store(pause, std::memory_order_relaxed);
    }

private:
    static double now() {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    }
    static constexpr double min_pause = 5e-3, max_pause = 0.32;  // a try costs a slice of some 4 ms
    static inline std::atomic<double> until_{0}, pause_{min_pause};
};

// All workers wait until the last has come. They spin for about 20 us, far longer than equal shares of work
// differ on cores of their own, and then sleep: whoever spins on a core that the last worker needs makes
// everybody wait for the scheduler. Where spinning was in vain, because other programs use the cores, the next
// waits spin less. A team larger than the machine does not spin but yields, so that the others can come; if that
// takes long, it yielded to another program, and will sleep instead.
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
    // How many seconds a worker has slept here, on average over those that wait for the last.
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

struct Range {
    int64_t begin, end;
    int64_t size() const { return end - begin; }
};

// How far the loops are that a team shares out: of each worker's share of a loop, how much is taken. Workers are at
// most two loops apart, for there are at most two between barriers; so the cursors of a loop serve again eight
// loops later, and each worker clears its own half way.
class LoopCursors {
public:
    explicit LoopCursors(int workers) : workers_(workers), cursors_(static_cast<std::size_t>(loops * workers)) {}
    std::atomic<int64_t>& taken(unsigned loop, int worker) {
        return cursors_[loop % loops * static_cast<unsigned>(workers_) + static_cast<unsigned>(worker)].taken;
    }
    void clear_ahead(unsigned loop, int worker) { taken(loop + loops / 2, worker).store(0, std::memory_order_relaxed); }

private:
    struct alignas(64) Cursor {
        std::atomic<int64_t> taken{0};
    };
    static constexpr unsigned loops = 8;
    const int workers_;
    std::vector<Cursor> cursors_;
};

// One member of a team.
struct Worker {
    int index;
    int count;
    Barrier* barrier;
    LoopCursors* cursors;
    mutable unsigned loop = 0;  // shared out so far

    static Worker alone() noexcept { return {0, 1, nullptr, nullptr}; }
    void wait_for_all() const noexcept {
        if (count > 1) barrier->wait();
    }
    // This worker's part of 0 .. total: contiguous, sizes differ by at most one.
    Range share(int64_t total) const { return share_of(index, total); }

    // Calls f(i) for each i of 0 .. total, on one of the workers, who all call this: on its share first, and then on
    // what others have not come to. So a worker keeps its part of the weights in its cache, and nobody waits long for
    // one whose core is slow or taken. Claims are halves of what is left, for each costs as much as a small tile.
    // At most two such loops between barriers.
    template <class F> void share_out(int64_t total, F f) const noexcept {
        if (count == 1) {
            for (int64_t i = 0; i < total; ++i) f(i);
            return;
        }
        cursors->clear_ahead(loop, index);
        for (int next = index; next < index + count; ++next) {
            const Range share = share_of(next % count, total);
            std::atomic<int64_t>& taken = cursors->taken(loop, next % count);
            for (int64_t begin = taken.load(std::memory_order_relaxed); begin < share.size();) {
                const int64_t end = begin + (share.size() - begin + 1) / 2;
                if (!taken.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
                for (int64_t i = begin; i < end; ++i) f(share.begin + i);
                begin = taken.load(std::memory_order_relaxed);
            }
        }
        ++loop;
    }

private:
    Range share_of(int worker, int64_t total) const { return {total * worker / count, total * (worker + 1) / count}; }
};

inline int max_workers() { return std::max(16, 2 * available_cores()); }  // more help nobody

// Threads that run f(i), i from 1 on: so many, or as many as the system grants.
template <class F> std::vector<std::thread> start_threads(int count, F f) noexcept {
    std::vector<std::thread> started;
    try {
        started.reserve(static_cast<std::size_t>(count));
        for (int i = 1; i <= count; ++i) started.emplace_back(f, i);
    } catch (const std::exception&) {  // fewer will do
    }
    return started;
}

// What fork needs: a child has only the thread that forked, and would wait for ever for the workers of its pool.
class Team {
public:
    static bool has_pool() {
#ifdef _OPENMP
        return used_;
#else
        return false;
#endif
    }
    // Before a fork, by the thread that forks: ends its pool. The next team makes a new one. Returns whether it could.
    static bool end_pool() {
#ifdef _OPENMP
        ++pools_ended_;
        return omp_pause_resource_all(omp_pause_hard) == 0;
#else
        return true;
#endif
    }
    // In a child of a thread whose pool is not ended: all teams have one worker from now on.
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
    // libgomp ends the process where the system refuses it a thread. So, before the calling thread's pool grows, as
    // many are started, to see whether they would be.
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
    if (threads <= 1) return f(Worker::alone());  // before the system is asked for its cores: 0.2 us
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

// The threads that a call from this thread may use when the user names no number.
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

// A worker is worth its barriers when it has this much to do between two of them: about 2 us on one core,
// against 0.1 us for a barrier.
inline constexpr double min_operations_per_worker = 4e5;

inline int useful_threads(int threads, double operations_between_barriers) {
    if (TeamHook::whole.load(std::memory_order_relaxed)) return threads;
    const double useful = operations_between_barriers / min_operations_per_worker;
    return useful < 1 ? 1 : useful < threads ? static_cast<int>(useful) : threads;
}

}  // namespace fastmlp
