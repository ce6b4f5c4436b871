// When a slice of an epoch ends.
#pragma once

#include "../linalg/pace.h"
#include "../linalg/worker.h"

namespace fastmlp {

// The time of a slice: ends it after some seconds, or when its pace is known. For the first worker, and for the caller
// before and after the team.
class SliceClock {
public:
    SliceClock(Pace& pace, double seconds) noexcept : pace_(pace), seconds_(seconds), start_(seconds_now()) {}
    int workers(int wanted) noexcept { return pace_.workers(wanted, start_); }
    void team_begins() noexcept { begin_ = seconds_now(); }
    // After a micro-batch.
    bool is_over(const Worker& worker, int64_t rows) noexcept {
        end_ = seconds_now();
        rows_ += rows;
        ++parts_;
        if (worker.count > 1) slept_ = worker.barrier->slept();
        return end_ - start_ >= seconds_ || pace_.is_over(end_ - begin_, rows_, parts_, slept_, end_);
    }
    // A team that lacks a core also waits for its members when it begins and when it ends.
    void team_has_ended() const noexcept {
        const double end = seconds_now();
        pace_.report(end - start_, rows_, slept_ + (begin_ - start_) + (end - end_), end);
    }

private:
    Pace& pace_;
    const double seconds_, start_;
    double begin_ = start_, end_ = start_, slept_ = 0;
    int64_t rows_ = 0, parts_ = 0;
};

}  // namespace fastmlp
