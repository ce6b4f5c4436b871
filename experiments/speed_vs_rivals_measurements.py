"""What the comparison with other libraries measures: seconds per epoch of each case, and the time to an accuracy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any

import fastmlp
import numpy as np
import rivals
import time_to_accuracy as recipe
from campaign import Campaign
from digits import Digits
from results import Job, Results
from turns import PAUSE, Case, Timing, Turns

OURS, OURS_ALONE = "fastmlp", "fastmlp, 1 thread"

CASES = {
    "A": Case((784, 128, 10), 128),
    "B": Case((784, 128, 10), 1024),
    "C": Case((784, 128, 10), 60000),
    "D": Case((784, 512, 384, 10), 128),
    "E": Case((784, 512, 384, 288, 10), 128),
    "F": Case((784, 128, 10), 32),
    "G": Case((784, 128, 10), 1, rows=2000),
    "H": Case((784, 254, 190, 142, 10), 128),
    "I": Case((784, 128, 96, 72, 10), 128),
    "T": Case((2, 64, 64, 2), 32, rows=1000),
    "U": Case((4, 120, 84, 2), 32, rows=1000),
    "A, Adam": Case((784, 128, 10), 128, optimizer="adam"),
    "A, digits": Case((784, 128, 10), 128, digits=True),
}


@dataclass(frozen=True)
class Plan:
    """How much of everything a preset does."""

    cases: Sequence[str]
    rounds: int
    most_rows: int  # of a case, if its batch is not larger
    digits: tuple[int, int]  # training rows, test rows
    seeds: Sequence[int]


PLANS = {
    "smoke": Plan(("A", "T", "A, Adam", "A, digits"), 1, 1000, (2000, 500), (0,)),
    "quick": Plan(("A", "B", "D", "F", "T", "A, Adam", "A, digits"), 3, 20000, (60000, 10000), range(3)),
    "full": Plan(tuple(CASES), 9, 60000, (60000, 10000), range(5)),
}


@dataclass(frozen=True)
class Runs:
    """Of the recipe, by one library; each array has shape (seeds,)."""

    seconds: np.ndarray
    accuracy: np.ndarray


@dataclass(frozen=True)
class Measurements:
    plan: Plan
    digits: Digits
    libraries: dict[str, dict[str, str]]  # by library: version, blas, threads
    timings: dict[str, Timing]  # by case
    runs: dict[str, Runs]  # by library


def measure(campaign: Campaign, results: Results) -> Measurements:
    plan = PLANS[campaign.preset]
    digits = campaign.digits(*plan.digits)
    alone = {OURS_ALONE: (OURS, "1")} if fastmlp.show_config("dicts")["threads"] > 1 else {}
    contestants = {OURS: (OURS,), **alone, **{name: (name,) for name in rivals.installed() if name != OURS}}
    cases = {name: _fitted(CASES[name], plan) for name in plan.cases}
    with closing(Turns(contestants)) as turns:
        jobs = [_about(turns, [name for name in contestants if name not in alone])]
        jobs += [_race(turns, case, list(contestants), plan, digits) for case in cases.values()]
        jobs += [_recipe(turns, [name for name in recipe.RUNS if name in contestants], plan, digits)]
        about, *races, runs = results.complete(jobs, lambda text: campaign.say(f"speed {text}"))
    return Measurements(
        plan,
        digits,
        about["measured"],
        {name: Timing.of(case, race["measured"]) for (name, case), race in zip(cases.items(), races)},
        {name: Runs(*np.array(pairs).T) for name, pairs in runs["measured"].items()},
    )


def _fitted(case: Case, plan: Plan) -> Case:
    return replace(case, rows=min(case.rows, max(plan.most_rows, case.batch_size)))


def _configuration(measurement: str, **settings: Any) -> dict[str, Any]:
    return {"measurement": measurement, "threads": fastmlp.show_config("dicts")["threads"], **settings}


def _about(turns: Turns, libraries: Sequence[str]) -> Job:
    return Job(
        "what the libraries use",
        _configuration("libraries", libraries=list(libraries)),
        lambda: ({}, {name: turns.ask(name, "describe") for name in libraries}),
    )


def _race(turns: Turns, case: Case, contestants: Sequence[str], plan: Plan, digits: Digits) -> Job:
    names = [name for name in contestants if case.optimizer == "sgd" or name in (OURS, OURS_ALONE)]

    def measured() -> tuple[dict[str, Any], dict[str, Any]]:
        X, y = (digits.x_train[: case.rows], digits.y_train[: case.rows]) if case.digits else case.random_data()
        return {}, turns.time(case, names, plan.rounds, X, y)

    configuration = _configuration(
        "seconds per epoch",
        case=asdict(case),
        data=digits.name if case.digits else "random",
        contestants=names,
        rounds=plan.rounds,
    )
    return Job(f"{case.net}, batch {case.batch_size}", configuration, measured)


def _recipe(turns: Turns, libraries: Sequence[str], plan: Plan, digits: Digits) -> Job:
    def measured() -> tuple[dict[str, Any], dict[str, Any]]:
        data = turns.save(x_train=digits.x_train, y_train=digits.y_train, x_test=digits.x_test, y_test=digits.y_test)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in libraries}
        for name in libraries:
            turns.ask(name, "run_recipe", data=data, seed=0, epochs=1)  # what is loaded or allocated once is so now
        for seed in plan.seeds:
            for name in libraries:
                time.sleep(PAUSE)
                found[name].append(turns.ask(name, "run_recipe", data=data, seed=seed, epochs=recipe.EPOCHS))
        return {}, found

    configuration = _configuration(
        "time to accuracy",
        data=digits.name,
        rows=[len(digits.x_train), len(digits.x_test)],
        recipe=recipe.SETTINGS,
        libraries=list(libraries),
        seeds=list(plan.seeds),
    )
    return Job("time to accuracy", configuration, measured)
