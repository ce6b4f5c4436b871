"""How much sooner does nautilus, a sampler of Bayesian posteriors, end with fastmlp's nets, and are its answers the same?

nautilus trains scikit-learn's MLPRegressor to find where the likelihood is high. One assignment replaces the class.
"""

import importlib.util
import math
import time
import warnings
from contextlib import ExitStack, closing
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import numpy as np
from harness.jobs import Job
from harness.number_text import listing
from harness.run import Run, Sizes
from harness.tables import Row, Table, Tables

from speed import libraries
from speed.process import Process

OURS, THEIRS = "fastmlp", "scikit-learn"
NEEDED = {"nautilus": "nautilus-sampler", "sklearn": "scikit-learn"}  # by module, what pip calls it
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
LIMIT = 5.0  # the prior is uniform on [-LIMIT, LIMIT] in each dimension
CALLS = 500  # of the likelihood, after which it is the other library's turn

SIZES = Sizes(
    seconds=(3, 15, 300),
    dimensions=(2, 2, 4),
    live_points=(100, 100, 300),
    sample_size=(100, 2000, 10000),
    epochs=(5, 10_000, 10_000),  # at most; 10000 is nautilus's own bound, and nets converge long before
    seeds=(1, 1, 3),
)


def notices() -> list[str]:
    missing = [name for module, name in NEEDED.items() if importlib.util.find_spec(module) is None]
    return [f"Not installed: {listing(missing)} (pip install {' '.join(missing)})."] if missing else []


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    if notices():
        return []
    problem = {name: getattr(sizes, name) for name in ("dimensions", "live_points", "sample_size", "epochs")}
    version = metadata.version(NEEDED["nautilus"])

    def job(seed: int) -> Job:
        return Job(
            {**problem, "seed": seed, "version": version},
            lambda: sample({**problem, "seed": seed}),
            lambda result: {"nautilus": [_row(seed, version, library, result[library]) for library in (THEIRS, OURS)]},
        )

    return [job(seed) for seed in range(sizes.seeds)]


def sample(settings: dict[str, int]) -> dict[str, dict[str, float]]:
    """By each library in a process of its own; they take turns, so that a busy moment of the machine affects both."""
    environment = {**libraries.best_environment(), **ONE_THREAD}
    results: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        processes = {}
        for library in (THEIRS, OURS):
            process = Process("speed.nautilus", "Sampling", library, environment=environment)
            processes[library] = stack.enter_context(closing(process))
            process.call("prepare", **settings)
        while len(results) < len(processes):
            for library in [name for name in processes if name not in results]:
                if found := processes[library].call("advance"):
                    results[library] = found
    return results


def prior(unit: np.ndarray) -> np.ndarray:
    return LIMIT * (2 * unit - 1)


def log_likelihood(x: np.ndarray) -> np.ndarray:
    """Of points, shape (points, dimensions): Rosenbrock's function of each pair of dimensions, a curved valley."""
    a, b = x[..., ::2], x[..., 1::2]
    return -np.sum(100 * (a**2 - b) ** 2 + (a - 1) ** 2, axis=-1)


def log_evidence(dimensions: int) -> float:
    """The exact one: b is integrated in closed form, and a by a sum over a fine grid, on which its error is tiny."""
    a = np.linspace(-LIMIT, LIMIT, 100_001)
    over_b = [math.erf(10 * (LIMIT - square)) + math.erf(10 * (LIMIT + square)) for square in a**2]
    area = np.sum(np.exp(-((a - 1) ** 2)) * over_b) * (a[1] - a[0]) * math.sqrt(math.pi) / 20
    return dimensions / 2 * math.log(area / (2 * LIMIT) ** 2)


class Sampling:
    """A run of nautilus with the nets of one library, for `process.Process`. Times are those of the processor."""

    def __init__(self, library: str) -> None:
        import nautilus.neural

        if library == OURS:
            import fastmlp

            nautilus.neural.MLPRegressor = fastmlp.MLPRegressor  # the changed import
        self.seconds = {"total": 0.0, "training": 0.0, "predictions": 0.0}
        emulator = nautilus.neural.NeuralNetworkEmulator
        emulator.train = self._timed("training", emulator.train)  # a class method, already bound
        emulator.predict = self._timed("predictions", emulator.predict)

    def _timed(self, part: str, function: Any) -> Any:
        def timed(*arguments: Any, **settings: Any) -> Any:
            start = time.process_time()
            result = function(*arguments, **settings)
            self.seconds[part] += time.process_time() - start
            return result

        return timed

    def prepare(self, dimensions: int, live_points: int, sample_size: int, epochs: int, seed: int) -> None:
        from nautilus import Sampler

        warnings.simplefilter("ignore")
        self._sample_size = sample_size
        settings = {"n_dim": dimensions, "n_live": live_points, "neural_network_kwargs": {"max_iter": epochs}}
        self._sampler = Sampler(prior, log_likelihood, vectorized=True, seed=seed, **settings)
        self._run = self._timed("total", self._sampler.run)

    def advance(self) -> dict[str, float] | None:
        """Continues until the next `CALLS` calls of the likelihood are done; at the end, what was found."""
        if not self._run(n_eff=self._sample_size, n_like_max=self._sampler.n_like + CALLS):
            return None
        return {
            **self.seconds,
            "log_evidence": float(self._sampler.log_z),
            "sample_size": float(self._sampler.n_eff),
            "calls": int(self._sampler.n_like),
        }


def _row(seed: int, version: str, library: str, found: dict[str, float]) -> Row:
    seconds = {f"{part}_seconds": float(f"{found[part]:.4g}") for part in ("total", "training", "predictions")}
    names = ("log_evidence", "sample_size", "calls")
    return {"seed": seed, "nautilus": version, "library": library, **seconds, **{name: found[name] for name in names}}


def ratios(table: Table, *parts: str) -> np.ndarray:
    """How many times as long these parts take with scikit-learn's nets, seed by seed."""
    seconds = {
        name: sum(table.where(library=name)[f"{part}_seconds"] for part in parts)  # in the same order of seeds
        for name in (THEIRS, OURS)
    }
    return seconds[THEIRS] / seconds[OURS]


def shares(table: Table, library: str) -> np.ndarray:
    """Of the time in which nets are trained or predict."""
    of_library = table.where(library=library)
    return (of_library["training_seconds"] + of_library["predictions_seconds"]) / of_library["total_seconds"]


def equal(table: Table) -> int:
    """The number of seeds whose evidence and sample size are the same in the seven digits of the table."""
    ours, theirs = (table.where(library=name) for name in (OURS, THEIRS))
    return int(
        np.sum((ours["log_evidence"] == theirs["log_evidence"]) & (ours["sample_size"] == theirs["sample_size"]))
    )


def numbers(t: Tables) -> dict[str, Any]:
    if "nautilus" not in t.tables:
        return {"answer": "Nothing was measured yet."}
    table = t["nautilus"]
    ours, theirs = (table.where(library=name)["log_evidence"] for name in (OURS, THEIRS))
    return {
        "seeds": len(table.distinct("seed")),
        "version": table["nautilus"][0],
        "ratios": ratios(table, "total"),
        "training": ratios(table, "training"),
        "predictions": ratios(table, "predictions"),
        "share": shares(table, THEIRS),
        "our_share": shares(table, OURS),
        "equal": equal(table),
        "difference": np.abs(ours - theirs).max(),
        "exact": log_evidence(t.sizes.dimensions),
    }
