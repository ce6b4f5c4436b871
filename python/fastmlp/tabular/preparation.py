"""Tables as the tabular networks read them: scaled numbers, one-hot columns, and codes of categories."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from itertools import repeat
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.preprocessing import QuantileTransformer
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import validation
from .columns import MAX_NUMBER, are_categories, as_table, columns_of, split_column, warn_of_numbers

MAX_SCALED = 1e9
"""The smooth clip of a larger number is 3 in float32, and its square is far from overflow."""

ARRAYS = ("medians", "factors", "spreads", "one_hot_medians", "one_hot_factors")
"""What `state` holds of each column of numbers and of each one-hot column."""


@dataclass(frozen=True, eq=False)
class PreparedTable:
    """A table as the tabular networks read it.

    Attributes
    ----------
    numbers : array of float32, shape (rows, numeric columns)
        Scaled and finite.
    one_hot : array of float32, shape (rows, one-hot columns)
        Categories, and indicators of missing numbers.
    codes : array of int32, shape (rows, embedded columns)
        0: missing or unknown; 1, 2, ...: the known categories, ascending.
    """

    numbers: np.ndarray
    one_hot: np.ndarray
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def rows(self, begin: int, end: int) -> PreparedTable:
        """Rows [begin, end)."""
        return PreparedTable(self.numbers[begin:end], self.one_hot[begin:end], self.codes[begin:end])


class Preparation(BaseEstimator):
    """Learns from training rows how a table becomes a `PreparedTable`.

    Columns keep the order of X. A missing number becomes the median of its column, and each numeric column that lacked
    a number in `fit` has a one-hot column, 1 where the number is missing. A category is missing or unknown (not among
    those of `fit`) with code 0, and all its one-hot columns are 0. Two categories share one column: +1 for the first,
    -1 for the second, 0 for neither. A single category has one column: +1, and -1 where it is missing or unknown. These
    are the conventions of RealMLP in pytabkit, which has no indicators.

    Parameters
    ----------
    numeric : {"robust", "quantiles"}, default="robust"
        "robust", of RealMLP: (x - median) / (upper quartile - lower quartile), or where these are equal, divided by
        half the range; then the smooth clip z / sqrt(1 + (z / 3)^2). "quantiles", of TabM: quantiles become those of a
        normal distribution, with `QuantileTransformer`. A column that is constant in `fit` becomes 0.
    one_hot_scaled : bool, default=True
        Whether one-hot columns, too, are scaled as by "robust".
    max_one_hot_size : int or None, default=9
        A column of c categories is one-hot if c + 1 is at most this, as in pytabkit, and embedded otherwise. None: all
        are one-hot.
    categorical_features : "auto", None, or list of indices, of names or of bool, default="auto"
        "auto": in frames of pandas and polars, columns of categories, text and booleans; in arrays, columns of objects
        that hold text or booleans. A list names columns beside these. None: no column.
    random_state : int, RandomState or None
        Seed of the noise that "quantiles" adds in `fit`, as TabM's example does: of standard deviation 1e-5, after
        columns with a range below 1 are divided by it.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : array of str
        Only if X was a frame whose columns all have names.
    n_numbers_, n_one_hot_ : int
        Columns of `PreparedTable.numbers` and of `PreparedTable.one_hot`.
    one_hot_sizes_ : tuple of int
        How many of the one-hot columns belong to each indicator or category, in their order.
    cardinalities_ : tuple of int
        The number of codes of each embedded column, code 0 included.
    categories_ : list
        For each column of X the sorted known categories, or None if it is numeric.
    """

    def __init__(
        self,
        *,
        numeric: str = "robust",
        one_hot_scaled: bool = True,
        max_one_hot_size: int | None = 9,
        categorical_features: Any = "auto",
        random_state: Any = None,
    ) -> None:
        self.numeric = numeric
        self.one_hot_scaled = one_hot_scaled
        self.max_one_hot_size = max_one_hot_size
        self.categorical_features = categorical_features
        self.random_state = random_state

    def fit(self, X: Any, owner: Any = None, are_categorical: list[bool] | None = None) -> Preparation:
        """Learns categories and scales.

        Parameters
        ----------
        X : DataFrame of pandas or polars, or array, shape (rows, columns)
            The training rows.
        owner : estimator, optional
            Whose name messages about the columns have; it gets `n_features_in_` and `feature_names_in_` too.
        are_categorical : list of bool, optional
            What `check` has returned for a table that X is a part of. None: `check` of X.

        Raises
        ------
        TypeError
            If a column holds both text and numbers, or neither, or if X is sparse.
        ValueError
            If a number is infinite or beyond 1e300, or a setting is out of range.
        """
        validation.check_choice("numeric", self.numeric, ("robust", "quantiles"))
        validation.check_flag("one_hot_scaled", self.one_hot_scaled)
        if self.max_one_hot_size is not None:
            validation.check_integer("max_one_hot_size", self.max_one_hot_size, 0)
        X = as_table(X)
        if 0 in X.shape:
            none = "0 feature(s)" if X.shape[0] else "0 sample(s)"  # scikit-learn's words, which its checks expect
            raise ValueError(
                f"X must have rows and columns, got {none} (shape={X.shape}) while a minimum of 1 is required."
            )
        learned = copy(self)  # this object is unchanged until that one is fitted
        learned._learn(X, owner, are_categorical)
        self.__dict__ = learned.__dict__
        return self

    def _learn(self, X: Any, owner: Any, are_categorical: list[bool] | None) -> None:
        validate_data(self, X, skip_check_array=True)
        if owner is not None:
            validate_data(owner, X, skip_check_array=True)
        columns = columns_of(X)
        if are_categorical is None:
            are_categorical = are_categories(self.categorical_features, X, columns)
        parts, self.categories_, self.has_indicator_ = [], [], []
        for (label, column), is_category in zip(columns, are_categorical):
            missing, present = split_column(label, column, None if is_category else 0)
            parts.append((missing, present))
            self.categories_.append(sorted(set(present.tolist())) if is_category else None)
            if isinstance(self.categorical_features, str):
                warn_of_numbers(label, self.categories_[-1])
            self.has_indicator_.append(not is_category and bool(missing.any()))
        self._count_columns()
        numbers, one_hot, _ = self._encode(parts)
        self.medians_, self.factors_ = _medians_and_factors(numbers)
        self.one_hot_medians_, self.one_hot_factors_ = _medians_and_factors(
            one_hot if self.one_hot_scaled else one_hot[:, :0]
        )
        self.quantiles_: Any = None
        self.spreads_ = np.ones(self.n_numbers_)
        if self.numeric == "quantiles" and self.n_numbers_:
            numbers = self._imputed(numbers)
            ranges = np.ptp(numbers, axis=0)
            # what follows, noise and QuantileTransformer's bounds, is absolute
            self.spreads_ = np.where((ranges > 0) & (ranges < 1), ranges, 1)
            numbers = numbers / self.spreads_ + check_random_state(self.random_state).normal(0, 1e-5, numbers.shape)
            n_quantiles = min(max(min(len(numbers) // 30, 1000), 10), len(numbers))
            self.quantiles_ = QuantileTransformer(
                n_quantiles=n_quantiles, output_distribution="normal", subsample=None
            ).fit(numbers)

    def check(self, X: Any) -> list[bool]:
        """Which columns hold categories, before rows are chosen: all rows decide, as some may lack the text of a column.

        Raises what `fit` would raise for a value of X; messages name rows of X.
        """
        X = as_table(X)
        columns = columns_of(X)
        are_categorical = are_categories(self.categorical_features, X, columns)
        for (label, column), is_category in zip(columns, are_categorical):
            split_column(label, column, None if is_category else 0)
        return are_categorical

    def transform(self, X: Any, owner: Any = None) -> PreparedTable:
        """The rows of X as the networks read them; `owner` as in `fit`.

        Raises
        ------
        TypeError
            If a column holds text that held numbers in `fit`, or the other way round.
        ValueError
            If X has other columns than in `fit`, or if a number is infinite or beyond 1e300.
        """
        check_is_fitted(self)
        X = as_table(X)
        validate_data(self if owner is None else owner, X, skip_check_array=True, reset=False)
        examples = [0 if known is None else next(iter(known), None) for known in self.categories_]
        numbers, one_hot, codes = self._encode(
            [split_column(label, column, like, is_known=True) for (label, column), like in zip(columns_of(X), examples)]
        )
        numbers = self._imputed(numbers)
        if self.numeric == "robust":
            numbers = _robust(numbers, self.medians_, self.factors_)
        elif numbers.size:
            with np.errstate(over="ignore"):
                numbers = np.clip(numbers / self.spreads_, -MAX_NUMBER, MAX_NUMBER)
            numbers = np.where(self.factors_ == 0, 0, self.quantiles_.transform(numbers))
        one_hot = self.scaled_one_hot(one_hot, slice(None))
        return PreparedTable(numbers.astype(np.float32), one_hot.astype(np.float32), codes)

    def scaled_one_hot(self, one_hot: np.ndarray, columns: slice) -> np.ndarray:
        """These of the one-hot columns as `PreparedTable` has them."""
        if not self.one_hot_scaled:
            return one_hot
        return _robust(one_hot, self.one_hot_medians_[columns], self.one_hot_factors_[columns])

    def state(self) -> dict[str, Any]:
        """All that `transform` needs, for model files: NumPy arrays under "arrays", and else what JSON can hold.

        A random_state other than an integer becomes None.
        """
        check_is_fitted(self)
        settings = {name: np.asarray(value).tolist() for name, value in self.get_params().items()}
        if not isinstance(self.random_state, Integral):
            settings["random_state"] = None
        arrays = {name: getattr(self, f"{name}_") for name in ARRAYS}
        if self.quantiles_ is not None:
            arrays["quantiles"] = self.quantiles_.quantiles_
        names = self.feature_names_in_.tolist() if hasattr(self, "feature_names_in_") else None
        return {
            "settings": settings,
            "feature_names": names,
            "categories": self.categories_,
            "has_indicator": self.has_indicator_,
            "arrays": arrays,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Preparation:
        """The object whose `state` this is."""
        self = cls(**state["settings"])
        self.categories_, self.has_indicator_ = state["categories"], state["has_indicator"]
        self.n_features_in_ = len(self.categories_)
        if state["feature_names"] is not None:
            self.feature_names_in_ = np.array(state["feature_names"], object)
        self._count_columns()
        self._check_arrays(state["arrays"])
        for name in ARRAYS:
            setattr(self, f"{name}_", state["arrays"][name])
        self.quantiles_ = None
        if "quantiles" in state["arrays"]:
            self.quantiles_ = QuantileTransformer(output_distribution="normal", subsample=None)
            self.quantiles_.quantiles_ = state["arrays"]["quantiles"]  # (quantiles, numeric columns)
            self.quantiles_.n_quantiles_, self.quantiles_.n_features_in_ = self.quantiles_.quantiles_.shape
            self.quantiles_.references_ = np.linspace(0, 1, self.quantiles_.n_quantiles_)
        return self

    def _check_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        if not (
            len(self.has_indicator_) == len(getattr(self, "feature_names_in_", self.categories_)) == self.n_features_in_
        ):
            raise ValueError("the preparation describes different numbers of columns")
        scaled = self.n_one_hot_ if self.one_hot_scaled else 0
        for name, array in arrays.items():
            dimensions, width = 1 + (name == "quantiles"), scaled if name.startswith("one_hot") else self.n_numbers_
            if array.ndim != dimensions or array.shape[-1] != width or not np.isfinite(array).all():
                raise ValueError(
                    f"{name} of the preparation must be finite, for {width} columns, got shape {array.shape}"
                )

    def is_one_hot(self, known: list[Any]) -> bool:
        """Whether a column of these known categories becomes one-hot columns."""
        return not known or self.max_one_hot_size is None or len(known) + 1 <= self.max_one_hot_size

    def _count_columns(self) -> None:
        sizes, cardinalities = [], []
        for known, has_indicator in zip(self.categories_, self.has_indicator_):
            if known is None:
                sizes += [1] * has_indicator
            elif self.is_one_hot(known):
                sizes.append(1 if len(known) == 2 else len(known))
            else:
                cardinalities.append(len(known) + 1)
        self.n_numbers_ = sum(known is None for known in self.categories_)
        self.n_one_hot_, self.one_hot_sizes_ = sum(sizes), tuple(sizes)
        self.cardinalities_ = tuple(cardinalities)

    def _encode(self, parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The three parts of `PreparedTable` before scaling; missing numbers are NaN."""
        rows = len(parts[0][0])
        table = np.full((rows, self.n_numbers_), np.nan)
        one_hot, codes = [np.empty((rows, 0), np.float32)], [np.empty((rows, 0), np.int32)]
        column = 0
        for (missing, present), known, has_indicator in zip(parts, self.categories_, self.has_indicator_):
            if known is None:
                table[~missing, column] = present
                column += 1
                if has_indicator:
                    one_hot.append(missing[:, None])
            elif self.is_one_hot(known):
                one_hot.append(one_hot_of(_codes(known, missing, present), len(known)))
            else:
                codes.append(_codes(known, missing, present)[:, None])
        return table, np.concatenate(one_hot, axis=1, dtype=np.float32), np.concatenate(codes, axis=1)

    def _imputed(self, table: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(table), self.medians_, table)


def _codes(known: list[Any], missing: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The code of each row, shape (rows,)."""
    codes = np.zeros(len(missing), np.int32)
    code_of = dict(zip(known, range(1, len(known) + 1)))
    codes[~missing] = np.fromiter(map(code_of.get, present.tolist(), repeat(0)), np.int32, len(present))
    return codes


def one_hot_of(codes: np.ndarray, n_known: int) -> np.ndarray:
    if n_known == 1:
        return np.where(codes[:, None] == 1, 1, -1)
    if n_known == 2:
        return np.array([[0], [1], [-1]])[codes]
    return codes[:, None] == np.arange(1, n_known + 1)


def _medians_and_factors(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each column, NaN ignored; the factor of a constant column is 0."""
    medians, factors = np.zeros((2, table.shape[1]))
    for i, column in enumerate(table.T):
        present = column[~np.isnan(column)].astype(np.float64)
        if len(present):
            low, lower, medians[i], upper, high = np.quantile(present, (0, 0.25, 0.5, 0.75, 1))
            spread = upper - lower or 0.5 * (high - low)
            factors[i] = 1 / spread if spread >= np.finfo(float).tiny else 0  # 1 / tiny is finite
    return medians, factors


def _robust(table: np.ndarray, medians: np.ndarray, factors: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        z = np.clip((table - medians) * factors, -MAX_SCALED, MAX_SCALED)
    return z / np.sqrt(1 + (z / 3) ** 2)
