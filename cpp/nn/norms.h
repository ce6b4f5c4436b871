// Sums of |w| and of w^2 over arrays in the layout of the layers' parameters.
#pragma once

#include <vector>

#include "dense.h"

namespace fastmlp {

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
