// Picks the table of kernels at run time.
#include "dispatch.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#if defined(FASTMLP_AMX) || defined(_MSC_VER)
#include <cpuid.h>
#endif
#ifdef FASTMLP_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace fastmlp {

namespace generic {
extern const KernelTable table;
extern const Bfloat16Kernels bfloat16[];
}
#ifdef FASTMLP_X86
namespace avx2 {
extern const KernelTable table;
extern const Bfloat16Kernels bfloat16[];
}
namespace avx512 {
extern const KernelTable table;
extern const Bfloat16Kernels bfloat16[];
}
#ifdef FASTMLP_AVX512BF16
namespace avx512bf16 {
extern const Bfloat16Kernels bfloat16[];
}
#endif
#ifdef FASTMLP_AMX
namespace amx {
extern const Bfloat16Kernels products;  // without what rounds
void release_tiles();
}
#endif
#elif defined(FASTMLP_AARCH64)
namespace neon {
extern const KernelTable table;
extern const Bfloat16Kernels bfloat16[];
}
#endif

#ifdef FASTMLP_X86
namespace {

struct Features {
    bool avx2, avx512;  // with multiply-adds; with its parts f, bw, dq and vl
};

#ifdef _MSC_VER
// clang-cl does not link the library of __builtin_cpu_supports.
Features find_features() {
    unsigned a, b, c, d, first_c;
    if (!__get_cpuid(1, &a, &b, &first_c, &d)) return {};
    const bool fma = first_c >> 12 & 1, has_xgetbv = first_c >> 27 & 1;
    if (!has_xgetbv || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return {};
    unsigned saved, high;  // which registers the system saves
    asm volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    constexpr unsigned ymm = 0x6, zmm = 0xe6;
    constexpr unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // f, dq, bw, vl
    const bool avx2 = fma && (b >> 5 & 1) && (saved & ymm) == ymm;
    return {avx2, avx2 && (b & avx512) == avx512 && (saved & zmm) == zmm};
}
#else
Features find_features() {
    return {__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"),
            __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")};
}
#endif

}  // namespace
#endif

const std::vector<const KernelTable*>& available_tables() {
    static const std::vector<const KernelTable*> tables = [] {
        std::vector<const KernelTable*> found{&generic::table};
#ifdef FASTMLP_X86
        const Features features = find_features();
        if (features.avx2) found.push_back(&avx2::table);
#ifdef FASTMLP_EMULATE_AVX512  // it runs AVX2's instructions
        if (features.avx2) found.push_back(&avx512::table);
#else
        if (features.avx512) found.push_back(&avx512::table);
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

#ifdef FASTMLP_AMX
// Whether the processor has AMX with bfloat16, and the system lets this process use its registers.
bool has_amx() {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d >> 22 & 1) == 0 || (d >> 24 & 1) == 0) return false;
    constexpr int request_permission = 0x1023, tile_data = 18;  // of arch_prctl, since Linux 5.16
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

// The processor's own, where it has them.
const Bfloat16Kernels& rounding_kernels() {
#ifdef FASTMLP_AVX512BF16
    if (__builtin_cpu_supports("avx512bf16")) return avx512bf16::bfloat16[0];
#endif
    return avx512::bfloat16[0];
}

const Bfloat16Kernels& amx_kernels() {
    static const Bfloat16Kernels kernels = [] {
        Bfloat16Kernels k = amx::products;
        const Bfloat16Kernels& others = rounding_kernels();
        k.round = others.round;
        k.pair_columns = others.pair_columns;
        k.pair_rows = others.pair_rows;
        return k;
    }();
    return kernels;
}
#endif

}  // namespace

void end_products() {
#ifdef FASTMLP_AMX
    amx::release_tiles();
#endif
}

void emulate_bfloat16(bool emulates) { emulates_bfloat16.store(emulates); }

const Bfloat16Kernels& bfloat16_kernels([[maybe_unused]] const KernelTable& table, PairOrder order) {
    const int i = static_cast<int>(order);
#ifdef FASTMLP_X86
    [[maybe_unused]] const bool may_extend =
        &table == &avx512::table && !emulates_bfloat16.load(std::memory_order_relaxed);
#ifdef FASTMLP_AVX512BF16
    static const bool has_extension = __builtin_cpu_supports("avx512bf16");
    if (order == PairOrder::chain && may_extend && has_extension) return avx512bf16::bfloat16[i];
#endif
#ifdef FASTMLP_AMX
    static const bool has_tiles = has_amx();
    if (order == PairOrder::blocks && may_extend && has_tiles) return amx_kernels();
#endif
    if (&table == &avx512::table) return avx512::bfloat16[i];
    if (&table == &avx2::table) return avx2::bfloat16[i];
#elif defined(FASTMLP_AARCH64)
    if (&table == &neon::table) return neon::bfloat16[i];
#endif
    return generic::bfloat16[i];
}

}  // namespace fastmlp
