"""Every allocation of the core fails once: MemoryError each time, and what was there before is as it was.

Needs a build with FASTMLP_FAIL_ALLOCATIONS, which the long test run makes.
"""

import ctypes
import gc
import itertools
import threading

import numpy as np
import pytest
from fastmlp import Network, Trainer, _core, ops
from problems import assert_equal_bits, parameters, problem
from teams import team_of

testing = _core.testing
if not hasattr(testing, "fail_allocation"):
    pytest.skip(
        "all 14 tests of this file need a build with FASTMLP_FAIL_ALLOCATIONS: `make torture` makes one and runs them",
        allow_module_level=True,
    )

SIZES = (40, 96, 80, 10)
X, Y = problem(600, "cross_entropy", "float32", SIZES)


def fail_each(action, check=lambda: None):
    """Lets the first allocation fail, then the second, until the action needs no more; how many failed."""
    for n in itertools.count(1):
        testing.fail_allocation(n)
        try:
            action()
            failed = None
        except MemoryError as error:
            failed = error
        happened = testing.allocation_failed()
        testing.fail_allocation(0)
        assert happened == (failed is not None), "a failure must raise, and nothing else may"
        check()
        if not happened:
            return n - 1


def test_making_a_network():
    assert fail_each(lambda: Network(SIZES)) == 6, "weights and biases of three layers"


@pytest.mark.parametrize("n_threads", [1, 2])
def test_predicting_and_evaluating(n_threads):
    net = Network(SIZES)
    expected = net.forward(X)

    def predict():
        assert (net.forward(X, n_threads=n_threads) == expected).all()

    for action in (
        predict,
        lambda: net.evaluate(X, Y, n_threads=n_threads),
        lambda: net.loss_and_gradients(X, Y, n_threads=n_threads),
    ):
        with team_of(n_threads):
            assert fail_each(action) >= 1


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("settings", [{}, {"optimizer": "adam"}, {"accumulate": "epoch"}, {"momentum": 0.5}])
def test_fitting(settings, n_threads, monkeypatch):
    """A fit that failed has changed the network by whole updates only, and its trainer fits again."""
    monkeypatch.setattr("fastmlp.network.default_thread_count", lambda: 1)  # set_parameters: the teams are the fit's
    net = Network(SIZES, seed=1)
    start = parameters(net)
    trainers = []

    def fit():
        trainers.append(Trainer(net, batch_size=50, n_threads=n_threads, **settings))
        trainers[-1].fit(X, Y, epochs=1)

    def restore():
        assert all(np.isfinite(p).all() for p in parameters(net))
        for trainer in trainers:
            trainer.fit(X, Y, epochs=1)
        trainers.clear()
        assert all(np.isfinite(p).all() for p in parameters(net))
        net.set_parameters(start[:3], start[3:])

    with team_of(n_threads):
        assert fail_each(fit, restore) >= 6
        fit()
    other = Network(SIZES, seed=1)
    Trainer(other, batch_size=50, **settings).fit(X, Y, epochs=1)
    assert_equal_bits(parameters(net), parameters(other))


def test_the_first_team_of_a_thread():
    """Its pool is made then. One that could not be made must not be used, nor destroyed again.

    Without memory for a thread of the pool, the team is smaller, and no error is raised.
    """
    net, outputs, errors = Network(SIZES), [], []
    expected = net.forward(X)

    def work():
        for n in itertools.count(1):
            testing.fail_allocation(n)
            try:
                outputs.append(net.forward(X, n_threads=2))
            except MemoryError as error:
                errors.append(error)
            happened = testing.allocation_failed()
            testing.fail_allocation(0)
            if not happened:
                break

    thread = threading.Thread(target=work)
    with team_of(2):
        thread.start()
        thread.join()
    assert len(errors) >= 2, "the pool, and what an exception needs"
    assert len(outputs) >= 2, "without and with a thread of the pool"
    for found in outputs:
        np.testing.assert_array_equal(found, expected)


def test_operations():
    a = np.ones((70, 60), np.float32)
    with team_of(2):
        assert fail_each(lambda: ops.matmul(a, a.T, n_threads=2)) >= 1
        assert fail_each(lambda: ops.matmul(a, a, transpose_b=True, n_threads=2, precision="bfloat16")) >= 1
    assert fail_each(lambda: ops.softmax_cross_entropy(a, np.zeros(70, int))) >= 1


def test_what_fails_leaks_nothing():
    """Neither buffers of the core, which are counted, nor smaller things, of which the C library knows the bytes."""

    class Mallinfo2(ctypes.Structure):
        _fields_ = [
            (name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks".split()
        ]
        _fields_ += [("fordblks", ctypes.c_size_t), ("keepcost", ctypes.c_size_t)]

    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        pytest.skip("this C library does not report the bytes in use")
    mallinfo2.restype = Mallinfo2
    failed = 0

    def loop():
        def act():
            net = Network(SIZES)
            Trainer(net, "adam", batch_size=50, n_threads=2).fit(X, Y, epochs=1)
            net.forward(X, n_threads=2)

        return fail_each(act)

    def in_use():
        gc.collect()
        return testing.living_buffers(), mallinfo2().uordblks

    with team_of(2):
        for _ in range(3):
            loop()
        buffers, in_heap = in_use()
        for _ in range(30):
            failed += loop()
    more_buffers, more_in_heap = in_use()
    assert more_buffers == buffers
    assert failed > 300 and more_in_heap - in_heap < 16 * failed, "less than the smallest allocation per failure"
