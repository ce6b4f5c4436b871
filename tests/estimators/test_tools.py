"""The estimators in scikit-learn's tools: copies, searches, metadata, data frames, and skl2onnx."""

import copy
import io
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from estimator_problems import row_weights, scaled
from fastmlp import MLPClassifier, MLPRegressor, _core
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler, scale

joblib = pytest.importorskip("joblib")
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("copied", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_copy_trains_on_as_the_original(copied, solver):
    X, y = scaled(load_iris)
    model = MLPClassifier(solver=solver, random_state=0, max_iter=5).fit(X, y)
    other = copied(model)
    for m in (model, other):
        m.partial_fit(X, y)
    for a, b in zip(model.coefs_, other.coefs_):
        np.testing.assert_array_equal(a, b)
    stream = io.BytesIO()
    joblib.dump(model, stream)
    stream.seek(0)
    np.testing.assert_array_equal(joblib.load(stream).predict_proba(X), model.predict_proba(X))


def test_clone_keeps_every_parameter():
    model = MLPRegressor(l1=0.1, l2=0.2, n_threads=2, stopping_metric="loss", loss="poisson", hidden_layer_sizes=(3,))
    assert clone(model).get_params() == model.get_params()
    assert "l1=0.1" in repr(model)
    assert "MLPRegressor" in model._repr_html_()


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_searches_run_in_parallel(backend):
    X, y = scaled(load_iris)
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(max_iter=20, random_state=0))
    with joblib.parallel_backend(backend, n_jobs=2):
        search = GridSearchCV(
            pipeline, {"mlpclassifier__l2": [0, 1.0], "mlpclassifier__solver": ["adam", "lbfgs"]}, cv=2
        )
        search.fit(X, y)
        scores = cross_val_score(pipeline, X, y, cv=3)
    assert search.best_score_ > 0.7 and scores.mean() > 0.7


def threads_of_a_worker():
    import fastmlp

    return fastmlp.show_config("dicts")["threads"]


def test_workers_of_joblib_get_their_share_of_the_cores():
    if not _core.has_openmp() or "OMP_NUM_THREADS" in os.environ:
        pytest.skip("loky sets OMP_NUM_THREADS of its workers, if it is not set")
    counts = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(threads_of_a_worker)() for _ in range(2))
    assert counts == [max(1, joblib.cpu_count() // 2)] * 2


def test_metadata_is_routed():
    X, y = scaled(load_iris)
    weights = row_weights(150)
    with config_context(enable_metadata_routing=True):
        model = MLPClassifier(max_iter=5, random_state=0).set_fit_request(sample_weight=True, eval_set=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        pipeline.fit(X, y, sample_weight=weights, eval_set=(X, y))
    expected = MLPClassifier(max_iter=5, random_state=0).fit(scale(X), y, weights)
    np.testing.assert_allclose(pipeline[-1].coefs_[0], expected.coefs_[0], rtol=1e-9)
    assert len(pipeline[-1].validation_scores_) == 5


def test_a_pipeline_transforms_eval_X_as_it_transforms_X():
    X, y = load_iris(return_X_y=True)
    fit_on, held_out = slice(0, None, 2), slice(1, None, 2)
    scaler = StandardScaler().fit(X[fit_on])
    expected = MLPClassifier(max_iter=5, early_stopping=True, random_state=0)
    expected.fit(scaler.transform(X[fit_on]), y[fit_on], eval_set=(scaler.transform(X[held_out]), y[held_out]))
    with config_context(enable_metadata_routing=True):
        model = MLPClassifier(max_iter=5, early_stopping=True, random_state=0).set_fit_request(eval_X=True, eval_y=True)
        pipeline = Pipeline([("scale", StandardScaler()), ("net", model)], transform_input=["eval_X"])
        pipeline.fit(X[fit_on], y[fit_on], eval_X=X[held_out], eval_y=y[held_out])
    assert pipeline[-1].validation_scores_ == expected.validation_scores_
    np.testing.assert_allclose(pipeline[-1].coefs_[0], expected.coefs_[0], rtol=1e-12)
    without = make_pipeline(StandardScaler(), MLPClassifier(max_iter=5, early_stopping=True, random_state=0))
    without.fit(
        X[fit_on], y[fit_on], mlpclassifier__eval_X=scaler.transform(X[held_out]), mlpclassifier__eval_y=y[held_out]
    )
    assert without[-1].validation_scores_ == expected.validation_scores_


@pytest.mark.filterwarnings("ignore:half of the columns of eval_set")
@pytest.mark.parametrize("n_ensemble", [1, 2])
def test_an_eval_set_that_a_pipeline_has_not_transformed(n_ensemble):
    pandas = pytest.importorskip("pandas")
    X, y = load_iris(return_X_y=True, as_frame=True)
    net = MLPClassifier(max_iter=2, random_state=0, n_ensemble=n_ensemble)
    with pytest.warns(UserWarning, match="A Pipeline does not transform eval_set: pass eval_X and eval_y") as caught:
        make_pipeline(StandardScaler(), net).fit(X, y, mlpclassifier__eval_set=(X, y))
    assert not any("X has feature names" in str(each.message) for each in caught)
    unnamed = pandas.DataFrame(X.to_numpy())
    net.fit(X.to_numpy(), y, eval_set=(unnamed, y))
    with pytest.raises(ValueError, match="features") as error:
        net.fit(X.to_numpy(), y, eval_set=(unnamed[[0, 1]], y))
    assert "which a Pipeline does not transform" in str([*getattr(error.value, "__notes__", []), error.value])


@pytest.mark.parametrize("n_ensemble", [1, 2])
def test_an_eval_set_without_names_that_a_pipeline_has_not_transformed(n_ensemble):
    X, y = load_iris(return_X_y=True)
    X = X + 40
    net = MLPClassifier(max_iter=2, random_state=0, n_ensemble=n_ensemble)
    pipeline = make_pipeline(StandardScaler(), net)
    with pytest.warns(
        UserWarning, match="half of the columns of eval_set, or more, have .* pass eval_X and eval_y to it$"
    ):
        pipeline.fit(X, y, mlpclassifier__eval_set=(X, y))
    pipeline.fit(X, y, mlpclassifier__eval_set=(pipeline[0].transform(X), y))


def test_validation_data_in_other_libraries_shapes():
    X, y = scaled(load_iris)
    expected = MLPClassifier(max_iter=3, random_state=0).fit(X, y, eval_set=(X, y)).validation_scores_
    for arguments in (
        dict(eval_set=[X, y]),
        dict(eval_set=[(X, y)]),
        dict(eval_set=([X, y],)),
        dict(eval_X=X, eval_y=y),
    ):
        assert MLPClassifier(max_iter=3, random_state=0).fit(X, y, **arguments).validation_scores_ == expected
    for arguments, message in [
        (dict(eval_set=[(X, y), (X, y)]), "eval_set must be a pair .* got 2 of them"),
        (dict(eval_set=(X, y, np.ones(150))), "eval_set must be a pair .* a tuple of 3"),
        (dict(eval_set=X), "eval_set must be a pair .* ndarray"),
        (dict(eval_set=(X, None)), "eval_set must hold y, got None"),
        (dict(eval_set={"X": X, "y": y}), "eval_set must be a pair .* dict"),
        (dict(eval_X=X), "eval_X and eval_y belong together, got eval_X alone"),
        (dict(eval_y=y), "eval_X and eval_y belong together, got eval_y alone"),
        (dict(eval_set=(X, y), eval_X=X, eval_y=y), "eval_set or eval_X"),
    ]:
        with pytest.raises(TypeError, match=message):
            MLPClassifier(max_iter=3).fit(X, y, **arguments)


def test_data_frames_bring_their_names():
    pandas = pytest.importorskip("pandas")
    X, y = load_iris(return_X_y=True, as_frame=True)
    model = MLPClassifier(max_iter=5, random_state=0).fit(X, y, eval_set=(X, y))
    assert list(model.feature_names_in_) == list(X.columns)
    np.testing.assert_array_equal(
        model.predict(X), MLPClassifier(max_iter=5, random_state=0).fit(X.to_numpy(), y).predict(X.to_numpy())
    )
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[X.columns[::-1]])
    with config_context(transform_output="pandas"):
        assert isinstance(make_pipeline(StandardScaler(), model).fit(X, y).predict(X), np.ndarray)
    assert isinstance(X, pandas.DataFrame)


def test_skl2onnx_converts_them():
    """As in its documentation for a class that it does not know, with its own converters."""
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )
    from skl2onnx.operator_converters.multilayer_perceptron import (
        convert_sklearn_mlp_classifier,
        convert_sklearn_mlp_regressor,
    )

    skl2onnx.update_registered_converter(
        MLPClassifier,
        "FastmlpMLPClassifier",
        calculate_linear_classifier_output_shapes,
        convert_sklearn_mlp_classifier,
        options={"zipmap": [True, False, "columns"], "output_class_labels": [False, True], "nocl": [True, False]},
    )
    skl2onnx.update_registered_converter(
        MLPRegressor, "FastmlpMLPRegressor", calculate_linear_regressor_output_shapes, convert_sklearn_mlp_regressor
    )
    X, y = scaled(load_iris)
    X, names = X.astype(np.float32), np.array(["setosa", "versicolor", "virginica"])[y]
    problems = [(MLPClassifier(), labels) for labels in (y, y > 0, names, np.where(y > 0, "other", "setosa"))]
    for model, labels in [*problems, (MLPRegressor(), y + X[:, 0])]:
        model.set_params(max_iter=5, random_state=0).fit(X, labels)
        options = {"zipmap": False} if is_classifier(model) else None
        exported = skl2onnx.to_onnx(model, X[:1], options=options)
        session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
        outputs = session.run(None, {session.get_inputs()[0].name: X})
        if is_classifier(model):
            np.testing.assert_array_equal(outputs[0], model.predict(X))  # the labels themselves, text as text
            np.testing.assert_allclose(outputs[1], model.predict_proba(X), atol=1e-5)
        else:
            np.testing.assert_allclose(outputs[0], model.predict(X)[:, None], atol=1e-5)


def test_the_guides_converter_for_skl2onnx_folds_the_standardization():
    """Its block is run here, so that the guide cannot differ from what is tested."""
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from skl2onnx.common.shape_calculator import calculate_linear_regressor_output_shapes
    from skl2onnx.operator_converters.multilayer_perceptron import convert_sklearn_mlp_regressor

    guide = (ROOT / "docs/guides/exports.md").read_text()
    (block,) = (part for part in re.findall(r"```python\n(.*?)```", guide, re.S) if "def with_means" in part)
    names: dict = {}
    exec(block, names)  # registers MLPClassifier
    skl2onnx.update_registered_converter(
        MLPRegressor,
        "FastmlpMLPRegressor",
        calculate_linear_regressor_output_shapes,
        names["with_means"](convert_sklearn_mlp_regressor),
    )
    X, y = load_iris(return_X_y=True)
    X = (1000 * X).astype(np.float32)
    settings = dict(standardize=True, max_iter=20, random_state=0)
    for model, labels in [(MLPClassifier(**settings), y), (MLPRegressor(**settings), 1e5 * y)]:
        model.fit(X, labels)
        options = {"zipmap": False} if is_classifier(model) else None
        exported = skl2onnx.to_onnx(model, X[:1], options=options)
        session = onnxruntime.InferenceSession(exported.SerializeToString(), providers=["CPUExecutionProvider"])
        outputs = session.run(None, {session.get_inputs()[0].name: X})
        expected = model.predict_proba(X) if is_classifier(model) else model.predict(X)[:, None]
        np.testing.assert_allclose(outputs[-1], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
        assert model.standardization_ is not None  # the model itself is unchanged
    quantiles = MLPRegressor("quantile", loss_settings={"level": (0.1, 0.5, 0.9)}, **settings).fit(X, y)
    for model in (quantiles, MLPRegressor(n_ensemble=2, **settings).fit(X, y)):
        with pytest.raises(ValueError, match="one network and one target"):
            skl2onnx.to_onnx(model, X[:1])
