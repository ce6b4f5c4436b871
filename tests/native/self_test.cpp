// Trains networks without Python, on systems that have none: each instruction set of this machine against plain loops in
// double precision, and several threads against one, bit by bit. Exits with 1 at the first failure.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "../../cpp/nn/network.h"
#include "../../cpp/nn/parameters.h"
#include "../../cpp/nn/trainer.h"

using namespace fastmlp;

namespace {

constexpr int64_t inputs = 19, hidden = 37, classes = 5, rows = 131;  // primes: no tile is full
constexpr int64_t sizes[] = {inputs, hidden, classes};
constexpr int64_t parameters = (inputs + 1) * hidden + (hidden + 1) * classes;
constexpr double learning_rate = 0.5;
constexpr int updates = 20;

void check(bool holds, const char* isa, const char* what) {
    std::printf("%s %s: %s\n", holds ? "ok  " : "FAIL", isa, what);
    std::fflush(stdout);
    if (!holds) std::exit(1);
}

std::vector<double> drawn(int64_t size, double scale, unsigned state) {
    std::vector<double> values;
    for (int64_t i = 0; i < size; ++i) {
        state = state * 1664525u + 1013904223u;
        values.push_back(static_cast<float>(scale * (static_cast<double>(state >> 8) / (1 << 23) - 1)));
    }
    return values;
}

// All weights, layer by layer and row by row, and then all biases.
const std::vector<double> start = drawn(parameters, 0.4, 1), x = drawn(rows * inputs, 1.0, 2);

std::vector<int64_t> new_labels() {
    std::vector<int64_t> labels;
    for (int64_t row = 0; row < rows; ++row) labels.push_back(row % classes);
    return labels;
}
const std::vector<int64_t> labels = new_labels();

// The mean cross-entropy of softmax(tanh(x w + b) v + c), and its gradient.
double loss_and_gradient(const std::vector<double>& p, std::vector<double>& gradient) {
    const double *w = p.data(), *v = w + inputs * hidden, *b = v + hidden * classes, *c = b + hidden;
    gradient.assign(p.size(), 0);
    double *dw = gradient.data(), *dv = dw + inputs * hidden, *db = dv + hidden * classes, *dc = db + hidden;
    double loss = 0;
    for (int64_t row = 0; row < rows; ++row) {
        const double* const in = x.data() + row * inputs;
        double h[hidden], out[classes], sum = 0;
        for (int64_t j = 0; j < hidden; ++j) {
            double z = b[j];
            for (int64_t i = 0; i < inputs; ++i) z += in[i] * w[i * hidden + j];
            h[j] = std::tanh(z);
        }
        for (int64_t k = 0; k < classes; ++k) {
            double z = c[k];
            for (int64_t j = 0; j < hidden; ++j) z += h[j] * v[j * classes + k];
            sum += out[k] = std::exp(z);
        }
        loss -= std::log(out[labels[static_cast<std::size_t>(row)]] / sum) / rows;
        double dz[classes], dh[hidden] = {};
        for (int64_t k = 0; k < classes; ++k) {
            dz[k] = (out[k] / sum - (labels[static_cast<std::size_t>(row)] == k)) / rows;
            dc[k] += dz[k];
            for (int64_t j = 0; j < hidden; ++j) {
                dv[j * classes + k] += h[j] * dz[k];
                dh[j] += v[j * classes + k] * dz[k];
            }
        }
        for (int64_t j = 0; j < hidden; ++j) {
            const double d = dh[j] * (1 - h[j] * h[j]);
            db[j] += d;
            for (int64_t i = 0; i < inputs; ++i) dw[i * hidden + j] += in[i] * d;
        }
    }
    return loss;
}

// The parameters after gradient descent on all rows, and the losses before each update.
template <class T> struct Fit {
    std::vector<T> parameters;
    std::vector<double> losses;
};

Fit<double> fit_reference() {
    Fit<double> fit{start, {}};
    std::vector<double> gradient;
    for (int i = 0; i < updates; ++i) {
        fit.losses.push_back(loss_and_gradient(fit.parameters, gradient));
        for (std::size_t j = 0; j < gradient.size(); ++j) fit.parameters[j] -= learning_rate * gradient[j];
    }
    return fit;
}

template <class T> Fit<T> fit(const KernelTable& table, int threads) {
    Network<T> network({inputs, hidden, classes}, {Epilogue<T>(Activation::tanh, {}, kernels_of<T>(table))},
                       LossFunction<T>{Loss::cross_entropy, {}, false, {}}, 1.0, table);
    const std::vector<T> values(start.begin(), start.end()), rows_of_x(x.begin(), x.end());
    set_parameters(network, values.data());
    Dataset<T> data;
    data.inputs = {rows_of_x.data(), sizeof(T) == 4 ? InputKind::float32 : InputKind::float64, rows, inputs};
    data.labels = checked_labels(labels.data(), rows, classes);
    OptimizerSettings optimizer;
    optimizer.kind = UpdateKind::sgd;
    Trainer<T> trainer(network, optimizer);
    UpdateSettings settings;
    settings.learning_rate = learning_rate;
    Fit<T> fit;
    for (int i = 0; i < updates; ++i) {
        const EpochPlan plan(nullptr, rows, rows, 1, 0.0);
        LossSum sum;
        for (int64_t position = 0; position < rows;)
            position = trainer.run(data, plan, settings, position, sum, threads, 60.0);
        fit.losses.push_back(sum.loss / rows);
    }
    fit.parameters.resize(parameters);
    get_parameters(network, fit.parameters.data());
    return fit;
}

template <class T> bool are_near(const std::vector<T>& found, const std::vector<double>& expected, double tolerance) {
    for (std::size_t i = 0; i < expected.size(); ++i)
        if (!(std::abs(static_cast<double>(found[i]) - expected[i]) <= tolerance)) return false;
    return found.size() == expected.size();
}

// Rounding errors of `updates` steps whose terms are below 1, with a factor of 100 for their sums.
template <class T> constexpr double tolerance = 100 * updates * static_cast<double>(std::numeric_limits<T>::epsilon());

template <class T> void test(const KernelTable& table, const Fit<double>& expected, const char* what) {
    const Fit<T> alone = fit<T>(table, 1);
    check(are_near(alone.losses, expected.losses, tolerance<T>) &&
              are_near(alone.parameters, expected.parameters, tolerance<T>),
          table.isa, what);
    // Also from a second thread, whose pool of threads is another.
    std::vector<Fit<T>> others(4);
    others[0] = fit<T>(table, 2);
    others[1] = fit<T>(table, 3);
    std::thread second([&] { others[2] = fit<T>(table, 3); });
    second.join();
    std::thread third([&] { others[3] = fit<T>(table, 2); });
    third.join();
    for (const Fit<T>& other : others)
        check(other.parameters == alone.parameters && other.losses == alone.losses, table.isa, "equal bits in a team");
}

}  // namespace

int main() {
    TeamHook::whole = true;  // teams of the wanted size, however little there is to do
    const Fit<double> expected = fit_reference();
    check(expected.losses.back() < expected.losses.front(), "reference", "the loss falls");
    for (const KernelTable* table : available_tables()) {
        test<float>(*table, expected, "training in float32");
        test<double>(*table, expected, "training in float64");
    }
    std::printf("%d cores, OpenMP %s\n", available_cores(), has_openmp() ? "yes" : "no");
}
