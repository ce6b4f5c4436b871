// Fills the table of the instruction set that this file is compiled for; see add_kernels in CMakeLists.txt.
#include "activations.h"
#include "dropout.h"
#include "gemm_kernel.h"
#include "losses.h"
#include "periodic.h"
#include "row_kernels.h"
#include "scaling.h"
#include "updates.h"

namespace fastmlp::FASTMLP_ISA {

template <auto kind> struct Constant {
    static constexpr auto value = kind;
    static constexpr int index = static_cast<int>(kind);
};

// Calls f with each kind of an enum, as a Constant.
template <class Kind, int i = 0, class F> constexpr void for_each_kind(F f) {
    if constexpr (i < count_of<Kind>) {
        f(Constant<static_cast<Kind>(i)>{});
        for_each_kind<Kind, i + 1>(f);
    }
}

template <class T, int m, int vectors> constexpr void fill_tile(Kernels<T>& k) {
    constexpr int i = m - 1, j = vectors - 1;
    k.gemm_tile[i][j] = gemm_tile_kernel<T, m, vectors>;
    k.gemm_short[i][j] = gemm_short_kernel<T, m, vectors>;
    k.gemm_sparse[i][j] = gemm_sparse_kernel<T, m, vectors>;
    k.outer_tile[i][j] = outer_tile_kernel<T, m, vectors>;
    for_each_kind<UpdateKind>([&](auto kind) {
        using U = UpdateOf<T, kind.value>;
        if constexpr (U::state_count == 0)
            k.outer_update[kind.index][i][j] = outer_update_kernel<T, m, vectors, kind.value>;
        if constexpr (U::overlaps_with_product)
            k.outer_overlap[kind.index][i][j] = outer_overlap_kernel<T, m, vectors, kind.value>;
    });
}

template <class T, int m> constexpr void fill_tiles(Kernels<T>& k) {
    if constexpr (m >= 1) {
        if constexpr (Vec<T>::lanes >= least_narrow_lanes) k.gemm_narrow[m - 1] = gemm_narrow_kernel<T, m>;
        fill_tile<T, m, 1>(k);
        fill_tile<T, m, 2>(k);
        fill_tiles<T, m - 1>(k);
    }
}

template <class T> constexpr Kernels<T> all_kernels() {
    Kernels<T> k{};
    k.lanes = Vec<T>::lanes;
    k.row_tile = row_tile;
    fill_tiles<T, row_tile>(k);
    k.gemm_row = gemm_row_kernel<T>;
    for_each_kind<Activation>([&](auto kind) {
        k.activate[kind.index] = activate_kernel<T, kind.value>;
        k.activation_gradient[kind.index] = activation_gradient_kernel<T, kind.value>;
        k.mix_activation[kind.index] = mix_activation_kernel<T, kind.value>;
    });
    for_each_kind<Loss>([&](auto kind) {
        k.loss[kind.index] = loss_kernel<T, kind.value>;
        k.predict[kind.index] = predict_kernel<T, kind.value>;
    });
    for_each_kind<UpdateKind>([&](auto kind) {
        k.update[kind.index] = update_kernel<T, kind.value>;
        k.update_tile[kind.index] = update_tile_kernel<T, kind.value>;
    });
    for_each_kind<InputKind>([&](auto kind) {
        k.convert[kind.index] = convert_kernel<T, kind.value>;
        k.standardize[kind.index] = standardize_kernel<T, kind.value>;
    });
    k.mix_gradient = mix_gradient_kernel<T>;
    k.scale_columns = scale_columns_kernel<T>;
    k.scale_columns_gradient = scale_columns_gradient_kernel<T>;
    k.periodic = periodic_kernel<T>;
    k.periodic_gradient = periodic_gradient_kernel<T>;
    k.dropout = dropout_kernel<T>;
    k.column_sums = column_sums_kernel<T>;
    k.pack_columns = pack_columns_kernel<T>;
    k.add = add_kernel<T>;
    k.add_rows = add_rows_kernel<T>;
    k.norms = norms_kernel<T>;
    k.compress = compress_kernel<T>;
    k.finite = finite_kernel<T>;
    k.transpose = transpose_kernel<T>;
    k.fma_rounds = fma_rounds_kernel<T>;
    return k;
}

#define FASTMLP_NAME_OF(x) FASTMLP_TEXT_OF(x)
#define FASTMLP_TEXT_OF(x) #x

extern const KernelTable table;  // a namespace's const needs this to be visible to dispatch.cpp
constexpr KernelTable table = [] {
    KernelTable t{FASTMLP_NAME_OF(FASTMLP_ISA), {}, {}, {}, all_kernels<float>(), all_kernels<double>()};
    for_each_kind<Activation>([&](auto kind) {
        using A = ActivationOf<float, kind.value>;
        t.activations[kind.index] = {A::setting_count, A::keeps_derivative};
    });
    for_each_kind<Loss>([&](auto kind) {
        using L = LossOf<float, kind.value>;
        t.losses[kind.index] = {L::uses_labels, L::takes_levels, L::setting_count};
    });
    for_each_kind<UpdateKind>([&](auto kind) {
        using U = UpdateOf<float, kind.value>;
        t.updates[kind.index] = {U::state_count, U::moves_without_gradient, U::overlaps_with_product,
                                 U::schedules_momentum, U::corrects_bias};
    });
    return t;
}();

}  // namespace fastmlp::FASTMLP_ISA
