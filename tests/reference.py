"""The oracle: a multilayer perceptron in float64 NumPy, written to be read.

The fast core is compared with this file, so nothing here is clever. A network is two lists:
weights[i] of shape (inputs, outputs) and biases[i] of shape (outputs,). A batch X has one sample
per row. Layer i computes a_i = f(a_(i-1) @ weights[i] + biases[i]); the last layer has no f of its
own: each loss has an output function for it. Rows may have weights: a mean over rows is then the weighted one.
An activation or a loss is a name, or a row of its table with settings, from `with_settings`. A list or tuple of
activations holds one for each hidden layer.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


def logistic(z):
    small = np.exp(-np.abs(z))  # in (0, 1]: never overflows
    return np.where(z >= 0, 1.0, small) / (1.0 + small)


def softplus(z):
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))


def below_zero(z):
    return np.expm1(np.minimum(z, 0.0))


erfc = np.vectorize(math.erfc, otypes=[float])


def normal_probability(z):
    """Of at most z. An error of the argument would grow with its square, so what rounding leaves of it is added."""
    exact = -np.clip(z, -40.0, 40.0) / np.sqrt(np.longdouble(2))
    x = exact.astype(float)
    return (erfc(x) - 2 / math.sqrt(math.pi) * np.exp(-(x**2)) * (exact - x).astype(float)) / 2


def normal_density(z):
    return np.exp(-(np.clip(z, -40.0, 40.0) ** 2) / 2) / math.sqrt(2 * math.pi)


def finite(z):
    return np.maximum(z, -1e6)  # where the factor of z has become 0


def gelu_tanh_exponent(z):
    z = np.clip(z, -1e6, 1e6)
    return 2 * math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)


class Activation(NamedTuple):
    value: Callable  # of z and the settings, as the derivative
    derivative: Callable
    rounding: int = 8  # the relative error that a correct program may make in the value, in eps
    condition: Callable = lambda z: 1.0  # how many times as much, as a function of z
    kink: bool = False  # the derivative jumps at 0, where it is the one from the left
    fan_in: float = 0  # initial weights have variance fan_in / inputs; 0: Glorot's


ACTIVATIONS = {
    "relu": Activation(lambda z: np.maximum(z, 0.0), lambda z: (z > 0.0).astype(float), 0, kink=True, fan_in=2),
    "tanh": Activation(np.tanh, lambda z: 1.0 - np.tanh(z) ** 2),
    "logistic": Activation(logistic, lambda z: logistic(z) * (1.0 - logistic(z))),
    "silu": Activation(
        lambda z: finite(z) * logistic(z), lambda z: logistic(z) * (1 + z * (1 - logistic(z))), fan_in=2
    ),
    "elu": Activation(
        lambda z, alpha=1.0: np.maximum(z, 0.0) + alpha * below_zero(z),
        lambda z, alpha=1.0: np.where(z > 0, 1.0, alpha * np.exp(np.minimum(z, 0.0))),
        kink=True,  # where alpha is not 1
        fan_in=2,
    ),
    "selu": Activation(
        lambda z: 1.0507009873554805 * np.maximum(z, 0.0) + 1.7580993408473768 * below_zero(z),
        lambda z: np.where(z > 0, 1.0507009873554805, 1.7580993408473768 * np.exp(np.minimum(z, 0.0))),
        kink=True,
        fan_in=1,
    ),
    "gelu": Activation(
        lambda z: finite(z) * normal_probability(z),
        lambda z: normal_probability(z) + z * normal_density(z),
        fan_in=2,
    ),
    "gelu_tanh": Activation(
        lambda z: finite(z) * logistic(gelu_tanh_exponent(z)),
        lambda z: (
            logistic(gelu_tanh_exponent(z))
            * (1 + z * logistic(-gelu_tanh_exponent(z)) * 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2))
        ),
        condition=lambda z: 1 + np.abs(gelu_tanh_exponent(z)),  # an error of the exponent
        fan_in=2,
    ),
    "mish": Activation(
        lambda z: finite(z) * np.tanh(softplus(z)),
        lambda z: np.tanh(softplus(z)) + z * logistic(z) / np.cosh(softplus(z)) ** 2,
        fan_in=2,
    ),
    "softplus": Activation(softplus, logistic),
    "identity": Activation(lambda z: z, np.ones_like, 0),
    "leaky_relu": Activation(
        lambda z, slope=0.01: np.where(z > 0, z, slope * z),
        lambda z, slope=0.01: np.where(z > 0, 1.0, slope),
        2,
        kink=True,
        fan_in=2,
    ),
}


def with_settings(table, name, **settings):
    """The row of ACTIVATIONS or LOSSES whose functions have these settings."""
    row = table[name]
    functions = [field for field in ("value", "derivative") if hasattr(row, field)]
    return row._replace(**{field: functools.partial(getattr(row, field), **settings) for field in functions})


def row_of(table, part):
    return table[part] if isinstance(part, str) else part


def rows_of(activation, hidden_layers):
    """The row of each hidden layer; of one at least, because the weights of a linear model start as if it had one."""
    is_one = isinstance(activation, str | Activation)
    each = [activation] * max(hidden_layers, 1) if is_one else activation
    assert len(each) == max(hidden_layers, 1)
    return [row_of(ACTIVATIONS, part) for part in each]


def softmax(z):
    exponentials = np.exp(z - z.max(axis=1, keepdims=True))  # the shift changes nothing but overflow
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def mean_over_rows(losses, gradients, sample_weight):
    """The mean of the rows' losses, and the gradient of that mean."""
    shares = np.ones(len(losses)) if sample_weight is None else np.asarray(sample_weight, float)
    shares = shares / shares.sum()
    return shares @ losses, gradients * shares[:, None]


def cross_entropy(z, labels, sample_weight=None, label_smoothing=0.0):
    """Mean over the batch of -sum q log softmax(z), q = 1 for the label, smoothed, and its gradient with respect to z."""
    q = np.full(z.shape, label_smoothing / z.shape[1])
    q[np.arange(len(z)), labels] += 1 - label_smoothing
    shifted = z - z.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return mean_over_rows(log_sums - (q * shifted).sum(axis=1), softmax(z) - q, sample_weight)


def squared_error(z, targets, sample_weight=None):
    """Mean over the batch of 1/2 * sum over outputs of (z - target)^2, and its gradient."""
    difference = z - np.reshape(targets, z.shape)
    return mean_over_rows(0.5 * np.sum(difference**2, axis=1), difference, sample_weight)


def absolute_error(z, targets, sample_weight=None):
    """Mean over the batch of the sum over outputs of |z - target|, and its gradient."""
    difference = z - np.reshape(targets, z.shape)
    return mean_over_rows(np.abs(difference).sum(axis=1), np.sign(difference), sample_weight)


def huber(z, targets, sample_weight=None, delta=1.0):
    """Mean over the batch of the sum over outputs of d^2 / 2, or beyond delta of delta |d| - delta^2 / 2."""
    difference = z - np.reshape(targets, z.shape)
    size = np.abs(difference)
    losses = np.where(size <= delta, difference**2 / 2, delta * size - delta**2 / 2)
    return mean_over_rows(losses.sum(axis=1), np.clip(difference, -delta, delta), sample_weight)


def quantile(z, targets, sample_weight=None, level=0.5):
    """Mean over the batch of the sum over outputs of the pinball loss of this level."""
    difference = z - np.reshape(targets, z.shape)
    slopes = np.where(difference > 0, 1 - level, -level) * (difference != 0)
    return mean_over_rows((slopes * difference).sum(axis=1), slopes, sample_weight)


def gamma(z, targets, sample_weight=None):
    """Mean over the batch of the sum over outputs of t / p - log(t / p) - 1 with p = e^z."""
    ratio = np.reshape(targets, z.shape) * np.exp(-z)
    return mean_over_rows((ratio - np.log(ratio) - 1).sum(axis=1), 1 - ratio, sample_weight)


def binary_cross_entropy(z, targets, sample_weight=None, label_smoothing=0.0):
    """Mean over the batch of the sum over outputs of -t log p - (1 - t) log(1 - p) with p = logistic(z):
    log(1 + e^z) - t z, as -log p is log(1 + e^-z)."""
    targets = np.reshape(targets, z.shape) * (1 - label_smoothing) + label_smoothing / 2
    losses = np.logaddexp(0.0, z) - targets * z
    return mean_over_rows(losses.sum(axis=1), logistic(z) - targets, sample_weight)


def poisson(z, targets, sample_weight=None):
    """Mean over the batch of the sum over outputs of t log(t / p) - t + p with p = e^z, and 0 log 0 = 0."""
    targets = np.reshape(np.asarray(targets, float), z.shape)
    logs = np.log(np.where(targets > 0, targets, 1.0))
    losses = targets * (logs - z) - targets + np.exp(z)
    return mean_over_rows(losses.sum(axis=1), np.exp(z) - targets, sample_weight)


class Loss(NamedTuple):
    value: (
        Callable  # the mean over rows and its gradient, of z, labels or targets, the weights of rows and the settings
    )
    output: Callable  # what the outputs are, of z
    targets: Callable = lambda values: values  # makes what the loss compares outputs with of values (samples, outputs)
    kink: bool = False  # the gradient jumps where z is the target


LOSSES = {
    "cross_entropy": Loss(cross_entropy, softmax, lambda values: values.argmax(axis=1)),
    "squared_error": Loss(squared_error, lambda z: z),
    "binary_cross_entropy": Loss(binary_cross_entropy, logistic, lambda values: (values > 0).astype(values.dtype)),
    "absolute_error": Loss(absolute_error, lambda z: z, kink=True),
    "huber": Loss(huber, lambda z: z),
    "quantile": Loss(quantile, lambda z: z, kink=True),
    "gamma": Loss(gamma, np.exp, lambda values: np.exp(values)),
    "poisson": Loss(poisson, np.exp, lambda values: np.floor(np.exp(values))),
}


def targets_of(loss, values):
    """Values, shape (samples, outputs), made into what the loss compares outputs with."""
    return LOSSES[loss].targets(values)


def penalty(weights, l1, l2):
    return sum(l1 * np.abs(w).sum() + 0.5 * l2 * (w * w).sum() for w in weights)


def layer_outputs(weights, biases, X, activation):
    """[X, a_1, ..., z]: what enters each layer, and last the values z that leave the network."""
    return layer_values(weights, biases, X, activation)[0]


def layer_values(weights, biases, X, activation):
    """`layer_outputs`, and [z_1, ..., z]: the sums of each layer."""
    outputs, sums, rows = [np.asarray(X, dtype=np.float64)], [], rows_of(activation, len(weights) - 1)
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        sums.append(outputs[-1] @ w + b)
        outputs.append(sums[-1] if i == len(weights) - 1 else rows[i].value(sums[-1]))
    return outputs, sums


def forward(weights, biases, X, activation, loss):
    """What the loss compares with labels or targets: (samples, outputs)."""
    return row_of(LOSSES, loss).output(layer_outputs(weights, biases, X, activation)[-1])


class Gradients(NamedTuple):
    loss: float  # of the data alone
    penalty: float
    weights: list  # the gradients of loss + penalty
    biases: list


def rounding_bound(weights, biases, X, activation, loss, eps):
    """How far apart two correct programs in arithmetic of this eps may have each output of `forward`, shape of those.

    A sum of k products errs by sqrt(k) eps times the sum of their sizes, in any order, as roundings do not lean to one
    side (Higham and Mary 2019), and carries on what its terms have erred before. Elementary functions may err by 8 eps.
    """
    functions, rows = 8 * eps, rows_of(activation, len(weights) - 1)
    a, error = X, eps * np.abs(X)  # converted and scaled
    for i, (w, b) in enumerate(zip(weights, biases)):
        rounding = np.sqrt(len(w) + 1) * eps * (np.abs(a) @ np.abs(w) + np.abs(b))
        error = np.sqrt(error**2 @ w**2) + rounding
        a = a @ w + b
        if i < len(weights) - 1:
            steepest = np.abs(rows[i].derivative(np.linspace(-9, 9, 1801))).max()
            a = rows[i].value(a)
            error = error * max(steepest, 1.0) + rows[i].rounding * eps * np.abs(a)
    if loss == "cross_entropy":  # differences of z move the logarithm of a probability
        moved = 2 * error.max(axis=1, keepdims=True) + eps * np.ptp(a, axis=1)[:, None]
        error = softmax(a) * (np.expm1(moved) + functions + a.shape[1] * eps)
    elif loss == "binary_cross_entropy":
        error = error / 4 + functions
    elif loss in ("poisson", "gamma"):
        error = np.exp(a) * (np.expm1(error) + functions)
    return 2 * error + np.finfo(np.float32).tiny  # of both; and what one of them may flush to zero


def loss_and_gradients(weights, biases, X, y, activation, loss, l1=0.0, l2=0.0, sample_weight=None):
    outputs, sums = layer_values(weights, biases, X, activation)
    rows = rows_of(activation, len(weights) - 1)
    data_loss, delta = row_of(LOSSES, loss).value(
        outputs.pop(), y, sample_weight
    )  # delta: d loss / d z of the layer in hand
    grad_weights, grad_biases = [], []
    for w in reversed(weights):
        a = outputs.pop()  # what entered this layer
        grad_weights.insert(0, a.T @ delta + l1 * np.sign(w) + l2 * w)  # np.sign(0) is 0
        grad_biases.insert(0, delta.sum(axis=0))
        sums.pop()
        if outputs:  # the data itself needs no gradient
            delta = (delta @ w.T) * rows[len(sums) - 1].derivative(sums[-1])
    return Gradients(data_loss, penalty(weights, l1, l2), grad_weights, grad_biases)


def soft_threshold(w, by):
    return np.sign(w) * np.maximum(np.abs(w) - by, 0.0)


class SGD:
    """`reach` of each optimizer: the sum of all steps of each parameter under a constant gradient of 1."""

    def __init__(self, learning_rate):
        self.learning_rate = learning_rate

    def reach(self, params):
        return [np.full_like(w, self.learning_rate) for w in params]

    def step(self, params, grads):
        for w, g in zip(params, grads, strict=True):
            w -= self.learning_rate * g


class Momentum:
    """The velocity of scikit-learn's SGDOptimizer: the learning rate is inside it."""

    nesterov = False

    def __init__(self, learning_rate, momentum):
        self.learning_rate, self.momentum = learning_rate, momentum
        self.velocities = []

    def reach(self, params):
        return [np.full_like(w, self.learning_rate / (1 - self.momentum)) for w in params]

    def step(self, params, grads):
        self.velocities = self.velocities or [np.zeros_like(w) for w in params]
        for w, g, v in zip(params, grads, self.velocities, strict=True):
            v *= self.momentum
            v -= self.learning_rate * g
            w += self.momentum * v - self.learning_rate * g if self.nesterov else v


class Nesterov(Momentum):
    """As Momentum, but the weights already include the known part of the next move."""

    nesterov = True


class Adam:
    """Kingma & Ba 2015, in the order of scikit-learn's AdamOptimizer: epsilon beside sqrt(v),
    the two bias corrections inside the learning rate."""

    def __init__(self, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.learning_rate, self.epsilon = learning_rate, epsilon
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.t, self.means, self.squares = 0, [], []

    def rate(self):
        return self.learning_rate * np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)

    def reach(self, params):
        return [self.rate() / (np.sqrt(v) + self.epsilon) for v in self.squares]

    def step(self, params, grads):
        self.means = self.means or [np.zeros_like(w) for w in params]
        self.squares = self.squares or [np.zeros_like(w) for w in params]
        self.t += 1
        rate = self.rate()
        for w, g, m, v in zip(params, grads, self.means, self.squares, strict=True):
            m[:] = self.beta_1 * m + (1 - self.beta_1) * g
            v[:] = self.beta_2 * v + (1 - self.beta_2) * g * g
            w -= rate * m / (np.sqrt(v) + self.epsilon)


class AdamW(Adam):
    """Loshchilov & Hutter 2019: weights, not biases, first shrink by learning_rate * weight_decay."""

    def __init__(self, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.01):
        super().__init__(learning_rate, beta_1, beta_2, epsilon)
        self.weight_decay = weight_decay

    def step(self, params, grads):
        for w in params:
            if w.ndim == 2:
                w *= 1 - self.learning_rate * self.weight_decay
        super().step(params, grads)


class RMSprop:
    """Tieleman & Hinton 2012, as in PyTorch: epsilon beside sqrt(v)."""

    def __init__(self, learning_rate, rho=0.99, epsilon=1e-8):
        self.learning_rate, self.rho, self.epsilon = learning_rate, rho, epsilon
        self.squares = []

    def reach(self, params):
        return [self.learning_rate / (np.sqrt(v) + self.epsilon) for v in self.squares]

    def step(self, params, grads):
        self.squares = self.squares or [np.zeros_like(w) for w in params]
        for w, g, v in zip(params, grads, self.squares, strict=True):
            v[:] = self.rho * v + (1 - self.rho) * g * g
            w -= self.learning_rate * g / (np.sqrt(v) + self.epsilon)


class NAdam(Adam):
    """Dozat 2016, in the form of PyTorch: a schedule of the momentum, epsilon beside the corrected root."""

    def __init__(self, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, momentum_decay=0.004):
        super().__init__(learning_rate, beta_1, beta_2, epsilon)
        self.momentum_decay, self.product = momentum_decay, 1.0

    def momentum(self, t):
        return self.beta_1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay))

    def rates(self):
        now, following = self.momentum(self.t), self.momentum(self.t + 1)
        return (1 - now) / (1 - self.product), following / (1 - self.product * following)

    def reach(self, params):
        correction = 1 - self.beta_2**self.t
        return [self.learning_rate * sum(self.rates()) / (np.sqrt(v / correction) + self.epsilon) for v in self.squares]

    def step(self, params, grads):
        self.means = self.means or [np.zeros_like(w) for w in params]
        self.squares = self.squares or [np.zeros_like(w) for w in params]
        self.t += 1
        self.product *= self.momentum(self.t)
        of_gradient, of_mean = self.rates()
        for w, g, m, v in zip(params, grads, self.means, self.squares, strict=True):
            m[:] = self.beta_1 * m + (1 - self.beta_1) * g
            v[:] = self.beta_2 * v + (1 - self.beta_2) * g * g
            root = np.sqrt(v / (1 - self.beta_2**self.t)) + self.epsilon
            w -= self.learning_rate * (of_gradient * g + of_mean * m) / root


# The settings of a Trainer, and the optimizer of a learning rate.
OPTIMIZERS = {
    "sgd": (dict(optimizer="sgd"), SGD),
    "momentum": (dict(optimizer="sgd", momentum=0.7), lambda rate: Momentum(rate, 0.7)),
    "nesterov": (dict(optimizer="sgd", momentum=0.7, nesterov=True), lambda rate: Nesterov(rate, 0.7)),
    "adam": (dict(optimizer="adam"), Adam),
    "adam, own betas": (
        dict(optimizer="adam", beta_1=0.8, beta_2=0.97, epsilon=1e-3),
        lambda rate: Adam(rate, 0.8, 0.97, 1e-3),
    ),
    "nadam": (dict(optimizer="nadam"), NAdam),
    "nadam, own momentum": (
        dict(optimizer="nadam", beta_1=0.8, epsilon=1e-3, momentum_decay=3.0),
        lambda rate: NAdam(rate, 0.8, 0.999, 1e-3, 3.0),
    ),
    "rmsprop": (dict(optimizer="rmsprop", rho=0.9), lambda rate: RMSprop(rate, 0.9)),
    "adamw": (dict(optimizer="adamw", weight_decay=0.3), lambda rate: AdamW(rate, weight_decay=0.3)),
}


def initial_parameters(layer_sizes, activation, seed):
    """Uniform weights of the variance of He, LeCun or Glorot for the layer's activation, that of the output layer for
    the one before it; biases zero."""
    rng, rows = np.random.default_rng(seed), rows_of(activation, len(layer_sizes) - 2)
    weights, biases = [], []
    for i, (inputs, outputs) in enumerate(zip(layer_sizes[:-1], layer_sizes[1:], strict=True)):
        fan_in = rows[min(i, len(rows) - 1)].fan_in
        bound = np.sqrt(3 * fan_in / inputs if fan_in else 6 / (inputs + outputs))
        weights.append(rng.uniform(-bound, bound, (inputs, outputs)))
        biases.append(np.zeros(outputs))
    return weights, biases


def train(
    weights,
    biases,
    X,
    y,
    orders,
    batch_size,
    optimizer,
    l1=0.0,
    l2=0.0,
    accumulate=1,
    activation="relu",
    loss="cross_entropy",
    sample_weight=None,
    proximal=False,
    penalties=None,
):
    """One epoch per row order in `orders`; one update per `accumulate` mini-batches.

    accumulate="epoch" makes one update per epoch. The last batch, and the last group of batches,
    may be smaller and count as what they are. Returns the new weights and biases, and for each
    epoch the mean data loss over its rows as they were met, a group's mean weighted within the group.
    To the list `penalties` it adds the penalty after each epoch.
    With `proximal`, l1 has no part in the gradient: each update ends with a step towards zero, by l1 * reach.
    """
    weights, biases = [w.astype(np.float64) for w in weights], [b.astype(np.float64) for b in biases]
    params = weights + biases
    group_size = len(X) if accumulate == "epoch" else accumulate * batch_size
    epoch_losses = []
    for order in orders:
        summed_loss = 0.0
        for first in range(0, len(order), group_size):
            group = order[first : first + group_size]
            grads = [np.zeros_like(p) for p in params]
            weight_of_group = len(group) if sample_weight is None else sample_weight[group].sum()
            for start in range(0, len(group), batch_size):
                rows = group[start : start + batch_size]
                row_weights = None if sample_weight is None else sample_weight[rows]
                in_gradient = 0.0 if proximal else l1
                batch = loss_and_gradients(
                    weights, biases, X[rows], y[rows], activation, loss, in_gradient, l2, row_weights
                )
                share = (len(rows) if sample_weight is None else row_weights.sum()) / weight_of_group
                summed_loss += len(group) * share * batch.loss
                for total, g in zip(grads, batch.weights + batch.biases, strict=True):
                    total += share * g  # each row of the group counts by its weight
            optimizer.step(params, grads)
            if proximal:
                for w, reach in zip(weights, optimizer.reach(params)[: len(weights)], strict=True):
                    w[:] = soft_threshold(w, l1 * reach)
        if penalties is not None:
            penalties.append(penalty(weights, l1, l2))
        epoch_losses.append(summed_loss / len(order))
    return weights, biases, epoch_losses
