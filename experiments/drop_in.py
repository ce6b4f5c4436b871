"""One import changed: does fastmlp give scikit-learn's models, and how much sooner?

Each library fits in a process of its own, and both take turns. The models are compared parameter by parameter.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rivals
from campaign import Campaign
from drop_in_fits import SHOWN, SMALL, Case, mnist
from figures import BLUE, GREY, panels, plain_ticks, save, ticks_between
from matplotlib.figure import Figure as Drawing
from report import run_alone
from results import Job, Results
from section import Figure, Part, Section, Table
from turns import PAUSE
from wording import counted, duration, rounded_down, rounded_up, significant
from worker import Worker

NAME = "drop_in"
OURS, THEIRS = "fastmlp", "scikit-learn"


@dataclass(frozen=True)
class Plan:
    """How much of everything a preset does."""

    rounds: int
    cases: Sequence[str]  # of those shown with the defaults
    small: Sequence[str]
    digit_rows: int
    digit_nets: Sequence[tuple[int, ...]]
    digit_epochs: int


NETS = ((128,), (512, 384))
PLANS = {
    "smoke": Plan(1, ("iris",), ("iris", "lbfgs"), 500, NETS[:1], 1),
    "quick": Plan(2, tuple(SHOWN), tuple(SMALL)[5::2], 10000, NETS[:1], 2),
    "full": Plan(7, tuple(SHOWN), tuple(SMALL), 60000, NETS, 3),
}


@dataclass(frozen=True)
class Comparison:
    """Of one case, with arrays of shape (rounds,)."""

    case: Case
    seconds: dict[str, np.ndarray]
    scores: dict[str, float]
    epochs: dict[str, int]
    difference: (
        float  # of the parameters: the largest, relative to the parameter or a thousandth of its array's largest
    )
    rows: int

    @property
    def ratio(self) -> float:
        """How many times as long scikit-learn takes."""
        return float(np.median(self.seconds[THEIRS] / self.seconds[OURS]))


def run(campaign: Campaign) -> Section:
    plan, results = PLANS[campaign.preset], campaign.results(NAME)
    shown: dict[str, Comparison] = {}
    small: dict[str, Comparison] = {}
    if importlib.util.find_spec("sklearn") is None:
        notice = 'scikit-learn was not installed: nothing was compared (pip install ".[sklearn]").'
    else:
        shown, small, notice = _measure(plan, campaign, results)
    table = _write_table({**shown, **{f"small: {name}": each for name, each in small.items()}}, results)
    return Section(
        name=NAME,
        title="scikit-learn's estimators, with one import changed",
        question="Does fastmlp give scikit-learn's models, and how much sooner?",
        summary=[_summary(shown, small)] if shown else [],
        claims=[],
        parts=[_shown_part(shown, plan, results, table), _small_part(small, plan)] if shown else [],
        setup={
            "Estimators": "MLPClassifier and MLPRegressor, random_state=0, otherwise their defaults unless said",
            "Data": "scikit-learn's own, scaled to unit variance; its generators'; images divided by 255",
            "Rounds": str(plan.rounds),
        },
        data=[results.path, table] if shown else [table],
        environments=results.environments(),
        notices=[notice] if notice else [],
    )


def _measure(
    plan: Plan, campaign: Campaign, results: Results
) -> tuple[dict[str, Comparison], dict[str, Comparison], str]:
    digits = campaign.digits(plan.digit_rows, 1000)
    shown = {name: SHOWN[name] for name in plan.cases}
    for hidden in plan.digit_nets:
        for dtype in ("float32", "float64"):
            name = f"{digits.name}, {'-'.join(map(str, hidden))}, {dtype}"
            shown[name] = mnist(hidden, dtype, plan.digit_epochs)
    small = {name: SMALL[name] for name in plan.small}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        np.savez(folder / "digits.npz", X=digits.x_train, y=digits.y_train)
        workers: dict[str, Worker] = {}

        def ask(library: str, case: Case) -> dict[str, Any]:
            if library not in workers:
                made = Worker(
                    "drop_in_fits",
                    "Estimators",
                    library,
                    str(folder / "digits.npz"),
                    environment=rivals.best_environment(),
                )
                workers[library] = stack.enter_context(closing(made))
                ask(library, SHOWN["iris"])  # what is loaded once is so now
            time.sleep(PAUSE)
            return workers[library].ask("fit", case=asdict(case), parameters=str(folder / f"{library}.npz"))

        def compare(case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
            seconds: dict[str, list[float]] = {OURS: [], THEIRS: []}
            for _ in range(plan.rounds):
                fits = {library: ask(library, case) for library in seconds}
                for library, fit in fits.items():
                    seconds[library].append(fit["seconds"])
            outcome = {
                "scores": {library: fit["score"] for library, fit in fits.items()},
                "epochs": {library: fit["epochs"] for library, fit in fits.items()},
                "difference": _difference(folder / f"{OURS}.npz", folder / f"{THEIRS}.npz"),
                "rows": fits[OURS]["rows"],
            }
            return outcome, {"seconds": seconds}

        def job(name: str, case: Case) -> Job:
            configuration = {**asdict(case), "rounds": plan.rounds}
            if case.source == "mnist":
                configuration |= {"digits": digits.name, "rows": len(digits.x_train)}
            return Job(name, configuration, lambda: compare(case))

        jobs = [job(name, case) for name, case in (*shown.items(), *small.items())]
        records = results.complete(jobs, lambda text: campaign.say(f"drop-in {text}"))
    comparisons = [
        Comparison(case, {library: np.array(s) for library, s in r["measured"]["seconds"].items()}, **r["outcome"])
        for case, r in zip((*shown.values(), *small.values()), records)
    ]
    first = dict(zip(shown, comparisons))
    return first, dict(zip(small, comparisons[len(shown) :])), digits.notice


def _difference(ours: Path, theirs: Path) -> float:
    with np.load(ours) as a, np.load(theirs) as b:
        return max(
            float((np.abs(a[name] - b[name]) / np.maximum(np.abs(b[name]), 1e-3 * np.abs(b[name]).max())).max())
            for name in b
        )


def draw(shown: Mapping[str, Comparison]) -> Drawing:
    """How many times as long scikit-learn takes, data set by data set."""
    names = list(shown)
    drawing, axes = panels(1, 1, (8.4, 1.2 + 0.34 * len(names)))
    ax = axes[0, 0]
    for row, name in enumerate(names):
        rounds = shown[name].seconds[THEIRS] / shown[name].seconds[OURS]
        ax.plot([rounds.min(), rounds.max()], [row, row], color=BLUE, linewidth=1.2)
        ax.plot([np.median(rounds)], [row], color=BLUE, marker="o", markersize=7, linestyle="none")
    ax.axvline(1, color=GREY, linewidth=0.9, linestyle=":")
    ax.set(
        xscale="log", xlabel="seconds of scikit-learn's fit / seconds of fastmlp's: the median, from least to greatest"
    )
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, 0.9), high)
    plain_ticks(ax.xaxis, ticks_between(*ax.get_xlim(), (1, 1.5, 2, 3, 5, 7)))
    return drawing


def _summary(shown: Mapping[str, Comparison], small: Mapping[str, Comparison]) -> str:
    models = list({**small, **shown}.values())  # some are in both, under the same name
    doubles = [each for each in models if each.case.dtype == "float64"]
    same_epochs = sum(each.epochs[OURS] == each.epochs[THEIRS] for each in models)
    ratios = [each.ratio for each in shown.values()]
    least = min(each.ratio for each in small.values())
    return (
        f"In float64 no parameter of {len(doubles)} models differs by more than {rounded_up(max(each.difference for each in doubles))} of its size, "
        f"or of a thousandth of the largest parameter of its array; {same_epochs} of {len(models)} fits end after the same epoch. "
        f"scikit-learn takes {significant(min(ratios), 2)} to {significant(max(ratios), 2)} times as long; on {len(small)} small problems "
        f"at least {rounded_down(least)} times."
    )


def _row(name: str, each: Comparison) -> list[str]:
    return [
        name,
        str(each.rows),
        f"{each.scores[THEIRS]:.4f}",
        f"{each.scores[OURS]:.4f}",
        str(each.epochs[THEIRS]),
        str(each.epochs[OURS]),
        rounded_up(each.difference),
        duration(float(np.median(each.seconds[THEIRS]))),
        duration(float(np.median(each.seconds[OURS]))),
        significant(each.ratio, 2),
    ]


HEADER = [
    "data",
    "rows",
    "training score, scikit-learn",
    "fastmlp",
    "epochs, scikit-learn",
    "fastmlp",
    "difference of parameters",
    "time, scikit-learn",
    "fastmlp",
    "ratio",
]


def _shown_part(shown: Mapping[str, Comparison], plan: Plan, results: Results, table: Path) -> Part:
    image, picture = save(draw(shown), results.folder, "drop_in")
    figure = Figure(image, picture, _caption(plan), _alt(shown), [table])
    return Part(
        "The same script with both imports",
        [
            (
                "The same random_state draws the same initial weights, orders and splits, so the models can be compared number by number. In "
                "float32 both round in their own order, and epochs multiply the difference."
            )
        ],
        [figure],
        [
            Table(
                f"Medians of {counted(plan.rounds, 'round')}; images: {counted(plan.digit_epochs, 'epoch')}",
                HEADER,
                [_row(name, each) for name, each in shown.items()],
            )
        ],
    )


def _small_part(small: Mapping[str, Comparison], plan: Plan) -> Part:
    return Part(
        "Small data",
        [
            "Where a fit takes milliseconds, what counts is what surrounds the mathematics: checks, bookkeeping, waiting for threads."
        ],
        tables=[
            Table(
                f"Medians of {counted(plan.rounds, 'round')}",
                HEADER,
                [_row(name, each) for name, each in small.items()],
            )
        ],
    )


def _caption(plan: Plan) -> str:
    return f"How many times as long scikit-learn takes for the same fit: medians and range of {counted(plan.rounds, 'round')}."


def _alt(shown: Mapping[str, Comparison]) -> str:
    return "One row per data set. " + "; ".join(
        f"{name}: {significant(each.ratio, 2)} times" for name, each in shown.items()
    )


def _write_table(comparisons: Mapping[str, Comparison], results: Results) -> Path:
    return results.write_csv(
        "drop_in.csv",
        (
            "data",
            "rows",
            "score_scikit_learn",
            "score_fastmlp",
            "epochs_scikit_learn",
            "epochs_fastmlp",
            "difference",
            "seconds_scikit_learn",
            "seconds_fastmlp",
            "ratio",
        ),
        [
            (
                name,
                each.rows,
                f"{each.scores[THEIRS]:.6g}",
                f"{each.scores[OURS]:.6g}",
                each.epochs[THEIRS],
                each.epochs[OURS],
                rounded_up(each.difference, 2),
                f"{np.median(each.seconds[THEIRS]):.4g}",
                f"{np.median(each.seconds[OURS]):.4g}",
                f"{each.ratio:.3f}",
            )
            for name, each in comparisons.items()
        ],
    )


if __name__ == "__main__":
    run_alone(run, __doc__)
