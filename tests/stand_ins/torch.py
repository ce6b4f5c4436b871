"""A stand-in for PyTorch in NumPy: dense nets, cross-entropy and SGD, as far as tests and experiments use them.

It shows that code which uses PyTorch runs and computes the right numbers. That PyTorch itself has these names and
does the same is shown where PyTorch is installed.
"""

import math
from contextlib import nullcontext as no_grad  # noqa: F401
from types import SimpleNamespace

import numpy as np

_rng = np.random.default_rng(0)


class dtype:
    def __init__(self, name):
        self._name = name

    def __repr__(self):
        return f"torch.{self._name}"


_NAMES = "float32", "float64", "bfloat16", "int64", "uint8"
float32, float64, bfloat16, int64, uint8 = map(dtype, _NAMES)


class Tensor:
    """An array. `pull(gradient)` passes a gradient on to the tensors that it was computed from."""

    def __init__(self, array, requires_grad=False, pull=None, dtype=None):
        self.array, self.requires_grad, self.pull, self.grad = array, requires_grad, pull, None
        self.dtype = dtype or globals()[array.dtype.name]

    def __len__(self):
        return len(self.array)

    def __getitem__(self, rows):
        return Tensor(self.array[rows.array])

    def __array__(self, dtype=None, copy=None):
        return self.numpy()

    def numpy(self):
        if self.requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        return self.array

    def __truediv__(self, divisor):
        return Tensor((self.array / divisor).astype(self.array.dtype))

    def detach(self):
        return Tensor(self.array)

    def cpu(self):
        return self

    def float(self):
        return Tensor(self.array.astype(np.float32))

    def long(self):
        return Tensor(self.array.astype(np.int64))

    def mul_(self, factor):
        self.array *= factor
        return self

    def copy_(self, other):
        if self.array.shape != other.array.shape:
            raise RuntimeError(f"{self.array.shape} and {other.array.shape} differ")
        self.array[:] = other.array

    def split(self, size):
        return [Tensor(self.array[begin : begin + size]) for begin in range(0, len(self), size)]

    def softmax(self, dim):
        exponentials = np.exp(self.array - self.array.max(dim, keepdims=True))
        return Tensor(exponentials / exponentials.sum(dim, keepdims=True))

    def argmax(self, dim):
        return Tensor(self.array.argmax(dim))

    def backward(self):
        self.pull(1)


def from_numpy(array):
    return Tensor(array)


def zeros(*shape, dtype):
    return Tensor(np.zeros(shape), dtype=dtype)


def exp(x):
    return Tensor(np.exp(x.array))


def sigmoid(x):
    return Tensor(1 / (1 + np.exp(-x.array)))


def arange(count):
    return Tensor(np.arange(count))


def randperm(count):
    return Tensor(_rng.permutation(count))


def autocast(device, dtype, enabled):
    """Products stay float32's, which differ by the digits of bfloat16."""
    return no_grad()


def manual_seed(seed):
    global _rng
    _rng = np.random.default_rng(seed)


class _Linear:
    def __init__(self, inputs, outputs):
        bound = inputs**-0.5
        self.weight, self.bias = (
            Tensor(_rng.uniform(-bound, bound, shape).astype(np.float32), requires_grad=True)
            for shape in ((outputs, inputs), outputs)
        )

    def __call__(self, x):
        def pull(gradient):
            self.weight.grad, self.bias.grad = gradient.T @ x.array, gradient.sum(axis=0)
            if x.pull:
                x.pull(gradient @ self.weight.array)

        return Tensor(x.array @ self.weight.array.T + self.bias.array, pull=pull)


def _activation(value, derivative):
    """A module without parameters; the derivative follows from the output."""

    class Activation:
        def __call__(self, x):
            a = value(x.array)
            return Tensor(a, pull=lambda gradient: x.pull(gradient * derivative(a)))

    return Activation


class _GELU:
    def __call__(self, x):
        z = x.array
        below = 0.5 + 0.5 * np.vectorize(math.erf)(z / math.sqrt(2))
        slope = below + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        return Tensor((z * below).astype(z.dtype), pull=lambda gradient: x.pull((gradient * slope).astype(z.dtype)))


class _Sequential:
    def __init__(self, *modules):
        self._modules = modules

    def __getitem__(self, which):
        return self._modules[which]

    def __call__(self, x):
        for module in self._modules:
            x = module(x)
        return x

    def named_parameters(self):
        for i, module in enumerate(self._modules):
            for name in ("weight", "bias"):
                if hasattr(module, name):
                    yield f"{i}.{name}", getattr(module, name)

    def parameters(self):
        return [parameter for _, parameter in self.named_parameters()]

    def state_dict(self):
        return {name: parameter.detach() for name, parameter in self.named_parameters()}

    def load_state_dict(self, state, strict=True):
        parameters = dict(self.named_parameters())
        if strict and state.keys() != parameters.keys():
            raise RuntimeError(f"{list(state)} and {list(parameters)} differ")
        for name, tensor in state.items():
            parameters[name].copy_(tensor)

    def to(self, dtype):
        for parameter in self.parameters():
            parameter.array, parameter.dtype = parameter.array.astype(repr(dtype).removeprefix("torch.")), dtype
        return self


def _kaiming_uniform_(weight, nonlinearity):
    bound = (6 / weight.array.shape[1]) ** 0.5
    weight.array[:] = _rng.uniform(-bound, bound, weight.array.shape)


def _zeros_(tensor):
    tensor.array[:] = 0


def _cross_entropy(logits, labels, label_smoothing=0.0):
    """The mean over the rows."""
    probabilities = logits.softmax(1).array
    rows, classes = probabilities.shape
    targets = np.full_like(probabilities, label_smoothing / classes)
    targets[np.arange(rows), labels.array] += 1 - label_smoothing
    loss = -(targets * np.log(probabilities)).sum() / rows
    return Tensor(loss, pull=lambda _: logits.pull((probabilities - targets) / rows))


class _SGD:
    def __init__(self, parameters, lr, momentum=0, weight_decay=0, nesterov=False, fused=False):
        self._parameters, self._momentum, self._weight_decay = list(parameters), momentum, weight_decay
        self._nesterov = nesterov
        self._velocities = [np.zeros_like(p.array) for p in self._parameters]
        self.param_groups = [{"lr": lr}]

    def zero_grad(self, set_to_none=True):
        for parameter in self._parameters:
            parameter.grad = None

    def step(self):
        for parameter, velocity in zip(self._parameters, self._velocities):
            gradient = parameter.grad + self._weight_decay * parameter.array
            velocity *= self._momentum
            velocity += gradient
            direction = gradient + self._momentum * velocity if self._nesterov else velocity
            parameter.array -= self.param_groups[0]["lr"] * direction


class _OneCycleLR:
    """Two halves of a cosine: from a 25th up to the largest rate, and down again."""

    def __init__(self, optimizer, max_lr, total_steps, pct_start, cycle_momentum, final_div_factor):
        assert not cycle_momentum
        self._optimizer, self._rate, self._updates = optimizer, max_lr, 0
        self._last, self._peak, self._end = total_steps - 1, pct_start * total_steps - 1, 1 / 25 / final_div_factor
        self._set_rate()

    def step(self):
        self._updates += 1
        if self._updates > self._last + 1:
            raise ValueError(f"the cycle has {self._last + 1} steps")
        self._set_rate()

    def _set_rate(self):
        rises = self._updates <= self._peak
        begin, end = (1 / 25, 1) if rises else (1, self._end)
        share = self._updates / self._peak if rises else (self._updates - self._peak) / (self._last - self._peak)
        self._optimizer.param_groups[0]["lr"] = self._rate * (end + (begin - end) / 2 * (1 + math.cos(math.pi * share)))


nn = SimpleNamespace(
    Linear=_Linear,
    Sequential=_Sequential,
    GELU=_GELU,
    ReLU=_activation(lambda z: np.maximum(z, 0), lambda a: a > 0),
    Tanh=_activation(np.tanh, lambda a: 1 - a * a),
    Sigmoid=_activation(lambda z: 1 / (1 + np.exp(-z)), lambda a: a * (1 - a)),
    Identity=_activation(lambda z: z, np.ones_like),
    init=SimpleNamespace(kaiming_uniform_=_kaiming_uniform_, zeros_=_zeros_),
    functional=SimpleNamespace(cross_entropy=_cross_entropy),
)
optim = SimpleNamespace(SGD=_SGD, lr_scheduler=SimpleNamespace(OneCycleLR=_OneCycleLR))
