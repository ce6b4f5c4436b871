"""Which images does the best net still get wrong, and is its confidence justified?"""

from collections.abc import Mapping, Sequence
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
from fastmlp import Network, studies
from fastmlp.plotting import HeatMapDisplay
from harness.digits import INPUT_SCALE, Digits, Pair
from harness.figures import BLUE, DARK_ORANGE, GREY, as_pixels, panels, stretch_near_one
from harness.jobs import Job
from harness.number_text import listing
from harness.run import Run, Sizes
from harness.tables import Row, Table, Tables
from matplotlib.figure import Figure as Drawing
from scipy.optimize import minimize_scalar

from learning.architecture import MINI_BATCH, RULES, layer_sizes

CLASSES = 10
MISTAKES = 12  # that are shown
PAIRS = 4  # confusions in the text
BINS = 10  # of confidence, with equally many images each
TINY = np.finfo(np.float32).tiny  # a probability that underflowed counts as this

SIZES = Sizes(
    seconds=(2, 5, 4000),
    train_rows=(600, 10000, 60000),
    test_rows=(200, 2000, 10000),
    nets=(("16",), ("128", "512-384"), ("512", "512-384", "512-384-288")),
    strengths=((5e-5,), (5e-5,), (2e-5, 5e-5, 1e-4)),  # of L2
    epochs=(3, 10, 30),
    seeds=(2, 2, 3),
)

Kind = tuple[str, float]  # hidden layers and L2


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    digits = run.digits(sizes.train_rows, sizes.test_rows)
    kinds = list(product(sizes.nets, sizes.strengths))
    configuration = {
        **RULES[MINI_BATCH],
        "data": digits.name,
        "rows": [len(digits.x_train), len(digits.x_test)],
        "candidates": [list(kind) for kind in kinds],
        "epochs": sizes.epochs,
        "seeds": sizes.seeds,
    }
    return [Job(configuration, lambda: _choose_and_test(sizes, digits, kinds), lambda result: rows(result, kinds))]


def _choose_and_test(sizes: SimpleNamespace, digits: Digits, kinds: Sequence[Kind]) -> dict[str, Any]:
    settings = [
        {**RULES[MINI_BATCH], "layer_sizes": layer_sizes(hidden), "l2": l2, "input_scale": INPUT_SCALE}
        for hidden, l2 in kinds
    ]
    split = digits.held_out
    _, networks = studies.compare(
        settings, split.X, split.y, sizes.epochs, seeds=range(sizes.seeds), verbose=False, return_networks=True
    )
    accuracy = [net.evaluate(*split.evaluation_sets["val"]).accuracy for net in networks]
    val_accuracy = np.reshape(accuracy, (len(kinds), sizes.seeds))
    first = choice(val_accuracy) * sizes.seeds
    best = networks[first : first + sizes.seeds]  # only these are evaluated on the test images
    return {
        "val_accuracy": val_accuracy.tolist(),
        **examine(best, split.evaluation_sets["val"], *split.evaluation_sets["test"]),
    }


def choice(val_accuracy: np.ndarray) -> int:
    """The kind with the best validation accuracy, of shape (kinds, seeds)."""
    return int(val_accuracy.mean(axis=1).argmax())


def rows(result: dict[str, Any], kinds: Sequence[Kind]) -> dict[str, list[Row]]:
    best = choice(np.array(result["val_accuracy"]))
    scores = {"as trained": result["as_trained"], "temperature": result["corrected"]}
    return {
        "candidates": [
            {
                **{"hidden": hidden, "l2": l2, "seed": seed, "val_accuracy": accuracy},
                "test_accuracy": result["accuracy"][seed] if i == best else None,
            }
            for i, (hidden, l2) in enumerate(kinds)
            for seed, accuracy in enumerate(result["val_accuracy"][i])
        ],
        "confusion": [
            {"true": true, **{str(i): count for i, count in enumerate(counts)}}
            for true, counts in enumerate(result["confusion"])
        ],
        "mistakes": result["mistakes"],
        "calibration": [
            {"scores": name, "confidence": confidence, "accuracy": accuracy}
            for name, bins in scores.items()
            for confidence, accuracy in zip(bins["confidence"], bins["accuracy"])
        ],
    }


def examine(networks: Sequence[Network], held_out: Pair, x_test: np.ndarray, y_test: np.ndarray) -> dict[str, Any]:
    """What nets of one kind get right and wrong; confusion, mistakes and calibration are those of the first net."""
    y = np.asarray(y_test, np.int64)
    probabilities = networks[0].forward(x_test).astype(float)
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    confusion = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(confusion, (y, predicted), 1)
    wrong = np.array([net.predict(x_test) != y for net in networks])  # (nets, rows)
    surest = np.flatnonzero(wrong[0])
    surest = surest[np.argsort(-confidence[surest], kind="stable")][:MISTAKES]
    temperature = fit_temperature(networks[0].forward(held_out[0]).astype(float), held_out[1])
    return {
        "accuracy": (1 - wrong.mean(axis=1)).tolist(),
        "confusion": confusion.tolist(),
        "mistakes": [
            {"row": int(i), "label": int(y[i]), "predicted": int(predicted[i]), "confidence": float(confidence[i])}
            for i in surest
        ],
        "images": x_test[surest].tolist(),
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
    means = np.array([(confidence[part].mean(), right[part].mean()) for part in bins])
    return {
        "confidence": means[:, 0].tolist(),
        "accuracy": means[:, 1].tolist(),
        "error": float(np.average(np.abs(means[:, 0] - means[:, 1]), weights=[len(part) for part in bins])),
        "loss": _loss(probabilities, y),
    }


def _loss(probabilities: np.ndarray, y: np.ndarray) -> float:
    true = probabilities[np.arange(len(y)), np.asarray(y, np.int64)]
    return float(-np.log(np.maximum(true, TINY)).mean())


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(z / temperature) where `probabilities` are softmax(z)."""
    scores = np.log(np.maximum(probabilities, TINY)) / temperature
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: np.ndarray, y: np.ndarray) -> float:
    """The temperature with the lowest loss (Guo et al. 2017, On Calibration of Modern Neural Networks)."""
    loss = lambda log: _loss(at_temperature(probabilities, np.exp(log)), y)  # noqa: E731
    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def chosen(candidates: Table) -> tuple[str, Table]:
    """The kind of nets that validation chooses, and its nets."""
    kinds = candidates.groups("hidden", "l2")
    hidden, l2 = max(kinds, key=lambda kind: kinds[kind]["val_accuracy"].mean())
    return f"{hidden}, L2 {l2:g}", kinds[hidden, l2]


def numbers(t: Tables) -> dict[str, Any]:
    name, nets = chosen(t["candidates"])
    bins = t["calibration"].where(scores="as trained")
    values = {
        "chosen": name,
        "accuracy": nets["test_accuracy"],
        "kinds": len(t["candidates"].distinct("hidden", "l2")),
        "confidence_error": np.abs(bins["confidence"] - bins["accuracy"]).mean(),
        "min_confidence": bins["confidence"][0],
        "its_accuracy": bins["accuracy"][0],
    }
    if not t.results:  # committed
        return values
    result = t.results[0]
    return {**values, **result, "missed": result["mistaken"][0], "pairs": _pairs(np.array(result["confusion"]))}


def _pairs(confusion: np.ndarray) -> str:
    """The most frequent confusions."""
    counts = np.where(np.eye(CLASSES, dtype=bool), 0, confusion)
    order = np.argsort(-counts, axis=None, kind="stable")[:PAIRS]
    parts = [f"{i // CLASSES} seen as {i % CLASSES} ({counts.flat[i]})" for i in order if counts.flat[i]]
    return listing(parts) if parts else "none"


def figures(t: Tables) -> dict[str, Any]:
    result = t.results[0]
    scores = {"as trained": result["as_trained"], f"temperature {result['temperature']:.2f}": result["corrected"]}
    return {
        "confusion": draw_confusion(np.array(result["confusion"])),
        "mistakes": draw_mistakes(result["mistakes"], np.array(result["images"])),
        "calibration": draw_calibration(scores),
    }


def sure(confidence: float) -> str:
    """In per cent, rounded down: 99.99 %, not 100 %."""
    return f"{np.floor(1e4 * confidence) / 100:.2f} %"


def draw_confusion(counts: np.ndarray) -> Drawing:
    """Mistakes by true and predicted digit; the diagonal is left out."""
    drawing, axes = panels(1, 1, (4.8, 4.2))
    shown = counts.astype(float)
    shown[(counts == 0) | np.eye(len(counts), dtype=bool)] = np.nan
    if np.isnan(shown).all():
        shown[0, 1] = 0  # a net without mistakes: an empty map
    display = HeatMapDisplay(shown, "predicted", "true digit", range(len(counts)), range(len(counts)))
    display.plot(axes[0, 0], text="{:.0f}", cmap="Blues", vmin=0)
    axes[0, 0].invert_yaxis()
    axes[0, 0].grid(False)
    return drawing


def draw_mistakes(shown: Sequence[Mapping[str, Any]], images: np.ndarray) -> Drawing:
    """The most confident mistakes, with their images of shape (mistakes, 784)."""
    drawing, axes = panels(2, 6, (8.4, 3.4))
    for ax in axes.flat:
        ax.axis("off")
    for ax, mistake, image in zip(axes.flat, shown, images):
        ax.imshow(image.reshape(28, 28), cmap="gray_r")
        title = f"{mistake['label']}, seen as {mistake['predicted']}\n{sure(mistake['confidence'])} sure"
        ax.set_title(title, fontsize=8.5, loc="center", fontweight="normal")
    return as_pixels(drawing)


def draw_calibration(scores: Mapping[str, Mapping[str, Any]]) -> Drawing:
    """Accuracy by confidence, as trained and at the temperature that validation chose."""
    drawing, axes = panels(1, 1, (4.8, 3.8))
    ax = axes[0, 0]
    lowest = min(min(each["confidence"] + each["accuracy"]) for each in scores.values())
    ideal = 1 - np.geomspace(1 - lowest, 1e-4, 50)
    ax.plot(ideal, ideal, color=GREY, linestyle=":", label="as sure as right")
    for (label, each), (colour, marker) in zip(scores.items(), ((BLUE, "s"), (DARK_ORANGE, "^"))):
        ax.plot(each["confidence"], each["accuracy"], color=colour, marker=marker, label=label)
    ax.set(xlabel="mean confidence of a tenth of the images", ylabel="accuracy", xlim=(lowest, 1), ylim=(lowest, 1))
    stretch_near_one(ax, "x")
    stretch_near_one(ax, "y")
    ax.legend(loc="upper left")
    return drawing
