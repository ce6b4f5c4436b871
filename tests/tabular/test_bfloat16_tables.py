"""Networks for tables trained with products in bfloat16: gradients of NumPy, equal bits, and estimators."""

import numpy as np
import pytest
from fastmlp import _core
from fastmlp.tabular import RealMLPClassifier, RealMLPRegressor, TabMClassifier, TabMRegressor
from fastmlp.tabular.network import Architecture, TabularNetwork
from fastmlp.tabular.preparation import PreparedTable
from fastmlp.tabular.training import TrainingSettings, new_trainer, train
from reference_bfloat16 import rounded
from tabular_architectures import ARCHITECTURES
from teams import TEAMS, team_of

SQUARED = {"activation": "relu", "loss": "squared_error", "outputs": 2}
KINDS = {
    "no factors": Architecture(5, 0, (9, 20, 6), **SQUARED),
    "one layer": Architecture(3, 0, (7,), **SQUARED),
    "RealMLP": Architecture(5, 0, (9, 20, 6), scales_inputs=True, **SQUARED),
    "TabM": Architecture(4, 2, (9, 33, 6), members=4, scales_layers=True, **SQUARED),
    "TabM-mini": Architecture(4, 2, (20, 9), members=4, scales_inputs=True, **SQUARED),
}


def exact_problem(a, rows):
    """Of numbers with few digits, so that sums of float32 are exact but for those of many layers."""
    rng = np.random.default_rng(rows)

    def few_digits(shape, largest=32):
        return rng.integers(-largest, largest + 1, shape).astype(np.float32) / 32

    network = TabularNetwork(a, "float32")
    network.parameters = {
        key: few_digits(value.shape, 300) / 4 if key.endswith("weights") else few_digits(value.shape)
        for key, value in network.parameters.items()
    }
    codes = np.zeros((rows, 0), np.int32)
    table = PreparedTable(few_digits((rows, a.numbers), 1000), few_digits((rows, a.columns)), codes)
    return network, table, few_digits((rows, a.outputs))


def gradients_of(parameters, a, x, y, rounds):
    """Of the mean over rows and members of half the squared error; `rounds` rounds what hidden layers multiply."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    p = {key: value.astype(np.float64) for key, value in parameters.items()}
    found = {key: np.zeros_like(value) for key, value in p.items()}

    def factor(name, k):
        return p[name][k] if name in p else 1.0

    for k in range(a.members):
        h, kept = x, []
        for i in range(len(a.hidden)):
            name = f"hidden.{i}."
            scaled = h * factor(name + "input_factors", k)
            product = rounds(scaled) @ rounds(p[name + "weights"])
            biases = p[name + "member_biases"][k] if a.scales_layers else p[name + "biases"]
            z = product * factor(name + "output_factors", k) + biases
            kept.append((h, scaled, product, z > 0))
            h = np.maximum(z, 0)
        head = f"heads.{k}."
        delta = (h @ p[head + "weights"] + p[head + "biases"] - y) / (len(x) * a.members)
        found[head + "weights"], found[head + "biases"] = h.T @ delta, delta.sum(axis=0)
        g = delta @ p[head + "weights"].T
        for i in reversed(range(len(a.hidden))):
            name, (h, scaled, product, is_positive) = f"hidden.{i}.", kept[i]
            g = g * is_positive
            if a.scales_layers:
                found[name + "member_biases"][k] = g.sum(axis=0)
                found[name + "output_factors"][k] = (g * product).sum(axis=0)
            else:
                found[name + "biases"] += g.sum(axis=0)
            g = g * factor(name + "output_factors", k)
            found[name + "weights"] += rounds(scaled).T @ rounds(g)
            g = rounds(g) @ rounds(p[name + "weights"]).T
            if name + "input_factors" in p:
                found[name + "input_factors"][k] = (g * h).sum(axis=0)
            g = g * factor(name + "input_factors", k)
    return found


def difference(found, expected):
    """The largest, of each array over its largest number."""
    return {key: abs(found[key] - value).max() / abs(value).max() for key, value in expected.items()}


@pytest.mark.parametrize("rows", [1, 2, 29, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_rounded_factors(arithmetic, precision, isa, kind, rows):
    a = KINDS[kind]
    network, table, y = exact_problem(a, rows)
    x = np.concatenate([table.numbers, table.one_hot], axis=1)
    trainer = new_trainer(network, TrainingSettings(1, rows, 0.1, 0, precision=precision))
    labelled, plan = network.table(table, y), _core.EpochPlan(rows, rows)
    expected = gradients_of(network.parameters, a, x, y, lambda values: rounded(values).astype(np.float64))
    for workers in (1, *TEAMS):
        with team_of(workers):
            found = trainer.gradients(labelled, plan, _core.UpdateSettings(0.1), workers)
        assert max(difference(found, expected).values()) < 1e-5
    exact = gradients_of(network.parameters, a, x, y, lambda values: values)
    assert max(difference(expected, exact).values()) > 1e-3


@pytest.mark.parametrize("settings", [{"dropout": 0.2}, {"max_gradient_norm": 0.1}], ids=["dropout", "clipping"])
@pytest.mark.parametrize("name", ["RealMLP-TD", "TabM", "TabM with bins", "all at once"])
def test_training_has_equal_bits_on_every_team_and_instruction_set(precision, name, settings):
    a, found = ARCHITECTURES[name], []
    for emulates in (False, True):
        _core.testing.emulate_bfloat16(emulates)
        for workers in (1, *TEAMS) if not emulates else (1,):
            rng = np.random.default_rng(0)
            network = TabularNetwork(a, "float32")
            network.parameters = {key: rng.normal(size=v.shape) * 0.4 for key, v in network.parameters.items()}
            codes = [rng.integers(0, cardinality, 301) for cardinality, _ in a.categories]
            table = PreparedTable(
                rng.normal(size=(301, a.numbers)),
                rng.normal(size=(301, a.columns)),
                np.stack(codes, axis=1).astype(np.int32) if codes else np.zeros((301, 0), np.int32),
            )
            y = rng.integers(0, a.outputs, 301) if a.loss == "cross_entropy" else rng.normal(size=(301, a.outputs))
            how = TrainingSettings(2, 64, 0.03, 5, precision=precision, **settings)
            with team_of(workers):
                train(network, network.table(table, y), how, None, "", lambda: workers)  # noqa: B023
            found.append(network.parameters)
    _core.testing.emulate_bfloat16(False)
    for other in found[1:]:
        for key, value in found[0].items():
            assert np.array_equal(other[key], value), key


SMALL = {"n_epochs": 20, "random_state": 0, "val_fraction": 0.2}
ESTIMATORS = {
    "RealMLP": (RealMLPClassifier, RealMLPRegressor, {"hidden_sizes": (32, 32)}),
    "TabM": (TabMClassifier, TabMRegressor, {"k": 4, "d_block": 32}),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_learn_in_bfloat16(precision, name):
    classifier, regressor, sizes = ESTIMATORS[name]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    y = X[:, 0] * X[:, 1]
    for estimator, target in ((classifier, y > 0), (regressor, y)):
        exact = estimator(**SMALL, **sizes).fit(X, target)
        model = estimator(**SMALL, **sizes, precision=precision).fit(X, target)
        assert (model.predict(X) != exact.predict(X)).any() or model.history_.loss != exact.history_.loss
        assert model.score(X, target) > exact.score(X, target) - 0.1


@pytest.mark.parametrize("name", ESTIMATORS)
def test_another_precision_is_rejected(name):
    for estimator in ESTIMATORS[name][:2]:
        with pytest.raises(ValueError, match="precision must be one of 'bfloat16', 'bfloat16_amx', got 'half'"):
            estimator(precision="half").fit(np.zeros((20, 2)), np.arange(20) % 2)


def test_networks_of_float64_reject_it(precision):
    network = TabularNetwork(KINDS["RealMLP"], "float64")
    with pytest.raises(ValueError, match="bfloat16 is for float32 networks"):
        new_trainer(network, TrainingSettings(1, 8, 0.1, 0, precision=precision))
