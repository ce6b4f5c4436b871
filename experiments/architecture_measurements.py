"""What the experiment on architecture trains: the report's nine nets under two rules, a grid, and learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from campaign import Campaign
from digits import Digits
from fastmlp import studies
from results import Job, Results

REPORT_NETS = (
    (128,),
    (254,),
    (512,),
    (128, 96),
    (254, 190),
    (512, 384),
    (128, 96, 72),
    (254, 190, 142),
    (512, 384, 288),
)
HALVED_NETS = ((128, 64), (254, 127), (512, 256))  # widths falling by 1/2, which the report tried first
REPORT_RULE = {"learning_rate": 0.2, "batch_size": 128, "accumulate": "epoch"}
MINI_BATCH = {"learning_rate": 0.05, "batch_size": 64, "momentum": 0.9, "l2": 5e-5}
CURVE_NETS = ((128,), (512, 384))
INPUT_SCALE = 1 / 255
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")

Hidden = tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """How much of everything a preset does."""

    train_rows: int
    test_rows: int
    report_epochs: int
    epochs: int
    first_widths: Sequence[int]
    train_sizes: Sequence[int]
    seeds: int


PLANS = {
    "smoke": Plan(600, 200, 3, 2, (16,), (100,), 1),
    "quick": Plan(5000, 2000, 40, 15, (16, 64, 256, 512), (500, 1500, 5000), 2),
    "full": Plan(60000, 10000, 200, 20, (16, 32, 64, 128, 256, 512), (500, 1000, 2000, 5000, 10000, 20000, 60000), 3),
}
DEPTHS = (1, 2, 3)


@dataclass(frozen=True)
class Nets:
    """Of one architecture over the seeds; each curve has shape (seeds, epochs)."""

    curves: dict[str, np.ndarray]  # "test_accuracy" has one entry, after the last epoch
    train_accuracy: np.ndarray  # (seeds,), after the last epoch
    seconds: float  # per epoch, median
    parameters: int

    def final(self, name: str) -> np.ndarray:
        return self.curves[name][:, -1]


@dataclass(frozen=True)
class Measurements:
    plan: Plan
    digits: Digits
    report: dict[Hidden, Nets]  # the nine, and those with halved widths
    mini_batch: dict[Hidden, Nets]
    grid: dict[tuple[int, int], Nets]  # by first width and depth
    curve: dict[tuple[Hidden, int], Nets]  # by net and training rows

    @property
    def chosen(self) -> Hidden:
        """Of the report's nine, the net with the best validation accuracy under mini-batch SGD."""
        return max(REPORT_NETS, key=lambda hidden: self.mini_batch[hidden].final("val_accuracy").mean())


def name_of(hidden: Hidden) -> str:
    return "-".join(map(str, hidden))


def measure(campaign: Campaign, results: Results) -> Measurements:
    plan = PLANS[campaign.preset]
    digits = campaign.digits(plan.train_rows, plan.test_rows)

    def train(
        part: str, nets: Sequence[Hidden], epochs: int, rule: Mapping[str, Any], rows: int = 0
    ) -> dict[Hidden, Nets]:
        jobs = [_job(part, seed, nets, digits, epochs, rule, rows) for seed in range(plan.seeds)]
        records = results.complete(jobs, lambda text: campaign.say(f"architecture, {text}"))
        return {hidden: _gather([(r["outcome"], r["measured"]) for r in records], name_of(hidden)) for hidden in nets}

    shapes = {(width, depth): studies.widths(width, depth) for width in plan.first_widths for depth in DEPTHS}
    grid = train("grid", list(shapes.values()), plan.epochs, MINI_BATCH)
    curves = {size: train(f"{size} rows", CURVE_NETS, plan.epochs, MINI_BATCH, size) for size in plan.train_sizes}
    return Measurements(
        plan,
        digits,
        # Without the widest of the halved, which would take as long as all nets of depth 1.
        report=train("one update per epoch", REPORT_NETS + HALVED_NETS[:2], plan.report_epochs, REPORT_RULE),
        mini_batch=train("mini-batch", REPORT_NETS + HALVED_NETS, plan.epochs, MINI_BATCH),
        grid={key: grid[hidden] for key, hidden in shapes.items()},
        curve={(hidden, size): found[hidden] for size, found in curves.items() for hidden in CURVE_NETS},
    )


def _job(
    part: str,
    seed: int,
    nets: Sequence[Hidden],
    digits: Digits,
    epochs: int,
    rule: Mapping[str, Any],
    rows: int,  # the first so many of all training rows; 0: those that are not kept for choices
) -> Job:
    """All nets of a seed, side by side."""
    configuration = {
        "data": digits.name,
        "train_rows": len(digits.x_train),
        "test_rows": len(digits.x_test),
        "used_rows": rows,
        "nets": [list(hidden) for hidden in nets],
        "epochs": epochs,
        "seed": seed,
        **rule,
    }
    return Job(f"{part}, seed {seed}", configuration, lambda: _train(seed, nets, digits, epochs, rule, rows))


def _train(
    seed: int, nets: Sequence[Hidden], digits: Digits, epochs: int, rule: Mapping[str, Any], rows: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    # Where nothing is chosen, in the learning curves, no rows are kept for it.
    x, y = (digits.x_train[:rows], digits.y_train[:rows]) if rows else digits.training
    table, networks = studies.compare(
        [{"layer_sizes": (784, *hidden, 10), "input_scale": INPUT_SCALE, **rule} for hidden in nets],
        x,
        y,
        epochs,
        seeds=(seed,),
        evaluation_sets={} if rows else {"val": digits.held_out["val"]},
        verbose=False,
    )
    outcome: dict[str, Any] = {}
    measured: dict[str, Any] = {}
    for i, (hidden, network) in enumerate(zip(nets, networks)):
        own = table[i * epochs : (i + 1) * epochs]
        outcome[name_of(hidden)] = {metric: [row[metric] for row in own] for metric in METRICS if metric in own[0]} | {
            "train_accuracy": network.evaluate(x, y).accuracy,
            "test_accuracy": network.evaluate(digits.x_test, digits.y_test).accuracy,
            "parameters": network.parameter_count,
        }
        measured[name_of(hidden)] = float(np.median([row["seconds"] for row in own]))
    return outcome, {"seconds": measured}


def _gather(records: Sequence[tuple[dict[str, Any], dict[str, Any]]], name: str) -> Nets:
    outcomes = [outcome[name] for outcome, _ in records]
    curves = {metric: np.array([each[metric] for each in outcomes]) for metric in METRICS if metric in outcomes[0]}
    curves["test_accuracy"] = np.array([np.atleast_1d(each["test_accuracy"])[-1:] for each in outcomes])
    return Nets(
        curves,
        np.array([outcome["train_accuracy"] for outcome in outcomes]),
        float(np.median([measured["seconds"][name] for _, measured in records])),
        outcomes[0]["parameters"],
    )
