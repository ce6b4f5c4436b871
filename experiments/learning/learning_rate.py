"""Which learning rate suits which batch size?"""

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
from fastmlp.plotting import HeatMapDisplay
from harness.figures import panels
from harness.jobs import Job
from harness.nets import train
from harness.number_text import listing
from harness.run import Run, Sizes
from harness.tables import Row, Tables

LAYER_SIZES = (784, 128, 10)
RATES = tuple(0.0125 * 2**i for i in range(9))  # the report's 0.2 and 0.4 among them
REPORT_RATES = (0.2, 0.4)
NEAR = 0.005  # of accuracy below the best: a rate that is nearly as good
SHOWN = 0.1  # of accuracy below the best: lower ones, of nets that have hardly learnt, have one colour

SIZES = Sizes(
    seconds=(2, 6, 2500),
    train_rows=(600, 10000, 60000),
    test_rows=(100, 1667, 10000),
    batch_sizes=((32, 128), (8, 32, 128, 512, 2048), (8, 32, 128, 512, 2048, 8192)),
    epochs=(2, 5, 10),
    seeds=(1, 1, 3),
)


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    """All rates of a batch size and seed side by side."""
    digits = run.digits(sizes.train_rows, sizes.test_rows)
    trainings = []
    for size, seed in itertools.product(sizes.batch_sizes, range(sizes.seeds)):
        nets = [
            (
                {"batch_size": size, "learning_rate": rate},
                {"layer_sizes": LAYER_SIZES, "batch_size": size, "learning_rate": rate},
            )
            for rate in RATES
        ]
        trainings.append(train(digits, digits.held_out, nets, sizes.epochs, seed, final=("accuracy", "val_accuracy")))
    return trainings


def mean(t: Tables, batch_size: int, rate: float) -> float:
    """Validation accuracy after the last epoch; nan where a seed diverged."""
    return t["accuracy"].mean("val_accuracy", batch_size=batch_size, learning_rate=rate)


def best(t: Tables, batch_size: int) -> float:
    """The rate with the best mean validation accuracy."""
    return max(RATES, key=lambda rate: np.nan_to_num(mean(t, batch_size, rate)))


def usable(t: Tables, batch_size: int) -> list[float]:
    """The rates whose accuracy is near that of the best."""
    threshold = mean(t, batch_size, best(t, batch_size)) - NEAR
    return [rate for rate in RATES if mean(t, batch_size, rate) >= threshold]


def slope(t: Tables) -> float:
    """Of the log of the best rate against that of the batch size: 1 for the linear rule, 1/2 for the square root."""
    sizes = t["accuracy"].distinct("batch_size")
    return float(np.polyfit(np.log(sizes), np.log([best(t, size) for size in sizes]), 1)[0])


def numbers(t: Tables) -> dict[str, Any]:
    sizes = t["accuracy"].distinct("batch_size")
    accuracies = listing(f"{mean(t, size, best(t, size)):.2%} ({size})" for size in sizes)
    rates = [f"{best(t, size):g}" for size in (sizes[0], sizes[-1])]
    return {"slope": slope(t), "accuracies": accuracies, "first_rate": rates[0], "last_rate": rates[1]}


def views(t: Tables) -> dict[str, list[Row]]:
    rows = []
    for size in t["accuracy"].distinct("batch_size"):
        near = usable(t, size)
        at_report = {f"at_{i}": mean(t, size, rate) for i, rate in enumerate(REPORT_RATES)}
        ends = {"best": best(t, size), "first": near[0], "last": near[-1]}
        rows.append({"size": size, **ends, "accuracy": mean(t, size, ends["best"]), **at_report})
    return {"rates": rows}


def figures(t: Tables) -> dict[str, Any]:
    """Validation accuracy as a heat map: batch sizes to the right, rates upwards."""
    sizes = t["accuracy"].distinct("batch_size")
    drawing, axes = panels(1, 1, (1.6 + 0.95 * len(sizes), 4.0))
    values = np.array([[mean(t, size, rate) for size in sizes] for rate in RATES])
    display = HeatMapDisplay(values, "batch size", "learning rate", sizes, [f"{rate:g}" for rate in RATES])
    display.plot(axes[0, 0], text="{:.1%}", vmin=np.nanmax(values) - SHOWN)
    axes[0, 0].grid(False)
    return {"heat_map": drawing}
