"""The batch-size measurements as CSV files: one per question, one row per number of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from batch_size_measurements import Measurements
from curves import METRICS
from results import Results


def write_tables(measured: Measurements, results: Results) -> dict[str, Path]:
    """Write them beside the results; their paths by question."""
    seeds = measured.plan.seeds

    def curve_rows() -> list[tuple[Any, ...]]:
        return [
            (rule, size, seed, epoch, updates, *metrics, f"{seconds:.4f}")
            for rule, group in (("one update per epoch", measured.one_update), ("mini-batch", measured.mini_batch))
            for size, curves in group.items()
            for i, seed in enumerate(seeds)
            for epoch, updates, seconds, *metrics in zip(
                curves.epochs, curves.updates, curves.seconds[i], *(getattr(curves, name)[i] for name in METRICS)
            )
        ]

    rates = [
        ("scaled" if line.scaled else "constant", line.base_rate, size, line.rate(size), seed, loss)
        for line in measured.rate_lines
        for size, losses in zip(line.batch_sizes, line.losses)
        for seed, loss in zip(seeds, losses)
    ]
    times = [
        (size, threads, i, seconds, float(f"{seconds / math.ceil(measured.plan.train_rows / size):.4g}"))
        for threads, sizes in measured.epoch_seconds.items()
        for size, rounds in sizes.items()
        for i, seconds in enumerate(rounds)
    ]
    memory = [(trainer, size, count) for trainer, sizes in measured.peak_bytes.items() for size, count in sizes.items()]
    return {
        "curves": results.write_csv(
            "curves.csv", ("rule", "batch_size", "seed", "epoch", "updates", *METRICS, "seconds"), curve_rows()
        ),
        "rates": results.write_csv(
            "learning_rates.csv",
            ("learning_rates", "rate_at_128", "batch_size", "learning_rate", "seed", "val_loss"),
            rates,
        ),
        "times": results.write_csv(
            "times.csv", ("batch_size", "threads", "round", "seconds_per_epoch", "seconds_per_batch"), times
        ),
        "memory": results.write_csv("memory.csv", ("trainer", "batch_size", "peak_bytes_beyond_data"), memory),
    }
