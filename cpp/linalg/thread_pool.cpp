// Pools by calling thread, and the life of their threads.
#include "thread_pool.h"

#include <exception>
#include <functional>
#include <new>

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX  // otherwise min is a macro
#endif
#include <windows.h>
#endif

namespace fastmlp {

const ThreadPool::Job ThreadPool::last_job_{nullptr, nullptr};

#ifdef _WIN32

namespace {

// Windows ends a thread under a lock that its threads need to end, too: a join there would never return. So the pool of
// a thread that has ended is the next new thread's. Its threads sleep until the process ends, and are never destroyed.
class FreePools {
public:
    static FreePools& of_this_process() {
        static FreePools* const pools = new FreePools;
        return *pools;
    }
    ThreadPool* take() {  // null if there is none
        const std::lock_guard<std::mutex> lock(mutex_);
        if (pools_.empty()) return nullptr;
        ThreadPool* const pool = pools_.back();
        pools_.pop_back();
        return pool;
    }
    void put(ThreadPool* pool) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        try {
            pools_.push_back(pool);
        } catch (const std::bad_alloc&) {  // its threads sleep, and are not used again
        }
    }

private:
    std::mutex mutex_;
    std::vector<ThreadPool*> pools_;
};

// Not thread_local: GCC for Windows frees its memory before it runs its destructors.
void WINAPI put_back(void* pool) noexcept {
    if (pool) FreePools::of_this_process().put(static_cast<ThreadPool*>(pool));
}

struct BlockedSignals {
    BlockedSignals() {}  // Windows handles Ctrl-C in a thread of its own
};

}  // namespace

ThreadPool& ThreadPool::mine() {
    static const DWORD key = FlsAlloc(&put_back);
    if (key == FLS_OUT_OF_INDEXES) throw std::bad_alloc();
    if (auto* const pool = static_cast<ThreadPool*>(FlsGetValue(key))) return *pool;
    ThreadPool* pool = FreePools::of_this_process().take();
    if (!pool) pool = new ThreadPool(0);
    if (!FlsSetValue(key, pool)) {
        put_back(pool);
        throw std::bad_alloc();
    }
    return *pool;
}

#else

namespace {

std::atomic<int> forks{0};

// A key instead of thread_local: memory for a thread_local variable, or for its destructor, is allocated when a thread
// first uses it, and the C library ends the process if there is none.
pthread_key_t key_of_pools(void (*end)(void*)) {
    pthread_key_t key;
    if (pthread_key_create(&key, end) != 0) throw std::bad_alloc();
    pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1); });
    return key;
}

// The threads of a pool handle no signals, so that those of the process interrupt the system calls of others.
class BlockedSignals {
public:
    BlockedSignals() {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_;
};

}  // namespace

ThreadPool& ThreadPool::mine() {
    // The pool of a parent stays as it is: its threads are not here, so nothing of it can be ended.
    static const pthread_key_t key = key_of_pools([](void* last) {
        auto* const pool = static_cast<ThreadPool*>(last);
        if (pool->forks_ == forks.load()) delete pool;
    });
    auto* pool = static_cast<ThreadPool*>(pthread_getspecific(key));
    if (pool && pool->forks_ == forks.load(std::memory_order_relaxed)) return *pool;
    std::unique_ptr<ThreadPool> made(new ThreadPool(forks.load()));
    // A thread that the system refuses throws: what an exception needs in this thread is allocated now, or never. The C
    // library ends the process if it cannot, so memory is taken before in a way that throws.
    constexpr std::size_t thread_local_bytes = 2048;  // more than the C library takes
    void* const volatile memory = ::operator new(thread_local_bytes);
    ::operator delete(memory);
    [[maybe_unused]] const volatile int under_way = std::uncaught_exceptions();
    if (pthread_setspecific(key, made.get()) != 0) throw std::bad_alloc();
    return *made.release();
}

#endif

void ThreadPool::Member::keep_off_this_core() noexcept {
#ifdef __linux__
    cpu_set_t cores;
    const int here = sched_getcpu();
    if (here < 0 || sched_getaffinity(0, sizeof cores, &cores) != 0 || CPU_COUNT(&cores) < 2) return;
    CPU_CLR(here, &cores);
    pthread_setaffinity_np(thread.native_handle(), sizeof cores, &cores);
#endif
}

void ThreadPool::start_threads(int count) noexcept {
    const BlockedSignals blocked;
    try {
        while (static_cast<int>(members_.size()) < count) {
            members_.reserve(members_.size() + 1);
            auto member = std::make_unique<Member>();
            const int index = static_cast<int>(members_.size()) + 1;
            member->thread = std::thread(&ThreadPool::work, this, std::ref(*member), index);
            members_.push_back(std::move(member));
        }
    } catch (const std::exception&) {  // the system refuses memory or a thread: there are fewer
    }
}

void ThreadPool::work(Member& member, int index) noexcept {
    for (;;) {
        member.posted.wait_until([&] { return member.job.load() != nullptr; });
        const Job& job = *member.job.load();
        if (&job == &last_job_) return;
        job.call(job.f, index);
        member.job.store(nullptr);
        if (running_.fetch_sub(1) == 1) done_.notify();
    }
}

ThreadPool::~ThreadPool() {
    for (const auto& member : members_) member->post(&last_job_);
    for (const auto& member : members_) member->thread.join();
}

}  // namespace fastmlp
