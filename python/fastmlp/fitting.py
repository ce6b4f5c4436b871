"""How the estimators are fitted: scikit-learn's checks, splits, initial weights, stopping and solvers over the core."""

from __future__ import annotations

import math
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from . import _core, lbfgs, validation
from .network import Network
from .threads import share_of_cores
from .trainer import Callback, EpochInfo, check_callbacks, run_epoch, wants_to_stop

LOSS_OF_OUTPUT = {
    "softmax": "cross_entropy",
    "logistic": "binary_cross_entropy",
    "identity": "squared_error",
    "exp": "poisson",
}
"""The network's loss for scikit-learn's name of the output activation."""


def _copied(*lists: list[np.ndarray]) -> list[list[np.ndarray]]:
    return [[array.copy() for array in arrays] for arrays in lists]


_fits: dict[int, object] = {}  # by the estimator's id, as an attribute would travel with copies


@contextmanager
def _only_fit_of(estimator: FittedMLP) -> Iterator[None]:
    """The right to fit it: at most one at a time, and nobody waits for it."""
    token = object()
    if _fits.setdefault(id(estimator), token) is not token:
        raise RuntimeError("a fit of this estimator is under way; it cannot be fitted by another")
    try:
        yield
    finally:
        del _fits[id(estimator)]


class _Optimizer:
    """What a stochastic solver keeps between epochs and calls: its network, the core's trainer, and the learning rate
    with its rule, which parameters that are set between calls of partial_fit do not change."""

    def __init__(self, network: Network, estimator: FittedMLP) -> None:
        self.network = network
        self.learning_rate = self.initial_rate = float(estimator.learning_rate_init)
        self.rule = estimator.learning_rate if estimator.solver == "sgd" else "constant"
        self.power_t = estimator.power_t
        self.kind, self.settings = "sgd", {}
        if estimator.solver == "adam":
            self.kind = "adam"
            self.settings = {name: getattr(estimator, name) for name in ("beta_1", "beta_2", "epsilon")}
        elif estimator.momentum:
            self.kind = "momentum"
            self.settings = {"momentum": estimator.momentum, "nesterov": bool(estimator.nesterovs_momentum)}
        self.core = network._new_core_trainer(self.kind, **self.settings)

    def epoch_ends(self, rows_so_far: int) -> None:
        if self.rule == "invscaling":
            self.learning_rate = self.initial_rate / (rows_so_far + 1) ** self.power_t

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name != "core"}
        return {**state, "state": self.core.optimizer_state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        core_state = state.pop("state")
        self.__dict__.update(state)
        self.core = self.network._new_core_trainer(self.kind, **self.settings)
        self.core.set_optimizer_state(*core_state)


@dataclass(frozen=True)
class _Evaluated:
    """Rows that are looked at after each epoch."""

    X: Any
    encoded: np.ndarray
    weights: np.ndarray | None
    with_loss: bool  # and not only their score
    data: Any  # the same as the core's data set


class FittedMLP(BaseEstimator, ABC):
    """What the classifier and the regressor share: everything but labels, targets and scores."""

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "l1": [Interval(Real, 0, None, closed="left")],
        "l2": [Interval(Real, 0, None, closed="left")],
        "stopping_metric": [StrOptions({"score", "loss"})],
        "n_threads": [Interval(Integral, 1, validation.MOST_THREADS, closed="both"), None],
    }

    # What the two kinds of estimator answer themselves.

    _y_numeric: bool

    def _learn_targets(self, y: np.ndarray, incremental: bool, classes: Any) -> None:
        """What kind of targets these are; ValueError if they do not fit those of earlier calls."""

    @abstractmethod
    def _encode(self, y: np.ndarray) -> np.ndarray:
        """y as the core takes it: labels, shape (samples,), or targets, shape (samples, outputs)."""

    @abstractmethod
    def _encode_eval_set(self, y: np.ndarray) -> np.ndarray:
        """The same, of targets that must be like those of fit."""

    @abstractmethod
    def _outputs_of(self, encoded: np.ndarray) -> int:
        """How many the network needs."""

    @abstractmethod
    def _output_activation(self) -> str:
        """scikit-learn's name of it."""

    def _stratification(self, encoded: np.ndarray) -> np.ndarray | None:
        """What the validation split keeps the proportions of."""
        return None

    def _class_weights(self, y: np.ndarray) -> np.ndarray | None:
        """A factor for each row."""
        return None

    @abstractmethod
    def _score(self, encoded: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> float:
        """What `score` would say of the network's outputs."""

    # The network and scikit-learn's view of it.

    def to_network(self) -> Network:
        """The fitted model as a `fastmlp.Network`, with copies of its parameters.

        Returns
        -------
        Network
            Its `Network.forward` gives the numbers of ``predict_proba`` (one column in the binary case) or of `predict`,
            without scikit-learn's checks: microseconds for a single row.
        """
        check_is_fitted(self)
        return self._network(np.result_type(*self.coefs_), clips_loss=False)

    def _network(self, dtype: np.dtype, clips_loss: bool = True) -> Network:
        """One whose loss is scikit-learn's, unless asked otherwise."""
        dtype = np.dtype(np.float32 if dtype == np.float32 else np.float64)
        loss = LOSS_OF_OUTPUT[self.out_activation_]
        return Network._of_parameters(self.coefs_, self.intercepts_, self.activation, loss, dtype, clips_loss)

    def _take_parameters(self, network: Network, dtype: np.dtype) -> None:
        self.coefs_ = [w.astype(dtype, copy=False) for w in network.weights]
        self.intercepts_ = [b.astype(dtype, copy=False) for b in network.biases]

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False)
        # coefs_ are plain arrays that the user may have changed: they are read anew each time
        return self._network(np.result_type(X.dtype, *self.coefs_)).forward(X, self.n_threads)

    @property
    def _loss_factor(self) -> float:
        """scikit-learn's squared error is the mean over the outputs, although its gradient is that of the sum."""
        return 1 / self.n_outputs_ if self.out_activation_ == "identity" else 1.0

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # Fitting.

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        eval_set: tuple[Any, Any] | None = None,
        callbacks: Iterable[Callback] = (),
    ) -> Any:
        """Fit the model.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (samples, features)
            float32 is kept, all else becomes float64. Sparse matrices are read as CSR and never made dense.
        y : array-like, shape (samples,) or (samples, outputs)
            Class labels, a label indicator matrix, or real targets.
        sample_weight : array-like, shape (samples,), optional
            A mini-batch's loss is the mean weighted by them; one whose weights sum to zero teaches nothing.
        eval_set : (X, y), optional
            Rows that are not trained on. After each epoch their loss and score go to `validation_loss_curve_` and
            `validation_scores_`, with all rows weighing the same; with early_stopping they take the place of the split.
        callbacks : iterable of callable
            Each is called as ``callback(info)`` after each epoch, with a `fastmlp.trainer.EpochInfo`, whose network
            is the model as it is now; `coefs_` follow when the fit ends, which it does if one returns True.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit, and then the estimator is as before; or if the weights are not finite in the
            end.
        RuntimeError
            If a fit of this estimator is under way, in another thread or around a callback.

        Notes
        -----
        Ctrl-C ends the fit with a warning; the model is kept as it is after the last update.
        """
        return self._fit(X, y, sample_weight, eval_set, callbacks, incremental=False)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        eval_set: tuple[Any, Any] | None,
        callbacks: Iterable[Callback],
        incremental: bool,
        classes: Any = None,  # all that may ever come, in the first call of partial_fit
    ) -> Any:
        callbacks = check_callbacks(callbacks)
        hidden = self.hidden_layer_sizes
        hidden = list(hidden) if hasattr(hidden, "__iter__") else [hidden]
        if np.any(np.array(hidden) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        if self.l1 and self.solver == "sgd" and self.momentum == 1:
            raise ValueError(f"l1={self.l1} needs a momentum below 1, got momentum={self.momentum}")
        with _only_fit_of(self), share_of_cores(self.n_threads) as threads:
            first_pass = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
            before = dict(self.__dict__)
            try:
                X, y = self._check_X_y(X, y, reset=first_pass)
                if scipy.sparse.issparse(X):
                    X = X.tocsr()
                self._learn_targets(y, incremental, classes)
                encoded = self._encode(y)
                self.n_outputs_ = self._outputs_of(encoded)
                weights = self._row_weights(X, y, sample_weight)
                if eval_set is not None:
                    eval_set = self._check_eval_set(eval_set)
                sizes = [X.shape[1], *hidden, self.n_outputs_]
                if not first_pass and [X.shape[1], *(w.shape[1] for w in self.coefs_)] != sizes:
                    raise ValueError(
                        f"training can only go on with the same layers, got {sizes} after"
                        f" {[self.coefs_[0].shape[0], *(w.shape[1] for w in self.coefs_)]}"
                    )
                self._random_state = check_random_state(self.random_state)
                if first_pass:
                    self._initialize(sizes, X.dtype, eval_set is not None)
                network = self._network_to_train(incremental)
                data = self._dataset(network, X, encoded, weights, threads(), skip=True)
                rows, evaluated = self._split(network, X, encoded, weights, eval_set, threads())
            except BaseException:  # Ctrl-C, too
                self.__dict__ = before
                raise
            with network._core.lock_parameters():  # callbacks can get at it
                network._set_trusted(self.coefs_, self.intercepts_)
                if self.solver == "lbfgs":
                    total_weight = data.rows if weights is None else float(weights.sum())
                    self._fit_lbfgs(network, data, total_weight, evaluated, callbacks, threads)
                else:
                    self._fit_stochastic(network, data, rows, evaluated, callbacks, incremental, threads)
        if not all(np.isfinite(parameters).all() for parameters in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
                " preprocessed."
            )
        return self

    def _check_X_y(self, X: Any, y: Any, reset: bool) -> tuple[Any, np.ndarray]:
        """Both checked; y as the user sees it."""
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=self._y_numeric,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        return X, column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

    def _row_weights(self, X: Any, y: np.ndarray, sample_weight: Any) -> np.ndarray | None:
        """Those given times those of the classes; None if all are 1."""
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        factors = self._class_weights(y)
        if factors is not None:
            weights = factors if weights is None else weights * factors
            if not weights.any():
                raise ValueError("sample_weight and class_weight must leave a row with a weight that is not zero")
        return weights

    def _check_eval_set(self, eval_set: Any) -> tuple[Any, np.ndarray]:
        validation.check_pair("eval_set", eval_set)
        X, y = self._check_X_y(*eval_set, reset=False)
        if self.early_stopping and X.shape[0] < 2:
            raise ValueError(f"eval_set must have at least 2 rows for early_stopping, got {X.shape[0]}")
        return X, self._encode_eval_set(y)

    def _initialize(self, layer_sizes: Sequence[int], dtype: np.dtype, evaluated: bool) -> None:
        self.n_iter_ = 0
        self.t_ = 0
        self.n_layers_ = len(layer_sizes)
        self.out_activation_ = self._output_activation()
        self.coefs_, self.intercepts_ = [], []
        for inputs, outputs in zip(layer_sizes, layer_sizes[1:]):  # Glorot and Bengio 2010; 6 also for relu, as there
            bound = np.sqrt((2.0 if self.activation == "logistic" else 6.0) / (inputs + outputs))
            self.coefs_.append(self._random_state.uniform(-bound, bound, (inputs, outputs)).astype(dtype))
            self.intercepts_.append(self._random_state.uniform(-bound, bound, outputs).astype(dtype))
        self.history_ = {}
        if self.solver != "lbfgs":
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            self._watched = ""  # by early stopping; its best value, and in this call the parameters that had it
            self._best_value = -math.inf
            self._best = _copied(self.coefs_, self.intercepts_) if self.early_stopping else None
            self.best_loss_ = None if self.early_stopping else math.inf
            self.best_validation_score_ = -math.inf if self.early_stopping else None
        scored = evaluated or (self.early_stopping and self.solver != "lbfgs")
        self.validation_scores_: list[float] | None = [] if scored else None
        self.validation_loss_curve_: list[float] | None = [] if evaluated else None

    def _dataset(self, network: Network, X: Any, encoded: np.ndarray, weights: Any, threads: int, skip: bool) -> Any:
        """Rows that validate_data has checked, as the core's data set, if they are in the range of its dtype."""
        if np.can_cast(X.dtype, network.dtype):
            X = validation.check_input_array(X, network.layer_sizes[0])
        else:
            X = network._check_inputs(X, threads)
        if encoded.ndim == 2:
            encoded = validation.check_targets(encoded, *encoded.shape, network.dtype, threads)
        if weights is not None:
            weights = self._check_weights(weights, network.dtype)
        return network._core.dataset(X, encoded, _core.NonzeroBits(X, threads) if skip else None, weights)

    def _check_weights(self, weights: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The rows' weights in `dtype`, if they, their sums and the inverses of these are normal numbers of it."""
        least = float(np.finfo(dtype).tiny)
        most = 1 / least / len(weights)
        sizes = np.abs(weights)
        bad = ~((sizes == 0) | ((sizes >= least) & (sizes <= most)))  # NaN, too
        if bad.any():
            name = (
                "sample_weight" if getattr(self, "class_weight", None) is None else "sample_weight times class_weight"
            )
            row = int(bad.argmax())
            raise ValueError(
                f"{name} must be 0 or in [{least:.3g}, {most:.3g}] in size for {dtype}, got {weights[row]} in row {row}"
            )
        return np.ascontiguousarray(weights, dtype)

    def _evaluated(
        self, network: Network, X: Any, encoded: np.ndarray, weights: Any, with_loss: bool, threads: int
    ) -> _Evaluated:
        data = self._dataset(network, X, encoded, weights, threads, skip=False)
        return _Evaluated(X, encoded, weights, with_loss, data)

    def _evaluate(self, network: Network, rows: _Evaluated, threads: int) -> dict[str, float]:
        score = float(self._score(rows.encoded, network.forward(rows.X, threads), rows.weights))
        if not rows.with_loss:
            return {"validation_score": score}
        loss = network._evaluate(rows.data, threads).loss * self._loss_factor
        if rows.weights is not None:  # the core's mean is that of the weighted losses
            loss *= len(rows.weights) / rows.weights.sum()
        return {"validation_loss": loss, "validation_score": score}

    def _record(self, metrics: dict[str, float]) -> None:
        history = self.__dict__.setdefault("history_", {})  # of parameters that were set by hand there is none yet
        for name, value in metrics.items():
            history.setdefault(name, []).append(value)
        for name, curve in (("validation_loss", "validation_loss_curve_"), ("validation_score", "validation_scores_")):
            if name in metrics:
                if getattr(self, curve, None) is None:  # an eval_set that earlier calls did not have
                    setattr(self, curve, [])
                getattr(self, curve).append(metrics[name])

    def _network_to_train(self, incremental: bool) -> Network:
        if self.solver == "lbfgs":
            return self._network(np.dtype(np.float64))  # a line search needs the digits
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer = _Optimizer(self._network(self.coefs_[0].dtype), self)
        return self._optimizer.network

    def _split(
        self,
        network: Network,
        X: Any,
        encoded: np.ndarray,
        weights: np.ndarray | None,
        eval_set: tuple[Any, np.ndarray] | None,
        threads: int,
    ) -> tuple[np.ndarray, _Evaluated | None]:
        """The rows to train on, and those to look at after each epoch."""
        rows = np.arange(X.shape[0])
        if eval_set is not None:
            return rows, self._evaluated(network, *eval_set, None, True, threads)
        if not self.early_stopping or self.solver == "lbfgs":
            return rows, None
        rows, held_out = train_test_split(
            rows,
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=self._stratification(encoded),
        )
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        held_weights = None if weights is None else weights[held_out]
        with_loss = self.stopping_metric == "loss"
        return rows, self._evaluated(network, X[held_out], encoded[held_out], held_weights, with_loss, threads)

    def _fit_stochastic(
        self,
        network: Network,
        data: Any,
        rows: np.ndarray,
        evaluated: _Evaluated | None,
        callbacks: list[Callback],
        incremental: bool,
        threads: Callable[[], int],
    ) -> None:
        batch_size = min(200, len(rows)) if self.batch_size == "auto" else self.batch_size
        if batch_size > len(rows):
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=5
            )
            batch_size = len(rows)
        if self.early_stopping and self._watched != self.stopping_metric:  # another scale
            self._watched, self._best_value = self.stopping_metric, -math.inf
        epochs = 1 if incremental else self.max_iter
        self.n_iter_ = 0
        try:
            for epoch in range(1, epochs + 1):
                if self.shuffle:
                    permutation = np.arange(len(rows))
                    self._random_state.shuffle(permutation)
                    rows = rows[permutation]
                metrics = self._train_epoch(data, rows, int(batch_size), threads)
                if evaluated is not None:
                    metrics |= self._evaluate(network, evaluated, threads())
                self._record(metrics)
                if self._improved(metrics):
                    self._best = network.weights, network.biases
                self._optimizer.epoch_ends(self.t_)
                info = EpochInfo(epoch, epochs, metrics, network)
                if any([wants_to_stop(callback, info) for callback in callbacks]):
                    break
                if self._no_improvement_count > self.n_iter_no_change and self._stops():
                    break
                if epoch == self.max_iter and not incremental:
                    warnings.warn(
                        f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization"
                        " hasn't converged yet.",
                        ConvergenceWarning,
                        stacklevel=5,
                    )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=5)
        finally:
            self._take_parameters(network, network.dtype)
        if self.early_stopping and self._best is not None:
            self.coefs_, self.intercepts_ = self._best
            self._best = None  # a later call that does not improve keeps what it has trained, as in scikit-learn

    def _train_epoch(
        self, data: Any, rows: np.ndarray, batch_size: int, threads: Callable[[], int]
    ) -> dict[str, float]:
        start = time.perf_counter()
        settings = _core.UpdateSettings(
            self._optimizer.learning_rate,
            self.l1,
            self.l2,
            self.alpha,
            proximal=True,
            measures_penalty=bool(self.alpha or self.l1 or self.l2),
        )
        sums = run_epoch(self._optimizer.core, data, _core.EpochPlan(rows, batch_size), settings, threads)
        loss, penalty = sums.loss / len(rows) * self._loss_factor, sums.penalty / len(rows)
        self.n_iter_ += 1
        self.t_ += len(rows)
        self.loss_ = np.float64(loss + penalty)
        self.loss_curve_.append(self.loss_)
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
        return {"loss": loss, "penalty": penalty, "seconds": time.perf_counter() - start}

    def _improved(self, metrics: dict[str, float]) -> bool:
        """Counts epochs without improvement; whether early stopping should keep the weights as the best so far."""
        if not self.early_stopping:
            self._no_improvement_count = (
                self._no_improvement_count + 1 if self.loss_ > self.best_loss_ - self.tol else 0
            )
            self.best_loss_ = min(self.best_loss_, self.loss_)
            return False
        if self.verbose:
            print(f"Validation score: {metrics['validation_score']:f}")
        value = -metrics["validation_loss"] if self.stopping_metric == "loss" else metrics["validation_score"]
        self._no_improvement_count = self._no_improvement_count + 1 if value < self._best_value + self.tol else 0
        if value > self._best_value:
            self._best_value = value
            self.best_validation_score_ = metrics["validation_score"]
            return True
        return False

    def _stops(self) -> bool:
        """After too many epochs without improvement; the adaptive rule goes on at a fifth of the learning rate."""
        what = "Validation score" if self.early_stopping else "Training loss"
        message = f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
        stops = self._optimizer.rule != "adaptive"
        if stops:
            message += " Stopping."
        elif self._optimizer.learning_rate <= 1e-6:
            stops = True
            message += " Learning rate too small. Stopping."
        else:
            self._optimizer.learning_rate /= 5.0
            self._no_improvement_count = 0
            message += f" Setting learning rate to {self._optimizer.learning_rate:f}"
        if self.verbose:
            print(message)
        return stops

    def _fit_lbfgs(
        self,
        network: Network,
        data: Any,
        total_weight: float,
        evaluated: _Evaluated | None,
        callbacks: list[Callback],
        threads: Callable[[], int],
    ) -> None:
        dtype = self.coefs_[0].dtype
        l2 = self.l2 + self.alpha / total_weight
        self.n_iter_, clock = 0, time.perf_counter()

        def after_iteration(loss: float, penalty: float) -> None:
            nonlocal clock
            now = time.perf_counter()
            metrics = {"loss": loss, "penalty": penalty, "seconds": now - clock}
            self.n_iter_ += 1
            self.loss_ = loss + penalty
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
            if evaluated is not None:
                metrics |= self._evaluate(network, evaluated, threads())
            self._record(metrics)
            info = EpochInfo(self.n_iter_, self.max_iter, metrics, network)
            if any([wants_to_stop(callback, info) for callback in callbacks]):
                raise lbfgs.Stop
            clock = time.perf_counter()

        options = {"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol}
        try:
            result = lbfgs.minimize(network, data, self.l1, l2, self._loss_factor, options, threads, after_iteration)
            if result is not None:
                self.n_iter_ = _check_optimize_result("lbfgs", result, self.max_iter)
                self.loss_ = float(result.fun)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=5)
        finally:
            self._take_parameters(network, dtype)
