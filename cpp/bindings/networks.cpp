// Networks, data sets and trainers of both precisions.
#include "../nn/trainer.h"
#include "gil.h"
#include "numpy_views.h"
#include "register.h"

#include <pybind11/native_enum.h>

#include <optional>

namespace fastmlp {

// A data set, the arrays that it looks at, kept as they are, and the kind of network that it is for.
template <class T> struct BoundDataset : Dataset<T> {
    Pin inputs_pin, targets_pin, weights_pin;
    py::object inputs_owner, nonzero_owner;
    int64_t outputs;
    Loss loss;

    bool fits(const Network<T>& network) const {
        return this->inputs.columns == network.inputs() && outputs == network.outputs() && loss == network.loss();
    }
};

// Non-blocking RAII lock on a network's parameters. Locks of threads that did not survive a fork are ignored. Requires
// the GIL.
class ParameterLock {
public:
    explicit ParameterLock(LockOwner& owner) : owner_(&owner) {
        if (owner.thread == std::this_thread::get_id() || is_elsewhere(owner))
            throw std::runtime_error("a fit of this network is under way; its parameters cannot be changed by another");
        owner = {std::this_thread::get_id(), ReleasedGil::forks(), owner.version + 1};
    }
    ParameterLock(const ParameterLock&) = delete;
    ~ParameterLock() { release(); }
    void release() {
        if (owner_) owner_->thread = {};
        owner_ = nullptr;
    }
    static bool is_elsewhere(const LockOwner& owner) {
        return owner.thread != std::thread::id() && owner.thread != std::this_thread::get_id() &&
               owner.forks == ReleasedGil::forks();
    }

private:
    LockOwner* owner_;
};

template <class T> Array<T> weights_of(const Network<T>& network, std::size_t index) {
    const DenseLayer<T>& layer = network.layers().at(index);
    Array<T> array = new_matrix<T>(layer.inputs(), layer.outputs());
    unpack_panels(layer.shape(), layer.weights().data(), array.mutable_data(), layer.outputs());
    return array;
}

template <class T> Array<T> biases_of(const Network<T>& network, std::size_t index) {
    const DenseLayer<T>& layer = network.layers().at(index);
    return Array<T>(layer.outputs(), layer.biases().data());
}

template <class T>
void set_layer(Network<T>& network, std::size_t index, const Array<T>& weights, const Array<T>& biases) {
    DenseLayer<T>& layer = network.layers().at(index);
    const auto view = matrix_view(weights, "weights");
    require(view.rows == layer.inputs() && view.columns == layer.outputs() && biases.ndim() == 1 &&
                biases.shape(0) == layer.outputs(),
            "weights or biases have the wrong shape");
    std::fill_n(layer.weights().data(), layer.weights().size(), T(0));  // padding too: a diverged fit leaves NaN there
    std::fill_n(layer.biases().data(), layer.biases().size(), T(0));
    pack_panels(layer.shape(), view.data, view.stride, layer.weights().data());
    std::copy_n(biases.data(), layer.outputs(), layer.biases().data());
}

template <class T> int64_t parameter_count(const Network<T>& network) {
    int64_t count = 0;
    for (const auto& layer : network.layers()) count += (layer.inputs() + 1) * layer.outputs();
    return count;
}

// All weights, (inputs, outputs) of each layer row by row, and then all biases.
template <class T> Array<T> parameter_vector(const Network<T>& network) {
    Array<T> parameters(parameter_count(network));
    T* to = parameters.mutable_data();
    for (const auto& layer : network.layers()) {
        unpack_panels(layer.shape(), layer.weights().data(), to, layer.outputs());
        to += layer.inputs() * layer.outputs();
    }
    for (const auto& layer : network.layers()) to = std::copy_n(layer.biases().data(), layer.outputs(), to);
    return parameters;
}

template <class T> void set_parameter_vector(Network<T>& network, const Array<T>& parameters) {
    require(parameters.ndim() == 1 && parameters.shape(0) == parameter_count(network),
            "parameters must be all weights and biases");
    const T* from = parameters.data();
    for (auto& layer : network.layers()) {
        pack_panels(layer.shape(), from, layer.outputs(), layer.weights().data());
        from += layer.inputs() * layer.outputs();
    }
    for (auto& layer : network.layers()) {
        std::copy_n(from, layer.outputs(), layer.biases().data());
        from += layer.outputs();
    }
}

template <class T>
std::unique_ptr<BoundDataset<T>> new_dataset(const Network<T>& network, const py::object& inputs,
                                             const py::object& nonzero, const std::optional<Array<T>>& sample_weights) {
    auto data = std::make_unique<BoundDataset<T>>();
    data->inputs = inputs_view(inputs, network.inputs());
    data->inputs_owner = inputs;
    data->inputs_pin = pin_inputs(inputs);
    data->outputs = network.outputs();
    data->loss = network.loss();
    if (!nonzero.is_none()) {
        const auto& bits = nonzero.cast<const NonzeroBits&>();
        require(bits.empty() || bits.describes(data->inputs), "nonzero must be of the same inputs");
        data->nonzero_owner = nonzero;
        data->nonzero = bits.empty() ? nullptr : &bits;
    }
    if (sample_weights) {
        require(sample_weights->ndim() == 1 && sample_weights->shape(0) == data->inputs.rows,
                "sample_weights must have one entry per row");
        data->weights_pin = Pin(*sample_weights);
        data->weights = sample_weights->data();
    }
    return data;
}

template <class T>
std::unique_ptr<BoundDataset<T>> labelled_dataset(const Network<T>& network, const py::object& inputs,
                                                  const Array<std::int64_t>& labels, const py::object& nonzero,
                                                  const std::optional<Array<T>>& sample_weights) {
    auto data = new_dataset(network, inputs, nonzero, sample_weights);
    require(network.loss() == Loss::cross_entropy, "integer labels belong to cross_entropy");
    require(labels.ndim() == 1 && labels.shape(0) == data->inputs.rows, "labels must have one entry per row");
    data->labels.reserve(static_cast<std::size_t>(data->inputs.rows));
    for (int64_t i = 0; i < data->inputs.rows; ++i) {
        const std::int64_t label = labels.data()[i];
        require(label >= 0 && label < network.outputs(), "labels must lie in [0, classes)");
        data->labels.push_back(static_cast<std::int32_t>(label));
    }
    return data;
}

template <class T>
std::unique_ptr<BoundDataset<T>> target_dataset(const Network<T>& network, const py::object& inputs,
                                                const Array<T>& targets, const py::object& nonzero,
                                                const std::optional<Array<T>>& sample_weights) {
    auto data = new_dataset(network, inputs, nonzero, sample_weights);
    require(network.loss() != Loss::cross_entropy, "cross_entropy needs integer labels");
    require(targets.ndim() == 2 && targets.shape(0) == data->inputs.rows && targets.shape(1) == network.outputs(),
            "targets must have shape (rows, outputs)");
    data->targets = targets.data();
    data->targets_pin = Pin(targets);
    return data;
}

std::unique_ptr<NonzeroBits> find_nonzero(const py::object& inputs, int n_threads) {
    const Inputs view = inputs_view(inputs);
    const Pin pin = pin_inputs(inputs);
    const ReleasedGil released;
    return std::make_unique<NonzeroBits>(view, n_threads);
}

// A forward pass of so many ends before another Python thread could have begun: about 10 us.
constexpr double short_operations = 1e6;

template <class T>
py::object forward(const Network<T>& network, const py::object& x, int64_t begin, int64_t end, int n_threads) {
    const Inputs all = inputs_view(x, network.inputs());
    require(0 <= begin && begin <= end && end <= all.rows, "rows out of range");
    const Inputs inputs = all.part(begin, end);
    Array<T> out = new_matrix<T>(inputs.rows, network.outputs());
    T* data = out.mutable_data();
    bool finite;
    if (static_cast<double>(inputs.rows) * network.forward_operations() < short_operations) {
        finite = network.forward(inputs, data, n_threads);
    } else {
        const Pin pin = pin_inputs(x);
        const ReleasedGil released;
        finite = network.forward(inputs, data, n_threads);
    }
    return finite ? py::object(out) : py::none();
}

template <class T>
void evaluate(const Network<T>& network, const BoundDataset<T>& data, int64_t begin, int64_t end, LossSum& sum,
              int n_threads) {
    require(data.fits(network), "the data set is of another network");
    require(0 <= begin && begin <= end && end <= data.inputs.rows, "rows out of range");
    Dataset<T> part;
    part.inputs = data.inputs.part(begin, end);
    if (data.targets)
        part.targets = data.targets + begin * network.outputs();
    else
        part.labels.assign(data.labels.begin() + begin, data.labels.begin() + end);
    if (data.weights) part.weights = data.weights + begin;
    LossSum total = sum;
    {
        const ReleasedGil released;
        network.evaluate(part, total, n_threads);
    }
    sum = total;
}

std::unique_ptr<EpochPlan> new_plan(const Array<std::int64_t>& order, int64_t batch_size, int64_t accumulate,
                                    double gradient_divisor) {
    require(order.ndim() == 1, "order must have shape (rows,)");
    return std::make_unique<EpochPlan>(order.data(), order.shape(0), batch_size, accumulate, gradient_divisor);
}

std::unique_ptr<EpochPlan> new_plan_in_order(int64_t rows, int64_t batch_size, int64_t accumulate,
                                             double gradient_divisor) {
    return std::make_unique<EpochPlan>(nullptr, rows, batch_size, accumulate, gradient_divisor);
}

template <class T>
void check_slice(const Trainer<T>& trainer, const BoundDataset<T>& data, const EpochPlan& plan, int64_t position) {
    require(data.fits(trainer.network()), "the data set is of another network");
    require(plan.max_row() < data.inputs.rows, "order names a row that the data lack");
    require(position >= 0, "position must be 0 or what the last call returned");
}

template <class T>
int64_t run(Trainer<T>& trainer, const BoundDataset<T>& data, const EpochPlan& plan, const UpdateSettings& settings,
            int64_t position, LossSum& sum, int n_threads, double seconds) {
    check_slice(trainer, data, plan, position);
    const UpdateSettings copy = settings;  // another thread might change them meanwhile
    LossSum total = sum;
    {
        std::optional<ReleasedGil> released;
        if (!training_holds_gil) released.emplace();
        position = trainer.run(data, plan, copy, position, total, n_threads, seconds);
    }
    sum = total;
    return position;
}

template <class T>
int64_t sum_gradients(Trainer<T>& trainer, const BoundDataset<T>& data, const EpochPlan& plan, int64_t position,
                      LossSum& sum, int n_threads, double seconds) {
    check_slice(trainer, data, plan, position);
    LossSum total = sum;
    {
        const ReleasedGil released;
        position = trainer.sum_gradients(data, plan, position, total, n_threads, seconds);
    }
    sum = total;
    return position;
}

// The memory itself, which may be changed before update().
template <class T> Array<T> gradient_memory(const py::object& self) {
    Buffer<T>& gradients = self.cast<Trainer<T>&>().gradients();
    return Array<T>(gradients.size(), gradients.data(), self);
}

template <class T>
void update(Trainer<T>& trainer, const UpdateSettings& settings, double gradient_divisor, int n_threads) {
    const UpdateSettings copy = settings;
    const ReleasedGil released;
    trainer.update(copy, gradient_divisor, n_threads);
}

// All parameters and the optimizer's state, padding included, as they lie in memory: for a copy in another process.
template <class T> Array<T> memory(Trainer<T>& trainer) {
    int64_t size = 0;
    trainer.for_each_array([&](const Buffer<T>& from) { size += from.size(); });
    Array<T> values(size);
    T* to = values.mutable_data();
    trainer.for_each_array([&](const Buffer<T>& from) { to = std::copy_n(from.data(), from.size(), to); });
    return values;
}

template <class T> void set_memory(Trainer<T>& trainer, const Array<T>& values) {
    int64_t size = 0;
    trainer.for_each_array([&](const Buffer<T>& to) { size += to.size(); });
    require(values.ndim() == 1 && values.shape(0) == size, "the values are of another network or instruction set");
    const T* from = values.data();
    trainer.for_each_array([&](Buffer<T>& to) {
        std::copy_n(from, to.size(), to.data());
        from += to.size();
    });
}

template <class T> void restore_snapshot(Trainer<T>& trainer) {
    require(trainer.has_snapshot(), "no snapshot has been saved");
    trainer.restore_snapshot();
}

// The optimizer's state: updates so far, and for each layer its arrays beside the weights and beside the biases, as
// many as the optimizer keeps.
template <class T> py::tuple optimizer_state(Trainer<T>& trainer) {
    py::list layers;
    for (std::size_t i = 0; i < trainer.layer_states().size(); ++i) {
        DenseLayer<T>& layer = trainer.network().layers()[i];
        LayerState<T>& state = trainer.layer_states()[i];
        const ParameterBlock<T> weights = state.weights_of(layer), biases = state.biases_of(layer);
        py::list arrays;
        for (const auto& [of_weights, of_biases] :
             {std::pair{weights.state_1, biases.state_1}, {weights.state_2, biases.state_2}}) {
            if (!of_weights) continue;
            Array<T> matrix = new_matrix<T>(layer.inputs(), layer.outputs());
            unpack_panels(layer.shape(), of_weights, matrix.mutable_data(), layer.outputs());
            arrays.append(matrix);
            arrays.append(Array<T>(layer.outputs(), of_biases));
        }
        layers.append(arrays);
    }
    return py::make_tuple(trainer.updates(), layers);
}

template <class T>
void set_optimizer_state(Trainer<T>& trainer, int64_t updates, const std::vector<std::vector<Array<T>>>& layers) {
    require(updates >= 0 && layers.size() == trainer.layer_states().size(), "the state is of another network");
    const std::size_t kinds = trainer.optimizer().kind == UpdateKind::sgd        ? 0
                              : trainer.optimizer().kind == UpdateKind::momentum ? 1
                                                                                 : 2;
    for (std::size_t i = 0; i < layers.size(); ++i) {
        const DenseLayer<T>& layer = trainer.network().layers()[i];
        require(layers[i].size() == 2 * kinds, "the state is of another optimizer");
        for (std::size_t j = 0; j < layers[i].size(); j += 2) {
            const Array<T>&weights = layers[i][j], &biases = layers[i][j + 1];
            require(weights.ndim() == 2 && weights.shape(0) == layer.inputs() && weights.shape(1) == layer.outputs() &&
                        biases.ndim() == 1 && biases.shape(0) == layer.outputs(),
                    "the state is of a network of other sizes");
        }
    }
    for (std::size_t i = 0; i < layers.size(); ++i) {
        DenseLayer<T>& layer = trainer.network().layers()[i];
        const ParameterBlock<T> weights = trainer.layer_states()[i].weights_of(layer);
        const ParameterBlock<T> biases = trainer.layer_states()[i].biases_of(layer);
        T* const of_weights[] = {weights.state_1, weights.state_2};
        T* const of_biases[] = {biases.state_1, biases.state_2};
        for (std::size_t kind = 0; kind < kinds; ++kind) {
            pack_panels(layer.shape(), layers[i][2 * kind].data(), layer.outputs(), of_weights[kind]);
            std::copy_n(layers[i][2 * kind + 1].data(), layer.outputs(), of_biases[kind]);
        }
    }
    trainer.set_updates(updates);
}

template <class T> py::tuple gradients(const Trainer<T>& trainer) {
    const Network<T>& network = trainer.network();
    py::list weights, biases;
    for (std::size_t i = 0; i < network.layers().size(); ++i) {
        const DenseLayer<T>& layer = network.layers()[i];
        const LayerState<T>& state = trainer.layer_states()[i];
        require(state.weight_gradients() != nullptr, "no gradients have been summed");
        Array<T> array = new_matrix<T>(layer.inputs(), layer.outputs());
        unpack_panels(layer.shape(), state.weight_gradients(), array.mutable_data(), layer.outputs());
        weights.append(array);
        biases.append(Array<T>(layer.outputs(), state.bias_gradients()));
    }
    return py::make_tuple(weights, biases);
}

// In the order of parameter_vector.
template <class T> Array<T> gradient_vector(const Trainer<T>& trainer) {
    const auto& layers = trainer.network().layers();
    Array<T> gradient(parameter_count(trainer.network()));
    T* to = gradient.mutable_data();
    for (std::size_t i = 0; i < layers.size(); ++i) {
        const T* from = trainer.layer_states()[i].weight_gradients();
        require(from != nullptr, "no gradients have been summed");
        unpack_panels(layers[i].shape(), from, to, layers[i].outputs());
        to += layers[i].inputs() * layers[i].outputs();
    }
    for (std::size_t i = 0; i < layers.size(); ++i)
        to = std::copy_n(trainer.layer_states()[i].bias_gradients(), layers[i].outputs(), to);
    return gradient;
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

template <class T> void register_network(py::module_& m, const std::string& suffix) {
    using py::arg;
    py::class_<Network<T>> network(m, ("Network" + suffix).c_str());
    network
        .def(py::init([](const std::vector<int64_t>& sizes, Activation activation,
                         const std::vector<double>& activation_settings, Loss loss,
                         const std::vector<double>& loss_settings, double input_scale, bool clips_loss) {
                 require(activation_settings.empty(), "the activation has no settings");
                 require(loss_settings.empty(), "the loss has no settings");
                 return std::make_unique<Network<T>>(sizes, activation, loss, input_scale, clips_loss, current_table());
             }),
             arg("sizes"), arg("activation"), arg("activation_settings"), arg("loss"), arg("loss_settings"),
             arg("input_scale"), arg("clips_loss") = false)
        .def_property_readonly("training_operations", &Network<T>::training_operations)
        .def_property_readonly("forward_operations", &Network<T>::forward_operations)
        .def("weights", &weights_of<T>, arg("layer"))
        .def("biases", &biases_of<T>, arg("layer"))
        .def("set_layer", &set_layer<T>, arg("layer"), arg("weights").noconvert(), arg("biases").noconvert())
        .def_property("parameter_vector", &parameter_vector<T>,
                      py::cpp_function(&set_parameter_vector<T>, py::is_method(network), arg("parameters").noconvert()))
        .def("dataset", &labelled_dataset<T>, arg("inputs"), arg("labels").noconvert(), arg("nonzero") = py::none(),
             arg("sample_weights").noconvert() = py::none())
        .def("dataset", &target_dataset<T>, arg("inputs"), arg("targets").noconvert(), arg("nonzero") = py::none(),
             arg("sample_weights").noconvert() = py::none())
        .def("forward", &forward<T>, arg("inputs"), arg("begin"), arg("end"), arg("n_threads"))
        .def("evaluate", &evaluate<T>, arg("data"), arg("begin"), arg("end"), arg("sum"), arg("n_threads"))
        .def("weight_norms", &weight_norms<T>)
        .def("is_finite", &is_finite<T>)
        .def(
            "lock_parameters",
            [](Network<T>& network) { return std::make_unique<ParameterLock>(network.lock_owner()); },
            py::keep_alive<0, 1>())
        .def_property_readonly("parameters_version", [](Network<T>& network) { return network.lock_owner().version; })
        .def("is_locked_elsewhere",
             [](Network<T>& network) { return ParameterLock::is_elsewhere(network.lock_owner()); });

    py::class_<BoundDataset<T>>(m, ("Dataset" + suffix).c_str())
        .def_property_readonly("rows", [](const BoundDataset<T>& data) { return data.inputs.rows; });

    py::class_<Trainer<T>>(m, ("Trainer" + suffix).c_str())
        .def(py::init([](Network<T>& network, UpdateKind kind, double momentum, bool nesterov, double beta_1,
                         double beta_2, double epsilon) {
                 return std::make_unique<Trainer<T>>(
                     network, OptimizerSettings{kind, momentum, nesterov, beta_1, beta_2, epsilon});
             }),
             py::keep_alive<1, 2>(), arg("network"), arg("kind"), arg("momentum") = 0.0, arg("nesterov") = false,
             arg("beta_1") = 0.9, arg("beta_2") = 0.999, arg("epsilon") = 1e-8)
        .def("run", &run<T>, arg("data"), arg("plan"), arg("settings"), arg("position"), arg("sum"), arg("n_threads"),
             arg("seconds"))
        .def("sum_gradients", &sum_gradients<T>, arg("data"), arg("plan"), arg("position"), arg("sum"),
             arg("n_threads"), arg("seconds"))
        .def("gradient_memory", &gradient_memory<T>)
        .def("update", &update<T>, arg("settings"), arg("gradient_divisor"), arg("n_threads"))
        .def("memory", &memory<T>)
        .def("set_memory", &set_memory<T>, arg("values").noconvert())
        .def("save_snapshot", &Trainer<T>::save_snapshot)
        .def("restore_snapshot", &restore_snapshot<T>)
        .def_property("updates", &Trainer<T>::updates, &Trainer<T>::set_updates)
        .def("optimizer_state", &optimizer_state<T>)
        .def("set_optimizer_state", &set_optimizer_state<T>, arg("updates"), arg("layers").noconvert())
        .def("gradients", &gradients<T>)
        .def("gradient_vector", &gradient_vector<T>);
}

void register_networks(py::module_& m) {
    using py::arg;
    py::native_enum<Activation>(m, "Activation", "enum.Enum")
        .value("identity", Activation::identity)
        .value("relu", Activation::relu)
        .value("tanh", Activation::tanh)
        .value("logistic", Activation::logistic)
        .finalize();
    py::native_enum<Loss>(m, "Loss", "enum.Enum")
        .value("cross_entropy", Loss::cross_entropy)
        .value("squared_error", Loss::squared_error)
        .value("binary_cross_entropy", Loss::binary_cross_entropy)
        .value("poisson", Loss::poisson)
        .finalize();
    py::native_enum<UpdateKind>(m, "UpdateKind", "enum.Enum")
        .value("sgd", UpdateKind::sgd)
        .value("momentum", UpdateKind::momentum)
        .value("adam", UpdateKind::adam)
        .finalize();
    py::class_<UpdateSettings>(m, "UpdateSettings")
        .def(py::init(
                 [](double learning_rate, double l1, double l2, double alpha, bool proximal, bool measures_penalty) {
                     return UpdateSettings{learning_rate, l1, l2, alpha, proximal, measures_penalty};
                 }),
             arg("learning_rate"), arg("l1") = 0.0, arg("l2") = 0.0, arg("alpha") = 0.0, arg("proximal") = false,
             arg("measures_penalty") = false);
    py::class_<LossSum>(m, "LossSum")
        .def(py::init<>())
        .def_readonly("loss", &LossSum::loss)
        .def_readonly("correct", &LossSum::correct)
        .def_readonly("penalty", &LossSum::penalty);
    py::class_<EpochPlan>(m, "EpochPlan")
        .def(py::init(&new_plan), arg("order").noconvert(), arg("batch_size"), arg("accumulate") = 1,
             arg("gradient_divisor") = 0.0)
        .def(py::init(&new_plan_in_order), arg("order"), arg("batch_size"), arg("accumulate") = 1,
             arg("gradient_divisor") = 0.0)
        .def_property_readonly("rows", &EpochPlan::rows);
    py::class_<ParameterLock>(m, "ParameterLock")
        .def("__enter__", [](ParameterLock&) {})
        .def("__exit__", [](ParameterLock& lock, const py::args&) { lock.release(); });
    py::class_<CsrInputs>(m, "CsrInputs")
        .def(py::init<const py::array&, const Array<std::int32_t>&, const Array<std::int64_t>&, int64_t>(),
             arg("values"), arg("column_index").noconvert(), arg("row_starts").noconvert(), arg("columns"))
        .def_readonly("values", &CsrInputs::values)
        .def_property_readonly("ascending", [](const CsrInputs& inputs) { return inputs.indices.ascending(); })
        .def_property_readonly(
            "shape", [](const CsrInputs& inputs) { return py::make_tuple(inputs.view().rows, inputs.view().columns); })
        .def("__len__", [](const CsrInputs& inputs) { return inputs.view().rows; })
        .def(
            "position",
            [](const CsrInputs& inputs, int64_t value) {
                require(0 <= value && value < inputs.values.shape(0), "value out of range");
                return py::make_tuple(inputs.indices.row_of(value), inputs.indices.column_of(value));
            },
            arg("value"));
    py::class_<NonzeroBits>(m, "NonzeroBits").def(py::init(&find_nonzero), arg("inputs"), arg("n_threads"));
    register_network<float>(m, "Float32");
    register_network<double>(m, "Float64");
}

}  // namespace fastmlp
