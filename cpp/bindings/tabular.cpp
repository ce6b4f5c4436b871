// Networks for tables and their trainers, of both precisions.
#include <atomic>

#include "../nn/tabular/tabular_trainer.h"
#include "gil.h"
#include "layer_arrays.h"
#include "part_settings.h"
#include "register.h"

namespace fastmlp {

TabularShape new_shape(int64_t numbers, int64_t columns, int64_t frequencies, int64_t embedding_outputs,
                       const std::vector<std::pair<int64_t, int64_t>>& categories, std::vector<int64_t> hidden,
                       int64_t outputs, int64_t members, bool scales_inputs, bool scales_layers,
                       bool mixes_activation, std::vector<std::vector<double>> bin_edges) {
    TabularShape shape;
    shape.numbers = numbers;
    shape.columns = columns;
    shape.frequencies = frequencies;
    shape.embedding_outputs = embedding_outputs;
    for (const auto& [cardinality, dimension] : categories) {
        require(cardinality >= 1 && dimension >= 1, "a category needs a cardinality and a dimension of at least 1");
        shape.categories.push_back({cardinality, dimension});
    }
    shape.hidden = std::move(hidden);
    shape.outputs = outputs;
    shape.members = members;
    shape.scales_inputs = scales_inputs;
    shape.scales_layers = scales_layers;
    shape.mixes_activation = mixes_activation;
    shape.bin_edges = std::move(bin_edges);
    require(numbers >= 0 && columns >= 0 && frequencies >= 0 && embedding_outputs >= 0,
            "numbers, columns, frequencies and embedding_outputs must be at least 0");
    require(embedding_outputs > 0 || (frequencies == 0 && !shape.is_piecewise()),
            "an embedding of numbers needs embedding_outputs of at least 1");
    return shape;
}

template <class T>
std::unique_ptr<TabularNet<T>> new_net(const TabularShape& shape, Activation activation,
                                       const std::vector<double>& activation_settings, Loss loss,
                                       const std::vector<double>& loss_settings) {
    return std::make_unique<TabularNet<T>>(shape, activation, settings_of<T>(activation, activation_settings),
                                           loss_function<T>(loss, loss_settings, shape.outputs, false),
                                           current_table());
}

// A table that views NumPy arrays; codes and labels, which are positions in memory, are copies.
template <class T> struct BoundTable : LabelledTable<T> {
    std::vector<Pin> pins;
    std::vector<std::int32_t> own_codes;  // which stay as they were checked
    TabularShape shape;
    bool is_labelled = false;
};

template <class T> void pin(BoundTable<T>& table, const py::array& array) { table.pins.emplace_back(array); }

template <class T>
std::unique_ptr<BoundTable<T>> new_table(const TabularNet<T>& net, const Array<T>& numbers, const Array<T>& columns,
                                         const Array<std::int32_t>& codes) {
    const TabularShape& shape = net.shape();
    const auto categories = static_cast<int64_t>(shape.categories.size());
    require(numbers.ndim() == 2 && numbers.shape(1) == shape.numbers, "numbers must have shape (rows, numbers)");
    const int64_t rows = numbers.shape(0);
    require(columns.ndim() == 2 && columns.shape(0) == rows && columns.shape(1) == shape.columns,
            "columns must have shape (rows, columns)");
    require(codes.ndim() == 2 && codes.shape(0) == rows && codes.shape(1) == categories,
            "codes must have shape (rows, categories)");
    auto table = std::make_unique<BoundTable<T>>();
    table->own_codes.assign(codes.data(), codes.data() + rows * categories);
    for (int64_t i = 0; i < rows * categories; ++i) {
        const int64_t code = table->own_codes[static_cast<std::size_t>(i)];
        const int64_t cardinality = shape.categories[static_cast<std::size_t>(i % categories)].cardinality;
        if (code < 0 || code >= cardinality)
            throw std::invalid_argument("a code lies outside of [0, " + std::to_string(cardinality) + "): " +
                                        std::to_string(code));
    }
    table->numbers = numbers.data();
    table->columns = columns.data();
    table->codes = table->own_codes.data();
    table->rows = rows;
    table->shape = shape;
    pin(*table, numbers);
    pin(*table, columns);
    return table;
}

template <class T>
std::unique_ptr<BoundTable<T>> new_labelled_table(const TabularNet<T>& net, const Array<T>& numbers,
                                                  const Array<T>& columns, const Array<std::int32_t>& codes,
                                                  const std::optional<Array<std::int64_t>>& labels,
                                                  const std::optional<Array<T>>& targets,
                                                  const std::optional<Array<T>>& sample_weights) {
    auto table = new_table(net, numbers, columns, codes);
    require(net.uses_labels() == labels.has_value() && net.uses_labels() != targets.has_value(),
            "the loss takes either labels or targets");
    if (labels) {
        require(labels->ndim() == 1 && labels->shape(0) == table->rows, "labels must have one entry per row");
        table->labels = checked_labels(labels->data(), table->rows, net.shape().outputs);
    } else {
        require(targets->ndim() == 2 && targets->shape(0) == table->rows && targets->shape(1) == net.shape().outputs,
                "targets must have shape (rows, outputs)");
        table->targets = targets->data();
        pin(*table, *targets);
    }
    if (sample_weights) {
        require(sample_weights->ndim() == 1 && sample_weights->shape(0) == table->rows,
                "sample_weights must have one entry per row");
        table->sample_weights = sample_weights->data();
        pin(*table, *sample_weights);
    }
    table->is_labelled = true;
    return table;
}

template <class T> void has_columns_of(const TabularNet<T>& net, const BoundTable<T>& table) {
    const TabularShape &own = net.shape(), &other = table.shape;
    bool same = own.numbers == other.numbers && own.columns == other.columns &&
                own.categories.size() == other.categories.size();
    for (std::size_t i = 0; same && i < own.categories.size(); ++i)
        same = own.categories[i].cardinality == other.categories[i].cardinality;
    require(same, "the table is of another network");
}

template <class T> Array<T> array_of(MatrixView<const T> view) {
    Array<T> array = new_matrix<T>(view.rows, view.columns);
    copy_rows(view, matrix_view_of_new(array));
    return array;
}

template <class T>
void add_layer(py::dict& all, const std::string& name, const DenseLayer<T>& layer, bool has_biases,
               LayerArrays<const T> from) {
    const auto [weights, biases] = new_layer_arrays(layer, from);
    all[py::str(name + ".weights")] = weights;
    if (has_biases) all[py::str(name + ".biases")] = biases;
}

template <class T> py::dict net_parameters(TabularNet<T>& net) {
    py::dict all;
    net.for_each_array([&](const std::string& name, const ParameterArray<T>& array) {
        all[py::str(name)] = array_of<T>(array.view());
    });
    net.for_each_layer([&](const std::string& name, const DenseLayer<T>& layer, bool has_biases) {
        add_layer(all, name, layer, has_biases, layer.parameters());
    });
    return all;
}

template <class T> void set_net_parameters(TabularNet<T>& net, const py::dict& all) {
    const auto given = [&](const std::string& name) {
        if (!all.contains(name)) throw std::invalid_argument("parameters lack " + name);
        const py::object value = all[py::str(name)];
        if (!py::isinstance<Array<T>>(value)) throw std::invalid_argument(name + " is of another type");
        return value.cast<Array<T>>();
    };
    const auto check = [&](bool fits, const std::string& name) {
        if (!fits) throw std::invalid_argument(name + " has the wrong shape");
    };
    std::size_t count = 0;
    net.for_each_array([&](const std::string& name, const ParameterArray<T>& array) {
        const Array<T> values = given(name);
        check(values.ndim() == 2 && values.shape(0) == array.rows() && values.shape(1) == array.columns(), name);
        ++count;
    });
    const auto biases_of = [&](const std::string& name, const DenseLayer<T>& layer, bool has_biases) {
        if (has_biases) return given(name + ".biases");
        Array<T> zeros(layer.outputs());
        std::fill_n(zeros.mutable_data(), layer.outputs(), T(0));
        return zeros;
    };
    net.for_each_layer([&](const std::string& name, const DenseLayer<T>& layer, bool has_biases) {
        check(fit_layer(layer, given(name + ".weights"), biases_of(name, layer, has_biases)), name);
        count += 1 + has_biases;
    });
    require(count == all.size(), "parameters have names that the network lacks");
    net.for_each_array([&](const std::string& name, ParameterArray<T>& array) {
        const Array<T> values = given(name);
        copy_rows(matrix_view(values, "values"), array.view());
    });
    net.for_each_layer([&](const std::string& name, DenseLayer<T>& layer, bool has_biases) {
        const Array<T> weights = given(name + ".weights"), biases = biases_of(name, layer, has_biases);
        pack_layer(layer, weights.data(), biases.data(), layer.parameters());
    });
}

template <class T>
Array<T> net_forward(const TabularNet<T>& net, const BoundTable<T>& table, int n_threads) {
    has_columns_of(net, table);
    Array<T> out = new_matrix<T>(table.rows, net.shape().outputs);
    T* const to = out.mutable_data();
    const ReleasedGil released;
    net.forward(table, to, n_threads);
    return out;
}

template <class T>
Array<T> hidden_outputs(const TabularNet<T>& net, const BoundTable<T>& table, int64_t count, int n_threads) {
    const TabularShape& shape = net.shape();
    has_columns_of(net, table);
    require(count >= 0 && count <= static_cast<int64_t>(shape.hidden.size()),
            "count must be at most the number of hidden layers");
    const int64_t width = count == 0 ? shape.width() : shape.hidden[static_cast<std::size_t>(count - 1)];
    Array<T> out = new_matrix<T>(table.rows, width);
    T* const to = out.mutable_data();
    const ReleasedGil released;
    net.hidden_outputs(table, static_cast<std::size_t>(count), to, n_threads);
    return out;
}

// A trainer, and whether a thread uses it.
template <class T> struct BoundTrainer {
    TabularTrainer<T> trainer;
    std::atomic<bool> in_use{false};
};

template <class T> class Use {
public:
    explicit Use(BoundTrainer<T>& bound) : bound_(bound) {
        if (bound.in_use.exchange(true)) throw std::runtime_error("another thread uses this trainer");
    }
    ~Use() { bound_.in_use = false; }

private:
    BoundTrainer<T>& bound_;
};

template <class T>
std::unique_ptr<BoundTrainer<T>> new_tabular_trainer(TabularNet<T>& net, double beta_1, double beta_2, double epsilon,
                                                     double weight_decay, double gradient_factor,
                                                     std::optional<PairOrder> bfloat16) {
    require(!bfloat16 || std::is_same_v<T, float>, "bfloat16 is for float32 networks");
    OptimizerSettings settings;
    settings.kind = UpdateKind::adamw;
    settings.beta_1 = beta_1;
    settings.beta_2 = beta_2;
    settings.epsilon = epsilon;
    settings.weight_decay = weight_decay;
    return std::unique_ptr<BoundTrainer<T>>(new BoundTrainer<T>{{net, settings, gradient_factor, bfloat16}});
}

template <class T>
void check_table(const BoundTrainer<T>& bound, const BoundTable<T>& table, const EpochPlan& plan,
                 const UpdateSettings& settings) {
    require(table.is_labelled, "the table has no labels or targets");
    const TabularNet<T>& net = bound.trainer.net();
    has_columns_of(net, table);
    require(table.shape.outputs == net.shape().outputs && net.uses_labels() != (table.targets != nullptr),
            "the table is of another network");
    require(plan.max_row() < table.rows, "order names a row that the table lacks");
    require(!settings.schedule || settings.schedule->covers(plan.updates()),
            "the schedule has fewer updates than the plan");
}

template <class T>
int64_t run_table(BoundTrainer<T>& bound, const BoundTable<T>& table, const EpochPlan& plan,
                  const UpdateSettings& settings, int64_t position, LossSum& sum, int n_threads, double seconds) {
    check_table(bound, table, plan, settings);
    require(position >= 0, "position must be at least 0");
    const Use<T> use(bound);
    LossSum total = sum;
    {
        const ReleasedGil released;
        position = bound.trainer.run(table, plan, settings, position, total, n_threads, seconds);
    }
    sum = total;
    return position;
}

template <class T>
py::dict table_gradients(BoundTrainer<T>& bound, const BoundTable<T>& table, const EpochPlan& plan,
                   const UpdateSettings& settings, int n_threads) {
    check_table(bound, table, plan, settings);
    require(plan.rows() > 0, "a gradient needs rows");
    const Use<T> use(bound);
    {
        const ReleasedGil released;
        bound.trainer.sum_gradients(table, plan, settings, n_threads);
    }
    py::dict all;
    bound.trainer.for_each_gradient(
        [&](const std::string& name, const ParameterArray<T>& gradient) {
            all[py::str(name)] = array_of<T>(gradient.view());
        },
        [&](const std::string& name, const DenseLayer<T>& layer, bool has_biases, LayerArrays<const T> from) {
            add_layer(all, name, layer, has_biases, from);
        });
    return all;
}

template <class T> void register_precision(py::module_& m, const std::string& suffix) {
    using py::arg;
    py::class_<BoundTable<T>>(m, ("Table" + suffix).c_str()).def_property_readonly("rows", [](const BoundTable<T>& t) {
        return t.rows;
    });
    py::class_<TabularNet<T>>(m, ("TabularNet" + suffix).c_str())
        .def(py::init(&new_net<T>), arg("shape"), arg("activation"), arg("activation_settings"), arg("loss"),
             arg("loss_settings"))
        .def("table", &new_table<T>, arg("numbers").noconvert(), arg("columns").noconvert(), arg("codes").noconvert())
        .def("labelled_table", &new_labelled_table<T>, arg("numbers").noconvert(), arg("columns").noconvert(),
             arg("codes").noconvert(), arg("labels").noconvert() = py::none(), arg("targets").noconvert() = py::none(),
             arg("sample_weights").noconvert() = py::none())
        .def("parameters", &net_parameters<T>)
        .def("set_parameters", &set_net_parameters<T>, arg("parameters"))
        .def("forward", &net_forward<T>, arg("table"), arg("n_threads"))
        .def("hidden_outputs", &hidden_outputs<T>, arg("table"), arg("count"), arg("n_threads"))
        .def_property_readonly("forward_operations", &TabularNet<T>::forward_operations);
    py::class_<BoundTrainer<T>>(m, ("TabularTrainer" + suffix).c_str())
        .def(py::init(&new_tabular_trainer<T>), py::keep_alive<1, 2>(), arg("net"), arg("beta_1") = 0.9,
             arg("beta_2") = 0.999, arg("epsilon") = 1e-8, arg("weight_decay") = 0.0, arg("gradient_factor") = 1.0,
             arg("bfloat16") = py::none())
        .def(
            "set_factors",
            [](BoundTrainer<T>& self, const std::string& name, double learning_rate, double weight_decay,
               double epsilon) {
                const Use<T> use(self);
                self.trainer.set_factors(name, {learning_rate, weight_decay, epsilon});
            },
            arg("name"), arg("learning_rate") = 1.0, arg("weight_decay") = 0.0, arg("epsilon") = 1.0)
        .def("run", &run_table<T>, arg("table"), arg("plan"), arg("settings"), arg("position"), arg("sum"),
             arg("n_threads"), arg("seconds"))
        .def("gradients", &table_gradients<T>, arg("table"), arg("plan"), arg("settings"), arg("n_threads"))
        .def_property_readonly("updates", [](const BoundTrainer<T>& self) { return self.trainer.updates(); })
        .def("save_snapshot",
             [](BoundTrainer<T>& self) {
                 const Use<T> use(self);
                 self.trainer.save_snapshot();
             })
        .def("restore_snapshot", [](BoundTrainer<T>& self) {
            const Use<T> use(self);
            require(self.trainer.has_snapshot(), "no snapshot has been saved");
            self.trainer.restore_snapshot();
        });
}

void register_tabular(py::module_& m) {
    using py::arg;
    py::class_<TabularShape>(m, "TabularShape")
        .def(py::init(&new_shape), arg("numbers"), arg("columns"), arg("frequencies"), arg("embedding_outputs"),
             arg("categories"), arg("hidden"), arg("outputs"), arg("members") = 1, arg("scales_inputs") = false,
             arg("scales_layers") = false, arg("mixes_activation") = false,
             arg("bin_edges") = std::vector<std::vector<double>>());
    register_precision<float>(m, "Float32");
    register_precision<double>(m, "Float64");
}

}  // namespace fastmlp
