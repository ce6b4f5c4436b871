// Denormal numbers, on which x86 processors spend over a hundred cycles each. Training makes them by the thousand: the
// moments of a unit that gets no gradient, and weights that decay, shrink to them and stay there.
#pragma once

#ifdef __SSE__
#include <immintrin.h>
#endif

namespace fastmlp {

// While one lives, this thread's arithmetic takes denormal operands for zeros, and makes zeros of denormal results. On
// other processors it changes nothing.
class FlushedDenormals {
public:
#ifdef __SSE__
    FlushedDenormals() : before_(_mm_getcsr()) {
        if (before_ != flushing()) _mm_setcsr(flushing());
    }
    ~FlushedDenormals() {
        if (before_ != flushing()) _mm_setcsr(before_);
    }

private:
    unsigned flushing() const { return before_ | 0x8040; }
    const unsigned before_;
#else
    FlushedDenormals() {}
#endif
    FlushedDenormals(const FlushedDenormals&) = delete;
};

}  // namespace fastmlp
