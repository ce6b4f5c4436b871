/* AVX-512's intrinsics in plain vector code, by SIMDe (Debian: libsimde-dev): tests of its kernels on any x86-64.
   With the CMake option FASTMLP_EMULATE_AVX512 this file stands before the compiler's own of the same name. */
#ifndef FASTMLP_EMULATED_IMMINTRIN
#define FASTMLP_EMULATED_IMMINTRIN
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>
#else
#include_next <immintrin.h>
#endif
