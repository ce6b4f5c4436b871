// Dropout in one micro-batch: units are zero with a given probability, the others divided by the probability to stay.
//
// No mask is stored: backward computes it again, unless forward keeps derivatives, which then hold it. It comes from the
// seed, the number of the update, the layer, the row of the update and the unit. So the mask depends neither on the number
// of workers nor on the instruction set.
#pragma once

#include <algorithm>

#include "../kernels/dispatch.h"
#include "../kernels/mixing.h"
#include "../linalg/matrix.h"

namespace fastmlp {

template <class T> class Dropout {
public:
    static std::uint64_t key_of_update(std::uint64_t seed, int64_t update) noexcept {
        return mixed(seed + static_cast<std::uint64_t>(update));
    }

    Dropout() = default;  // keeps all units
    // `layer`: 0 is that of the inputs. `first_row` of the update is row 0 here. 0 <= rate < 1.
    Dropout(const Kernels<T>& kernels, double rate, std::uint64_t key_of_update, std::size_t layer,
            int64_t first_row) noexcept
        : apply_(kernels.dropout),
          key_(mixed(key_of_update + layer)),
          first_row_(first_row),
          threshold_(static_cast<std::uint32_t>(std::min(rate * 4294967296.0, 4294967295.0))),
          scale_(static_cast<T>(1 / (1 - rate))) {}

    explicit operator bool() const noexcept { return apply_; }
    // out = in times the mask, for rows `row` on and units `first_unit` on, or the units that `units` numbers. It may be
    // in place. Rows are padded to whole vectors. `also`, of in's stride, is multiplied in place unless it is null.
    void apply(MatrixView<const T> in, int64_t row, int64_t first_unit, MatrixView<T> out,
               const std::int32_t* units = nullptr, T* also = nullptr) const noexcept {
        apply_(out.data, out.stride, in.data, in.stride, in.rows, in.columns, key_, first_row_ + row, first_unit,
               units, threshold_, scale_, also);
    }

private:
    decltype(Kernels<T>::dropout) apply_ = nullptr;
    std::uint64_t key_ = 0;
    int64_t first_row_ = 0;
    std::uint32_t threshold_ = 0;
    T scale_ = 1;
};

}  // namespace fastmlp
