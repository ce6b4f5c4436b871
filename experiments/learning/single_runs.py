"""What can be concluded from single runs? Are nets of 128, 254 and 512 units really different?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations, product
from types import SimpleNamespace
from typing import Any

import numpy as np
from harness.figures import BLUE, DARK_ORANGE, GREEN, panels
from harness.jobs import Job
from harness.nets import train
from harness.number_text import listing
from harness.run import Run, Sizes
from harness.section import EXPLAINED
from harness.tables import Row, Table, Tables
from matplotlib.ticker import PercentFormatter
from scipy import stats

from learning.architecture import MINI_BATCH, ONE_UPDATE, RULES

WIDTHS = (128, 254, 512)
REPORTED = (512, 128, 254)  # the report's order, the best first
CONFIDENCE = 0.95
POWER = 0.8  # with which a difference is to be found
CHANCE = 0.05  # of the report's order in single runs: at least, to explain it

SIZES = Sizes(
    seconds=(2, 16, 3600),
    train_rows=(600, 5000, 60000),
    test_rows=(200, 2000, 10000),
    epochs=(dict.fromkeys(RULES, 2), {ONE_UPDATE: 40, MINI_BATCH: 10}, {ONE_UPDATE: 200, MINI_BATCH: 20}),
    seeds=(dict.fromkeys(RULES, 3), dict.fromkeys(RULES, 4), {ONE_UPDATE: 6, MINI_BATCH: 20}),
)

Runs = Mapping[int, np.ndarray]  # test accuracies of each width, shape (seeds,)


@dataclass(frozen=True)
class Difference:
    """Of the mean accuracies of two nets: `second` minus `first`."""

    first: int
    second: int
    mean: float
    low: float  # Welch's interval
    high: float
    seeds_needed: float  # of each net, to find a difference of this size; inf if there is none

    @property
    def is_real(self) -> bool:
        return self.low > 0 or self.high < 0


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    """The three widths of a rule and seed side by side."""
    digits = run.digits(sizes.train_rows, sizes.test_rows)
    trainings = []
    for rule, settings in RULES.items():
        nets = [({"rule": rule, "width": width}, {"layer_sizes": (784, width, 10), **settings}) for width in WIDTHS]
        for seed in range(sizes.seeds[rule]):
            final = ("runs", "test_accuracy")
            trainings.append(train(digits, digits.first(sizes.train_rows), nets, sizes.epochs[rule], seed, final=final))
    return trainings


def runs_of(table: Table, rule: str) -> dict[int, np.ndarray]:
    return {width: part["test_accuracy"] for width, part in table.where(rule=rule).groups("width").items()}


def difference(runs: Runs, first: int, second: int) -> Difference:
    a, b = runs[first], runs[second]
    mean = float(b.mean() - a.mean())
    variance = float(a.var(ddof=1) + b.var(ddof=1))
    if variance == 0:
        return Difference(first, second, mean, mean, mean, 2.0 if mean else np.inf)
    interval = stats.ttest_ind(b, a, equal_var=False).confidence_interval(CONFIDENCE)
    # Two samples, normal approximation: n = variance * ((z of the confidence + z of the power) / difference)^2.
    quantiles = stats.norm.ppf((1 + CONFIDENCE) / 2) + stats.norm.ppf(POWER)
    needed = variance * (quantiles / mean) ** 2 if mean else np.inf
    return Difference(first, second, mean, float(interval.low), float(interval.high), float(max(2, np.ceil(needed))))


def chance_of_order(runs: Runs, order: Sequence[int]) -> float:
    """How often one run of each net puts them in this order, the best first. Ties do not count."""
    best, middle, last = (runs[width] for width in order)
    falls = (best[:, None, None] > middle[:, None]) & (middle[:, None] > last)
    return float(falls.mean())


def holds(t: Tables) -> dict[str, bool | str | None]:
    runs = runs_of(t["runs"], ONE_UPDATE)
    in_order = sorted(WIDTHS, key=lambda width: -runs[width].mean()) == [*REPORTED]
    return {"order": True if in_order else EXPLAINED if chance_of_order(runs, REPORTED) >= CHANCE else False}


def numbers(t: Tables) -> dict[str, Any]:
    report, mini_batch = (runs_of(t["runs"], rule) for rule in (ONE_UPDATE, MINI_BATCH))
    mean = float(np.mean([each.mean() for each in mini_batch.values()]))
    likely = max(permutations(WIDTHS), key=lambda order: chance_of_order(report, order))
    return {
        "means": listing(f"{report[width].mean():.2%} ({width})" for width in WIDTHS),
        "likely": ", ".join(map(str, likely)),
        "likely_chance": chance_of_order(report, likely),
        "seeds": len(report[128]),
        "chance": chance_of_order(report, REPORTED),
        "spread": float(np.mean([each.std(ddof=1) for each in mini_batch.values()])),
        "sampling": float(np.sqrt(mean * (1 - mean) / t.sizes.test_rows)),
    }


def views(t: Tables) -> dict[str, list[Row]]:
    rows = []
    for rule, pair in product(RULES, combinations(WIDTHS, 2)):
        each = difference(runs_of(t["runs"], rule), *pair)
        needed = f"{each.seeds_needed:.0f}" if each.seeds_needed < 1000 else "over 1000"
        rows.append({"rule": rule, **vars(each), "real": "yes" if each.is_real else "no", "needed": needed})
    return {"differences": rows}


def figures(t: Tables) -> dict[str, Any]:
    """Every run as a point, a panel per rule."""
    drawing, axes = panels(1, len(RULES), (8.4, 3.4))
    for ax, rule in zip(axes[0], RULES):
        for place, (runs, colour) in enumerate(zip(runs_of(t["runs"], rule).values(), (BLUE, DARK_ORANGE, GREEN))):
            sideways = np.linspace(-0.16, 0.16, len(runs))
            ax.plot(place + sideways, runs, "o", color=colour, markersize=4, alpha=0.6)
            error = stats.sem(runs) * stats.t.ppf((1 + CONFIDENCE) / 2, len(runs) - 1)
            ax.errorbar(place + 0.3, runs.mean(), error, color=colour, marker="_", markersize=12, capsize=4)
        ax.set_xticks(range(len(WIDTHS)), WIDTHS)
        ax.set(title=rule, xlabel="hidden units")
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes[0, 0].set_ylabel("test accuracy")
    return {"runs": drawing}
