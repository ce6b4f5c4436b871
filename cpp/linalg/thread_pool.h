// The threads that help a calling thread. They are its own: they sleep between its calls and end with it (on Windows,
// with the process).
//
// OpenMP's would do, but libgomp ends the process where the system refuses it a thread, and its pool deadlocks in a
// child of fork, which has none of its parent's threads. Here a refused thread makes a team smaller, and a child begins
// with a new pool.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif

#include "barrier.h"

namespace fastmlp {

class ThreadPool {
public:
    // Of the calling thread. Throws std::bad_alloc.
    static ThreadPool& mine();

    // Starts threads until there are `count`, or the system refuses one. Returns how many of `count` there are.
    int grow(int count) noexcept {
        if (size() < count) start_threads(count);
        return std::min(count, size());
    }

    // Calls f(1), ..., f(count) on threads of the pool and f(0) here; count <= what grow() has returned.
    template <class F> void run(int count, F f) noexcept {
        const Job job{[](void* f, int i) { (*static_cast<F*>(f))(i); }, &f};
        running_.store(count, std::memory_order_relaxed);
        for (int i = 1; i <= count; ++i) members_[static_cast<std::size_t>(i - 1)]->post(&job);
        f(0);
        done_.wait_until([&] { return running_.load() == 0; });
    }

    ThreadPool(const ThreadPool&) = delete;
    ~ThreadPool();

private:
    struct Job {
        void (*call)(void* f, int i);
        void* f;
    };
    // One thread waits until a condition holds; others make it true, and then call notify(). It spins for some 20 us
    // before it sleeps, which is longer than the pause between most calls that follow each other.
    class Waiter {
    public:
        template <class Condition> void wait_until(Condition holds) noexcept {
            for (int spin = 0; spin < spins; ++spin) {
                if (holds()) return;
                pause_briefly();
            }
            std::unique_lock<std::mutex> lock(mutex_);
            sleeps_.store(true);  // before the condition is read again: either notify() sees it, or this thread the change
            wake_.wait(lock, holds);
            sleeps_.store(false);
        }
        bool sleeps() const noexcept { return sleeps_.load(); }
        void notify() noexcept {
            if (!sleeps()) return;
            const std::lock_guard<std::mutex> lock(mutex_);
            wake_.notify_one();
        }

    private:
        static constexpr int spins = 2000;
        std::atomic<bool> sleeps_{false};
        std::mutex mutex_;
        std::condition_variable wake_;
    };
    struct Member {
        std::atomic<const Job*> job{nullptr};
        Waiter posted;
        std::thread thread;

        // It may run where the calling thread may, but not on the core where that runs now. Linux may wake it there, if
        // the two last ran there, and then both share the core until the scheduler's next tick, some 4 ms later.
        void keep_off_this_core() noexcept;

        void post(const Job* next) noexcept {
            job.store(next);
            if (posted.sleeps()) keep_off_this_core();
            posted.notify();
        }
    };
    explicit ThreadPool(int forks) : forks_(forks) {}
    int size() const { return static_cast<int>(members_.size()); }
    void start_threads(int count) noexcept;
    void work(Member& member, int index) noexcept;

    static const Job last_job_;  // ends a thread
    std::vector<std::unique_ptr<Member>> members_;
    std::atomic<int> running_{0};  // calls of f that have not returned yet, but for that of the caller
    Waiter done_;
    [[maybe_unused]] const int forks_;  // of the process that made this pool, from the first one on
};

}  // namespace fastmlp
