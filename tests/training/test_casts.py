"""Numbers that a cast changes, under every setting of np.seterr: no warning, no FloatingPointError, the same results."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from fastmlp import MLPClassifier, MLPRegressor, Network, Trainer, fit_lbfgs, fit_many, ops, studies
from fastmlp.streaming import Stream
from problems import assert_equal_bits, parameters

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
X[3, 1], X[4, 2], X[5, 0] = 1e-50, -1e-310, 5e-324  # beyond float32's range, and denormal
with np.errstate(all="ignore"):
    INPUTS = {dtype: X.astype(dtype) for dtype in ("float32", "float64")}
Y = np.arange(60) % 3
VALUES = np.where(Y, RNG.normal(size=60), 1e-60)
WEIGHTS = RNG.uniform(0.5, 2, 60).astype(np.float32)


def trained(fit, sizes=(4, 5, 3), **settings):
    trainer = Trainer(Network(sizes, **settings), batch_size=16)
    fit(trainer)
    return parameters(trainer.network)


def mlp(Mlp, dtype, **settings):
    model = Mlp(hidden_layer_sizes=(5,), max_iter=3, random_state=0, **settings)
    model.fit(INPUTS[dtype], Y if Mlp is MLPClassifier else VALUES, WEIGHTS)
    return [*model.coefs_, model.predict(INPUTS[dtype])]


REGRESSION = dict(sizes=(4, 5, 1), loss="squared_error")
CALLS = {
    "fit": lambda: trained(lambda t: t.fit(X, Y, epochs=2)),
    "fit, weights": lambda: trained(lambda t: t.fit(X, Y, epochs=2, sample_weight=WEIGHTS), dtype="float64"),
    "fit, float32 weights": lambda: trained(lambda t: t.fit(X, Y, epochs=2, sample_weight=WEIGHTS)),
    "fit, targets": lambda: trained(lambda t: t.fit(X, VALUES, epochs=2), **REGRESSION),
    "fit, the smallest": lambda: trained(lambda t: t.fit([[1.0] * 4], [1e-50], epochs=2), **REGRESSION),
    "fit, validation": lambda: trained(lambda t: t.fit(X, Y, epochs=2, validation_data=(X, Y, WEIGHTS))),
    "fit, CSR": lambda: trained(lambda t: t.fit(scipy.sparse.csr_matrix(X), Y, epochs=2)),
    "stream": lambda: trained(lambda t: t.fit(Stream.of_rows(X, Y, chunk_rows=20), None, epochs=2)),
    "fit_many": lambda: trained(lambda t: fit_many([t], X, Y, epochs=2)),
    "lbfgs": lambda: trained(lambda t: fit_lbfgs(t.network, X, Y, max_iter=5), dtype="float64"),
    "set_parameters": lambda: trained(
        lambda t: t.network.set_parameters([np.full((4, 5), 1e-50), np.full((5, 3), 1e-45)], t.network.biases)
    ),
    "forward": lambda: [Network((4, 5, 3), dtype=dtype).forward(X) for dtype in ("float32", "float64")],
    "input_scale": lambda: [Network((4, 5, 3), input_scale=1e-40).forward(X)],
    "studies": lambda: [np.array([row["loss"] for row in studies.batch_sizes([8], X, Y, 2, {"layer_sizes": (4, 3)})])],
    "ops": lambda: [ops.softmax(X), ops.logistic(1e3 * X), ops.softmax_cross_entropy(X, Y).gradient],
    **{
        f"{Mlp.__name__}, {solver}, {dtype}": lambda Mlp=Mlp, solver=solver, dtype=dtype: mlp(Mlp, dtype, solver=solver)
        for Mlp in (MLPClassifier, MLPRegressor)
        for solver in ("sgd", "adam", "lbfgs")
        for dtype in ("float32", "float64")
    },
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_cast_warns_or_raises(call):
    expected = call()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for setting in ("warn", "raise"):
            with np.errstate(all=setting):
                assert_equal_bits(call(), expected)
                assert np.geterr() == dict.fromkeys(("divide", "over", "under", "invalid"), setting)
