// Settings of an activation or a loss, as Python passes them.
#pragma once

#include "../kernels/dispatch.h"
#include "numpy_views.h"

namespace fastmlp {

template <class T, class Kind> PartSettings<T> settings_of(Kind kind, const std::vector<double>& given) {
    PartSettings<T> settings;
    require(static_cast<int>(given.size()) == properties_of(kind).setting_count, "wrong number of settings");
    for (std::size_t i = 0; i < given.size(); ++i) settings.value[i] = static_cast<T>(given[i]);
    return settings;
}

}  // namespace fastmlp
