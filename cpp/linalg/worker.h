// One worker of a team, and how work is shared among the workers.
//
// Work is divided by position, never along the summed dimension: no result depends on the number of workers or on
// which of them computes it.
#pragma once

#include <atomic>
#include <cassert>
#include <cstdint>
#include <vector>

#include "barrier.h"

namespace fastmlp {

using std::int64_t;

struct Range {
    int64_t begin, end;
    int64_t size() const { return end - begin; }
};

// How much of each worker's share of a loop is taken. Workers are at most two loops apart, for there are at most two
// loops between barriers; so the cursors of a loop are used again eight loops later, and each worker clears its cursor
// four loops before.
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
    mutable unsigned loop = 0;              // number of loops so far
    mutable unsigned loops_at_barrier = 0;  // at the last barrier

    static Worker alone() noexcept { return {0, 1, nullptr, nullptr}; }
    void wait_for_all() const noexcept {
        if (count > 1) barrier->wait();
        loops_at_barrier = loop;
    }
    // This worker's part of 0 .. total: contiguous, sizes differ by at most one.
    Range share(int64_t total) const { return share_of(index, total); }

    // Calls f(range) with ranges that make up 0 .. total; all workers call this. A worker takes its own share first, so
    // that its part of the weights stays in its cache, and then the rest of the others' shares, so that a slow or busy
    // core does not delay the team. A claim takes half of what is left, because each claim costs as much as a small
    // tile. At most two such loops may run between barriers.
    template <class F> void share_out_ranges(int64_t total, F f) const noexcept {
        if (count == 1) return f(Range{0, total});
        assert(loop - loops_at_barrier < 2);
        cursors->clear_ahead(loop, index);
        for (int next = index; next < index + count; ++next) {
            const Range share = share_of(next % count, total);
            std::atomic<int64_t>& taken = cursors->taken(loop, next % count);
            for (int64_t begin = taken.load(std::memory_order_relaxed); begin < share.size();) {
                const int64_t end = begin + (share.size() - begin + 1) / 2;
                if (!taken.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
                f(Range{share.begin + begin, share.begin + end});
                begin = taken.load(std::memory_order_relaxed);
            }
        }
        ++loop;
    }
    // The same with f(i) for each i.
    template <class F> void share_out(int64_t total, F f) const noexcept {
        share_out_ranges(total, [&](Range range) {
            for (int64_t i = range.begin; i < range.end; ++i) f(i);
        });
    }

private:
    Range share_of(int worker, int64_t total) const { return {total * worker / count, total * (worker + 1) / count}; }
};

// Counts the parts of items that the workers have done.
class PartCounters {
public:
    explicit PartCounters(int64_t items = 0) : done_(static_cast<std::size_t>(items)) {}
    std::size_t size() const { return done_.size(); }
    // Another part of the item's `parts` is done. True for the last one, whose worker then sees what the others wrote
    // before they called this; the count starts again.
    bool completes(int64_t item, int64_t parts) noexcept {
        std::atomic<int64_t>& count = done_[static_cast<std::size_t>(item)].count;
        if (count.fetch_add(1, std::memory_order_acq_rel) + 1 < parts) return false;
        count.store(0, std::memory_order_relaxed);
        return true;
    }

private:
    struct alignas(64) Done {
        std::atomic<int64_t> count{0};
    };
    std::vector<Done> done_;
};

}  // namespace fastmlp
