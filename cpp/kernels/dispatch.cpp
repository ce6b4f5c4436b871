// Picks the table of kernels at run time.
#include "dispatch.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace fastmlp {

namespace generic {
extern const KernelTable table;
extern const Bfloat16Kernels bfloat16;
}
#ifdef FASTMLP_X86
namespace avx2 {
extern const KernelTable table;
extern const Bfloat16Kernels bfloat16;
}
namespace avx512 {
extern const KernelTable table;
extern const Bfloat16Kernels bfloat16;
}
#ifdef FASTMLP_AVX512BF16
namespace avx512bf16 {
extern const Bfloat16Kernels bfloat16;
}
#endif
#elif defined(FASTMLP_AARCH64)
namespace neon {
extern const KernelTable table;
extern const Bfloat16Kernels bfloat16;
}
#endif

const std::vector<const KernelTable*>& available_tables() {
    static const std::vector<const KernelTable*> tables = [] {
        std::vector<const KernelTable*> found{&generic::table};
#ifdef FASTMLP_X86
        const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
        if (has_avx2) found.push_back(&avx2::table);
#ifdef FASTMLP_EMULATE_AVX512  // it runs AVX2's instructions
        if (has_avx2) found.push_back(&avx512::table);
#else
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
            found.push_back(&avx512::table);
#endif
#elif defined(FASTMLP_AARCH64)
        found.push_back(&neon::table);  // every 64-bit ARM processor has it
#endif
        return found;
    }();
    return tables;
}

namespace {

const KernelTable& table_named(const std::string& isa) {
    std::string names;
    for (const KernelTable* table : available_tables()) {
        if (isa == table->isa) return *table;
        names += (names.empty() ? "" : ", ") + std::string(table->isa);
    }
    throw std::invalid_argument("FASTMLP_ISA must be one of " + names + " on this machine, got '" + isa + "'");
}

std::atomic<const KernelTable*> chosen{nullptr};

}  // namespace

const KernelTable& current_table() {
    if (const KernelTable* table = chosen.load()) return *table;
    const char* wanted = std::getenv("FASTMLP_ISA");
    const KernelTable& table = wanted && *wanted ? table_named(wanted) : *available_tables().back();
    chosen.store(&table);
    return table;
}

void use_table(const std::string& isa) { chosen.store(&table_named(isa)); }

namespace {
std::atomic<bool> emulates_bfloat16{false};
}

void emulate_bfloat16(bool emulates) { emulates_bfloat16.store(emulates); }

const Bfloat16Kernels& bfloat16_kernels(const KernelTable& table) {
#ifdef FASTMLP_X86
#ifdef FASTMLP_AVX512BF16
    static const bool has_extension = __builtin_cpu_supports("avx512bf16");
    if (&table == &avx512::table && has_extension && !emulates_bfloat16.load(std::memory_order_relaxed))
        return avx512bf16::bfloat16;
#endif
    if (&table == &avx512::table) return avx512::bfloat16;
    if (&table == &avx2::table) return avx2::bfloat16;
#elif defined(FASTMLP_AARCH64)
    if (&table == &neon::table) return neon::bfloat16;
#endif
    return generic::bfloat16;
}

}  // namespace fastmlp
