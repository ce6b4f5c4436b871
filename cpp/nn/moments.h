// Sums over the rows of each column, for means and standard deviations.
#pragma once

#include "dataset.h"

namespace fastmlp {

// sums[j] = the sum of weights[i] * (x[i][j] - about[j]), squares[j] that of weights[i] * (x[i][j] - about[j])^2, of dense
// inputs x. An element is one chain of sums in double over the rows, for every number of threads.
void column_moments(const Inputs& inputs, const double* weights, const double* about, double* sums, double* squares,
                    int n_threads);

}  // namespace fastmlp
