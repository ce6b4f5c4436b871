// The check of input arrays, and the measured peak of the multiply-adders.
#include "checks.h"

#include <chrono>
#include <cmath>
#include <limits>

namespace fastmlp {

template <class T> int64_t first_not_finite(const T* x, int64_t size, double limit, int threads) {
    const T max_magnitude = static_cast<T>(std::min<double>(limit, std::numeric_limits<T>::max()));
    std::atomic<int64_t> found{size};
    run_team(useful_threads(threads, static_cast<double>(size)), [&](const Worker& worker) noexcept {
        const Range mine = worker.share(size);
        constexpr int64_t block = 4096;  // one branch per block, so that the inner loop is vectorised
        for (int64_t i = mine.begin; i < mine.end; i += block) {
            const int64_t end = std::min(i + block, mine.end);
            bool good = true;
            for (int64_t j = i; j < end; ++j) good &= std::abs(x[j]) <= max_magnitude;  // false for NaN
            if (good) continue;
            int64_t at = i;
            while (at < end && std::abs(x[at]) <= max_magnitude) ++at;
            if (at == end) continue;  // another thread has changed the array since
            int64_t earliest = found.load();
            while (at < earliest && !found.compare_exchange_weak(earliest, at)) {
            }
            return;
        }
    });
    return found == size ? -1 : found.load();
}

template <class T> double peak_gflops(const Kernels<T>& kernels, int threads, double seconds) {
    using clock = std::chrono::steady_clock;
    std::atomic<int64_t> operations{0};
    const clock::time_point start = clock::now();
    run_team(useful_threads(threads, std::numeric_limits<double>::infinity()), [&](const Worker& worker) noexcept {
        worker.wait_for_all();
        int64_t mine = 0;
        do  // at least once, even if other processes used this worker's core all the time
            mine += 2 * kernels.fma_rounds(10000);
        while (std::chrono::duration<double>(clock::now() - start).count() < seconds);
        operations += mine;
    });
    return static_cast<double>(operations.load()) / std::chrono::duration<double>(clock::now() - start).count() / 1e9;
}

template int64_t first_not_finite(const float*, int64_t, double, int);
template int64_t first_not_finite(const double*, int64_t, double, int);
template double peak_gflops(const Kernels<float>&, int, double);
template double peak_gflops(const Kernels<double>&, int, double);

}  // namespace fastmlp
