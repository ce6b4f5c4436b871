"""What the experiment on the best net measures: a choice by validation, then what the chosen nets say of the test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from architecture_measurements import MINI_BATCH, Hidden, name_of
from campaign import Campaign
from digits import Digits
from fastmlp import Network, studies
from results import Job, Results
from scipy.optimize import minimize_scalar

INPUT_SCALE = 1 / 255
CLASSES = 10
SHOWN = 12  # mistakes
BINS = 10  # of confidence, with equally many images each


@dataclass(frozen=True)
class Plan:
    """How much of everything a preset does."""

    train_rows: int
    test_rows: int
    nets: Sequence[Hidden]
    strengths: Sequence[float]  # of L2
    epochs: int
    seeds: int


PLANS = {
    "smoke": Plan(600, 200, ((16,),), (5e-5,), 3, 2),
    "quick": Plan(10000, 2000, ((128,), (512, 384)), (5e-5,), 10, 2),
    "full": Plan(60000, 10000, ((512,), (512, 384), (512, 384, 288)), (2e-5, 5e-5, 1e-4), 30, 3),
}


@dataclass(frozen=True)
class Candidate:
    hidden: Hidden
    l2: float
    val_accuracy: np.ndarray  # (seeds,)

    @property
    def name(self) -> str:
        return f"{name_of(self.hidden)}, L2 {self.l2:g}"


@dataclass(frozen=True)
class Calibration:
    """How probabilities of the predicted class relate to being right, on the test images."""

    confidence: np.ndarray  # (bins,): mean of each
    accuracy: np.ndarray  # (bins,)
    error: float  # expected calibration error: mean |confidence - accuracy|
    loss: float  # mean -log of the true class's probability


@dataclass(frozen=True)
class Measurements:
    plan: Plan
    digits: Digits
    candidates: Sequence[Candidate]
    accuracy: np.ndarray  # (seeds,): of the chosen nets on the test images
    confusion: np.ndarray  # (true class, predicted class): test images of the first seed's net
    mistakes: Sequence[Mapping[str, Any]]  # the most confident first: row, label, predicted, confidence
    mistaken: Sequence[int]  # by seed: wrong test images
    mistaken_by_all: int
    as_trained: Calibration
    temperature: float  # by which the scores are divided; chosen on validation images
    corrected: Calibration

    @property
    def chosen(self) -> Candidate:
        return choice(self.candidates)


def choice(candidates: Sequence[Candidate]) -> Candidate:
    """By validation accuracy alone."""
    return max(candidates, key=lambda candidate: candidate.val_accuracy.mean())


def measure(campaign: Campaign, results: Results) -> Measurements:
    plan = PLANS[campaign.preset]
    digits = campaign.digits(plan.train_rows, plan.test_rows)
    kinds = list(product(plan.nets, plan.strengths))
    configuration = {
        **MINI_BATCH,
        "data": digits.name,
        "train_rows": len(digits.x_train),
        "test_rows": len(digits.x_test),
        "candidates": [[list(hidden), l2] for hidden, l2 in kinds],
        "epochs": plan.epochs,
        "seeds": plan.seeds,
    }
    job = Job("candidates and choice", configuration, lambda: (_choose_and_look(plan, digits, kinds), {}))
    (record,) = results.complete([job], lambda text: campaign.say(f"best net, {text}"))
    outcome = record["outcome"]
    return Measurements(
        plan,
        digits,
        [Candidate(*kind, np.array(accuracy)) for kind, accuracy in zip(kinds, outcome["val_accuracy"])],
        np.array(outcome["accuracy"]),
        np.array(outcome["confusion"]),
        outcome["mistakes"],
        outcome["mistaken"],
        outcome["mistaken_by_all"],
        _calibration_of(outcome["as_trained"]),
        outcome["temperature"],
        _calibration_of(outcome["corrected"]),
    )


def _calibration_of(found: Mapping[str, Any]) -> Calibration:
    return Calibration(np.array(found["confidence"]), np.array(found["accuracy"]), found["error"], found["loss"])


def _choose_and_look(plan: Plan, digits: Digits, kinds: Sequence[tuple[Hidden, float]]) -> dict[str, Any]:
    _, networks = studies.compare(
        [{**MINI_BATCH, "layer_sizes": (784, *h, 10), "l2": l2, "input_scale": INPUT_SCALE} for h, l2 in kinds],
        *digits.training,
        plan.epochs,
        seeds=range(plan.seeds),
        verbose=False,
    )
    held_out = digits.held_out["val"]
    val_accuracy = [net.evaluate(*held_out).accuracy for net in networks]
    candidates = [
        Candidate(*kind, np.array(val_accuracy[i * plan.seeds : (i + 1) * plan.seeds])) for i, kind in enumerate(kinds)
    ]
    first = candidates.index(choice(candidates)) * plan.seeds
    chosen = networks[first : first + plan.seeds]  # only these see the test images
    outcome = look(chosen, held_out, digits.x_test, digits.y_test)
    return {"val_accuracy": [candidate.val_accuracy.tolist() for candidate in candidates], **outcome}


def look(
    networks: Sequence[Network], held_out: tuple[np.ndarray, np.ndarray], x_test: np.ndarray, y_test: np.ndarray
) -> dict[str, Any]:
    """What nets of one kind get right and wrong; confusion, mistakes and calibration are the first one's."""
    y = np.asarray(y_test, np.int64)
    probabilities = networks[0].forward(x_test).astype(float)
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    confusion = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(confusion, (y, predicted), 1)
    wrong = np.array([net.predict(x_test) != y for net in networks])  # (nets, rows)
    rows = np.flatnonzero(wrong[0])
    rows = rows[np.argsort(-confidence[rows], kind="stable")][:SHOWN]
    temperature = fit_temperature(networks[0].forward(held_out[0]).astype(float), held_out[1])
    return {
        "accuracy": (1 - wrong.mean(axis=1)).tolist(),
        "confusion": confusion.tolist(),
        "mistakes": [
            {"row": int(i), "label": int(y[i]), "predicted": int(predicted[i]), "confidence": float(confidence[i])}
            for i in rows
        ],
        "mistaken": wrong.sum(axis=1).tolist(),
        "mistaken_by_all": int(wrong.all(axis=0).sum()),
        "as_trained": calibration(probabilities, y),
        "temperature": temperature,
        "corrected": calibration(at_temperature(probabilities, temperature), y),
    }


def calibration(probabilities: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Confidence and accuracy in bins of equally many rows, the expected calibration error over them, and the loss."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = predicted == y
    bins = np.array_split(np.argsort(confidence, kind="stable"), BINS)
    means = np.array([(confidence[rows].mean(), right[rows].mean()) for rows in bins])
    sizes = np.array([len(rows) for rows in bins])
    tiny = np.finfo(np.float32).tiny
    return {
        "confidence": means[:, 0].tolist(),
        "accuracy": means[:, 1].tolist(),
        "error": float(np.average(np.abs(means[:, 0] - means[:, 1]), weights=sizes)),
        "loss": float(-np.log(np.maximum(probabilities[np.arange(len(y)), y], tiny)).mean()),
    }


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(z / temperature) where `probabilities` are softmax(z)."""
    scores = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)) / temperature
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: np.ndarray, y: np.ndarray) -> float:
    """The temperature with the least loss (Guo et al. 2017, On Calibration of Modern Neural Networks)."""
    rows = np.arange(len(y))

    def loss(log_temperature: float) -> float:
        at = at_temperature(probabilities, np.exp(log_temperature))[rows, np.asarray(y, np.int64)]
        return float(-np.log(np.maximum(at, np.finfo(np.float32).tiny)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))
