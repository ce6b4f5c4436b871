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

// The right to change a network's parameters: at most one at a time, nobody waits for it, and it ends with this
// object, however the code that holds it is left. A child of fork has none of its parent's other threads, and so
// nothing that they held. Under Python's lock.
template <class T> class Reservation {
public:
    explicit Reservation(Network<T>& network) : network_(&network) {
        Holder& holder = network.holder();
        if (holder.thread == std::this_thread::get_id() || is_elsewhere(holder))
            throw std::runtime_error("a fit of this network is under way; its parameters cannot be changed by another");
        holder = {std::this_thread::get_id(), ReleasedGil::forks(), holder.count + 1};
    }
    Reservation(const Reservation&) = delete;
    ~Reservation() { release(); }
    void release() {
        if (network_) network_->holder().thread = {};
        network_ = nullptr;
    }
    static bool is_elsewhere(const Holder& holder) {
        return holder.thread != std::thread::id() && holder.thread != std::this_thread::get_id() &&
               holder.forks == ReleasedGil::forks();
    }

private:
    Network<T>* network_;
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

// All weights and then all biases, each layer's in the order of weights_of.
template <class T> void set_parameter_vector(Network<T>& network, const Array<T>& parameters) {
    auto& layers = network.layers();
    int64_t size = 0;
    for (const auto& layer : layers) size += (layer.inputs() + 1) * layer.outputs();
    require(parameters.ndim() == 1 && parameters.shape(0) == size, "parameters must be all weights and biases");
    const T* from = parameters.data();
    for (auto& layer : layers) {
        pack_panels(layer.shape(), from, layer.outputs(), layer.weights().data());
        from += layer.inputs() * layer.outputs();
    }
    for (auto& layer : layers) {
        std::copy_n(from, layer.outputs(), layer.biases().data());
        from += layer.outputs();
    }
}

template <class T>
std::unique_ptr<BoundDataset<T>> new_dataset(const Network<T>& network, const py::object& inputs,
                                             const py::object& nonzero, const std::optional<Array<T>>& weights) {
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
    if (weights) {
        require(weights->ndim() == 1 && weights->shape(0) == data->inputs.rows, "weights must have one entry per row");
        data->weights_pin = Pin(*weights);
        data->weights = weights->data();
    }
    return data;
}

template <class T>
std::unique_ptr<BoundDataset<T>> labelled_dataset(const Network<T>& network, const py::object& inputs,
                                                  const Array<std::int64_t>& labels, const py::object& nonzero,
                                                  const std::optional<Array<T>>& weights) {
    auto data = new_dataset(network, inputs, nonzero, weights);
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
                                                const std::optional<Array<T>>& weights) {
    auto data = new_dataset(network, inputs, nonzero, weights);
    require(network.loss() != Loss::cross_entropy, "cross_entropy needs integer labels");
    require(targets.ndim() == 2 && targets.shape(0) == data->inputs.rows && targets.shape(1) == network.outputs(),
            "targets must have shape (rows, outputs)");
    data->targets = targets.data();
    data->targets_pin = Pin(targets);
    return data;
}

std::unique_ptr<NonzeroBits> find_nonzero(const py::object& inputs, int threads) {
    const Inputs view = inputs_view(inputs);
    const Pin pin = pin_inputs(inputs);
    const ReleasedGil released;
    return std::make_unique<NonzeroBits>(view, threads);
}

// A prediction of so many ends before another Python thread could have begun: about 10 us.
constexpr double short_operations = 1e6;

template <class T>
py::object predict(const Network<T>& network, const py::object& x, int64_t begin, int64_t end, int threads) {
    const Inputs all = inputs_view(x, network.inputs());
    require(0 <= begin && begin <= end && end <= all.rows, "rows out of range");
    const Inputs inputs = all.part(begin, end);
    Array<T> out = new_matrix<T>(inputs.rows, network.outputs());
    T* data = out.mutable_data();
    bool finite;
    if (static_cast<double>(inputs.rows) * network.forward_operations() < short_operations) {
        finite = network.predict(inputs, data, threads);
    } else {
        const Pin pin = pin_inputs(x);
        const ReleasedGil released;
        finite = network.predict(inputs, data, threads);
    }
    return finite ? py::object(out) : py::none();
}

template <class T>
void evaluate(const Network<T>& network, const BoundDataset<T>& data, int64_t begin, int64_t end, LossSum& sum,
              int threads) {
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
        network.evaluate(part, threads, total);
    }
    sum = total;
}

void check_order(const Array<std::int64_t>& order, int64_t rows) {
    require(order.ndim() == 1, "order must have 1 dimension");
    for (int64_t i = 0; i < order.shape(0); ++i)
        require(0 <= order.data()[i] && order.data()[i] < rows, "order names a row that the data lack");
}

template <class T>
int64_t run(Trainer<T>& trainer, const BoundDataset<T>& data, const Array<std::int64_t>& order, int64_t batch_rows,
            int64_t batches_per_update, const StepSettings& settings, int64_t position, LossSum& sum, int threads,
            double seconds) {
    require(order.ndim() == 1 && batch_rows >= 1 && batches_per_update >= 1 && position >= 0,
            "invalid plan of an epoch");
    const std::int64_t* rows = order.data();
    const int64_t count = order.shape(0);
    require(data.fits(trainer.network()), "the data set is of another network");
    if (position == 0) check_order(order, data.inputs.rows);  // it comes back with each slice of its epoch
    const StepSettings step = settings;                       // which another thread might change meanwhile
    LossSum total = sum;
    {
        std::optional<ReleasedGil> released;
        if (!training_holds_gil) released.emplace();
        position =
            trainer.run(data, rows, count, batch_rows, batches_per_update, step, position, threads, seconds, total);
    }
    sum = total;
    return position;
}

template <class T>
int64_t sum_gradients(Trainer<T>& trainer, const BoundDataset<T>& data, int64_t position, LossSum& sum, int threads,
                      double seconds, const std::optional<Array<std::int64_t>>& order, int64_t batch_rows,
                      double weight) {
    require(data.fits(trainer.network()), "the data set is of another network");
    require(position >= 0 && batch_rows >= 0, "invalid plan of an epoch");
    const int64_t count = order ? order->size() : data.inputs.rows;
    const int64_t* rows = order ? order->data() : nullptr;
    if (order && position == 0) check_order(*order, data.inputs.rows);
    if (batch_rows == 0) batch_rows = std::max<int64_t>(1, count);
    if (weight == 0) weight = static_cast<double>(count);
    LossSum total = sum;
    {
        const ReleasedGil released;
        position = trainer.sum_gradients(data, rows, count, batch_rows, weight, position, threads, seconds, total);
    }
    sum = total;
    return position;
}

// The buffer itself, which may be changed before update().
template <class T> Array<T> gradient_buffer(const py::object& self) {
    Buffer<T>& gradients = self.cast<Trainer<T>&>().gradients();
    return Array<T>(gradients.size(), gradients.data(), self);
}

template <class T> void update(Trainer<T>& trainer, const StepSettings& settings, double weight, int threads) {
    const StepSettings step = settings;
    const ReleasedGil released;
    trainer.update(step, weight, threads);
}

// All parameters and the optimizer's state, padding included, as they lie in memory: for a copy in another process.
template <class T> Array<T> raw_values(Trainer<T>& trainer) {
    int64_t size = 0;
    trainer.for_each_array([&](const Buffer<T>& from) { size += from.size(); });
    Array<T> values(size);
    T* to = values.mutable_data();
    trainer.for_each_array([&](const Buffer<T>& from) { to = std::copy_n(from.data(), from.size(), to); });
    return values;
}

template <class T> void set_raw_values(Trainer<T>& trainer, const Array<T>& values) {
    int64_t size = 0;
    trainer.for_each_array([&](const Buffer<T>& to) { size += to.size(); });
    require(values.ndim() == 1 && values.shape(0) == size, "the values are of another network or instruction set");
    const T* from = values.data();
    trainer.for_each_array([&](Buffer<T>& to) {
        std::copy_n(from, to.size(), to.data());
        from += to.size();
    });
}

template <class T> void restore(Trainer<T>& trainer) {
    require(trainer.remembers(), "nothing is remembered");
    trainer.restore();
}

// The optimizer's state: updates so far, and for each layer its arrays beside the weights and beside the biases, as
// many as the optimizer keeps.
template <class T> py::tuple state_of(Trainer<T>& trainer) {
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
    return py::make_tuple(trainer.steps(), layers);
}

template <class T>
void set_state(Trainer<T>& trainer, int64_t steps, const std::vector<std::vector<Array<T>>>& layers) {
    require(steps >= 0 && layers.size() == trainer.layer_states().size(), "the state is of another network");
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
    trainer.set_steps(steps);
}

// Takes all parameters into the network, as set_parameter_vector; returns the mean loss over the rows and its gradient,
// a vector like it. For minimizers that know nothing of layers.
template <class T>
py::tuple loss_and_gradient_at(Trainer<T>& trainer, const BoundDataset<T>& data, const Array<T>& parameters,
                               int threads, double seconds) {
    require(data.fits(trainer.network()), "the data set is of another network");
    set_parameter_vector(trainer.network(), parameters);
    const auto& layers = trainer.network().layers();
    const int64_t rows = data.inputs.rows;
    LossSum sum;
    for (int64_t position = 0; position < rows;) {
        {
            const ReleasedGil released;
            position = trainer.sum_gradients(data, nullptr, rows, rows, static_cast<double>(rows), position, threads,
                                             seconds, sum);
        }
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    }
    Array<T> gradient(parameters.shape(0));
    T* to = gradient.mutable_data();
    for (std::size_t i = 0; i < layers.size(); ++i) {
        unpack_panels(layers[i].shape(), trainer.layer_states()[i].weight_gradients(), to, layers[i].outputs());
        to += layers[i].inputs() * layers[i].outputs();
    }
    for (std::size_t i = 0; i < layers.size(); ++i)
        to = std::copy_n(trainer.layer_states()[i].bias_gradients(), layers[i].outputs(), to);
    return py::make_tuple(sum.loss / static_cast<double>(data.inputs.rows), gradient);
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
    py::class_<Network<T>>(m, ("Network" + suffix).c_str())
        .def(py::init([](const std::vector<int64_t>& sizes, Activation activation, Loss loss, double input_scale,
                         bool clips_loss) {
                 return std::make_unique<Network<T>>(sizes, activation, loss, input_scale, clips_loss, current_table());
             }),
             arg("sizes"), arg("activation"), arg("loss"), arg("input_scale"), arg("clips_loss") = false)
        .def_property_readonly("training_operations", &Network<T>::training_operations)
        .def_property_readonly("forward_operations", &Network<T>::forward_operations)
        .def("weights", &weights_of<T>, arg("layer"))
        .def("biases", &biases_of<T>, arg("layer"))
        .def("set_layer", &set_layer<T>, arg("layer"), arg("weights").noconvert(), arg("biases").noconvert())
        .def("set_parameter_vector", &set_parameter_vector<T>, arg("parameters").noconvert())
        .def("dataset", &labelled_dataset<T>, arg("inputs"), arg("labels").noconvert(), arg("nonzero") = py::none(),
             arg("weights").noconvert() = py::none())
        .def("dataset", &target_dataset<T>, arg("inputs"), arg("targets").noconvert(), arg("nonzero") = py::none(),
             arg("weights").noconvert() = py::none())
        .def("predict", &predict<T>, arg("inputs"), arg("begin"), arg("end"), arg("threads"))
        .def("evaluate", &evaluate<T>, arg("data"), arg("begin"), arg("end"), arg("sum"), arg("threads"))
        .def("weight_norms", &weight_norms<T>)
        .def("is_finite", &is_finite<T>)
        .def(
            "reserve", [](Network<T>& network) { return std::make_unique<Reservation<T>>(network); },
            py::keep_alive<0, 1>())
        .def_property_readonly("reservations", [](Network<T>& network) { return network.holder().count; })
        .def("is_reserved_elsewhere",
             [](Network<T>& network) { return Reservation<T>::is_elsewhere(network.holder()); });

    py::class_<Reservation<T>>(m, ("Reservation" + suffix).c_str())
        .def("__enter__", [](Reservation<T>&) {})
        .def("__exit__", [](Reservation<T>& reservation, const py::args&) { reservation.release(); });

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
        .def("run", &run<T>, arg("data"), arg("order").noconvert(), arg("batch_rows"), arg("batches_per_update"),
             arg("settings"), arg("position"), arg("sum"), arg("threads"), arg("seconds"))
        .def("sum_gradients", &sum_gradients<T>, arg("data"), arg("position"), arg("sum"), arg("threads"),
             arg("seconds"), arg("order").noconvert() = py::none(), arg("batch_rows") = 0, arg("weight") = 0.0)
        .def("gradient_buffer", &gradient_buffer<T>)
        .def("update", &update<T>, arg("settings"), arg("weight"), arg("threads"))
        .def("raw_values", &raw_values<T>)
        .def("set_raw_values", &set_raw_values<T>, arg("values").noconvert())
        .def("loss_and_gradient_at", &loss_and_gradient_at<T>, arg("data"), arg("parameters").noconvert(),
             arg("threads"), arg("seconds"))
        .def("remember", &Trainer<T>::remember)
        .def("restore", &restore<T>)
        .def_property("steps", &Trainer<T>::steps, &Trainer<T>::set_steps)
        .def("state", &state_of<T>)
        .def("set_state", &set_state<T>, arg("steps"), arg("layers").noconvert())
        .def("gradients", &gradients<T>);
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
    py::class_<StepSettings>(m, "StepSettings")
        .def(py::init(
                 [](double learning_rate, double l1, double l2, double alpha, bool proximal, bool measures_penalty) {
                     return StepSettings{learning_rate, l1, l2, alpha, proximal, measures_penalty};
                 }),
             arg("learning_rate"), arg("l1") = 0.0, arg("l2") = 0.0, arg("alpha") = 0.0, arg("proximal") = false,
             arg("measures_penalty") = false);
    py::class_<LossSum>(m, "LossSum")
        .def(py::init<>())
        .def_readonly("loss", &LossSum::loss)
        .def_readonly("hits", &LossSum::hits)
        .def_readonly("penalty", &LossSum::penalty);
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
    py::class_<NonzeroBits>(m, "NonzeroBits").def(py::init(&find_nonzero), arg("inputs"), arg("threads"));
    register_network<float>(m, "Float32");
    register_network<double>(m, "Float64");
}

}  // namespace fastmlp
