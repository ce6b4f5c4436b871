// Sums of |w| and of w^2 over arrays in the layout of the layers' parameters, and the clipping of gradients by them.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "dense.h"

namespace fastmlp {

// What scales a gradient of this norm to a norm of at most max_norm. NaN, with which a fit diverges, if the norm overflows:
// a factor of 0 would leave all parameters as they are.
template <class T> T clipping_factor(double norm, double max_norm) noexcept {
    if (norm <= max_norm) return 1;
    return std::isinf(norm) ? std::numeric_limits<T>::quiet_NaN() : static_cast<T>(max_norm / norm);
}

// Summed panel by panel, and then in the order of the panels, so that they do not depend on the number of workers.
template <class T> class Norms {
public:
    void reserve(const std::vector<DenseLayer<T>>& layers) {
        int64_t parts = 0;
        for (const auto& layer : layers) parts += layer.shape().panels() + 1;  // and the biases
        sums_.resize(static_cast<std::size_t>(2 * parts));
    }

    // This worker's part. arrays_of(i) are those of layer i; its biases do not count if they are null.
    template <class F>
    void measure(const Worker& worker, const Kernels<T>& kernels, const std::vector<DenseLayer<T>>& layers,
                 F arrays_of) noexcept {
        double* sums = sums_.data();
        for (std::size_t i = 0; i < layers.size(); ++i) {
            const PanelShape& shape = layers[i].shape();
            const LayerArrays<const T> arrays = arrays_of(i);
            const Range mine = worker.share(shape.panels() + 1);
            for (int64_t panel = mine.begin; panel < mine.end; ++panel) {
                std::fill_n(sums + 2 * panel, 2, 0.0);
                if (panel < shape.panels())
                    kernels.norms(arrays.weights + shape.offset_of(panel), shape.rows * shape.width_of(panel),
                                  sums + 2 * panel);
                else if (arrays.biases)
                    kernels.norms(arrays.biases, shape.padded_columns(), sums + 2 * panel);
            }
            sums += 2 * (shape.panels() + 1);
        }
    }
    // Once all workers have measured their parts.
    double absolute() const noexcept { return total(0); }
    double squares() const noexcept { return total(1); }

private:
    double total(std::size_t first) const noexcept {
        double total = 0;
        for (std::size_t i = first; i < sums_.size(); i += 2) total += sums_[i];
        return total;
    }
    std::vector<double> sums_;
};

}  // namespace fastmlp
