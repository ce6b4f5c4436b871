"""One run of experiments: how thorough, where results go, what is told meanwhile; and its command line."""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Sequence
from pathlib import Path

from digits import Digits, load_digits
from results import Results

PRESETS = {
    "smoke": "seconds: does it run? its numbers mean nothing",
    "quick": "minutes: what happens",
    "full": "the whole thing",
}


class Campaign:
    """What an experiment's ``run(campaign) -> Section`` gets.

    Parameters
    ----------
    preset : {"smoke", "quick", "full"}
    output : Path
        Results go to ``<output>/results/<experiment>``, the page to `output`.
    fresh : bool
        Whether finished configurations are trained again.
    """

    def __init__(self, preset: str, output: Path, fresh: bool = False) -> None:
        self.preset = preset
        self.output = output
        self.fresh = fresh
        self._start = time.monotonic()
        self.digits = functools.cache(self._digits)  # experiments with the same rows share them

    def results(self, experiment: str) -> Results:
        return Results(self.output / "results" / experiment, self.fresh)

    def _digits(self, train_rows: int, test_rows: int) -> Digits:
        return load_digits(train_rows, test_rows, self.say)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def say(self, text: str) -> None:
        print(f"[{self.seconds:6.1f} s] {text}", flush=True)


def parse_command_line(description: str, arguments: Sequence[str] | None = None) -> Campaign:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.epilog = "presets:\n" + "\n".join(f"  {name:8}{meaning}" for name, meaning in PRESETS.items())
    parser.add_argument("--preset", choices=PRESETS, default="quick", help="default: quick")
    parser.add_argument(
        "--output", type=Path, default=Path("report"), help="folder for the page and the results; default: report"
    )
    parser.add_argument("--fresh", action="store_true", help="train again what an earlier run has finished")
    chosen = parser.parse_args(arguments)
    return Campaign(chosen.preset, chosen.output, chosen.fresh)
