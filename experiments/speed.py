"""How fast is a training step? Shares of the processor's own peak, measured in the same run.

The peak is what multiply-adds reach that never leave the registers. A step counts
2 * batch * (3 * sum(inputs * outputs) - inputs_0 * outputs_0) operations: forward, weight gradients, and
input gradients of all layers but the first.
"""

from __future__ import annotations

import statistics
from typing import Any

import fastmlp
import numpy as np
from campaign import Campaign
from fastmlp import _core
from report import run_alone
from results import Job
from section import Part, Section, Table
from wording import counted

NAME = "speed"

CASES = {  # name: layer sizes, rows, batch size
    "A": ((784, 128, 10), 60000, 128),
    "B": ((784, 128, 10), 60000, 1024),
    "C": ((784, 128, 10), 60000, 60000),
    "D": ((784, 512, 384, 10), 60000, 128),
    "E": ((784, 512, 384, 288, 10), 60000, 128),
    "F": ((784, 128, 10), 60000, 32),
    "T": ((2, 64, 64, 2), 1000, 32),
}
ROUNDS = {"smoke": 1, "quick": 5, "full": 15}
SMOKE_CASES = ("A", "T")
SECONDS_OF_PEAK = 0.03


def training_operations(layer_sizes: tuple[int, ...], rows: int) -> int:
    """Floating-point operations of one epoch; a multiply-add counts as two."""
    products = [inputs * outputs for inputs, outputs in zip(layer_sizes, layer_sizes[1:])]
    return 2 * rows * (3 * sum(products) - products[0])


def synthetic_digits(rows: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Four fifths zeros, as in MNIST, but in no column: the work is that of dense data."""
    rng = np.random.default_rng(0)
    X = rng.random((rows, features), dtype=np.float32)
    X[X < 0.8] = 0
    return X, rng.integers(0, classes, rows)


def measure_case(name: str, threads: int, rounds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Peak and epoch in turns, so that a busy moment of the machine meets both; medians of the rounds."""
    layer_sizes, rows, batch_size = CASES[name]
    X, y = synthetic_digits(rows, layer_sizes[0], layer_sizes[-1])
    trainer = fastmlp.Trainer(fastmlp.Network(layer_sizes), batch_size=batch_size, n_threads=threads)
    trainer.fit(X, y, epochs=1)
    peaks, seconds = [], []
    for _ in range(rounds):
        peaks.append(_core.peak_gflops(True, threads, SECONDS_OF_PEAK))
        seconds.append(trainer.fit(X, y, epochs=1).seconds[0])
    operations = training_operations(layer_sizes, rows)
    shares = [operations / s / 1e9 / peak for s, peak in zip(seconds, peaks)]
    return {}, {
        "seconds": statistics.median(seconds),
        "gflops": operations / statistics.median(seconds) / 1e9,
        "peak_gflops": statistics.median(peaks),
        "share_of_peak": statistics.median(shares),
    }


def run(campaign: Campaign) -> Section:
    results = campaign.results(NAME)
    rounds = ROUNDS[campaign.preset]
    thread_counts = sorted({1, _core.default_thread_count()})
    cases = SMOKE_CASES if campaign.preset == "smoke" else tuple(CASES)
    jobs = [
        Job(
            f"case {name}, {counted(threads, 'thread')}",
            {"experiment": NAME, "case": name, "threads": threads, "rounds": rounds},
            lambda name=name, threads=threads: measure_case(name, threads, rounds),
        )
        for name in cases
        for threads in thread_counts
    ]
    records = results.complete(jobs, campaign.say)
    header = ["case", "net", "batch", "threads", "ms per epoch", "GFLOP/s", "peak", "share of the peak"]
    rows = []
    for record in records:
        case, measured = record["configuration"], record["measured"]
        layer_sizes, _, batch_size = CASES[case["case"]]
        rows.append(
            [
                case["case"],
                "-".join(map(str, layer_sizes)),
                str(batch_size),
                str(case["threads"]),
                f"{measured['seconds'] * 1e3:.2f}",
                f"{measured['gflops']:.0f}",
                f"{measured['peak_gflops']:.0f}",
                f"{measured['share_of_peak']:.0%}",
            ]
        )
    for row in [header, *rows]:
        print("  ".join(cell.rjust(20 if i == 1 else 8) for i, cell in enumerate(row)))
    table_file = results.write_csv("speed.csv", header, rows)
    best = max(records, key=lambda record: record["measured"]["share_of_peak"])
    return Section(
        name=NAME,
        title="Speed",
        question="What share of the processor's multiply-add peak does a whole training step reach?",
        summary=[
            f"Up to {best['measured']['share_of_peak']:.0%} of the peak (case {best['configuration']['case']}, "
            f"{counted(best['configuration']['threads'], 'thread')}); the table has every case."
        ],
        claims=[],
        parts=[
            Part(
                "Whole training steps",
                [
                    "float32, plain SGD, shuffled rows of random data with four fifths zeros. The peak is measured in "
                    "turns with the epochs, in the same process: on a shared machine only the share means something."
                ],
                tables=[Table(f"Medians of {counted(rounds, 'round')}", header, rows)],
            )
        ],
        setup={"cases": ", ".join(cases), "rounds": str(rounds), "data": "random, 80 % zeros, float32"},
        data=[results.path, table_file],
        environments=results.environments(),
    )


if __name__ == "__main__":
    run_alone(run, __doc__)
