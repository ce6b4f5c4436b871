// What it costs a core to store to cache lines that other cores have read, and to read lines that another has written.
// Prints nanoseconds a line, medians. Usage: shared_lines <threads>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

constexpr int lines = 392, per_line = 16, rounds = 400;  // the lines of 8 rows of 784 floats
enum Mode { nobody_reads, plain_stores, prefetched_for_writing, read_what_another_wrote, mode_count };
const char* const names[] = {"stores to lines that no other core reads", "stores to lines that all others have read",
                             "the same stores, each line prefetched for writing before",
                             "loads of lines that another core has written"};

std::atomic<int> arrived{0};
std::atomic<unsigned> passed{0};

void wait_for_all(int threads) {
    const unsigned round = passed.load();
    if (arrived.fetch_add(1) + 1 == threads) {
        arrived = 0;
        passed = round + 1;
    }
    while (passed.load() == round) {
    }
}

float sum_of(const float* memory) {
    float sum = 0;
    for (int i = 0; i < lines; ++i) sum += memory[i * per_line];
    return sum;
}

void store(float* memory, float value, bool prefetches) {
    for (int i = 0; i < lines; ++i) {
        if (prefetches) __builtin_prefetch(memory + (i + 16) * per_line, 1);
        for (int j = 0; j < per_line; ++j) memory[i * per_line + j] = value;
    }
}

int main(int count, char** arguments) {
    const int threads = count > 1 ? std::max(2, std::atoi(arguments[1])) : 2;
    std::vector<float> memory((lines + 16) * per_line);
    std::vector<double> seconds[mode_count];
    static volatile float sink [[maybe_unused]];
    const auto run = [&](int thread) {
        for (int mode = 0; mode < mode_count; ++mode)
            for (int round = 0; round < rounds; ++round) {
                const bool reads = mode == read_what_another_wrote;
                wait_for_all(threads);
                if (reads && thread == threads - 1) store(memory.data(), static_cast<float>(round), false);
                if (!reads && thread != 0 && mode != nobody_reads) sink = sum_of(memory.data());
                wait_for_all(threads);
                if (thread != 0) continue;
                const auto begin = std::chrono::steady_clock::now();
                if (reads)
                    sink = sum_of(memory.data());
                else
                    store(memory.data(), static_cast<float>(round), mode == prefetched_for_writing);
                std::atomic_thread_fence(std::memory_order_seq_cst);
                seconds[mode].push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
            }
    };
    std::vector<std::thread> team;
    for (int i = 1; i < threads; ++i) team.emplace_back(run, i);
    run(0);
    for (std::thread& thread : team) thread.join();
    for (int mode = 0; mode < mode_count; ++mode) {
        std::sort(seconds[mode].begin(), seconds[mode].end());
        std::printf("%d threads, %s: %.1f ns a line\n", threads, names[mode], 1e9 * seconds[mode][rounds / 2] / lines);
    }
}
