"""What the experiment on penalties trains: the report's nets, the way it counted its penalty, and a path of strengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from campaign import Campaign
from digits import Digits
from fastmlp import Network, studies
from results import Job, Results

LAYER_SIZES = (784, 128, 10)
LEARNING_RATE = 0.2
BATCH_SIZE = 128
REPORT_STRENGTHS = (5e-5, 5e-4, 5e-3)
REPORT_BATCHES = 469  # of 128 in 60000 rows; fewer rows are penalized as much, to show the same thing
NORMS = ("l1", "l2")
INPUT_SCALE = 1 / 255
METRICS = ("loss", "accuracy", "penalty", "val_loss", "val_accuracy", "test_loss", "test_accuracy")
IMAGES = 6  # of first-layer weights that are kept


@dataclass(frozen=True)
class Plan:
    """How much of everything a preset does."""

    train_rows: int
    test_rows: int
    report_epochs: int
    path: Sequence[float]  # strengths of each norm, besides none
    path_epochs: int
    seeds: int


PLANS = {
    "smoke": Plan(1000, 300, 4, (1e-3, 1e-2), 2, 1),
    "quick": Plan(10000, 2000, 120, (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2), 20, 2),
    "full": Plan(60000, 10000, 200, (1e-6, 1e-5, 3e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 3e-2), 30, 3),
}


@dataclass(frozen=True)
class Nets:
    """Of one configuration over the seeds; each curve has shape (seeds, epochs)."""

    curves: dict[str, np.ndarray]
    zeros: np.ndarray  # the share of first-layer weights that are exactly zero, per seed
    histogram: np.ndarray  # counts of all first-layer weights of the first seed, in BINS
    images: np.ndarray  # (IMAGES, 28, 28) of the first seed's first-layer weights

    def final(self, name: str) -> np.ndarray:
        return self.curves[name][:, -1]

    @property
    def gap(self) -> np.ndarray:
        """How much less accurate on the test images than on the training images, both after the last epoch."""
        return self.final("train_accuracy") - self.final("test_accuracy")


BINS = np.linspace(-0.3, 0.3, 121)
NONE = ("none", 0.0)

Key = tuple[str, float]  # norm and strength; NONE


@dataclass(frozen=True)
class Measurements:
    plan: Plan
    digits: Digits
    once: dict[Key, Nets]  # the report's rule: one update per epoch, the penalty counted once
    per_batch: dict[Key, Nets]  # the same with the penalty's gradient added once per mini-batch
    path: dict[Key, Nets]  # one update per mini-batch

    @property
    def nets(self) -> list[Nets]:
        return [*self.once.values(), *self.per_batch.values(), *self.path.values()]

    def chosen(self, norm: str) -> Key:
        """The strength of this norm, or none, with the best validation accuracy, averaged over the seeds."""
        candidates = [key for key in self.path if key[0] in (norm, "none")]
        return max(candidates, key=lambda key: self.path[key].final("val_accuracy").mean())


def measure(campaign: Campaign, results: Results) -> Measurements:
    plan = PLANS[campaign.preset]
    digits = campaign.digits(plan.train_rows, plan.test_rows)
    report = [NONE, *((norm, strength) for norm in NORMS for strength in REPORT_STRENGTHS)]
    path = [NONE, *((norm, strength) for norm in NORMS for strength in plan.path)]

    def train(part: str, keys: Sequence[Key], epochs: int, **settings: Any) -> dict[Key, Nets]:
        factor = settings.pop("counted", 1)
        jobs = [_job(part, seed, keys, factor, digits, epochs, settings) for seed in range(plan.seeds)]
        records = results.complete(jobs, lambda text: campaign.say(f"regularization, {text}"))
        return {key: _gather([record["outcome"][_name(key)] for record in records]) for key in keys}

    return Measurements(
        plan,
        digits,
        once=train("one update per epoch", report, plan.report_epochs, accumulate="epoch"),
        per_batch=train(
            "counted per batch", report[1:], plan.report_epochs, accumulate="epoch", counted=REPORT_BATCHES
        ),
        path=train("path", path, plan.path_epochs, proximal=True),
    )


def _name(key: Key) -> str:
    return f"{key[0]} {key[1]:g}"


def _job(
    part: str,
    seed: int,
    keys: Sequence[Key],
    factor: int,
    digits: Digits,
    epochs: int,
    settings: Mapping[str, Any],
) -> Job:
    """All strengths of a seed, side by side."""
    configuration = {
        "measurement": part,
        "data": digits.name,
        "train_rows": len(digits.x_train),
        "test_rows": len(digits.x_test),
        "layer_sizes": list(LAYER_SIZES),
        "learning_rate": LEARNING_RATE,
        "batch_size": BATCH_SIZE,
        "epochs": epochs,
        "seed": seed,
        "factor": factor,
        "strengths": [list(key) for key in keys],
        **settings,
    }
    return Job(f"{part}, seed {seed}", configuration, lambda: _train(seed, keys, factor, digits, epochs, settings))


def _train(
    seed: int, keys: Sequence[Key], factor: int, digits: Digits, epochs: int, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    common = {
        "layer_sizes": LAYER_SIZES,
        "input_scale": INPUT_SCALE,
        "learning_rate": LEARNING_RATE,
        "batch_size": BATCH_SIZE,
        **settings,
    }
    rows, nets = studies.compare(
        [common if key == NONE else {**common, key[0]: factor * key[1]} for key in keys],
        *digits.training,
        epochs,
        seeds=(seed,),
        evaluation_sets=digits.held_out,
        verbose=False,
    )
    outcome: dict[str, Any] = {}
    seconds: dict[str, Any] = {}
    for i, (key, net) in enumerate(zip(keys, nets)):
        own = rows[i * epochs : (i + 1) * epochs]
        outcome[_name(key)] = {name: [row[name] for row in own] for name in METRICS}
        outcome[_name(key)] |= {"train_accuracy": net.evaluate(*digits.training).accuracy, **_weights(net, seed)}
        seconds[_name(key)] = [row["seconds"] for row in own]
    return outcome, {"seconds": seconds}


def _weights(net: Network, seed: int) -> dict[str, Any]:
    first = net.weights[0]
    found: dict[str, Any] = {"zeros": float(np.mean(first == 0))}
    if seed == 0:
        found["histogram"] = np.histogram(first, BINS)[0].tolist()
        found["images"] = np.round(first[:, :IMAGES].T, 4).tolist()
    return found


def _gather(outcomes: Sequence[dict[str, Any]]) -> Nets:
    curves = {name: np.array([outcome[name] for outcome in outcomes]) for name in METRICS}
    curves["train_accuracy"] = np.array([[outcome["train_accuracy"]] for outcome in outcomes])
    return Nets(
        curves,
        np.array([outcome["zeros"] for outcome in outcomes]),
        np.array(outcomes[0]["histogram"]),
        np.array(outcomes[0]["images"]).reshape(-1, 28, 28),
    )
