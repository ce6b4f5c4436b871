"""The core's networks for tables against NumPy: predictions, gradients, updates, and equal bits on all teams."""

import contextlib
import threading
from dataclasses import replace

import numpy as np
import pytest
import reference_tabular as reference
from tabular_architectures import ARCHITECTURES
from teams import TEAMS, team_of

from fastmlp import _core, schedules
from fastmlp.tabular.network import TabularNetwork
from fastmlp.tabular.preparation import PreparedTable
from fastmlp.tabular.training import Factors, TrainingSettings, new_trainer, train


def problem(name, rows=23, seed=0, dtype="float64"):
    """A network with random parameters, its rows, and labels or targets."""
    a, rng = ARCHITECTURES[name], np.random.default_rng(seed)
    network = TabularNetwork(a, dtype)
    network.parameters = {
        key: rng.normal(size=value.shape) * (0.4 if key.endswith("weights") else 1)
        for key, value in network.parameters.items()
    }
    codes = [rng.integers(0, cardinality, rows) for cardinality, _ in a.categories]
    table = PreparedTable(
        rng.normal(size=(rows, a.numbers)),
        rng.normal(size=(rows, a.columns)),
        np.stack(codes, axis=1).astype(np.int32) if codes else np.zeros((rows, 0), np.int32),
    )
    y = rng.integers(0, a.outputs, rows) if a.loss == "cross_entropy" else rng.normal(size=(rows, a.outputs))
    return network, table, y


def parts(table, rows=slice(None)):
    return table.numbers[rows], table.one_hot[rows], table.codes[rows]


@pytest.mark.parametrize("rows", [1, 2, 129, 300])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_predictions_are_those_of_numpy(name, rows):
    network, table, _ = problem(name, rows)
    expected = reference.predictions(network.parameters, network.architecture, parts(table))
    np.testing.assert_allclose(network.forward(table, 1), expected, rtol=1e-11, atol=1e-12)
    with team_of(1):
        one = network.forward(table, 1)
    with team_of(min(rows, 2)):
        assert np.array_equal(network.forward(table, 2), one)


def test_predictions_may_be_wider_than_all_layers():
    architecture = replace(ARCHITECTURES["plain"], outputs=70)
    network, rng = TabularNetwork(architecture, "float64"), np.random.default_rng(0)
    network.parameters = {key: rng.normal(size=value.shape) for key, value in network.parameters.items()}
    table = PreparedTable(rng.normal(size=(9, 3)), np.zeros((9, 0)), np.zeros((9, 0), np.int32))
    expected = reference.predictions(network.parameters, architecture, parts(table))
    np.testing.assert_allclose(network.forward(table, 1), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("rows, weighted", [(23, False), (23, True), (75, False)])  # the latter in three blocks
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_are_those_of_numpy_on_every_team(name, rows, weighted):
    network, table, y = problem(name, rows)
    weights = np.random.default_rng(1).uniform(0, 2, len(y)) if weighted else None
    expected = reference.gradients(network.parameters, network.architecture, parts(table), y, weights)
    labelled, plan = network.table(table, y, weights), _core.EpochPlan(len(y), len(y))
    settings = TrainingSettings(1, len(y), 0.1, 0)
    found = {}
    for workers in (1, *TEAMS):
        with team_of(workers):
            found[workers] = new_trainer(network, settings).gradients(
                labelled, plan, _core.UpdateSettings(0.1), workers
            )
    assert found[1].keys() == expected.keys() == network.parameters.keys()
    for key, gradient in expected.items():
        np.testing.assert_allclose(found[1][key], gradient, rtol=1e-9, atol=1e-12, err_msg=key)
        for workers in TEAMS:
            assert np.array_equal(found[workers][key], found[1][key]), (key, workers)


def random_factors(network, seed=3):
    rng = np.random.default_rng(seed)
    return {key: Factors(*rng.uniform(0.3, 2, 3)) for key in network.parameters}


SETTINGS = {
    "plain": {},
    "schedules and decay": {
        "weight_decay": 0.1,
        "learning_rate_schedule": schedules.coslog4(),
        "weight_decay_schedule": schedules.flat_cos(),
    },
    "dropout": {"dropout": 0.3, "dropout_schedule": schedules.flat_cos()},
    "clipping": {"max_gradient_norm": 0.05, "weight_decay": 0.1},
    "other betas": {"beta_1": 0.5, "beta_2": 0.7, "epsilon": 0.01, "gradient_factor": 2.0},
}


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_updates_are_those_of_numpy(name, kind):
    network, table, y = problem(name)
    a, size, epochs = network.architecture, 10, 2
    settings = TrainingSettings(
        epochs, size, 0.03, seed=5, keeps_last_batch=True, factors=random_factors(network), **SETTINGS[kind]
    )
    expected, state, t = network.parameters, {}, 0
    rng, updates = np.random.default_rng(5), -(-len(y) // size)
    losses = []
    for epoch in range(epochs):
        order = rng.permutation(len(y))
        losses.append(0.0)
        for update in range(updates):
            chosen = order[update * size : (update + 1) * size]
            progress = (epoch + update / updates) / epochs
            factor = {
                part: schedule(progress) if (schedule := getattr(settings, f"{part}_schedule")) else 1.0
                for part in ("learning_rate", "weight_decay", "dropout")
            }
            masks = None
            if settings.dropout:
                rate = settings.dropout * factor["dropout"]
                masks = reference.dropout_masks(a, rate, 5, t, len(chosen))
            z = reference.outputs(expected, a, parts(table, chosen), masks)
            losses[-1] += reference.loss(z, y[chosen], a) * len(chosen) / len(y)
            g = reference.gradients(expected, a, parts(table, chosen), y[chosen], None, masks)
            g = {key: settings.gradient_factor * value for key, value in g.items()}
            if settings.max_gradient_norm:
                norm = np.sqrt(sum((value**2).sum() for value in g.values()))
                assert norm > settings.max_gradient_norm
                g = {key: value * settings.max_gradient_norm / norm for key, value in g.items()}
            t += 1
            of_update = reference.with_weight_decay(settings, factor["weight_decay"])
            reference.adam(expected, g, state, t, settings.learning_rate * factor["learning_rate"], of_update)
    outcome = train(network, network.table(table, y), settings, None, "", lambda: 1)
    np.testing.assert_allclose(outcome.history.loss, losses, rtol=1e-9)
    for key, value in expected.items():
        np.testing.assert_allclose(network.parameters[key], value, rtol=1e-7, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["dropout", "clipping"])
@pytest.mark.parametrize("name", ["RealMLP-TD", "TabM", "TabM-mini"])
def test_training_has_equal_bits_on_every_team(name, kind, dtype):
    found = {}
    for workers in (1, *TEAMS):
        network, table, y = problem(name, 301, dtype=dtype)
        settings = TrainingSettings(2, 150, 0.03, 5, factors=random_factors(network), **SETTINGS[kind])
        with team_of(workers):
            train(network, network.table(table, y), settings, None, "", lambda: workers)  # noqa: B023
        found[workers] = network.parameters
    for workers in TEAMS:
        for key, value in found[1].items():
            assert np.array_equal(found[workers][key], value), (key, workers)


@pytest.mark.parametrize("name", ["TabM-mini", "TabM with bins"])  # the latter with embeddings
def test_groups_of_members_add_up(name):
    """Members of batches of many rows pass in several groups, whose gradients add up."""
    network, table, y = problem(name, 700)
    labelled = network.table(table, y)
    trainer = new_trainer(network, TrainingSettings(1, 700, 0.1, 0))
    found = trainer.gradients(labelled, _core.EpochPlan(700, 700), _core.UpdateSettings(0.1), 1)
    whole = {key: 0.0 for key in found}
    for begin in range(0, 700, 100):  # in one group
        part = new_trainer(network, TrainingSettings(1, 100, 0.1, 0)).gradients(
            labelled, _core.EpochPlan(np.arange(begin, begin + 100), 100), _core.UpdateSettings(0.1), 1
        )
        whole = {key: value + part[key] / 7 for key, value in whole.items()}
    for key, value in whole.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-9, atol=1e-13, err_msg=key)


@pytest.mark.parametrize("name", ["RealMLP-TD", "TabM-mini"])
def test_a_trainer_finds_the_same_gradients_after_calls_of_other_sizes(name):
    """Its buffers are those of the largest batch, and of groups of members that depend on the size of the batches."""
    network, table, y = problem(name, 300)
    labelled, settings = network.table(table, y), TrainingSettings(1, 300, 0.1, 0)
    kept = new_trainer(network, settings)
    calls = [(40, 0, 1), (300, 0, 1), (12, 0, 1), (12, 0.4, 1), (12, 0.4, TEAMS[-1]), (250, 0.4, TEAMS[0]), (40, 0, 1)]
    for rows, dropout, workers in calls:
        update = _core.UpdateSettings(0.1, dropout=dropout, dropout_seed=7)
        call = labelled, _core.EpochPlan(rows, rows), update, workers
        with team_of(workers):
            found, expected = kept.gradients(*call), new_trainer(network, settings).gradients(*call)
        for key, value in expected.items():
            assert np.array_equal(found[key], value), (key, rows, dropout, workers)


def test_gradients_are_those_of_the_first_batch():
    network, table, y = problem("RealMLP-TD")
    labelled, trainer = network.table(table, y), new_trainer(network, TrainingSettings(1, 10, 0.1, 0))
    expected = trainer.gradients(labelled, _core.EpochPlan(10, 10), _core.UpdateSettings(0.1), 1)
    found = trainer.gradients(labelled, _core.EpochPlan(23, 10), _core.UpdateSettings(0.1), 1)
    assert all(np.array_equal(found[key], value) for key, value in expected.items())


def run_to_the_end(trainer, labelled, plan, seconds):
    """The positions at which calls ended."""
    settings, sums, positions = _core.UpdateSettings(0.1, dropout=0.4, dropout_seed=7), _core.LossSum(), [0]
    while positions[-1] < 23:
        positions.append(trainer.run(labelled, plan, settings, positions[-1], sums, 1, seconds))
    return positions[1:]


def test_an_epoch_goes_on_where_a_call_ended():
    """With the same updates: dropout depends on their number."""
    found = []
    for seconds in (1e9, 1e-9):
        network, table, y = problem("RealMLP-TD")
        trainer, plan = new_trainer(network, TrainingSettings(1, 1, 0.1, 0)), _core.EpochPlan(23, 1)
        ends = [run_to_the_end(trainer, network.table(table, y), plan, seconds) for _ in range(2)]
        assert all((len(end) == 1) == (seconds > 1) for end in ends) and trainer.updates == 46
        found.append(network.parameters)
    assert all(np.array_equal(found[1][key], value) for key, value in found[0].items())


def test_a_call_ends_at_a_loss_that_is_not_finite():
    network, table, y = problem("plain")
    y[7] = np.inf
    trainer, sums = new_trainer(network, TrainingSettings(1, 1, 0.1, 0)), _core.LossSum()
    args = network.table(table, y), _core.EpochPlan(23, 1), _core.UpdateSettings(0.1), 0, sums, 1, 1e9
    assert trainer.run(*args) == 8 and not np.isfinite(sums.loss)


@pytest.mark.parametrize("edges", [(0.0,), (), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0, 1.0 + 1e-12)])
def test_edges_of_bins_must_ascend(edges):
    """In the precision of the network."""
    architecture = replace(ARCHITECTURES["TabM with bins"], bin_edges=((0.0, 1.0), (0.0, 1.0), edges))
    with pytest.raises(ValueError, match="edges of bins must be at least two ascending numbers"):
        TabularNetwork(architecture, "float32")


def test_rows_that_fill_no_batch_are_left_out_of_an_epoch():
    network, table, y = problem("plain")
    order = np.random.default_rng(5).permutation(23)
    for keeps, used in ((False, order[:20]), (True, order)):
        settings = TrainingSettings(1, 10, 1e-30, seed=5, keeps_last_batch=keeps)
        z = reference.outputs(network.parameters, network.architecture, parts(table, used))
        expected = reference.loss(z, y[used], network.architecture)
        outcome = train(network, network.table(table, y), settings, None, "", lambda: 1)
        assert outcome.history.loss[0] == pytest.approx(expected, rel=1e-12)


def test_snapshots_hold_all_parameters():
    network, table, y = problem("RealMLP-TD")
    trainer = new_trainer(network, TrainingSettings(1, 23, 0.1, 0))
    before = network.parameters
    with pytest.raises(ValueError, match="no snapshot"):
        trainer.restore_snapshot()
    trainer.save_snapshot()
    trainer.run(network.table(table, y), _core.EpochPlan(23, 23), _core.UpdateSettings(0.1), 0, _core.LossSum(), 1, 9.0)
    changed = network.parameters
    assert all((changed[key] != before[key]).any() for key in before)
    trainer.restore_snapshot()
    assert all(np.array_equal(network.parameters[key], before[key]) for key in before)


def until_accepted(call):
    while True:
        with contextlib.suppress(RuntimeError):  # a call of the other thread was at work
            return call()


def test_a_trainer_at_work_rejects_calls_of_another_thread():
    """They would read or write what is being written."""
    network, table, y = problem("TabM-mini")
    labelled, trainer = network.table(table, y), new_trainer(network, TrainingSettings(1, 1, 0.1, 0))
    trainer.save_snapshot()
    name, one, settings = next(iter(network.parameters)), _core.EpochPlan(23, 23), _core.UpdateSettings(0.1)
    calls = [
        trainer.save_snapshot,
        trainer.restore_snapshot,
        lambda: trainer.set_factors(name),
        lambda: trainer.gradients(labelled, one, settings, 1),
        lambda: trainer.run(labelled, one, settings, 0, _core.LossSum(), 1, 1e9),
    ]
    long = labelled, _core.EpochPlan(np.zeros(10**6, np.int64), 1), settings, 0, _core.LossSum(), 1, 1.0
    thread = threading.Thread(target=until_accepted, args=(lambda: trainer.run(*long),))
    thread.start()
    with contextlib.suppress(RuntimeError):
        while thread.is_alive():
            trainer.save_snapshot()
    for call in calls:
        with pytest.raises(RuntimeError, match="another thread uses this trainer"):
            call()
    thread.join()
    for call in calls:
        call()


def test_the_last_best_epoch_is_kept():
    network, table, y = problem("plain")
    scores, seen = iter([3.0, 1.0, 2.0, 1.0, 5.0]), []

    def score():
        seen.append(network.parameters)
        return next(scores)

    outcome = train(network, network.table(table, y), TrainingSettings(5, 8, 0.1, 0), score, "rmse", lambda: 1)
    assert (outcome.best_epoch, outcome.best_score) == (4, 1.0)
    assert outcome.history["val_rmse"] == [3.0, 1.0, 2.0, 1.0, 5.0]
    assert all(np.array_equal(network.parameters[key], seen[3][key]) for key in seen[3])


def test_patience_and_the_number_of_epochs_end_a_training():
    network, table, y = problem("plain")
    settings = TrainingSettings(50, 8, 0.1, 0, patience=3, last_best=False)
    outcome = train(network, network.table(table, y), settings, lambda: 1.0, "rmse", lambda: 1)
    assert (outcome.best_epoch, len(outcome.history.loss)) == (1, 5)
    outcome = train(network, network.table(table, y), settings, None, "", lambda: 1, epochs=7)
    assert (outcome.best_epoch, len(outcome.history.loss)) == (7, 7)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda n, t, y: n.table(replace(t, numbers=t.numbers[:, :1])), "numbers must have shape"),
        (lambda n, t, y: n.table(replace(t, one_hot=t.one_hot[:5])), "columns must have shape"),
        (lambda n, t, y: n.table(replace(t, codes=t.codes + 9)), "a code lies outside"),
        (lambda n, t, y: n.core.labelled_table(t.numbers, t.one_hot, t.codes, labels=np.zeros(23, np.int64)), "either"),
        (lambda n, t, y: n.table(t, y[:, :1]), "targets must have shape"),
        (lambda n, t, y: n.table(t, y, np.ones(3)), "sample_weights must have one entry per row"),
        (lambda n, t, y: n.core.set_parameters({}), "parameters lack"),
        (lambda n, t, y: setattr(n, "parameters", n.parameters | {"more": np.ones(1)}), "names that the network lacks"),
        (lambda n, t, y: setattr(n, "parameters", n.parameters | {"hidden.0.biases": np.ones(1)}), "wrong shape"),
        (lambda n, t, y: new_trainer(n, TrainingSettings(1, 1, 1.0, 0, factors={"x": Factors()})), "no parameters x"),
    ],
)
def test_wrong_calls_of_the_core_are_rejected(change, message):
    network, table, y = problem("RealMLP-TD")
    before = network.parameters
    with pytest.raises(ValueError, match=message):
        change(network, table, y)
    assert all(np.array_equal(network.parameters[key], before[key]) for key in before)


def test_codes_are_those_that_were_checked():
    network, prepared, _ = problem("RealMLP-TD")
    table = network.table(prepared)
    expected = network.core.forward(table, 1)
    prepared.codes[:] = 2**31 - 1
    assert np.array_equal(network.core.forward(table, 1), expected)


@pytest.mark.parametrize(
    "sizes, message",
    [((1, -1, 0, 0), "columns, .* must be at least 0"), ((1, 0, 5, 0), "embedding_outputs of at least 1")],
)
def test_wrong_shapes_are_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        _core.TabularShape(*sizes, [], [3], 1)


def test_a_table_of_another_network_is_rejected():
    network, table, y = problem("RealMLP-TD")
    other, other_table, other_y = problem("TabM")
    trainer = new_trainer(network, TrainingSettings(1, 1, 1.0, 0))
    plan, settings, sums = _core.EpochPlan(23, 23), _core.UpdateSettings(0.1), _core.LossSum()
    for wrong, message in (
        (other.table(other_table, other_y), "of another network"),
        (network.table(table), "no labels or targets"),
    ):
        with pytest.raises(ValueError, match=message):
            trainer.run(wrong, plan, settings, 0, sums, 1, 9.0)
    with pytest.raises(ValueError, match="order names a row"):
        trainer.run(network.table(table, y), _core.EpochPlan(24, 24), settings, 0, sums, 1, 9.0)
    with pytest.raises(ValueError, match="of another network"):
        network.core.forward(other.table(other_table), 1)
    alike = TabularNetwork(replace(network.architecture, categories=((4, 2), (9, 5))), "float64")
    with pytest.raises(ValueError, match="of another network"):
        network.core.forward(alike.table(replace(table, codes=np.full((23, 2), 3, np.int32))), 1)
