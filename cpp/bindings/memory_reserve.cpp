// Memory for the exception that says that there is none, and for the objects on its way.
//
// libstdc++ keeps the exceptions under way in thread-local memory. The C library allocates it when a thread first
// throws, and ends the process if it cannot. pybind11 frees an object twice where it cannot register it. So where not
// even small allocations succeed, the handler of failed ones, which is one for the process, gives back a reserve and
// lets them try again; large ones fail again, and then throw.
#include "register.h"

#ifndef _WIN32
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <exception>
#include <new>
#include <thread>

namespace fastmlp {

namespace {

// glibc takes memory for a thread without an arena of its own from the system alone, for others from the first arena.
struct Reserve {
    static constexpr std::size_t page_bytes = 4096;
    static constexpr std::size_t block_bytes = 2048;  // more than glibc keeps for the thread that frees it

    void take() {  // what it lacks
        if (!page) {
            void* const memory = mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            void* const lost = page.exchange(memory == MAP_FAILED ? nullptr : memory);
            if (lost) munmap(lost, page_bytes);
        }
        if (!block) std::free(block.exchange(std::malloc(block_bytes)));
    }
    bool give_back() {  // false if it has nothing
        void *const memory = page.exchange(nullptr), *const allocated = block.exchange(nullptr);
        if (memory) munmap(memory, page_bytes);
        std::free(allocated);
        return memory || allocated;
    }

    std::atomic<void*> page{nullptr}, block{nullptr};
};

constexpr int reserve_count = 32;
Reserve reserves[reserve_count];
std::new_handler earlier = nullptr;

bool can_allocate(std::size_t bytes) {
    void* const volatile memory = std::malloc(bytes);  // otherwise the compiler may leave out both calls
    std::free(memory);
    return memory;
}

// A lock: the memory that one thread's handler gives back must not go to another thread's. The wait has an end, because a
// child of fork lacks the thread that holds the lock.
class OneAtATime {
public:
    OneAtATime() {
        for (int turn = 0; turn < 10000 && held_.test_and_set(std::memory_order_acquire); ++turn)
            std::this_thread::yield();
    }
    OneAtATime(const OneAtATime&) = delete;
    ~OneAtATime() { held_.clear(std::memory_order_release); }

private:
    static inline std::atomic_flag held_ = ATOMIC_FLAG_INIT;
};

// Returns whether the allocation is to be tried again.
bool give_back_memory() {
    const OneAtATime turn;
    if (!can_allocate(256))
        for (Reserve& reserve : reserves)
            if (reserve.give_back()) return true;
    // This thread's part of libstdc++'s memory; other threads may take of what is given back, so once more than enough.
    int enough = 0, given = 0;
    for (; given < reserve_count && enough < 2; ++given)
        if (reserves[given].give_back()) enough += can_allocate(256);
    if (enough) [[maybe_unused]] const volatile int under_way = std::uncaught_exceptions();
    const int taken_back = can_allocate(1 << 20) ? reserve_count : given;
    for (int i = 0; i < taken_back; ++i) reserves[i].take();
    return false;
}

void on_failed_allocation() {
    if (give_back_memory()) return;
    if (!earlier) throw std::bad_alloc();
    earlier();  // if it returns, the allocation is tried again
}

}  // namespace

void register_memory_reserve() {
    for (Reserve& reserve : reserves) reserve.take();
    earlier = std::set_new_handler(on_failed_allocation);
}

}  // namespace fastmlp

#else

void fastmlp::register_memory_reserve() {}

#endif
