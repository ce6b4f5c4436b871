// Checks and copies labels and the indices of CSR inputs: what reads them afterwards stays within its buffers.
#include "dataset.h"

#include <stdexcept>

namespace fastmlp {

CsrIndices::CsrIndices(const int64_t* row_starts, int64_t rows, const std::int32_t* column_index, int64_t values,
                       int64_t columns)
    : columns_(columns),
      row_starts_(row_starts, row_starts + rows + 1),
      column_index_(column_index, column_index + values) {
    if (row_starts_.front() != 0 || row_starts_.back() != values)
        throw std::invalid_argument("row starts of CSR inputs must go from 0 to the number of values");
    for (std::size_t row = 0; row + 1 < row_starts_.size(); ++row) {
        const int64_t begin = row_starts_[row], end = row_starts_[row + 1];
        if (begin > end || end > values) throw std::invalid_argument("row starts of CSR inputs must not decrease");
        max_row_values_ = std::max(max_row_values_, end - begin);
        std::int32_t last = -1;
        for (int64_t i = begin; i < end; ++i) {
            const std::int32_t column = column_of(i);
            if (column < 0 || column >= columns)
                throw std::invalid_argument("column indices of CSR inputs must lie in [0, columns)");
            ascending_ &= column > last;
            last = column;
        }
    }
}

int64_t CsrIndices::row_of(int64_t value) const {
    return std::upper_bound(row_starts_.begin(), row_starts_.end(), value) - row_starts_.begin() - 1;
}

std::vector<std::int32_t> checked_labels(const int64_t* labels, int64_t rows, int64_t classes) {
    std::vector<std::int32_t> checked(static_cast<std::size_t>(rows));
    for (int64_t i = 0; i < rows; ++i) {
        const int64_t label = labels[i];
        if (label < 0 || label >= classes) throw std::invalid_argument("labels must lie in [0, classes)");
        checked[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(label);
    }
    return checked;
}

}  // namespace fastmlp
