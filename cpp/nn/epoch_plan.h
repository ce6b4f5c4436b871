// How the rows of an epoch are cut into mini-batches, micro-batches and updates.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace fastmlp {

using std::int64_t;

// Rows of one mini-batch that pass through the layers together: positions [begin, end) of the epoch.
struct MicroBatch {
    int64_t begin, end;
    int64_t update_begin, update_end;  // of the update to which they belong

    int64_t rows() const { return end - begin; }
    int64_t update_rows() const { return update_end - update_begin; }
    bool is_first() const { return begin == update_begin; }  // of its update
    bool is_last() const { return end == update_end; }
};

// Rows of a micro-batch at most, for a network with so many operations per row.
int64_t max_micro_batch_rows(double operations_per_row);

// An update takes `accumulate` mini-batches of `batch_size` rows. The last mini-batch of an epoch may be smaller, and
// its last update may take fewer of them.
class EpochPlan {
public:
    // Position i of the epoch is row order[i] of the data, of `rows` positions; row i if `order` is null. `order` is
    // copied, so that no other thread can change it. gradient_divisor divides the gradient of each update; 0: its
    // rows, or the sum of their sample weights. Throws std::invalid_argument, std::bad_alloc.
    EpochPlan(const int64_t* order, int64_t rows, int64_t batch_size, int64_t accumulate, double gradient_divisor);
    EpochPlan(const EpochPlan&) = delete;  // a trainer recognizes the plan of an epoch by its address

    int64_t rows() const { return rows_; }
    int64_t max_row() const { return max_row_; }  // of the data, -1 without rows
    int64_t row(int64_t position) const {
        return order_.empty() ? position : order_[static_cast<std::size_t>(position)];
    }
    const int64_t* order() const { return order_.empty() ? nullptr : order_.data(); }
    double gradient_divisor() const { return gradient_divisor_; }

    int64_t updates() const { return rows_ == 0 ? 0 : update_of(rows_ - 1) + 1; }
    int64_t update_of(int64_t position) const { return position / batch_size_ / accumulate_; }

    // The micro-batch of at most max_rows rows that holds `position`; an empty one at the end of the epoch. Those of a
    // mini-batch have equal sizes, up to one row.
    MicroBatch micro_batch_at(int64_t position, int64_t max_rows) const;
    // No micro-batch has more rows.
    int64_t max_micro_batch(int64_t max_rows) const { return std::min({rows_, batch_size_, max_rows}); }
    // Whether an update takes several of them, so that their gradients must be summed.
    bool sums_micro_batches(int64_t max_rows) const {
        return std::min(rows_, batch_size_) > max_rows || (accumulate_ > 1 && rows_ > batch_size_);
    }

private:
    std::vector<int64_t> order_;
    int64_t rows_, batch_size_, accumulate_, max_row_;
    double gradient_divisor_;
};

}  // namespace fastmlp
