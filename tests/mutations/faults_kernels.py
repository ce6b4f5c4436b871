"""Faults of the kernels: the vectors of each instruction set, matrix products, elementwise work and updates."""

from faults import Fault

FAULTS = [
    # from the first round, all of which survived then
    Fault("K01", "highest = 88.37f;", "highest = 87.5f;"),  # e^88 becomes inf in float32
    Fault(
        "K02",
        "_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT",
        "_mm512_roundscale_ps(a.v, _MM_FROUND_TO_ZERO",
        isa="avx512",
    ),  # exp, logistic and tanh err by 8 eps
    Fault("K06", "sizeof(T) == 4 ? 7 : 16;", "sizeof(T) == 4 ? 7 : 12;"),  # log1p errs in float64
    Fault("K07", "is_label && sum == sum;", "is_label;"),  # NaN hits
    Fault("K11", "short_sum = 32 * V::lanes;", "short_sum = int64_t{1} << 40;"),  # one long float sum of the penalty
    # AVX-512
    Fault("K12", "_mm512_max_pd(a.v, b.v)", "_mm512_max_pd(b.v, a.v)", isa="avx512"),  # relu and exp swallow NaN
    Fault("K13", "_mm512_min_ps(a.v, b.v)", "_mm512_min_ps(b.v, a.v)", isa="avx512"),  # exp(NaN) is a finite number
    Fault(
        "K14",
        "_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)",
        "_mm512_cmp_ps_mask(a.v, b.v, _CMP_NGE_UQ)",
        isa="avx512",
    ),  # NaN counts as less: exp(NaN) is 0
    Fault("K15", "13, 29, 14, 30, 15, 31", "13, 29, 30, 14, 15, 31", isa="avx512"),  # two elements of a transpose swap
    Fault("K16", "static_cast<__mmask16>(bits), v)", "static_cast<__mmask8>(bits), v)", isa="avx512"),  # half a vector
    # AVX2
    Fault(
        "K17", "_mm256_unpackhi_ps(a.v, b.v), 0x31", "_mm256_unpackhi_ps(a.v, b.v), 0x21", isa="avx2"
    ),  # wrong halves in transposes of float32
    Fault("K18", "_mm256_max_ps(a.v, b.v)", "_mm256_max_ps(b.v, a.v)", isa="avx2"),  # relu and exp swallow NaN
    Fault(
        "K19",
        "_mm256_round_pd(a.v, _MM_FROUND_TO_NEAREST_INT",
        "_mm256_round_pd(a.v, _MM_FROUND_TO_ZERO",
        isa="avx2",
    ),  # exp errs by some 300 eps in float64
    Fault(
        "K20",
        "_mm256_fmadd_ps(a.v, b.v, c.v)",
        "_mm256_add_ps(_mm256_mul_ps(a.v, b.v), c.v)",
        isa="avx2",
    ),  # multiply-adds round twice
    # plain C++
    Fault(
        "K21", "a.v[i] > b.v[i] ? a.v[i] : b.v[i]", "a.v[i] < b.v[i] ? b.v[i] : a.v[i]", isa="generic"
    ),  # relu and exp swallow NaN
    Fault(
        "K22", "a.v[i] < b.v[i] ? yes.v[i] : no.v[i]", "a.v[i] >= b.v[i] ? no.v[i] : yes.v[i]", isa="generic"
    ),  # NaN counts as less
    Fault("K23", "return __builtin_sqrt(x);", "return __builtin_sqrtf(x);", isa="generic"),  # Adam's roots as float32
    # all instruction sets
    Fault("K24", "lowest = -708.3, highest = 709.4;", "lowest = -703.8, highest = 709.4;"),  # e^-705 becomes 0
    Fault("K25", "degree = 13;", "degree = 11;"),  # exp errs by some 30 eps in float64
    Fault("K26", "V::broadcast(20)", "V::broadcast(10)"),  # tanh is 1 too early for float64
    Fault("K27", "if (row[j] > max) max = row[j]", "if (row[j] >= max) max = row[j]"),  # a tie: the last column
    Fault(
        "K28", "min(V::broadcast(batch.max_term), value)", "min(value, V::broadcast(batch.max_term))"
    ),  # a clipped loss hides NaN
    Fault("K29", "sums[kind] += sum;", "sums[kind] = sum;"),  # norms of the last short sum only
    Fault("K30", "sum += x[i] - x[i];", "sum = x[i] - x[i];"),  # the last element decides whether all are finite
    Fault("K31", "(mask[j / 64] >> (j % 64))", "(mask[j / 64] >> (j % 32))"),  # columns from 32 on of each 64
    Fault("K32", "if (bytes > 0 && k > 0)", "if (bytes > 0)"),  # division by zero: no column in a batch
    Fault(
        "K33", "rule.l2 == 0 && rule.soft_threshold == 0", "rule.l2 == 0"
    ),  # SGD in one chunk forgets the proximal step
    Fault(
        "K34",
        "select_less(zero, w, l1, select_less(w, zero, zero - l1, zero))",
        "select_less(zero, w, l1, zero - l1)",
    ),  # the sign of a weight of 0 is -1
    Fault(
        "K35",
        "return Vec<T>::broadcast(rule.soft_threshold) / root(state, rule); } protected:",
        "return Vec<T>::broadcast(rule.soft_threshold); } protected:",
    ),  # Adam
    Fault(
        "K36",
        "sqrt(state[1]) + Vec<T>::broadcast(rule.epsilon)",
        "sqrt(state[1] + Vec<T>::broadcast(rule.epsilon))",
    ),  # epsilon inside the root
    # denormals
    Fault("K37", "settings = 0x1f80 | 0x8040;", "settings = 0x1f80 | 0x40;"),  # denormal results are kept
    Fault("K38", "_mm_setcsr(before_);", ""),  # the caller's own arithmetic is flushed, too
    Fault("K39", "settings = 0x1f80 | 0x8040;", "settings = 0x1f80 | 0x8000;"),  # denormal operands are kept
    Fault("K40", "_mm_setcsr(settings);", "_mm_setcsr(before_ | settings);"),  # the caller's rounding is kept
]
