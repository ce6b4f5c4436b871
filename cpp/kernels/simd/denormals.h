// Denormal numbers, on which x86 processors spend over a hundred cycles each. Training makes them by the thousand: the
// moments of a unit that gets no gradient, and weights that decay, shrink to them and stay there.
//
// The other settings of the arithmetic are the default ones, whatever the caller's are: a thread of a team begins with
// those that its caller had when the team was made, and results must not depend on that.
#pragma once

#ifdef __SSE__
#include <immintrin.h>
#endif

namespace fastmlp {

// While one lives, this thread's arithmetic takes denormal operands for zeros, makes zeros of denormal results, and
// rounds to the nearest. On other processors it changes nothing.
class FlushedDenormals {
public:
#ifdef __SSE__
    FlushedDenormals() : before_(_mm_getcsr()) { _mm_setcsr(settings); }
    ~FlushedDenormals() { _mm_setcsr(before_); }

private:
    static constexpr unsigned settings = 0x1f80 | 0x8040;  // the default ones, and both kinds of denormals
    const unsigned before_;
#else
    FlushedDenormals() {}
#endif
    FlushedDenormals(const FlushedDenormals&) = delete;
};

}  // namespace fastmlp
