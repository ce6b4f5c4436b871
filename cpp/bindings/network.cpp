// Networks of both precisions: parameters and their lock, forward and evaluate.
#include "../nn/network.h"
#include "../nn/plain_network.h"

#include <atomic>

#include "bound_dataset.h"
#include "gil.h"
#include "layer_arrays.h"
#include "part_settings.h"
#include "register.h"

namespace fastmlp {

// Non-blocking RAII lock on a network's parameters. Locks of threads that did not survive a fork are ignored.
class ParameterLock {
public:
    explicit ParameterLock(LockOwner& owner) : owner_(&owner) {
        const std::lock_guard<std::mutex> lock(owner.mutex);
        if (is_held(owner))
            throw std::runtime_error("a fit of this network is under way; its parameters cannot be changed by another");
        owner.thread = std::this_thread::get_id();
        owner.forks = ReleasedGil::forks();
        ++owner.version;
    }
    ParameterLock(const ParameterLock&) = delete;
    ~ParameterLock() { release(); }
    void release() {
        LockOwner* const owner = owner_.exchange(nullptr);
        if (!owner) return;
        const std::lock_guard<std::mutex> lock(owner->mutex);
        owner->thread = {};
        ++owner->version;
    }
    static bool is_elsewhere(LockOwner& owner) {
        const std::lock_guard<std::mutex> lock(owner.mutex);
        return is_held(owner) && owner.thread != std::this_thread::get_id();
    }

private:
    static bool is_held(const LockOwner& owner) {
        return owner.thread != std::thread::id() && ReleasedGil::is_here(owner.thread, owner.forks);
    }
    std::atomic<LockOwner*> owner_;
};

// The activation of each hidden layer, with its settings.
using HiddenActivations = std::vector<std::pair<Activation, std::vector<double>>>;

template <class T>
std::vector<Epilogue<T>> epilogues_of(const HiddenActivations& activations, const KernelTable& table) {
    std::vector<Epilogue<T>> epilogues;
    for (const auto& [activation, settings] : activations)
        epilogues.emplace_back(activation, settings_of<T>(activation, settings), kernels_of<T>(table));
    return epilogues;
}

template <class T>
std::unique_ptr<Network<T>> new_network(const std::vector<int64_t>& sizes, const HiddenActivations& activations,
                                        Loss loss, const std::vector<double>& loss_settings, double input_scale,
                                        bool clips_loss) {
    require(!sizes.empty(), "a network needs at least two layer sizes");
    const LossFunction<T> function = loss_function<T>(loss, loss_settings, sizes.back(), clips_loss);
    const KernelTable& table = current_table();
    return std::make_unique<Network<T>>(sizes, epilogues_of<T>(activations, table), function, input_scale, table);
}

template <class T> Array<T> weights_of(const Network<T>& network, std::size_t index) {
    const DenseLayer<T>& layer = network.layers().at(index);
    return new_layer_arrays(layer, layer.parameters()).first;
}

template <class T> Array<T> biases_of(const Network<T>& network, std::size_t index) {
    const DenseLayer<T>& layer = network.layers().at(index);
    return Array<T>(layer.outputs(), layer.biases().data());
}

template <class T>
void set_layer(Network<T>& network, std::size_t index, const Array<T>& weights, const Array<T>& biases) {
    DenseLayer<T>& layer = network.layers().at(index);
    require(fit_layer(layer, weights, biases), "weights or biases have the wrong shape");
    network.note_change();
    pack_layer(layer, weights.data(), biases.data(), layer.parameters());
}

template <class T> Array<T> parameter_vector(const Network<T>& network) {
    Array<T> parameters(parameter_count(network));
    get_parameters(network, parameters.mutable_data());
    return parameters;
}

template <class T> void set_parameter_vector(Network<T>& network, const Array<T>& parameters) {
    require(parameters.ndim() == 1 && parameters.shape(0) == parameter_count(network),
            "parameters must be all weights and biases");
    network.note_change();
    set_parameters(network, parameters.data());
}

template <class T>
py::object forward(const Network<T>& network, const py::object& x, int64_t begin, int64_t end, int n_threads,
                   std::optional<PairOrder> bfloat16) {
    require(!bfloat16 || (std::is_same_v<T, float>), "bfloat16 needs a network of float32");
    const Inputs all = inputs_view(x, network.inputs());
    network.standardization().check(all);
    require(0 <= begin && begin <= end && end <= all.rows, "rows out of range");
    require(!bfloat16 || !all.sparse(), "bfloat16 needs an array");
    const Inputs inputs = all.part(begin, end);
    Array<T> out = new_matrix<T>(inputs.rows, network.outputs());
    T* data = out.mutable_data();
    bool finite;
    if (static_cast<double>(inputs.rows) * network.forward_operations() < short_operations) {
        finite = network.forward(inputs, data, n_threads, bfloat16);
    } else {
        const Pin pin = pin_inputs(x);
        const ReleasedGil released;
        finite = network.forward(inputs, data, n_threads, bfloat16);
    }
    return finite ? py::object(out) : py::none();
}

template <class T>
void evaluate(const Network<T>& network, const BoundDataset<T>& data, int64_t begin, int64_t end, LossSum& sum,
              int n_threads) {
    require(data.fits(network), "the data set is of another network");
    require(0 <= begin && begin <= end && end <= data.inputs.rows, "rows out of range");
    LossSum total = sum;
    {
        const ReleasedGil released;
        network.evaluate(data, begin, end, total, n_threads);
    }
    sum = total;
}

// Of (mean, deviation), both of all columns, or None.
Standardization standardization_of(const py::object& given, int64_t columns) {
    if (given.is_none()) return {};
    const auto [mean, deviation] = given.cast<std::pair<Array<double>, Array<double>>>();
    require(mean.ndim() == 1 && mean.shape(0) == columns && deviation.ndim() == 1 && deviation.shape(0) == columns,
            "mean and deviation must have one entry per column");
    return {mean.data(), deviation.data(), columns};
}

template <class T> void standardize(Network<T>& network, const py::object& standardization) {
    network.standardize(standardization_of(standardization, network.inputs()));
}

template <class T> py::tuple weight_norms(const Network<T>& network) {
    double sums[2];
    {
        const ReleasedGil released;
        network.weight_norms(sums);
    }
    return py::make_tuple(sums[0], sums[1]);
}

template <class T> bool is_finite(const Network<T>& network) {
    const ReleasedGil released;
    return network.is_finite();
}

// Of weights and biases as they lie in NumPy's arrays; None if an input is not finite.
template <class T>
py::object forward_plain_of(const std::vector<Array<T>>& weights, const std::vector<Array<T>>& biases,
                            const HiddenActivations& activations, Loss loss, const py::object& standardization,
                            const py::object& x, int64_t begin, int64_t end, int n_threads) {
    require(!weights.empty() && weights.size() == biases.size(), "one array of biases for each of weights");
    require(activations.size() + 1 == weights.size(), "each hidden layer needs one activation");
    std::vector<PlainLayer<T>> layers;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const MatrixView<const T> view = matrix_view(weights[i], "weights");
        require(biases[i].ndim() == 1 && biases[i].shape(0) == view.columns && view.columns > 0 &&
                    (i == 0 || view.rows == layers.back().weights.columns),
                "weights or biases have the wrong shape");
        layers.push_back({view, biases[i].data()});
    }
    const Inputs all = inputs_view(x, layers.front().weights.rows);
    const Standardization checked = standardization_of(standardization, all.columns);
    checked.check(all);
    require(0 <= begin && begin <= end && end <= all.rows, "rows out of range");
    const Inputs inputs = all.part(begin, end);
    const KernelTable& table = current_table();
    const std::vector<Epilogue<T>> hidden = epilogues_of<T>(activations, table);
    Array<T> out = new_matrix<T>(inputs.rows, layers.back().weights.columns);
    T* data = out.mutable_data();
    double operations = 0;
    for (const auto& layer : layers) operations += 2.0 * static_cast<double>(layer.weights.rows * layer.weights.columns);
    bool finite;
    if (static_cast<double>(inputs.rows) * operations < short_operations) {
        finite = forward_plain(layers, hidden, loss, checked, inputs, data, table, n_threads);
    } else {
        std::vector<Pin> pins{pin_inputs(x)};
        for (std::size_t i = 0; i < weights.size(); ++i) pins.emplace_back(weights[i]), pins.emplace_back(biases[i]);
        const ReleasedGil released;
        finite = forward_plain(layers, hidden, loss, checked, inputs, data, table, n_threads);
    }
    return finite ? py::object(out) : py::none();
}

template <class T> void register_network(py::module_& m, const char* name) {
    using py::arg;
    m.def("forward_plain", &forward_plain_of<T>, arg("weights").noconvert(), arg("biases").noconvert(),
          arg("activations"), arg("loss"), arg("standardization"), arg("inputs"), arg("begin"), arg("end"),
          arg("n_threads"));
    py::class_<Network<T>> network(m, name);
    network
        .def(py::init(&new_network<T>), arg("sizes"), arg("activations"), arg("loss"), arg("loss_settings"),
             arg("input_scale"), arg("clips_loss") = false)
        .def_property_readonly("training_operations", &Network<T>::training_operations)
        .def_property_readonly("forward_operations", &Network<T>::forward_operations)
        .def("weights", guarded(&weights_of<T>), arg("layer"))
        .def("biases", guarded(&biases_of<T>), arg("layer"))
        .def("set_layer", guarded(&set_layer<T>), arg("layer"), arg("weights").noconvert(), arg("biases").noconvert())
        .def_property("parameter_vector", guarded(&parameter_vector<T>),
                      py::cpp_function(guarded(&set_parameter_vector<T>), py::is_method(network),
                                       arg("parameters").noconvert()))
        .def("dataset", &labelled_dataset<T>, arg("inputs"), arg("labels").noconvert(), arg("nonzero") = py::none(),
             arg("sample_weights").noconvert() = py::none())
        .def("dataset", &target_dataset<T>, arg("inputs"), arg("targets").noconvert(), arg("nonzero") = py::none(),
             arg("sample_weights").noconvert() = py::none())
        .def("forward", &forward<T>, arg("inputs"), arg("begin"), arg("end"), arg("n_threads"),
             arg("bfloat16") = py::none())
        .def("evaluate", &evaluate<T>, arg("data"), arg("begin"), arg("end"), arg("sum"), arg("n_threads"))
        .def("standardize", guarded(&standardize<T>), arg("standardization"))
        .def("weight_norms", &weight_norms<T>)
        .def("is_finite", &is_finite<T>)
        .def(
            "lock_parameters",
            [](Network<T>& self) { return std::make_unique<ParameterLock>(self.lock_owner()); },
            py::keep_alive<0, 1>())
        .def_property_readonly("parameters_version", [](Network<T>& self) { return self.lock_owner().version.load(); })
        .def("is_locked_elsewhere", [](Network<T>& self) { return ParameterLock::is_elsewhere(self.lock_owner()); });
}

void register_networks(py::module_& m) {
    py::class_<ParameterLock>(m, "ParameterLock")
        .def("__enter__", [](ParameterLock&) {})
        .def("__exit__", [](ParameterLock& lock, const py::args&) { lock.release(); });
    py::class_<LossSum>(m, "LossSum")
        .def(py::init<>())
        .def_readonly("loss", &LossSum::loss)
        .def_readonly("correct", &LossSum::correct)
        .def_readonly("penalty", &LossSum::penalty);
    register_network<float>(m, "NetworkFloat32");
    register_network<double>(m, "NetworkFloat64");
}

}  // namespace fastmlp
