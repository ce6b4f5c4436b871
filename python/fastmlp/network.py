"""Network: the parameters of one multilayer perceptron and its mathematics."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import _core, validation
from .threads import default_thread_count

ACTIVATIONS = ("relu", "tanh", "logistic", "identity")
LOSSES = ("cross_entropy", "squared_error", "binary_cross_entropy", "poisson")

OPERATIONS_PER_CALL = 2e9
"""Of one native call: about 10 ms on one fast core, so that signals are looked at often."""

SECONDS_PER_CALL = 0.03
"""After which a native call that can stop and go on returns to look at signals."""


class Gradients(NamedTuple):
    """What `Network.loss_and_gradients` returns.

    Attributes
    ----------
    loss : float
        The mean data loss over the rows.
    penalty : float
        ``l1 * sum|w| + l2/2 * sum(w**2)`` over the weights.
    weights, biases : list of array
        The gradients of ``loss + penalty``, shapes of `Network.weights` and `Network.biases`.
    """

    loss: float
    penalty: float
    weights: list[np.ndarray]
    biases: list[np.ndarray]


class Evaluation(NamedTuple):
    """What `Network.evaluate` returns.

    Attributes
    ----------
    loss : float
        The mean data loss over the rows.
    accuracy : float
        The share of rows whose most probable class is their label; NaN for losses without labels.
    """

    loss: float
    accuracy: float


class Network:
    """A multilayer perceptron: dense layers with one activation between them.

    Parameters
    ----------
    layer_sizes : sequence of int >= 1, at least two
        Features, hidden widths, outputs. ``(784, 10)`` is a linear model.
    activation : {"relu", "tanh", "logistic", "identity"}
        Of the hidden layers.
    loss : {"cross_entropy", "squared_error", "binary_cross_entropy", "poisson"}
        - ``cross_entropy``: softmax outputs, integer labels, the mean of -log softmax(z)[label].
        - ``squared_error``: linear outputs, real targets, the mean over rows of
          1/2 * sum over outputs of (prediction - target)^2.
        - ``binary_cross_entropy``: logistic outputs p, targets in [0, 1], the mean over rows of
          the sum over outputs of -target * log p - (1 - target) * log(1 - p).
        - ``poisson``: outputs p = e^z, targets >= 0, the mean over rows of the sum over outputs of
          target * log(target / p) - target + p, half the Poisson deviance.
    dtype : {"float32", "float64"}
        Of parameters, computation and results.
    seed : int >= 0
        Of the initial weights: uniform in +-sqrt(6 / inputs) for relu (He et al. 2015), in
        +-sqrt(6 / (inputs + outputs)) otherwise (Glorot and Bengio 2010). Biases start at zero.
    input_scale : float
        Multiplies the inputs as they are read, and belongs to the model: uint8 images with
        ``input_scale=1/255`` never need a float copy of the data set.

    Raises
    ------
    ValueError, TypeError
        If an argument is not one of those above.
    MemoryError
        If the weights do not fit into this machine's memory.

    Notes
    -----
    A row's prediction has the same bits wherever the row stands and for every number of threads.
    Predictions from many threads at once are safe.

    Examples
    --------
    >>> import numpy as np, fastmlp
    >>> net = fastmlp.Network((2, 8, 2), seed=0)
    >>> net.forward(np.zeros((1, 2)))
    array([[0.5, 0.5]], dtype=float32)
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        activation: str = "relu",
        loss: str = "cross_entropy",
        dtype: Any = "float32",
        seed: int = 0,
        input_scale: float = 1.0,
    ) -> None:
        self._dtype = validation.check_dtype(dtype)
        self._layer_sizes = validation.check_layer_sizes(layer_sizes, self._dtype)
        self._activation = validation.check_choice("activation", activation, ACTIVATIONS)
        self._loss = validation.check_choice("loss", loss, LOSSES)
        self._input_scale = validation.check_scale("input_scale", input_scale, self._dtype)
        self._clips_loss = False
        seed = validation.check_seed(seed)
        self._create_core()
        rng = np.random.default_rng(seed)
        for i, (inputs, outputs) in enumerate(self._shapes()):
            bound = math.sqrt(6 / inputs if activation == "relu" else 6 / (inputs + outputs))
            weights = rng.uniform(-bound, bound, (inputs, outputs)).astype(self._dtype)
            self._core.set_layer(i, weights, np.zeros(outputs, self._dtype))

    @classmethod
    def _of_parameters(
        cls,
        weights: Sequence[np.ndarray],
        biases: Sequence[np.ndarray],
        activation: str,
        loss: str,
        dtype: np.dtype,
        clips_loss: bool = False,
        input_scale: float = 1.0,
    ) -> Network:
        """A network with these parameters, which are trusted."""
        network = cls.__new__(cls)
        network._dtype, network._activation, network._loss = dtype, activation, loss
        network._input_scale = input_scale
        network._layer_sizes = (weights[0].shape[0], *(w.shape[1] for w in weights))
        network._clips_loss = clips_loss
        network._create_core()
        network._set_trusted(weights, biases)
        return network

    def _set_trusted(self, weights: Sequence[np.ndarray], biases: Sequence[np.ndarray]) -> None:
        for i, (w, b) in enumerate(zip(weights, biases)):
            self._core.set_layer(i, np.ascontiguousarray(w, self._dtype), np.ascontiguousarray(b, self._dtype))

    def _create_core(self) -> None:
        core_type = _core.NetworkFloat32 if self._dtype == np.float32 else _core.NetworkFloat64
        self._core = core_type(
            list(self._layer_sizes),
            getattr(_core.Activation, self._activation),
            [],
            getattr(_core.Loss, self._loss),
            [],
            self._input_scale,
            self._clips_loss,
        )
        self._rows_per_call = max(128, int(OPERATIONS_PER_CALL / self._core.forward_operations))

    def _shapes(self) -> list[tuple[int, int]]:
        return list(zip(self._layer_sizes, self._layer_sizes[1:]))

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Features, hidden widths, outputs."""
        return self._layer_sizes

    @property
    def activation(self) -> str:
        """Of the hidden layers."""
        return self._activation

    @property
    def loss(self) -> str:
        """The name of the loss."""
        return self._loss

    @property
    def dtype(self) -> np.dtype:
        """Of parameters, computation and results."""
        return self._dtype

    @property
    def input_scale(self) -> float:
        """What inputs are multiplied by as they are read."""
        return self._input_scale

    @property
    def weights(self) -> list[np.ndarray]:
        """Copies of the weights of each layer, shape (inputs, outputs)."""
        return [self._core.weights(i) for i in range(len(self._layer_sizes) - 1)]

    @property
    def biases(self) -> list[np.ndarray]:
        """Copies of the biases of each layer, shape (outputs,)."""
        return [self._core.biases(i) for i in range(len(self._layer_sizes) - 1)]

    @property
    def parameter_count(self) -> int:
        """The number of weights and biases."""
        return sum((inputs + 1) * outputs for inputs, outputs in self._shapes())

    def set_parameters(self, weights: Sequence[np.ndarray], biases: Sequence[np.ndarray]) -> None:
        """Replace all parameters; all or none.

        Parameters
        ----------
        weights : list of array, shapes (inputs, outputs)
        biases : list of array, shapes (outputs,)

        Raises
        ------
        ValueError, TypeError
            If a shape, a dtype or a value (NaN, inf) does not fit; nothing is changed then.
        RuntimeError
            If a fit of this network is under way.
        """
        shapes, threads = self._shapes(), default_thread_count()
        new_weights = validation.check_parameters("weights", weights, shapes, self._dtype, threads)
        new_biases = validation.check_parameters(
            "biases", biases, [(outputs,) for _, outputs in shapes], self._dtype, threads
        )
        with self._core.lock_parameters():
            for i, (w, b) in enumerate(zip(new_weights, new_biases)):
                self._core.set_layer(i, w, b)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file, which `fastmlp.load` reads: safetensors, nothing that is executed.

        Parameters
        ----------
        path : path
            By custom ``<name>.safetensors``. A file that stands there is replaced in one step, when the new one is
            complete and on the disk: a crash or a full disk leaves the old one.

        Raises
        ------
        ValueError
            If a weight or bias is not finite, or there are more layers (some 100,000) than a file's header describes.
        RuntimeError
            If a fit is under way in another thread; save from one of its callbacks.
        OSError
            If the file cannot be written; an old one is as it was.
        ImportError
            Without safetensors.
        """
        from .model_files import save_network

        save_network(self, path)

    def to_onnx(self, input_type: str | None = None) -> Any:
        """The network as an ONNX model, for onnxruntime and every other runtime of this format.

        Parameters
        ----------
        input_type : {"float32", "float64", "uint8"}, optional
            Of the model's inputs; default: the network's dtype, in which the model computes.

        Returns
        -------
        onnx.ModelProto
            Opset 13, IR version 7, checked by onnx.checker. ``onnx.save(model, path)`` writes it.

            ========================  ==================================================================
            input ``inputs``          (rows, features), not yet multiplied by ``input_scale``
            output ``outputs``        (rows, outputs), of the network's dtype: what `forward` returns
            output ``classes``        int64, what `predict` returns: (rows,) for ``cross_entropy``,
                                      (rows, outputs) for ``binary_cross_entropy``; not for other losses
            ========================  ==================================================================

            Its metadata say ``layer_sizes``, ``activation``, ``loss``, ``input_scale`` as model files do.

        Raises
        ------
        ValueError
            If a weight or bias is not finite, or the model would exceed the 2 GiB of a protobuf message.
        ImportError
            Without onnx.

        Notes
        -----
        A graph checks nothing: NaN, inf and float64 beyond float32's range, which `forward` refuses, pass through it.
        It predicts; the loss is named in the metadata, but cannot be trained further there. Runtimes sum in
        orders of their own: results differ from `forward` in their last digits, and so may classes that tie.
        """
        from .onnx_export import to_onnx

        return to_onnx(self, input_type)

    def to_state_dict(self, fold_input_scale: bool = False) -> dict[str, np.ndarray]:
        """The parameters by PyTorch's names, for ``torch.nn.Sequential(Linear, ReLU, Linear, ...)``; needs no torch.

        Parameters
        ----------
        fold_input_scale : bool
            Multiply ``input_scale`` into the first layer's weights, each rounded once more.

        Returns
        -------
        dict of array
            ``"0.weight"``, shape (outputs, inputs), ``"0.bias"``, shape (outputs,), ``"2.weight"`` ...: new arrays of
            the network's dtype. The odd numbers are the activations, which have no parameters.

        Raises
        ------
        ValueError
            If a weight or bias is not finite, or ``input_scale`` is neither 1 nor folded.

        Notes
        -----
        A state dict holds no activation, no loss and no ``input_scale``. Folding is not the default: the arrays would
        no longer be this network's, and who scales the inputs over there would scale them twice. Torch's module
        gives what comes before softmax, sigmoid or exp, as its losses expect.

        Examples
        --------
        >>> import fastmlp
        >>> state = fastmlp.Network((4, 3, 2)).to_state_dict()
        >>> {name: array.shape for name, array in state.items()}
        {'0.weight': (3, 4), '0.bias': (3,), '2.weight': (2, 3), '2.bias': (2,)}
        """
        from .state_dicts import to_state_dict

        return to_state_dict(self, fold_input_scale)

    @classmethod
    def from_state_dict(
        cls, state: Any, *, activation: str, loss: str, input_scale: float = 1.0, dtype: Any = None
    ) -> Network:
        """A network with the parameters of a state dict, PyTorch's or `to_state_dict`'s.

        Parameters
        ----------
        state : mapping from str to array or torch tensor, of float32 or float64
            Pairs ``"<layer>.weight"``, shape (outputs, inputs), and ``"<layer>.bias"``, shape (outputs,), of dense
            layers only. Layers whose names differ in a number at the end alone come in its order, others in that of
            the mapping.
        activation, loss, input_scale
            As for `Network`. A state dict does not hold them, and a wrong guess would predict without an error: so
            the first two have no default.
        dtype : {"float32", "float64"}, optional
            Default: the arrays' own.

        Raises
        ------
        ValueError, TypeError
            If a key, a dtype or a value (NaN, inf) does not fit, a bias is missing, or the shapes do not chain.
        MemoryError
            If the weights do not fit into this machine's memory.
        """
        from .state_dicts import from_state_dict

        return from_state_dict(state, activation, loss, input_scale, dtype)

    def to_c(self, name: str = "network") -> str:
        """The network as the text of one C99 file (or C++17) that needs nothing but <math.h>.

        Parameters
        ----------
        name : str
            A C identifier, with which all names of the file begin.

        Returns
        -------
        str
            ``void NAME_forward(const float *inputs, float *outputs)`` does for one row what `forward` does, in double
            for a float64 network. ``int NAME_predict(const float *inputs)`` for ``cross_entropy`` and
            ``void NAME_predict(const float *inputs, int *classes)`` for ``binary_cross_entropy`` are `predict`.
            The comment on top says the sizes, the stack's bytes, and how to compile. About 17 bytes for each
            float32 parameter, 23 for each float64.

        Raises
        ------
        ValueError, TypeError
            If a weight or bias is not finite, or name is not such an identifier.

        Notes
        -----
        Inputs are float or double: callers convert uint8. Nothing checks them for NaN and inf, which `forward`
        refuses. Sums run in the order of the inputs: results differ from `forward` in their last digits.
        """
        from .c_export import to_c

        return to_c(self, name)

    def forward(self, X: Any, n_threads: int | None = None) -> np.ndarray:
        """Predict.

        Parameters
        ----------
        X : array or SciPy CSR matrix of float32, float64 or uint8, shape (samples, features)
            Copied once if not C-contiguous; other sparse formats are converted to CSR.
        n_threads : int >= 1, optional
            Default: threadpoolctl's limit, else OMP_NUM_THREADS, else the cores that the process may use.

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
        X = validation.check_input_array(X, self._layer_sizes[0])
        if len(X) == 1:  # needs no team
            threads = 1
        elif threads is None:
            threads = default_thread_count()
        step, parts = self._rows_per_call, []
        for i in range(0, len(X), step):
            part = self._core.forward(X, i, min(i + step, len(X)), threads)
            if part is None:  # the core checks values as it reads them, and here is the message
                self._check_inputs(X, threads)
                raise ValueError("X was changed by another thread while it was read")
            parts.append(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def predict(self, X: Any, n_threads: int | None = None) -> np.ndarray:
        """The most probable class of each row, shape (samples,), int64, or of each output of ``binary_cross_entropy``.

        For the other losses the same as `forward`.
        """
        outputs = self.forward(X, n_threads)
        if self._loss == "cross_entropy":
            return outputs.argmax(axis=1)
        return (outputs > 0.5).astype(np.int64) if self._loss == "binary_cross_entropy" else outputs

    def evaluate(self, X: Any, y: Any, n_threads: int | None = None) -> Evaluation:
        """The mean loss over the rows of X, and the accuracy.

        Parameters
        ----------
        X : array or SciPy CSR matrix of float32, float64 or uint8, shape (samples, features), samples >= 1
        y : integers in [0, classes), shape (samples,), or for the other losses reals, shape (samples, outputs)
            With one output, shape (samples,) will do.
        n_threads : int >= 1, optional

        Raises
        ------
        ValueError, TypeError
            If X or y do not fit.
        """
        threads = self._threads(n_threads)
        return self._evaluate(self._dataset(X, y, threads), threads)

    def loss_and_gradients(
        self, X: Any, y: Any, l1: float = 0.0, l2: float = 0.0, n_threads: int | None = None
    ) -> Gradients:
        """The mean loss over the rows, the penalty, and the gradients of their sum.

        The penalty is ``l1 * sum|w| + l2/2 * sum(w**2)`` over weights, not biases; the subgradient
        of ``|w|`` at 0 is 0.

        Parameters
        ----------
        X, y
            As in `evaluate`.
        l1, l2 : float >= 0
        n_threads : int >= 1, optional

        Returns
        -------
        Gradients
            A named tuple: loss, penalty, weights, biases.
        """
        l1 = validation.check_number("l1", l1, least=0)
        l2 = validation.check_number("l2", l2, least=0)
        threads = self._threads(n_threads)
        data = self._dataset(X, y, threads)
        core, plan = self._new_core_trainer("sgd"), _core.EpochPlan(data.rows, data.rows)
        sums, position = _core.LossSum(), 0
        while position < data.rows:
            position = core.sum_gradients(data, plan, position, sums, threads, SECONDS_PER_CALL)
        weight_gradients, bias_gradients = core.gradients()
        if l1 or l2:
            for gradient, w in zip(weight_gradients, self.weights):
                gradient += l2 * w + l1 * np.sign(w)
        return Gradients(sums.loss / data.rows, self._penalty(l1, l2), weight_gradients, bias_gradients)

    def _threads(self, n_threads: int | None) -> int:
        return validation.check_threads(n_threads) or default_thread_count()

    def _check_inputs(self, X: Any, threads: int) -> np.ndarray | _core.CsrInputs:
        return validation.check_inputs(X, self._layer_sizes[0], self._dtype, self._input_scale, threads)

    def _check_targets(self, y: Any, rows: int, threads: int) -> np.ndarray:
        if self._loss == "cross_entropy":
            return validation.check_labels(y, rows, self._layer_sizes[-1])
        y = validation.check_targets(y, rows, self._layer_sizes[-1], self._dtype, threads)
        if self._loss == "binary_cross_entropy":
            validation.check_range("y", y, 0, 1, self._loss)
        if self._loss == "poisson":
            validation.check_range("y", y, 0, math.inf, self._loss)
        return y

    def _dataset(self, X: Any, y: Any, threads: int) -> Any:
        """X and y, checked, as the core's data set."""
        X = self._check_inputs(X, threads)
        return self._core.dataset(X, self._check_targets(y, len(X), threads))

    def _training_set(self, X: Any, y: Any, threads: int, checked: bool = False) -> Any:
        """The same, looked through for columns that training can skip. checked: that X is finite is known."""
        if checked:
            X = validation.check_input_array(X, self._layer_sizes[0])
        else:
            X = self._check_inputs(X, threads)
        return self._core.dataset(X, self._check_targets(y, len(X), threads), _core.NonzeroBits(X, threads))

    def _validation_set(self, validation_data: Any, threads: int) -> Any:
        if validation_data is None:
            return None
        validation.check_pair("validation_data", validation_data)
        return self._dataset(*validation_data, threads)

    def _evaluate(self, data: Any, threads: int) -> Evaluation:
        step, sums = self._rows_per_call, _core.LossSum()
        for begin in range(0, data.rows, step):
            self._core.evaluate(data, begin, min(begin + step, data.rows), sums, threads)
        accuracy = sums.correct / data.rows if self._loss == "cross_entropy" else math.nan
        return Evaluation(sums.loss / data.rows, accuracy)

    def _penalty(self, l1: float, l2: float) -> float:
        if not (l1 or l2):
            return 0.0
        absolute, squares = self._core.weight_norms()
        return l1 * absolute + l2 / 2 * squares

    def _new_core_trainer(self, kind: str, **settings: Any) -> Any:
        core_type = _core.TrainerFloat32 if self._dtype == np.float32 else _core.TrainerFloat64
        return core_type(self._core, getattr(_core.UpdateKind, kind), **settings)

    @contextlib.contextmanager
    def _at_rest(self) -> Iterator[None]:
        """For what copies all parameters: RuntimeError if another thread changes them meanwhile."""
        before = self._core.parameters_version
        if not self._core.is_locked_elsewhere():
            yield
            if self._core.parameters_version == before:
                return
        raise RuntimeError("a fit of this network is under way in another thread; save or copy it from a callback")

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name != "_core"}
        with self._at_rest():
            return {**state, "weights": self.weights, "biases": self.biases}

    def __setstate__(self, state: dict[str, Any]) -> None:
        weights, biases = state.pop("weights"), state.pop("biases")
        self.__dict__.update(state)
        self._create_core()
        self._set_trusted(weights, biases)  # unchecked: a diverged network may travel, too

    def __repr__(self) -> str:
        scale = "" if self._input_scale == 1 else f", input_scale={self._input_scale!r}"
        return (
            f"Network({self._layer_sizes}, activation={self._activation!r}, loss={self._loss!r}, "
            f"dtype={self._dtype.name!r}{scale})"
        )
