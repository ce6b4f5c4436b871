// The table of one instruction set: its name, its tile sizes and its serial routines.
//
// The layers above use SIMD through such a table only.
#pragma once

#include <cstdint>

#include "parts.h"

namespace fastmlp {

using std::int64_t;

inline constexpr int max_row_tile = 14;     // the tallest register tile of any instruction set
inline constexpr int max_pair_tile = 32;    // the same of pairs of bfloat16
inline constexpr int panel_vectors = 2;     // a panel is two vectors wide
inline constexpr int row_panels = 4;        // panels that a product of a single row reads together
inline constexpr int alignment_bytes = 64;  // a cache line, and the widest vector

// What one update does to a parameter, with g the gradient of the mean data loss.
template <class T> struct UpdateRule {
    T gradient_rate;   // for nadam: of the gradient itself; learning_rate is that of its running mean
    T learning_rate;   // for adam: corrected for the bias of the running means at this update
    T l1, l2;          // g += l2 * w + l1 * sign(w), with sign(0) = 0
    T soft_threshold;  // then |w| decreases by it, to 0 at least; for adam by it / (sqrt(second moment) + epsilon)
    T momentum;        // velocity = momentum * velocity - learning_rate * g
    bool nesterov;
    T beta_1, one_minus_beta_1;  // of adam; 1 - beta is computed in double: 1 - 0.999f has an error of 1e-5
    T beta_2, one_minus_beta_2;
    T rho, one_minus_rho;  // of rmsprop
    T epsilon;
    T decay;  // for adamw: the factor of the parameters
};

// Memory to prefetch while a tile is computed: `bytes` from each of from[0 .. count) on, with count >= 1.
struct Prefetch {
    static constexpr int max_ranges = 4;
    const char* from[max_ranges] = {""};
    int count = 1;
    int64_t bytes = 0;
};

// The operands of a product over k, and the memory that the kernel prefetches.
template <class T> struct Product {
    int64_t k;
    const T* a;  // (m, k) row-major, or (k, m) in outer products, whose A is its transpose
    int64_t a_stride;
    const T* b;  // (k, vectors * lanes)
    int64_t b_stride;
    const Prefetch& prefetch;
    const std::int32_t* rows_of_b = nullptr;  // (k), in sparse products: kk takes this row of b
    bool continues = false;                   // in products that are no outer products: C += A * B
};

// C (m, vectors * lanes) = A * B; m and vectors are fixed by the position in the table.
template <class T> using GemmTile = void (*)(const Product<T>& product, T* c, int64_t c_stride);

// C (rows, vectors * lanes) = A (rows, k) * B (k, vectors * lanes), B contiguous; k and vectors are fixed by the
// position
template <class T>
using GemmShort = void (*)(int64_t rows, const T* a, int64_t a_stride, const T* b, T* c, int64_t c_stride);

// C (rows, lanes) = A (rows, k) * B (k, lanes), of which n columns are used, n fixed by the position; the others of C
// become zero. rows >= lanes, and A's rows are padded to whole vectors
template <class T>
using GemmNarrow = void (*)(int64_t rows, int64_t k, const T* a, int64_t a_stride, const T* b, T* c, int64_t c_stride);

// C (m, vectors * lanes), contiguous, = Aᵀ * B
template <class T> using OuterTile = void (*)(const Product<T>& product, T* c);

// A tile of a gradient, (rows, vectors * lanes), and its parameters, which begin at `offset` in w and in the states:
// row i of the tile is their row row_index[i], or their row i if `row_index` is null.
template <class T> struct TileUpdate {
    const T* gradient = nullptr;
    int64_t rows = 0, vectors = 0;
    const std::int32_t* row_index = nullptr;
    int64_t offset = 0;
    T *w = nullptr, *state_1 = nullptr, *state_2 = nullptr;
};

// The outer product is the gradient of rows of w (.., vectors * lanes), which are updated while the sums are in
// registers; `row_index` as above. For kinds without state.
template <class T>
using OuterUpdate = void (*)(const Product<T>& product, T* w, const std::int32_t* row_index, const UpdateRule<T>& rule);

// The outer product, computed while the parameters of an earlier tile are updated. For kinds that overlap with the
// product.
template <class T>
using OuterOverlap = void (*)(const Product<T>& product, T* c, const TileUpdate<T>& earlier, const UpdateRule<T>& rule);

// What a loss reads and writes: output values, labels or targets, and losses of some rows.
template <class T> struct LossBatch {
    T* z;                           // (rows, outputs); becomes the gradient times `scale`, its padding zero
    int64_t stride, rows, outputs;  // `outputs` is the true width
    const std::int32_t* labels;     // (rows)
    const T* targets;               // (rows, outputs)
    int64_t target_stride;
    T scale;
    T max_term;             // upper bound of a term of the cross-entropies
    const T* settings;      // of the loss
    const T* levels;        // (outputs), padded, of losses that take them; null: all have that of the settings
    T* loss;                // (rows)
    std::int32_t* correct;  // (rows), of the cross-entropies: whether the prediction is right
};

// Of one number: the parameters of its periodic embedding. weights is (frequency_count, outputs).
template <class T> struct PeriodicEmbedding {
    int64_t frequency_count, outputs;
    const T *frequencies, *phases, *weights, *biases;
};
inline constexpr int max_frequencies = 128, max_embedding_outputs = 64;

// The gradients of these parameters.
template <class T> struct PeriodicGradient {
    T *frequencies, *phases, *weights, *biases;
};

// Arrays over the kinds of a part are indexed by its enum.
// Unless said otherwise, `columns` is a multiple of `lanes`: rows have padding up to it.
template <class T> struct Kernels {
    int lanes;     // elements of one vector
    int row_tile;  // the tallest tile

    GemmTile<T> gemm_tile[max_row_tile][panel_vectors];
    GemmNarrow<T> gemm_narrow[max_row_tile];               // for n up to row_tile; null: gemm_tile is as fast
    GemmShort<T> gemm_short[max_row_tile][panel_vectors];  // for k up to row_tile
    // c (row_panels panels) = a (k) * b, for a single row
    void (*gemm_row)(int64_t k, const T* a, const T* b, int64_t panel_stride, T* c);
    GemmTile<T> gemm_sparse[max_row_tile][panel_vectors];
    OuterTile<T> outer_tile[max_row_tile][panel_vectors];
    OuterUpdate<T> outer_update[count_of<UpdateKind>][max_row_tile][panel_vectors];
    OuterOverlap<T> outer_overlap[count_of<UpdateKind>][max_row_tile][panel_vectors];

    // z (rows, columns) = activation(z + bias), in place; bias may be null. Where the activation keeps its derivative, that
    // goes to `derivative`, of the same stride, unless that is null.
    void (*activate[count_of<Activation>])(T* z, int64_t stride, const T* bias, int64_t rows, int64_t columns,
                                           const T* settings, T* derivative);

    // gradient (rows, columns) *= the derivative, computed from output = activation(z), or where the activation keeps it,
    // `derivative`, which may otherwise be null
    void (*activation_gradient[count_of<Activation>])(T* gradient, int64_t stride, const T* output, const T* derivative,
                                                      int64_t output_stride, int64_t rows, int64_t columns,
                                                      const T* settings);

    // z (rows, columns) = x + share * (activation(x) - x), in place, with x = z + bias. Unless `derivative` is null, the
    // derivative goes there and activation(x) - x to `difference`, both of the stride of z.
    void (*mix_activation[count_of<Activation>])(T* z, int64_t stride, const T* bias, int64_t rows, int64_t columns,
                                                 const T* settings, const T* share, T* derivative, T* difference);
    // gradient (rows, columns) with respect to that output becomes that with respect to z. The column sums of gradient *
    // difference, which are the gradient of `share`, are added to `sums`, row after row
    void (*mix_gradient)(T* gradient, int64_t stride, const T* derivative, const T* difference, int64_t kept_stride,
                         int64_t rows, int64_t columns, T* sums);

    // out (rows, columns) = in (rows, columns) * factors (columns)
    void (*scale_columns)(T* out, int64_t out_stride, const T* in, int64_t in_stride, int64_t rows, int64_t columns,
                          const T* factors);
    // gradient (rows, columns) with respect to `out` becomes that with respect to `in`. The column sums of gradient * in,
    // which are the gradient of `factors`, are added to `products`, and those of the gradient to `sums`, unless that is
    // null; row after row
    void (*scale_columns_gradient)(T* gradient, int64_t stride, const T* in, int64_t in_stride, int64_t rows,
                                   int64_t columns, const T* factors, T* products, T* sums);

    // out (rows, outputs) = the periodic embedding of x (rows), whose elements lie x_stride apart
    void (*periodic)(const PeriodicEmbedding<T>& embedding, const T* x, int64_t x_stride, int64_t rows, T* out,
                     int64_t out_stride);
    // `sums`: workspace of a vector for each parameter
    void (*periodic_gradient)(const PeriodicEmbedding<T>& embedding, const T* x, int64_t x_stride, int64_t rows,
                              const T* gradient, int64_t gradient_stride, const PeriodicGradient<T>& to, T* sums);

    void (*loss[count_of<Loss>])(const LossBatch<T>& batch);

    // out (rows, columns) = in (rows, columns) times 0 or `scale`: 0 with probability threshold / 2^32, by key, row and
    // unit, which is units[j], or first_unit + j if `units` is null; may be in place; any number of columns, and rows
    // padded to whole vectors; `also`, of the stride of `in`, is multiplied in place, unless it is null
    void (*dropout)(T* out, int64_t out_stride, const T* in, int64_t in_stride, int64_t rows, int64_t columns,
                    std::uint64_t key, int64_t first_row, int64_t first_unit, const std::int32_t* units,
                    std::uint32_t threshold, T scale, T* also);

    // z (rows, outputs) becomes what the loss compares with labels or targets; padding is overwritten
    void (*predict[count_of<Loss>])(T* z, int64_t stride, int64_t rows, int64_t outputs);

    // sums (columns) = the sum of x (rows, columns) over its rows, in order
    void (*column_sums)(const T* x, int64_t stride, int64_t rows, int64_t columns, T* sums);

    // out (rows, columns), contiguous, = in (rows, columns), columns <= row_tile; every row but the last may be read a
    // vector beyond its columns
    void (*pack_columns)(T* out, const T* in, int64_t stride, int64_t rows, int64_t columns);

    void (*add)(T* sum, const T* x, int64_t size);  // sum += x

    // c (m, columns) += a (m, k) * B, where kk takes row kk of B, or row rows_of_b[kk] unless that is null; any number of
    // columns, and rows of c padded to whole vectors. An element is one chain of multiply-adds over kk.
    void (*add_rows)(T* c, int64_t c_stride, int64_t m, int64_t columns, int64_t k, const T* a, int64_t a_stride,
                     const T* b, int64_t b_stride, const std::int32_t* rows_of_b);

    // one update of a tile of parameters
    void (*update_tile[count_of<UpdateKind>])(const TileUpdate<T>& tile, const UpdateRule<T>& rule);

    // one update of `size` parameters; state is {velocity} or {first moment, second moment}
    void (*update[count_of<UpdateKind>])(T* w, const T* g, T* state_1, T* state_2, int64_t size,
                                         const UpdateRule<T>& rule);

    // sums[0] += sum |w|, sums[1] += sum w^2; size is a multiple of `lanes`
    void (*norms)(const T* w, int64_t size, double* sums);

    // out (columns) = in (columns) * scale; any number of columns
    void (*convert[count_of<InputKind>])(T* out, const void* in, int64_t columns, T scale);

    // out (count) = (in (count) - mean) * factor, where value j is of column j; or in * factor, of column columns[j], unless
    // that is null; computed in double
    void (*standardize[count_of<InputKind>])(T* out, const void* in, int64_t count, const std::int32_t* columns,
                                             const double* mean, const double* factor);

    // row = those of its columns whose bit is set in `mask`, one after another; the rest of the row is undefined
    void (*compress)(T* row, const std::uint64_t* mask, int64_t columns);

    // whether no element is NaN or infinite; any size
    bool (*finite)(const T* x, int64_t size);

    // out (columns, rows) = the transpose of in (rows, columns); any numbers
    void (*transpose)(T* out, int64_t out_stride, const T* in, int64_t in_stride, int64_t rows, int64_t columns);

    // `rounds` rounds of independent multiply-adds on registers alone; returns the number of multiply-adds
    int64_t (*fma_rounds)(int64_t rounds);
};

// The operands of a product over pairs of bfloat16: the even element of a pair is in the lower 16 bits. Up to a multiple of
// pair_block, pairs of A, and of B unless its rows are chosen, are there, and zero.
struct PairProduct {
    int64_t pairs;
    const std::uint32_t* a;  // (m, pairs) row-major
    int64_t a_stride;
    const std::uint32_t* b;                   // (pairs, vectors * lanes)
    const std::int32_t* rows_of_b = nullptr;  // (pairs), in sparse products: pair kk takes this row of b
};
inline constexpr int pair_block = 16;

// C (m, vectors * lanes of float) = A * B; m and vectors are fixed by the position in the table.
using PairTile = void (*)(const PairProduct& product, float* c, int64_t c_stride);

// Of one instruction set and one order; equal results on all instruction sets.
struct Bfloat16Kernels {
    bool native;   // the processor multiplies bfloat16
    int row_tile;  // the tallest tile
    PairTile tile[max_pair_tile][panel_vectors];
    PairTile sparse[max_pair_tile][panel_vectors];

    // x (rows, columns) becomes the nearest bfloat16, ties to even: denormals become zero, large numbers infinite
    void (*round)(float* x, int64_t stride, int64_t rows, int64_t columns);
    // out (rows, pairs) = x (rows, columns), rounded; the last pair of an odd number of columns is completed by zero
    void (*pair_columns)(const float* x, int64_t stride, int64_t rows, int64_t columns, std::uint32_t* out,
                         int64_t out_stride);
    // out (columns) = a row and the next one, which is zero if null, rounded
    void (*pair_rows)(const float* even, const float* odd, int64_t columns, std::uint32_t* out);
};

struct KernelTable {
    const char* isa;
    ActivationProperties activations[count_of<Activation>];
    LossProperties losses[count_of<Loss>];
    UpdateProperties updates[count_of<UpdateKind>];
    Kernels<float> float32;
    Kernels<double> float64;
};

}  // namespace fastmlp
