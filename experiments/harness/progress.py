"""Shows how far a run is: one line with a bar and the time left on a terminal, one line per section elsewhere."""

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

BAR = 30  # characters


class Progress:
    """The sections of a run, one after another; `seconds` says about how long each takes. Default stream: stderr."""

    def __init__(self, seconds: Mapping[str, float], stream: TextIO | None = None) -> None:
        self._seconds = dict(seconds)
        self._stream: Any = stream or sys.stderr
        self._on_terminal = self._stream.isatty()
        self._start = self._section_start = time.monotonic()
        self._section = next(iter(seconds), "")
        self._done = 0.0  # expected seconds of the sections before this one

    def begin(self, section: str) -> None:
        names = list(self._seconds)
        self._section, self._section_start = section, time.monotonic()
        self._done = sum(self._seconds[name] for name in names[: names.index(section)])
        self.update(0)

    def update(self, share: float) -> None:
        """`share` of this section is done."""
        if self._on_terminal:
            whole = (self._done + share * self._seconds[self._section]) / sum(self._seconds.values())
            self._write(f"\r{self.line(whole, time.monotonic() - self._start)}\x1b[K")  # ESC [K clears the rest

    def line(self, share: float, elapsed: float) -> str:
        full = round(share * BAR)
        left = f"{_minutes(elapsed / share - elapsed)} left" if share > 0.01 else "estimating the time left"
        return f"[{'#' * full}{'.' * (BAR - full)}] {share:4.0%}  {self._section}, {left}"

    def end(self) -> None:
        """The section is complete."""
        self.update(1)
        if not self._on_terminal:
            self._write(f"{self._section}: {_minutes(time.monotonic() - self._section_start)}\n")
        elif self._section == list(self._seconds)[-1]:
            self._write("\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _minutes(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"
