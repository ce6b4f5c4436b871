"""What can be read off single runs? Are nets of 128, 254 and 512 units really different?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
from architecture_measurements import MINI_BATCH, REPORT_RULE
from campaign import Campaign
from digits import Digits
from fastmlp import studies
from figures import BLUE, DARK_ORANGE, GREEN, panels, save
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import PercentFormatter
from report import run_alone
from results import Job, Results
from scipy import stats
from section import CONTRADICTED, EXPLAINED, REPRODUCED, Claim, Figure, Part, Section, Table
from wording import counted, listing

NAME = "single_runs"
WIDTHS = (128, 254, 512)
REPORTED = (512, 128, 254)  # the report's order, the best first
INPUT_SCALE = 1 / 255
CONFIDENCE = 0.95
POWER = 0.8  # with which a difference is to be found
RULES = {"one update per epoch": REPORT_RULE, "mini-batch": MINI_BATCH}


@dataclass(frozen=True)
class Plan:
    """How much of everything a preset does; epochs and seeds by rule."""

    train_rows: int
    test_rows: int
    epochs: Mapping[str, int]
    seeds: Mapping[str, int]


PLANS = {
    "smoke": Plan(600, 200, dict.fromkeys(RULES, 2), dict.fromkeys(RULES, 3)),
    "quick": Plan(5000, 2000, dict(zip(RULES, (40, 10))), dict.fromkeys(RULES, 6)),
    "full": Plan(60000, 10000, dict(zip(RULES, (200, 20))), dict(zip(RULES, (6, 20)))),
}


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


@dataclass(frozen=True)
class Measurements:
    plan: Plan
    digits: Digits
    accuracies: dict[str, dict[int, np.ndarray]]  # by rule and width: (seeds,), on the test images

    def differences(self, rule: str) -> list[Difference]:
        found = self.accuracies[rule]
        return [difference(found, first, second) for first, second in combinations(WIDTHS, 2)]


def difference(accuracies: Mapping[int, np.ndarray], first: int, second: int) -> Difference:
    a, b = accuracies[first], accuracies[second]
    mean = float(b.mean() - a.mean())
    variance = float(a.var(ddof=1) + b.var(ddof=1))
    if variance == 0:
        return Difference(first, second, mean, mean, mean, 2.0 if mean else np.inf)
    interval = stats.ttest_ind(b, a, equal_var=False).confidence_interval(CONFIDENCE)
    # Two samples, normal approximation: n = variance * ((z of the confidence + z of the power) / difference)^2.
    quantiles = stats.norm.ppf((1 + CONFIDENCE) / 2) + stats.norm.ppf(POWER)
    needed = variance * (quantiles / mean) ** 2 if mean else np.inf
    return Difference(first, second, mean, float(interval.low), float(interval.high), float(max(2, np.ceil(needed))))


def chance_of_order(accuracies: Mapping[int, np.ndarray], order: Sequence[int]) -> float:
    """How often one run of each net, drawn from these, puts them in this order, the best first. Ties count for none."""
    best, middle, last = (accuracies[width] for width in order)
    falls = (best[:, None, None] > middle[:, None]) & (middle[:, None] > last)
    return float(falls.mean())


def measure(campaign: Campaign, results: Results) -> Measurements:
    plan = PLANS[campaign.preset]
    digits = campaign.digits(plan.train_rows, plan.test_rows)
    accuracies: dict[str, dict[int, np.ndarray]] = {}
    for rule, settings in RULES.items():
        jobs = [_job(rule, settings, seed, digits, plan.epochs[rule]) for seed in range(plan.seeds[rule])]
        records = results.complete(jobs, lambda text: campaign.say(f"single runs, {text}"))
        found = np.array([record["outcome"]["test_accuracy"] for record in records])
        accuracies[rule] = dict(zip(WIDTHS, found.T))
    return Measurements(plan, digits, accuracies)


def _job(rule: str, settings: Mapping[str, Any], seed: int, digits: Digits, epochs: int) -> Job:
    configuration = {
        **settings,
        "data": digits.name,
        "train_rows": len(digits.x_train),
        "test_rows": len(digits.x_test),
        "widths": list(WIDTHS),
        "epochs": epochs,
        "seed": seed,
    }

    def train() -> tuple[dict[str, Any], dict[str, Any]]:
        nets = [{"layer_sizes": (784, width, 10), "input_scale": INPUT_SCALE, **settings} for width in WIDTHS]
        _, networks = studies.compare(nets, digits.x_train, digits.y_train, epochs, seeds=(seed,), verbose=False)
        return {"test_accuracy": [net.evaluate(digits.x_test, digits.y_test).accuracy for net in networks]}, {}

    return Job(f"{rule}, seed {seed}", configuration, train)


def run(campaign: Campaign) -> Section:
    results = campaign.results(NAME)
    measured = measure(campaign, results)
    table = _write_table(measured, results)
    figure = Figure(
        *save(draw(measured), results.folder, "runs"),
        f"Test accuracy of each run; bars: mean and its {CONFIDENCE:.0%} interval.",
        "; ".join(
            f"{rule}: {listing(f'{width} units {runs.mean():.2%} ({runs.min():.2%} to {runs.max():.2%})' for width, runs in found.items())}"
            for rule, found in measured.accuracies.items()
        ),
        [table],
    )
    return Section(
        name=NAME,
        title="What single runs say",
        question="The report reads its order of widths off one run each. Would other seeds have given the same order?",
        summary=[_summary(measured)],
        claims=[_order_claim(measured)],
        parts=[Part("Widths over many seeds", _paragraphs(measured), [figure], [_table(measured)])],
        setup={
            "Nets": listing(f"784-{width}-10" for width in WIDTHS),
            **{
                rule.capitalize(): f"{counted(measured.plan.epochs[rule], 'epoch')}, {counted(measured.plan.seeds[rule], 'seed')} (initial weights and row order); settings as under architecture"
                for rule in RULES
            },
            "Choice": "nothing is chosen here; all training images are used",
        },
        data=[results.path, table],
        environments=results.environments(),
        notices=[measured.digits.notice] if measured.digits.notice else [],
    )


def _real(measured: Measurements, rule: str) -> str:
    real = [
        f"{each.second} over {each.first} by {each.mean:+.2%}" for each in measured.differences(rule) if each.is_real
    ]
    return listing(real) if real else "none"


def _summary(measured: Measurements) -> str:
    parts = []
    for rule, found in measured.accuracies.items():
        chance = chance_of_order(found, REPORTED)
        parts.append(
            f"{rule.capitalize()}: differences beyond chance: {_real(measured, rule)}; single runs put the three in the report's order "
            f"{chance:.0%} of the time."
        )
    return " ".join(parts)


def _order_claim(measured: Measurements) -> Claim:
    rule, found = next(iter(measured.accuracies.items()))  # the report's own
    ranked = sorted(WIDTHS, key=lambda width: -found[width].mean())
    chances = {order: chance_of_order(found, order) for order in permutations(WIDTHS)}
    likely = max(chances, key=lambda order: chances[order])
    if tuple(ranked) == REPORTED:
        verdict = REPRODUCED
    else:
        verdict = EXPLAINED if chances[REPORTED] >= 0.05 else CONTRADICTED
    return Claim(
        "Accuracy was highest for a width of 512, followed by 128, and finally 254.",
        verdict,
        f"Over {counted(measured.plan.seeds[rule], 'seed')} under its rule the means are {listing(f'{found[w].mean():.2%} ({w})' for w in ranked)}. "
        f"One run of each gives the report's order {chances[REPORTED]:.0%} of the time, and {', '.join(map(str, likely))} {chances[likely]:.0%} of the time.",
    )


def _paragraphs(measured: Measurements) -> list[str]:
    rule, found = list(measured.accuracies.items())[-1]
    spread = float(np.mean([runs.std(ddof=1) for runs in found.values()]))
    rows = len(measured.digits.x_test)
    mean = float(np.mean([runs.mean() for runs in found.values()]))
    sampling = float(np.sqrt(mean * (1 - mean) / rows))
    return [
        (
            "The seed decides initial weights and row order, and with them a little of the accuracy. A difference between two single runs means something only if it "
            "exceeds what seeds alone do; several seeds give each mean an interval, here Welch's for two means of unequal variance."
        ),
        (
            f"Under mini-batch SGD the seed moves accuracy by {spread:.2%} (one standard deviation). That is not all: other {rows} test images "
            f"would move it by {sampling:.2%} again, for all nets alike, so the second decimal of a test accuracy says little about the digits of tomorrow."
        ),
    ]


def _table(measured: Measurements) -> Table:
    return Table(
        f"Differences of mean test accuracy, with {CONFIDENCE:.0%} intervals; the last column: seeds of each net that would find a difference "
        f"of this size with a power of {POWER:.0%}",
        ["rule, widths", "difference", "interval", "beyond chance", "seeds needed"],
        [
            [
                f"{rule}, {each.second} - {each.first}",
                f"{each.mean:+.3%}",
                f"{each.low:+.3%} to {each.high:+.3%}",
                "yes" if each.is_real else "no",
                f"{each.seeds_needed:.0f}" if each.seeds_needed < 1000 else "over 1000",
            ]
            for rule in RULES
            for each in measured.differences(rule)
        ],
    )


def draw(measured: Measurements) -> Drawing:
    """Every run as a point, a panel per rule."""
    drawing, axes = panels(1, len(RULES), (8.4, 3.4))
    for ax, (rule, found) in zip(axes[0], measured.accuracies.items()):
        for place, ((width, runs), colour) in enumerate(zip(found.items(), (BLUE, DARK_ORANGE, GREEN))):
            sideways = np.linspace(-0.16, 0.16, len(runs))
            ax.plot(place + sideways, runs, "o", color=colour, markersize=4, alpha=0.6)
            error = stats.sem(runs) * stats.t.ppf((1 + CONFIDENCE) / 2, len(runs) - 1)
            ax.errorbar(place + 0.3, runs.mean(), error, color=colour, marker="_", markersize=12, capsize=4)
        ax.set_xticks(range(len(WIDTHS)), WIDTHS)
        ax.set(title=rule, xlabel="hidden units")
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes[0, 0].set_ylabel("test accuracy")
    return drawing


def _write_table(measured: Measurements, results: Results) -> Path:
    return results.write_csv(
        "runs.csv",
        ("rule", "width", "seed", "test_accuracy"),
        [
            (rule, width, seed, f"{accuracy:.5g}")
            for rule, found in measured.accuracies.items()
            for width, runs in found.items()
            for seed, accuracy in enumerate(runs)
        ],
    )


if __name__ == "__main__":
    run_alone(run, __doc__)
