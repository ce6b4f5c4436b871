"""How well can a small net learn f(x) = x1 exp(-x1^2 - x2^2) from m points, and how does the error fall with m?

The architecture and the penalty are chosen by cross-validation on the m training points; the test grid is used once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from campaign import Campaign
from fastmlp import Network, datasets, fit_lbfgs
from figures import save, save_pixels
from regression_figures import draw_errors, draw_surfaces
from results import Job, Results
from section import CONTRADICTED, REPRODUCED, Claim, Figure, Part, Section, Table
from wording import counted, significant, times

from report import run_alone

NAME = "regression"
REPORT_ERRORS = {100: 0.0135, 1000: 0.00573}
FOLDS = 5


@dataclass(frozen=True)
class Candidate:
    hidden: tuple[int, ...]
    l2: float

    @property
    def name(self) -> str:
        return f"{'-'.join(map(str, self.hidden))}, l2 {self.l2:g}"


@dataclass(frozen=True)
class Plan:
    """How much of everything a preset does."""

    points: Sequence[int]
    seeds: int
    hidden: Sequence[tuple[int, ...]]
    l2: Sequence[float]
    iterations: int
    grid: int  # test points per axis


HIDDEN = ((20,), (40,), (10, 10), (20, 20), (40, 40))
PLANS = {
    "smoke": Plan((100, 1000), 1, ((5,), (8, 8)), (1e-7,), 30, 50),
    "quick": Plan((25, 100, 300, 1000), 2, HIDDEN[2:], (1e-8,), 1500, 1000),
    "full": Plan((25, 50, 100, 200, 400, 1000, 3000), 10, HIDDEN, (1e-8, 1e-6), 3000, 1000),
}


@dataclass(frozen=True)
class Fits:
    """Of one number of points, with an entry per seed."""

    chosen: list[Candidate]
    train_errors: np.ndarray
    test_errors: np.ndarray  # mean squared
    parameters: list[list[Any]]  # weights and biases of the first seed's net

    @property
    def median(self) -> float:
        return float(np.median(self.test_errors))


def run(campaign: Campaign) -> Section:
    plan, results = PLANS[campaign.preset], campaign.results(NAME)
    fits = _measure(plan, results, campaign)
    table = _write_table(fits, results)
    shown = [m for m in (100, 1000) if m in fits]
    nets = {m: _network(fits[m].chosen[0], fits[m].parameters) for m in shown}
    surfaces = Figure(
        *save_pixels(draw_surfaces(nets), results.folder, "surfaces"),
        "Prediction and error of the first seed's nets, and the training points, seen from two sides.",
        _surfaces_alt(fits, shown),
        [table],
    )
    errors = Figure(
        *save(draw_errors({m: fit.test_errors for m, fit in fits.items()}, REPORT_ERRORS), results.folder, "errors"),
        f"Mean squared error on the {plan.grid} x {plan.grid} grid: each of {counted(plan.seeds, 'seed')}, and their median.",
        "; ".join(f"{m} points: median {significant(fit.median, 2)}" for m, fit in fits.items()),
        [table],
    )
    return Section(
        name=NAME,
        title="Regression",
        question="How well does a small net learn x1 exp(-x1² - x2²) from m points?",
        summary=[_summary(fits)],
        claims=[_claim(m, fits[m]) for m in shown],
        report_figures=[_report_figure(m, fits[m]) for m in reversed(shown)],
        parts=[_errors_part(fits, plan, errors), _surfaces_part(surfaces)],
        setup={
            "Points": "uniform in [-2, 2]², without noise",
            "Test": f"np.linspace(-2, 2, {plan.grid}) in both directions",
            "Nets": "tanh, float64, L-BFGS to " + counted(plan.iterations, "iteration"),
            "Choice": f"{FOLDS}-fold cross-validation on the training points, among {len(plan.hidden) * len(plan.l2)}",
            "Seeds": str(plan.seeds),
        },
        data=[results.path, table],
        environments=results.environments(),
    )


def candidates(plan: Plan) -> list[Candidate]:
    return [Candidate(hidden, l2) for hidden in plan.hidden for l2 in plan.l2]


def _measure(plan: Plan, results: Results, campaign: Campaign) -> dict[int, Fits]:
    choices = candidates(plan)

    def job(points: int, seed: int) -> Job:
        configuration = {
            "points": points,
            "seed": seed,
            "candidates": [asdict(candidate) for candidate in choices],
            "iterations": plan.iterations,
            "grid": plan.grid,
        }
        return Job(
            f"m = {points}, seed {seed}",
            configuration,
            lambda: (choose_and_fit(points, seed, choices, plan.iterations, plan.grid), {}),
        )

    pairs = [(points, seed) for points in plan.points for seed in range(plan.seeds)]
    records = results.complete([job(*pair) for pair in pairs], lambda text: campaign.say(f"regression {text}"))
    found = {}
    for points in plan.points:
        outcomes = [record["outcome"] for (m, _), record in zip(pairs, records) if m == points]
        found[points] = Fits(
            [choices[outcome["chosen"]] for outcome in outcomes],
            np.array([outcome["train_error"] for outcome in outcomes]),
            np.array([outcome["test_error"] for outcome in outcomes]),
            outcomes[0]["parameters"],
        )
    return found


def choose_and_fit(points: int, seed: int, choices: Sequence[Candidate], iterations: int, grid: int) -> dict[str, Any]:
    """The whole procedure from m points: cross-validation, the chosen net fitted to all of them, one look at the test."""
    X, y = datasets.make_hill_and_valley(points, seed=seed)
    scores = [cross_validate(candidate, X, y, iterations // 3, seed) for candidate in choices]  # enough to tell apart
    chosen = int(np.argmin(scores))
    net = fit(choices[chosen], X, y, iterations, seed)
    X_test, y_test = datasets.hill_and_valley_grid(grid)
    return {
        "scores": scores,
        "chosen": chosen,
        "train_error": _error(net, X, y),
        "test_error": _error(net, X_test, y_test),
        "parameters": [array.tolist() for array in (*net.weights, *net.biases)] if seed == 0 else [],
    }


def fit(candidate: Candidate, X: np.ndarray, y: np.ndarray, iterations: int, seed: int) -> Network:
    net = Network((2, *candidate.hidden, 1), "tanh", "squared_error", "float64", seed=seed)
    fit_lbfgs(net, X, y, iterations, l2=candidate.l2, tol=1e-12)
    return net


def cross_validate(candidate: Candidate, X: np.ndarray, y: np.ndarray, iterations: int, seed: int) -> float:
    """The mean squared error on points that were left out."""
    folds = np.array_split(np.random.default_rng(seed).permutation(len(X)), FOLDS)
    squares = 0.0
    for left_out in folds:
        kept = np.setdiff1d(np.arange(len(X)), left_out)
        net = fit(candidate, X[kept], y[kept], iterations, seed)
        squares += _error(net, X[left_out], y[left_out]) * len(left_out)
    return squares / len(X)


def _error(net: Network, X: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean((net.forward(X)[:, 0] - y) ** 2))


def _network(candidate: Candidate, parameters: Sequence[Any]) -> Network:
    net = Network((2, *candidate.hidden, 1), "tanh", "squared_error", "float64")
    arrays = [np.array(array) for array in parameters]
    net.set_parameters(arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :])
    return net


def slope(fits: Mapping[int, Fits]) -> float:
    """Of log error over log m."""
    return float(np.polyfit(np.log(list(fits)), np.log([fit.median for fit in fits.values()]), 1)[0])


def _summary(fits: Mapping[int, Fits]) -> str:
    parts = [
        f"from {m} points {significant(fits[m].median, 2)}, where the report has {REPORT_ERRORS[m]:g}"
        for m in REPORT_ERRORS
        if m in fits
    ]
    return f"The median test error is {'; '.join(parts)}. Between {min(fits)} and {max(fits)} points it falls as m to the power {slope(fits):.1f}."


def _claim(points: int, fit: Fits) -> Claim:
    reported = REPORT_ERRORS[points]
    ratio = reported / fit.median
    near = 0.5 < ratio < 2
    return Claim(
        f"The test error is {reported:g} for m = {points}.",
        REPRODUCED if near else CONTRADICTED,
        f"Median {significant(fit.median, 2)} over {counted(len(fit.test_errors), 'seed')}, worst {significant(float(fit.test_errors.max()), 2)}"
        + ("." if near else f": {times(ratio)} less." if ratio > 1 else f": {times(1 / ratio)} more."),
    )


def _report_figure(points: int, fit: Fits) -> Claim:
    return Claim(
        f"m = {points}: the loss by epoch, and the prediction as a surface over x1 and x2, test error {REPORT_ERRORS[points]:g}.",
        REPRODUCED if fit.median <= REPORT_ERRORS[points] else CONTRADICTED,
        f"The surface of the figure below, with a median test error of {fit.median:.1e}. No loss by epoch: L-BFGS has none.",
    )


def _errors_part(fits: Mapping[int, Fits], plan: Plan, figure: Figure) -> Part:
    return Part(
        "Error, by number of points",
        [
            (
                "Without noise there is nothing to overfit but the gaps between the points: more points help a smooth net on and on. What the "
                "report's errors are made of is training that was not finished: gradient descent needs very many steps for the last digits, "
                "L-BFGS some thousand."
            )
        ],
        [figure],
        [
            Table(
                f"Mean squared errors over {counted(plan.seeds, 'seed')}; the report's numbers stand beside",
                [
                    "m",
                    "training, median",
                    "test, median",
                    "test, least",
                    "test, greatest",
                    "report",
                    "chosen most often",
                ],
                [
                    [
                        str(m),
                        significant(float(np.median(fit.train_errors)), 2),
                        significant(fit.median, 2),
                        significant(float(fit.test_errors.min()), 2),
                        significant(float(fit.test_errors.max()), 2),
                        f"{REPORT_ERRORS[m]:g}" if m in REPORT_ERRORS else "",
                        max(fit.chosen, key=fit.chosen.count).name,
                    ]
                    for m, fit in fits.items()
                ],
            )
        ],
    )


def _surfaces_part(figure: Figure) -> Part:
    return Part(
        "What the nets have learnt",
        [
            "Each error is drawn to a scale of its own. It is largest between points and at the border, where nothing lies beyond."
        ],
        [figure],
    )


def _surfaces_alt(fits: Mapping[int, Fits], shown: Sequence[int]) -> str:
    parts = [f"{m} points: test error {significant(float(fits[m].test_errors[0]), 2)}" for m in shown]
    return "Surfaces with one hill and one valley, as the function has, and the small errors beside them. " + "; ".join(
        parts
    )


def _write_table(fits: Mapping[int, Fits], results: Results) -> Path:
    return results.write_csv(
        "regression.csv",
        ("points", "seed", "hidden", "l2", "train_error", "test_error"),
        [
            (m, seed, "-".join(map(str, choice.hidden)), f"{choice.l2:g}", f"{train:.4g}", f"{test:.4g}")
            for m, fit in fits.items()
            for seed, (choice, train, test) in enumerate(zip(fit.chosen, fit.train_errors, fit.test_errors))
        ],
    )


if __name__ == "__main__":
    run_alone(run, __doc__)
