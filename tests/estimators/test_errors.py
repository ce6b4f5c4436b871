"""Errors and warnings of the estimators: scikit-learn's own, those of the additions, and that they change nothing."""

import re
import threading
import warnings

import numpy as np
import pytest
from estimator_problems import THEIRS, scaled, ties
from fastmlp import DivergenceError, MLPClassifier, MLPRegressor, Trainer
from fastmlp.activations import ACTIVATIONS
from fastmlp.estimators import fitting
from fastmlp.losses import LOSSES
from fastmlp.optimizers import OPTIMIZERS
from fastmlp.tabular import RealMLPClassifier, RealMLPRegressor, TabMClassifier, TabMRegressor
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_other_layers_cannot_go_on():
    X, y = scaled(load_iris)
    for sizes in ((50,), (100, 3)):
        model = MLPClassifier(warm_start=True, max_iter=2, random_state=0).fit(X, y)
        with pytest.raises(ValueError, match="same layers"):
            model.set_params(hidden_layer_sizes=sizes).fit(X, y)


BAD = [
    (dict(hidden_layer_sizes=-1), {}),
    (dict(hidden_layer_sizes=(5, 0)), {}),
    (dict(alpha=-1), {}),
    (dict(activation="ghost"), {}),
    (dict(solver="hadoken"), {}),
    (dict(momentum=2), {}),
    (dict(learning_rate="warp"), {}),
    (dict(max_iter=0), {}),
    (dict(early_stopping=True, validation_fraction=0.001), {}),
    ({}, dict(X=np.full((150, 4), np.nan))),
    ({}, dict(X=np.zeros((149, 4)))),
    ({}, dict(y=np.full(150, np.nan))),
    ({}, dict(sample_weight=np.ones(3))),
    (dict(solver="sgd", learning_rate_init=1e300, max_iter=3), {}),
]


@pytest.mark.parametrize("settings, arguments", BAD)
@pytest.mark.parametrize("Mlp", THEIRS)
def test_errors_are_scikit_learns(Mlp, settings, arguments):
    X, y = load_iris(return_X_y=True)
    arguments = {"X": X, "y": y} | arguments
    errors = []
    for Either in (Mlp, THEIRS[Mlp]):
        with warnings.catch_warnings(), np.errstate(all="ignore"), pytest.raises(Exception) as caught:
            warnings.simplefilter("ignore")
            Either(random_state=0, **settings).fit(**arguments)
        errors.append(caught.value)
    if isinstance(errors[0], DivergenceError):  # it says more, and sooner
        assert type(errors[1]) is ValueError and str(errors[0]).startswith(str(errors[1]).rstrip("."))
        return
    assert type(errors[0]) is type(errors[1])
    texts = str(errors[0]).replace(", an instance of 'list' or an instance of 'tuple'", ""), str(errors[1])
    ours, theirs = (sorted(re.findall(r"\w+", text)) for text in texts)  # sorted: choices are a set
    assert [word for word in ours if word in theirs or word not in {*ACTIVATIONS, *LOSSES, *OPTIMIZERS}] == theirs


@pytest.mark.parametrize(
    "settings, category",
    [
        (dict(max_iter=2), ConvergenceWarning),
        (dict(solver="sgd", max_iter=2), ConvergenceWarning),
        (dict(solver="lbfgs", max_iter=2), ConvergenceWarning),
        (dict(batch_size=1000, tol=1e9), UserWarning),
    ],
)
@pytest.mark.parametrize("Mlp", THEIRS)
def test_warnings_are_scikit_learns(Mlp, settings, category):
    X, y = load_iris(return_X_y=True)
    messages = []
    for Either in (Mlp, THEIRS[Mlp]):
        with pytest.warns(category) as caught:
            Either(random_state=0, **settings).fit(X, y)
        messages.append([str(warning.message) for warning in caught])
        assert caught[0].category is category
    assert messages[0] == messages[1]


def test_lbfgs_that_cannot_start_warns_as_scikit_learn_does():
    X, y = np.full((5, 2), 1e200), np.ones(5)
    messages = []
    for Either in (MLPRegressor, THEIRS[MLPRegressor]):
        model = Either(solver="lbfgs", activation="identity", random_state=0)
        with np.errstate(all="ignore"), pytest.warns(ConvergenceWarning, match="after 0 iteration") as caught:
            model.fit(X, y)
        messages.append([str(warning.message) for warning in caught])
        assert np.isnan(model.loss_) and all(np.isfinite(w).all() for w in model.coefs_)
    assert messages[0] == messages[1]


def test_an_infinite_penalty_is_a_divergence():
    """Of a finite loss: the squares of weights of float32 overflow before the weights do."""
    X, y = np.zeros((20, 4), np.float32), np.arange(20.0)
    model = MLPRegressor(hidden_layer_sizes=(3,), solver="sgd", warm_start=True, max_iter=2, random_state=0).fit(X, y)
    model.coefs_[0][:] = 1e25
    with pytest.raises(DivergenceError, match="the penalty is inf in epoch 1"):
        model.fit(X, y)
    assert all(np.isfinite(w).all() for w in model.coefs_)


def test_class_weights_that_do_not_fit_are_rejected():
    X, y = scaled(load_iris)
    with pytest.raises(ValueError, match="not zero"):
        MLPClassifier(class_weight={0: 0, 1: 0, 2: 0}).fit(X, y)
    with pytest.raises(ValueError, match=r"class_weight has the label 7, which y lacks: its classes are \[0, 1, 2\]"):
        MLPClassifier(class_weight={7: 1.0}).fit(X, y)
    with pytest.raises(ValueError, match="class_weight"):
        MLPClassifier(class_weight="heavy").fit(X, y)
    with pytest.raises(ValueError, match=r"class_weight must be a dict of label to number, .* got \[{0: 1.0}\]"):
        MLPClassifier(class_weight=[{0: 1.0}]).fit(X, y)  # for many labels
    with pytest.raises(TypeError, match="class_weight must hold numbers, got 'heavy'"):
        MLPClassifier(class_weight={0: "heavy"}).fit(X, y)
    with pytest.raises(ValueError, match=r"balanced.*not all rows"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])


@pytest.mark.parametrize("weight", [1e-60, 1e-40, 1e37, 1e300])
def test_weights_beyond_float32_are_rejected_where_it_computes(weight):
    """1e37: a float32, but not the sum of a batch."""
    X, y = scaled(load_iris)
    X, weights = X.astype(np.float32), np.ones(150)
    weights[7] = weight
    model = MLPClassifier(random_state=0, max_iter=2, early_stopping=True).fit(X, y)
    before = dict(vars(model))
    found = re.escape(f"[1.18e-38, 5.67e+35] for float32, got {weight} in row 7")
    with pytest.raises(ValueError, match=f"sample_weight must be 0 or in {found}"):
        model.fit(X, y, weights)
    assert_untouched(model, before)
    with pytest.raises(ValueError, match=r"sample_weight times class_weight .* in row 50"):
        MLPClassifier(class_weight={1: weight}).fit(X, y, np.ones(150))
    MLPClassifier(solver="lbfgs", max_iter=2).fit(X, y, weights)  # computes in float64
    MLPClassifier(max_iter=2).fit(X.astype(float), y, weights)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda X, y: MLPClassifier(lr=1), r"MLPClassifier\(\) got .* 'lr'; did you mean 'learning_rate_init'"),
        (lambda X, y: MLPRegressor(n_epochs=1), r"MLPRegressor\(\) got .* did you mean 'max_iter'"),
        (lambda X, y: MLPRegressor(dropuot=1), "did you mean 'dropout'"),
        (lambda X, y: MLPClassifier(ghost=1), "argument 'ghost'$"),
        (lambda X, y: MLPClassifier().fit(X, y, validation_data=(X, y)), r"MLPClassifier.fit\(\) .* 'eval_set'"),
        (lambda X, y: MLPClassifier().fit(X, y, alpha=1), r"'alpha'; it is a parameter of MLPClassifier\(...\)"),
        (lambda X, y: MLPRegressor().partial_fit(X, y, weights=y), r"MLPRegressor.partial_fit\(\) .* 'sample_weight'"),
        (lambda X, y: RealMLPClassifier(epochs=1), r"RealMLPClassifier\(\) .* did you mean 'n_epochs'"),
        (lambda X, y: RealMLPClassifier(max_iter=1), "did you mean 'n_epochs'"),
        (lambda X, y: RealMLPClassifier(learning_rate=0.1), "did you mean 'lr'"),
        (lambda X, y: RealMLPClassifier(dropout=0.1), "did you mean 'p_drop'"),
        (lambda X, y: RealMLPRegressor(loss="mae"), "did you mean 'objective'"),
        (lambda X, y: TabMClassifier(wd=0.1), "did you mean 'weight_decay'"),
        (
            lambda X, y: MLPClassifier().fit(X, y, epochs=1),
            r"'epochs'; max_iter is a parameter of MLPClassifier\(...\)",
        ),
        (lambda X, y: MLPClassifier(callbacks=[]), "'callbacks'; it is an argument of fit$"),
        (lambda X, y: MLPClassifier(eval_set=(X, y)), "'eval_set'; it is an argument of fit$"),
        (lambda X, y: TabMRegressor(learning_rate_init=1), "did you mean 'lr'"),
        (lambda X, y: TabMRegressor().fit(X, y, validation_data=(X, y)), r"TabMRegressor.fit\(\) .* 'eval_set'"),
    ],
)
def test_unknown_arguments_get_a_hint(call, message):
    with pytest.raises(TypeError, match=message):
        call(*scaled(load_iris))


@pytest.mark.parametrize("sizes", [(64, "a"), ("64",), (3.5,), [[3]], (True,)])
def test_sizes_of_layers_are_integers(sizes):
    X, y = scaled(load_iris)
    with pytest.raises(TypeError, match=r"hidden_layer_sizes must hold integers, got \["):
        MLPClassifier(hidden_layer_sizes=sizes).fit(X, y)
    MLPClassifier(hidden_layer_sizes=np.array([3, 2]), max_iter=1).fit(X, y)


@pytest.mark.parametrize("n_ensemble", [1, 2])
def test_images_as_bytes_warn(n_ensemble):
    X = np.random.default_rng(0).integers(0, 256, (60, 5), np.uint8)
    model = MLPClassifier((3,), max_iter=1, n_ensemble=n_ensemble, n_threads=1)
    with pytest.warns(UserWarning, match="X is uint8 with values above 127: pass X / 255, or standardize=True"):
        model.fit(X, X[:, 0] > 127)
    model.set_params(standardize=True).fit(X, X[:, 0] > 127)
    MLPClassifier((3,), max_iter=1).fit(X // 2, X[:, 0] > 127)


def test_l1_needs_a_momentum_below_one():
    X, y = scaled(load_iris)
    with pytest.raises(ValueError, match="momentum below 1, got momentum=1"):
        MLPClassifier(solver="sgd", momentum=1, l1=0.1).fit(X, y)


@pytest.mark.parametrize(
    "eval_set, message",
    [
        (([[1, 2]], [0]), "features"),
        ((np.full((2, 4), np.nan), [0, 1]), "NaN"),
        ((np.zeros((2, 4)), [0, 7]), r"eval_set.*\[0 7\]"),
        ((np.zeros((2, 4)), [0]), "inconsistent"),
        (np.zeros((2, 4)), "pair"),
    ],
)
def test_eval_set_is_checked(eval_set, message):
    X, y = load_iris(return_X_y=True)
    with pytest.raises((ValueError, TypeError), match=message):
        MLPClassifier().fit(X, y, eval_set=eval_set)


def test_rejected_arguments_leave_the_model_as_it_was():
    X, y = scaled(load_iris)
    regressor = MLPRegressor(random_state=0, max_iter=20).fit(X, y)
    classifier = MLPClassifier(random_state=0, max_iter=20).fit(X, y == 1)
    predicted = regressor.predict(X), classifier.predict_proba(X)
    with pytest.raises(ValueError, match="eval_set must have 1 targets"):
        regressor.fit(X, y, eval_set=(X, np.c_[y, y]))
    with pytest.raises(ValueError, match=r"eval_set.*\[1 2 3\]"):
        classifier.fit(X, y, eval_set=(X, y + 1))
    with pytest.raises(ValueError, match="eval_set must have targets like"):
        classifier.fit(X, y, eval_set=(X, np.c_[y == 0, y == 1]))
    with pytest.raises(ValueError, match="2 rows"):
        regressor.set_params(early_stopping=True).fit(X[:, :2], y, eval_set=(X[:1, :2], y[:1]))
    np.testing.assert_array_equal(regressor.predict(X), predicted[0])
    np.testing.assert_array_equal(classifier.predict_proba(X), predicted[1])


def assert_untouched(model, before):
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())


def test_what_a_fit_finds_late_leaves_the_model_as_it_was():
    X, y = scaled(load_iris)
    X = X.astype(np.float32)
    classifier = MLPClassifier(random_state=0, max_iter=3).fit(X, y == 1).set_params(early_stopping=True)
    regressor = MLPRegressor(random_state=0, max_iter=3).fit(X, y).set_params(early_stopping=True)
    too_large = r"must be within the range of float32, got 1e\+300"
    for model, arguments, found in [
        (classifier, dict(X=X[:8], y=y[:8] == 1), "validation set is too small"),
        (classifier, dict(X=X, y=np.arange(150) == 0), "least populated class"),
        (classifier, dict(X=X, y=y == 1, eval_set=(np.full((2, 4), 1e300), y[:2] == 1)), f"X {too_large}"),
        (regressor, dict(X=X, y=y, eval_set=(X[:2], [0.0, 1e300])), f"y {too_large}"),
        (regressor, dict(X=X, y=np.where(y, 1e300, 0)), f"y {too_large}"),
        (regressor, dict(X=X[:8, :3], y=y[:8]), "validation set is too small"),
    ]:
        before = dict(vars(model))
        with pytest.raises(ValueError, match=found):
            model.fit(**arguments)
        assert_untouched(model, before)


def test_a_model_of_float32_goes_on_only_within_its_range():
    X, y = scaled(load_iris)
    model = MLPClassifier(random_state=0).partial_fit(X.astype(np.float32), y, classes=[0, 1, 2])
    before = dict(vars(model))
    with pytest.raises(ValueError, match=r"X must be within the range of float32, got 1e\+300"):
        model.partial_fit(np.where(X > 1, 1e300, X), y)
    assert_untouched(model, before)


def test_a_rejected_first_call_of_partial_fit_leaves_the_classes_open():
    X, y = scaled(load_iris)
    model = MLPClassifier(random_state=0)
    before = dict(vars(model))
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(X * np.nan, y > 0, classes=[0, 1])
    assert_untouched(model, before)
    model.partial_fit(X, y, classes=[0, 1, 2])


def test_an_interrupt_before_the_first_update_leaves_the_model_as_it_was(monkeypatch):
    X, y = scaled(load_iris)
    model = MLPClassifier(random_state=0, max_iter=3).fit(X, y)
    before = dict(vars(model))

    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(MLPClassifier, "_data", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert_untouched(model, before)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_a_callback_cannot_train_the_network_that_is_being_fitted(solver):
    X, y = scaled(load_iris)
    model = MLPClassifier(solver=solver, random_state=0, max_iter=3)
    with pytest.raises(RuntimeError, match="of this network is under way"):
        model.fit(X, y, callbacks=[lambda info: Trainer(info.network).fit(X, y, epochs=1)])
    assert model.fit(X, y).n_iter_ == 3


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_an_estimator_cannot_be_fitted_twice_at_once(call):
    X, y = scaled(load_iris)
    model, rejected = MLPClassifier(random_state=0, max_iter=3), []

    def fit_again():
        with pytest.raises(RuntimeError, match="of this estimator is under way"):
            getattr(model, call)(X, y)
        rejected.append(call)

    def fit_here_and_in_a_thread(info):
        fit_again()
        thread = threading.Thread(target=fit_again)
        thread.start()
        thread.join()

    model.fit(X, y, callbacks=[fit_here_and_in_a_thread])
    undisturbed = MLPClassifier(random_state=0, max_iter=3).fit(X, y)
    assert len(rejected) == 6 and model.loss_curve_ == undisturbed.loss_curve_
    for a, b in zip(model.coefs_, undisturbed.coefs_):
        np.testing.assert_array_equal(a, b)
    getattr(model, call)(X, y)


def test_a_batch_of_all_rows_is_not_clipped():
    X, y = ties("noisy")
    MLPClassifier((3,), batch_size=64, tol=10, n_iter_no_change=1, random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="clipped"):
        MLPClassifier((3,), batch_size=65, tol=10, n_iter_no_change=1, random_state=0).fit(X, y)


CLASSES = {
    "fewer in a warm start": lambda model, X, y: model.set_params(warm_start=True).fit(X, y).fit(X, y > 0),
    "others in a warm start": lambda model, X, y: model.set_params(warm_start=True).fit(X, y).fit(X, y + 1),
    "none in a first call": lambda model, X, y: model.partial_fit(X, y),
    "others in a later call": lambda model, X, y: model.partial_fit(X, y, classes=[0, 1, 2]).partial_fit(
        X, y, classes=[0, 1, 3]
    ),
    "unknown labels": lambda model, X, y: model.partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y + 1),
    "unknown labels at first": lambda model, X, y: model.partial_fit(X, y, classes=[0, 1]),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_classes_that_do_not_fit_are_rejected_as_in_scikit_learn(kind):
    X, y = ties("noisy")
    errors = []
    for Mlp in (MLPClassifier, THEIRS[MLPClassifier]):
        with pytest.raises(ValueError) as caught:
            CLASSES[kind](Mlp((3,), max_iter=1, random_state=0), X, y)
        errors.append(sorted(re.findall(r"\w+", str(caught.value))))
    assert errors[0] == errors[1]


def test_rows_to_train_on_need_a_weight(monkeypatch):
    """Where those with weights are held out, or in another fold."""
    X, y = ties("noisy")
    monkeypatch.setattr(fitting, "train_test_split", lambda rows, **_: (rows[8:], rows[:8]))
    for each, rows in (
        (MLPClassifier((3,), max_iter=2, early_stopping=True), slice(8)),
        (MLPClassifier((3,), max_iter=2, n_ensemble=2, ensemble_rows="folds"), np.arange(64) == 5),
        (MLPClassifier((3,), solver="lbfgs", n_ensemble=2, ensemble_rows="folds"), np.arange(64) == 5),
    ):
        weights = np.zeros(64)
        weights[rows] = 1
        with pytest.raises(ValueError, match="the weights of the rows to train on must not all be 0"):
            each.fit(X, y, weights)


def test_settings_are_those_that_the_network_can_have():
    X, y = ties("noisy")
    for setting in ({"epsilon": 1e-50}, {"beta_2": 1 - 1e-9}):
        MLPClassifier((3,), max_iter=1, **setting).fit(X, y)
        with pytest.raises(ValueError, match=f"{next(iter(setting))} .* float32"):
            MLPClassifier((3,), max_iter=1, **setting).fit(X.astype(np.float32), y)


@pytest.mark.parametrize("rate", [0.0, -0.1, np.nan, 1e-50])
def test_a_callback_sets_only_rates_that_a_fit_can_have(rate):
    X, y = ties("noisy")
    model = MLPClassifier((3,), max_iter=3)

    def change(info):
        info.optimizer.learning_rate = rate

    with pytest.raises(ValueError, match="learning_rate must be"):
        model.fit(X.astype(np.float32), y, callbacks=[change])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sample_weights_are_accepted_up_to_their_bounds(dtype):
    X, y = ties("noisy")
    min_weight = float(np.finfo(dtype).tiny)
    max_weight = 1 / min_weight / 64
    for weight in (0.0, min_weight, max_weight):
        MLPClassifier((2,), max_iter=1).fit(X.astype(dtype), y, np.where(np.arange(64) == 5, weight, 1.0))
    for weight in (np.nextafter(min_weight, 0), np.nextafter(max_weight, np.inf), min_weight / 2, -min_weight, -1.0):
        with pytest.raises(ValueError, match=rf"sample_weight must be (0 or in .* for {dtype}|>= 0), got .* in row 5"):
            MLPClassifier((2,), max_iter=1).fit(X.astype(dtype), y, np.where(np.arange(64) == 5, weight, 1.0))
