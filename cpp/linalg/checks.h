// The check of input arrays, and the measured peak of the multiply-adders.
#pragma once

#include "matrix.h"
#include "team.h"

namespace fastmlp {

// The index of the first element that is NaN, infinite or above `limit` in magnitude; -1 if there is none.
template <class T> int64_t first_not_finite(const T* x, int64_t size, double limit, int threads);

// GFLOP/s of multiply-adds, two operations each, that `threads` cores reach on registers alone.
template <class T> double peak_gflops(const Kernels<T>& kernels, int threads, double seconds);

}  // namespace fastmlp
