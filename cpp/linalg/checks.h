// Passes over whole arrays that belong to no network: the input check, and the measured peak.
#pragma once

#include "matrix.h"
#include "team.h"

namespace fastmlp {

// The index of the first element that is NaN, infinite or larger than `limit` in size; -1 if there is none.
template <class T> int64_t first_not_finite(const T* x, int64_t size, double limit, int threads);

// Multiply-adds a second, counted as two operations, that `threads` cores reach on registers alone; GFLOP/s.
template <class T> double peak_gflops(const Kernels<T>& kernels, int threads, double seconds);

}  // namespace fastmlp
