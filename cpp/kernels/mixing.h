// A mixing function for the keys of random bits.
#pragma once

#include <cstdint>

namespace fastmlp {

// That of SplitMix64 (Steele, Lea and Flood 2014). Always inline: a copy compiled for one instruction set must not be
// linked into code for all.
[[gnu::always_inline]] inline std::uint64_t mixed(std::uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

}  // namespace fastmlp
