"""Numbers and lists as they stand in sentences and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def listing(parts: Iterable[object]) -> str:
    words = [str(part) for part in parts]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def significant(value: float, digits: int = 3) -> str:
    """The value to so many significant digits, without an exponent from a millionth to a million."""
    if value == 0:
        return "0"
    if not 1e-6 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}"
    exponent = int(f"{value:e}".partition("e")[2])
    return f"{round(value, digits - 1 - exponent):.{max(0, digits - 1 - exponent)}f}"


def mean_and_range(values: Sequence[float] | np.ndarray, decimals: int) -> str:
    """The mean, with the smallest and the largest value if they can be told apart."""
    low, mean, high = (f"{value:.{decimals}f}" for value in (np.min(values), np.mean(values), np.max(values)))
    return mean if low == high else f"{mean} ({low} to {high})"


def duration(seconds: float) -> str:
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{significant(seconds * factor, 2)} {unit}"
    return f"{significant(seconds, 3 if seconds >= 10 else 2)} s"


def in_bytes(count: float) -> str:
    for limit, unit in ((1e6, "MB"), (1e3, "KB")):
        if count >= limit:
            return f"{significant(count / limit, 2 if count < 100 * limit else 3)} {unit}"
    return f"{count:.0f} bytes"


def times(ratio: float) -> str:
    return f"{significant(ratio, 2 if ratio < 100 else 3)} times"


def longer(ratio: float) -> str:
    """How much longer the slower of two takes, to be followed by the quicker one."""
    return f"{ratio - 1:.0%} longer than" if ratio < 2 else f"{times(ratio)} as long as"
