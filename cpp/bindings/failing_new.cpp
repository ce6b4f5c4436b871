// Only in builds with FASTMLP_FAIL_ALLOCATIONS: an operator new whose n-th call fails, for tests.
//
// Only the core's own are counted: buffers, which are aligned, and all allocations during a native call. Those of
// pybind11 are not, because it frees an object twice if it cannot register it.
#include "failing_new.h"

#include "gil.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace fastmlp {

static std::atomic<long> until_failure{0};  // 0: none fails
static std::atomic<long> buffers{0};

void fail_allocation(long n) { until_failure = n; }
bool allocation_failed() { return until_failure <= 0; }
long living_buffers() { return buffers; }

static void* allocate(std::size_t size, std::size_t alignment) {
    const bool counted = alignment > 0 || ReleasedGil::is_in_call();
    if (counted && until_failure > 0 && --until_failure == 0) throw std::bad_alloc();
    void* memory = alignment ? std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment)
                            : std::malloc(size ? size : 1);
    if (!memory) throw std::bad_alloc();
    if (alignment) ++buffers;
    return memory;
}

static void free_buffer(void* p) noexcept {
    if (p) --buffers;
    std::free(p);
}

}  // namespace fastmlp

void* operator new(std::size_t size) { return fastmlp::allocate(size, 0); }
void* operator new[](std::size_t size) { return fastmlp::allocate(size, 0); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    return fastmlp::allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { fastmlp::free_buffer(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { fastmlp::free_buffer(p); }
