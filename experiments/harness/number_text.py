"""Numbers and lists as text, for sentences and tables."""

import math
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_DOWN, ROUND_UP, Context

import numpy as np


def listing(parts: Iterable[object]) -> str:
    words = [str(part) for part in parts]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def significant(value: float, digits: int = 3) -> str:
    """The value to so many significant digits, without an exponent from a millionth to a million."""
    if value == 0 or math.isnan(value):
        return "0" if value == 0 else "?"
    if not 1e-6 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}"
    exponent = int(f"{value:e}".partition("e")[2])
    return f"{round(value, digits - 1 - exponent):.{max(0, digits - 1 - exponent)}f}"


def rounded_up(value: float, digits: int = 1) -> str:
    """A bound from above to so many significant digits: 3.3e-11 is at most 4e-11."""
    return significant(_rounded(value, digits, ROUND_UP), digits)


def rounded_down(value: float) -> str:
    """A bound from below to two significant digits: 1.19 is at least 1.1."""
    return significant(_rounded(value, 2, ROUND_DOWN), 2)


def _rounded(value: float, digits: int, rounding: str) -> float:
    shortest = repr(float(value))  # not the binary number, which may lie slightly above or below it
    return float(Context(prec=digits, rounding=rounding).create_decimal(shortest))


def percent(value: float, decimals: int = 1) -> str:
    return f"{100 * value:.{decimals}f} %"


def constant_since(values: Iterable[float], form: Callable[[float], str]) -> int:
    """The first position from which on the text of all values equals that of the last one."""
    texts = [form(value) for value in values]
    return max((i + 1 for i, text in enumerate(texts) if text != texts[-1]), default=0)


def span(values: Iterable[float], form: Callable[[float], str]) -> str:
    """The smallest and the largest value, or one of them if both have the same text."""
    values = list(values)
    low, high = form(min(values)), form(max(values))
    return low if low == high else f"{low} to {high}"


def mean_and_range(values: Sequence[float] | np.ndarray, decimals: int) -> str:
    """The mean, with the smallest and the largest value if their texts differ."""
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
