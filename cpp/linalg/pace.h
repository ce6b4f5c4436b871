// How many workers a long computation gets: as many as make it fastest, by the speed that is measured.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <utility>

#include "team.h"

namespace fastmlp {

inline double seconds_now() noexcept {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A team of two is slower than one worker where its work is small, or where another process uses one of the cores: then
// it waits for the scheduler at each barrier. Neither can be foreseen, so teams of other sizes are tried for some
// milliseconds: a smaller one each second, and at once where the team waits; a larger one after a pause that doubles
// while it is in vain. Results do not depend on the number of workers.
//
// A computation runs in slices: workers(), then is_over() after each part of a slice, then report(). `now` is the time in
// seconds.
class Pace {
public:
    // Of the next slice, if the work allows `wanted`.
    int workers(int wanted, double now) noexcept {
        if (wanted != wanted_) {
            *this = Pace();
            wanted_ = wanted;
            next_larger_ = crowded_until_.load(std::memory_order_relaxed);
            step_ = now < next_larger_ && size_of(0) > 1 ? 1 : 0;
        }
        used_ = step_;
        if (TeamHook::whole.load(std::memory_order_relaxed))
            used_ = 0;
        else if (tries_smaller_ && size_of(step_) > 1)
            used_ = step_ + 1;
        else if (step_ > 0 && now >= next_larger_)
            used_ = step_ - 1;
        tries_smaller_ = false;
        return size_of(used_);
    }

    // Whether enough is known after this part of a slice: its seconds and rows so far, and how long its workers slept.
    bool is_over(double seconds, int64_t rows, int64_t parts, double slept, double now) const noexcept {
        if (TeamHook::whole.load(std::memory_order_relaxed)) return false;
        if (used_ > step_) return seconds > 2e-3 && parts >= 4;
        if (size_of(used_) == 1 || seconds < 4e-3) return false;
        return knows_smaller(now) ? !is_worth(seconds / static_cast<double>(rows)) : waits(seconds, slept);
    }

    // At the end of a slice, whose seconds now include the start and the end of its team.
    void report(double seconds, int64_t rows, double slept, double now) noexcept {
        const double per_row = seconds / static_cast<double>(std::max<int64_t>(1, rows));
        if (TeamHook::whole.load(std::memory_order_relaxed)) return;
        if (used_ > step_) {
            measured_[used_] = {per_row, now};
            const int larger = std::exchange(used_, step_);
            if (!is_worth(measured_[step_].seconds_per_row)) step_down(now);
            used_ = larger;
            return;
        }
        measured_[used_] = {per_row, now};
        if (size_of(used_) == 1) return;
        const bool knows = knows_smaller(now);
        if (knows && !is_worth(per_row)) {
            step_ = used_;
            step_down(now);
            return;
        }
        if (std::exchange(step_, used_) > used_ || (used_ == 0 && seconds > 2e-2)) pause_ = min_pause;
        unknown_for_ = knows ? 0 : unknown_for_ + seconds;
        tries_smaller_ = !knows && (waits(seconds, slept) || unknown_for_ > 1e-2);
    }

private:
    // Team sizes from `wanted` down to 1: with other processes on few of many cores, one worker less is right.
    int size_of(int step) const noexcept {
        if (wanted_ <= 4) return std::max(1, wanted_ >> step);
        return step == 0 ? wanted_ : step == 1 ? wanted_ - 1 : std::max(1, wanted_ >> (step - 1));
    }
    bool knows_smaller(double now) const noexcept { return now - measured_[used_ + 1].at < 1; }
    // A team must gain a quarter of what its further workers could: on two cores, 13 per cent.
    bool is_worth(double seconds_per_row) const noexcept {
        const double share = static_cast<double>(size_of(used_ + 1)) / size_of(used_);
        return seconds_per_row <= (1 - 0.26 * (1 - share)) * measured_[used_ + 1].seconds_per_row;
    }
    static bool waits(double seconds, double slept) noexcept { return slept > seconds / 10; }
    void step_down(double now) noexcept {
        ++step_;
        next_larger_ = now + pause_;
        pause_ = std::min(2 * pause_, max_pause);
        crowded_until_.store(next_larger_, std::memory_order_relaxed);
    }

    struct Measured {
        double seconds_per_row = 0, at = -10;
    };
    static constexpr double min_pause = 0.02, max_pause = 1.28;  // a larger team on busy cores costs a slice of some 10 ms
    static inline std::atomic<double> crowded_until_{0};         // for computations that begin
    int wanted_ = 0, step_ = 0, used_ = 0;                       // steps down from `wanted`: the best one, this slice's
    bool tries_smaller_ = false;
    double next_larger_ = 0, pause_ = min_pause;
    double unknown_for_ = 0;                // seconds of teams whose smaller one was not tried lately
    std::array<Measured, 16> measured_{};  // by step
};

}  // namespace fastmlp
