"""scikit-learn's MLPRegressor on fastmlp's core, with additions.

The same `random_state` draws the same initial weights, row orders and validation split as in scikit-learn, and each
update computes the same formula. The same code therefore gives the same model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .. import losses, validation
from ..history import Callback
from ..optimizers import Factors
from ..schedules import Schedule
from .argument_names import names_arguments, set_parameters
from .fitting import FittedMLP, can_partial_fit
from .predictions import of_one_model
from .scikit_learn import StrOptions, fit_context


class MLPRegressor(RegressorMixin, FittedMLP):
    """A multilayer perceptron for regression, as in scikit-learn, several times faster.

    All parameters up to `max_fun` mean what they mean in scikit-learn.

    Parameters
    ----------
    loss : {"squared_error", "absolute_error", "huber", "quantile", "poisson", "gamma"}, default="squared_error"
        As in `Network`; scikit-learn has the squared error and poisson, half the deviance. The squared error is reported as
        the mean over outputs; its gradient is that of the sum over them, as in scikit-learn.
    hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, \
shuffle, random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, validation_fraction, beta_1, beta_2, \
epsilon, n_iter_no_change, max_fun, l1, l2, rho, momentum_decay, weight_decay, standardize, dropout, \
input_dropout, max_gradient_norm, schedule, weight_decay_schedule, dropout_schedule, average_decay, \
learning_rate_factors, precision, activation_settings, loss_settings, stopping_metric, n_threads, max_seconds, n_ensemble, ensemble_rows
        As in `MLPClassifier`.
    early_stopping : bool, default=False
        As in `MLPClassifier`; the score is R^2.

    Attributes
    ----------
    coefs_, intercepts_, loss_, loss_curve_, best_loss_, validation_scores_, validation_loss_curve_, \
best_validation_score_, history_, standardization_, n_iter_, t_, n_layers_, n_outputs_, n_features_in_, feature_names_in_
        As in `MLPClassifier`.
    out_activation_ : {"identity", "exp"}
    estimators_ : list of MLPRegressor
        As in `MLPClassifier`.
    out_of_fold_ : array, shape (samples,) or (samples, targets)
        With ``ensemble_rows="folds"``: the prediction for each row of fit's X by the member that was not fitted on it. Of
        several quantiles all of them, ascending, as in `predict_quantiles`.

    Examples
    --------
    >>> from fastmlp import MLPRegressor
    >>> from sklearn.datasets import make_regression
    >>> X, y = make_regression(n_samples=200, n_features=20, random_state=1)
    >>> model = MLPRegressor(solver="lbfgs", random_state=1, max_iter=1000).fit(X, y)
    >>> model.score(X, y) > 0.99
    True
    """

    _parameter_constraints: dict = {
        **FittedMLP._parameter_constraints,
        "loss": [StrOptions(set(losses.REGRESSION_LOSSES))],
    }
    _y_numeric = True
    _fitted_levels: tuple[float, ...] = ()  # of the quantiles

    @names_arguments
    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str | Sequence[str] = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        l1: float = 0.0,
        l2: float = 0.0,
        rho: float = 0.99,
        momentum_decay: float = 0.004,
        weight_decay: float = 0.01,
        standardize: bool = False,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        max_gradient_norm: float | None = None,
        schedule: Schedule | str | Callable[[float], float] | None = None,
        weight_decay_schedule: Schedule | str | Callable[[float], float] | None = None,
        dropout_schedule: Schedule | str | Callable[[float], float] | None = None,
        average_decay: float | None = None,
        learning_rate_factors: Factors | None = None,
        precision: str | None = None,
        activation_settings: dict[str, float] | Sequence[dict[str, float] | None] | None = None,
        loss_settings: dict[str, Any] | None = None,
        stopping_metric: str = "score",
        n_threads: int | None = None,
        max_seconds: float | None = None,
        n_ensemble: int = 1,
        ensemble_rows: str = "all",
    ) -> None:
        set_parameters(self, locals())

    @of_one_model
    def predict_quantiles(self, X: Any) -> np.ndarray:
        """The quantiles of all levels, ascending, shape (samples, levels) or (samples, targets, levels).

        Quantiles that cross are exchanged (Chernozhukov et al. 2010); of an ensemble it is the mean of its members' quantiles.

        Raises
        ------
        ValueError
            If the fit was not one of loss="quantile".
        """
        check_is_fitted(self)
        if not self._fitted_levels:
            raise ValueError(f"predict_quantiles needs a fit with loss='quantile', got loss={self.loss!r}")
        return self._quantiles(self._outputs(X))

    def _in_order(self, outputs: np.ndarray) -> np.ndarray:
        """Quantiles of a target that cross are exchanged."""
        levels = len(self._fitted_levels)
        return (
            outputs if levels < 2 else np.sort(outputs.reshape(len(outputs), -1, levels), axis=2).reshape(outputs.shape)
        )

    def _quantiles(self, outputs: np.ndarray) -> np.ndarray:
        quantiles = outputs.reshape(len(outputs), -1, len(self._fitted_levels))
        return quantiles[:, 0] if quantiles.shape[1] == 1 else quantiles

    @of_one_model
    def predict_interval(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """The smallest and the largest of several quantiles.

        With ``MLPRegressor(loss="quantile", loss_settings={"level": (0.05, 0.5, 0.95)})`` nine of ten targets are expected
        to lie between them.

        Returns
        -------
        lower, upper : array, shapes of `predict`

        Raises
        ------
        ValueError
            If the fit was not one of several quantiles.
        """
        check_is_fitted(self)
        if len(self._fitted_levels) < 2:
            raise ValueError(
                "predict_interval needs a fit with loss='quantile' and several levels, such as loss_settings={'level':"
                f" (0.05, 0.95)}}, got loss={self.loss!r} with {self.loss_settings!r}"
            )
        quantiles = self.predict_quantiles(X)
        return quantiles[..., 0], quantiles[..., -1]

    @of_one_model
    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The predicted values, shape (samples,) or (samples, targets); of several quantiles the one nearest to the median,
        as in `predict_quantiles`.

        With return_std, of an ensemble: a pair, with the standard deviation over its members as second.
        """
        if return_std:
            mean, spread = self._mean_and_spread(X)
            return self._decode(mean), self._as_predicted(self._of_median(spread))
        return self._decode(self._outputs(X))

    def _as_out_of_fold(self, outputs: np.ndarray) -> np.ndarray:
        return self._quantiles(outputs) if len(self._fitted_levels) > 1 else self._decode(outputs)

    @available_if(can_partial_fit)
    @names_arguments
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        eval_set: tuple[Any, Any] | None = None,
        eval_X: Any = None,
        eval_y: Any = None,
        callbacks: Iterable[Callback] = (),
    ) -> MLPRegressor:
        """Train for one more epoch on these rows; arguments as in `fit`. The curves and the history continue.

        Raises
        ------
        ValueError
            Also with early_stopping.
        """
        return self._fit(X, y, sample_weight, eval_set, eval_X, eval_y, callbacks, incremental=True)

    def _encode(self, y: np.ndarray) -> np.ndarray:
        return y if y.ndim == 2 else y[:, None]

    def _encode_eval_set(self, y: np.ndarray) -> np.ndarray:
        encoded = self._encode(y)
        targets = self.n_outputs_ // max(1, len(self._fitted_levels))
        if encoded.shape[1] != targets:
            raise ValueError(f"eval_set must have {targets} targets a row like fit's y, got {encoded.shape[1]}")
        return encoded

    def _outputs_of(self, encoded: np.ndarray) -> int:
        row = losses.TABLE[self.loss]
        settings = validation.check_part_settings("loss_settings", row, self.loss_settings, np.dtype(np.float64))
        self._fitted_levels = losses.levels_of(row, settings)
        if self.early_stopping and self.stopping_metric == "score" and 0.5 not in (self._fitted_levels or (0.5,)):
            validation.warn(
                f"early_stopping watches R^2, which says little of the quantiles of {self._fitted_levels}: pass"
                " stopping_metric='loss'"
            )
        return encoded.shape[1] * max(1, len(self._fitted_levels))

    def _loss_name(self) -> str:
        return self.loss

    def _targets(self, outputs: np.ndarray) -> np.ndarray:
        """One column for each target: of several quantiles the one nearest to the median."""
        return outputs if len(self._fitted_levels) < 2 else self._of_median(self._in_order(outputs))

    def _of_median(self, outputs: np.ndarray) -> np.ndarray:
        levels = self._fitted_levels or (0.5,)
        return outputs[:, int(np.argmin(np.abs(np.array(levels) - 0.5))) :: len(levels)]

    def _decode(self, outputs: np.ndarray) -> np.ndarray:
        return self._as_predicted(self._targets(outputs))

    def _as_predicted(self, targets: np.ndarray) -> np.ndarray:
        return targets.ravel() if targets.shape[1] == 1 else targets

    def _score(self, encoded: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> float:
        if not np.isfinite(outputs).all():
            return math.nan
        return r2_score(encoded, self._targets(outputs), sample_weight=weights)
