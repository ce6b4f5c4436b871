"""Progress of fits: on a terminal one line redrawn in place, in a notebook a bar, elsewhere a line per epoch if verbose."""

from __future__ import annotations

import numbers
import sys
import threading
import time
from typing import Any, Protocol

import numpy as np

from . import notebook

SECONDS_BETWEEN_REDRAWS = 0.1


class Progress(Protocol):
    """What a training loop reports to; `part_done` may raise, which ends the loop between two updates."""

    def part_done(self, epoch: int, share: float) -> None: ...

    def epoch_done(self, epoch: int, metrics: dict[str, float]) -> None: ...

    def out_of_time(self, max_seconds: float) -> None: ...


class Line:
    """Text on stderr; as a context manager it ends the line on a terminal even if the block raises.

    In a notebook with tqdm, a bar stands for the line.

    Parameters
    ----------
    verbose : bool, 0, 1 or "auto"
        False: silent. "auto": only on a terminal and in a notebook. Anything else raises a ValueError.
    total : int
        Of the bar: how many units are done at the end.
    """

    def __init__(self, verbose: bool | str, total: int = 1, unit: str = "epoch") -> None:
        is_auto = isinstance(verbose, str) and verbose == "auto"
        if not is_auto and not (isinstance(verbose, (numbers.Integral, np.bool_)) and verbose in (0, 1)):
            raise ValueError(f"verbose must be True, False or 'auto', got {verbose!r}")
        self._stream: Any = sys.stderr if verbose else None
        try:
            self.on_terminal = self._stream is not None and self._stream.isatty()
        except Exception:  # closed, or an object that is no file
            self.on_terminal = False
        if is_auto and not self.on_terminal:
            self._stream = None
        self._total = total if verbose and not self.on_terminal else None
        self._unit = unit
        self._bar: Any = None
        self._text = ""
        self._last_drawn = -1.0

    @property
    def is_redrawn(self) -> bool:
        """Whether `redraw` shows anything."""
        return self.on_terminal or self._bar is not None

    def __enter__(self) -> Line:
        if self._total is not None:
            self._bar = notebook.progress_bar(self._total, self._unit)
        return self

    def __exit__(self, *exception: object) -> None:
        if self.on_terminal and self._text:
            self._write(f"\r{self._text}\n")
        if self._bar is not None:
            if exception[0] is None:  # an early end is no failure, which tqdm shows in red
                self._bar.total = self._bar.n
            self._move_bar(is_last=True)

    def redraw(self, text: str, done: float = 0.0, beside: str = "") -> None:
        """At most ten times a second: replace the line by this text, or show how much is done, and the text beside it."""
        if self._bar is not None:
            self._bar.n = round(done, 2)
            self._bar.set_postfix_str(beside, refresh=False)
            if time.monotonic() - self._last_drawn >= SECONDS_BETWEEN_REDRAWS:
                self._move_bar()
            return
        if not self.on_terminal:
            return
        import shutil  # here, to keep the package's import quick

        width = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be redrawn
        self._text = text[:width].ljust(min(len(self._text), width))
        now = time.monotonic()
        if now - self._last_drawn >= SECONDS_BETWEEN_REDRAWS:
            self._write(f"\r{self._text}")
            self._last_drawn = now

    def add(self, text: str) -> None:
        """Elsewhere, write this text as a separate line."""
        if not self.is_redrawn and self._stream is not None:
            self._write(f"{text}\n")

    def _move_bar(self, is_last: bool = False) -> None:
        self._last_drawn = time.monotonic()
        try:
            self._bar.refresh()
            if is_last:
                self._bar.close()
        except Exception:  # as with stderr
            self._bar = None

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except Exception:  # a failure of stderr must not end a fit
            self._stream, self.on_terminal = None, False


class FitProgress(Line):
    """Progress of one fit."""

    def __init__(self, verbose: bool | str, epochs: int) -> None:
        super().__init__(verbose, epochs)
        self._epochs, self._metrics, self._done = epochs, "", 0

    def part_done(self, epoch: int, share: float) -> None:
        if self.is_redrawn and share < 1:
            text = f"epoch {epoch}/{self._epochs} {share:4.0%}  {self._metrics}"
            self.redraw(text, epoch - 1 + share, self._metrics)

    def epoch_done(self, epoch: int, metrics: dict[str, float]) -> None:
        shown = (f"{name} {value:.4f}" for name, value in metrics.items() if name != "penalty" or value)
        self._metrics = "  ".join(shown)
        text = f"epoch {epoch}/{self._epochs}  {self._metrics}"
        if self.is_redrawn:
            self._metrics = self._metrics.partition("  seconds")[0]
        self._done = epoch
        self.redraw(text, epoch, self._metrics)
        self.add(text)

    def out_of_time(self, max_seconds: float) -> None:
        text = f"max_seconds={max_seconds:g} leave no time for another epoch"
        self.redraw(f"{text}  {self._text.rstrip()}", self._done, f"{self._metrics}  {text}")
        self.add(text)


class Cancelled(Exception):
    """Ends the fits of a `ManyProgress` that was stopped."""


class ManyProgress(Line):
    """Progress of many fits at once: one line for all; `stop` ends them."""

    def __init__(self, verbose: bool | str, fits: int, epochs: int) -> None:
        super().__init__(verbose, fits * epochs)
        self._fits, self._epochs = fits, epochs
        self._fits_done = self._epochs_done = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def part_done(self, epoch: int, share: float) -> None:
        if self._stopped.is_set():
            raise Cancelled

    def epoch_done(self, epoch: int, metrics: dict[str, float]) -> None:
        with self._lock:
            self._epochs_done += 1
            self._redraw_summary()

    def out_of_time(self, max_seconds: float) -> None:
        """The line of the net that has ended counts its epochs."""

    def fit_done(self, description: str) -> None:
        with self._lock:
            self._fits_done += 1
            self._redraw_summary()
            self.add(f"{self._summary()}  {description}")

    def _redraw_summary(self) -> None:
        self.redraw(self._summary(), self._epochs_done, f"{self._fits_done}/{self._fits} nets")

    def _summary(self) -> str:
        return f"{self._fits_done}/{self._fits} nets, {self._epochs_done}/{self._fits * self._epochs} epochs"
