"""What the curves and learning rates of the batch-size experiment say, in sentences and verdicts that depend on them alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from batch_size_measurements import SCALING_REFERENCE, RateLine
from curves import Curves
from section import Table
from wording import counted, duration, listing, mean_and_range, rounded_up, significant, times

VISIBLE = 0.01  # of a figure's height: two curves that are closer are one line to the eye
EARLY = 10  # epochs: where batch sizes differ most and one update per epoch is far from its end
STEEP_UNTIL = 20  # epochs: the report's reading of its curves
LEVELS = (0.9, 0.95, 0.975)  # test accuracies whose cost is told
CLOSE = 1.25  # losses up to this factor apart count as equal: single epochs of one run differ by nearly as much


def same_curves(group: Mapping[int, Curves]) -> tuple[bool, float]:
    """Whether all batch sizes give one curve, seed by seed, and the largest difference of the validation losses."""
    losses = np.array([curves.val_loss for curves in group.values()])
    difference = float(np.ptp(losses, axis=0).max())
    return difference < VISIBLE * losses.max(), difference


def smaller_is_faster(group: Mapping[int, Curves], epoch: int) -> bool:
    """Whether after this epoch each batch size is better than the next larger one with every seed."""
    return all(
        small.after("val_loss", epoch).max() < large.after("val_loss", epoch).min()
        for small, large in itertools.pairwise(group.values())
    )


def one_update(group: Mapping[int, Curves]) -> list[str]:
    same, difference = same_curves(group)
    curves = next(iter(group.values()))
    epochs, seeds = len(curves.epochs), len(curves.loss)
    text = (
        f"With equal seeds, the validation losses of the batch sizes {listing(group)} differ by at most "
        f"{rounded_up(difference, 2)} in any of the {epochs} epochs"
    )
    if seeds > 1:
        text += (
            f"; from seed to seed they differ by up to {rounded_up(float(np.ptp(curves.val_loss, axis=0).max()), 2)}"
        )
    text += (
        ". They are one curve, and the difference is rounding: added up over the epoch, the gradients of the batches "
        "are the gradient of all rows, however the rows are cut into batches."
        if same
        else ". That is more than rounding: here the batch size matters, which the rule cannot explain, as the gradients of "
        "an epoch's batches add up to the gradient of all rows."
    )
    return [text, _steep_part(curves), _end(curves)]


def _steep_part(curves: Curves) -> str:
    loss, epochs = curves.mean("loss"), len(curves.epochs)
    fall = loss[0] - loss[-1]
    if epochs <= STEEP_UNTIL:
        return f"This run has {epochs} epochs, too few to see whether the curves are steep until epoch {STEEP_UNTIL}."
    share = (loss[0] - loss[STEEP_UNTIL - 1]) / fall
    mostly_done = int((loss <= loss[0] - 0.9 * fall).argmax()) + 1
    return (
        f"{share:.0%} of the fall of the training loss, from {significant(loss[0])} to {significant(loss[-1])}, happens "
        f"in the first {STEEP_UNTIL} of the {epochs} epochs, 90% in the first {mostly_done}. Per epoch the loss falls "
        f"{times(steepness(loss))} as fast before epoch {STEEP_UNTIL} as after it."
    )


def steepness(loss: np.ndarray) -> float:
    """How much faster the loss falls per epoch before STEEP_UNTIL than after it."""
    early = (loss[0] - loss[STEEP_UNTIL - 1]) / (STEEP_UNTIL - 1)
    late = (loss[STEEP_UNTIL - 1] - loss[-1]) / (len(loss) - STEEP_UNTIL)
    return early / late if late > 0 else math.inf


def _end(curves: Curves) -> str:
    return (
        f"After {len(curves.epochs)} epochs the training loss is {mean_and_range(curves.final('loss'), 3)} and the training accuracy "
        f"{mean_and_range(curves.final('accuracy'), 3)}; on the test images {mean_and_range(curves.final('val_loss'), 3)} and "
        f"{mean_and_range(curves.final('val_accuracy'), 3)}."
    )


def mini_batch(group: Mapping[int, Curves]) -> list[str]:
    last = len(next(iter(group.values())).epochs)
    early = min(EARLY, last)
    accuracies = [
        f"{mean_and_range(curves.after('val_accuracy', early), 3)} with batches of {size} ({counted(early * curves.updates_per_epoch, 'update')})"
        for size, curves in group.items()
    ]
    verdict = (
        "The smaller the batch, the faster the net learns, with every seed."
        if smaller_is_faster(group, early)
        else "The batch sizes are not in the order of their size with every seed: no rule can be told from this run."
    )
    texts = [f"After {counted(early, 'epoch')} the test accuracy is {listing(accuracies)}. {verdict}"]
    if last > early:
        ends = [
            f"{mean_and_range(curves.final('val_accuracy'), 3)} with batches of {size}"
            for size, curves in group.items()
        ]
        texts.append(f"After {last} epochs it is {listing(ends)}. {_overfitting(group)}")
    return texts


def _overfitting(group: Mapping[int, Curves]) -> str:
    found = []
    for size, curves in group.items():
        loss = curves.mean("val_loss")
        lowest = int(loss.argmin())
        if loss[-1] > 1.05 * loss[lowest]:  # more than the noise of single epochs
            found.append(
                f"with batches of {size} from {significant(loss[lowest])} in epoch {lowest + 1} to {significant(loss[-1])}"
            )
    if not found:
        return "The validation loss of no batch size rises again by more than 5% after its lowest point."
    return f"The validation loss passes a lowest point and rises again {listing(found)}: there the net overfits."


def cost_table(group: Mapping[int, Curves]) -> Table:
    rows = []
    for level in LEVELS:
        cells = []
        for curves in group.values():
            epoch = curves.first_epoch("val_accuracy", level)
            cells.append(
                "not reached"
                if epoch is None
                else f"{counted(epoch, 'epoch')}, {counted(epoch * curves.updates_per_epoch, 'update')}, {duration(curves.elapsed[epoch - 1])}"
            )
        rows.append([f"{level:g}", *cells])
    return Table(
        "What it takes to reach a test accuracy, looked at after each epoch",
        ["Accuracy", *(f"Batch {size}" for size in group)],
        rows,
    )


def factors(small: Curves, large: Curves) -> tuple[float, float, np.ndarray]:
    """By which factor two validation losses differ on average: after equal epochs, after equal updates, and the latter's numbers.

    No number of updates in common: the second factor is NaN.
    """
    by_epoch = math.exp(np.abs(np.log(small.mean("val_loss") / large.mean("val_loss"))).mean())
    common = (large.updates >= small.updates[0]) & (large.updates <= small.updates[-1])
    if not common.any():
        return by_epoch, math.nan, large.updates[common]
    # Between two epochs the curve is taken to be straight on logarithmic axes, as it is in the figure.
    between = np.interp(np.log(large.updates[common]), np.log(small.updates), np.log(small.mean("val_loss")))
    by_update = math.exp(np.abs(between - np.log(large.mean("val_loss")[common])).mean())
    return by_epoch, by_update, large.updates[common]


def updates_explain(small: Curves, large: Curves) -> bool:
    by_epoch, by_update, _ = factors(small, large)
    return by_update < min(CLOSE, by_epoch)


def updates(group: Mapping[int, Curves]) -> list[str]:
    texts = []
    for (small_size, small), (large_size, large) in itertools.pairwise(group.items()):
        by_epoch, by_update, common = factors(small, large)
        if not len(common):
            texts.append(f"Batches of {small_size} and {large_size} have no number of updates in common in this run.")
            continue
        verdict = "explains" if updates_explain(small, large) else "alone does not explain"
        texts.append(
            f"Batches of {small_size} and {large_size}: after equal numbers of epochs their validation losses differ by a factor of "
            f"{significant(by_epoch)} on average, after equal numbers of updates (from {common[0]} to {common[-1]}) by a factor of "
            f"{significant(by_update)}. The number of updates {verdict} the difference between them."
        )
    return texts


def limits_of_scaling(line: RateLine) -> tuple[int, int, int | None]:
    """The smallest and the largest batch size between which the scaled rate works, and the next larger one, where it fails."""
    means = dict(zip(line.batch_sizes, line.losses.mean(axis=1)))
    limit = CLOSE * means[SCALING_REFERENCE]
    start = list(line.batch_sizes).index(SCALING_REFERENCE)
    upwards = list(itertools.takewhile(lambda size: means[size] <= limit, line.batch_sizes[start:]))
    downwards = list(itertools.takewhile(lambda size: means[size] <= limit, line.batch_sizes[start::-1]))
    rest = line.batch_sizes[start + len(upwards) :]
    return downwards[-1], upwards[-1], rest[0] if rest else None


def learning_rates(lines: Sequence[RateLine], epochs: int) -> list[str]:
    texts, failing = [], []
    for line in lines:
        losses = dict(zip(line.batch_sizes, line.losses.mean(axis=1)))
        reference, largest = losses[SCALING_REFERENCE], line.batch_sizes[-1]
        if not line.scaled:
            texts.append(
                f"Constant learning rate {line.base_rate:g}: after {epochs} epochs the validation loss is {significant(reference)} with "
                f"batches of {SCALING_REFERENCE} and {_loss(losses[largest])} with batches of {largest}."
            )
            continue
        smallest, works, fails = limits_of_scaling(line)
        span = f"batches of {works} only" if smallest == works else f"batches from {smallest} to {works}"
        text = (
            f"Scaled, {line.base_rate:g} at batches of {SCALING_REFERENCE}: the loss stays within {CLOSE - 1:.0%} of {significant(reference)} "
            f"for {span} (learning rate {line.rate(works):g})"
        )
        if fails is None:
            texts.append(f"{text}, the largest tried: it does not break down here.")
        else:
            failing.append(line.rate(fails))
            texts.append(
                f"{text} and breaks down at {fails} (learning rate {line.rate(fails):g}), where it is {_loss(losses[fails])}."
            )
    if len(failing) > 1:
        sizes = lines[0].batch_sizes
        texts.append(
            f"Both break down at the same learning rate, {failing[0]:g}, though at different batch sizes (on a grid in steps of a factor "
            f"{sizes[1] // sizes[0]}): the limit belongs to the length of the step, not to the batch."
            if max(failing) == min(failing)
            else f"They break down at the learning rates {listing(f'{rate:g}' for rate in failing)}."
        )
    return texts


def _loss(value: float) -> str:
    return significant(value) if math.isfinite(value) else "no longer finite"
