// Chooses the instruction set: the best that the processor has, or the one that FASTMLP_ISA names.
#pragma once

#include <string>
#include <vector>

#include "kernel_table.h"

namespace fastmlp {

// The tables of this binary that this processor can run, slowest first ("generic" always).
const std::vector<const KernelTable*>& available_tables();

// The table that new networks use. Throws std::invalid_argument if FASTMLP_ISA names none of the available.
const KernelTable& current_table();

// Changes it for the whole process (tests compare the instruction sets of one machine).
void use_table(const std::string& isa);

// Of a table's instruction set, or of its extension that multiplies bfloat16 in this order, where the processor has that.
const Bfloat16Kernels& bfloat16_kernels(const KernelTable& table, PairOrder order);
// At the end of a thread's work with kernels: releases what they keep in the processor from one product to the next.
void end_products();
// For tests: whether these extensions are left out.
void emulate_bfloat16(bool emulates);

// Properties are equal in all tables.
inline ActivationProperties properties_of(Activation kind) {
    return available_tables().front()->activations[static_cast<int>(kind)];
}
inline LossProperties properties_of(Loss kind) { return available_tables().front()->losses[static_cast<int>(kind)]; }
inline UpdateProperties properties_of(UpdateKind kind) {
    return available_tables().front()->updates[static_cast<int>(kind)];
}

template <class T> const Kernels<T>& kernels_of(const KernelTable& table);
template <> inline const Kernels<float>& kernels_of<float>(const KernelTable& table) { return table.float32; }
template <> inline const Kernels<double>& kernels_of<double>(const KernelTable& table) { return table.float64; }

}  // namespace fastmlp
