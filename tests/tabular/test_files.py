"""Files and ONNX models of the tabular estimators."""

import json

import fastmlp
import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="needs scikit-learn")
pandas = pytest.importorskip("pandas", reason="needs pandas")

from fastmlp import ModelFileError, tabular  # noqa: E402
from fastmlp.tabular import RealMLPClassifier, RealMLPRegressor, TabMClassifier, TabMRegressor  # noqa: E402
from fastmlp.tabular.network import TabularNetwork, parameter_shapes  # noqa: E402
from tabular_architectures import ARCHITECTURES  # noqa: E402

REALMLP = {"hidden_sizes": (12, 9), "n_epochs": 5, "random_state": 0}
TABM = {"k": 3, "d_block": 10, "n_epochs": 5, "random_state": 0}

MODELS = {
    "TD": (RealMLPClassifier(calibrate=True, categorical_features=["city", "plan", "active", "floor"], **REALMLP), "y"),
    "TD-S, two networks": (RealMLPClassifier(variant="TD-S", n_ensemble=2, **REALMLP), "number"),
    "regression": (RealMLPRegressor(act="gelu", lr_sched=fastmlp.schedules.cosine(0.1), **REALMLP), "x"),
    "two targets": (RealMLPRegressor(variant="TD-S", add_front_scale=False, **REALMLP), "both"),
    "TabM": (TabMClassifier(**TABM), "y"),
    "TabM-mini": (TabMRegressor(arch_type="tabm-mini", num_embeddings="none", clamp_output=True, **TABM), "x"),
    "quantiles": (TabMRegressor(objective="quantile", quantiles=(0.2, 0.7), **TABM), "x"),
}


def people(rows=120, seed=0):
    """Rows with all kinds of columns, and targets."""
    rng = np.random.default_rng(seed)
    frame = pandas.DataFrame(
        {
            "age": rng.integers(18, 90, rows).astype(float),
            "city": rng.choice(list("abcdefghijkl"), rows),
            "plan": pandas.Categorical(rng.choice(["free", "paid", "team"], rows)),
            "active": rng.random(rows) < 0.5,
            "floor": rng.integers(0, 3, rows),
            "same": np.ones(rows),
            "income": rng.lognormal(10, 1, rows),
            "rooms": rng.integers(1, 4, rows),
        }
    )
    x = frame["age"] + 20 * frame["active"] + frame["rooms"]
    frame.loc[rng.random(rows) < 0.2, "age"] = np.nan
    frame.loc[rng.random(rows) < 0.2, "city"] = None
    targets = {"y": np.where(x > 60, "old", "young"), "number": (x > 60).astype(int) + (x > 80), "x": x.to_numpy()}
    return frame, targets | {"both": np.stack([x, frame["income"]], axis=1)}


def fitted(name):
    estimator, target = MODELS[name]
    frame, targets = people()
    return estimator.fit(frame, targets[target])


def strange_rows():
    """Unknown categories, missing values where there were none, and numbers beyond those of the training."""
    frame, _ = people(40, seed=1)
    frame.loc[:4, "city"] = "nowhere"
    frame.loc[3:8, "income"] = np.nan
    frame.loc[9, "income"] = 1e9
    frame.loc[10, "income"] = -5.0
    return frame


def predictions(model, frame):
    return model.predict_proba(frame) if hasattr(model, "classes_") else model.predict(frame)


@pytest.mark.parametrize("name", MODELS)
def test_files_give_the_same_bits(name, tmp_path):
    pytest.importorskip("safetensors", reason="needs safetensors")
    model, rows = fitted(name), strange_rows()
    model.save(tmp_path / "model.safetensors")
    loaded = tabular.load(tmp_path / "model.safetensors")
    assert type(loaded) is type(model)
    assert np.array_equal(predictions(loaded, rows), predictions(model, rows))
    assert np.array_equal(loaded.predict(rows), model.predict(rows))
    assert loaded.feature_names_in_.tolist() == model.feature_names_in_.tolist()
    assert loaded.get_params() == {
        key: tuple(value) if isinstance(value, list) else value for key, value in model.get_params().items()
    }
    loaded.save(tmp_path / "again.safetensors")
    assert np.array_equal(predictions(tabular.load(tmp_path / "again.safetensors"), rows), predictions(model, rows))
    with pytest.raises(ModelFileError, match="fastmlp.tabular.load reads it"):
        fastmlp.load(tmp_path / "model.safetensors")


def test_functions_in_settings_are_not_written(tmp_path):
    pytest.importorskip("safetensors", reason="needs safetensors")
    frame, targets = people()
    model = RealMLPRegressor(
        validation_metric=lambda y, p: float(np.mean((y - p) ** 2)), lr_sched=lambda t: 1 - t, **REALMLP
    ).fit(frame, targets["x"])
    model.save(tmp_path / "model")
    loaded = tabular.load(tmp_path / "model")
    assert loaded.validation_metric is None and loaded.lr_sched == "coslog4"
    assert np.array_equal(loaded.predict(frame), model.predict(frame))


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"hidden_sizes": (np.int64(8), 4)}, (8, 4)),
        ({"hidden_sizes": range(4, 7)}, (4, 5, 6)),
        ({"categorical_features": range(7, 8)}, (7,)),
        ({"categorical_features": pandas.Index(["rooms"])}, ("rooms",)),
        ({"categorical_features": [np.int64(7)]}, (7,)),
        ({"class_weight": {"old": np.float32(2), "young": 1}}, {"old": 2.0, "young": 1}),
    ],
)
def test_settings_of_all_sequences_are_written(settings, expected, tmp_path):
    pytest.importorskip("safetensors", reason="needs safetensors")
    frame, targets = people()
    RealMLPClassifier(**REALMLP | settings).fit(frame, targets["y"]).save(tmp_path / "model")
    (name,) = settings
    assert tabular.load(tmp_path / "model").get_params()[name] == expected


def test_names_of_columns_that_are_tuples_are_written(tmp_path):
    pytest.importorskip("safetensors", reason="needs safetensors")
    frame, targets = people()
    frame.columns = pandas.MultiIndex.from_tuples([("person", name) for name in frame.columns])
    chosen = (("person", "rooms"),)
    model = RealMLPClassifier(**REALMLP, categorical_features=chosen).fit(frame, targets["y"])
    model.save(tmp_path / "model")
    loaded = tabular.load(tmp_path / "model")
    assert loaded.categorical_features == chosen
    assert np.array_equal(loaded.fit(frame, targets["y"]).predict(frame), model.predict(frame))


def test_a_class_of_your_own_is_not_written(tmp_path):
    """`load` could not make it."""

    class Mine(RealMLPClassifier):
        pass

    frame, targets = people()
    with pytest.raises(TypeError, match="^save needs an estimator of fastmlp.tabular, .*, got Mine: pickle it$"):
        Mine(**REALMLP).fit(frame, targets["y"]).save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("labels", [[2, 10], [False, True], [0.5, 1.5], ["no", "yes"]])
def test_labels_and_class_weights_of_all_kinds(labels, tmp_path):
    pytest.importorskip("safetensors", reason="needs safetensors")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    X = np.random.default_rng(0).normal(size=(90, 1))
    y = np.array(labels)[(X[:, 0] > 0).astype(int)]
    weights = {key: 2.0 for key in np.unique(y)}
    if isinstance(labels[0], float):  # scikit-learn takes numbers of classification to be integers
        y, weights = y * 2, {key * 2: 2.0 for key in weights}
    model = RealMLPClassifier(class_weight=weights, **REALMLP).fit(X, y)
    model.save(tmp_path / "model")
    loaded = tabular.load(tmp_path / "model")
    assert loaded.class_weight == weights
    assert np.array_equal(loaded.predict(X), model.predict(X)) and loaded.predict(X).dtype == y.dtype
    assert np.array_equal(loaded.fit(X, y).predict(X), model.predict(X))
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    assert (session.run(None, {"column_0": X})[0] == model.predict(X)).all()


@pytest.mark.parametrize("name", ["label", "probabilities", "", "fastmlp.constant.0"])
def test_onnx_models_need_names_of_their_own(name):
    pytest.importorskip("onnx", reason="needs onnx")
    frame = pandas.DataFrame({name: np.arange(30.0), "x": np.arange(30.0) % 7})
    model = RealMLPClassifier(**REALMLP).fit(frame, np.arange(30) % 2)
    with pytest.raises(ValueError, match="named like the columns"):
        model.to_onnx()


def test_onnx_models_cannot_tell_integers_beyond_float64():
    pytest.importorskip("onnx", reason="needs onnx")
    ids = np.repeat([2**53, 2**53 + 1], 20)
    model = RealMLPClassifier(categorical_features=[0], **REALMLP).fit(ids[:, None], ids % 2)
    assert model.preparation_.categories_ == [[2**53, 2**53 + 1]]
    with pytest.raises(ValueError, match=r"categories \[9007199254740993\] of 'column_0'"):
        model.to_onnx()


def test_classes_of_dates_are_not_stored(tmp_path):
    pytest.importorskip("onnx", reason="needs onnx")
    pytest.importorskip("safetensors", reason="needs safetensors")
    y = np.repeat(np.array(["2020-01-01", "2021-01-01"], "datetime64[D]"), 20)
    model = RealMLPClassifier(**REALMLP).fit(np.arange(40.0)[:, None], y)
    for store in (model.to_onnx, lambda: model.save(tmp_path / "model")):
        with pytest.raises(ValueError, match="classes of numbers, text and bool only"):
            store()


def test_other_readers_name_the_one_of_these_files(tmp_path):
    pytest.importorskip("safetensors", reason="needs safetensors")
    path = tmp_path / "model.safetensors"
    fitted("TabM").save(path)
    for read in (fastmlp.load, fastmlp.Network.load, fastmlp.Ensemble.load, fastmlp.Trainer.resume):
        with pytest.raises(ModelFileError, match="holds a tabular estimator.*fastmlp.tabular.load reads it"):
            read(path)


def test_damaged_files_are_rejected(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy", reason="needs safetensors")
    path = tmp_path / "model"
    fitted("TD").save(path)
    with safetensors.safe_open(path, "numpy") as file:
        metadata, arrays = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    described = json.loads(metadata["tabular"])

    def changed(**parts):
        return {**metadata, "tabular": json.dumps(described | parts)}

    more_cities = [known and known + ["z"] * (known[0] == "a") for known in described["preparation"]["categories"]]
    wide = described["architecture"] | {"hidden": [2**30, 9]}
    damaged = [
        ({**metadata, "tabular": "{"}, arrays),
        (changed(**{"class": "Network"}), arrays),
        (changed(settings={"layers": 3}), arrays),
        (changed(architecture=wide), arrays),
        (changed(networks=2), arrays),
        (changed(fitted={"classes": ["a"], "dtype": "<U5"}), arrays),
        (metadata, {key: value for key, value in arrays.items() if key != "preparation.medians"}),
        (metadata, {key: value for key, value in arrays.items() if not key.endswith("phases")}),
        (metadata, arrays | {"preparation.medians": np.zeros(1)}),
        (metadata, arrays | {"preparation.factors": np.full_like(arrays["preparation.factors"], np.nan)}),
        (metadata, arrays | {"preparation.one_hot_medians": np.zeros(1)}),
        (changed(preparation=described["preparation"] | {"has_indicator": [False]}), arrays),
        (changed(preparation=described["preparation"] | {"categories": more_cities}), arrays),
        (metadata, arrays | {"networks.0.hidden.0.biases": np.full(12, np.nan, np.float32)}),
        (metadata, arrays | {"networks.0.hidden.0.biases": np.zeros(12)}),
    ]
    for its_metadata, its_arrays in damaged:
        safetensors.save_file(its_arrays, path, its_metadata)
        with pytest.raises(ModelFileError, match="is damaged"):
            tabular.load(path)
    fastmlp.Network((2, 3)).save(path)
    with pytest.raises(ModelFileError, match="fastmlp.load reads it"):
        tabular.load(path)


@pytest.mark.parametrize("std", [np.array([np.nan]), np.ones(2)], ids=["nan", "two"])
def test_damaged_targets_are_rejected(std, tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy", reason="needs safetensors")
    path = tmp_path / "model"
    fitted("regression").save(path)
    with safetensors.safe_open(path, "numpy") as file:
        metadata, arrays = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}
    safetensors.save_file(arrays | {"fitted.std": std}, path, metadata)
    with pytest.raises(ModelFileError, match="is damaged"):
        tabular.load(path)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_shapes_of_parameters_follow_from_the_architecture(name):
    network = TabularNetwork(ARCHITECTURES[name])
    assert {key: value.shape for key, value in network.parameters.items()} == parameter_shapes(ARCHITECTURES[name])


def onnx_inputs(model, frame):
    inputs = {}
    for name, known in zip(frame.columns, model.preparation_.categories_):
        missing = frame[name].isna()
        if known is not None and isinstance(known[0], str):
            values = np.where(missing, "", frame[name].astype(object))
            inputs[name] = values.astype(object)[:, None]
        else:
            inputs[name] = np.where(missing, np.nan, frame[name]).astype(np.float64)[:, None]
    return inputs


@pytest.mark.parametrize("name", MODELS)
def test_onnx_models_read_the_table(name):
    pytest.importorskip("onnx", reason="needs onnx")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    model, rows = fitted(name), strange_rows()
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    assert [each.name for each in session.get_inputs()] == list(rows.columns)
    found = session.run(None, onnx_inputs(model, rows))
    expected = predictions(model, rows)
    if hasattr(model, "classes_"):
        np.testing.assert_allclose(found[1], expected, atol=2e-6)
        assert (found[0] == model.predict(rows)).all()
    else:
        np.testing.assert_allclose(found[0].reshape(expected.shape), expected, rtol=2e-5)


def test_onnx_models_of_arrays_have_numbered_inputs():
    pytest.importorskip("onnx", reason="needs onnx")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 2))
    model = RealMLPRegressor(objective="quantile", quantiles=(0.2, 0.7), **REALMLP).fit(X, X * [1, 100])
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    found = session.run(None, {"column_0": X[:, :1], "column_1": X[:, 1:]})
    np.testing.assert_allclose(found[0], model.predict(X), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    "model",
    [
        RealMLPRegressor(n_ensemble=3, **REALMLP),
        TabMRegressor(n_ensemble=3, clamp_output=True, **TABM),
        TabMRegressor(n_ensemble=3, clamp_output=True, objective="quantile", quantiles=(0.1, 0.9), **TABM),
    ],
    ids=["RealMLP", "TabM", "quantiles"],
)
def test_onnx_models_of_an_ensemble_clamp_each_network(model):
    pytest.importorskip("onnx", reason="needs onnx")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    model.fit(X, X[:, 0] + rng.normal(size=200) / 10)
    far = 5 * rng.normal(size=(100, 2))
    model.target_range_ = np.quantile(model.predict(far), [[0.4], [0.6]])  # as if the targets had been so close
    table = model.preparation_.transform(far)
    of_networks = np.stack([network.forward(table, 1) for network in model.networks_])
    of_networks = of_networks * model.target_std_ + model.target_mean_
    beyond = (of_networks < model.target_range_[0]) | (of_networks > model.target_range_[1])
    assert (beyond.any(axis=0) & ~beyond.all(axis=0)).sum() > 5  # where the mean of clamped outputs is another
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    found = session.run(None, {"column_0": far[:, :1], "column_1": far[:, 1:]})[0]
    np.testing.assert_allclose(found, model.predict(far).reshape(found.shape), atol=1e-5)
