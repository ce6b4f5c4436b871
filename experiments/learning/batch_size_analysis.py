"""What the curves, times and memory of the batch-size experiment say."""

import itertools
import math
from collections.abc import Mapping

import numpy as np
from harness.tables import Table, Tables

VISIBLE = 0.01  # of a figure's height: curves that are closer look like one line
STEEP_UNTIL = 20  # epochs: the report's reading of its curves
CLOSE = 1.25  # losses up to this factor apart count as equal: single epochs of one run differ by nearly as much
SCALING_REFERENCE = 128  # the batch size at which scaled and constant learning rates are equal

Group = Mapping[int, Table]  # the curves of each batch size


def group(t: Tables, rule: str) -> Group:
    return t["curves"].where(rule=rule).groups("batch_size")


def final(curves: Table, name: str) -> np.ndarray:
    """After the last epoch, shape (seeds,)."""
    return curves.where(epoch=curves["epoch"].max())[name]


def mean_curve(curves: Table, name: str) -> np.ndarray:
    return curves.by_seed(name).mean(axis=0)


def elapsed(curves: Table) -> np.ndarray:
    """Seconds since the start if each epoch took the median time of the quickest seed, whatever else the machine did."""
    seconds = np.diff(curves.by_seed("seconds"), axis=1, prepend=0)
    return np.arange(1, seconds.shape[1] + 1) * np.median(seconds, axis=1).min()


def max_difference(curves: Group) -> float:
    """Between the validation losses of the batch sizes, seed by seed, in any epoch."""
    return float(np.ptp([each.by_seed("val_loss") for each in curves.values()], axis=0).max())


def same_curves(curves: Group) -> bool:
    return max_difference(curves) < VISIBLE * max(each["val_loss"].max() for each in curves.values())


def smaller_is_faster(curves: Group, epoch: int) -> bool:
    """Whether after this epoch each batch size is better than the next larger one with every seed."""
    losses = [each.where(epoch=epoch)["val_loss"] for each in curves.values()]
    return all(small.max() < large.min() for small, large in itertools.pairwise(losses))


def steepness(loss: np.ndarray) -> float:
    """How many times as fast the loss falls per epoch before STEEP_UNTIL as after it; nan if the curve is too short."""
    if len(loss) < 2 * STEEP_UNTIL:
        return math.nan
    early = (loss[0] - loss[STEEP_UNTIL - 1]) / (STEEP_UNTIL - 1)
    late = (loss[STEEP_UNTIL - 1] - loss[-1]) / (len(loss) - STEEP_UNTIL)
    return float(early / late) if late > 0 else math.inf


def factors(small: Table, large: Table) -> tuple[float, float]:
    """By which factor two validation losses differ on average: after equal epochs, and after equal numbers of updates.

    The second one is nan if the curves have no number of updates in common.
    """
    by_epoch = math.exp(np.abs(np.log(mean_curve(small, "val_loss") / mean_curve(large, "val_loss"))).mean())
    updates, more_updates = large.by_seed("updates")[0], small.by_seed("updates")[0]
    common = (updates >= more_updates[0]) & (updates <= more_updates[-1])
    if not common.any():
        return by_epoch, math.nan
    # Between two epochs the curve is straight on logarithmic axes, as in the figure.
    between = np.interp(np.log(updates[common]), np.log(more_updates), np.log(mean_curve(small, "val_loss")))
    return by_epoch, math.exp(np.abs(between - np.log(mean_curve(large, "val_loss")[common])).mean())


def limits_of_scaling(line: Table) -> tuple[int, int, int | None]:
    """The smallest and the largest batch size between which a learning rate works, and the next larger one, where it fails."""
    means = {size: mean_loss(part) for size, part in line.groups("batch_size").items()}
    sizes, limit = sorted(means), CLOSE * means[SCALING_REFERENCE]
    start = sizes.index(SCALING_REFERENCE)
    upwards = list(itertools.takewhile(lambda size: means[size] <= limit, sizes[start:]))
    downwards = list(itertools.takewhile(lambda size: means[size] <= limit, sizes[start::-1]))
    rest = sizes[start + len(upwards) :]
    return downwards[-1], upwards[-1], rest[0] if rest else None


def mean_loss(part: Table) -> float:
    """Infinite if a seed diverged."""
    return float(np.nan_to_num(part["val_loss"], nan=math.inf).mean())


def median_seconds(t: Tables, threads: int, size: int) -> float:
    return float(np.median(t["times"].where(threads=threads, batch_size=size)["seconds_per_epoch"]))


def slowest_over_quickest(t: Tables, threads: int) -> tuple[float, bool]:
    """Of the report's batch sizes, and whether the repetitions of the two do not overlap."""
    rounds = [t["times"].where(threads=threads, batch_size=size)["seconds_per_epoch"] for size in t.sizes.batch_sizes]
    slowest, quickest = max(rounds, key=np.median), min(rounds, key=np.median)
    return float(np.median(slowest) / np.median(quickest)), bool(slowest.min() > quickest.max())


def peaks(t: Tables, trainer: str) -> tuple[float, float]:
    """Bytes with the smallest and with the largest batch; nan where the system does not report them."""
    counts = t["memory"].where(trainer=trainer)["peak_bytes_beyond_data"]
    return float(counts[0]), float(counts[-1])


def seconds_per_batch(t: Tables, threads: int, size: int) -> float:
    return median_seconds(t, threads, size) / math.ceil(t.sizes.train_rows / size)


def first_epoch(curves: Table, name: str, level: float) -> int | None:
    """The first epoch whose mean over the seeds is at the level or better."""
    mean = mean_curve(curves, name)
    reached = mean <= level if name.endswith("loss") else mean >= level
    return int(reached.argmax()) + 1 if reached.any() else None
