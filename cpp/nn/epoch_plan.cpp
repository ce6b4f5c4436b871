// The arithmetic of an epoch: from a position to its micro-batch and its update.
#include "epoch_plan.h"

#include <stdexcept>

namespace fastmlp {

int64_t max_micro_batch_rows(double operations_per_row) {
    // Enough to amortise a pass over the weights (their update, gradient sums and transposed copy), few enough that
    // inputs and activations stay near the core: 256 rows of 784 floats are 800 KiB.
    constexpr int64_t max_rows = 256;
    // So that a slice ends soon after its time even for huge layers: about 20 ms.
    constexpr double max_operations = 5e9;
    return std::clamp<int64_t>(static_cast<int64_t>(max_operations / operations_per_row), 1, max_rows);
}

EpochPlan::EpochPlan(const int64_t* order, int64_t rows, int64_t batch_size, int64_t accumulate,
                     double gradient_divisor)
    : rows_(rows),
      batch_size_(std::min(batch_size, std::max<int64_t>(1, rows))),  // sums of the two do not overflow
      accumulate_(accumulate),
      max_row_(rows - 1),
      gradient_divisor_(gradient_divisor) {
    if (rows < 0 || batch_size < 1 || accumulate < 1 || !(gradient_divisor >= 0))
        throw std::invalid_argument(
            "a plan needs rows >= 0, batch_size >= 1, accumulate >= 1 and gradient_divisor >= 0");
    if (!order || rows == 0) return;
    order_.assign(order, order + rows);
    if (*std::min_element(order_.begin(), order_.end()) < 0)
        throw std::invalid_argument("order names a row below 0");
    max_row_ = *std::max_element(order_.begin(), order_.end());
}

MicroBatch EpochPlan::micro_batch_at(int64_t position, int64_t max_rows) const {
    if (position >= rows_) return {rows_, rows_, rows_, rows_};
    const int64_t batch = position / batch_size_, batch_begin = batch * batch_size_;
    const int64_t batch_rows = std::min(batch_size_, rows_ - batch_begin);
    const int64_t count = (batch_rows + max_rows - 1) / max_rows;
    // micro-batch i begins at i * batch_rows / count; this is the last one that begins at the position or before it
    const int64_t i = ((position - batch_begin + 1) * count - 1) / batch_rows;
    const int64_t first_batch = batch / accumulate_ * accumulate_, update_begin = first_batch * batch_size_;
    const int64_t batches_left = (rows_ - update_begin + batch_size_ - 1) / batch_size_;
    const int64_t update_end = batches_left <= accumulate_ ? rows_ : update_begin + accumulate_ * batch_size_;
    return {batch_begin + i * batch_rows / count, batch_begin + (i + 1) * batch_rows / count, update_begin, update_end};
}

}  // namespace fastmlp
