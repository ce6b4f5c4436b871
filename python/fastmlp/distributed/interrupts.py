"""Ctrl-C in distributed training, which all ranks raise together."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interrupts_deferred() -> Iterator[Callable[[], bool]]:
    """Defers SIGINT and yields a function that returns whether it came, so that all ranks raise together.

    A second Ctrl-C raises at once; one that the function has not reported in time raises at the end.
    """
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    deferred = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if deferred:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(received)
    finally:
        if deferred:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    if received:
        raise KeyboardInterrupt
