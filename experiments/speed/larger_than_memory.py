"""What does it cost to stream rows from a file instead of holding them in memory?"""

import itertools
import tempfile
from pathlib import Path
from types import SimpleNamespace

import fastmlp
import numpy as np
from fastmlp.streaming import Stream
from harness.digits import INPUT_SCALE
from harness.jobs import Job
from harness.run import Run, Sizes
from harness.tables import Row, Tables

NETS = ((784, 128, 10), (784, 512, 384, 10))
SOURCES = ("memory", "stream", "stream of one block", "memory map")
CHUNKS = 8  # of the file, one of which is in memory
BATCH_SIZE = 128

SIZES = Sizes(seconds=(1, 20, 600), nets=(NETS[:1], NETS, NETS), rows=(2000, 15_000, 120_000), rounds=(1, 3, 15))


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    def job(net: tuple[int, ...], dtype: str) -> Job:
        sizes_of_job = {"rows": sizes.rows, "rounds": sizes.rounds, "chunks": CHUNKS}
        count = sizes.rows * net[0] * np.dtype(dtype).itemsize
        return Job(
            {"net": list(net), "dtype": dtype, **sizes_of_job},
            lambda: seconds_per_epoch(net, dtype, sizes.rows, sizes.rounds),
            lambda seconds: {"larger_than_memory": [_row(net, dtype, count, seconds)]},
        )

    return [job(*case) for case in itertools.product(sizes.nets, ("float32", "uint8"))]


def _row(net: tuple[int, ...], dtype: str, count: int, seconds: dict[str, list[float]]) -> Row:
    """Speeds are shares of the speed in memory: medians over the rounds."""
    rounds_of = {name.replace(" ", "_"): np.array(rounds) for name, rounds in seconds.items()}
    return {
        **{"net": "-".join(map(str, net)), "dtype": dtype, "bytes": count},
        **{f"{name}_ms": float(f"{1e3 * np.median(rounds):.4g}") for name, rounds in rounds_of.items()},
        **{
            f"{name}_speed": round(float(np.median(rounds_of["memory"] / rounds)), 3)
            for name, rounds in rounds_of.items()
            if name != "memory"
        },
    }


def seconds_per_epoch(net: tuple[int, ...], dtype: str, rows: int, rounds: int) -> dict[str, list[float]]:
    """Of each source, round by round; the file is in the page cache."""
    rng = np.random.default_rng(0)
    X = rng.integers(1, 256, (rows, net[0]), np.uint8)
    X = X if dtype == "uint8" else (X / np.float32(255)).astype(dtype)
    y = rng.integers(0, net[-1], rows)
    seconds_of: dict[str, list[float]] = {name: [] for name in SOURCES}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.npy")
        np.save(path, X)
        mapped = np.load(path, mmap_mode="r")
        sources = {
            "memory": (X, y),
            "stream": (Stream.of_rows(path, y, chunk_rows=rows // CHUNKS), None),
            "stream of one block": (Stream.of_rows(path, y, chunk_rows=rows // CHUNKS, blocks_per_chunk=1), None),
            "memory map": (mapped, y),
        }
        scale = INPUT_SCALE if dtype == "uint8" else 1.0
        settings = {"learning_rate": 0.01, "batch_size": BATCH_SIZE}
        trainers = {name: fastmlp.Trainer(fastmlp.Network(net, input_scale=scale), **settings) for name in SOURCES}
        for number in range(-1, rounds):  # the first warms up
            for name in SOURCES:
                history = trainers[name].fit(*sources[name], epochs=2, verbose=False)
                if number >= 0:
                    seconds_of[name].append(history.seconds[1])  # values are checked before the first, or during it
        del mapped, sources
    return seconds_of


def numbers(t: Tables) -> dict[str, np.ndarray]:
    return {name: t["larger_than_memory"][f"{name}_speed"] for name in ("stream", "memory_map")}
