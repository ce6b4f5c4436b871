"""Steps of training whose loss is the user's: forward, and backward of gradients that the user has computed."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np

from . import _core, activations, core_calls, training_data, validation
from .errors import DivergenceError
from .threads import default_thread_count


class _Arrays(NamedTuple):
    weights: list[np.ndarray]
    biases: list[np.ndarray]
    inputs: np.ndarray | None


class StepGradients(_Arrays):
    """What `Step.backward` returns.

    Attributes
    ----------
    weights, biases : list of array
        The gradients of the loss, shapes of `Network.weights` and `Network.biases`.
    inputs : array, shape (rows, features), or None
        Its gradient with respect to X.
    network : Network
        The network of the step; no member of the tuple.
    """

    network: Any


class Step:
    """The rows of one batch in a network, from `Network.begin`.

    Attributes
    ----------
    outputs : array, shape (rows, outputs)
        The values z of the output layer, before softmax, logistic or exp; of a standardized network in the units of y.
    """

    def __init__(self, network: Any, X: Any, n_threads: int | None = None) -> None:
        X = _dense(network, X)
        self._network, self._rows = network, len(X)
        self._threads = validation.check_threads(n_threads) or default_thread_count()
        self._version, self._lock = network.core.parameters_version, threading.Lock()
        core_type = _core.StepFloat32 if network.dtype == np.float32 else _core.StepFloat64
        self._core = core_type(network.core, len(X))
        begin = 0
        while begin < len(X):
            begin = self._core.forward(X, begin, min(begin + self._rows_per_call(), len(X)), self._threads)
            if begin < 0:
                training_data.check_inputs(network.spec, X, self._threads, network.standardization)
                raise ValueError("X was changed by another thread while it was read")
        self._standardization = network.standardization
        self.outputs: np.ndarray = self._core.outputs()
        if self._standardization is not None:
            self.outputs = self._standardization.in_units_of_targets(self.outputs)

    def __getstate__(self) -> Any:
        raise TypeError("a step cannot be copied or pickled: call begin again")

    def _rows_per_call(self) -> int:
        return max(1, int(core_calls.OPERATIONS_PER_CALL / self._network.core.training_operations))

    def backward(self, grad_outputs: Any, *, parameters: bool = True, inputs: bool = False) -> Any:
        """The gradients of a loss with respect to the parameters and the inputs.

        Parameters
        ----------
        grad_outputs : array of reals, shape (rows, outputs)
            The gradient of the loss with respect to `outputs`. With one output, shape (rows,) is accepted, too.
        parameters : bool
            Compute those of weights and biases. False: the lists are empty.
        inputs : bool
            Compute that of the inputs.

        Returns
        -------
        StepGradients
            For `Trainer.apply`. A step may go backward several times, with different gradients.

        Raises
        ------
        ValueError, TypeError
            If grad_outputs has a wrong shape or type, or holds NaN or inf, also after it is multiplied by the standard
            deviations of y in a standardized network.
        RuntimeError
            If the parameters have changed since the step began.
        """
        parameters = validation.check_flag("parameters", parameters)
        inputs = validation.check_flag("inputs", inputs)
        network = self._network
        gradient = training_data.real_array("grad_outputs", grad_outputs)
        if gradient.ndim == 1 and self.outputs.shape[1] == 1:
            gradient = gradient[:, None]
        shape, dtype = self.outputs.shape, network.dtype
        gradient = training_data.check_parameter("grad_outputs", gradient, shape, dtype, self._threads)
        self._check_version()
        if self._standardization is not None and self._standardization.target_std is not None:
            with np.errstate(all="ignore"):
                gradient = gradient * self._standardization.target_std
            name = "grad_outputs times the standard deviations of y"
            gradient = training_data.check_parameter(name, gradient, shape, dtype, self._threads)
        in_gradient = np.empty((self._rows, network.layer_sizes[0]), network.dtype) if inputs else None
        with self._lock:  # the core's sums are those of one call
            begin = 0
            while begin < self._rows:
                end = min(begin + self._rows_per_call(), self._rows)
                begin = self._core.backward(gradient, begin, end, parameters, in_gradient, self._threads)
            weights, biases = self._core.gradients() if parameters else ([], [])
        self._check_version()  # another thread may have changed them meanwhile
        found = StepGradients(weights, biases, in_gradient)
        found.network = network
        return found

    def _check_version(self) -> None:
        core = self._network.core
        if core.parameters_version != self._version or core.is_locked_elsewhere():
            raise RuntimeError("the parameters have changed since the step began: call begin again")


def _dense(network: Any, X: Any) -> np.ndarray:
    X = training_data.check_input_array(X, network.layer_sizes[0])
    if not isinstance(X, np.ndarray):
        raise TypeError("X must be a dense array for a step, got a sparse matrix: pass its toarray()")
    return X


def _output_gradients(network: Any, z: np.ndarray, output: int) -> np.ndarray:
    """The gradient of an output with respect to z; both shape (rows, outputs)."""
    row = activations.TABLE[network.spec.loss_row.output]
    if row.is_of_row:  # softmax
        p = _core.softmax(z)
        gradient = -p * p[:, [output]]
        gradient[:, output] += p[:, output]
        return gradient
    kind, gradient = getattr(_core.Activation, row.name), np.zeros_like(z)
    gradient[:, output] = 1
    return _core.activation_gradient(_core.activate(z, kind, []), gradient, kind, [], z)


def input_gradient(network: Any, X: Any, output: int | None, n_threads: int | None) -> np.ndarray:
    """What `Network.input_gradient` returns."""
    X = _dense(network, X)
    outputs = network.layer_sizes[-1]
    if output is not None:
        output = validation.check_integer("output", output, 0, outputs - 1)
    chosen = range(outputs) if output is None else [output]
    found = np.empty((len(X), len(chosen), network.layer_sizes[0]), network.dtype)
    step_rows = 4096  # bounds the memory of a step
    for begin in range(0, len(X), step_rows):
        step = Step(network, X[begin : begin + step_rows], n_threads)
        for i, each in enumerate(chosen):
            gradient = _output_gradients(network, step.outputs, each)
            found[begin : begin + step_rows, i] = step.backward(gradient, parameters=False, inputs=True).inputs
    return found[:, 0] if output is not None or outputs == 1 else found


def apply(trainer: Any, gradients: Any, n_threads: int | None) -> None:
    """What `Trainer.apply` does."""
    for name in ("dropout", "input_dropout", "schedule", "weight_decay_schedule", "dropout_schedule"):
        if trainer.values[name]:
            raise ValueError(f"apply needs a Trainer without {name}, got {name}={trainer.values[name]!r}")
    if trainer.accumulate != 1:
        raise ValueError(
            f"apply makes one update and needs a Trainer with accumulate=1, got {trainer.accumulate!r}: sum gradients of"
            " several batches yourself"
        )
    if getattr(gradients, "network", trainer.network) is not trainer.network:
        raise ValueError("gradients must be of a step of the trainer's network, got those of another network")
    threads = validation.check_threads(n_threads) or trainer.n_threads or default_thread_count()
    spec, arrays = trainer.network.spec, []
    for name, shapes in (("weights", spec.shapes), ("biases", [(outputs,) for _, outputs in spec.shapes])):
        if not hasattr(gradients, name):
            raise TypeError(f"gradients must have attributes weights and biases, got {gradients!r}")
        given = getattr(gradients, name)
        arrays.append(training_data.check_parameters(f"gradients.{name}", given, shapes, spec.dtype, threads))
    core = trainer.core
    with trainer.network.core.lock_parameters():
        core.save_snapshot()
        core.apply(*arrays, trainer.update_settings(np.zeros(1)), threads)
        if not trainer.network.core.is_finite():
            core.restore_snapshot()
            raise _divergence(core.updates + 1, trainer.learning_rate)


def _divergence(update: int, learning_rate: float) -> DivergenceError:
    error = DivergenceError(
        f"the weights are not finite after update {update}, with learning_rate={learning_rate:g}; the network keeps those"
        " from before it: apply smaller gradients, or use a smaller learning rate or penalty"
    )
    error.epoch, error.step, error.learning_rate = 1, update, learning_rate
    return error
