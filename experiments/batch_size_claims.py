"""The report's statements on the batch size, each with a verdict and the measurement that decides it."""

from __future__ import annotations

import math

import numpy as np
from batch_size_costs import memory_depends, memory_is_known, report_sizes
from batch_size_findings import EARLY, STEEP_UNTIL, same_curves, smaller_is_faster, steepness, updates_explain
from batch_size_measurements import Measurements
from section import CONTRADICTED, EXPLAINED, IN_PART, REPRODUCED, UNTESTED, Claim
from wording import counted, duration, in_bytes, listing, longer, mean_and_range, rounded_up, times

REPORT_EPOCHS = 200
REPORT_LEVELS = (0.325, 0.9)  # the report's training loss and accuracy at its end
NEAR = (0.05, 0.02)  # the report reads them off figures, with "about"
STEEP = 5.0  # times as fast before as after: a bend that the eye sees
CONSTANT = 1.25  # a ratio of times that a person at a personal computer would not notice


def claims(measured: Measurements) -> list[Claim]:
    return [
        _convergence(measured),
        _steep_until(measured),
        _levels(measured),
        _time_per_batch(measured),
        _time_per_epoch(measured),
        _memory(measured),
    ]


def comparable(measured: Measurements) -> bool:
    """Whether the report's numbers can be expected at all: its data, all of it."""
    return measured.digits.is_mnist and measured.plan.train_rows == 60000


def summary(measured: Measurements) -> str:
    same, _ = same_curves(measured.one_update)
    differs = smaller_is_faster(measured.mini_batch, min(EARLY, measured.plan.epochs))
    if same and differs:
        return (
            "It depends on the rule. With one update per epoch, which is what the report's figures show, the batch size changes "
            "nothing: its curves are equal for every batch size because the computation is. With one update per batch, "
            "which is what is usually meant by a batch size, it decides how fast the net learns"
            + (": small batches make more updates." if _updates_explain(measured) else ".")
        )
    return (
        f"With one update per epoch the batch size {'changes nothing' if same else 'changes the curves'}; with one update per "
        f"batch {'the smaller batch learns faster' if differs else 'this run shows no clear order of the batch sizes'}."
    )


def _updates_explain(measured: Measurements) -> bool:
    """Whether the number of updates explains the difference between the two smallest batch sizes, which share most numbers."""
    small, large, *_ = measured.mini_batch.values()
    return updates_explain(small, large)


def _convergence(measured: Measurements) -> Claim:
    same, difference = same_curves(measured.one_update)
    early = min(EARLY, measured.plan.epochs)
    differs = smaller_is_faster(measured.mini_batch, early)
    accuracies = listing(
        f"{np.mean(curves.after('val_accuracy', early)):.3f}" for curves in measured.mini_batch.values()
    )
    finding = (
        f"One update per epoch: the curves differ by at most {rounded_up(difference, 2)} in loss. One update per batch: test accuracies "
        f"{accuracies} after {early} epochs, with batches of {listing(measured.mini_batch)}."
    )
    verdict = {
        (True, True): EXPLAINED,
        (True, False): REPRODUCED,
        (False, True): CONTRADICTED,
        (False, False): UNTESTED,
    }[same, differs]
    if verdict == EXPLAINED:
        finding = f"True of one update per epoch alone, where it must be. {finding}"
    return Claim(
        "The rate of convergence, the final accuracy and the final loss hardly depend on the batch size.",
        verdict,
        finding,
        hypothesis=True,
    )


def _steep_until(measured: Measurements) -> Claim:
    statement = f"All curves converge at the highest rate until about epoch {STEEP_UNTIL}."
    curves = next(iter(measured.one_update.values()))
    if len(curves.epochs) < 2 * STEEP_UNTIL:
        return Claim(statement, UNTESTED, f"This run has {len(curves.epochs)} epochs.")
    loss = curves.mean("loss")
    ratio = steepness(loss)
    share = (loss[0] - loss[STEEP_UNTIL - 1]) / (loss[0] - loss[-1])
    return Claim(
        statement,
        REPRODUCED if ratio >= STEEP else CONTRADICTED,
        f"One update per epoch: {share:.0%} of the fall of the loss over {len(loss)} epochs comes before epoch {STEEP_UNTIL}, at "
        f"{times(ratio)} the later rate.",
    )


def report_figures(measured: Measurements) -> list[Claim]:
    """A row for each curve of the report: batches of 128, 1024 and all rows."""
    found = []
    for size, curves in measured.one_update.items():
        loss, accuracy = curves.final("loss"), curves.final("accuracy")
        found.append(
            Claim(
                f"Learning rate 0.4, batch size {size}: loss and accuracy over {REPORT_EPOCHS} epochs, to about {REPORT_LEVELS[0]:g} and {REPORT_LEVELS[1]:g}.",
                _reached(measured, loss, accuracy),
                f"One update per epoch: {mean_and_range(loss, 3)} and {mean_and_range(accuracy, 3)} after {measured.plan.epochs} epochs; one update per batch: "
                f"{mean_and_range(measured.mini_batch[size].final('val_accuracy'), 3)} on the test images.",
            )
        )
    return found


def _reached(measured: Measurements, *ends: np.ndarray) -> str:
    near = _near(*ends)
    if not comparable(measured) or (not near and measured.plan.epochs < REPORT_EPOCHS):
        return UNTESTED
    return REPRODUCED if near else CONTRADICTED


def _near(*ends: np.ndarray) -> bool:
    return all(abs(np.mean(end) - level) <= slack for end, level, slack in zip(ends, REPORT_LEVELS, NEAR))


def _levels(measured: Measurements) -> Claim:
    statement = f"All reach a loss of about {REPORT_LEVELS[0]:g} and an accuracy of about {REPORT_LEVELS[1]:g} by the last epoch."
    if not comparable(measured):
        return Claim(statement, UNTESTED, "This run is not on all of MNIST.")
    curves = next(iter(measured.one_update.values()))
    ends = curves.final("loss"), curves.final("accuracy")
    near = _near(*ends)
    crossings = [curves.first_epoch(name, level) for name, level in zip(("loss", "accuracy"), REPORT_LEVELS)]
    passed = "; ".join(
        f"{name} {level:g} is {'not reached' if epoch is None else f'reached in epoch {epoch}'}"
        for name, level, epoch in zip(("loss", "accuracy"), REPORT_LEVELS, crossings)
    )
    if near:
        verdict = REPRODUCED
    elif None in crossings and measured.plan.epochs < REPORT_EPOCHS:
        verdict = UNTESTED
    else:
        verdict = CONTRADICTED if None in crossings else IN_PART
    return Claim(
        statement,
        verdict,
        f"One update per epoch: {mean_and_range(ends[0], 3)} and {mean_and_range(ends[1], 3)} after {measured.plan.epochs} epochs; {passed}.",
    )


def _time_per_batch(measured: Measurements) -> Claim:
    threads = max(measured.epoch_seconds)
    sizes = measured.plan.batch_sizes[0], measured.plan.batch_sizes[-1]
    rows = measured.plan.train_rows
    small, large = (float(np.median(measured.epoch_seconds[threads][size])) / math.ceil(rows / size) for size in sizes)
    row_small, row_large = small / sizes[0], large / sizes[1]
    finding = (
        f"With {counted(threads, 'thread')}, {duration(small)} with batches of {sizes[0]} and {duration(large)} with {sizes[1]}: "
        f"{times(large / small)} as long, for {times(sizes[1] / sizes[0])} the rows. A row costs {duration(row_small)} and "
        f"{duration(row_large)}"
    )
    if large / small < 2:
        verdict, finding = CONTRADICTED, f"{finding}."
    elif row_small * CONSTANT < row_large:
        verdict, finding = REPRODUCED, f"{finding}: in small batches it is cheaper."
    else:
        verdict, finding = (
            EXPLAINED,
            f"{finding}: a small batch is quick because it is small, not because its rows are.",
        )
    return Claim(
        "The run time per batch is far lower for smaller batches, thanks to parallelism.",
        verdict,
        finding,
        hypothesis=True,
    )


def _time_per_epoch(measured: Measurements) -> Claim:
    medians = {size: float(np.median(rounds)) for size, rounds in measured.epoch_seconds[1].items()}
    ratio, certain = report_sizes(measured, 1)  # one thread, as the report's was
    parts = [f"{duration(medians[size])} ({size})" for size in measured.plan.batch_sizes]
    finding = f"{listing(parts)} with 1 thread: the slowest takes {longer(ratio)} the quickest."
    threads = max(measured.epoch_seconds)
    if ratio <= CONSTANT:
        verdict = REPRODUCED
        if threads > 1 and report_sizes(measured, threads)[0] <= CONSTANT:
            finding += f" So it is with {threads} threads: that Python uses one process is not the reason."
    elif certain:
        verdict = CONTRADICTED
    else:
        verdict = UNTESTED
        finding += " Repetitions of one batch size differ as much, so this run cannot tell."
    smallest = min(medians)
    return Claim(
        "The run time of an epoch does not depend on the batch size, as Python uses one process.",
        verdict,
        f"{finding} The smallest batch tried, {smallest}, takes {duration(medians[smallest])} per epoch.",
    )


def _memory(measured: Measurements) -> Claim:
    statement = "Very large batches run out of memory; smaller batches avoid it."
    peaks = measured.peak_bytes
    if not memory_is_known(peaks):
        return Claim(statement, UNTESTED, "This system does not tell the peak memory of a process.")
    parts = [
        f"{name}: {in_bytes(sizes[min(sizes)])} with batches of {min(sizes)}, {in_bytes(sizes[max(sizes)])} with {max(sizes)}"
        for name, sizes in (("A trainer that holds whole batches", peaks["numpy"]), ("fastmlp", peaks["fastmlp"]))
    ]
    depends = memory_depends(peaks["numpy"]), memory_depends(peaks["fastmlp"])
    verdict = {
        (True, True): REPRODUCED,
        (True, False): EXPLAINED,
        (False, True): IN_PART,
        (False, False): CONTRADICTED,
    }[depends]
    if verdict == EXPLAINED:
        parts.append("What runs out is a trainer that holds whole batches")
    return Claim(statement, verdict, ". ".join(parts) + ".")
