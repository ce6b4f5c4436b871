// Workers share the columns, in blocks of some cache lines.
#include "moments.h"

#include "../linalg/team.h"

namespace fastmlp {

namespace {

constexpr int64_t block_columns = 64;

template <class T>
void moments_of_block(const T* x, const Inputs& inputs, const double* weights, const double* about, double* sums,
                      double* squares, int64_t columns) noexcept {
    double sum[block_columns] = {}, square[block_columns] = {};
    for (int64_t i = 0; i < inputs.rows; ++i, x += inputs.columns)
        for (int64_t j = 0; j < columns; ++j) {
            const double d = static_cast<double>(x[j]) - about[j], weighted = weights[i] * d;
            sum[j] += weighted;
            square[j] += weighted * d;
        }
    std::copy_n(sum, columns, sums);
    std::copy_n(square, columns, squares);
}

}  // namespace

void column_moments(const Inputs& inputs, const double* weights, const double* about, double* sums, double* squares,
                    int n_threads) {
    const int64_t blocks = (inputs.columns + block_columns - 1) / block_columns;
    const double operations = 5.0 * static_cast<double>(inputs.rows) * static_cast<double>(inputs.columns);
    run_team(useful_threads(n_threads, operations), [&](const Worker& worker) noexcept {
        worker.share_out(blocks, [&](int64_t block) {
            const int64_t first = block * block_columns, columns = std::min(block_columns, inputs.columns - first);
            const auto of_type = [&](auto* x) {
                moments_of_block(x + first, inputs, weights, about + first, sums + first, squares + first, columns);
            };
            switch (inputs.kind) {
                case InputKind::uint8:
                    return of_type(static_cast<const std::uint8_t*>(inputs.data));
                case InputKind::float32:
                    return of_type(static_cast<const float*>(inputs.data));
                case InputKind::float64:
                    return of_type(static_cast<const double*>(inputs.data));
                case InputKind::count:
                    break;
            }
        });
    });
}

}  // namespace fastmlp
