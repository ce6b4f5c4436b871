"""TabM's estimators (Gorishniy, Kotelnikov and Babenko 2025)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..estimators.argument_names import names_arguments, set_parameters
from . import tabm_network
from .estimator import Goal, TabularEstimator
from .network import TabularNetwork
from .preparation import Preparation, PreparedTable
from .targets import TabularClassifier, TabularRegressor, checked_classification, checked_regression
from .training import TrainingSettings


class _TabM(TabularEstimator):
    """What TabM's classifier and regressor share."""

    def _resolved(self) -> dict[str, Any]:
        return tabm_network.checked(self.get_params(deep=False))

    def _new_preparation(self, settings: dict[str, Any], seed: int) -> Preparation:
        return Preparation(
            numeric="quantiles",
            one_hot_scaled=False,
            max_one_hot_size=None,
            categorical_features=settings["categorical_features"],
            random_state=seed,
        )

    def _new_network(self, settings: dict[str, Any], table: PreparedTable, goal: Goal) -> TabularNetwork:
        return TabularNetwork(tabm_network.architecture(settings, table, goal))

    def _initialize(
        self,
        network: TabularNetwork,
        settings: dict[str, Any],
        table: PreparedTable,
        rng: np.random.Generator,
        threads: int,
    ) -> None:
        tabm_network.initialize(network, settings, self.preparation_.one_hot_sizes_, rng)

    def _training(self, network: TabularNetwork, settings: dict[str, Any], goal: Goal, seed: int) -> TrainingSettings:
        return TrainingSettings(
            epochs=settings["n_epochs"],
            batch_size=settings["batch_size"],
            learning_rate=settings["lr"],
            seed=seed,
            keeps_last_batch=True,
            weight_decay=settings["weight_decay"],
            dropout=settings["dropout"],
            max_gradient_norm=settings["gradient_clipping_norm"],
            gradient_factor=goal.gradient_factor,
            factors=tabm_network.factors(network),
            precision=settings["precision"],
            patience=settings["patience"],
            last_best=False,
        )


class TabMClassifier(TabularClassifier, _TabM):
    """TabM for classification: many multilayer perceptrons that share most of their weights, for tables.

    In the authors' benchmark it is the best dense network on average, and close to tuned gradient-boosted trees
    (Gorishniy, Kotelnikov and Babenko: TabM, ICLR 2025). Parameters have the names of their package, tabm.

    Parameters
    ----------
    arch_type : {"tabm", "tabm-mini"}, default="tabm"
        "tabm": each member has factors of the inputs and outputs of each layer, and biases. "tabm-mini": only of the
        inputs of the first one, which takes less time.
    k : int >= 1, default=32
        Number of members.
    n_blocks : int >= 1 or None, default=None
        Hidden layers. None: 2 with embeddings, 3 without.
    d_block : int >= 1, default=512
        Width of the hidden layers.
    dropout : float in [0, 1), default=0.1
        Probability to drop a hidden unit.
    activation : str, default="relu"
        Of the hidden layers: one of `Network` without settings.
    num_embeddings : {"piecewise_linear", "none"}, default="piecewise_linear"
        "piecewise_linear": each number is embedded by a function that is linear in each of `n_bins` quantile bins.
        These embeddings are trained.
    n_bins : int >= 2, default=48
    d_embedding : int in [1, 64], default=16
        Dimension of the embedding of a number.
    start_scaling_init : {"auto", "normal", "random_signs"}, default="auto"
        Of the factors of the first layer's inputs, by which members differ at the start. "auto": "normal" with
        embeddings.
    lr : float > 0, default=0.002
        Learning rate of AdamW.
    weight_decay : float >= 0, default=0.0003
        Of weights and factors; biases have none.
    gradient_clipping_norm : float > 0 or None, default=1.0
        A longer gradient is scaled to this norm.
    n_epochs : int >= 1, default=1000
        At most.
    batch_size : int >= 1, default=256
    patience : int >= 0 or None, default=16
        The training ends after ``patience + 1`` epochs without a better score. None: it does not.
    val_fraction, validation_metric, n_ensemble, calibrate, refit, class_weight, time_limit, precision, categorical_features, \
random_state, n_threads, verbose
        As in `RealMLPClassifier`. The network of the first best epoch is kept.

    Attributes
    ----------
    classes_, n_features_in_, feature_names_in_, preparation_, networks_, history_, histories_, best_epochs_, \
best_scores_, temperature_
        As in `RealMLPClassifier`.

    Examples
    --------
    >>> from fastmlp.tabular import TabMClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = TabMClassifier(k=8, d_block=64, n_epochs=50, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.9
    True
    """

    @names_arguments
    def __init__(
        self,
        *,
        arch_type: str = "tabm",
        k: int = 32,
        n_blocks: int | None = None,
        d_block: int = 512,
        dropout: float = 0.1,
        activation: str = "relu",
        num_embeddings: str = "piecewise_linear",
        n_bins: int = 48,
        d_embedding: int = 16,
        start_scaling_init: str = "auto",
        lr: float = 0.002,
        weight_decay: float = 0.0003,
        gradient_clipping_norm: float | None = 1.0,
        n_epochs: int = 1000,
        batch_size: int = 256,
        patience: int | None = 16,
        val_fraction: float = 0.2,
        validation_metric: str | Callable[..., float] = "error",
        n_ensemble: int = 1,
        calibrate: bool = False,
        refit: bool = False,
        class_weight: Any = None,
        time_limit: float | None = None,
        precision: str | None = None,
        categorical_features: Any = "auto",
        random_state: Any = None,
        n_threads: int | None = None,
        verbose: bool | str = False,
    ) -> None:
        set_parameters(self, locals())

    def _resolved(self) -> dict[str, Any]:
        return checked_classification(super()._resolved() | {"ls_eps": 0.0})


class TabMRegressor(TabularRegressor, _TabM):
    """TabM for regression: many multilayer perceptrons that share most of their weights, for tables.

    Parameters
    ----------
    arch_type, k, n_blocks, d_block, dropout, activation, num_embeddings, n_bins, d_embedding, start_scaling_init, lr, \
weight_decay, gradient_clipping_norm, n_epochs, batch_size, patience
        As in `TabMClassifier`.
    objective, quantiles, normalize_output, validation_metric
        As in `RealMLPRegressor`.
    clamp_output : bool, default=False
        Whether predictions are limited to the range of the targets of the training rows.
    val_fraction, n_ensemble, refit, time_limit, precision, categorical_features, random_state, n_threads, verbose
        As in `RealMLPClassifier`. The network of the first best epoch is kept.

    Attributes
    ----------
    target_mean_, target_std_, n_features_in_, feature_names_in_, preparation_, networks_, history_, histories_, \
best_epochs_, best_scores_
        As in `RealMLPRegressor`.

    Examples
    --------
    >>> from fastmlp.tabular import TabMRegressor
    >>> from sklearn.datasets import make_friedman1
    >>> X, y = make_friedman1(300, random_state=0)
    >>> model = TabMRegressor(k=8, d_block=64, n_epochs=50, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.9
    True
    """

    @names_arguments
    def __init__(
        self,
        *,
        arch_type: str = "tabm",
        k: int = 32,
        n_blocks: int | None = None,
        d_block: int = 512,
        dropout: float = 0.1,
        activation: str = "relu",
        num_embeddings: str = "piecewise_linear",
        n_bins: int = 48,
        d_embedding: int = 16,
        start_scaling_init: str = "auto",
        lr: float = 0.002,
        weight_decay: float = 0.0003,
        gradient_clipping_norm: float | None = 1.0,
        n_epochs: int = 1000,
        batch_size: int = 256,
        patience: int | None = 16,
        val_fraction: float = 0.2,
        objective: str = "squared_error",
        quantiles: Any = 0.5,
        normalize_output: bool = True,
        clamp_output: bool = False,
        validation_metric: str | Callable[..., float] | None = None,
        n_ensemble: int = 1,
        refit: bool = False,
        time_limit: float | None = None,
        precision: str | None = None,
        categorical_features: Any = "auto",
        random_state: Any = None,
        n_threads: int | None = None,
        verbose: bool | str = False,
    ) -> None:
        set_parameters(self, locals())

    def _resolved(self) -> dict[str, Any]:
        return checked_regression(super()._resolved())
