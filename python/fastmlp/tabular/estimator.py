"""What the tabular estimators share: rows for validation, preparation, members of an ensemble, and predictions."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from .. import validation
from ..estimators.argument_names import names_arguments
from ..estimators.ensembles import errors_name_eval_set
from ..estimators.fit_tasks import CallbackSupport, FitTasks
from ..estimators.fitting import eval_rows
from ..estimators.predictions import of_one_model
from ..estimators.scikit_learn import CALLBACK_ATTRIBUTES, rows_of, with_callbacks
from ..input_scales import warn_of_other_rows
from ..progress import FitProgress, ManyProgress
from ..threads import share_of_cores
from ..workers import Workers
from . import files, onnx_export, row_values
from .columns import as_table
from .files import TabularState
from .network import TabularNetwork
from .preparation import Preparation, PreparedTable
from .scores import Score, of_user
from .training import Outcome, TrainingSettings, train


@dataclass(frozen=True)
class Rows:
    """Rows of a table, their encoded labels or targets, and their weights."""

    X: Any
    y: np.ndarray
    weights: np.ndarray | None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, chosen: np.ndarray) -> Rows:
        weights = None if self.weights is None else self.weights[chosen]
        return Rows(rows_of(self.X, chosen), self.y[chosen], weights)

    def with_weight(self, name: str) -> Rows:
        """Those whose weight is not zero; the others have no part in a fit."""
        if self.weights is None or self.weights.all():
            return self
        if not self.weights.any():
            raise ValueError(f"{name} must leave a row with a weight that is not zero")
        return self.take(np.flatnonzero(self.weights))


@dataclass(frozen=True)
class Goal:
    """What a fit learns: the networks' loss and outputs, and the score of validation rows."""

    loss: str
    loss_settings: dict[str, Any]
    outputs: int
    score_name: str
    score: Score
    gradient_factor: float = 1.0
    outputs_per_target: int = 1


class TabularEstimator(CallbackSupport, BaseEstimator):
    """Fits one network, or an ensemble of them, to a table."""

    # What each kind of network defines.

    @abstractmethod
    def _resolved(self) -> dict[str, Any]:
        """All settings, checked."""

    @abstractmethod
    def _new_preparation(self, settings: dict[str, Any], seed: int) -> Preparation: ...

    @abstractmethod
    def _new_network(self, settings: dict[str, Any], table: PreparedTable, goal: Goal) -> TabularNetwork:
        """For rows like those of `table`, which `preparation_` has prepared."""

    @abstractmethod
    def _initialize(
        self,
        network: TabularNetwork,
        settings: dict[str, Any],
        table: PreparedTable,
        rng: np.random.Generator,
        threads: int,
    ) -> None: ...

    @abstractmethod
    def _training(self, network: TabularNetwork, settings: dict[str, Any], goal: Goal, seed: int) -> TrainingSettings:
        """How the network is trained."""

    # What classifiers and regressors define.

    @abstractmethod
    def _learn_targets(self, y: Any) -> np.ndarray:
        """Labels from 0 on, shape (rows,), or targets in double, shape (rows, outputs); remembers what y is."""

    @abstractmethod
    def _encode(self, y: Any) -> np.ndarray:
        """The same for the y of validation rows."""

    @abstractmethod
    def _goal(self, settings: dict[str, Any]) -> Goal: ...

    def _scale_targets(self, settings: dict[str, Any], rows: Rows) -> None:
        """Learn the scale of the targets from the rows to train on."""

    def _scaled(self, y: np.ndarray) -> np.ndarray:
        """Labels or targets as the networks learn them."""
        return y

    def _outputs_in_units(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs of the networks in the unit of y."""
        return outputs

    def _row_weights(self, encoded: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        return weights

    def _calibrate(self, held_out: Rows, outputs: np.ndarray) -> None:
        """Learn from the validation rows how sure predictions are."""

    # Fitting.

    @names_arguments
    @with_callbacks
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        eval_set: tuple[Any, ...] | None = None,
        eval_X: Any = None,
        eval_y: Any = None,
    ) -> Any:
        """Fit the model.

        Parameters
        ----------
        X : data frame of pandas or polars, or array, shape (rows, columns)
            Numbers, which may be missing, and categories. Columns of text, categories or booleans are categories, and
            those that `categorical_features` names.
        y : array-like, shape (rows,), or of a regression also (rows, outputs)
        sample_weight : array-like, shape (rows,), optional
            Weights of the rows' losses, >= 0, divided by their mean.
        eval_set : (X, y) or (X, y, sample_weight), optional
            Rows to validate on, instead of a part of X.
        eval_X, eval_y : array-like, optional
            The same in two arguments, so that ``Pipeline(..., transform_input=["eval_X"])`` transforms eval_X.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid.
        DivergenceError
            A ValueError: if the loss is not finite.
        """
        settings = self._resolved()
        eval_set = eval_rows(eval_set, eval_X, eval_y, validation.check_triple)
        trainings = 2 if settings["refit"] else 1
        networks = settings["n_ensemble"]
        subtasks = trainings * (settings["n_epochs"] if networks == 1 else networks)
        tasks = self._begin_tasks(X, y, sample_weight, subtasks, sequential=networks == 1)
        model = object.__new__(type(self))  # this estimator is unchanged until that one is fitted
        model.__dict__ = {name: value for name, value in vars(self).items() if not name.endswith("_")}
        model._fit_all(settings, X, y, sample_weight, eval_set, tasks)
        now = {name: value for name, value in vars(self).items() if name in CALLBACK_ATTRIBUTES}
        self.__dict__ = model.__dict__ | self.get_params(deep=False) | now  # as set meanwhile, such as by a callback
        tasks.end()
        return self

    def _fit_all(
        self, settings: dict[str, Any], X: Any, y: Any, sample_weight: Any, eval_set: Any, tasks: FitTasks
    ) -> None:
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        X, encoded = as_table(X), self._learn_targets(y)
        check_consistent_length(X, encoded)
        are_categorical = self._new_preparation(settings, 0).check(X)
        weights = self._row_weights(encoded, row_values.weights(sample_weight, len(encoded)))
        rng = check_random_state(settings["random_state"])
        seeds = rng.randint(0, 2**31 - 1, 1 + settings["n_ensemble"]).tolist()
        all_rows = Rows(X, encoded, weights).with_weight("sample_weight and class_weight")
        training, held_out = self._split(settings, all_rows, eval_set, seeds[0])
        for name in ("calibrate", "refit"):
            if held_out is None and settings.get(name):
                raise ValueError(f"{name}=True needs validation rows, got none")
        with share_of_cores(settings["n_threads"]) as threads:
            outcomes = self._fit_members(settings, are_categorical, training, held_out, seeds, threads, tasks)
            if held_out is not None and settings.get("calibrate"):
                self._calibrate(held_out, self._mean_outputs(self._tables(held_out.X), threads()))
            if settings["refit"]:
                epochs = [outcome.best_epoch for outcome in outcomes]
                self._fit_members(settings, are_categorical, all_rows, None, seeds, threads, tasks, epochs)
        self.history_ = outcomes[0].history
        self.histories_ = [outcome.history for outcome in outcomes]
        self.best_epochs_ = [outcome.best_epoch for outcome in outcomes]
        self.best_scores_ = [outcome.best_score for outcome in outcomes]

    def _split(self, settings: dict[str, Any], rows: Rows, eval_set: Any, seed: int) -> tuple[Rows, Rows | None]:
        """The rows to train on, and those to validate on."""
        if eval_set is not None:
            if settings["refit"]:
                raise ValueError("refit=True needs rows that val_fraction holds out, got an eval_set")
            with errors_name_eval_set():
                X, encoded = as_table(eval_set[0]), self._encode(eval_set[1])
                check_consistent_length(X, encoded)
                if len(encoded) == 0:
                    raise ValueError("eval_set must have rows, got none")
                weights = row_values.weights(eval_set[2], len(encoded), "the sample_weight of eval_set")
                warn_of_other_rows(rows.X, X, "eval_set")
                held_out = Rows(X, encoded, self._row_weights(encoded, weights))
                return rows, held_out.with_weight("the sample_weight of eval_set, times class_weight,")
        fraction = settings["val_fraction"]
        count = int(np.ceil(fraction * len(rows)))
        if count == 0 or len(rows) < 2:
            return rows, None
        if count == len(rows):
            raise ValueError(
                f"val_fraction={fraction:g} must leave rows to train on, got {count} of {len(rows)} to validate on"
            )
        labels = rows.y if rows.y.ndim == 1 else None
        if labels is not None:
            counts = np.bincount(labels)
            if counts[counts > 0].min() < 2 or count < len(counts) or len(rows) - count < len(counts):
                labels = None  # there are too few rows to keep the proportions
        chosen = train_test_split(np.arange(len(rows)), test_size=count, stratify=labels, random_state=seed)
        training, held_out = (rows.take(np.sort(part)) for part in chosen)
        return training, held_out

    def _fit_members(
        self,
        settings: dict[str, Any],
        are_categorical: list[bool],
        training: Rows,
        held_out: Rows | None,
        seeds: list[int],
        threads: Callable[[], int],
        tasks: FitTasks,
        epochs: list[int] | None = None,
    ) -> list[Outcome]:
        """Fit all networks, several at once where there are threads; `epochs` ends each after so many."""
        self.preparation_ = self._new_preparation(settings, seeds[0]).fit(training.X, self, are_categorical)
        table = self.preparation_.transform(training.X)
        if not (table.numbers.shape[1] or table.one_hot.shape[1] or table.codes.shape[1]):
            raise ValueError(
                f"X must have a column with values, got categories that are missing in {len(training)} rows"
            )
        self._scale_targets(settings, training)
        goal = self._goal(settings)
        targets, weights = self._scaled(training.y), training.weights
        if goal.outputs_per_target > 1:
            targets = np.repeat(targets, goal.outputs_per_target, axis=1)
        if weights is not None:
            weights = weights / weights.mean()
        with errors_name_eval_set():  # rows of X have been checked
            validated = None if held_out is None else self._tables(held_out.X)
        members = settings["n_ensemble"]
        at_once = min(members, threads())
        progress = (
            FitProgress(settings["verbose"], settings["n_epochs"])
            if members == 1
            else ManyProgress(settings["verbose"], members, settings["n_epochs"])
        )
        networks: list[Any] = [None] * members

        def fit_member(member: int) -> Outcome:
            seed = seeds[1 + member]
            of_member = lambda: max(1, threads() // at_once)  # noqa: E731
            network = self._new_network(settings, table, goal)
            self._initialize(network, settings, table, np.random.default_rng(seed), of_member())
            networks[member] = network
            score = None
            if held_out is not None and validated is not None:
                score = lambda: goal.score(  # noqa: E731
                    held_out.y, self._outputs_in_units(network.forward(validated, of_member())), held_out.weights
                )
            how = self._training(network, settings, goal, seed)
            limit = None if epochs is None else epochs[member]
            if limit is None:  # else the number of epochs is the limit
                how = replace(how, max_seconds=settings["time_limit"])
            labelled = network.table(table, targets, weights)
            index = member if epochs is None else members + member
            with tasks.of_network(index, members, how.epochs, vars(self)) as followed:
                outcome = train(network, labelled, how, score, goal.score_name, of_member, progress, limit, followed)
            if isinstance(progress, ManyProgress):
                best = "" if score is None else f", best {goal.score_name} {outcome.best_score:.4f}"
                progress.fit_done(f"network {member + 1}: epoch {outcome.best_epoch}{best}")
            return outcome

        with progress:
            if at_once == 1:
                outcomes = [fit_member(member) for member in range(members)]
            else:
                stop = progress.stop if isinstance(progress, ManyProgress) else lambda: None
                outcomes = Workers(range(members), at_once, fit_member, stop).run()
        self.networks_ = networks
        return outcomes

    # Files.

    @of_one_model
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file, which `fastmlp.tabular.load` reads. Its format is safetensors: nothing in it is executed.

        An existing file is replaced once the new one is complete. The histories of the fit are left out, and so are a
        function as `validation_metric`, in whose place `load` puts the default, and a RandomState.

        Raises
        ------
        OSError, ImportError
            If the file cannot be written, or without safetensors.
        TypeError
            If the estimator is of a class of your own.
        """
        check_is_fitted(self)
        if not type(self).__module__.startswith("fastmlp.tabular"):
            raise TypeError(
                f"save needs an estimator of fastmlp.tabular, which load can make, got {type(self).__name__}: pickle it"
            )
        name, settings = type(self).__name__, self.get_params(deep=False)
        files.write(TabularState(name, settings, self._fitted_state(), self.preparation_, self.networks_), path)

    @classmethod
    def from_state(cls, state: TabularState) -> Any:
        """The estimator of a value."""
        self = cls(**state.settings)
        self.preparation_, self.networks_ = state.preparation, state.networks
        self.n_features_in_ = state.preparation.n_features_in_
        if hasattr(state.preparation, "feature_names_in_"):
            self.feature_names_in_ = state.preparation.feature_names_in_
        self._set_fitted_state(state.fitted)
        self._predict_zeros()
        return self

    @abstractmethod
    def _fitted_state(self) -> dict[str, Any]:
        """What the estimator knows of y: arrays of float64, and what JSON can hold."""

    @abstractmethod
    def _set_fitted_state(self, state: dict[str, Any]) -> None: ...

    def _predict_zeros(self) -> None:
        """A prediction, which fails if the parts of the estimator do not fit each other."""
        prepared = self.preparation_
        numbers, one_hot = (np.zeros((1, n), np.float32) for n in (prepared.n_numbers_, prepared.n_one_hot_))
        codes = np.array([[each - 1 for each in prepared.cardinalities_]], np.int32)  # the greatest ones
        self._mean_outputs(PreparedTable(numbers, one_hot, codes), 1)

    @of_one_model
    def to_onnx(self) -> Any:
        """The model as an ONNX model that reads the table itself.

        Returns
        -------
        onnx.ModelProto
            Opset 13 and ai.onnx.ml 2. It has an input for each column, shape (rows, 1), with the column's name, or
            ``column_<i>`` if X had no names: text for categories of text, where any text that is not a known category, such
            as ``""``, is a missing value; otherwise float64 with NaN where a value is missing. The outputs of a classifier
            are ``label`` and ``probabilities``, that of a regressor is ``predictions``, shape (rows, outputs).

        Raises
        ------
        ValueError
            If two columns have one name, or one has that of an output or of a constant; if a category is an integer that
            float64 rounds, or if the classes are neither numbers, text nor bool.
        ImportError
            Without onnx.
        """
        check_is_fitted(self)
        graph = onnx_export.Graph()
        mean = onnx_export.mean_outputs(graph, self.preparation_, self.networks_, self._onnx_in_units)
        return onnx_export.finished(graph, type(self).__name__, self._onnx_outputs(graph, mean))

    def _onnx_in_units(self, graph: Any, outputs: str) -> str:
        """`_outputs_in_units` of one network, of float64."""
        return outputs

    @abstractmethod
    def _onnx_outputs(self, graph: Any, outputs: str) -> list[Any]:
        """The model's outputs, made from the mean outputs of the networks in the unit of y, of float64."""

    # Predictions.

    def _tables(self, X: Any) -> PreparedTable:
        return self.preparation_.transform(X, self)

    def _mean_outputs(self, table: PreparedTable, threads: int) -> np.ndarray:
        """The mean of the networks' outputs in the unit of y, shape (rows, outputs)."""
        outputs = [self._outputs_in_units(network.forward(table, threads)) for network in self.networks_]
        return outputs[0] if len(outputs) == 1 else np.mean(outputs, axis=0)

    def _predicted(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        table = self._tables(X)
        with share_of_cores(validation.check_threads(self.n_threads)) as threads:
            return self._mean_outputs(table, threads())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        tags.non_deterministic = False
        return tags


def chosen_score(name: str, metric: Any, table: dict[str, Score]) -> tuple[str, Score]:
    """The name and the function of a validation_metric."""
    if callable(metric):
        function = getattr(metric, "__name__", "")
        if function.endswith("_score"):
            validation.warn(
                f"smaller results of {name} are better, but those of {function} look better if they are larger"
            )
        return "metric", of_user(metric)
    return metric, table[validation.check_choice(name, metric, tuple(table))]
