"""Threads that work on a queue of tasks: if one fails, or on Ctrl-C, all end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from .progress import Cancelled


class Workers:
    """Tasks and the threads that work on them.

    Parameters
    ----------
    tasks : sequence of int
        The numbers from 0 on, in the order in which they begin.
    n_threads : int >= 1
        How many of them run at the same time.
    work : callable
        Called with the number of a task.
    stop : callable
        Called when a task fails, and on Ctrl-C: makes the tasks that run end soon, by Cancelled or in another way.
    """

    def __init__(
        self, tasks: Sequence[int], n_threads: int, work: Callable[[int], Any], stop: Callable[[], None]
    ) -> None:
        self._tasks, self._queue, self._n_threads = tasks, iter(tasks), n_threads
        self._task, self._stop = work, stop
        self._lock = threading.Lock()
        self._outcomes: dict[int, Any] = {}
        self._failures: list[BaseException] = []
        self._worker_ended = threading.Condition()
        self._workers = 0  # running: each counts itself, because Ctrl-C may keep one from starting

    def run(self) -> list[Any]:
        """What work(0), work(1) ... return; or the first exception that is raised is raised here."""
        try:
            for number in range(min(self._n_threads, len(self._tasks))):
                # A daemon, unlike a ThreadPoolExecutor's threads: the interpreter can end while it works.
                threading.Thread(target=self._work, name=f"fastmlp.worker-{number}", daemon=True).start()
            self._wait_for_workers()
        except BaseException as interruption:  # Ctrl-C, or a thread that the system refuses
            self._failures.insert(0, interruption)
            self._stop()
            self._wait_for_workers()
        for failure in self._failures:
            if not isinstance(failure, Cancelled):
                raise failure
        return [self._outcomes[task] for task in range(len(self._tasks))]

    def _work(self) -> None:
        with self._worker_ended:
            self._workers += 1
        try:
            while not self._failures:
                with self._lock:
                    task = next(self._queue, None)
                if task is None:
                    break
                self._outcomes[task] = self._task(task)
        except BaseException as failure:  # raised again by the thread that called run
            self._failures.append(failure)
            self._stop()
        with self._worker_ended:
            self._workers -= 1
            self._worker_ended.notify()

    def _wait_for_workers(self) -> None:
        def all_ended() -> bool:
            return self._workers == 0 and (bool(self._failures) or len(self._outcomes) == len(self._tasks))

        with self._worker_ended:
            self._worker_ended.wait_for(all_ended)
