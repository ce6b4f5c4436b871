"""What do L1 and L2 penalties change? And why did the report's L2 net rise to 60 % and fall to chance?"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from fastmlp import Network
from harness.jobs import Job
from harness.nets import train
from harness.number_text import constant_since, listing, percent
from harness.run import Run, Sizes
from harness.section import EXPLAINED, IN_PART, all_or_some
from harness.tables import Row, Table, Tables
from matplotlib.figure import Figure as Drawing

from learning import regularization_figures as draw
from learning.regularization_figures import BINS, NAMES, NONE, NORMS, REPORT_STRENGTHS, Key

SETTINGS = {"layer_sizes": (784, 128, 10), "learning_rate": 0.2, "batch_size": 128}
SMALL, MIDDLE, LARGE = REPORT_STRENGTHS
REPORT_BATCHES = 469  # of 128 in 60000 rows; smaller runs penalize as often, to show the same effect
IMAGES = 6  # of first-layer weights that are kept
SAME = 0.01  # of accuracy: what the report could not distinguish in a figure
CHANCE = 0.15  # accuracy at most: no better than always the same answer
RISEN = 0.5  # accuracy at least, before a fall to chance
LEARNS = 0.02  # of accuracy at most below no penalty: a strong penalty that still learns

SIZES = Sizes(
    seconds=(3, 45, 1800),
    train_rows=(1000, 10000, 60000),
    test_rows=(300, 2000, 10000),
    report_epochs=(4, 50, 200),
    path=(
        (1e-3, 1e-2),
        (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
        (1e-6, 1e-5, 3e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 3e-2),
    ),
    path_epochs=(2, 12, 30),
    seeds=(1, 2, 3),
)


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    """All strengths of a seed side by side."""
    digits = run.digits(sizes.train_rows, sizes.test_rows)
    report = [NONE, *((norm, strength) for norm in NORMS for strength in REPORT_STRENGTHS)]
    curves = ("report_rule", "loss", "penalty", "accuracy", "val_accuracy", "test_accuracy")
    final = ("path", "train_accuracy", "val_accuracy", "test_accuracy", "zeros")
    trainings = []
    for name, keys, factor in (("once", report, 1), ("per_batch", report[1:], REPORT_BATCHES)):
        nets = [({"counted": name, **_columns(key)}, _settings(key, factor, accumulate="epoch")) for key in keys]
        for seed in range(sizes.seeds):
            trainings.append(
                train(digits, digits.held_out, nets, sizes.report_epochs, seed, curves=curves, thin_after=20)
            )
    nets = [(_columns(key), _settings(key, proximal=True)) for key in path_keys(sizes)]
    for seed in range(sizes.seeds):
        observe = None if seed else _first_layer
        trainings.append(train(digits, digits.held_out, nets, sizes.path_epochs, seed, final=final, observe=observe))
    return trainings


def path_keys(sizes: SimpleNamespace) -> list[Key]:
    return [NONE, *((norm, strength) for norm in NORMS for strength in sizes.path)]


def _columns(key: Key) -> dict[str, Any]:
    return {"norm": key[0], "strength": key[1]}


def _settings(key: Key, factor: int = 1, **settings: Any) -> dict[str, Any]:
    return {**SETTINGS, **settings, **({} if key == NONE else {key[0]: factor * key[1]})}


def _first_layer(net: Network) -> dict[str, Any]:
    first = net.weights[0]
    images = np.round(first[:, :IMAGES].T, 4).tolist()
    return {"histogram": np.histogram(first, BINS)[0].tolist(), "images": images}


def accuracy_curve(table: Table, counted: str, norm: str, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """The epochs of report_rule.csv, and the validation accuracy after each, the mean over the seeds."""
    curves = table.where(counted=counted, norm=norm, strength=strength)
    return curves.by_seed("epoch")[0], curves.by_seed("val_accuracy").mean(axis=0)


def collapses(accuracy: np.ndarray) -> bool:
    """Whether accuracy rises, and ends at chance."""
    return bool(accuracy.max() >= RISEN and accuracy[-1] <= CHANCE)


def course(epochs: Sequence[int], accuracy: np.ndarray) -> str:
    """A curve's highest point and its end in words."""
    text = f"rises to {accuracy.max():.0%} in epoch {epochs[accuracy.argmax()]}"
    if accuracy[-1] > CHANCE:
        return f"{text} and ends at {accuracy[-1]:.0%}"
    since = constant_since(accuracy, percent)
    ends = f"is at {accuracy[-1]:.1%} from epoch {epochs[since]} on" if since < len(epochs) - 1 else ""
    return f"{text} and {ends or f'ends at {accuracy[-1]:.1%}'}"


def chosen(t: Tables, norm: str) -> Key:
    """The strength of this norm, or none, with the best validation accuracy, averaged over the seeds."""
    keys = [key for key in t["path"].distinct("norm", "strength") if key[0] in (norm, "none")]
    return max(keys, key=lambda key: path_mean(t, key, "val_accuracy"))


def path_mean(t: Tables, key: Key, name: str) -> float:
    return t["path"].mean(name, **_columns(key))


def gap(t: Tables, key: Key) -> float:
    """How much less accurate on the test images than on the training images."""
    return path_mean(t, key, "train_accuracy") - path_mean(t, key, "test_accuracy")


def strong(t: Tables) -> list[Key]:
    """Of each norm, the largest strength that still learns."""
    threshold = path_mean(t, NONE, "val_accuracy") - LEARNS
    keys = []
    for norm in NORMS:
        strengths = t["path"].where(norm=norm).distinct("strength")
        near = [s for s in strengths if path_mean(t, (norm, s), "val_accuracy") > threshold]
        keys.append((norm, max(near, default=min(strengths))))
    return keys


def holds(t: Tables) -> dict[str, bool | str | None]:
    once, per_batch = ends(t, "once"), ends(t, "per_batch")
    same = {name: abs(end - once["none_0"]) < SAME for name, end in once.items()}
    fails = {
        name: True if once[name] <= CHANCE else EXPLAINED if per_batch[name] <= CHANCE else False for name in per_batch
    }
    figures = {f"figure_{name}": fails[name] if name.endswith(f"_{LARGE:g}") else same[name] for name in per_batch}
    small = [once[f"{norm}_{strength:g}"] for norm in NORMS for strength in (SMALL, MIDDLE)]
    large = [once[f"{norm}_{LARGE:g}"] for norm in NORMS]
    curves = [accuracy_curve(t["report_rule"], way, "l2", LARGE)[1] for way in ("once", "per_batch")]
    without, strongest = path_mean(t, NONE, "val_accuracy"), max(t.sizes.path)
    zeros = {norm: max(path_mean(t, (norm, s), "zeros") for s in t.sizes.path) for norm in NORMS}
    chosen_keys = [key for key in (chosen(t, norm) for norm in NORMS) if key != NONE]
    narrower = bool(chosen_keys) and all(gap(t, key) < gap(t, NONE) for key in chosen_keys)
    test_accuracy = path_mean(t, NONE, "test_accuracy")
    better = bool(chosen_keys) and all(path_mean(t, key, "test_accuracy") >= test_accuracy for key in chosen_keys)
    return {
        **figures,
        "small": all(same[f"{norm}_{SMALL:g}"] for norm in NORMS),
        "too_large": all_or_some([without - path_mean(t, (n, strongest), "val_accuracy") > SAME for n in NORMS]),
        "slower": passed_half(t, "l1") > passed_half(t, "l2"),
        "zeros": zeros["l1"] > zeros["l2"] + SAME and zeros["l2"] <= path_mean(t, NONE, "zeros") + SAME,
        "best": True if min(small) > max(large) else IN_PART if np.mean(small) > np.mean(large) else False,
        "collapse": True if collapses(curves[0]) else EXPLAINED if collapses(curves[1]) else False,
        "l1_large": fails[f"l1_{LARGE:g}"],
        "l1_middle": same[f"l1_{MIDDLE:g}"],
        "generalization": all_or_some([narrower, better]),
    }


def ends(t: Tables, counted: str) -> dict[str, float]:
    """Accuracy after the last epoch under the report's rule, by norm and strength."""
    keys = t["report_rule"].where(counted=counted).distinct("norm", "strength")
    return {f"{key[0]}_{key[1]:g}": accuracy_curve(t["report_rule"], counted, *key)[1][-1] for key in keys}


def passed_half(t: Tables, norm: str) -> int:
    """The epoch in which accuracy passes one half, at the largest strength counted once."""
    epochs, accuracy = accuracy_curve(t["report_rule"], "once", norm, LARGE)
    return int(epochs[np.argmax(accuracy >= RISEN)])


def numbers(t: Tables) -> dict[str, Any]:
    table, strongest = t["report_rule"], max(t.sizes.path)
    keys = table.where(counted="per_batch").distinct("norm", "strength")
    courses = {
        f"{key[0]}_{key[1]:g}": f"Counted once, accuracy {course(*accuracy_curve(table, 'once', *key))}; counted once per "
        f"mini-batch, it {course(*accuracy_curve(table, 'per_batch', *key))}."
        for key in keys
    }
    kept = {NONE: None, **{chosen(t, norm): None for norm in NORMS}}
    return {
        "course": course(*accuracy_curve(table, "per_batch", "l2", LARGE)),
        "courses": courses,
        "once": ends(t, "once"),
        "per_batch": ends(t, "per_batch"),
        "passed": {norm: passed_half(t, norm) for norm in NORMS},
        "strongest": strongest,
        "ends": {norm: path_mean(t, (norm, strongest), "val_accuracy") for norm in NORMS},
        "without": path_mean(t, NONE, "val_accuracy"),
        "zeros": {norm: max(path_mean(t, (norm, s), "zeros") for s in t.sizes.path) for norm in NORMS},
        "gaps": listing(f"{gap(t, key):.2%} ({_label(key)})" for key in kept),
        "tests": listing(f"{path_mean(t, key, 'test_accuracy'):.2%} ({_label(key)})" for key in kept),
    }


def _label(key: Key) -> str:
    return "none" if key == NONE else f"{NAMES[key[0]]}, λ = {key[1]:g}"


def views(t: Tables) -> dict[str, list[Row]]:
    table = t["report_rule"]
    rows = []
    for counted, norm, strength in table.distinct("counted", "norm", "strength"):
        _, accuracy = accuracy_curve(table, counted, norm, strength)
        label = "no penalty" if norm == "none" else f"{_label((norm, strength))}, {draw.COUNTED[counted]}"
        rows.append({"label": label, "highest": accuracy.max(), "last": accuracy[-1]})
    return {"courses": rows}


def figures(t: Tables) -> dict[str, Any]:
    observed = dict(zip(path_keys(t.sizes), next(result["observed"] for result in t.results if "observed" in result)))
    return {
        "report": draw.report_rule(t["report_rule"]),
        "path": draw.path(t["path"], {norm: chosen(t, norm) for norm in NORMS}),
        "weights": draw.weights({_label(key): observed[key] for key in (NONE, *strong(t))}),
    }


def headline(t: Tables) -> Drawing:
    return draw.headline(t["report_rule"])
