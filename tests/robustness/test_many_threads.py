"""Many Python threads in the core at once, each with objects of its own, some with one in common.

In free-threaded Python they run at the same time, and a workflow runs this file under ThreadSanitizer. With the GIL they
take turns between the calls of the core.
"""

import sys
import sysconfig
import threading

import numpy as np
import pytest
from fastmlp import Network, Trainer, _core, ops
from teams import team_of

THREADS, ROUNDS = 8, 4
RNG = np.random.default_rng(0)
X = RNG.standard_normal((256, 12)).astype(np.float32)
LABELS = np.arange(256) % 3
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def at_once(*functions, timeout=300):
    """Call function(i) in THREADS threads for each of the functions, which all begin at the same time."""
    calls = [(function, i) for function in functions for i in range(THREADS)]
    begin, errors = threading.Barrier(len(calls)), []

    def work(function, i):
        try:
            begin.wait(timeout)
            for _ in range(ROUNDS):
                function(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]


def parameters(network):
    return b"".join(p.tobytes() for p in network.weights + network.biases)


def fitted(seed, n_threads=None):
    network = Network((12, 16, 3), seed=seed)
    Trainer(network, seed=seed, n_threads=n_threads).fit(X, LABELS, epochs=3, verbose=False)
    return parameters(network)


@pytest.mark.skipif(not FREE_THREADED, reason="this Python has a GIL")
def test_the_core_does_not_bring_the_gil_back():
    assert not sys._is_gil_enabled()


@pytest.mark.parametrize("n_threads", [1, 2])
def test_fits_of_networks_of_their_own_give_what_they_give_alone(n_threads):
    expected = [fitted(seed, 1) for seed in range(THREADS)]

    def fit(seed):
        assert fitted(seed, n_threads) == expected[seed]

    with team_of(n_threads):
        at_once(fit)


def test_one_network_is_fitted_by_one_thread_and_read_whole_by_others():
    """Others are rejected while it is fitted; what is read is that of a moment before or after a fit."""
    network = Network((12, 16, 3), seed=0)
    states, lock, fits = {parameters(network)}, threading.Lock(), []

    def fit(seed):
        with lock:
            Trainer(network, seed=seed).fit(X, LABELS, epochs=1, verbose=False)
            states.add(parameters(network))
            fits.append(seed)

    def read(_):
        try:
            found = network.state()
        except RuntimeError:  # a fit is under way, and no other can begin
            with pytest.raises(RuntimeError, match="under way"), lock, network.core.lock_parameters():
                Trainer(network).fit(X, LABELS, epochs=1, verbose=False)
            return
        whole = b"".join(p.tobytes() for p in [*found.weights, *found.biases])
        with lock:
            assert whole in states

    at_once(fit, read)
    assert len(fits) == THREADS * ROUNDS


def test_a_network_is_read_by_many_threads():
    network = Network((12, 16, 3), seed=0)
    expected, loss = network.forward(X), network.evaluate(X, LABELS).loss

    def read(i):
        assert (network.forward(X) == expected).all()
        assert network.evaluate(X, LABELS).loss == loss
        assert (network.predict(X[i : i + 5]) == expected[i : i + 5].argmax(axis=1)).all()
        assert [w.shape for w in network.weights] == [(12, 16), (16, 3)]

    at_once(read)


def test_objects_of_the_core_in_common_stay_whole():
    """What one thread writes while others read has torn values at worst, but never another size or place."""
    core, other = Network((12, 16, 3), seed=0).core, Network((12, 16, 3), seed=0).core
    trainer, step = _core.TrainerFloat32(core, _core.UpdateKind.adam), _core.StepFloat32(other, len(X))
    step.forward(X, 0, len(X), 1)
    gradient = np.ones((len(X), 3), np.float32)

    def write(_):
        core.parameter_vector = core.parameter_vector
        trainer.gradient_memory()[:] = 0
        trainer.save_snapshot()
        trainer.restore_snapshot()
        trainer.set_optimizer_state(*trainer.optimizer_state())

    def differentiate(_):
        step.backward(gradient, 0, len(X), True, None, 1)
        assert len(step.gradients()[0]) == 2

    at_once(write, differentiate)


def test_settings_of_the_process_change_while_others_compute():
    """The instruction set, the hooks of tests, and counters."""
    isas, default = _core.testing.available_isas(), _core.testing.current_isa()
    a = RNG.standard_normal((33, 17))
    expected = a @ a.T

    def choose(i):
        _core.testing.use_isa(isas[i % len(isas)])
        _core.testing.use_whole_teams(bool(i % 2))
        _core.testing.teams_run()

    def multiply(_):
        np.testing.assert_allclose(ops.matmul(a, a, transpose_b=True), expected, atol=1e-12)
        assert Network((3, 2), seed=0).forward(np.ones((1, 3), np.float32)).shape == (1, 2)

    try:
        at_once(choose, multiply)
    finally:
        _core.testing.use_isa(default)
        _core.testing.use_whole_teams(False)
