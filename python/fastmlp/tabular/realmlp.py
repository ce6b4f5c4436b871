"""RealMLP's estimators (Holzmüller, Grinsztajn and Steinwart 2024)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import validation
from ..estimators.argument_names import names_arguments, set_parameters
from ..schedules import Schedule
from . import realmlp_network, realmlp_settings
from .estimator import Goal, TabularEstimator
from .network import TabularNetwork
from .preparation import Preparation, PreparedTable
from .targets import TabularClassifier, TabularRegressor, checked_classification, checked_regression
from .training import TrainingSettings


class _RealMLP(TabularEstimator):
    """What RealMLP's classifier and regressor share."""

    _task: str

    def _resolved(self) -> dict[str, Any]:
        return realmlp_settings.checked(self.get_params(deep=False), self._task)

    def _new_preparation(self, settings: dict[str, Any], seed: int) -> Preparation:
        return Preparation(
            numeric="robust",
            max_one_hot_size=settings["max_one_hot_cat_size"],
            categorical_features=settings["categorical_features"],
            random_state=seed,
        )

    def _new_network(self, settings: dict[str, Any], table: PreparedTable, goal: Goal) -> TabularNetwork:
        cardinalities = self.preparation_.cardinalities_
        return TabularNetwork(realmlp_network.architecture(settings, table, cardinalities, goal))

    def _initialize(
        self,
        network: TabularNetwork,
        settings: dict[str, Any],
        table: PreparedTable,
        rng: np.random.Generator,
        threads: int,
    ) -> None:
        realmlp_network.initialize(network, settings, table, rng, threads)

    def _training(self, network: TabularNetwork, settings: dict[str, Any], goal: Goal, seed: int) -> TrainingSettings:
        return TrainingSettings(
            epochs=settings["n_epochs"],
            batch_size=settings["batch_size"],
            learning_rate=settings["lr"],
            seed=seed,
            weight_decay=settings["wd"],
            dropout=settings["p_drop"],
            learning_rate_schedule=settings["lr_sched"],
            weight_decay_schedule=settings["wd_sched"],
            dropout_schedule=settings["p_drop_sched"],
            beta_1=settings["mom"],
            beta_2=settings["sq_mom"],
            epsilon=settings["opt_eps"],
            gradient_factor=goal.gradient_factor,
            factors=realmlp_network.factors(network, settings),
            precision=settings["precision"],
        )


class RealMLPClassifier(TabularClassifier, _RealMLP):
    """RealMLP for classification: a multilayer perceptron with tuned defaults, for tables.

    On average over many tables it is as good as gradient-boosted trees with tuned defaults (Holzmüller, Grinsztajn and
    Steinwart: Better by Default, NeurIPS 2024). Parameters have the names of the authors' package, pytabkit.

    Parameters
    ----------
    variant : {"TD", "TD-S"}, default="TD"
        "TD": the tuned defaults. "TD-S": the simplified ones, which train faster. Parameters that are None have the
        value of the variant.
    hidden_sizes : sequence of int or None, default=None
        Widths of the hidden layers. None: (256, 256, 256).
    act : str or None, default=None
        Activation of the hidden layers: one of `Network` without settings. None: SELU for classes, Mish for regression.
    use_parametric_act : bool or None, default=None
        Whether each hidden unit has a trained share a of its activation f: z + a (f(z) - z), with a = 1 at the start.
        None: for TD.
    act_lr_factor : float >= 0 or None, default=None
        Factor of the learning rate of these shares. None: 0.1.
    p_drop : float in [0, 1) or None, default=None
        Probability to drop a hidden unit. None: 0.15 for TD, 0 for TD-S.
    p_drop_sched, wd_sched : schedule, its name or None, default="flat_cos"
        Of dropout and weight decay, from `fastmlp.schedules`. None: constant.
    wd : float >= 0 or None, default=None
        Weight decay; biases have none. An update decays a group of weights by ``lr * factor**2 * wd``, where factor is
        that of its learning rate, as in pytabkit. None: 0.02 for TD, 0 for TD-S.
    lr : float > 0 or None, default=None
        Learning rate of the weights in the neural tangent parametrization. None: 0.04 for classes; for regression 0.2
        for TD, 0.07 for TD-S.
    lr_sched : schedule, its name or None, default="coslog4"
        Of the learning rate. None: constant.
    bias_lr_factor : float >= 0 or None, default=None
        Factor of the learning rate of biases. None: 0.1.
    add_front_scale : bool, default=True
        Whether each input of the first hidden layer has a trained factor.
    scale_lr_factor : float >= 0 or None, default=None
        Factor of the learning rate of these factors. None: 6.
    weight_init_mode : {"std", "normal"} or None, default=None
        "std", of TD: normal weights, scaled so that each unit's values have standard deviation 1 over the training
        rows. "normal", of TD-S: normal weights.
    bias_init_mode : {"he+5", "normal", "zeros"} or None, default=None
        "he+5", of TD: minus a random convex combination of the unit's values at five training rows. "normal" is that
        of TD-S.
    last_layer_init_mode : {"as_others", "zeros"} or None, default=None
        "as_others" is that of TD, "zeros" of TD-S.
    num_emb_type : {"pbld", "none"} or None, default=None
        "none" is that of TD-S. "pbld", of TD: each number x is embedded as x and `plr_hidden_2` - 1 linear combinations
        of cos(2 pi w x + b), of `plr_hidden_1` frequencies w.
    plr_sigma : float >= 0 or None, default=None
        Standard deviation of the initial frequencies. None: 0.1.
    plr_hidden_1 : int in [1, 128] or None, default=None
        None: 16.
    plr_hidden_2 : int in [2, 65] or None, default=None
        None: 4.
    plr_lr_factor : float >= 0 or None, default=None
        Factor of the learning rate of the embeddings of numbers. None: 0.1.
    max_one_hot_cat_size : int, None or "default", default="default"
        Categories of at most so many values, one of them for missing and unknown ones, are one-hot; others are
        embedded. None: all are one-hot. The default is 9 for TD, None for TD-S.
    embedding_size : int >= 1 or None, default=None
        Dimension of the embedding of a category. None: 8.
    ls_eps : float in [0, 1), default=0.1
        Label smoothing. For probabilities, 0 and ``validation_metric="cross_entropy"`` are better.
    mom, sq_mom : float in [0, 1), default=0.9, 0.95
    opt_eps : float > 0, default=1e-8
        Adam's beta_1, beta_2 and epsilon.
    n_epochs : int >= 1, default=256
        All are trained. The network of the best epoch is kept; if several are equally good, the last of them.
    batch_size : int >= 1, default=256
        Each epoch has another order of the rows, and does not train on the last of them, which do not fill a batch.
    val_fraction : float in [0, 1), default=0.2
        The part of the rows that is not trained on and scores the epochs, unless `fit` gets an `eval_set`. 0: there is
        none, and the network of the last epoch is kept.
    validation_metric : {"error", "cross_entropy"} or callable, default="error"
        The score of an epoch. A function gets the labels, from 0 on, and the probabilities, shape (rows, classes);
        smaller results are better. If the rows have weights, it gets ``sample_weight=``, too. Its results are
        ``val_metric`` in `history_`.
    n_ensemble : int >= 1, default=1
        Networks with different initial parameters, whose probabilities are averaged. They are trained at the same time.
    calibrate : bool, default=False
        Whether the logits are divided by a temperature fitted to the validation rows.
    refit : bool, default=False
        Whether the networks are trained a second time, on all rows, for as many epochs as the best one needed. Not with
        an `eval_set`.
    class_weight : dict, "balanced" or None, default=None
        As in scikit-learn.
    time_limit : float > 0 or None, default=None
        Seconds after which the training of a network ends; its best epoch so far is kept. The second training
        of ``refit=True`` has no limit.
    precision : {"bfloat16", "bfloat16_amx"} or None, default=None
        Of the products of the hidden layers in training, as in `Trainer`. None: float32. Predictions are float32.
    categorical_features : "auto", None, or list of indices, of names or of bool, default="auto"
        Which columns are categories. "auto": those of text, categories and booleans. A list names columns beside these.
        None: none.
    random_state : int, RandomState or None, default=None
        The same seed gives the same bits, for every number of threads.
    n_threads : int >= 1 or None, default=None
        None: all cores of the process.
    verbose : bool or "auto", default=False
        Progress, with the score of each epoch.

    Attributes
    ----------
    classes_ : array, shape (classes,)
    n_features_in_, feature_names_in_
        As in scikit-learn.
    preparation_ : Preparation
        Makes numbers of a table's rows.
    networks_ : list of TabularNetwork
    history_ : History
        Of the first network, for each epoch: loss, seconds, the score (such as ``val_error``) and the best one so far
        (``best_error``).
    histories_ : list of History
    best_epochs_ : list of int
        Of each network.
    best_scores_ : list of float
    temperature_ : float
        With ``calibrate=True``: T that minimizes the log loss of the validation rows, summed, plus ``log(T)**2 / 2``,
        which keeps it near 1 where rows are few.

    Examples
    --------
    >>> from fastmlp.tabular import RealMLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = RealMLPClassifier(variant="TD-S", n_epochs=20, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.9
    True
    """

    _task = "classification"

    @names_arguments
    def __init__(
        self,
        *,
        variant: str = "TD",
        hidden_sizes: Sequence[int] | None = None,
        act: str | None = None,
        use_parametric_act: bool | None = None,
        act_lr_factor: float | None = None,
        p_drop: float | None = None,
        p_drop_sched: Schedule | str | None = "flat_cos",
        wd: float | None = None,
        wd_sched: Schedule | str | None = "flat_cos",
        lr: float | None = None,
        lr_sched: Schedule | str | None = "coslog4",
        bias_lr_factor: float | None = None,
        add_front_scale: bool = True,
        scale_lr_factor: float | None = None,
        weight_init_mode: str | None = None,
        bias_init_mode: str | None = None,
        last_layer_init_mode: str | None = None,
        num_emb_type: str | None = None,
        plr_sigma: float | None = None,
        plr_hidden_1: int | None = None,
        plr_hidden_2: int | None = None,
        plr_lr_factor: float | None = None,
        max_one_hot_cat_size: int | str | None = "default",
        embedding_size: int | None = None,
        mom: float = 0.9,
        sq_mom: float = 0.95,
        opt_eps: float = 1e-8,
        n_epochs: int = 256,
        batch_size: int = 256,
        val_fraction: float = 0.2,
        ls_eps: float = 0.1,
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
        settings = super()._resolved()
        settings["ls_eps"] = validation.check_number("ls_eps", self.ls_eps, minimum=0, below=1)
        return checked_classification(settings)


class RealMLPRegressor(TabularRegressor, _RealMLP):
    """RealMLP for regression: a multilayer perceptron with tuned defaults, for tables.

    Parameters
    ----------
    objective : {"squared_error", "absolute_error", "huber", "quantile"}, default="squared_error"
        The loss that is minimized, of standardized targets. Huber's becomes linear beyond one standard deviation of them.
    quantiles : float or sequence of float in (0, 1), ascending, default=0.5
        Of ``objective="quantile"``.
    normalize_output : bool, default=True
        Whether the targets are standardized for the networks.
    clamp_output : bool or None, default=None
        Whether predictions are limited to the range of the targets of the training rows. None: for TD.
    validation_metric : {"rmse", "mae", "pinball"}, callable or None, default=None
        The score of an epoch. None: "rmse" for the squared error, "pinball" for quantiles, otherwise "mae". Of several
        quantiles, "rmse" and "mae" score the one nearest to the median. A function gets the targets and all predictions;
        smaller results are better. Otherwise as in `RealMLPClassifier`.
    variant, hidden_sizes, act, use_parametric_act, act_lr_factor, p_drop, p_drop_sched, wd, wd_sched, lr, lr_sched, \
bias_lr_factor, add_front_scale, scale_lr_factor, weight_init_mode, bias_init_mode, last_layer_init_mode, \
num_emb_type, plr_sigma, plr_hidden_1, plr_hidden_2, plr_lr_factor, max_one_hot_cat_size, embedding_size, mom, sq_mom, opt_eps, \
n_epochs, batch_size, val_fraction, n_ensemble, refit, time_limit, precision, categorical_features, random_state, \
n_threads, verbose
        As in `RealMLPClassifier`.

    Attributes
    ----------
    target_mean_, target_std_ : array, shape (outputs,)
        Of the training rows.
    n_features_in_, feature_names_in_, preparation_, networks_, history_, histories_, best_epochs_, best_scores_
        As in `RealMLPClassifier`.

    Examples
    --------
    >>> from fastmlp.tabular import RealMLPRegressor
    >>> from sklearn.datasets import make_friedman1
    >>> X, y = make_friedman1(300, random_state=0)
    >>> model = RealMLPRegressor(variant="TD-S", random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.9
    True
    """

    _task = "regression"

    @names_arguments
    def __init__(
        self,
        *,
        variant: str = "TD",
        hidden_sizes: Sequence[int] | None = None,
        act: str | None = None,
        use_parametric_act: bool | None = None,
        act_lr_factor: float | None = None,
        p_drop: float | None = None,
        p_drop_sched: Schedule | str | None = "flat_cos",
        wd: float | None = None,
        wd_sched: Schedule | str | None = "flat_cos",
        lr: float | None = None,
        lr_sched: Schedule | str | None = "coslog4",
        bias_lr_factor: float | None = None,
        add_front_scale: bool = True,
        scale_lr_factor: float | None = None,
        weight_init_mode: str | None = None,
        bias_init_mode: str | None = None,
        last_layer_init_mode: str | None = None,
        num_emb_type: str | None = None,
        plr_sigma: float | None = None,
        plr_hidden_1: int | None = None,
        plr_hidden_2: int | None = None,
        plr_lr_factor: float | None = None,
        max_one_hot_cat_size: int | str | None = "default",
        embedding_size: int | None = None,
        mom: float = 0.9,
        sq_mom: float = 0.95,
        opt_eps: float = 1e-8,
        n_epochs: int = 256,
        batch_size: int = 256,
        val_fraction: float = 0.2,
        objective: str = "squared_error",
        quantiles: Any = 0.5,
        normalize_output: bool = True,
        clamp_output: bool | None = None,
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
