"""scikit-learn's MLPClassifier on fastmlp's core, with additions.

The same `random_state` draws the same initial weights, row orders and validation split as in scikit-learn, and each
update computes the same formula. The same code therefore gives the same model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import compute_class_weight, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels

from ..history import Callback
from ..optimizers import Factors
from ..schedules import Schedule
from .argument_names import names_arguments, set_parameters
from .fitting import FittedMLP, can_partial_fit
from .predictions import of_one_model
from .scikit_learn import StrOptions, fit_context


def class_factors(class_weight: Any, classes: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The factor of each class of y, shape (samples,); an error names the labels of `class_weight` that y lacks."""
    if isinstance(class_weight, dict):
        wrong = [factor for factor in class_weight.values() if not isinstance(factor, Real)]
        if wrong:
            raise TypeError(f"class_weight must hold numbers, got {wrong[0]!r}")
        known = classes.tolist()
        foreign = [label for label in class_weight if label not in known]
        if foreign and any(label not in class_weight for label in known):
            raise ValueError(f"class_weight has the label {foreign[0]!r}, which y lacks: its classes are {known}")
    elif not (isinstance(class_weight, str) and class_weight == "balanced"):
        raise ValueError(f"class_weight must be a dict of label to number, 'balanced' or None, got {class_weight!r}")
    return compute_class_weight(class_weight, classes=classes, y=y)


class MLPClassifier(ClassifierMixin, FittedMLP):
    """A multilayer perceptron for classification, as in scikit-learn, several times faster.

    Two classes train one logistic output, more classes a softmax, and a label indicator matrix one logistic output per
    label. All parameters up to `max_fun` are those of scikit-learn.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int >= 1, default=(100,)
        Widths of the hidden layers.
    activation : str, or list or tuple of str, default="relu"
        Of all hidden layers: identity, logistic, tanh, relu, and, beyond scikit-learn, leaky_relu, elu,
        selu, gelu, gelu_tanh, silu, mish or softplus; or one of these for each hidden layer.
    solver : {"lbfgs", "sgd", "adam", "adamw", "nadam", "rmsprop"}, default="adam"
        "lbfgs" uses all rows in each step and suits small data. "adamw" is Adam with `weight_decay`.
    alpha : float >= 0, default=1e-4
        Adds ``alpha/2 * sum(w**2) / rows`` to the loss, where rows is the size of the mini-batch (with sample weights:
        their sum). Its strength depends on the batch size; that of `l2` does not.
    batch_size : int >= 1 or "auto", default="auto"
        Rows of a mini-batch; "auto" is ``min(200, samples)``.
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        For "sgd". "invscaling": ``learning_rate_init / (t_ + 1)**power_t`` after each epoch. "adaptive": divided by 5
        whenever `n_iter_no_change` epochs have not improved by `tol`, until it is at most 1e-6.
    learning_rate_init : float > 0, default=0.001
        The first learning rate. Not for "lbfgs".
    power_t : float >= 0, default=0.5
        The exponent of "invscaling".
    max_iter : int >= 1, default=200
        Maximum number of epochs, or of iterations of "lbfgs".
    shuffle : bool, default=True
        Permute the rows anew in each epoch.
    random_state : int, RandomState or None, default=None
        Draws the initial weights, the validation split and the row orders, one after another.
    tol : float >= 0, default=1e-4
        Minimum improvement; for "lbfgs" the largest component of the projected gradient at the end.
    verbose : bool or int, default=False
        Print a line per epoch, and for "lbfgs" per iteration.
    warm_start : bool, default=False
        Start `fit` from the previous solution.
    momentum : float in [0, 1], default=0.9
        For "sgd"; below 1 with `l1`.
    nesterovs_momentum : bool, default=True
        Nesterov's variant of momentum, for "sgd".
    early_stopping : bool, default=False
        Stop by the score of held-out rows instead of the training loss, and keep the best weights. The rows are `fit`'s
        eval_set, or a split, stratified for two classes. With warm_start, as in scikit-learn, the best score is remembered:
        a `fit` that does not exceed it ends with its last weights. Not for "lbfgs".
    validation_fraction : float in [0, 1), default=0.1
        Fraction of the rows in that split.
    beta_1, beta_2 : float in [0, 1), default=0.9, 0.999
        Decay rates of the running means of gradient and squared gradient, for "adam", "adamw" and "nadam".
    epsilon : float > 0, default=1e-8
        Added to the root of the squared gradient's mean, for all solvers but "lbfgs" and "sgd".
    n_iter_no_change : int >= 1 or inf, default=10
        Epochs without improvement before the fit ends.
    max_fun : int >= 1, default=15000
        Maximum number of evaluations of the loss by "lbfgs".
    l1 : float >= 0, default=0
        Adds ``l1 * sum|w|`` to the mean loss, for any batch size, by a proximal step after each update (see Notes):
        weights become exactly zero. Fewer do with a learning rate that falls, and hardly any with `average_decay`, which
        takes their mean.
    l2 : float >= 0, default=0
        Adds ``l2/2 * sum(w**2)`` to the mean loss, for any batch size.
    class_weight : dict of label to float, list of dict, "balanced" or None, default=None
        Factors of the rows' weights; that of a class which a dict does not name is 1, as in scikit-learn. "balanced" is
        ``samples / (classes * rows of the class)``. For a label indicator matrix "balanced", or a list of one dict per
        label, whose factors are multiplied.
    rho, momentum_decay : float
        For "rmsprop" and "nadam", as in `Trainer`.
    weight_decay : float >= 0, default=0.01
        For "adamw".
    standardize : bool, default=False
        The fit learns the mean and the standard deviation of each column of X, and of y in the regressor for losses of
        real targets, from the rows that it trains on, with their weights; a constant column has the deviation 1. The model
        computes with ``(x - mean) / std``, to which `coefs_` belong, and predicts in the units of y; losses, and the delta
        of "huber", are those of the standardized targets. A sparse X is scaled, but no mean is subtracted. `partial_fit`
        learns them in its first call.
    dropout, input_dropout : float in [0, 1), default=0
        Probability that a hidden unit, or an input, is zero in an update, as in `Trainer`. Not for "lbfgs".
    max_gradient_norm : float > 0 or None, default=None
        An update with a larger norm of the gradient takes it times ``max_gradient_norm / norm``. Not for "lbfgs".
    schedule : schedule, str, callable or None, default=None
        A factor of the learning rate in each update, as in `Trainer`. It spans `max_iter` epochs; reaching them then gives
        no ConvergenceWarning. Not for "lbfgs" and `partial_fit`.
    weight_decay_schedule, dropout_schedule : schedule, str, callable or None, default=None
        The same for `weight_decay`, and for both dropouts.
    average_decay : float in (0, 1) or None, default=None
        The model is the running mean of the parameters over the updates of the fit, as `Trainer.average`; held-out rows are
        evaluated with it. Not for "lbfgs" and `partial_fit`.
    learning_rate_factors : pair of float >= 0, sequence of pairs, or None, default=None
        Factors of the learning rate of weights and biases, for all layers or for each. Not for "lbfgs".
    precision : {"bfloat16", "bfloat16_amx"} or None, default=None
        Of the products in training, as in `Trainer`. X must be float32. Predictions are float32. Not for "lbfgs".
    activation_settings, loss_settings : dict of str to float, optional
        As in `Network`: ``loss_settings={"label_smoothing": 0.1}``, ``activation_settings={"slope": 0.2}``, or a list with
        a dict or None for each hidden layer.
    stopping_metric : {"score", "loss"}, default="score"
        The metric of early stopping.
    n_threads : int >= 1 or None, default=None
        None: the cores of the process, divided among the fits that run at the same time. The model is the same for every
        number.
    max_seconds : float > 0 or None, default=None
        A limit of the time from the first epoch on. The fit trains whole epochs (or iterations), at least one. It ends
        if another epoch, as long as the last one, would exceed the limit, and sets ``history_.out_of_time``.
        If a core trains several members one after another, it divides the time equally among them.
    n_ensemble : int >= 1, default=1
        Number of networks whose outputs are averaged, each with a seed drawn from `random_state`. They are fitted at the
        same time, one per core. 1: one network, as in scikit-learn. More: not with warm_start and partial_fit.
    ensemble_rows : {"all", "bootstrap", "folds"}, default="all"
        The rows that a member is fitted on, as in `fit_ensemble`. "folds" sets `out_of_fold_`.

    Attributes
    ----------
    classes_ : array, shape (classes,)
    coefs_ : list of array, shapes (inputs, outputs)
        The weights. They may be changed: each prediction reads them.
    intercepts_ : list of array, shapes (outputs,)
    loss_ : float
        Loss and penalties of the last epoch, measured on each mini-batch before its update.
    loss_curve_ : list of float
        `loss_` of each epoch; not for "lbfgs".
    best_loss_ : float or None
        The smallest; None with early_stopping. Not for "lbfgs".
    validation_scores_ : list of float or None
        Accuracy on the held-out rows after each epoch.
    validation_loss_curve_ : list of float or None
        Data loss on the eval_set (or on the split, if stopping_metric="loss") after each epoch, computed like
        ``history_["loss"]``; rows of the eval_set have no weights.
    best_validation_score_ : float or None
        The score of the weights that early stopping has kept. Not for "lbfgs".
    history_ : History
        Per epoch or iteration: loss (of the data), penalty, seconds (of the training alone), and with held-out rows
        val_score and, with an eval_set or stopping_metric="loss", val_loss. If some calls have an eval_set and others
        have none, the lists have different lengths.
    standardization_ : Standardization or None
        What the fit has learned with ``standardize=True``, as `Network.standardization`.
    n_iter_ : int
        Epochs or iterations of the last call.
    t_ : int
        Number of rows trained on, counted in every epoch.
    n_layers_, n_outputs_, n_features_in_ : int
    feature_names_in_ : array of str
        The column names of a data frame.
    out_activation_ : {"softmax", "logistic"}
    estimators_ : list of MLPClassifier
        The members of an ensemble, which has none of the attributes from `coefs_` to `t_` itself but `loss_`, their mean,
        and `n_iter_`, their largest.
    out_of_fold_ : array, shape (samples, classes)
        With ``ensemble_rows="folds"``: the probabilities for each row of fit's X by the member that was not fitted on it.

    Notes
    -----
    A probability counts as at least the dtype's epsilon in the loss, as in scikit-learn.

    **l1.** After each update, w becomes ``sign(w) * max(|w| - s * l1, 0)``, the minimum over v of
    ``l1 |v| + (v - w)**2 / (2 s)``. s is the step size: the learning rate; with momentum, ``learning_rate / (1 - momentum)``;
    with "adam", what the update multiplies the gradient's running mean by, of each weight. Training then ends where the
    penalized loss is stationary, and a weight stays at zero while its gradient is smaller than l1. "lbfgs" solves the same
    problem with ``w = p - q`` and bounds ``p, q >= 0`` (Parikh and Boyd 2014, Proximal Algorithms).

    Examples
    --------
    >>> from fastmlp import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(solver="lbfgs", random_state=1).fit(X, y)
    >>> model.score(X, y) > 0.95
    True
    """

    _parameter_constraints: dict = {
        **FittedMLP._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }
    _y_numeric = False
    loss = "log_loss"  # the only one

    @names_arguments
    def __init__(
        self,
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
        class_weight: dict | list[dict] | str | None = None,
        activation_settings: dict[str, float] | Sequence[dict[str, float] | None] | None = None,
        loss_settings: dict[str, float] | None = None,
        stopping_metric: str = "score",
        n_threads: int | None = None,
        max_seconds: float | None = None,
        n_ensemble: int = 1,
        ensemble_rows: str = "all",
    ) -> None:
        set_parameters(self, locals())

    @of_one_model
    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, shape (samples,), or an indicator matrix, shape (samples, labels)."""
        return self._decode(self._outputs(X))

    @of_one_model
    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, shape (samples, classes), in the order of `classes_`.

        For a label indicator matrix: that each label is present.
        """
        return self._as_out_of_fold(self._outputs(X))

    def _as_out_of_fold(self, outputs: np.ndarray) -> np.ndarray:
        return np.hstack([1 - outputs, outputs]) if outputs.shape[1] == 1 else outputs

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithms of `predict_proba`."""
        p = self.predict_proba(X)
        return np.log(p, out=p)

    @available_if(can_partial_fit)
    @names_arguments
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        classes: Any = None,
        *,
        eval_set: tuple[Any, Any] | None = None,
        eval_X: Any = None,
        eval_y: Any = None,
        callbacks: Iterable[Callback] = (),
    ) -> MLPClassifier:
        """Train for one more epoch on these rows.

        Parameters
        ----------
        X, y, sample_weight, eval_set, eval_X, eval_y, callbacks
            As in `fit`; the curves and the history continue.
        classes : array-like, shape (classes,)
            All classes of all calls; needed in the first call.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Also if the classes change, with early_stopping, or with class_weight="balanced", because one call does not
            see how frequent a class is.
        """
        if self.class_weight == "balanced":
            raise ValueError("partial_fit needs class_weight as a dict or None, got 'balanced': it sees not all rows")
        return self._fit(X, y, sample_weight, eval_set, eval_X, eval_y, callbacks, incremental=True, classes=classes)

    def _learn_targets(self, y: np.ndarray, incremental: bool, classes: Any) -> None:
        known = getattr(self, "classes_", None)
        if known is not None and classes is not None and not np.array_equal(known, unique_labels(classes)):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {known!r}")
        if incremental and known is None:
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
            self.classes_ = unique_labels(classes)
            multilabel = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if multilabel else classes)
        elif known is None or (not self.warm_start and not incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
            return
        present = unique_labels(y)
        if self.warm_start and set(present) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously"
                f" got {self.classes_}, `y` has {present}"
            )
        self._refuse_new_classes("y", present)

    def _refuse_new_classes(self, name: str, classes: np.ndarray) -> None:
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`{name}` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. '{name}' has"
                f" {classes}."
            )

    def _encode(self, y: np.ndarray) -> np.ndarray:
        if self._label_binarizer.y_type_ == "multiclass":
            return np.searchsorted(self.classes_, y).astype(np.int64)
        if self._label_binarizer.y_type_ == "binary":  # as the binarizer, whose checks take a millisecond
            return (y == self.classes_[-1])[:, None] & (len(self.classes_) > 1)
        return self._label_binarizer.transform(y).astype(bool)

    def _encode_eval_set(self, y: np.ndarray) -> np.ndarray:
        several = type_of_target(y).startswith("multilabel")
        if several != self._label_binarizer.y_type_.startswith("multilabel"):
            raise ValueError(f"eval_set must have targets like fit's, got {type_of_target(y)} labels")
        self._refuse_new_classes("eval_set", unique_labels(y))
        return self._encode(y)

    def _outputs_of(self, encoded: np.ndarray) -> int:
        return len(self.classes_) if encoded.ndim == 1 else encoded.shape[1]

    def _loss_name(self) -> str:
        return "cross_entropy" if self._label_binarizer.y_type_ == "multiclass" else "binary_cross_entropy"

    def _stratification(self, encoded: np.ndarray) -> np.ndarray | None:
        return encoded.astype(bool) if encoded.ndim == 2 and encoded.shape[1] == 1 else None

    def _class_weights(self, y: np.ndarray) -> np.ndarray | None:
        if self.class_weight is None:
            return None
        if y.ndim == 2:
            return compute_sample_weight(self.class_weight, y)
        factors = class_factors(self.class_weight, self.classes_, y)
        return factors[np.searchsorted(self.classes_, y)]

    def _decode(self, outputs: np.ndarray) -> np.ndarray:
        return self._label_binarizer.inverse_transform(outputs.ravel() if outputs.shape[1] == 1 else outputs)

    def _score(self, encoded: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> float:
        if len(self.classes_) == 1:
            return 1.0  # every row is predicted to be of it
        hits = outputs.argmax(axis=1) == encoded if encoded.ndim == 1 else ((outputs > 0.5) == encoded).all(axis=1)
        return np.average(hits, weights=weights)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
