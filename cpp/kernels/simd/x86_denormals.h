// Denormal results of x86 processors, which the control register MXCSR turns into zeros.
#pragma once

#include <immintrin.h>

namespace fastmlp::FASTMLP_ISA {

inline unsigned flush_denormals() {
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);
    return before;
}
inline void end_flushing(unsigned before) { _mm_setcsr(before); }

}  // namespace fastmlp::FASTMLP_ISA
