"""Fits in several threads, exceptions, Ctrl-C, and the lock on a network's parameters."""

import subprocess
import sys
import textwrap
import threading
import time

import pytest
from fastmlp import Network, Trainer
from problems import LAYER_SIZES, THREADED, assert_equal_bits, parameters, problem, without_sanitizer
from teams import TEAMS, team_of


def test_exceptions_of_callbacks_propagate_and_a_later_fit_works():
    class Unexpected(Exception):
        pass

    def fail(info):
        if info.epoch == 2:
            raise Unexpected

    X, y = problem(40)
    broken, whole = [Network(LAYER_SIZES, dtype="float64", seed=1) for _ in range(2)]
    trainer = Trainer(broken, learning_rate=0.1, batch_size=16, momentum=0.9, seed=3)
    with pytest.raises(Unexpected):
        trainer.fit(X, y, epochs=5, callbacks=[fail])
    trainer.fit(X, y, epochs=3)
    Trainer(whole, learning_rate=0.1, batch_size=16, momentum=0.9, seed=3).fit(X, y, epochs=5)
    assert_equal_bits(parameters(broken), parameters(whole))


@pytest.mark.parametrize("n_threads", [1, *TEAMS])
def test_two_fits_in_two_python_threads_give_serial_bits(n_threads):
    X, y = problem(1500, "cross_entropy", "float32", THREADED)

    def fit(seed, n_threads=n_threads):
        net = Network(THREADED, seed=seed)
        Trainer(net, learning_rate=0.05, batch_size=128, seed=seed, n_threads=n_threads).fit(X, y, epochs=6)
        return parameters(net)

    serial, found = [fit(0, 1), fit(1, 1)], [None, None]
    start = threading.Barrier(2)

    def run(seed):
        start.wait()
        found[seed] = fit(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in (0, 1)]
    with team_of(n_threads):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert_equal_bits(found[0], serial[0])
    assert_equal_bits(found[1], serial[1])


def test_a_fit_inside_a_fit_s_callback_has_serial_bits():
    X, y = problem(600, "cross_entropy", "float32", THREADED)

    def fit(seed, callbacks=()):
        net = Network(THREADED, seed=seed)
        Trainer(net, batch_size=128, seed=seed, n_threads=2).fit(X, y, epochs=2, callbacks=callbacks)
        return parameters(net)

    inner = []
    outer = fit(0, [lambda info: inner.append(fit(1))])
    assert_equal_bits(outer, fit(0))
    for found in inner:
        assert_equal_bits(found, fit(1))


def test_predictions_from_many_threads_at_once_are_right():
    X, _ = problem(700, "cross_entropy", "float32", THREADED)
    net = Network(THREADED, seed=0)
    expected, wrong = net.forward(X), []

    def predict(first):
        for _ in range(20):
            if (net.forward(X[first:]) != expected[first:]).any():
                wrong.append(first)

    threads = [threading.Thread(target=predict, args=(first,)) for first in (0, 1, 350)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_python_thread_keeps_running_during_a_fit(monkeypatch):
    """Processor time, not wall-clock time: a thread that only got the interpreter between native calls, here one of
    each epoch, would use a small part of what the fit uses; one that runs beside it uses about as much."""
    monkeypatch.setattr("fastmlp.core_calls.SECONDS_PER_CALL", 1e9)
    X, y = problem(4000, "cross_entropy", "float32", (256, 512, 512, 10))
    used, stop, started = [0.0], threading.Event(), threading.Event()

    def count():
        started.set()
        while not stop.is_set():
            used[0] = time.thread_time()

    counter = threading.Thread(target=count)
    counter.start()
    started.wait()
    trainer = Trainer(Network((256, 512, 512, 10)), learning_rate=0.01, batch_size=1000, n_threads=1)
    counted_before, fit_before = used[0], time.thread_time()
    trainer.fit(X, y, epochs=5)
    counted, fitted = used[0] - counted_before, time.thread_time() - fit_before
    stop.set()
    counter.join()
    assert counted > 0.3 * fitted


@pytest.mark.parametrize("same_trainer", [True, False])
def test_a_network_cannot_be_fitted_twice_at_once(same_trainer):
    X, y = problem(40)
    net = Network(LAYER_SIZES, dtype="float64", seed=1)
    first = Trainer(net, learning_rate=0.1, batch_size=16, seed=2)
    second = first if same_trainer else Trainer(net, learning_rate=0.1, batch_size=16)
    inside, release, histories = threading.Event(), threading.Event(), []

    def wait(info):
        inside.set()
        assert release.wait(timeout=60)

    thread = threading.Thread(target=lambda: histories.append(first.fit(X, y, epochs=2, callbacks=[wait])))
    thread.start()
    assert inside.wait(timeout=60)
    try:
        with pytest.raises(RuntimeError, match="network"):
            second.fit(X, y, epochs=1)
        with pytest.raises(RuntimeError, match="network"):
            net.set_parameters(net.weights, net.biases)
    finally:
        release.set()
        thread.join()
    assert len(histories[0].loss) == 2
    undisturbed = Network(LAYER_SIZES, dtype="float64", seed=1)
    Trainer(undisturbed, learning_rate=0.1, batch_size=16, seed=2).fit(X, y, epochs=2)
    assert_equal_bits(parameters(net), parameters(undisturbed))
    assert len(second.fit(X, y, epochs=1).loss) == 1


def test_a_callback_cannot_fit_the_network_that_is_being_fitted():
    X, y = problem(40)
    trainer = Trainer(Network(LAYER_SIZES, dtype="float64"), learning_rate=0.1, batch_size=16)
    with pytest.raises(RuntimeError, match="network"):
        trainer.fit(X, y, epochs=2, callbacks=[lambda info: trainer.fit(X, y, epochs=1)])
    assert len(trainer.fit(X, y, epochs=1).loss) == 1


def run_script(script):
    """In a process of its own, so that a hang is a failure and not the end of the suite.

    Where the suite runs in the background of a shell, Ctrl-C is ignored, and its children inherit that.
    """
    heed_ctrl_c = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", heed_ctrl_c + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_ctrl_c_ends_a_fit_within_an_epoch():
    result = run_script("""
        import os, signal, threading, time
        import numpy as np
        import fastmlp

        def interrupt_after_an_update():
            begin = time.process_time()
            while time.process_time() < begin + 1:  # some tens of updates, of 3000
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(400_000, 16)).astype(np.float32), rng.integers(0, 10, 400_000)
        net = fastmlp.Network((16, 1024, 1024, 10))
        before = net.weights
        trainer = fastmlp.Trainer(net, learning_rate=0.01, batch_size=128)
        finished = []
        threading.Thread(target=interrupt_after_an_update).start()
        try:
            trainer.fit(X, y, epochs=1, callbacks=[lambda info: finished.append(info.epoch)])
        except KeyboardInterrupt:
            print("interrupted")
        assert finished == [] and 0 < trainer.core.optimizer_state()[0] < 3000, "the epoch's 3125 updates ran to their end first"
        assert all(np.isfinite(p).all() for p in net.weights + net.biases)
        assert (net.weights[0] != before[0]).any(), "the updates made are kept"
        print(len(trainer.fit(X[:256], y[:256], epochs=2).loss))
    """)
    assert result.stdout.split() == ["interrupted", "2"], result.stderr


@pytest.mark.parametrize("call", ["forward(X)", "evaluate(X, y)", "loss_and_gradients(X, y)"])
def test_ctrl_c_ends_a_long_call(call):
    """Processor time, of which the whole call takes a minute."""
    result = run_script(f"""
        import os, signal, threading, time
        import numpy as np
        import fastmlp

        X, y = np.ones((500_000, 16), np.uint8), np.zeros(500_000, int)
        net = fastmlp.Network((16, 2048, 2048, 10))
        sent = []

        def interrupt():
            begin = time.process_time()
            while time.process_time() < begin + 0.3:
                time.sleep(0.01)
            sent.append(time.process_time())
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        try:
            net.{call}
        except KeyboardInterrupt:
            print(time.process_time() - sent[0] < 2)
        print(np.isfinite(net.forward(X[:3])).all())
    """)
    assert result.stdout.split() == ["True", "True"], result.stdout + result.stderr


def test_ctrl_c_ends_an_iteration_of_lbfgs():
    """Processor time, of which one pass over the rows takes some 20 seconds: none is made to load the parameters."""
    pytest.importorskip("scipy", reason="L-BFGS is SciPy's")
    result = run_script("""
        import os, signal, threading, time
        import numpy as np
        from fastmlp import Network, fit_lbfgs

        X, y = np.ones((50_000, 16), np.uint8), np.zeros(50_000, int)
        net = Network((16, 2048, 2048, 10), dtype="float64", seed=1)
        before = net.weights
        sent = []

        def interrupt():
            begin = time.process_time()
            while time.process_time() < begin + 0.3:
                time.sleep(0.01)
            sent.append(time.process_time())
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        try:
            fit_lbfgs(net, X, y, 10)
        except KeyboardInterrupt:
            print(time.process_time() - sent[0] < 2)
        print(all((a == b).all() for a, b in zip(net.weights, before)))
        print(len(fit_lbfgs(net, X[:9], y[:9], 1).loss))
    """)
    assert result.stdout.split() == ["True", "True", "1"], result.stdout + result.stderr


@without_sanitizer  # in which a second may not lead into the fit
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_ctrl_c_ends_an_estimator_s_fit(solver):
    """Processor time, of which an epoch takes some 10 seconds."""
    pytest.importorskip("sklearn", reason="the estimators are scikit-learn's")
    result = run_script(f"""
        import os, signal, threading, time, warnings
        import numpy as np
        from fastmlp import MLPClassifier

        X, y = np.ones((50_000, 16)), np.arange(50_000) % 10
        model = MLPClassifier((2048, 2048), solver={solver!r}, random_state=1, max_iter=1, n_threads=1)
        warnings.simplefilter("ignore")
        first = model.fit(X[:20], y[:20]).coefs_
        sent = []

        def interrupt():
            begin = time.process_time()
            while time.process_time() < begin + 1:  # after scikit-learn's checks and the initial weights
                time.sleep(0.01)
            sent.append(time.process_time())
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X, y)
        print(time.process_time() - sent[0] < 2, [str(w.message) for w in caught] == ["Training interrupted by user."])
        print(all(np.isfinite(w).all() for w in model.coefs_), np.isfinite(model.predict_proba(X[:3])).all())
        print(model.n_iter_, model.fit(X[:20], y[:20]).n_iter_, (model.coefs_[0] == first[0]).all())
    """)
    assert result.stdout.split() == ["True"] * 4 + ["0", "1", "True"], result.stdout + result.stderr


def test_ctrl_c_between_short_epochs():
    result = run_script("""
        import os, signal
        import numpy as np
        import fastmlp

        X, y = np.ones((64, 3), np.float32), np.zeros(64, int)
        trainer = fastmlp.Trainer(fastmlp.Network((3, 4, 2)), learning_rate=0.01, batch_size=16)

        def interrupt(info):
            if info.epoch == 5:
                os.kill(os.getpid(), signal.SIGINT)

        try:
            trainer.fit(X, y, epochs=10**6, callbacks=[interrupt])
        except KeyboardInterrupt:
            print("interrupted")
        assert all(np.isfinite(p).all() for p in trainer.network.weights)
        print(len(trainer.fit(X, y, epochs=2).loss))
    """)
    assert result.stdout.split() == ["interrupted", "2"], result.stderr


def test_gradients_on_the_side_leave_a_fit_alone():
    """Each trainer has transposed weights of its own."""
    layer_sizes = (16, 200, 200, 4)
    X, y = problem(400, "cross_entropy", "float32", layer_sizes)
    results = []
    for disturbed in (False, True):
        net = Network(layer_sizes, seed=1)
        stop = threading.Event()

        def disturb(net=net, stop=stop):
            while not stop.is_set():
                net.loss_and_gradients(X[:1], y[:1])

        thread = threading.Thread(target=disturb)
        if disturbed:
            thread.start()
        Trainer(net, learning_rate=0.05, batch_size=8, n_threads=1).fit(X, y, epochs=6)
        stop.set()
        if disturbed:
            thread.join()
        results.append(parameters(net))
    assert_equal_bits(*results)


def test_a_lock_of_the_parameters_ends_with_its_holder():
    """An interrupt between taking and keeping it must not leave the network locked."""
    X, y = problem(40)
    net = Network(LAYER_SIZES, dtype="float64")
    lock = net.core.lock_parameters()
    with pytest.raises(RuntimeError, match="under way"):
        Trainer(net).fit(X, y, epochs=1)
    del lock
    Trainer(net).fit(X, y, epochs=1)


def test_ctrl_c_at_random_moments():
    """Of epochs that take a second or more. Processor time between the signal and the exception, not wall-clock time:
    other programs may use the cores meanwhile."""
    result = run_script("""
        import os, random, signal, threading, time
        import numpy as np
        import fastmlp

        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(100_000, 64)).astype(np.float32), rng.integers(0, 10, 100_000)
        validation = X[:5000], y[:5000]
        moments = random.Random(0)
        threads_before = threading.active_count()
        costs = []
        for turn in range(20):
            net = fastmlp.Network((64, 1024, 1024, 10), seed=turn)
            trainer = fastmlp.Trainer(net, ["sgd", "adam"][turn % 2], batch_size=[128, 100_000][turn % 3 == 0], n_threads=2)
            sent = []

            def interrupt():
                sent.append(time.process_time())
                os.kill(os.getpid(), signal.SIGINT)

            timer = threading.Timer(moments.uniform(0.01, 0.2), interrupt)
            timer.start()
            try:
                trainer.fit(X, y, epochs=10**6, validation_data=validation)
            except KeyboardInterrupt:
                costs.append(time.process_time() - sent[0])
            timer.join()
            assert all(np.isfinite(p).all() for p in net.weights + net.biases)
            assert len(trainer.fit(X[:200], y[:200], epochs=1).loss) == 1
        assert threading.active_count() == threads_before
        slowness = 10 if "LD_PRELOAD" in os.environ else 1  # of a sanitizer
        print(len(costs), max(costs) < 0.2 * 2 * slowness)
    """)
    assert result.stdout.split() == ["20", "True"], result.stdout + result.stderr
