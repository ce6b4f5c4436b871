// One SIMD vector Vec<float> or Vec<double>, for the instruction set that this file is compiled for.
//
// Compiled once per instruction set, each time inside a namespace of its own (FASTMLP_ISA): an inline
// function built with AVX-512 flags must never be the copy that the linker keeps for all.
// Every operation acts lane by lane, so that an element's result never depends on its lane. Details:
//   fma(a, b, c)           a * b + c, rounded once, but on generic
//   max(a, b), min(a, b)     b if either is NaN, or if both are zeros
//   select_less(a, b, y, n)  y where a < b, else n; n if either is NaN
//   round(a)                 to the nearest integer, ties to even, for |a| below half the mantissa's range
//   compress_store(p, bits)  the lanes whose bit is set, one after another; the rest of a whole vector is overwritten
//   interleave_low, _high    a0 b0 a1 b1 ... of the lower and of the upper halves
//   power_of_two(n)          2^n for an integer n of a normal number's exponent: n + bias moved into the exponent's
//   bits
// Pairs holds two bfloat16 in each 32 bits: low() and high() are their values in float. add_products(a, b, c), where the
// processor has it, is fma_to_zero(a.low(), b.low(), fma_to_zero(a.high(), b.high(), c)). fma_to_zero, while denormals
// are flushed (denormals.h), is rounded once on every processor, and denormal results are zero. Where the processor
// multiplies pairs, of() and of_neighbours() round to them.
// Beside them, each file sets row_tile, the height of the register tiles of gemm_kernel.h.
#pragma once

#ifndef FASTMLP_ISA
#error "FASTMLP_ISA names the namespace of the instruction set that this file is compiled for"
#endif

#if defined(FASTMLP_ISA_AVX512)
#include "avx512.h"
#elif defined(FASTMLP_ISA_AVX2)
#include "avx2.h"
#elif defined(FASTMLP_ISA_NEON)
#include "neon.h"
#else
#include "generic.h"
#endif

// Unrolls a loop over the vectors of a tile: without it GCC keeps some of the smaller accumulator arrays in memory,
// 80 instead of 200 GFLOP/s.
#define FOR_UNROLLED(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); ++i)
