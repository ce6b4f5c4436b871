// When a slice of an epoch ends.
#pragma once

#include <chrono>

#include "../linalg/oversubscription.h"
#include "../linalg/worker.h"

namespace fastmlp {

// The time of a slice: ends it after some seconds, or when its team waits for cores that others use. For the first
// worker, and for the caller before and after the team.
class SliceClock {
public:
    explicit SliceClock(double seconds) noexcept : seconds_(seconds), start_(now()) {}
    void team_begins() noexcept { begin_ = now(); }
    // After a micro-batch.
    bool is_over(const Worker& worker) noexcept {
        end_ = now();
        if (worker.count > 1) slept_ = worker.barrier->slept();
        return end_ - start_ >= seconds_ || Oversubscription::is_seen(end_ - begin_, slept_);
    }
    // A team that lacks a core also waits for its members when it begins and when it ends.
    void team_has_ended() const noexcept {
        const double end = now();
        Oversubscription::report(end - start_, slept_ + (begin_ - start_) + (end - end_));
    }

private:
    static double now() noexcept {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    }
    const double seconds_, start_;
    double begin_ = start_, end_ = start_, slept_ = 0;
};

}  // namespace fastmlp
