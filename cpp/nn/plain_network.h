// Predictions from weights that stay where they are, row-major as NumPy keeps them.
//
// An estimator's coefs_ may change between any two predictions, so there is no packed copy of them to keep. Few
// rows, and rows of CSR inputs, read the weights in place and in order. For more rows a worker packs some panels at a
// time, which stay near its core while the rows pass through. The results have the bits of Network.
#pragma once

#include <vector>

#include "epilogue.h"
#include "input_reader.h"

namespace fastmlp {

template <class T> struct PlainLayer {
    MatrixView<const T> weights;  // (inputs, outputs)
    const T* biases;              // (outputs)
};

// out (rows, outputs), unpadded: what the loss compares with labels or targets. Returns whether all inputs are finite
// numbers; if not, `out` is undefined. The layers' sizes must match; hidden: of each hidden layer. Throws
// std::bad_alloc.
template <class T>
bool forward_plain(const std::vector<PlainLayer<T>>& layers, const std::vector<Epilogue<T>>& hidden, Loss loss,
                   const Standardization& standardization, const Inputs& inputs, T* out, const KernelTable& table,
                   int n_threads);

}  // namespace fastmlp
