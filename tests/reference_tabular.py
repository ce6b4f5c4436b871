"""Networks for tables, slowly, in NumPy: forward from the formulas, gradients by complex steps, and Adam."""

from dataclasses import replace

import numpy as np
from regularized import factors_of_units

SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def where_positive(z, yes, no):
    return np.where(z.real > 0, yes, no)


ACTIVATIONS = {
    "relu": lambda z: where_positive(z, z, 0),
    "selu": lambda z: SELU_SCALE * where_positive(z, z, SELU_ALPHA * (np.exp(np.where(z.real > 0, 0, z)) - 1)),
    "mish": lambda z: z * np.tanh(np.log(1 + np.exp(z))),
    "tanh": np.tanh,
}


def embedded(parameters, a, numbers, columns, codes):
    """The inputs of the first layer: embeddings of numbers, numbers, columns, embeddings of categories."""
    parts = []
    if a.frequencies and a.numbers:
        for j in range(a.numbers):
            angle = (
                2 * np.pi * numbers[:, j : j + 1] * parameters["numbers.frequencies"][j]
                + parameters["numbers.phases"][j]
            )
            weights = parameters["numbers.weights"][j].reshape(a.frequencies, a.embedding_outputs)
            parts.append(np.cos(angle) @ weights + parameters["numbers.biases"][j])
    for j, edges in enumerate(a.bin_edges):
        x, weights = numbers[:, j : j + 1], parameters["numbers.weights"][j].reshape(-1, a.embedding_outputs)
        part = x * parameters["numbers.slopes"][j] + parameters["numbers.biases"][j]
        for b, (left, right) in enumerate(zip(edges, edges[1:])):
            least = -np.inf if b == 0 else 0
            greatest = np.inf if b == len(edges) - 2 else 1
            part = part + np.clip((x - left) / (right - left), least, greatest) * weights[b]
        parts.append(part)
    parts += [columns] if a.bin_edges else [numbers, columns]
    parts += [parameters[f"categories.{i}"][codes[:, i]] for i in range(len(a.categories))]
    return np.concatenate(parts, axis=1)


def outputs(parameters, a, rows, masks=None):
    """The values z of each member's output layer, shape (members, rows, outputs)."""
    x, f = embedded(parameters, a, *rows), ACTIVATIONS[a.activation]
    result = []
    for k in range(a.members):
        h = x
        for i in range(len(a.hidden)):
            name = f"hidden.{i}."
            h = h * parameters.get(name + "input_factors", np.ones((a.members, 1)))[k]
            z = h @ parameters[name + "weights"] * parameters.get(name + "output_factors", np.ones((a.members, 1)))[k]
            z = z + (parameters[name + "member_biases"][k] if a.scales_layers else parameters[name + "biases"])
            share = parameters.get(name + "activation_shares", np.ones((a.members, 1)))[k]
            h = z + share * (f(z) - z)
            if masks is not None:
                h = h * masks[i][k]
        result.append(h @ parameters[f"heads.{k}.weights"] + parameters[f"heads.{k}.biases"])
    return np.stack(result)


def loss(z, y, a, sample_weight=None):
    """The mean over rows and members; y holds labels or targets."""
    if a.loss == "cross_entropy":
        shifted = z - z.real.max(axis=2, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
        smoothing = a.loss_settings.get("label_smoothing", 0.0)
        goal = np.full(z.shape[1:], smoothing / a.outputs)
        goal[np.arange(len(y)), y] += 1 - smoothing
        of_rows = -(goal * log_p).sum(axis=2)
    else:
        of_rows = 0.5 * ((z - y) ** 2).sum(axis=2)
    return (of_rows if sample_weight is None else of_rows * sample_weight).mean()


def predictions(parameters, a, rows):
    """What the network predicts: the mean over the members."""
    z = outputs(parameters, a, rows)
    if a.loss == "cross_entropy":
        z = np.exp(z - z.max(axis=2, keepdims=True))
        z /= z.sum(axis=2, keepdims=True)
    return z.mean(axis=0)


def gradients(parameters, a, rows, y, sample_weight=None, masks=None):
    """By complex steps, which are exact to the last bits for functions without absolute values."""
    complex_ones = {name: value.astype(complex) for name, value in parameters.items()}
    result = {}
    for name, value in complex_ones.items():
        gradient = np.zeros(value.shape)
        for index in np.ndindex(value.shape):
            value[index] += 1e-30j
            gradient[index] = loss(outputs(complex_ones, a, rows, masks), y, a, sample_weight).imag / 1e-30
            value[index] = value[index].real
        result[name] = gradient
    return result


def dropout_masks(a, rate, seed, update, rows):
    """Of each hidden layer, shape (members, rows, width)."""
    return [
        factors_of_units(rate, seed, update, i, a.members * rows, width).reshape(a.members, rows, width)
        for i, width in enumerate(a.hidden)
    ]


def adam(parameters, gradient, state, t, rate, settings):
    """One update in PyTorch's form: epsilon is added to the corrected root; the factors scale each array's settings."""
    for name, g in gradient.items():
        factors = settings.factors[name]
        mean, square = state.setdefault(name, (np.zeros(g.shape), np.zeros(g.shape)))
        mean[:] = settings.beta_1 * mean + (1 - settings.beta_1) * g
        square[:] = settings.beta_2 * square + (1 - settings.beta_2) * g * g
        root = np.sqrt(square / (1 - settings.beta_2**t)) + settings.epsilon * factors.epsilon
        parameters[name] *= 1 - rate * settings.weight_decay * factors.weight_decay
        parameters[name] -= rate * factors.learning_rate * mean / (1 - settings.beta_1**t) / root


def with_weight_decay(settings, factor):
    return replace(settings, weight_decay=settings.weight_decay * factor)
