"""One epoch of training by fastmlp and by four other libraries, each in its quickest form.

The work is the same everywhere: dense layers, relu, softmax cross-entropy, plain SGD on mini-batches of
shuffled rows, the last of them smaller; a test trains the same net with all of them. The data lie in memory
in each library's own form; nothing is converted during an epoch.
"""

import importlib.util
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import fastmlp
import numpy as np
from harness.number_text import listing

Weights = Sequence[np.ndarray]  # of each layer, shape (inputs, outputs)


@dataclass(frozen=True)
class Problem:
    """What is to be trained. Biases start at zero."""

    X: np.ndarray  # float32, (rows, inputs)
    y: np.ndarray  # int64, (rows,)
    weights: Weights  # float32, at the start
    batch_size: int
    learning_rate: float
    shuffle: bool = True
    optimizer: str = "sgd"  # this and the next are settings of fastmlp alone
    threads: int | None = None
    precision: str | None = None  # of the products in training; fastmlp's name, for PyTorch and JAX "bfloat16"

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        return (len(self.weights[0]), *(w.shape[1] for w in self.weights))


class Training(NamedTuple):
    epoch: Callable[[], float]  # trains one epoch and returns its seconds
    weights: Callable[[], list[np.ndarray]]  # the current ones


def train_fastmlp(problem: Problem) -> Training:
    network = fastmlp.Network(problem.layer_sizes)
    network.set_parameters(problem.weights, network.biases)
    trainer = fastmlp.Trainer(
        network,
        problem.optimizer,
        problem.learning_rate,
        problem.batch_size,
        shuffle=problem.shuffle,
        n_threads=problem.threads,
        precision=problem.precision,
    )

    def epoch() -> float:
        # fastmlp's own clock: a fit checks and indexes the data once for all its epochs, and here each fit has only one.
        return trainer.fit(problem.X, problem.y, epochs=1, verbose=False).seconds[0]

    return Training(epoch, lambda: network.weights)


def train_numpy(problem: Problem) -> Training:
    weights = [w.copy() for w in problem.weights]
    biases = [np.zeros(w.shape[1], np.float32) for w in weights]
    rng = np.random.default_rng(0)
    last = len(weights) - 1

    def step(rows: np.ndarray) -> None:
        outputs = [problem.X[rows]]
        for i, (w, b) in enumerate(zip(weights, biases)):
            z = outputs[-1] @ w
            z += b
            outputs.append(np.maximum(z, 0, out=z) if i < last else z)
        delta = outputs.pop()
        delta -= delta.max(axis=1, keepdims=True)
        np.exp(delta, out=delta)
        delta /= delta.sum(axis=1, keepdims=True)
        delta[np.arange(len(rows)), problem.y[rows]] -= 1
        delta *= np.float32(problem.learning_rate / len(rows))  # the smallest array: all gradients are scaled by it
        for i in reversed(range(len(weights))):
            weight_step, bias_step = outputs[i].T @ delta, delta.sum(axis=0)
            if i:
                delta = delta @ weights[i].T
                delta *= outputs[i] > 0
            weights[i] -= weight_step
            biases[i] -= bias_step

    def epoch() -> None:
        order = rng.permutation(len(problem.X)) if problem.shuffle else np.arange(len(problem.X))
        for begin in range(0, len(order), problem.batch_size):
            step(order[begin : begin + problem.batch_size])

    return Training(_timed(epoch), lambda: weights)


def train_sklearn(problem: Problem) -> Training:
    """scikit-learn makes one output for two classes instead of two."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        problem.layer_sizes[1:-1],
        solver="sgd",
        batch_size=problem.batch_size,
        learning_rate_init=problem.learning_rate,
        momentum=0,
        alpha=0,
        shuffle=problem.shuffle,
    )
    first = slice(problem.batch_size)  # makes the layers
    model.partial_fit(problem.X[first], problem.y[first], classes=np.arange(problem.layer_sizes[-1]))
    for coefficients, intercepts, w in zip(model.coefs_, model.intercepts_, problem.weights):
        coefficients[:] = w[:, : coefficients.shape[1]]
        intercepts[:] = 0
    return Training(_timed(lambda: model.partial_fit(problem.X, problem.y)), lambda: model.coefs_)


def train_torch(problem: Problem) -> Training:
    import torch

    X, y = torch.from_numpy(problem.X), torch.from_numpy(problem.y)
    model = torch_model(problem.layer_sizes)
    with torch.no_grad():
        for layer, w in zip(model[::2], problem.weights):
            layer.weight.copy_(torch.from_numpy(w.T.copy()))
    optimizer = torch.optim.SGD(model.parameters(), problem.learning_rate, fused=True)

    def epoch() -> None:
        torch_epoch(model, optimizer, X, y, problem.batch_size, problem.shuffle, problem.precision)

    return Training(_timed(epoch), lambda: [layer.weight.detach().numpy().T for layer in model[::2]])


def torch_model(layer_sizes: Sequence[int], activation: Callable | None = None):
    """Weights drawn as fastmlp draws them, biases zero; the activation is a class of module, ReLU by default."""
    from torch import nn

    linear = [nn.Linear(inputs, outputs) for inputs, outputs in pairwise(layer_sizes)]
    for layer in linear:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*[module for layer in linear for module in (layer, (activation or nn.ReLU)())][:-1])


def torch_epoch(
    model,
    optimizer,
    X,
    y,
    batch_size: int,
    shuffle: bool = True,
    precision: str | None = None,
    label_smoothing: float = 0.0,
    after_update: Callable[[], object] | None = None,
    **settings: object,
) -> None:
    """`settings` are those of the order of the rows, such as its device."""
    import torch

    order = (torch.randperm if shuffle else torch.arange)(len(X), **settings)
    for rows in order.split(batch_size):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision is not None):
            loss = torch.nn.functional.cross_entropy(model(X[rows]), y[rows], label_smoothing=label_smoothing)
        loss.backward()
        optimizer.step()
        if after_update is not None:
            after_update()


def train_jax(problem: Problem) -> Training:
    import jax
    import jax.numpy as jnp

    X, y = jnp.asarray(problem.X), jnp.asarray(problem.y)
    rows, whole = len(X), len(X) - len(X) % problem.batch_size

    def rounded(array):  # the weights that are updated remain float32
        return array.astype(jnp.bfloat16) if problem.precision else array

    def loss(parameters, x, labels):
        parameters, x = jax.tree.map(rounded, parameters), rounded(x)
        *hidden, (last_weights, last_biases) = parameters
        for w, b in hidden:
            x = jax.nn.relu(x @ w + b)
        log_probabilities = jax.nn.log_softmax((x @ last_weights + last_biases).astype(jnp.float32))
        return -jnp.take_along_axis(log_probabilities, labels[:, None], axis=1).mean()

    def step(parameters, batch):
        gradients = jax.grad(loss)(parameters, X[batch], y[batch])
        return jax.tree.map(lambda p, g: p - problem.learning_rate * g, parameters, gradients), None

    def run(parameters, key):
        order = jax.random.permutation(key, rows) if problem.shuffle else jnp.arange(rows)
        parameters, _ = jax.lax.scan(step, parameters, order[:whole].reshape(-1, problem.batch_size))
        return step(parameters, order[whole:])[0] if whole < rows else parameters

    run = jax.jit(run, donate_argnums=0)
    parameters = [(jnp.array(w), jnp.zeros(w.shape[1])) for w in problem.weights]
    key = jax.random.key(0)

    def epoch() -> None:
        nonlocal parameters, key
        key, now = jax.random.split(key)
        parameters = jax.block_until_ready(run(parameters, now))

    return Training(_timed(epoch), lambda: [np.asarray(w) for w, _ in parameters])


def _timed(epoch: Callable[[], object]) -> Callable[[], float]:
    def timed() -> float:
        start = time.perf_counter()
        epoch()
        return time.perf_counter() - start

    return timed


LIBRARIES = {  # name: (module, its training)
    "fastmlp": ("fastmlp", train_fastmlp),
    "JAX": ("jax", train_jax),
    "NumPy": ("numpy", train_numpy),
    "PyTorch": ("torch", train_torch),
    "scikit-learn": ("sklearn", train_sklearn),
}

OPENBLAS_OVERRIDES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def installed() -> list[str]:
    return [name for name, (module, _) in LIBRARIES.items() if importlib.util.find_spec(module)]


def notices_of_missing(names: Iterable[str]) -> list[str]:
    missing = [name for name in names if name not in installed()]
    return [f'Not installed: {listing(missing)} (pip install ".[rivals]").'] if missing else []


def best_environment() -> dict[str, str]:
    """That of this process without variables that override how OpenBLAS detects the processor; JAX stays on it."""
    kept = {name: value for name, value in os.environ.items() if name not in OPENBLAS_OVERRIDES}
    return {**kept, "JAX_PLATFORMS": "cpu"}


def describe(library: str) -> dict[str, str]:
    """Version, the library of the matrix products, and its number of threads in this process."""
    module = importlib.import_module(LIBRARIES[library][0])
    others = {"fastmlp": _fastmlp_kernels, "JAX": _xla, "PyTorch": _torch_blas}
    blas, threads = others.get(library, _numpy_blas)()
    return {"version": module.__version__, "blas": blas, "threads": threads}


def _fastmlp_kernels() -> tuple[str, str]:
    config = fastmlp.show_config("dicts")
    return f"its own, {config['instruction_set']}", str(config["threads"])


def _numpy_blas() -> tuple[str, str]:
    """Without threadpoolctl, only what NumPy was built with."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        blas = np.show_config("dicts")["Build Dependencies"]["blas"]
        return f"{blas['name']} {blas['version']}", "its default"
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    if not pools:
        return "none that threadpoolctl knows", "its default"
    blas = max(pools, key=lambda pool: "numpy" in pool["filepath"])  # not SciPy's, which multiplies no matrix here
    kernels = f", {blas['architecture']} kernels" if blas.get("architecture") else ""
    return f"{blas['internal_api']} {blas['version']}{kernels}", str(blas["num_threads"])


def _torch_blas() -> tuple[str, str]:
    import torch

    names = {"mkl": torch.backends.mkl.is_available(), "oneDNN": torch.backends.mkldnn.is_available()}
    products = " and ".join(name.replace("mkl", "MKL") for name, available in names.items() if available)
    return f"{products or 'as built'}, {torch.backends.cpu.get_cpu_capability()}", str(torch.get_num_threads())


def _xla() -> tuple[str, str]:
    """XLA does not report its threads; it takes the cores that the process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return "XLA's own", str(cores)
