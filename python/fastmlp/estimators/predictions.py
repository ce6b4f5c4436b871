"""The part of the estimators that predicts: from coefs_, or within a fit, in its callbacks, from the network in training."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import activations, core_calls, losses, training_data, validation
from ..ensemble import Ensemble, mean_and_spread
from ..model_state import ModelSpec, ModelState, Standardization
from ..network import Network


OF_ONE_NETWORK = {
    "coefs_",
    "intercepts_",
    "loss_curve_",
    "best_loss_",
    "best_validation_score_",
    "validation_scores_",
    "validation_loss_curve_",
    "history_",
    "t_",
    "standardization_",
}
"""Attributes that each member of an ensemble has, and the ensemble has not."""


class Fit(NamedTuple):
    """A fit under way: its thread, and the copy of the estimator that it fits."""

    thread: int
    model: Any


fits: dict[int, Fit] = {}  # by id(estimator): an attribute would be copied by clone and pickle


@contextmanager
def only_fit_of(estimator: Any) -> Iterator[Any]:
    """Non-blocking lock: RuntimeError if this estimator is being fitted. Yields the copy to fit."""
    fit = Fit(threading.get_ident(), _snapshot(estimator))
    if fits.setdefault(id(estimator), fit) is not fit:
        raise RuntimeError("a fit of this estimator is under way; it cannot be fitted by another")
    try:
        yield fit.model
    finally:
        del fits[id(estimator)]


def _snapshot(estimator: Any) -> Any:
    """A shallow copy, which no fit in another thread replaces half way."""
    model = object.__new__(type(estimator))
    model.__dict__ = estimator.__dict__.copy()
    return model


def of_one_model(method: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: the method sees one model, that of this moment, although another thread may replace it by a fit.

    In a callback of the estimator's own fit that is the model in training.
    """

    @functools.wraps(method)
    def wrapped(estimator: Any, *arguments: Any, **keywords: Any) -> Any:
        fit = fits.get(id(estimator))
        if fit is None or fit.thread != threading.get_ident() or not hasattr(fit.model, "network_in_training"):
            return method(_snapshot(estimator), *arguments, **keywords)
        fit.model.take_parameters(fit.model.network_of_this_moment())
        return method(fit.model, *arguments, **keywords)

    return wrapped


class Predictions:
    """A part of the estimators."""

    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]
    activation: str | Sequence[str]
    out_activation_: str
    n_outputs_: int
    n_threads: int | None
    _loss_name: Callable[[], str]

    def __getattr__(self, name: str) -> Any:
        """Of attributes that are missing."""
        if name in OF_ONE_NETWORK and "estimators_" in vars(self):
            raise AttributeError(f"an ensemble has no {name}: each of its estimators_ has its own")
        return object.__getattribute__(self, name)

    @of_one_model
    def to_network(self) -> Network | Ensemble:
        """The fitted model as a `fastmlp.Network`, with copies of its parameters.

        Returns
        -------
        Network, or Ensemble with n_ensemble above 1
            Its `Network.forward` returns the numbers of ``predict_proba`` (one column in the binary case) or of `predict`,
            without scikit-learn's checks: microseconds for a single row. Of several quantiles it returns all, which may
            cross: sort those of a target.
        """
        check_is_fitted(self)
        if "estimators_" in vars(self):
            return Ensemble([member.to_network() for member in self.estimators_])
        return self._network(self._loss_of_predictions(), np.result_type(*self.coefs_), clips_loss=False)

    def _loss_of_predictions(self) -> str:
        """The loss of the fit, or if the parameter has changed since, another with its output activation."""
        loss = losses.TABLE[self._loss_name()]
        if loss.scikit_learn_output != self.out_activation_:
            loss = losses.of_scikit_learn_output(self.out_activation_)
        return loss.name

    def _network(self, loss: str, dtype: np.dtype, clips_loss: bool = True) -> Network:
        spec = self._spec(loss, dtype, clips_loss)
        return Network.from_state(ModelState(spec, self.coefs_, self.intercepts_, self._learned_standardization()))

    def _learned_standardization(self) -> Standardization | None:
        return vars(self).get("standardization_")

    def _spec(self, loss: str, dtype: np.dtype, clips_loss: bool = True) -> ModelSpec:
        """Of a network whose reported loss is clipped, as scikit-learn's is."""
        dtype = np.dtype(np.float32 if dtype == np.float32 else np.float64)
        sizes = (self.coefs_[0].shape[0], *(w.shape[1] for w in self.coefs_))
        check = validation.check_part_settings
        loss_settings = self.loss_settings if loss == self._loss_name() else None
        activation, activation_settings = self._activation_of(len(sizes) - 2, dtype)
        return ModelSpec(
            sizes,
            activation,
            loss,
            dtype,
            clips_loss=clips_loss,
            activation_settings=activation_settings,
            loss_settings=check("loss_settings", losses.TABLE[loss], loss_settings, dtype),
            standardize=self._learned_standardization() is not None,
        )

    def _activation_of(self, hidden_layers: int, dtype: np.dtype) -> tuple[activations.Names, activations.Settings]:
        return activations.check_hidden(self.activation, self.activation_settings, hidden_layers, dtype)

    def take_parameters(self, network: Network) -> None:
        dtype = np.float32 if self.coefs_[0].dtype == np.float32 else np.float64
        self.coefs_ = [w.astype(dtype) for w in network.weights]
        self.intercepts_ = [b.astype(dtype) for b in network.biases]

    def _mean_and_spread(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Of the outputs of an ensemble's members."""
        check_is_fitted(self)
        if "estimators_" not in vars(self):
            raise ValueError("return_std=True needs an ensemble, got the fit of one network: pass n_ensemble")
        X = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False)
        return mean_and_spread([member._outputs(X) for member in self.estimators_])

    def _in_order(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs of the network as predictions use them."""
        return outputs

    def _outputs(self, X: Any) -> np.ndarray:
        if "estimators_" in vars(self):
            return self._mean_and_spread(X)[0]
        # coefs_ are plain arrays that users may change, so they are read where they are, in each call
        if self._needs_no_check(X):
            outputs = self._forward(X)
            if outputs is not None:
                return self._in_order(outputs)
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False)
        outputs = self._forward(X)
        if outputs is None:  # with assume_finite=True, or beyond the range of coefs_
            spec = self._spec(self._loss_of_predictions(), self.coefs_[0].dtype)
            training_data.check_inputs(spec, X, 1, self._learned_standardization())
            raise ValueError("X was changed by another thread while it was read")
        return self._in_order(outputs)

    def _needs_no_check(self, X: Any) -> bool:
        """scikit-learn's checks, which take longer than a row, would find nothing, but for values that are not finite."""
        if not (type(X) is np.ndarray or (issparse(X) and X.format == "csr")) or "feature_names_in_" in vars(self):
            return False
        fits = X.ndim == 2 and X.shape[0] > 0 and X.shape[1] == getattr(self, "n_features_in_", None)
        return fits and X.dtype in (np.float64, np.float32) and hasattr(self, "coefs_")

    def _forward(self, X: Any) -> np.ndarray | None:
        """None if a value of X is not finite."""
        dtype = np.dtype(np.float32 if np.result_type(X.dtype, *self.coefs_) == np.float32 else np.float64)
        loss = self._loss_of_predictions()
        hidden_layers = len(self.coefs_) - 1
        hidden = activations.of_hidden(*self._activation_of(hidden_layers, dtype), hidden_layers)
        model = (self.coefs_, self.intercepts_, hidden, loss, dtype, self._learned_standardization())
        return core_calls.forward_plain(*model, X, self.n_threads)

    def _loss_factor(self, network: Network) -> float:
        """scikit-learn's squared error is the mean over the outputs, although its gradient is that of the sum."""
        return 1 / self.n_outputs_ if network.spec.loss_row.mean_over_outputs else 1.0
