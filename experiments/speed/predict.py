"""How long do predictions of estimators take, from one row to a hundred thousand, beside scikit-learn's?"""

import importlib.util
import itertools
import time
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
from harness.jobs import Job
from harness.run import Run, Sizes
from harness.tables import Row, Tables

SPARSE = "2^18 (CSR)-100-1"
NETS = {
    "20-100-1": (20, (100,)),
    "784-512-384-1": (784, (512, 384)),
    "4000-4000-1": (4000, (4000,)),
    SPARSE: (2**18, (100,)),
}
VALUES_PER_ROW = 100  # of CSR rows
MAX_VALUES = 8e7  # of the inputs: fewer rows of wide nets
PAUSE = 0.15  # seconds between the libraries, because OpenBLAS's threads spin for a tenth of a second

SIZES = Sizes(
    seconds=(3, 20, 200),
    nets=(tuple(NETS)[:1], tuple(NETS)[:2], tuple(NETS)),
    rows=((1, 100), (1, 100, 10_000), (1, 100, 100_000)),
    rounds=(1, 2, 3),
)


def notices() -> list[str]:
    return [] if importlib.util.find_spec("sklearn") else ['scikit-learn is not installed: pip install ".[sklearn]"']


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    if notices():
        return []

    def job(net: str, dtype: str, rows: int) -> Job:
        rows = rows if net == SPARSE else min(rows, int(MAX_VALUES / NETS[net][0]))
        return Job(
            {"net": net, "dtype": dtype, "rows": rows, "rounds": sizes.rounds},
            lambda: milliseconds(net, dtype, rows, sizes.rounds),
            lambda times: {"predict": [_row(net, dtype, rows, times)]},
        )

    return [job(*case) for case in itertools.product(sizes.nets, ("float32", "float64"), sizes.rows)]


def _row(net: str, dtype: str, rows: int, times: dict[str, list[float]]) -> Row:
    ours, theirs = (np.array(times[name]) for name in ("fastmlp", "scikit-learn"))
    means = {"fastmlp_ms": float(f"{np.median(ours):.4g}"), "scikit_learn_ms": float(f"{np.median(theirs):.4g}")}
    return {"net": net, "dtype": dtype, "rows": rows, **means, "ratio": round(float(np.median(theirs / ours)), 2)}


def milliseconds(net: str, dtype: str, rows: int, rounds: int) -> dict[str, list[float]]:
    """Of a prediction, round by round: medians of some calls, for both libraries in turn."""
    import fastmlp
    import scipy.sparse
    from sklearn.neural_network import MLPRegressor

    features, hidden = NETS[net]
    rng = np.random.default_rng(0)

    def inputs(count: int) -> Any:
        if net != SPARSE:
            return rng.normal(size=(count, features)).astype(dtype)
        columns = np.sort(rng.integers(0, features, (count, VALUES_PER_ROW)), axis=1).astype(np.int32)
        starts = VALUES_PER_ROW * np.arange(count + 1)
        values = rng.normal(size=columns.size).astype(dtype)
        X = scipy.sparse.csr_matrix((values, columns.ravel(), starts), (count, features))
        X.sum_duplicates()
        return X

    X, X_fit = inputs(rows), inputs(30)
    times: dict[str, list[float]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one iteration does not converge
        settings = {"hidden_layer_sizes": hidden, "max_iter": 1, "random_state": 0}
        kinds = {"fastmlp": fastmlp.MLPRegressor, "scikit-learn": MLPRegressor}
        models = {name: Mlp(**settings).fit(X_fit, rng.normal(size=30)) for name, Mlp in kinds.items()}
    for _ in range(rounds):
        for name, model in models.items():
            time.sleep(PAUSE)
            seconds = []
            while not seconds or (sum(seconds) < 0.1 and len(seconds) < 100):
                begin = time.perf_counter()
                model.predict(X)
                seconds.append(time.perf_counter() - begin)
            times.setdefault(name, []).append(1e3 * float(np.median(seconds)))
    return times


def numbers(t: Tables) -> dict[str, Any]:
    table = t["predict"]
    return {"ratios": table["ratio"], "one": table.where(rows=1)["ratio"]}
