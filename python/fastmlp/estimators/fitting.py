"""How the estimators are fitted: scikit-learn's checks, splits, initial weights and solvers, on fastmlp's core."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import validate_data

from .. import activations, core_calls, losses, optimizers, schedules, standardization, training_data, validation
from ..core_calls import Threads
from ..history import Callback, EpochInfo, History
from ..model_state import Standardization
from ..network import Network
from ..threads import share_of_cores
from ..training_data import TrainingData
from .argument_names import names_arguments
from .ensembles import EnsembleFit, errors_name_eval_set
from .fit_tasks import CallbackSupport, FitTasks
from .predictions import Predictions, only_fit_of
from .scikit_learn import CALLBACK_ATTRIBUTES, Interval, Options, StrOptions, check_sample_weight, fit_context
from .solver_state import SolverState
from .solvers import HeldOut, Solvers, copies_of_curves

SOLVERS = {"lbfgs", *optimizers.OPTIMIZERS}


def eval_rows(eval_set: Any, eval_X: Any, eval_y: Any, check: Callable[[str, Any], Any] = validation.check_pair) -> Any:
    """What `check` makes of (X, y), in whichever arguments they were passed; None without them."""
    if eval_set is None:
        if (eval_X is None) != (eval_y is None):
            raise TypeError(f"eval_X and eval_y belong together, got eval_{'y' if eval_X is None else 'X'} alone")
        if eval_X is None:
            return None
        eval_set = eval_X, eval_y
    elif eval_X is not None or eval_y is not None:
        raise TypeError("pass eval_set or eval_X and eval_y, got both")
    checked = check("eval_set", eval_set)
    if checked[1] is None:
        raise TypeError("eval_set must hold y, got None")
    return checked


def can_partial_fit(estimator: Any) -> bool:
    if estimator.solver == "lbfgs":
        raise AttributeError(
            f"partial_fit needs a solver of {', '.join(map(repr, optimizers.OPTIMIZERS))}, got 'lbfgs', which uses all rows"
            " at once"
        )
    if estimator.n_ensemble > 1:
        raise AttributeError(f"partial_fit trains one network, got n_ensemble={estimator.n_ensemble}")
    return True


class FittedMLP(CallbackSupport, Predictions, Solvers, EnsembleFit, BaseEstimator, ABC):
    """The common part of the classifier and the regressor: everything but labels, targets and scores."""

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(activations.ACTIVATIONS)), list, tuple],
        "solver": [StrOptions(SOLVERS)],
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
        "rho": [Interval(Real, 0, 1, closed="left")],
        "momentum_decay": [Interval(Real, 0, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "standardize": ["boolean"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "input_dropout": [Interval(Real, 0, 1, closed="left")],
        "max_gradient_norm": [Interval(Real, 0, None, closed="neither"), None],
        "schedule": [StrOptions(set(schedules.SCHEDULES)), callable, None],
        "weight_decay_schedule": [StrOptions(set(schedules.SCHEDULES)), callable, None],
        "dropout_schedule": [StrOptions(set(schedules.SCHEDULES)), callable, None],
        "average_decay": [Interval(Real, 0, 1, closed="neither"), None],
        "learning_rate_factors": ["array-like", None],
        "precision": [StrOptions(set(validation.PRECISIONS)), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "l1": [Interval(Real, 0, None, closed="left")],
        "l2": [Interval(Real, 0, None, closed="left")],
        "activation_settings": [dict, list, tuple, None],
        "loss_settings": [dict, None],
        "stopping_metric": [StrOptions({"score", "loss"})],
        "n_threads": [Interval(Integral, 1, validation.MAX_THREADS, closed="both"), None],
        "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
        "n_ensemble": [Interval(Integral, 1, None, closed="left")],
        "ensemble_rows": [StrOptions({"all", "bootstrap", "folds"})],
    }

    # What the classifier and the regressor define.

    _y_numeric: bool

    def _learn_targets(self, y: np.ndarray, incremental: bool, classes: Any) -> None:
        """Remember the kind of the targets; ValueError if they do not match those of earlier calls."""

    @abstractmethod
    def _encode(self, y: np.ndarray) -> np.ndarray:
        """y as the core takes it: labels, shape (samples,), or targets, shape (samples, outputs)."""

    @abstractmethod
    def _encode_eval_set(self, y: np.ndarray) -> np.ndarray:
        """The same for eval_set, whose targets must be like those of fit."""

    @abstractmethod
    def _outputs_of(self, encoded: np.ndarray) -> int:
        """The number of outputs that the network needs."""

    @abstractmethod
    def _loss_name(self) -> str:
        """The network's loss for the targets of this fit."""

    def _stratification(self, encoded: np.ndarray) -> np.ndarray | None:
        """The labels whose proportions the validation split keeps."""
        return None

    def _class_weights(self, y: np.ndarray) -> np.ndarray | None:
        """A factor for each row."""
        return None

    @abstractmethod
    def _score(self, encoded: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> float:
        """What `score` returns for these outputs of the network."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # Fitting.

    @names_arguments
    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        eval_set: tuple[Any, Any] | None = None,
        eval_X: Any = None,
        eval_y: Any = None,
        callbacks: Iterable[Callback] = (),
    ) -> Any:
        """Fit the model.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (samples, features)
            float32 is kept, other types become float64. Sparse matrices are read as CSR and never made dense.
        y : array-like, shape (samples,) or (samples, outputs)
            Class labels, a label indicator matrix, or real targets.
        sample_weight : array-like of float >= 0, shape (samples,), optional
            A mini-batch's loss is the mean weighted by them. A mini-batch whose weights sum to zero has no data gradient.
        eval_set : (X, y), optional
            Rows that are not trained on. Their unweighted loss and score after each epoch are in `validation_loss_curve_`
            and `validation_scores_`; with early_stopping they replace the split.
        eval_X, eval_y : array-like, optional
            The same as eval_set in two arguments, so that ``Pipeline(..., transform_input=["eval_X"])`` transforms eval_X
            as it transforms X.
        callbacks : iterable of callable
            After each epoch each is called as ``callback(info)``, with a `fastmlp.trainer.EpochInfo` whose network is the
            current model; the fit ends if one returns True. Methods such as `predict` use that model in a callback, and
            the former one in other threads. Attributes change when the fit ends.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid; the estimator is unchanged.
        DivergenceError
            A ValueError: if the loss or a weight becomes NaN or infinite. `coefs_` are the last finite weights.
        RuntimeError
            If a fit of this estimator is running, in another thread or around a callback.

        Notes
        -----
        Ctrl-C ends the fit with a warning; the model is that of the last update.
        """
        return self._fit(X, y, sample_weight, eval_set, eval_X, eval_y, callbacks, incremental=False)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        eval_set: tuple[Any, Any] | None,
        eval_X: Any,
        eval_y: Any,
        callbacks: Iterable[Callback],
        incremental: bool,
        classes: Any = None,  # in the first call of partial_fit: all classes of all calls
        chosen: np.ndarray | None = None,  # the rows that a member of an ensemble is fitted on; None: all
    ) -> Any:
        callbacks = validation.check_callbacks(callbacks)
        hidden = self._checked_hidden_sizes()
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        eval_pair = eval_rows(eval_set, eval_X, eval_y)
        self._check_additions(X, eval_pair, incremental, is_member=chosen is not None)
        if self.n_ensemble > 1:
            return self._fit_members(X, y, sample_weight, eval_pair, callbacks)
        with only_fit_of(self) as model, share_of_cores(self.n_threads) as threads:
            tasks = self._begin_tasks(X, y, sample_weight, 1 if incremental else self.max_iter)
            train = model._prepare(X, y, sample_weight, eval_pair, hidden, incremental, classes, threads, chosen)
            network = model.network_in_training
            with network.core.lock_parameters():  # callbacks have access to the network
                network.set_trusted(model.coefs_, model.intercepts_)
                try:
                    train([*callbacks, tasks.of_epochs(model.attributes_of_this_moment)], tasks)
                finally:
                    model._take_over(self)
        tasks.end()
        return self

    def _prepare(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        eval_set: tuple[Any, Any] | None,
        hidden: list[int],
        incremental: bool,
        classes: Any,
        threads: Threads,
        chosen: np.ndarray | None,
    ) -> Callable[[list[Callback], FitTasks], None]:
        """Everything before the first step, on a copy of the estimator, so that an error changes nothing.

        Returns the function that trains.
        """
        first_pass = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        X, y = self._check_X_y(X, y, reset=first_pass)
        if scipy.sparse.issparse(X):
            X = X.tocsr()
        self._learn_targets(y, incremental, classes)
        encoded = self._encode(y)
        self.n_outputs_ = self._outputs_of(encoded)
        weights = self._row_weights(X, y, sample_weight)
        if chosen is not None and self.solver == "lbfgs":  # which takes all rows
            counts = np.bincount(chosen, minlength=len(y))
            weights = counts if weights is None else weights * counts
        if eval_set is not None:
            eval_set = self._check_eval_set(eval_set)
        sizes = [X.shape[1], *hidden, self.n_outputs_]
        if not first_pass and [X.shape[1], *(w.shape[1] for w in self.coefs_)] != sizes:
            raise ValueError(
                f"training can only continue with the same layers, got {sizes} after"
                f" {[self.coefs_[0].shape[0], *(w.shape[1] for w in self.coefs_)]}"
            )
        kept = self._learned_standardization() is not None
        if not first_pass and self.standardize != kept:
            raise ValueError(f"standardize={kept} cannot change where the training continues, got {self.standardize}")
        self._random_state = check_random_state(self.random_state)
        if first_pass:
            self._initialize(sizes, X.dtype, eval_set is not None)
        else:
            vars(self).update(copies_of_curves(self))  # those of the estimator stay as they are until the fit ends
        network = self.network_in_training = self._network_to_train(incremental)
        rows, held_out_rows = self._split(encoded, eval_set, chosen)
        if weights is not None and not (weights if self.solver == "lbfgs" else weights[rows]).any():
            raise ValueError("the weights of the rows to train on must not all be 0")
        if first_pass and self.standardize:
            counted = None if self.solver == "lbfgs" else rows
            self.standardization_ = standardization.of_rows(network.spec, X, encoded, weights, threads(), counted)
            network.take_standardization(self.standardization_)
        data = self._data(network, X, encoded, weights, threads(), skips_columns=True)
        held_out = None
        if eval_set is not None:
            held_out = self._held_out(network, *eval_set, None, True, threads())
        elif held_out_rows is not None:
            of_rows = [None if each is None else each[held_out_rows] for each in (X, encoded, weights)]
            held_out = self._held_out(network, *of_rows, self.stopping_metric == "loss", threads())
        if self.solver == "lbfgs":
            return lambda callbacks, tasks: self._fit_lbfgs(network, data, held_out, callbacks, threads)
        stochastic = (network, data, rows, held_out)
        return lambda callbacks, tasks: self._fit_stochastic(*stochastic, callbacks, tasks, incremental, threads)

    def _take_over(self, estimator: FittedMLP) -> None:
        """The estimator becomes this model at once, but for its parameters, which a callback may have set."""
        del self.network_in_training
        names = {*self._parameter_constraints, *CALLBACK_ATTRIBUTES}
        now = {name: value for name, value in estimator.__dict__.items() if name in names}
        estimator.__dict__ = {**self.__dict__, **now}

    def _check_X_y(self, X: Any, y: Any, reset: bool) -> tuple[Any, np.ndarray]:
        """X and y, checked; y is not yet encoded."""
        if scipy.sparse.issparse(y) and y.ndim != 2:
            raise ValueError(f"a sparse y must have shape (samples, labels), got {y.shape}")
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
        """The products of sample_weight and the weights of the classes; None if all are 1."""
        weights = None if sample_weight is None else check_sample_weight(sample_weight, X)
        factors = self._class_weights(y)
        if factors is not None:
            weights = factors if weights is None else weights * factors
            if not weights.any():
                raise ValueError("sample_weight and class_weight must leave a row with a weight that is not zero")
        return weights

    def _check_eval_set(self, eval_set: Any) -> tuple[Any, np.ndarray]:
        with errors_name_eval_set():
            X, y = self._check_eval_X_y(*eval_set)
            if self.early_stopping and X.shape[0] < 2:
                raise ValueError(f"eval_set must have at least 2 rows for early_stopping, got {X.shape[0]}")
            return X, self._encode_eval_set(y)

    def _check_eval_X_y(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        named = hasattr(X, "columns") and all(isinstance(name, str) for name in X.columns)
        if named and not hasattr(self, "feature_names_in_"):
            validation.warn(
                "eval_set has column names and X has none. A Pipeline does not transform eval_set: pass eval_X and"
                " eval_y to it, or use standardize=True"
            )
            X = np.asarray(X)
        return self._check_X_y(X, y, reset=False)

    def _initialize(self, layer_sizes: Sequence[int], dtype: np.dtype, evaluated: bool) -> None:
        for name in ("estimators_", "out_of_fold_"):
            vars(self).pop(name, None)  # of an ensemble that was fitted before
        self.standardization_: Standardization | None = None
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(layer_sizes)
        self.out_activation_ = losses.TABLE[self._loss_name()].scikit_learn_output
        self.coefs_, self.intercepts_ = [], []
        activation, _ = self._activation_of(len(layer_sizes) - 2, dtype)
        rows = activations.of_initial_weights(activation, len(layer_sizes) - 1)
        for row, inputs, outputs in zip(rows, layer_sizes, layer_sizes[1:]):
            bound = np.sqrt(row.scikit_learn_factor / (inputs + outputs))
            self.coefs_.append(self._random_state.uniform(-bound, bound, (inputs, outputs)).astype(dtype))
            self.intercepts_.append(self._random_state.uniform(-bound, bound, outputs).astype(dtype))
        self.history_ = History()
        if self.solver != "lbfgs":
            self.loss_curve_: list[float] = []
            self._start_stopping((self.coefs_, self.intercepts_))
        scored = evaluated or (self.early_stopping and self.solver != "lbfgs")
        self.validation_scores_: list[float] | None = [] if scored else None
        self.validation_loss_curve_: list[float] | None = [] if evaluated else None

    def _data(
        self, network: Network, X: Any, encoded: np.ndarray, weights: Any, threads: int, skips_columns: bool
    ) -> TrainingData:
        """Rows that validate_data has checked, if they are in the range of the network's dtype."""
        name = "sample_weight" if getattr(self, "class_weight", None) is None else "sample_weight times class_weight"
        checked = np.can_cast(X.dtype, network.dtype)  # then finite values of X are finite in the network
        return training_data.training_data(
            network, X, encoded, weights, threads, skips_columns=skips_columns, checked=checked, weight_name=name
        )

    def _held_out(
        self, network: Network, X: Any, encoded: np.ndarray, weights: Any, with_loss: bool, threads: int
    ) -> HeldOut:
        data = self._data(network, X, encoded, weights, threads, skips_columns=False)
        if not data.weight > 0:
            raise ValueError(
                f"the sample weights of the {data.rows} rows held out for early_stopping must have a positive sum, got"
                f" {data.weight:g}: leave out rows of weight 0, or pass eval_set"
            )
        return HeldOut(X, encoded, weights, with_loss, data)

    def _evaluate(self, network: Network, rows: HeldOut | None, threads: int) -> dict[str, float]:
        if rows is None:
            return {}
        score = {"val_score": float(self._score(rows.encoded, network.forward(rows.X, threads), rows.weights))}
        if not rows.with_loss:
            return score
        return {"val_loss": core_calls.evaluate(network, rows.data, threads).loss * self._loss_factor(network), **score}

    def _record(self, info: EpochInfo) -> None:
        """The first callback of a fit."""
        for name, curve in (("val_loss", "validation_loss_curve_"), ("val_score", "validation_scores_")):
            if name in info.metrics:
                if getattr(self, curve, None) is None:  # an eval_set that earlier calls did not have
                    setattr(self, curve, [])
                getattr(self, curve).append(info.metrics[name])

    def _network_to_train(self, incremental: bool) -> Network:
        if self.solver == "lbfgs":
            self.out_activation_ = losses.TABLE[self._loss_name()].scikit_learn_output
            return self._network(self._loss_name(), np.dtype(np.float64))  # a line search needs double precision
        loss, dtype = self._loss_name(), self.coefs_[0].dtype
        self.out_activation_ = losses.TABLE[loss].scikit_learn_output
        if not incremental or not hasattr(self, "_optimizer"):
            drops = self.dropout or self.input_dropout  # else the generator draws what scikit-learn's does
            seed = int(self._random_state.randint(2**31)) if drops else 0
            self._optimizer = SolverState(self._network(loss, dtype), vars(self), seed)
        elif self._optimizer.network.spec != self._spec(loss, dtype):  # another activation or loss since the last call
            self._optimizer = self._optimizer.of_network(self._network(loss, dtype))
        return self._optimizer.network

    def _split(
        self, encoded: np.ndarray, eval_set: tuple[Any, np.ndarray] | None, chosen: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows to train on, and those to evaluate after each epoch."""
        rows = np.arange(len(encoded)) if chosen is None else chosen
        if eval_set is not None or not self.early_stopping or self.solver == "lbfgs":
            return rows, None
        different = np.unique(rows)
        rows, held_out = train_test_split(
            different,
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=self._stratification(encoded[different]),
        )
        if chosen is not None:  # a row that was drawn twice is trained on twice, or held out
            rows = chosen[np.isin(chosen, rows)]
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return rows, held_out
