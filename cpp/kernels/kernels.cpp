// Fills the table of the instruction set that this file is compiled for (once each, see CMakeLists.txt).
#include "gemm_kernel.h"
#include "kernel_table.h"
#include "row_kernels.h"

namespace fastmlp::FASTMLP_ISA {

template <class T, int m> constexpr void fill_tiles(Kernels<T>& k) {
    if constexpr (m >= 1) {
        k.gemm_tile[m - 1][0] = gemm_tile_kernel<T, m, 1>;
        k.gemm_tile[m - 1][1] = gemm_tile_kernel<T, m, 2>;
        k.gemm_sparse[m - 1][0] = gemm_sparse_kernel<T, m, 1>;
        k.gemm_sparse[m - 1][1] = gemm_sparse_kernel<T, m, 2>;
        k.outer_tile[m - 1][0] = outer_tile_kernel<T, m, 1>;
        k.outer_tile[m - 1][1] = outer_tile_kernel<T, m, 2>;
        k.outer_sgd[m - 1][0] = outer_sgd_kernel<T, m, 1>;
        k.outer_sgd[m - 1][1] = outer_sgd_kernel<T, m, 2>;
        k.outer_adam[m - 1][0] = outer_adam_kernel<T, m, 1>;
        k.outer_adam[m - 1][1] = outer_adam_kernel<T, m, 2>;
        fill_tiles<T, m - 1>(k);
    }
}

template <class T, Activation kind> constexpr void fill_activation(Kernels<T>& k) {
    k.activate[static_cast<int>(kind)] = activate_kernel<T, kind>;
    k.activation_gradient[static_cast<int>(kind)] = activation_gradient_kernel<T, kind>;
}

template <class T, UpdateKind kind> constexpr void fill_update(Kernels<T>& k) {
    k.update[static_cast<int>(kind)] = update_kernel<T, kind>;
}

template <class T> constexpr Kernels<T> all_kernels() {
    Kernels<T> k{};
    k.lanes = Vec<T>::lanes;
    k.row_tile = row_tile;
    fill_tiles<T, row_tile>(k);
    k.gemm_row = gemm_row_kernel<T>;
    fill_activation<T, Activation::identity>(k);
    fill_activation<T, Activation::relu>(k);
    fill_activation<T, Activation::tanh>(k);
    fill_activation<T, Activation::logistic>(k);
    fill_activation<T, Activation::exponential>(k);
    k.softmax = softmax_kernel<T>;
    k.softmax_cross_entropy = softmax_cross_entropy_kernel<T>;
    k.squared_error = squared_error_kernel<T>;
    k.binary_cross_entropy = binary_cross_entropy_kernel<T>;
    k.poisson = poisson_kernel<T>;
    k.column_sums = column_sums_kernel<T>;
    k.add = add_kernel<T>;
    k.adam_tile = adam_tile_kernel<T>;
    fill_update<T, UpdateKind::sgd>(k);
    fill_update<T, UpdateKind::momentum>(k);
    fill_update<T, UpdateKind::adam>(k);
    k.norms = norms_kernel<T>;
    k.convert[static_cast<int>(InputKind::uint8)] = convert_kernel<T, std::uint8_t>;
    k.convert[static_cast<int>(InputKind::float32)] = convert_kernel<T, float>;
    k.convert[static_cast<int>(InputKind::float64)] = convert_kernel<T, double>;
    k.compress = compress_kernel<T>;
    k.finite = finite_kernel<T>;
    k.transpose = transpose_kernel<T>;
    k.fma_rounds = fma_rounds_kernel<T>;
    return k;
}

#define FASTMLP_NAME_OF(x) FASTMLP_TEXT_OF(x)
#define FASTMLP_TEXT_OF(x) #x

extern const KernelTable table;  // a namespace's const needs this to be visible to dispatch.cpp
constexpr KernelTable table{FASTMLP_NAME_OF(FASTMLP_ISA), all_kernels<float>(), all_kernels<double>()};

}  // namespace fastmlp::FASTMLP_ISA
