// Memory for the exception that says that there is none.
//
// libstdc++ keeps the exceptions under way in thread-local memory. The C library allocates it when a thread first
// throws, and ends the process if it cannot: a std::bad_alloc could not be thrown where it is needed. So the handler of
// failed allocations, which is one for the process, gives that memory back from a reserve before it throws.
#include "register.h"

#ifndef _WIN32
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <exception>
#include <new>

namespace fastmlp {

namespace {

// glibc takes memory for a thread without an arena of its own from the system alone, for others from the first arena.
struct Reserve {
    static constexpr std::size_t page_bytes = 4096;
    static constexpr std::size_t block_bytes = 2048;  // more than glibc keeps for the thread that frees it

    void take() {
        void* const memory = mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        page = memory == MAP_FAILED ? nullptr : memory;
        block = std::malloc(block_bytes);
    }
    bool give_back() {  // false if it has nothing
        void *const memory = page.exchange(nullptr), *const allocated = block.exchange(nullptr);
        if (memory) munmap(memory, page_bytes);
        std::free(allocated);
        return memory && allocated;
    }

    std::atomic<void*> page{nullptr}, block{nullptr};
};

Reserve reserves[32];  // as many threads may throw for the first time at once
std::new_handler earlier = nullptr;

void make_exception_possible() {
    for (Reserve& reserve : reserves)
        if (reserve.give_back()) {
            [[maybe_unused]] const volatile int under_way = std::uncaught_exceptions();  // allocates this thread's part
            reserve.take();
            break;
        }
    if (!earlier) throw std::bad_alloc();
    earlier();  // if it returns, the allocation is tried again
}

}  // namespace

void register_memory_reserve() {
    for (Reserve& reserve : reserves) reserve.take();
    earlier = std::set_new_handler(make_exception_possible);
}

}  // namespace fastmlp

#else

void fastmlp::register_memory_reserve() {}

#endif
