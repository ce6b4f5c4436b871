"""The arithmetic of the core's threads: rounding, and denormals, which cost x86 processors over a hundred cycles."""

import ctypes
import ctypes.util
import platform
import threading

import numpy as np
import pytest
from fastmlp import Network, Trainer, ops
from teams import TEAMS, team_of

pytestmark = pytest.mark.skipif(
    platform.machine().lower() not in ("x86_64", "amd64", "i686"), reason="other processors compute denormals quickly"
)
DTYPES = ("float32", "float64")


def denormal(dtype):
    return np.array(np.finfo(dtype).tiny / 16, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", (1, *TEAMS))
def test_denormal_operands_and_results_are_zeros_on_all_threads(isa, dtype, n_threads):
    n = 200
    tiny, eye = np.full((n, n), denormal(dtype)), np.eye(n, dtype=dtype)
    with team_of(n_threads):
        assert not ops.matmul(tiny, 1024 * eye, n_threads=n_threads).any()
        assert not ops.matmul(1024 * tiny, eye / 1024, n_threads=n_threads).any()
        assert np.array_equal(ops.matmul(1024 * tiny, eye, n_threads=n_threads), 1024 * tiny)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layer_sizes", [(5, 3), (5, 40, 3), (700, 5000, 2)])  # the last one is too large for the stack
def test_a_row_alone_has_its_bits_of_many(isa, dtype, layer_sizes):
    network = Network(layer_sizes, loss="squared_error", dtype=dtype)
    signs = np.random.default_rng(0).choice([-1, 1], (9, layer_sizes[0]))
    X = 16 * denormal(dtype) * signs * np.geomspace(1e-2, 1e2, 9)[:, None]  # and the sums of its products
    X = X.astype(dtype)
    assert np.array_equal(network.forward(X), np.concatenate([network.forward(row[None]) for row in X]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_the_rounding_of_the_caller(isa, dtype):
    """The threads of a team begin with the rounding that their caller has when they start, and keep it."""
    library = ctypes.util.find_library("m")
    if library is None:
        pytest.skip("no fesetround")
    set_rounding, upward, nearest = ctypes.CDLL(library).fesetround, 0x800, 0
    a = np.random.default_rng(0).normal(size=(200, 200)).astype(dtype)
    found = [ops.matmul(a, a, n_threads=1)]

    def multiply():  # in a thread that has no team yet
        for rounding in (upward, nearest):
            set_rounding(rounding)
            found.append(ops.matmul(a, a, n_threads=1))
            with team_of(2):
                found.append(ops.matmul(a, a, n_threads=2))
            kept.append(ctypes.CDLL(library).fegetround() == rounding)

    kept = []
    thread = threading.Thread(target=multiply)
    thread.start()
    thread.join()
    assert kept == [True, True] and len(found) == 5
    assert [np.array_equal(product, found[0]) for product in found] == [True] * 5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", (1, *TEAMS))
def test_the_calling_thread_keeps_its_own(dtype, n_threads):
    X = np.ones((64, 5), dtype)
    with team_of(n_threads):
        Trainer(Network((5, 40, 3), dtype=dtype), n_threads=n_threads).fit(
            X, np.zeros(64, int), epochs=1, verbose=False
        )
    assert (denormal(dtype) * X / 2 == denormal(dtype) / 2).all() and (denormal(dtype) * X).all()


@pytest.mark.parametrize("dtype, steps", [("float32", 1500), ("float64", 9000)])
def test_moments_of_units_without_a_gradient_end_at_zero(isa, dtype, steps):
    """With denormals they stay at some smallest ones, and every update takes many times as long."""
    X, y = np.ones((8, 3), dtype), np.arange(8) % 2
    network = Network((3, 16, 2), dtype=dtype, seed=0)
    trainer = Trainer(network, "adam", 1e-3, batch_size=8, n_threads=1)
    trainer.fit(X, y, epochs=1, verbose=False)
    first, *others = network.biases
    network.set_parameters(network.weights, [np.full_like(first, -1e3), *others])  # no unit is ever active again
    trainer.fit(X, y, epochs=steps, verbose=False)
    first_moments = [moments[0] for moments in trainer.core.optimizer_state()[1]]
    assert not first_moments[0].any() and all(np.isfinite(moments).all() for moments in first_moments)
