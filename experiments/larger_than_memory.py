"""What does it cost to stream rows from a file instead of holding them in memory?"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastmlp
import numpy as np
from campaign import Campaign
from fastmlp.streaming import Stream
from report import run_alone
from results import Job, Results
from section import Part, Section, Table
from wording import in_bytes, span

NAME = "larger_than_memory"

NETS = ((784, 128, 10), (784, 512, 384, 10))
WAYS = ("memory", "stream", "stream of one block", "memory map")
CHUNKS = 8  # of the file, one of which is in memory
BATCH_SIZE = 128


@dataclass(frozen=True)
class Plan:
    """How much of everything a preset does."""

    nets: Sequence[tuple[int, ...]]
    rows: int
    rounds: int


PLANS = {"smoke": Plan(NETS[:1], 2000, 1), "quick": Plan(NETS, 30_000, 5), "full": Plan(NETS, 120_000, 15)}


@dataclass(frozen=True)
class Case:
    net: tuple[int, ...]
    dtype: str  # of the rows

    @property
    def title(self) -> str:
        return f"{'-'.join(map(str, self.net))}, {self.dtype}"


def seconds_per_epoch(case: Case, rows: int, rounds: int) -> dict[str, list[float]]:
    """Of each way, round by round; the file is in the page cache."""
    rng = np.random.default_rng(0)
    X = rng.integers(1, 256, (rows, case.net[0]), np.uint8)
    X = X if case.dtype == "uint8" else (X / np.float32(255)).astype(case.dtype)
    y = rng.integers(0, case.net[-1], rows)
    found: dict[str, list[float]] = {way: [] for way in WAYS}
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
        scale = 1 / 255 if case.dtype == "uint8" else 1.0
        trainers = {
            way: fastmlp.Trainer(
                fastmlp.Network(case.net, input_scale=scale), learning_rate=0.01, batch_size=BATCH_SIZE
            )
            for way in WAYS
        }
        for number in range(-1, rounds):  # the first warms up
            for way in WAYS:
                history = trainers[way].fit(*sources[way], epochs=2, verbose=False)
                if number >= 0:
                    found[way].append(history.seconds[1])  # values are checked before the first, or during it
        del mapped, sources
    return found


Measurements = dict[Case, dict[str, np.ndarray]]


def measure(campaign: Campaign, results: Results) -> Measurements:
    plan = PLANS[campaign.preset]
    cases = [Case(net, dtype) for net in plan.nets for dtype in ("float32", "uint8")]

    def job(case: Case) -> Job:
        configuration: dict[str, Any] = {
            "net": list(case.net),
            "dtype": case.dtype,
            "rows": plan.rows,
            "rounds": plan.rounds,
            "chunks": CHUNKS,
        }
        return Job(case.title, configuration, lambda: ({}, seconds_per_epoch(case, plan.rows, plan.rounds)))

    records = results.complete([job(case) for case in cases], lambda text: campaign.say(f"larger than memory, {text}"))
    return {
        case: {way: np.array(rounds) for way, rounds in record["measured"].items()}
        for case, record in zip(cases, records)
    }


def speed(ways: dict[str, np.ndarray], way: str) -> float:
    """As a share of the speed in memory: the median over rounds."""
    return float(np.median(ways["memory"] / ways[way]))


def run(campaign: Campaign) -> Section:
    plan, results = PLANS[campaign.preset], campaign.results(NAME)
    measured = measure(campaign, results)
    names = [way.replace(" ", "_") for way in WAYS]
    table = results.write_csv(
        "larger_than_memory.csv",
        ("net", "dtype", "bytes", *(f"{way}_ms" for way in names), *(f"{way}_speed" for way in names[1:])),
        [
            (
                "-".join(map(str, case.net)),
                case.dtype,
                _bytes(case, plan),
                *(f"{1e3 * np.median(ways[way]):.4g}" for way in WAYS),
                *(f"{speed(ways, way):.3f}" for way in WAYS[1:]),
            )
            for case, ways in measured.items()
        ],
    )
    shares, maps = ([speed(ways, way) for ways in measured.values()] for way in ("stream", "memory map"))
    return Section(
        name=NAME,
        title="Data larger than memory",
        question="What does it cost to stream rows from a file instead of holding them in memory?",
        summary=[
            f"An epoch from a file in the page cache, an eighth of it in memory at a time, runs at "
            f"{span(shares, '{:.0%}'.format)} of the speed in memory."
        ],
        claims=[],
        parts=[
            Part(
                "Four ways to the same rows",
                [
                    "In memory; streamed, a chunk at a time, each put together from 64 blocks from all over the file, which all "
                    "threads read; streamed in chunks of one block, which are mapped where they lie; and from "
                    "a memory map of the whole file, row by row. Putting chunks together costs a copy of each row: the smaller the net "
                    "and the wider the type, the more that counts. With a memory map, and the file in the page cache, epochs run at "
                    f"{span(maps, '{:.0%}'.format)} of the speed in memory. A file that does not fit into the cache costs a seek per row, "
                    "which is what streams are for and what is not measured here.",
                ],
                tables=[
                    Table(
                        f"Medians of {plan.rounds} rounds, batches of {BATCH_SIZE}",
                        [
                            "net, type of the rows",
                            "file",
                            *(f"{way}, ms per epoch" for way in WAYS),
                            "speed of the stream",
                        ],
                        [
                            [
                                case.title,
                                in_bytes(_bytes(case, plan)),
                                *(f"{1e3 * np.median(ways[way]):.0f}" for way in WAYS),
                                *(f"{speed(ways, way):.0%}" for way in WAYS[1:3]),
                            ]
                            for case, ways in measured.items()
                        ],
                    )
                ],
            )
        ],
        setup={"Rows": str(plan.rows), "Data": "random, without zeros", "Optimizer": "plain SGD"},
        data=[results.path, table],
        environments=results.environments(),
    )


def _bytes(case: Case, plan: Plan) -> int:
    return plan.rows * case.net[0] * np.dtype(case.dtype).itemsize


if __name__ == "__main__":
    run_alone(run, __doc__)
