// Reduces teams while other threads use some of the cores.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>

#include "team.h"

namespace fastmlp {

// A team of two is slower than one worker if one of them waits for the scheduler's next slice at each barrier: ten
// times slower if the work between barriers is short. The other threads may be this process's own: OpenBLAS's spin for
// a tenth of a second after each use. Results do not depend on the number of workers.
class Oversubscription {
public:
    static int workers(int threads) {
        if (TeamHook::whole.load(std::memory_order_relaxed)) return threads;
        return now() < until_.load(std::memory_order_relaxed) ? std::max(1, threads / 2) : threads;
    }
    // Whether a team that lost this much of its time waiting should stop early.
    static bool is_seen(double seconds, double lost) { return lost > 2e-3 && lost > seconds / 2; }
    // To be called when a team has ended.
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
    static constexpr double min_pause = 5e-3, max_pause = 0.32;  // a full team on busy cores costs a slice of some 4 ms
    static inline std::atomic<double> until_{0}, pause_{min_pause};
};

}  // namespace fastmlp
