// How many workers a team has while other threads keep some from their cores.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>

#include "team.h"

namespace fastmlp {

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

}  // namespace fastmlp
