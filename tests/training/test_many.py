"""fit_many: the bits of one fit after another, errors that name the net, and how it stops."""

import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from fastmlp import DivergenceError, Network, Trainer, fit_many, training_data

SIZES = [(6, 3), (6, 40, 3), (6, 12, 9, 3), (6, 64, 3), (6, 5, 3)]


def problem(rows=150):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 6))
    return X, np.abs(X[:, :3]).argmax(axis=1)


def trainers(**settings):
    return [
        Trainer(
            Network(sizes, activation="tanh", seed=i, dtype="float64" if i % 2 else "float32"),
            learning_rate=0.2,
            batch_size=16,
            seed=i,
            **settings,
        )
        for i, sizes in enumerate(SIZES)
    ]


def parameters(trainer):
    return trainer.network.weights + trainer.network.biases


@pytest.mark.parametrize("n_threads", [1, 2, 7, None])
def test_many_fits_equal_one_after_another(n_threads):
    X, y = problem()
    alone, together = trainers(momentum=0.5), trainers(momentum=0.5)
    expected = [trainer.fit(X, y, epochs=4, validation_data=(X[:40], y[:40])) for trainer in alone]
    found = fit_many(together, X, y, epochs=4, validation_data=(X[:40], y[:40]), n_threads=n_threads)
    for one, other in zip(alone, together, strict=True):
        for p, q in zip(parameters(one), parameters(other), strict=True):
            np.testing.assert_array_equal(p, q)
    for one, other in zip(expected, found, strict=True):
        assert (one.loss, one.accuracy, one.val_loss) == (other.loss, other.accuracy, other.val_loss)


def test_callbacks_come_one_at_a_time_and_stop_their_own_net():
    X, y = problem()
    many = trainers()
    inside, seen = threading.Lock(), []

    def watch(info):
        assert inside.acquire(blocking=False), "two callbacks at once"
        seen.append((many_networks.index(info.network), info.epoch))
        inside.release()
        return info.network is many[2].network and info.epoch == 2

    many_networks = [trainer.network for trainer in many]
    histories = fit_many(many, X, y, epochs=5, callbacks=[watch], n_threads=3)
    assert [len(history.loss) for history in histories] == [5, 5, 2, 5, 5]
    assert sorted(seen) == [(i, e) for i in range(5) for e in range(1, 3 if i == 2 else 6)]


EPOCHS = 20_000  # a second or two, where nothing ends them


def test_an_error_names_the_net_and_ends_the_others():
    X, y = problem()
    many = trainers()
    many[3] = Trainer(Network((6, 64, 3), activation="identity", dtype="float32"), learning_rate=1e30, batch_size=16)
    with (
        np.errstate(all="ignore"),
        pytest.raises(DivergenceError, match=r"(?s)loss.*trainers\[3\], Network\(\(6, 64, 3\)"),
    ):
        fit_many(many, X, y, epochs=EPOCHS, n_threads=2)
    for trainer in many:
        assert len(trainer.history.loss) < EPOCHS, "it ended with the net that diverged"
    for trainer in many[:3]:
        assert all(np.isfinite(p).all() for p in parameters(trainer))
        trainer.fit(X, y, epochs=1)  # nothing is left locked


def test_a_net_that_diverges_need_not_end_the_others():
    X, y = problem()
    many = trainers()
    many[3] = Trainer(Network((6, 64, 3), activation="identity", dtype="float32"), learning_rate=1e30, batch_size=16)
    alone = trainers()[2].fit(X, y, epochs=4)
    with np.errstate(all="ignore"):
        outcomes = fit_many(many, X, y, epochs=4, n_threads=2, return_diverged=True)
    assert outcomes[2].loss == alone.loss and len(outcomes[4].loss) == 4
    error = outcomes[3]
    assert isinstance(error, DivergenceError)
    assert error.epoch == len(many[3].history.loss) + 1 and error.learning_rate == 1e30


def test_an_error_of_a_callback_keeps_its_type():
    X, y = problem()

    def fail(info):
        if info.epoch == 3:
            raise KeyError("three")

    with pytest.raises(KeyError, match=r"(?s)three.*trainers\[\d\]"):
        fit_many(trainers(), X, y, epochs=10, callbacks=[fail])


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda many: [], ValueError, "at least one"),
        (lambda many: 3, TypeError, "3"),
        (lambda many: [many[0], "net"], TypeError, r"trainers\[1\].*'net'"),
        (lambda many: [many[0], many[1], Trainer(many[0].network)], ValueError, r"trainers\[0\] and trainers\[2\]"),
        (lambda many: [*many, Trainer(Network((7, 3)))], ValueError, r"(?s)\(samples, 7\).*\(150, 6\).*trainers\[5\]"),
    ],
)
def test_trainers_that_do_not_fit_are_rejected_and_change_nothing(change, error, message):
    X, y = problem()
    many = trainers()
    before = [p for trainer in many for p in parameters(trainer)]
    with pytest.raises(error, match=message):
        fit_many(change(many), X, y, epochs=2)
    for p, q in zip([p for trainer in many for p in parameters(trainer)], before, strict=True):
        np.testing.assert_array_equal(p, q)


def test_a_network_under_training_is_rejected():
    X, y = problem()
    many = trainers()
    with many[1].network.core.lock_parameters(), pytest.raises(RuntimeError, match=r"(?s)under way.*trainers\[1\]"):
        fit_many(many, X, y, epochs=2)


def test_verbose_writes_one_line_per_net(capfd):
    X, y = problem()
    fit_many(trainers(), X, y, epochs=2, verbose=True)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 5
    assert lines[-1].startswith("5/5 nets, 10/10 epochs")
    fit_many(trainers(), X, y, epochs=2)
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_ends_all_fits():
    script = """
        import os, signal, threading
        signal.signal(signal.SIGINT, signal.default_int_handler)
        import numpy as np
        import fastmlp

        X, y = np.random.default_rng(0).normal(size=(500, 6)), np.arange(500) % 3
        many = [fastmlp.Trainer(fastmlp.Network((6, 20 + i, 3), seed=i), learning_rate=0.01) for i in range(5)]
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            fastmlp.fit_many(many, X, y, epochs=10**7)
        except KeyboardInterrupt:
            print("interrupted")
        assert threading.active_count() <= 2, "the timer may still be ending, nothing else"
        assert all(np.isfinite(w).all() for t in many for w in t.network.weights)
        print(len(fastmlp.fit_many(many, X, y, epochs=2)))
    """
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        env=dict(os.environ),
    )
    assert result.stdout.split() == ["interrupted", "5"], result.stderr


def test_data_are_checked_and_converted_once_for_nets_of_one_kind(monkeypatch):
    X, y = problem()
    checked = []
    check = training_data.check_inputs
    monkeypatch.setattr(training_data, "check_inputs", lambda spec, *more: checked.append(spec) or check(spec, *more))
    fit_many(trainers(), np.asfortranarray(X), y, epochs=1)
    assert len(checked) == 2  # float32 and float64


def test_ctrl_c_while_a_worker_starts_waits_for_no_other():
    """Each of its fits has not begun, or its end is not known."""
    script = """
        import threading, time
        import numpy as np
        import fastmlp

        X, y = np.zeros((5000, 3)), np.zeros(5000, int)
        start = threading.Thread.start
        for interrupted, begins in ((1, True), (1, False), (2, True), (2, False)):
            starts = []

            def start_and_interrupt(self):
                starts.append(self)
                if len(starts) != interrupted or begins:
                    start(self)
                if len(starts) == interrupted:
                    raise KeyboardInterrupt

            threading.Thread.start = start_and_interrupt
            trainers = [fastmlp.Trainer(fastmlp.Network((3, 20, 2))) for _ in range(4)]
            try:
                fastmlp.fit_many(trainers, X, y, epochs=10**6, n_threads=3)
            except KeyboardInterrupt:
                print("interrupted")
            threading.Thread.start = start
            fastmlp.fit_many(trainers, X, y, epochs=1)
        while threading.active_count() > 1:
            time.sleep(0.01)
    """
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60
    )
    assert result.stdout.split() == ["interrupted"] * 4, result.stderr


def test_the_longest_fits_start_first():
    """By the operations of an epoch; of equal ones the first."""
    X, y = problem()
    many, started = [*trainers(), Trainer(Network((6, 40, 3)))], []

    def note(info):
        if info.epoch == 1:
            started.append([trainer.network for trainer in many].index(info.network))

    fit_many(many, X, y, epochs=2, callbacks=[note], n_threads=1)
    widths = [sum(a * b for a, b in zip(t.network.layer_sizes, t.network.layer_sizes[1:])) for t in many]
    assert started == sorted(range(6), key=lambda index: -widths[index]) == [3, 1, 5, 2, 4, 0]


@pytest.mark.parametrize(
    "n_threads, nets, expected", [(1, 1, 1), (6, 1, 6), (6, 2, 3), (7, 3, 2), (3, 3, 1), (7, 5, 1)]
)
def test_cores_are_shared_out_among_the_nets_that_are_not_done(monkeypatch, n_threads, nets, expected):
    """All when all begin; then one net waits until it has every core."""
    X, y = problem()
    many, shares = trainers()[:nets], []
    all_have_begun, all_have_noted = (threading.Barrier(nets, timeout=60) for _ in range(2))
    fit = Trainer.run_epochs

    def fit_and_note(self, given, cores):
        all_have_begun.wait()
        shares.append(cores())
        all_have_noted.wait()
        result = fit(self, given, cores)
        limit = time.monotonic() + 60
        while self is many[0] and cores() < n_threads and time.monotonic() < limit:
            time.sleep(0.001)
        if self is many[0]:
            shares.append(cores())
        return result

    monkeypatch.setattr(Trainer, "run_epochs", fit_and_note)
    fit_many(many, X, y, epochs=1, n_threads=n_threads)
    assert shares == [expected] * nets + [n_threads]


def test_evaluation_data_are_checked_as_a_pair():
    X, y = problem()
    for wrong in ((X,), (X, y, y, y), X, [X]):
        with pytest.raises(TypeError, match=r"validation_data must be a pair \(X, y\) or a triple .*, got"):
            fit_many(trainers(), X, y, 1, validation_data=wrong)
    fit_many(trainers(), X, y, 1, validation_data=[X, y])


@pytest.mark.parametrize("return_diverged", [True, False])
def test_other_errors_are_raised_whatever_becomes_of_divergence(return_diverged):
    X, y = problem()

    def fail(info):
        raise KeyError("three")

    with pytest.raises(KeyError):
        fit_many(trainers(), X, y, epochs=2, callbacks=[fail], return_diverged=return_diverged)


@pytest.mark.parametrize("number", range(1, 5))  # the first is linear, and its loss stays finite
def test_whichever_net_diverges_its_error_takes_its_place(number):
    X, y = problem()
    many = trainers()
    many[number] = Trainer(Network(SIZES[number], activation="identity"), learning_rate=1e30, batch_size=16)
    with np.errstate(all="ignore"):
        outcomes = fit_many(many, X, y, epochs=3, n_threads=3, return_diverged=True)
    assert [isinstance(outcome, DivergenceError) for outcome in outcomes] == [i == number for i in range(5)]


@pytest.mark.parametrize("first", [0, 1])
def test_inputs_are_checked_for_the_scale_of_each_net(first):
    """What one net can hold when it is scaled, another cannot."""
    scales = [1.0, 1e30]
    trainers = [Trainer(Network((3, 2), input_scale=scale)) for scale in (scales[first], scales[1 - first])]
    X, y = np.full((4, 3), 1e20, np.float32), np.zeros(4, int)
    with pytest.raises(ValueError, match="X") as caught:
        fit_many(trainers, X, y, epochs=1)
    assert any(f"trainers[{1 - first}]" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    "outputs, settings",
    [
        (1, [{"loss": "squared_error"}, {"loss": "binary_cross_entropy"}]),
        (2, [{"loss": "quantile", "loss_settings": {"level": (0.1, 0.9)}}, {"loss": "quantile"}]),
    ],
    ids=["losses", "levels"],
)
def test_targets_are_checked_for_the_loss_of_each_net(outputs, settings, first):
    """What is a target of one loss is none of another."""
    nets = [Network((3, outputs), **settings[number]) for number in (first, 1 - first)]
    trainers = list(map(Trainer, nets))
    with pytest.raises(ValueError) as caught:
        fit_many(trainers, np.ones((4, 3)), np.full((4, 1), 2.0), epochs=1)
    assert any(f"trainers[{1 - first}]" in note for note in caught.value.__notes__)


def test_callbacks_of_several_nets_never_overlap():
    X, y = problem()
    inside, most = [], []

    def callback(info):
        inside.append(info.network)
        time.sleep(0.002)  # so that another thread comes in, if it may
        most.append(len(inside))
        inside.pop()

    fit_many(trainers(), X, y, 10, callbacks=[callback], n_threads=5)
    assert set(most) == {1} and len(most) == 10 * len(trainers())


def test_an_error_names_the_callback_that_was_passed():
    def one(info):
        return 1

    for fit in (
        lambda: fit_many(trainers(), *problem(), 2, callbacks=[one]),
        lambda: trainers()[0].fit(*problem(), 2, callbacks=[one]),
    ):
        with pytest.raises(TypeError, match=r"True \(which stops\), got 1 from <function .*\.one at 0x"):
            fit()
