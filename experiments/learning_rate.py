"""Which learning rate suits which batch size?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from campaign import Campaign
from digits import Digits
from fastmlp import studies
from fastmlp.plotting import HeatMapDisplay
from figures import panels, save
from matplotlib.figure import Figure as Drawing
from report import run_alone
from results import Job, Results
from section import Figure, Part, Section, Table
from wording import counted, listing

NAME = "learning_rate"
LAYER_SIZES = (784, 128, 10)
INPUT_SCALE = 1 / 255
RATES = tuple(0.0125 * 2**i for i in range(9))  # the report's 0.2 and 0.4 among them
REPORT_RATES = (0.2, 0.4)
LEARNT = 0.8  # accuracy: below it, a net has hardly learnt
NEAR = 0.005  # of accuracy below the best: a rate that one could live with


@dataclass(frozen=True)
class Plan:
    """How much of everything a preset does."""

    train_rows: int
    batch_sizes: Sequence[int]
    epochs: int
    seeds: int


PLANS = {
    "smoke": Plan(600, (32, 128), 2, 1),
    "quick": Plan(10000, (8, 32, 128, 512, 2048), 5, 1),
    "full": Plan(60000, (8, 32, 128, 512, 2048, 8192), 10, 3),
}


@dataclass(frozen=True)
class Measurements:
    plan: Plan
    digits: Digits
    accuracies: dict[tuple[int, float], np.ndarray]  # by batch size and rate: (seeds,), nan where a net diverged

    def mean(self, batch_size: int, rate: float) -> float:
        """Validation accuracy after the last epoch; nan where a seed diverged."""
        return float(self.accuracies[batch_size, rate].mean())

    def best(self, batch_size: int) -> float:
        """The rate with the best mean validation accuracy."""
        return max(RATES, key=lambda rate: np.nan_to_num(self.mean(batch_size, rate)))

    def usable(self, batch_size: int) -> list[float]:
        """The rates whose accuracy is near that of the best."""
        least = self.mean(batch_size, self.best(batch_size)) - NEAR
        return [rate for rate in RATES if self.mean(batch_size, rate) >= least]

    @property
    def slope(self) -> float:
        """Of the log of the best rate against that of the batch size: 1 for the linear rule, 1/2 for the square root."""
        sizes = self.plan.batch_sizes
        return float(np.polyfit(np.log(sizes), np.log([self.best(size) for size in sizes]), 1)[0])


def measure(campaign: Campaign, results: Results) -> Measurements:
    plan = PLANS[campaign.preset]
    digits = campaign.digits(plan.train_rows, plan.train_rows // 6)
    jobs = [_job(size, seed, digits, plan.epochs) for size in plan.batch_sizes for seed in range(plan.seeds)]
    records = iter(results.complete(jobs, lambda text: campaign.say(f"learning rate, {text}")))
    accuracies = {}
    for size in plan.batch_sizes:
        found = [next(records)["outcome"]["val_accuracy"] for _ in range(plan.seeds)]
        for i, rate in enumerate(RATES):
            accuracies[size, rate] = np.array([np.nan if of_seed[i] is None else of_seed[i] for of_seed in found])
    return Measurements(plan, digits, accuracies)


def _job(batch_size: int, seed: int, digits: Digits, epochs: int) -> Job:
    """All rates of a batch size and seed, side by side."""
    common: Mapping[str, Any] = {"layer_sizes": list(LAYER_SIZES), "batch_size": batch_size}
    configuration = {
        **common,
        "data": digits.name,
        "train_rows": len(digits.x_train),
        "learning_rates": list(RATES),
        "epochs": epochs,
        "seed": seed,
    }

    def train() -> tuple[dict[str, Any], dict[str, Any]]:
        rows, _ = studies.compare(
            [{**common, "input_scale": INPUT_SCALE, "learning_rate": rate} for rate in RATES],
            *digits.training,
            epochs,
            seeds=(seed,),
            evaluation_sets={"val": digits.held_out["val"]},
            verbose=False,
        )
        last = {row["learning_rate"]: row["val_accuracy"] for row in rows}  # of each net, its last row stays
        return {"val_accuracy": [None if np.isnan(last[rate]) else last[rate] for rate in RATES]}, {}

    return Job(f"batch {batch_size}, seed {seed}", configuration, train)


def run(campaign: Campaign) -> Section:
    results = campaign.results(NAME)
    measured = measure(campaign, results)
    table = _write_table(measured, results)
    plan = measured.plan
    figure = Figure(
        *save(draw(measured), results.folder, "heat_map"),
        f"Validation accuracy after {counted(plan.epochs, 'epoch')}, by learning rate and batch size. {_seeds(plan)}"
        + (" Empty: a net diverged." if any(np.isnan(found).any() for found in measured.accuracies.values()) else ""),
        "Heat map. Best of each batch size: "
        + "; ".join(
            f"{size}: {measured.mean(size, measured.best(size)):.2%} at {measured.best(size):g}"
            for size in plan.batch_sizes
        ),
        [table],
    )
    return Section(
        name=NAME,
        title="Learning rate and batch size",
        question="Which learning rate suits which batch size?",
        summary=[_summary(measured)],
        claims=[],
        parts=[
            Part(
                "Two settings, one map",
                _paragraphs(measured),
                [figure],
                [
                    Table(
                        f"By batch size, after {counted(plan.epochs, 'epoch')}",
                        [
                            "batch size",
                            "best rate",
                            "accuracy there",
                            f"rates within {NEAR:.1%}",
                            "per cent at 0.2, at 0.4",
                        ],
                        [_row(measured, size) for size in plan.batch_sizes],
                    )
                ],
            )
        ],
        setup={
            "Net": "-".join(map(str, LAYER_SIZES)),
            "Optimizer": "SGD without momentum, one update per batch",
            "Validation": "one training row in ten; test images play no part",
            "Seeds": str(plan.seeds),
        },
        data=[results.path, table],
        environments=results.environments(),
        notices=[measured.digits.notice] if measured.digits.notice else [],
    )


def _seeds(plan: Plan) -> str:
    return "One seed." if plan.seeds == 1 else f"Means of {plan.seeds} seeds."


def _summary(measured: Measurements) -> str:
    best = {size: measured.best(size) for size in measured.plan.batch_sizes}
    rates = list(best.values())
    text = f"The best rate is {listing(f'{rate:g} (batches of {size})' for size, rate in best.items())}"
    if rates == sorted(rates) and rates[0] < rates[-1]:
        return f"The larger the batch, the larger the rate that suits it. {text}: it grows as the batch size to the power of {measured.slope:.2f}."
    return f"{text}: no simple rule can be told from this run."


def _paragraphs(measured: Measurements) -> list[str]:
    sizes = measured.plan.batch_sizes
    best = {size: measured.mean(size, measured.best(size)) for size in sizes}
    reached = RATES[-1] == measured.best(max(sizes))
    at_the_limit = [
        size
        for size in sizes
        if (rate := measured.best(size)) < RATES[-1] and not measured.mean(size, 2 * rate) > LEARNT
    ]
    limit = (
        f" With batches of {listing(at_the_limit)} twice the best rate hardly learns at all: there it is not the batch that sets the "
        "rate but the largest step that the net bears."
        if at_the_limit
        else ""
    )
    return [
        (
            "A comparison of batch sizes at one learning rate, as in the report, walks along a row of this map: what it sees depends on the row. "
            "Two rules of thumb say how the rate should follow the batch size: in proportion (power 1: as many small steps in one), or with its square root "
            f"(the noise of a step stays the same). Measured here: {measured.slope:.2f}"
            + (
                ", with the largest batch's best rate at the edge of the map, so that the true power is larger."
                if reached
                else "."
            )
            + limit
        ),
        (
            f"Each at its best rate, accuracies are {listing(f'{accuracy:.2%} ({size})' for size, accuracy in best.items())}: "
            "with the rate chosen, what is left of the difference between batch sizes is the number of updates in as many epochs."
        ),
    ]


def _row(measured: Measurements, size: int) -> list[str]:
    usable = measured.usable(size)
    at_report = ", ".join(
        "diverged" if np.isnan(m) else f"{m:.2%}" for m in (measured.mean(size, r) for r in REPORT_RATES)
    )
    return [
        str(size),
        f"{measured.best(size):g}",
        f"{measured.mean(size, measured.best(size)):.2%}",
        f"{usable[0]:g}" if len(usable) == 1 else f"{usable[0]:g} to {usable[-1]:g}",
        at_report,
    ]


def draw(measured: Measurements) -> Drawing:
    """Validation accuracy as a heat map: batch sizes to the right, rates upwards."""
    sizes = measured.plan.batch_sizes
    drawing, axes = panels(1, 1, (1.6 + 0.95 * len(sizes), 4.0))
    values = np.array([[measured.mean(size, rate) for size in sizes] for rate in RATES])
    display = HeatMapDisplay(values, "batch size", "learning rate", sizes, [f"{rate:g}" for rate in RATES])
    lowest = np.nanmax(values) - 0.1  # below, one colour: those nets have hardly learnt
    display.plot(axes[0, 0], text="{:.1%}", vmin=lowest)
    axes[0, 0].grid(False)
    return drawing


def _write_table(measured: Measurements, results: Results) -> Path:
    return results.write_csv(
        "accuracy.csv",
        ("batch_size", "learning_rate", "seed", "val_accuracy"),
        [
            (size, f"{rate:g}", seed, "" if np.isnan(accuracy) else f"{accuracy:.5g}")
            for (size, rate), accuracies in measured.accuracies.items()
            for seed, accuracy in enumerate(accuracies)
        ],
    )


if __name__ == "__main__":
    run_alone(run, __doc__)
