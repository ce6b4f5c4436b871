// Plans of epochs and trainers of both precisions.
#include "../nn/trainer.h"

#include <algorithm>

#include "bound_dataset.h"
#include "gil.h"
#include "layer_arrays.h"
#include "register.h"

namespace fastmlp {

std::unique_ptr<EpochPlan> new_plan(const Array<std::int64_t>& order, int64_t batch_size, int64_t accumulate,
                                    double gradient_divisor) {
    require(order.ndim() == 1, "order must have shape (rows,)");
    return std::make_unique<EpochPlan>(order.data(), order.shape(0), batch_size, accumulate, gradient_divisor);
}

std::unique_ptr<EpochPlan> new_plan_in_order(int64_t rows, int64_t batch_size, int64_t accumulate,
                                             double gradient_divisor) {
    return std::make_unique<EpochPlan>(nullptr, rows, batch_size, accumulate, gradient_divisor);
}

void check_dropout(double rate, const UpdateSchedule* schedule) {
    if (!schedule) return;
    for (const double factor : schedule->dropout)
        if (!(rate * factor < 1))
            throw py::value_error("a schedule's factor times the dropout of " + std::string(py::str(py::float_(rate))) +
                                  " must be below 1, got the factor " + std::string(py::str(py::float_(factor))));
}

UpdateSettings new_settings(double learning_rate, double l1, double l2, double alpha, bool proximal,
                            bool measures_penalty, double max_gradient_norm, double dropout, double input_dropout,
                            std::uint64_t dropout_seed, const UpdateSchedule* schedule) {
    check_dropout(std::max(dropout, input_dropout), schedule);
    UpdateSettings settings;
    settings.learning_rate = learning_rate;
    settings.l1 = l1;
    settings.l2 = l2;
    settings.alpha = alpha;
    settings.proximal = proximal;
    settings.measures_penalty = measures_penalty;
    settings.max_gradient_norm = max_gradient_norm;
    settings.dropout = dropout;
    settings.input_dropout = input_dropout;
    settings.dropout_key = dropout_seed;
    settings.schedule = schedule;
    return settings;
}

void check_schedule(const UpdateSettings& settings, int64_t updates) {
    require(!settings.schedule || settings.schedule->covers(updates), "the schedule has fewer updates than the plan");
}

UpdateSettings settings_at(const UpdateSettings& settings, int64_t update) {
    require(update >= 0, "update must be at least 0");
    check_schedule(settings, update + 1);
    return settings.at(update);
}

template <class T>
std::unique_ptr<Trainer<T>> new_trainer(Network<T>& network, UpdateKind kind, double momentum, bool nesterov,
                                        double beta_1, double beta_2, double epsilon, double weight_decay, double rho,
                                        double momentum_decay, double average_decay,
                                        const std::vector<std::pair<double, double>>& rate_factors,
                                        std::optional<PairOrder> bfloat16) {
    OptimizerSettings settings;
    settings.kind = kind;
    settings.momentum = momentum;
    settings.nesterov = nesterov;
    settings.beta_1 = beta_1;
    settings.beta_2 = beta_2;
    settings.epsilon = epsilon;
    settings.weight_decay = weight_decay;
    settings.rho = rho;
    settings.momentum_decay = momentum_decay;
    settings.average_decay = average_decay;
    require(rate_factors.empty() || rate_factors.size() == network.layers().size(),
            "one pair of factors for each layer");
    for (const auto& [weights, biases] : rate_factors) settings.rate_factors.push_back({weights, biases});
    require(!bfloat16 || std::is_same_v<T, float>, "bfloat16 is for float32 networks");
    return std::make_unique<Trainer<T>>(network, settings, bfloat16);
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
    check_schedule(settings, plan.updates());
    LossSum total = sum;
    trainer.network().note_change();
    {
        std::optional<ReleasedGil> released;
        if (!training_holds_gil) released.emplace();
        position = trainer.run(data, plan, settings, position, total, n_threads, seconds);
    }
    sum = total;
    return position;
}

template <class T>
int64_t sum_gradients(Trainer<T>& trainer, const BoundDataset<T>& data, const EpochPlan& plan, int64_t position,
                      LossSum& sum, int n_threads, double seconds, const UpdateSettings& settings) {
    check_slice(trainer, data, plan, position);
    check_schedule(settings, plan.updates());
    LossSum total = sum;
    {
        const ReleasedGil released;
        position = trainer.sum_gradients(data, plan, settings, position, total, n_threads, seconds);
    }
    sum = total;
    return position;
}

// The memory itself, which may be changed before update().
template <class T> Array<T> gradient_memory(const py::object& self) {
    const py::scoped_critical_section lock(self);
    Buffer<T>& gradients = self.cast<Trainer<T>&>().gradients();
    return Array<T>(gradients.size(), gradients.data(), self);
}

template <class T>
void update(Trainer<T>& trainer, const UpdateSettings& settings, double gradient_divisor, int n_threads) {
    trainer.network().note_change();
    const ReleasedGil released;
    trainer.update(settings, gradient_divisor, n_threads);
}

// One update with these gradients, of each layer.
template <class T>
void apply(Trainer<T>& trainer, const std::vector<Array<T>>& weights, const std::vector<Array<T>>& biases,
           const UpdateSettings& settings, int n_threads) {
    auto& layers = trainer.network().layers();
    require(weights.size() == layers.size() && biases.size() == layers.size(), "one array for each layer");
    for (std::size_t i = 0; i < layers.size(); ++i)
        require(fit_layer(layers[i], weights[i], biases[i]), "gradients have the wrong shape");
    trainer.gradients();
    for (std::size_t i = 0; i < layers.size(); ++i) {
        LayerState<T>& state = trainer.layer_states()[i];
        pack_layer(layers[i], weights[i].data(), biases[i].data(),
                   {state.weights_of(layers[i]).gradient, state.biases_of(layers[i]).gradient});
    }
    update(trainer, settings, 1.0, n_threads);
}

template <class T> void check_gradients(const Trainer<T>& trainer) {
    require(trainer.layer_states()[0].gradients().weights != nullptr, "no gradients have been summed");
}

template <class T> py::tuple gradients(const Trainer<T>& trainer) {
    check_gradients(trainer);
    py::list weights, biases;
    for (std::size_t i = 0; i < trainer.layer_states().size(); ++i) {
        const auto [of_weights, of_biases] =
            new_layer_arrays(trainer.network().layers()[i], trainer.layer_states()[i].gradients());
        weights.append(of_weights);
        biases.append(of_biases);
    }
    return py::make_tuple(weights, biases);
}

// In the order of the network's parameter_vector.
template <class T> Array<T> gradient_vector(const Trainer<T>& trainer) {
    check_gradients(trainer);
    Array<T> vector(parameter_count(trainer.network()));
    get_gradients(trainer, vector.mutable_data());
    return vector;
}

// All parameters and the optimizer's state, padding included, for a copy in another process.
template <class T> Array<T> memory(Trainer<T>& trainer) {
    Array<T> values(trainer.memory_size());
    trainer.copy_memory_to(values.mutable_data());
    return values;
}

template <class T> void set_memory(Trainer<T>& trainer, const Array<T>& values) {
    require(values.ndim() == 1 && values.shape(0) == trainer.memory_size(),
            "the values are of another network or instruction set");
    trainer.network().note_change();
    trainer.copy_memory_from(values.data());
}

template <class T> void restore_snapshot(Trainer<T>& trainer) {
    require(trainer.has_snapshot(), "no snapshot has been saved");
    trainer.network().note_change();
    trainer.restore_snapshot();
}

// (updates so far, for each layer [weights, biases] of each array that the optimizer keeps beside them)
template <class T> py::tuple optimizer_state(Trainer<T>& trainer) {
    py::list layers;
    for (std::size_t i = 0; i < trainer.layer_states().size(); ++i) {
        LayerState<T>& state = trainer.layer_states()[i];
        py::list arrays;
        for (int j = 0; j < state.state_count(); ++j) {
            const auto [weights, biases] = new_layer_arrays<T>(trainer.network().layers()[i], state.state(j));
            arrays.append(weights);
            arrays.append(biases);
        }
        layers.append(arrays);
    }
    return py::make_tuple(trainer.updates(), layers);
}

template <class T>
void set_optimizer_state(Trainer<T>& trainer, int64_t updates, const std::vector<std::vector<Array<T>>>& layers) {
    std::vector<LayerState<T>>& states = trainer.layer_states();
    require(updates >= 0 && layers.size() == states.size(), "the state is of another network");
    for (std::size_t i = 0; i < layers.size(); ++i) {
        require(static_cast<int>(layers[i].size()) == 2 * states[i].state_count(), "the state is of another optimizer");
        for (std::size_t j = 0; j < layers[i].size(); j += 2)
            require(fit_layer(trainer.network().layers()[i], layers[i][j], layers[i][j + 1]),
                    "the state is of a network of other sizes");
    }
    for (std::size_t i = 0; i < layers.size(); ++i)
        for (int j = 0; j < states[i].state_count(); ++j) {
            const auto* const arrays = &layers[i][static_cast<std::size_t>(2 * j)];
            pack_layer(trainer.network().layers()[i], arrays[0].data(), arrays[1].data(), states[i].state(j));
        }
    trainer.set_updates(updates);
}

template <class T> void register_trainer(py::module_& m, const char* name) {
    using py::arg;
    py::class_<Trainer<T>>(m, name)
        .def(py::init(&new_trainer<T>), py::keep_alive<1, 2>(), arg("network"), arg("kind"), arg("momentum") = 0.0,
             arg("nesterov") = false, arg("beta_1") = 0.9, arg("beta_2") = 0.999, arg("epsilon") = 1e-8,
             arg("weight_decay") = 0.0, arg("rho") = 0.99, arg("momentum_decay") = 0.0, arg("average_decay") = 0.0,
             arg("rate_factors") = std::vector<std::pair<double, double>>(), arg("bfloat16") = py::none())
        .def("run", &run<T>, arg("data"), arg("plan"), arg("settings"), arg("position"), arg("sum"), arg("n_threads"),
             arg("seconds"))
        .def("sum_gradients", &sum_gradients<T>, arg("data"), arg("plan"), arg("position"), arg("sum"),
             arg("n_threads"), arg("seconds"), arg("settings") = UpdateSettings())
        .def("gradient_memory", &gradient_memory<T>)
        .def("update", guarded(&update<T>), arg("settings"), arg("gradient_divisor"), arg("n_threads"))
        .def("apply", guarded(&apply<T>), arg("weights").noconvert(), arg("biases").noconvert(), arg("settings"),
             arg("n_threads"))
        .def("gradients", guarded(&gradients<T>))
        .def("gradient_vector", guarded(&gradient_vector<T>))
        .def("memory", guarded(&memory<T>))
        .def("set_memory", guarded(&set_memory<T>), arg("values").noconvert())
        .def("save_snapshot", guarded(&Trainer<T>::save_snapshot))
        .def("restore_snapshot", guarded(&restore_snapshot<T>))
        .def_property("updates", &Trainer<T>::updates, &Trainer<T>::set_updates)
        .def("optimizer_state", guarded(&optimizer_state<T>))
        .def("set_optimizer_state", guarded(&set_optimizer_state<T>), arg("updates"), arg("layers").noconvert());
}

void register_trainers(py::module_& m) {
    using py::arg;
    py::class_<EpochPlan>(m, "EpochPlan")
        .def(py::init(&new_plan), arg("order").noconvert(), arg("batch_size"), arg("accumulate") = 1,
             arg("gradient_divisor") = 0.0)
        .def(py::init(&new_plan_in_order), arg("order"), arg("batch_size"), arg("accumulate") = 1,
             arg("gradient_divisor") = 0.0)
        .def_property_readonly("rows", &EpochPlan::rows);
    py::class_<UpdateSchedule>(m, "UpdateSchedule")
        .def(py::init([](std::vector<double> learning_rate, std::vector<double> weight_decay,
                         std::vector<double> dropout) {
                 return UpdateSchedule{std::move(learning_rate), std::move(weight_decay), std::move(dropout)};
             }),
             arg("learning_rate"), arg("weight_decay"), arg("dropout"));
    py::class_<UpdateSettings>(m, "UpdateSettings")
        .def(py::init(&new_settings), arg("learning_rate"), arg("l1") = 0.0, arg("l2") = 0.0, arg("alpha") = 0.0,
             arg("proximal") = false, arg("measures_penalty") = false, arg("max_gradient_norm") = 0.0,
             arg("dropout") = 0.0, arg("input_dropout") = 0.0, arg("dropout_seed") = 0, arg("schedule") = py::none(),
             py::keep_alive<1, 12>())
        .def("at", &settings_at, arg("update"));
    register_trainer<float>(m, "TrainerFloat32");
    register_trainer<double>(m, "TrainerFloat64");
}

}  // namespace fastmlp
