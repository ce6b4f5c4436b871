// Settings of an activation or a loss, as Python passes them.
#pragma once

#include <utility>

#include "../nn/loss.h"
#include "numpy_views.h"

namespace fastmlp {

template <class T, class Kind> PartSettings<T> settings_of(Kind kind, const std::vector<double>& given) {
    PartSettings<T> settings;
    require(static_cast<int>(given.size()) == properties_of(kind).setting_count, "wrong number of settings");
    for (std::size_t i = 0; i < given.size(); ++i) settings.value[i] = static_cast<T>(given[i]);
    return settings;
}

// A loss for so many outputs. Where it takes levels, there may be several: those of one target after the other.
template <class T>
LossFunction<T> loss_function(Loss kind, const std::vector<double>& given, int64_t outputs, bool clipped) {
    if (!properties_of(kind).takes_levels || given.size() < 2) return {kind, settings_of<T>(kind, given), clipped, {}};
    const auto count = static_cast<int64_t>(given.size());
    require(outputs % count == 0, "the outputs must be a multiple of the levels");
    std::vector<T> levels(static_cast<std::size_t>(round_up(outputs, alignment_bytes)));  // whole vectors of any type
    for (int64_t j = 0; j < outputs; ++j)
        levels[static_cast<std::size_t>(j)] = static_cast<T>(given[static_cast<std::size_t>(j % count)]);
    return {kind, settings_of<T>(kind, {given[0]}), clipped, std::move(levels)};
}

}  // namespace fastmlp
