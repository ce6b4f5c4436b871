"""Network: the parameters of one multilayer perceptron and its mathematics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import _core, activations, core_calls, standardization, training_data, validation
from .formats.exports import Exports
from .history import Evaluation, Gradients
from .model_state import ModelSpec, ModelState, Standardization, checked_spec, unchanged
from .network_settings import NetworkSettings
from .steps import Step, input_gradient
from .threads import default_thread_count


class Network(NetworkSettings, Exports):
    """A multilayer perceptron: dense layers with activations between them.

    Parameters
    ----------
    layer_sizes : sequence of int >= 1, at least two
        Features, hidden widths, outputs. ``(784, 10)`` is a linear model.
    activation : str, or list or tuple of str
        Of all hidden layers, or of each: relu, leaky_relu (setting ``slope`` >= 0, default 0.01), elu (``alpha`` >= 0,
        default 1), selu, gelu, gelu_tanh, silu, mish, softplus, tanh, logistic or identity.
    loss : str, the mean over rows of a sum over outputs p, with targets t and d = p - t
        - ``cross_entropy``: softmax outputs, integer labels, ``-log p[label]``. ``binary_cross_entropy``: logistic outputs,
          t in [0, 1], ``-t log p - (1 - t) log(1 - p)``. Setting ``label_smoothing`` in [0, 1), default 0.
        - ``squared_error``: linear outputs, ``d^2 / 2``. ``absolute_error``: ``|d|``. ``huber``: ``d^2 / 2`` up to
          ``|d| = delta``, linear beyond; setting ``delta`` > 0, default 1. ``quantile``: ``-level * d`` for d < 0, else
          ``(1 - level) * d``; setting ``level`` in (0, 1), default 0.5,
          or several, ascending: then each target has an output for each level, all levels of the first target first.
        - ``poisson``: p = e^z, t >= 0, ``t log(t / p) - t + p``. ``gamma``: t > 0, ``t / p - log(t / p) - 1``.
    dtype : {"float32", "float64"}
        The type of parameters, computation and results.
    seed : int >= 0
        Seed of the initial weights: uniform in +-sqrt(6 / inputs) for relu to mish (He et al. 2015), but sqrt(3 / inputs)
        for selu, and +-sqrt(6 / (inputs + outputs)) otherwise (Glorot and Bengio 2010), by the layer's activation and, for
        the output layer, by that of the last hidden layer. Biases start at zero.
    input_scale : float
        Factor of the inputs, applied as they are read. It belongs to the model: uint8 images with
        ``input_scale=1/255`` never need a float copy of the data set.
    standardize : bool
        The first fit learns the mean and the standard deviation of each column of X, and of y for losses of real targets,
        from the rows that it trains on; a constant column has the deviation 1. From then on they belong to the model: it
        computes with ``(x - mean) / std``, its outputs are in the units of y, and its losses are those of the standardized
        targets. A sparse X is scaled, but no mean is subtracted. `learn_standardization` learns them without a fit.
        Needs ``input_scale=1``.
    activation_settings, loss_settings : dict of str to float, optional
        Settings of the activation and of the loss, for those that have any. One dict of activation_settings is for all
        hidden layers, a list or tuple has a dict or None for each.

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid.
    MemoryError
        If the weights do not fit into this machine's memory.

    Notes
    -----
    The prediction for a row has the same bits at every position in X and for every number of threads.
    Several threads may predict at the same time.

    Examples
    --------
    >>> import numpy as np, fastmlp
    >>> net = fastmlp.Network((2, 8, 2), seed=0)
    >>> net.forward(np.zeros((1, 2)))
    array([[0.5, 0.5]], dtype=float32)
    """

    __slots__ = ("__weakref__", "_standardization", "core", "rows_per_call")  # a misspelt setting is an AttributeError

    @validation.checks_arguments()
    def __init__(
        self,
        layer_sizes: Sequence[int],
        activation: str | Sequence[str] = "relu",
        loss: str = "cross_entropy",
        dtype: Any = "float32",
        seed: int = 0,
        input_scale: float = 1.0,
        *,
        activation_settings: Mapping[str, float] | Sequence[Mapping[str, float] | None] | None = None,
        loss_settings: Mapping[str, float | Sequence[float]] | None = None,
        standardize: bool = False,
    ) -> None:
        spec = checked_spec(
            layer_sizes,
            activation,
            loss,
            dtype,
            input_scale,
            activation_settings,
            loss_settings,
            standardize=standardize,
        )
        rng = np.random.default_rng(validation.check_seed(seed))
        self._create(spec)
        rows = activations.of_initial_weights(spec.activation, len(spec.shapes))
        for i, (row, (inputs, outputs)) in enumerate(zip(rows, spec.shapes)):
            bound = row.initial_bound(inputs, outputs)
            weights = rng.uniform(-bound, bound, (inputs, outputs)).astype(spec.dtype)
            self.core.set_layer(i, weights, np.zeros(outputs, spec.dtype))

    def _create(self, spec: ModelSpec) -> None:
        self.spec = spec  # what the network is, without its parameters
        self._standardization: Standardization | None = None
        core_type = _core.NetworkFloat32 if spec.dtype == np.float32 else _core.NetworkFloat64
        self.core = core_type(  # the network of the C++ core
            list(spec.layer_sizes),
            core_calls.core_activations(spec.hidden_activations),
            getattr(_core.Loss, spec.loss),
            spec.core_loss_settings,
            spec.input_scale,
            spec.clips_loss,
        )
        self.rows_per_call = core_calls.rows_per_call(self.core)

    @classmethod
    def from_state(cls, state: ModelState) -> Network:
        """The network of a value, whose arrays are trusted: for the package itself."""
        network = cls.__new__(cls)
        network._take_state(state)
        return network

    def _take_state(self, state: ModelState) -> None:
        self._create(state.spec)
        self.set_trusted(state.weights, state.biases)
        if state.standardization is not None:
            self.take_standardization(state.standardization)

    def state(self) -> ModelState:
        """The network as a value, with copies of its parameters: for the package itself.

        RuntimeError if a fit runs in another thread.
        """
        with unchanged(self.core):
            return ModelState(self.spec, *self._parameters(), self._standardization)

    def _parameters(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        layers = range(len(self.layer_sizes) - 1)
        return [self.core.weights(i) for i in layers], [self.core.biases(i) for i in layers]

    def set_trusted(self, weights: Sequence[np.ndarray], biases: Sequence[np.ndarray]) -> None:
        """`set_parameters` without checks and without the lock: for the package itself."""
        for i, (w, b) in enumerate(zip(weights, biases)):
            self.core.set_layer(i, np.ascontiguousarray(w, self.dtype), np.ascontiguousarray(b, self.dtype))

    @property
    def standardization(self) -> Standardization | None:
        """The means and standard deviations that the network has learned, or None."""
        return self._standardization

    @property
    def lacks_standardization(self) -> bool:
        """Whether the next fit is to learn it: for the package itself."""
        return self.spec.standardize and self._standardization is None

    @property
    def weights(self) -> tuple[np.ndarray, ...]:
        """Read-only copies of the weights of each layer, shape (inputs, outputs); `set_parameters` changes them."""
        return _read_only(self._parameters()[0])

    @property
    def biases(self) -> tuple[np.ndarray, ...]:
        """Read-only copies of the biases of each layer, shape (outputs,); `set_parameters` changes them."""
        return _read_only(self._parameters()[1])

    def set_parameters(self, weights: Sequence[np.ndarray], biases: Sequence[np.ndarray]) -> None:
        """Replace all parameters; all or none.

        Parameters
        ----------
        weights : sequence of array, shapes (inputs, outputs)
        biases : sequence of array, shapes (outputs,)

        Raises
        ------
        ValueError, TypeError
            If a shape, a dtype or a value (NaN, inf) is wrong; nothing is changed then.
        RuntimeError
            If a fit of this network is running.
        """
        shapes, threads = self.spec.shapes, default_thread_count()
        check = training_data.check_parameters
        new_weights = check("weights", weights, shapes, self.dtype, threads)
        new_biases = check("biases", biases, [(outputs,) for _, outputs in shapes], self.dtype, threads)
        with self.core.lock_parameters():
            self.set_trusted(new_weights, new_biases)

    @validation.checks_arguments()
    def learn_standardization(
        self, X: Any, y: Any = None, *, sample_weight: Any = None, n_threads: int | None = None
    ) -> None:
        """Learn the means and standard deviations of these rows, as the first fit does with ``standardize=True``.

        For fits that see the rows in parts: those of a `fastmlp.streaming.Stream`, of several ranks, which need the same
        sample, and of your own loss.

        Parameters
        ----------
        X, y, sample_weight, n_threads
            As in `Trainer.fit`. Without y the targets stay as they are.

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid, or the network has an input_scale; nothing is changed then.
        RuntimeError
            If a fit of this network is running.
        """
        if self.input_scale != 1:
            raise ValueError(f"learn_standardization needs a network with input_scale=1, got {self.input_scale!r}")
        threads = validation.check_threads(n_threads) or default_thread_count()
        learned = standardization.of_rows(self.spec, X, y, sample_weight, threads)
        if y is None and self._standardization is not None:
            of_targets = {name: getattr(self._standardization, name) for name in ("target_mean", "target_std")}
            learned = replace(learned, **of_targets)
        self.take_standardization(learned)

    def take_standardization(self, learned: Standardization) -> None:
        """Of checked values: for the package itself."""
        with self.core.lock_parameters():
            self.core.standardize((learned.input_mean, learned.input_std))
            self.spec, self._standardization = replace(self.spec, standardize=True), learned

    def note_targets(self, as_column: bool) -> None:
        """Of a fit, whose y had shape (samples, 1) or another: for the package itself."""
        if as_column != self.spec.column_targets:
            self.spec = replace(self.spec, column_targets=as_column)

    def forget_standardization(self) -> None:
        """As before the first fit: for the package itself."""
        features = self.layer_sizes[0]
        with self.core.lock_parameters():
            self.core.standardize((np.zeros(features), np.ones(features)))
            self._standardization = None

    def forward(self, X: Any, n_threads: int | None = None, *, precision: str | None = None) -> np.ndarray:
        """The outputs for each row.

        Parameters
        ----------
        X : array or SciPy CSR matrix of float32, float64 or uint8, shape (samples, features)
            Copied once if not C-contiguous; other sparse formats are converted to CSR.
        n_threads : int >= 1, optional
            Default: threadpoolctl's limit, else OMP_NUM_THREADS, else the cores that the process may use.
        precision : {"bfloat16", "bfloat16_amx"}, optional
            Multiplies in bfloat16 and adds in float32, as a `Trainer` of this precision does; for float32 networks and
            arrays. The weights are rounded in each call, so this pays for many rows.

        Returns
        -------
        array, shape (samples, outputs)
            Probabilities for the cross-entropies, values otherwise.

        Raises
        ------
        ValueError, TypeError
            If X has a wrong shape or type, or holds NaN or inf.
        """
        threads = validation.check_threads(n_threads)
        precision = validation.check_precision(precision, "networks", self.dtype)
        order = precision and getattr(_core.PairOrder, precision)
        X = training_data.check_input_array(X, self.spec.layer_sizes[0])
        if precision and not isinstance(X, np.ndarray):
            raise TypeError(f"X must be an array for precision={precision!r}, got a sparse matrix")
        rows, step = len(X), self.rows_per_call
        if rows == 1:  # needs no team
            threads = 1
        elif threads is None:
            threads = default_thread_count()
        parts = []
        for begin in (0,) if rows <= step else range(0, rows, step):
            part = self.core.forward(X, begin, min(begin + step, rows), threads, order)
            if part is None:  # the core checks values as it reads them; the message comes from here
                training_data.check_inputs(self.spec, X, threads, self._standardization)
                raise ValueError("X was changed by another thread while it was read")
            parts.append(part)
        outputs = parts[0] if rows <= step else np.concatenate(parts)
        return outputs if self._standardization is None else self._standardization.in_units_of_targets(outputs)

    def predict(self, X: Any, n_threads: int | None = None, *, precision: str | None = None) -> np.ndarray:
        """The most probable class of each row, shape (samples,), int64; for ``binary_cross_entropy`` of each output.

        For the other losses the values of `forward`, which explains the parameters and the errors. With one output, the
        shape is that of y in the last fit, (samples,) or (samples, 1), and (samples,) before the first:
        ``predict(X) - y`` has one entry per row.
        """
        return self.spec.decide(self.forward(X, n_threads, precision=precision))

    @validation.checks_arguments()
    def evaluate(self, X: Any, y: Any, n_threads: int | None = None, *, sample_weight: Any = None) -> Evaluation:
        """The mean loss over the rows of X, and the accuracy.

        Parameters
        ----------
        X : array or SciPy CSR matrix of float32, float64 or uint8, shape (samples, features), samples >= 1
        y : integers in [0, classes), shape (samples,), or for the other losses reals, shape (samples, outputs)
            With one output, shape (samples,) is accepted too.
        n_threads : int >= 1, optional
        sample_weight : array of reals, shape (samples,), optional
            Weights of the rows in both means, >= 0, with a positive sum.

        Returns
        -------
        Evaluation

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid.
        """
        threads = validation.check_threads(n_threads) or default_thread_count()
        data = training_data.evaluation_data(self, X, y, sample_weight, threads)
        return core_calls.evaluate(self, data, threads)

    def loss_and_gradients(
        self, X: Any, y: Any, l1: float = 0.0, l2: float = 0.0, n_threads: int | None = None
    ) -> Gradients:
        """The mean loss over the rows, the penalty, and the gradients of their sum.

        The penalty is ``l1 * sum|w| + l2/2 * sum(w**2)`` over weights, not biases; the subgradient of ``|w|`` at 0 is 0.
        Errors are those of `evaluate`.

        Parameters
        ----------
        X, y
            As in `evaluate`.
        l1, l2 : float >= 0
        n_threads : int >= 1, optional
        """
        l1 = validation.check_number("l1", l1, minimum=0)
        l2 = validation.check_number("l2", l2, minimum=0)
        threads = validation.check_threads(n_threads) or default_thread_count()
        data = training_data.training_data(self, X, y, None, threads, skips_columns=False)
        core = core_calls.new_core_trainer(self, "sgd")
        loss = core_calls.sum_gradients(core, data, lambda: threads)
        weight_gradients, bias_gradients = core.gradients()
        if l1 or l2:
            for gradient, w in zip(weight_gradients, self.weights):
                gradient += l2 * w + l1 * np.sign(w)
        return Gradients(loss, core_calls.penalty(self, l1, l2), weight_gradients, bias_gradients)

    def summary(self) -> None:
        """Print a line for each layer: its shape, its activation and its number of parameters; and the loss.

        Examples
        --------
        >>> import fastmlp
        >>> fastmlp.Network((784, 128, 10)).summary()
        layer  inputs  outputs  activation  parameters
        1         784      128  relu            100480
        2         128       10  softmax           1290
        101770 parameters, float32, loss cross_entropy
        """
        rows = [row.name for row, _ in self.spec.hidden_activations] + [self.spec.loss_row.output]
        width = max(10, *map(len, rows))
        print(f"layer  inputs  outputs  {'activation':{width}}  parameters")
        for i, (name, (inputs, outputs)) in enumerate(zip(rows, self.spec.shapes), 1):
            print(f"{i:<5}  {inputs:6}  {outputs:7}  {name:{width}}  {(inputs + 1) * outputs:10}")
        print(f"{self.parameter_count} parameters, {self.dtype.name}, loss {self.loss}")

    def begin(self, X: Any, n_threads: int | None = None) -> Step:
        """Begin a step of training with a loss of your own; `fastmlp.steps.Step.backward` and `Trainer.apply` end it.

        Parameters
        ----------
        X : array of float32, float64 or uint8, shape (rows, features), rows >= 1
            The rows of a batch. They are copied, multiplied by `input_scale`.
        n_threads : int >= 1, optional

        Raises
        ------
        ValueError, TypeError
            If X has a wrong shape or type, is sparse, or holds NaN or inf; or if the network has ``standardize=True`` and
            has not learned from any rows yet (`learn_standardization`).
        """
        standardization.check_known(self, "a step")
        return Step(self, X, n_threads)

    def input_gradient(self, X: Any, output: int | None = None, n_threads: int | None = None) -> np.ndarray:
        """The gradient of `forward` with respect to X, for surrogates and sensitivity.

        Parameters
        ----------
        X : array of float32, float64 or uint8, shape (rows, features)
        output : int in [0, outputs), optional
            The output to differentiate. Default: each.
        n_threads : int >= 1, optional

        Returns
        -------
        array, shape (rows, features), or (rows, outputs, features) for each of several outputs
            With the same bits at every position in X and for every number of threads. For the cross-entropies it is the
            gradient of probabilities.

        Raises
        ------
        ValueError, TypeError
            As `begin`.
        """
        return input_gradient(self, X, output, n_threads)

    def __getstate__(self) -> dict[str, Any]:
        return {**getattr(self, "__dict__", {}), "state": self.state()}  # a subclass may have attributes of its own

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        state = attributes.pop("state")
        for name, value in attributes.items():
            setattr(self, name, value)
        self._take_state(state)  # unchecked: the network of a failed fit may be pickled, too

    def __repr__(self) -> str:
        spec = self.spec
        more = "" if spec.input_scale == 1 else f", input_scale={spec.input_scale!r}"
        more += ", standardize=True" if spec.standardize else ""
        each = activations.of_hidden(spec.activation, spec.activation_settings, 1)  # one of a linear model, too
        own: Any = [_not_default(*of_layer) or None for of_layer in each]
        own = own[0] if isinstance(spec.activation, str) else own if any(own) else None
        for name, given in (("activation", own), ("loss", _not_default(spec.loss_row, spec.loss_settings))):
            more += f", {name}_settings={given!r}" if given else ""
        return (
            f"Network({spec.layer_sizes}, activation={spec.activation!r}, loss={spec.loss!r}, "
            f"dtype={spec.dtype.name!r}{more})"
        )


def _read_only(arrays: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """So that writing to a copy, which would change nothing, is an error."""
    for array in arrays:
        array.flags.writeable = False
    return tuple(arrays)


def _not_default(part: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value != part.settings[name].default}
