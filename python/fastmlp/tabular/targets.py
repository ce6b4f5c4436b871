"""Classification and regression: labels and targets as the networks learn them, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from .. import losses, training_data, validation
from ..estimators.classifier import class_factors
from ..estimators.predictions import of_one_model
from . import row_values, scores
from .estimator import Goal, Rows, TabularEstimator, chosen_score

OBJECTIVES = {
    "squared_error": ("rmse", 2.0),
    "absolute_error": ("mae", 1.0),
    "huber": ("mae", 1.0),
    "quantile": ("pinball", 1.0),
}
"""The score of validation rows where the user names none, and the factor of the gradient: the squared error of RealMLP
and of TabM has no factor 1/2."""


LEVELLED = tuple(
    name
    for name in OBJECTIVES
    if any(isinstance(each, validation.Levels) for each in losses.TABLE[name].settings.values())
)
"""The objectives that quantiles belong to."""


class TabularClassifier(ClassifierMixin, TabularEstimator):
    """Labels of two or more classes; the networks' outputs are probabilities."""

    def _learn_targets(self, y: Any) -> np.ndarray:
        training_data.check_unmasked("y", y)
        y = column_or_1d(y, warn=True)
        row_values.check_labels("y", y)
        check_array(y, ensure_2d=False, dtype=None, input_name="y")
        check_classification_targets(y)
        self.classes_, encoded = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes, got one class: {self.classes_.tolist()[0]!r}")
        self._class_factors = None
        if self.class_weight is not None:
            self._class_factors = class_factors(self.class_weight, self.classes_, y)
            valid = (self._class_factors >= 0) & (self._class_factors <= row_values.MAX_WEIGHT)
            if not (valid.all() and self._class_factors.any()):
                raise ValueError(
                    f"class_weight must hold numbers in [0, {row_values.MAX_WEIGHT:g}], and not zeros only, got"
                    f" {self.class_weight}"
                )
        return encoded.astype(np.int64)

    def _encode(self, y: Any) -> np.ndarray:
        training_data.check_unmasked("y", y)
        y = column_or_1d(y)
        row_values.check_labels("the y of eval_set", y)
        known = np.isin(y, self.classes_)
        if not known.all():
            found, expected = y[~known].tolist()[0], self.classes_.tolist()
            raise ValueError(f"eval_set has the label {found!r}, which y lacks: its classes are {expected}")
        return np.searchsorted(self.classes_, y).astype(np.int64)

    def _row_weights(self, encoded: np.ndarray, weights: np.ndarray | None) -> np.ndarray | None:
        if self._class_factors is None:
            return weights
        return self._class_factors[encoded] * (1 if weights is None else weights)

    def _goal(self, settings: dict[str, Any]) -> Goal:
        name, score = chosen_score("validation_metric", settings["validation_metric"], scores.CLASSIFICATION)
        smoothing = {"label_smoothing": settings["ls_eps"]}
        return Goal("cross_entropy", smoothing, len(self.classes_), name, score)

    def _calibrate(self, held_out: Rows, outputs: np.ndarray) -> None:
        """The temperature of the validation rows (Guo et al. 2017), by maximum a posteriori.

        Its logarithm has a standard normal prior, so that few rows do not change much.
        """
        from scipy.optimize import minimize_scalar

        def cost(log_temperature: float) -> float:
            probabilities = _tempered(outputs, np.exp(log_temperature))
            mean = scores.cross_entropy(held_out.y, probabilities, held_out.weights)
            return len(held_out) * mean + 0.5 * log_temperature**2

        self.temperature_ = float(np.exp(minimize_scalar(cost, bounds=(-3, 3), method="bounded").x))

    def _check_storable(self) -> None:
        if self.classes_.dtype.kind not in "biufUO":
            raise ValueError(
                f"files and ONNX models hold classes of numbers, text and bool only, got {self.classes_.dtype}"
            )

    def _fitted_state(self) -> dict[str, Any]:
        self._check_storable()
        state = {"classes": self.classes_.tolist(), "dtype": self.classes_.dtype.str}
        return state | ({"temperature": self.temperature_} if hasattr(self, "temperature_") else {})

    def _set_fitted_state(self, state: dict[str, Any]) -> None:
        dtype = np.dtype(state["dtype"])
        if dtype.kind not in "biufUO" or len(state["classes"]) != self.networks_[0].architecture.outputs:
            raise ValueError(f"the networks have other classes than {state['classes']!r}")
        self.classes_ = np.array(state["classes"], dtype)
        if "temperature" in state:
            self.temperature_ = validation.check_number("temperature", state["temperature"], above=0)

    def _onnx_outputs(self, graph: Any, outputs: str) -> list[Any]:
        self._check_storable()
        types, info = graph.onnx.TensorProto, graph.onnx.helper.make_tensor_value_info
        if hasattr(self, "temperature_"):
            tiny = graph.constant([[np.finfo(np.float32).tiny]], np.float64)
            logits = graph.add("Log", graph.add("Max", outputs, tiny))
            outputs = graph.add("Div", logits, graph.constant([[self.temperature_]], np.float64))
            outputs = graph.add("Softmax", outputs, axis=1)
        total = graph.add("MatMul", outputs, graph.constant(np.ones((len(self.classes_), 1)), np.float64))
        graph.named("probabilities", "Div", outputs, total)
        best = graph.add("ArgMax", "probabilities", axis=1, keepdims=0)
        kind = self.classes_.dtype.kind
        class_type, dtype = {
            "b": (types.BOOL, np.bool_),
            "i": (types.INT64, np.int64),
            "u": (types.UINT64, np.uint64),
            "f": (types.DOUBLE, np.float64),
        }.get(kind, (types.STRING, object))
        classes = graph.constant(self.classes_.astype(str) if dtype is object else self.classes_, dtype)
        graph.named("label", "Gather", classes, best, axis=0)
        return [
            info("label", class_type, ["rows"]),
            info("probabilities", types.DOUBLE, ["rows", len(self.classes_)]),
        ]

    @of_one_model
    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, in the order of `classes_`, shape (rows, classes)."""
        probabilities = self._predicted(X).astype(np.float64)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return _tempered(probabilities, self.temperature_) if hasattr(self, "temperature_") else probabilities

    @of_one_model
    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, shape (rows,)."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]


class TabularRegressor(RegressorMixin, TabularEstimator):
    """One or several targets, which are standardized for the networks."""

    def _learn_targets(self, y: Any) -> np.ndarray:
        encoded = row_values.targets(y)
        if encoded.ndim == 2 and encoded.shape[1] == 1:
            encoded = column_or_1d(encoded, warn=True)
        self._is_one_target, self.n_outputs_ = encoded.ndim == 1, 1 if encoded.ndim == 1 else encoded.shape[1]
        return encoded.reshape(len(encoded), -1)

    def _encode(self, y: Any) -> np.ndarray:
        encoded = row_values.targets(y)
        encoded = encoded.reshape(len(encoded), -1)
        if encoded.shape[1] != self.n_outputs_:
            raise ValueError(f"eval_set must have {self.n_outputs_} targets as y has, got {encoded.shape[1]}")
        return encoded

    def _scale_targets(self, settings: dict[str, Any], rows: Rows) -> None:
        self.target_mean_, self.target_std_ = np.zeros(self.n_outputs_), np.ones(self.n_outputs_)
        if settings["normalize_output"]:
            self.target_mean_, self.target_std_ = _mean_and_deviation(rows.y, rows.weights)
        self.target_range_ = (rows.y.min(axis=0), rows.y.max(axis=0)) if settings["clamp_output"] else None

    def _scaled(self, y: np.ndarray) -> np.ndarray:
        return (y - self.target_mean_) / np.where(self.target_std_ == 0, 1, self.target_std_)

    def _outputs_in_units(self, outputs: np.ndarray) -> np.ndarray:
        levels = outputs.shape[1] // self.n_outputs_
        values = outputs.astype(np.float64) * np.repeat(self.target_std_, levels) + np.repeat(self.target_mean_, levels)
        if self.target_range_ is not None:
            np.clip(values, *(np.repeat(bound, levels) for bound in self.target_range_), out=values)
        return values

    def _goal(self, settings: dict[str, Any]) -> Goal:
        objective = settings["objective"]
        row = losses.TABLE[objective]
        loss_settings = {
            name: setting.check("quantiles", settings["quantiles"], np.dtype(np.float64))
            if isinstance(setting, validation.Levels)
            else setting.default
            for name, setting in row.settings.items()
        }
        levels = losses.levels_of(row, loss_settings)
        metric, (usual_metric, factor) = settings["validation_metric"], OBJECTIVES[objective]
        table = scores.REGRESSION
        if levels:
            table = {name: scores.of_median(score, levels) for name, score in table.items()}
            table["pinball"] = scores.pinball(levels)
        name, score = chosen_score("validation_metric", usual_metric if metric is None else metric, table)
        per_target = max(1, len(levels))
        outputs = self.n_outputs_ * per_target  # the originals take the mean over them
        return Goal(objective, loss_settings, outputs, name, score, factor / outputs, per_target)

    def _fitted_state(self) -> dict[str, Any]:
        state = {"one_target": self._is_one_target, "mean": self.target_mean_, "std": self.target_std_}
        return state if self.target_range_ is None else state | {"range": np.stack(self.target_range_)}

    def _set_fitted_state(self, state: dict[str, Any]) -> None:
        self._is_one_target = bool(state["one_target"])
        self.target_mean_, self.target_std_ = state["mean"], state["std"]
        self.n_outputs_ = len(self.target_mean_)
        self.target_range_ = tuple(state["range"]) if "range" in state else None
        for array in (self.target_mean_, self.target_std_, *(self.target_range_ or ())):
            if array.shape != (self.n_outputs_,) or not np.isfinite(array).all():
                raise ValueError(f"mean, std and range must be finite, for {self.n_outputs_} targets, got {array}")

    def _onnx_in_units(self, graph: Any, outputs: str) -> str:
        levels = self.networks_[0].architecture.outputs // self.n_outputs_
        of_outputs = lambda values: graph.constant([np.repeat(values, levels)], np.float64)  # noqa: E731
        outputs = graph.add("Mul", outputs, of_outputs(self.target_std_))
        outputs = graph.add("Add", outputs, of_outputs(self.target_mean_))
        if self.target_range_ is not None:
            outputs = graph.add("Max", outputs, of_outputs(self.target_range_[0]))
            outputs = graph.add("Min", outputs, of_outputs(self.target_range_[1]))
        return outputs

    def _onnx_outputs(self, graph: Any, outputs: str) -> list[Any]:
        graph.named("predictions", "Identity", outputs)
        types, info = graph.onnx.TensorProto, graph.onnx.helper.make_tensor_value_info
        return [info("predictions", types.DOUBLE, ["rows", self.networks_[0].architecture.outputs])]

    @of_one_model
    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R^2 of the predictions; of several quantiles that of the one nearest to the median, as of `MLPRegressor`."""
        predictions, fitted = self._predicted(X), self.networks_[0].architecture
        row = losses.TABLE[fitted.loss]
        settings = validation.check_part_settings(
            "loss_settings", row, dict(fitted.loss_settings), np.dtype(np.float64)
        )
        levels = losses.levels_of(row, settings) or (0.5,)
        return r2_score(y, predictions[:, scores.median_columns(levels)], sample_weight=sample_weight)

    @of_one_model
    def predict(self, X: Any) -> np.ndarray:
        """The predictions, shape (rows,) or (rows, outputs); of several quantiles a column each, target after target."""
        predictions = self._predicted(X)
        return predictions[:, 0] if self._is_one_target and predictions.shape[1] == 1 else predictions


def _mean_and_deviation(y: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Of each column, without sums or squares that overflow or vanish; the deviation of a constant column is 0."""
    parts = 1.0 if weights is None else (weights / weights.mean())[:, None]
    largest = np.abs(y).max(axis=0)
    scale = np.where(largest == 0, 1, largest)
    mean = scale * (parts * (y / scale)).mean(axis=0)
    far = np.abs(y - mean).max(axis=0)
    far = np.where(far <= 4 * np.finfo(float).eps * largest, 0, far)
    shares = (y - mean) / np.where(far == 0, 1, far)
    return mean, far * np.sqrt((parts * shares**2).mean(axis=0))


def checked_classification(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a classification, if they are valid."""
    return _checked_fit(settings) | {"calibrate": validation.check_flag("calibrate", settings["calibrate"])}


def checked_regression(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a regression, if they are valid."""
    validation.check_choice("objective", settings["objective"], tuple(OBJECTIVES))
    if not np.array_equal(settings["quantiles"], 0.5) and settings["objective"] not in LEVELLED:
        raise ValueError(f"quantiles={settings['quantiles']!r} needs one of the objectives {LEVELLED}")
    flags = {name: validation.check_flag(name, settings[name]) for name in ("normalize_output", "clamp_output")}
    return _checked_fit(settings) | flags


def _checked_fit(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, if those that all of these estimators have are valid."""
    check, valid = validation, dict(settings)
    for name in ("n_epochs", "batch_size", "n_ensemble"):
        valid[name] = check.check_integer(name, settings[name], 1)
    valid["lr"] = check.check_number("lr", settings["lr"], above=0)
    valid["val_fraction"] = check.check_number("val_fraction", settings["val_fraction"], minimum=0, below=1)
    valid["refit"] = check.check_flag("refit", settings["refit"])
    if settings["time_limit"] is not None:
        valid["time_limit"] = check.check_number("time_limit", settings["time_limit"], above=0)
    if settings["precision"] is not None:
        valid["precision"] = check.check_choice("precision", settings["precision"], check.PRECISIONS)
    valid["n_threads"] = check.check_threads(settings["n_threads"])
    return valid


def _tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)) / temperature
    tempered = np.exp(logits - logits.max(axis=1, keepdims=True))
    return tempered / tempered.sum(axis=1, keepdims=True)
