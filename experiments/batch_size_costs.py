"""The report's side questions: what the batch size costs in time and in memory, in sentences from the measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from batch_size_measurements import Measurements
from wording import counted, duration, in_bytes, listing, longer, times

GROWS = 5.0  # times the smallest batch's peak: buffers of a fixed size stay below, whole batches go far above


def epoch_times(measured: Measurements) -> list[str]:
    texts = []
    for threads, sizes in sorted(measured.epoch_seconds.items()):
        middle = {size: float(np.median(rounds)) for size, rounds in sizes.items()}
        slowest, quickest = max(middle, key=middle.__getitem__), min(middle, key=middle.__getitem__)
        ratio, certain = report_sizes(measured, threads)
        doubt = "" if certain else ", no more than repetitions of the same batch size differ"
        texts.append(
            f"With {counted(threads, 'thread')}, an epoch takes between {duration(middle[quickest])} (batches of {quickest}) and "
            f"{duration(middle[slowest])} (batches of {slowest}). Of the sizes {listing(measured.plan.batch_sizes)}, the "
            f"slowest takes {longer(ratio)} the quickest{doubt}."
        )
    smallest, largest = min(middle), max(middle)
    rows = measured.plan.train_rows
    batch = {size: middle[size] / math.ceil(rows / size) for size in (smallest, largest)}
    texts.append(
        f"A batch of {smallest} takes {duration(batch[smallest])}, one of {largest} {duration(batch[largest])}: "
        f"{times(batch[largest] / batch[smallest])} as long for {times(largest / smallest)} the rows."
    )
    return texts


def report_sizes(measured: Measurements, threads: int) -> tuple[float, bool]:
    """How many times as long the slowest of the report's batch sizes takes as the quickest, and whether repetitions bear it out."""
    rounds = [measured.epoch_seconds[threads][size] for size in measured.plan.batch_sizes]
    medians = [np.median(seconds) for seconds in rounds]
    slowest, quickest = rounds[int(np.argmax(medians))], rounds[int(np.argmin(medians))]
    return float(max(medians) / min(medians)), bool(slowest.min() > quickest.max())


def memory(peaks: Mapping[str, Mapping[int, int | None]]) -> list[str]:
    if not memory_is_known(peaks):
        return ["This system does not tell a process's peak memory: not measured."]
    texts = []
    for trainer, name in (
        ("fastmlp", "fastmlp"),
        ("numpy", "A plain NumPy trainer, which holds the activations of a whole batch,"),
    ):
        sizes = peaks[trainer]
        smallest, largest = min(sizes), max(sizes)
        growth = max(sizes[largest] - sizes[smallest], 0) / (largest - smallest)
        answer = "it depends on the batch size" if memory_depends(sizes) else "it hardly depends on the batch size"
        texts.append(
            f"{name} needs {in_bytes(sizes[smallest])} beyond the data with batches of {smallest} and {in_bytes(sizes[largest])} "
            f"with batches of {largest}: {answer}, {in_bytes(growth)} more for each row of it."
        )
    return texts


def memory_is_known(peaks: Mapping[str, Mapping[int, int | None]]) -> bool:
    return all(count is not None for sizes in peaks.values() for count in sizes.values())


def memory_depends(sizes: Mapping[int, int | None]) -> bool:
    """Whether the peak goes on growing with the batch."""
    return sizes[max(sizes)] > GROWS * sizes[min(sizes)]
