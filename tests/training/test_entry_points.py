"""Whatever takes rows takes them in the same ways: sparse formats, and the shapes of validation data."""

import numpy as np
import pytest
from fastmlp import MLPClassifier, MLPRegressor, Network, Trainer, fit_lbfgs, fit_many, ops
from fastmlp.streaming import Stream
from fastmlp.studies import compare, learning_curve
from problems import assert_equal_bits, parameters

sparse = pytest.importorskip("scipy.sparse")

RNG = np.random.default_rng(0)
X = np.round(4 * RNG.normal(size=(40, 6)) * (RNG.random((40, 6)) < 0.4))
Y = (X.sum(axis=1) > 0).astype(int)
SETTINGS = {"layer_sizes": (6, 5, 2), "dtype": "float64"}


def network():
    return Network(**SETTINGS, seed=1)


def trained(fit):
    """The results of a fit of a trainer, as arrays."""
    trainer = Trainer(network(), batch_size=16)
    history = fit(trainer)
    history = history[0] if isinstance(history, list) else history
    return [*parameters(trainer.network), *(np.array(history[name]) for name in history if name != "seconds")]


def of_estimator(*fit, Mlp=MLPClassifier, method="fit", **settings):
    def results(X, y):
        model = Mlp(hidden_layer_sizes=(5,), max_iter=2, random_state=0, **settings)
        more = {"classes": [0, 1]} if method == "partial_fit" else {}
        getattr(model, method)(*(fit or (X, y)), **more)
        return [*model.coefs_, *model.intercepts_, model.predict(X), np.array(model.score(X, y))]

    return results


def gradients(X, y):
    found = network().loss_and_gradients(X, y)
    return [np.array(found.loss), *found.weights, *found.biases]


def in_study(study, *arguments):
    def results(X, y):
        rows = study(*arguments, validation_data=(X, y), n_threads=1)
        rows = rows[0] if isinstance(rows, tuple) else rows
        return [np.array([value for name, value in row.items() if name.endswith("loss")]) for row in rows]

    return results


# Everything that takes X, which may be sparse, and y.
TAKE_ROWS = {
    "forward": lambda X, y: [network().forward(X)],
    "predict": lambda X, y: [network().predict(X)],
    "evaluate": lambda X, y: [np.array(network().evaluate(X, y))],
    "loss_and_gradients": gradients,
    "fit": lambda X, y: trained(lambda trainer: trainer.fit(X, y, 2)),
    "validation_data": lambda X_val, y: trained(lambda trainer: trainer.fit(X, Y, 2, validation_data=(X_val, y))),
    "named validation_data": lambda X_val, y: trained(
        lambda trainer: trainer.fit(X, Y, 2, validation_data={"a": (X_val, y)})
    ),
    "stream": lambda X, y: trained(lambda trainer: trainer.fit(Stream([(X, y)]), None, 2)),
    "fit_many": lambda X, y: trained(lambda trainer: fit_many([trainer], X, y, 2, validation_data=(X, y))),
    "fit_lbfgs": lambda X, y: trained(lambda trainer: fit_lbfgs(trainer.network, X, y, 2, validation_data=(X, y))),
    "compare": lambda X, y: in_study(compare, [SETTINGS], X, y, 2)(X, y),
    "learning_curve": lambda X, y: in_study(learning_curve, [20, 40], X, y, 2, SETTINGS)(X, y),
    "classifier": of_estimator(),
    "classifier, lbfgs": of_estimator(solver="lbfgs"),
    "classifier, early stopping": of_estimator(early_stopping=True),
    "classifier, partial_fit": of_estimator(method="partial_fit"),
    "regressor": of_estimator(Mlp=MLPRegressor),
    "eval_set": lambda X_val, y: [
        np.array(MLPClassifier((5,), max_iter=2, random_state=0).fit(X, Y, eval_set=(X_val, y)).history_.val_loss)
    ],
    "eval_X": lambda X_val, y: [
        np.array(MLPClassifier((5,), max_iter=2, random_state=0).fit(X, Y, eval_X=X_val, eval_y=y).history_.val_loss)
    ],
}
FORMATS = [
    f"{name}_{kind}" for name in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia") for kind in ("array", "matrix")
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("take", TAKE_ROWS.values(), ids=TAKE_ROWS)
def test_every_sparse_format_is_its_dense_array(take):
    expected = take(X, Y)
    for name in FORMATS:
        given = getattr(sparse, name)(X)
        before = given.copy()
        assert_equal_bits(take(given, Y), expected)
        assert type(given) is type(before) and given.dtype == before.dtype
        assert np.array_equal(given.toarray(), before.toarray())


@pytest.mark.parametrize("kind", ["csr_array", "coo_array", "lil_matrix"])
@pytest.mark.parametrize("take", [TAKE_ROWS[name] for name in TAKE_ROWS if name not in ("forward", "predict")])
def test_a_sparse_y_is_rejected_by_name(take, kind):
    with pytest.raises((TypeError, ValueError), match=r"\by\b.*dense"):
        take(X, getattr(sparse, kind)(Y[:, None].astype(float)))


@pytest.mark.parametrize(
    "fit",
    [
        lambda weights: Trainer(network()).fit(X, Y, 1, sample_weight=weights),
        lambda weights: Trainer(network()).fit(X, Y, 1, validation_data=(X, Y, weights)),
        lambda weights: Trainer(network()).fit(Stream([(X, Y, weights)]), None, 1),
        lambda weights: fit_many([Trainer(network())], X, Y, 1, sample_weight=weights),
        lambda weights: fit_lbfgs(network(), X, Y, 1, sample_weight=weights),
        lambda weights: MLPClassifier().fit(X, Y, sample_weight=weights),
        lambda weights: ops.matmul(weights, X),
        lambda weights: ops.relu(weights),
        lambda weights: ops.softmax(weights),
    ],
)
def test_sparse_weights_and_operands_are_rejected_by_name(fit):
    with pytest.raises(TypeError, match=r"(sample_weight|\ba\b|\bz\b).*dense"):
        fit(sparse.csr_array(np.ones((40, 1))))


@pytest.mark.skipif(not hasattr(sparse, "coo_array"), reason="SciPy before 1.8")
@pytest.mark.parametrize("shape", [(6,), (2, 3, 6)])
def test_sparse_arrays_of_other_dimensions_are_rejected(shape):
    try:
        given = sparse.coo_array(np.ones(shape))
    except (ValueError, TypeError):
        pytest.skip("this SciPy has matrices only")
    if given.shape != shape:
        pytest.skip("this SciPy makes a matrix of one dimension")
    for take in (lambda: network().forward(given), lambda: Trainer(network()).fit(given, Y[: shape[0]], 1)):
        with pytest.raises(ValueError, match=rf"X must have shape \(samples, 6\), got \({shape[0]}"):
            take()
    one_dimension = sparse.coo_array(np.ones(40)) if len(shape) == 1 else sparse.coo_array(np.ones((40, 1, 2)))
    with pytest.raises(ValueError, match="a sparse y must have shape"):
        MLPClassifier().fit(X, one_dimension)


# Validation data, by all that takes them.

FITS = {
    "fit": lambda given: Trainer(network()).fit(X, Y, 1, validation_data=given),
    "fit_many": lambda given: fit_many([Trainer(network())], X, Y, 1, validation_data=given)[0],
    "fit_lbfgs": lambda given: fit_lbfgs(network(), X, Y, 1, validation_data=given),
    "compare": lambda given: compare([SETTINGS], X, Y, 1, validation_data=given)[0],
    "learning_curve": lambda given: learning_curve([40], X, Y, 1, SETTINGS, validation_data=given)[0],
}
W = np.ones(40)


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_validation_data_in_the_shapes_of_other_libraries(fit):
    for one_set in ((X, Y), [X, Y], (X, Y, W), (X, Y, None), [(X, Y)], [(X, Y, W)], ([X, Y],)):
        assert "val_loss" in fit(one_set)
    assert {"a_loss", "b_loss"} <= set(fit({"a": (X, Y), "b": [X, Y, W]}))
    for given, found in [
        ([(X, Y), (X, Y)], "2 of them"),  # XGBoost
        (((X, Y), (X, Y), (X, Y)), "3 of them"),
        ((X,), "a tuple of 1"),
        ((X, Y, W, W), "a tuple of 4"),
        ([("a", X, Y)], "a list of 1"),
        ((), "a tuple of 0"),
        (X, "ndarray"),
        (0.2, "float"),
        ("val", "str"),
        (True, "bool"),
        (Stream([(X, Y)]), "Stream"),
        (iter([(X, Y)]), "list_iterator"),
    ]:
        with pytest.raises(TypeError, match=rf"validation_data must be a pair \(X, y\) or a triple .*, got {found}$"):
            fit(given)
    with pytest.raises(TypeError, match=r"validation_data\['X'\] must be a pair"):
        fit({"X": X, "y": Y})


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
def test_errors_in_validation_data_name_it(fit):
    for rows, message in [
        ((X[:0], Y[:0]), "at least one row"),
        ((X, None), "y must be"),
        ((X, Y + 1), "labels must lie in"),
        ((X[:, :5], Y), r"X must have shape \(samples, 6\)"),
        ((X, Y, W[:5]), "sample_weight must have shape"),
        ((X, Y, 0 * W), "positive sum"),
    ]:
        for given, name in [(rows, "validation_data"), ({"a": rows}, "validation_data['a']")]:
            with pytest.raises((TypeError, ValueError), match=message) as caught:
                fit(given)
            notes = " ".join(caught.value.__notes__)
            # compare names all sets
            assert name in notes or (fit in (FITS["compare"], FITS["learning_curve"]) and "validation_data[" in notes)


@pytest.mark.parametrize("rows", [(X[:0], Y[:0]), (X, Y[:3]), (X, Y + 7), (X[:, :2], Y), (X * np.nan, Y)])
def test_errors_in_an_eval_set_name_it(rows):
    with pytest.raises(ValueError) as caught:
        MLPClassifier((5,), max_iter=1).fit(X, Y, eval_set=rows)
    assert "eval_set, which a Pipeline does not transform" in caught.value.__notes__
