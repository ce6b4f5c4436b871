// The table of one instruction set: its name, its tile sizes and its serial routines.
// Everything above this floor reaches SIMD through such a table and knows nothing else about the processor.
#pragma once

#include <cstdint>

namespace fastmlp {

enum class Activation { identity, relu, tanh, logistic, exponential, count };
enum class UpdateKind { sgd, momentum, adam, count };
enum class InputKind { uint8, float32, float64, count };

// How many kinds an enum has.
template <class Kind> inline constexpr int count_of = static_cast<int>(Kind::count);

inline constexpr int max_row_tile = 14;     // the tallest register tile of any instruction set
inline constexpr int panel_vectors = 2;     // a panel is two vectors wide
inline constexpr int row_panels = 4;        // panels that a product of a single row passes over together
inline constexpr int alignment_bytes = 64;  // a cache line, and the widest vector

// What one update does to a parameter, with g the gradient of the mean data loss.
template <class T> struct UpdateRule {
    T learning_rate;   // for adam: corrected for the bias of the running means at this update
    T l1, l2;          // g += l2 * w + l1 * sign(w), with sign(0) = 0
    T soft_threshold;  // afterwards |w| falls by it, not below 0; for adam by it / (sqrt(second moment) + epsilon)
    T momentum;        // velocity = momentum * velocity - learning_rate * g
    bool nesterov;
    T beta_1, one_minus_beta_1;  // of adam; 1 - beta is computed in double: 1 - 0.999f has an error of 1e-5
    T beta_2, one_minus_beta_2;
    T epsilon;
};

// Memory to bring near while a tile is computed: `bytes` from each of from[0 .. count) on, with count >= 1.
struct Prefetch {
    static constexpr int max_ranges = 4;
    const char* from[max_ranges] = {""};
    int count = 1;
    std::int64_t bytes = 0;
};

// C (m, vectors * lanes) = A (m, k) * B (k, vectors * lanes); m and vectors are fixed by the place in the table.
template <class T>
using GemmTile = void (*)(std::int64_t k, const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride, T* c,
                          std::int64_t c_stride, const Prefetch& prefetch);

// The same for the transpose of a row-major A (k, m), with C contiguous.
template <class T>
using OuterTile = void (*)(std::int64_t k, const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride, T* c,
                           const Prefetch& prefetch);

// The same with row rows_of_b[kk] of B in step kk.
template <class T>
using GemmSparse = void (*)(std::int64_t k, const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride, T* c,
                            std::int64_t c_stride, const Prefetch& prefetch, const std::int32_t* rows_of_b);

// A tile of a gradient, (rows, vectors * lanes), and the parameters it belongs to: its row i is row row_index[i], or
// row i if `row_index` is null, of what lies at `offset` in w and the states.
template <class T> struct TileUpdate {
    const T* gradient = nullptr;
    std::int64_t rows = 0, vectors = 0;
    const std::int32_t* row_index = nullptr;
    std::int64_t offset = 0;
    T *w = nullptr, *state_1 = nullptr, *state_2 = nullptr;
};

// The outer product as the gradient of rows of w (.., vectors * lanes), to which one step of SGD is applied;
// `row_index` as above.
template <class T>
using OuterSgd = void (*)(std::int64_t k, const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride, T* w,
                          const std::int32_t* row_index, const Prefetch& prefetch, const UpdateRule<T>& rule);

// The outer product; meanwhile Adam updates the parameters of a tile computed earlier.
template <class T>
using OuterAdam = void (*)(std::int64_t k, const T* a, std::int64_t a_stride, const T* b, std::int64_t b_stride, T* c,
                           const Prefetch& prefetch, const TileUpdate<T>& earlier, const UpdateRule<T>& rule);

// Arrays over an activation, an update or an input kind are indexed by its enum.
// Unless said otherwise: `columns` is a multiple of `lanes`, and rows have room up to it.
template <class T> struct Kernels {
    int lanes;     // elements of one vector
    int row_tile;  // the tallest tile

    GemmTile<T> gemm_tile[max_row_tile][panel_vectors];
    void (*gemm_row)(std::int64_t k, const T* a, const T* b, std::int64_t panel_stride,
                     T* c);  // a single row, row_panels panels
    GemmSparse<T> gemm_sparse[max_row_tile][panel_vectors];
    OuterTile<T> outer_tile[max_row_tile][panel_vectors];
    OuterSgd<T> outer_sgd[max_row_tile][panel_vectors];
    OuterAdam<T> outer_adam[max_row_tile][panel_vectors];

    // z (rows, columns) = activation(z + bias), in place; bias may be null
    void (*activate[count_of<Activation>])(T* z, std::int64_t stride, const T* bias, std::int64_t rows,
                                           std::int64_t columns);

    // gradient (rows, columns) *= activation'(output), the derivative written in terms of the output
    void (*activation_gradient[count_of<Activation>])(T* gradient, std::int64_t stride, const T* output,
                                                      std::int64_t output_stride, std::int64_t rows,
                                                      std::int64_t columns);

    // z (rows, outputs) = softmax(z), each row; `outputs` is the true width, padding stays zero
    void (*softmax)(T* z, std::int64_t stride, std::int64_t rows, std::int64_t outputs);

    // z (rows, outputs) = (softmax(z) - one_hot(label)) * scale, padding stays zero;
    // -log softmax(z)[label] of a row is margin + log(sum); correct says whether its first largest column is the label
    void (*softmax_cross_entropy)(T* z, std::int64_t stride, std::int64_t rows, std::int64_t outputs,
                                  const std::int32_t* labels, T scale, T* margin, T* sum, std::int32_t* correct);

    // z (rows, outputs) = (z - target) * scale; loss of a row = 1/2 sum (z - target)^2 over its outputs
    void (*squared_error)(T* z, std::int64_t stride, std::int64_t rows, std::int64_t outputs, const T* targets,
                          std::int64_t target_stride, T scale, T* loss);

    // z (rows, outputs) = (logistic(z) - target) * scale, targets in [0, 1]; loss of a row = the sum over its outputs
    // of -target * log p - (1 - target) * log(1 - p), each term at most `max_term`
    void (*binary_cross_entropy)(T* z, std::int64_t stride, std::int64_t rows, std::int64_t outputs, const T* targets,
                                 std::int64_t target_stride, T scale, T max_term, T* loss);

    // z (rows, outputs) = (e^z - target) * scale; loss of a row = the sum over its outputs of e^z - target * z
    void (*poisson)(T* z, std::int64_t stride, std::int64_t rows, std::int64_t outputs, const T* targets,
                    std::int64_t target_stride, T scale, T* loss);

    // sums (columns) = the sum of x (rows, columns) over its rows, in order
    void (*column_sums)(const T* x, std::int64_t stride, std::int64_t rows, std::int64_t columns, T* sums);

    void (*add)(T* sum, const T* x, std::int64_t size);  // sum += x

    // Adam's update of a tile of parameters
    void (*adam_tile)(const TileUpdate<T>& tile, const UpdateRule<T>& rule);

    // one update of `size` parameters; state is {velocity} or {first moment, second moment}
    void (*update[count_of<UpdateKind>])(T* w, const T* g, T* state_1, T* state_2, std::int64_t size,
                                         const UpdateRule<T>& rule);

    // sums[0] += sum |w|, sums[1] += sum w^2; size is a multiple of `lanes`
    void (*norms)(const T* w, std::int64_t size, double* sums);

    // out (columns) = in (columns) * scale; any number of columns
    void (*convert[count_of<InputKind>])(T* out, const void* in, std::int64_t columns, T scale);

    // row = those of its columns whose bit is set in `mask`, one after another; what follows them means nothing
    void (*compress)(T* row, const std::uint64_t* mask, std::int64_t columns);

    // whether no element is NaN or infinite; any size
    bool (*finite)(const T* x, std::int64_t size);

    // out (columns, rows) = the transpose of in (rows, columns); any numbers
    void (*transpose)(T* out, std::int64_t out_stride, const T* in, std::int64_t in_stride, std::int64_t rows,
                      std::int64_t columns);

    // `rounds` rounds of independent multiply-adds that never leave the registers; returns their number
    std::int64_t (*fma_rounds)(std::int64_t rounds);
};

struct KernelTable {
    const char* isa;
    Kernels<float> float32;
    Kernels<double> float64;
};

}  // namespace fastmlp
