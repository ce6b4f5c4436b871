"""What the batch-size experiment measures: training curves, scaled learning rates, times and peak memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from campaign import Campaign
from curves import METRICS, Curves
from digits import Digits
from fastmlp import DivergenceError, Network, Trainer, show_config
from memory_probe import TRAINERS, peak_training_bytes
from results import Job, Record, Results

LAYER_SIZES = (784, 128, 10)
LEARNING_RATE = 0.4
INPUT_SCALE = 1 / 255

SCALING_REFERENCE = 128  # the batch size at which scaled and constant learning rates are equal
SCALING_RATES = (0.1, 0.4)  # there: a usual one, and the report's


@dataclass(frozen=True)
class Plan:
    """How much of everything a preset does. The largest of `batch_sizes` is all rows."""

    train_rows: int
    test_rows: int
    seeds: Sequence[int]
    batch_sizes: Sequence[int]
    epochs: int
    scaling_sizes: Sequence[int]
    scaling_epochs: int
    timing_sizes: Sequence[int]
    timing_rounds: int
    memory_sizes: Sequence[int]


PLANS = {
    "smoke": Plan(2000, 500, (0,), (32, 256, 2000), 4, (32, 128, 512), 2, (32, 256, 2000), 1, (32, 2000)),
    "quick": Plan(
        60000,
        10000,
        (0, 1, 2),
        (128, 1024, 60000),
        40,
        (32, 128, 512, 2048, 8192),
        4,
        (8, 32, 128, 1024, 8192, 60000),
        3,
        (128, 1024, 8192, 60000),
    ),
    "full": Plan(
        60000,
        10000,
        (0, 1, 2),
        (128, 1024, 60000),
        200,
        tuple(2**i for i in range(5, 14)),
        10,
        (1, 4, 16, 64, 128, 256, 1024, 4096, 16384, 60000),
        5,
        (8, 32, 128, 512, 1024, 2048, 8192, 32768, 60000),
    ),
}


@dataclass(frozen=True)
class RateLine:
    """Losses after the same number of epochs by batch size, at a constant or a scaled learning rate."""

    base_rate: float  # at SCALING_REFERENCE
    scaled: bool
    batch_sizes: Sequence[int]
    losses: np.ndarray  # (batch sizes, seeds): of the validation rows; inf where the loss was no longer finite

    def rate(self, batch_size: int) -> float:
        return scaled_rate(self.base_rate, batch_size) if self.scaled else self.base_rate


@dataclass(frozen=True)
class Measurements:
    plan: Plan
    digits: Digits
    one_update: dict[int, Curves]  # by batch size
    mini_batch: dict[int, Curves]
    rate_lines: Sequence[RateLine]
    epoch_seconds: dict[int, dict[int, np.ndarray]]  # by threads, by batch size: (rounds,)
    peak_bytes: dict[str, dict[int, int | None]]  # by trainer, by batch size


def scaled_rate(base_rate: float, batch_size: int) -> float:
    return base_rate * batch_size / SCALING_REFERENCE


def measure(campaign: Campaign, results: Results) -> Measurements:
    plan = PLANS[campaign.preset]
    digits = campaign.digits(plan.train_rows, plan.test_rows)

    def say(part: str) -> Callable[[str], None]:
        return lambda text: campaign.say(f"batch size, {part} {text}")

    return Measurements(
        plan=plan,
        digits=digits,
        one_update=_curves(plan, digits, "one update per epoch", results, say("one update per epoch")),
        mini_batch=_curves(plan, digits, "mini-batch", results, say("mini-batch")),
        rate_lines=_rate_lines(plan, digits, results, say("learning rates")),
        epoch_seconds=_epoch_seconds(plan, digits, results, say("times")),
        peak_bytes=_peak_bytes(plan, results, say("memory")),
    )


def _training(
    digits: Digits, epochs: int, batch_size: int, learning_rate: float, seed: int, accumulate: int | str = 1
) -> dict[str, Any]:
    rows = len(digits.x_train)
    return {
        "measurement": "training",
        "data": digits.name,
        "train_rows": rows,
        "test_rows": len(digits.x_test),
        "layer_sizes": list(LAYER_SIZES),
        "activation": "relu",
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
        # All rows in one batch: both rules are the same computation, and the net is trained once.
        "accumulate": "epoch" if batch_size >= rows else accumulate,
    }


def _train(configuration: dict[str, Any], digits: Digits) -> tuple[dict[str, Any], dict[str, Any]]:
    seed = configuration["seed"]
    network = Network(configuration["layer_sizes"], configuration["activation"], input_scale=INPUT_SCALE, seed=seed)
    trainer = Trainer(
        network,
        learning_rate=configuration["learning_rate"],
        batch_size=configuration["batch_size"],
        accumulate=configuration["accumulate"],
        seed=seed,
    )
    history = trainer.fit(
        digits.x_train,
        digits.y_train,
        configuration["epochs"],
        validation_data=(digits.x_test, digits.y_test),
        verbose=False,
    )
    return {name: getattr(history, name) for name in METRICS}, {"seconds": history.seconds}


def _curves(plan: Plan, digits: Digits, rule: str, results: Results, say: Callable[[str], None]) -> dict[int, Curves]:
    def job(batch_size: int, seed: int) -> Job:
        configuration = _training(
            digits, plan.epochs, batch_size, LEARNING_RATE, seed, "epoch" if rule == "one update per epoch" else 1
        )
        return Job(f"batch {batch_size}, seed {seed}", configuration, lambda: _train(configuration, digits))

    # Seed by seed, so that a slow minute of the machine does not fall on one batch size alone.
    records = results.complete([job(batch_size, seed) for seed in plan.seeds for batch_size in plan.batch_sizes], say)
    return {
        batch_size: Curves.of(
            records[i :: len(plan.batch_sizes)],
            1 if rule == "one update per epoch" else math.ceil(plan.train_rows / batch_size),
        )
        for i, batch_size in enumerate(plan.batch_sizes)
    }


def _rate_lines(plan: Plan, digits: Digits, results: Results, say: Callable[[str], None]) -> list[RateLine]:
    def train(configuration: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            return _train(configuration, digits)
        except DivergenceError:  # a result here, not a failure
            return {"diverged": True}, {}

    def job(batch_size: int, rate: float, seed: int) -> Job:
        configuration = _training(digits, plan.scaling_epochs, batch_size, rate, seed)
        return Job(
            f"batch {batch_size}, learning rate {rate:g}, seed {seed}", configuration, lambda: train(configuration)
        )

    def last_loss(record: Record) -> float:
        return math.inf if "diverged" in record["outcome"] else record["outcome"]["val_loss"][-1]

    lines = [
        RateLine(base, scaled, plan.scaling_sizes, np.empty(0)) for base in SCALING_RATES for scaled in (False, True)
    ]
    jobs = [job(size, line.rate(size), seed) for line in lines for size in plan.scaling_sizes for seed in plan.seeds]
    losses = np.array([last_loss(record) for record in results.complete(jobs, say)])
    losses = losses.reshape(len(lines), len(plan.scaling_sizes), len(plan.seeds))
    return [RateLine(line.base_rate, line.scaled, line.batch_sizes, part) for line, part in zip(lines, losses)]


def _epoch_seconds(
    plan: Plan, digits: Digits, results: Results, say: Callable[[str], None]
) -> dict[int, dict[int, np.ndarray]]:
    def second_epoch(batch_size: int, threads: int) -> tuple[dict[str, Any], dict[str, Any]]:
        network = Network(LAYER_SIZES, input_scale=INPUT_SCALE)
        trainer = Trainer(network, learning_rate=0.1, batch_size=batch_size, n_threads=threads)
        history = trainer.fit(digits.x_train, digits.y_train, epochs=2, verbose=False)
        return {}, {"seconds": history.seconds[1]}  # the first one warms up

    def job(batch_size: int, threads: int, turn: int) -> Job:
        configuration = {
            "measurement": "seconds per epoch",
            "rows": plan.train_rows,
            "layer_sizes": list(LAYER_SIZES),
            "batch_size": batch_size,
            "threads": threads,
            "round": turn,
        }
        return Job(f"batch {batch_size}, threads {threads}", configuration, lambda: second_epoch(batch_size, threads))

    threads = sorted({1, show_config("dicts")["threads"]})
    # In rounds, for the same reason as seed by seed.
    keys = [(count, size) for _ in range(plan.timing_rounds) for count in threads for size in plan.timing_sizes]
    jobs = [job(size, count, i // (len(threads) * len(plan.timing_sizes))) for i, (count, size) in enumerate(keys)]
    found: dict[int, dict[int, list[float]]] = {count: {size: [] for size in plan.timing_sizes} for count in threads}
    for (count, size), record in zip(keys, results.complete(jobs, say)):
        found[count][size].append(record["measured"]["seconds"])
    return {count: {size: np.array(seconds) for size, seconds in sizes.items()} for count, sizes in found.items()}


def _peak_bytes(plan: Plan, results: Results, say: Callable[[str], None]) -> dict[str, dict[int, int | None]]:
    def job(trainer: str, batch_size: int) -> Job:
        configuration = {
            "measurement": "peak bytes beyond the data",
            "rows": plan.train_rows,
            "layer_sizes": list(LAYER_SIZES),
            "batch_size": batch_size,
            "trainer": trainer,
        }
        return Job(
            f"{trainer}, batch {batch_size}",
            configuration,
            lambda: ({}, {"bytes": peak_training_bytes(trainer, batch_size, plan.train_rows, LAYER_SIZES)}),
        )

    keys = [(trainer, size) for trainer in TRAINERS for size in plan.memory_sizes]
    found: dict[str, dict[int, int | None]] = {trainer: {} for trainer in TRAINERS}
    for (trainer, size), record in zip(keys, results.complete([job(*key) for key in keys], say)):
        found[trainer][size] = record["measured"]["bytes"]
    return found
