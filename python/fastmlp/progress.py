"""The progress line of a fit: redrawn in place on a terminal, one line per epoch elsewhere when asked."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

SECONDS_BETWEEN_REDRAWS = 0.1


class Progress:
    """A context manager; a line begun on a terminal is ended when the fit ends, however it ends."""

    def __init__(self, verbose: bool | str, epochs: int) -> None:
        if not isinstance(verbose, (bool, np.bool_)) and verbose != "auto":
            raise ValueError(f"verbose must be True, False or 'auto', got {verbose!r}")
        self._stream: Any = sys.stderr if verbose else None
        try:
            self._terminal = self._stream is not None and self._stream.isatty()
        except (AttributeError, ValueError):  # not a file, or closed
            self._terminal = False
        if verbose == "auto" and not self._terminal:
            self._stream = None
        self._epochs = epochs
        self._text = ""
        self._last_drawn = -1.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._terminal and self._text:
            self._write(f"\r{self._text}\n")

    def part_done(self, epoch: int, share: float) -> None:
        if self._terminal and share < 1:
            metrics = self._text.partition("  ")[2]
            self._redraw(f"epoch {epoch}/{self._epochs} {share:4.0%}", metrics)

    def epoch_done(self, epoch: int, metrics: dict[str, float]) -> None:
        if self._stream is None:
            return
        head = f"epoch {epoch}/{self._epochs}"
        shown = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items() if name != "penalty" or value)
        if self._terminal:
            self._redraw(head, shown)
        else:
            self._write(f"{head}  {shown}\n")

    def _redraw(self, head: str, metrics: str) -> None:
        text = f"{head}  {metrics}"
        now = time.monotonic()
        if now - self._last_drawn >= SECONDS_BETWEEN_REDRAWS:
            self._write("\r" + text.ljust(len(self._text)))
            self._last_drawn = now
        self._text = text.ljust(len(self._text))

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # a closed terminal must not end a fit
            self._stream, self._terminal = None, False
