"""fit_many: different networks at once, one per core, on one copy of the data."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import _core, validation
from .errors import DivergenceError
from .network import Network
from .progress import Cancelled, ManyProgress
from .threads import default_thread_count
from .trainer import Callback, History, Trainer, check_callbacks


def fit_many(
    trainers: Sequence[Trainer],
    X: Any,
    y: Any,
    epochs: int,
    validation_data: tuple[Any, Any] | None = None,
    callbacks: Iterable[Callback] = (),
    verbose: bool | str = "auto",
    n_threads: int | None = None,
    return_diverged: bool = False,
) -> list[History] | list[History | DivergenceError]:
    """Train several networks at once, each on one core; the same bits as one after another.

    Small nets gain most: a net of its own per core needs no barriers. The longest start first, and the last
    share the cores that have become free. All read one copy of the data.

    Parameters
    ----------
    trainers : sequence of Trainer
        Of different networks, which must take the same X and y. Their own n_threads is not used.
    X, y, epochs, validation_data
        As in `Trainer.fit`.
    callbacks : iterable of callable
        As in `Trainer.fit`, for every net; ``info.network`` tells which. Called one at a time, from the
        threads that train; True ends the fit of that net.
    verbose : bool or "auto"
        One progress line for all nets, or one line per finished net elsewhere than on a terminal.
    n_threads : int >= 1, optional
        Cores in use, and nets at work, at the same time. Default: as many as `Trainer.fit` would use threads.
    return_diverged : bool
        True: a net that diverges does not end the others, and its `DivergenceError` is returned in its place.

    Returns
    -------
    list of History, or DivergenceError where `return_diverged` allows it
        In the order of the trainers.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit; no network is changed then.
    Exception
        The first that a fit or a callback raises; a note (Python 3.11; before that, its message) names the
        trainer's place and network. The other fits end after their last update, as on Ctrl-C
        (KeyboardInterrupt).
    """
    evaluation_sets = {}
    if validation_data is not None:
        validation.check_pair("validation_data", validation_data)
        evaluation_sets["val"] = validation_data
    return fit_all(trainers, X, y, epochs, evaluation_sets, callbacks, verbose, n_threads, return_diverged)


def fit_all(
    trainers: Sequence[Trainer],
    X: Any,
    y: Any,
    epochs: int,
    evaluation_sets: Mapping[str, tuple[Any, Any]],
    callbacks: Iterable[Callback],
    verbose: bool | str,
    n_threads: int | None,
    return_diverged: bool,
) -> list[History] | list[History | DivergenceError]:
    """`fit_many` with any number of sets to evaluate after each epoch, into metrics <name>_loss and <name>_accuracy."""
    trainers = _check_trainers(trainers)
    epochs = validation.check_integer("epochs", epochs, 1)
    lock = threading.Lock()
    callbacks = [_one_at_a_time(callback, lock) for callback in check_callbacks(callbacks)]
    threads = validation.check_threads(n_threads) or default_thread_count()
    return_diverged = validation.check_flag("return_diverged", return_diverged)
    progress = ManyProgress(verbose, len(trainers), epochs)
    networks = [trainer.network for trainer in trainers]
    data = share_data(networks, X, y, threads)
    sets = {name: share_data(networks, *pair, threads) for name, pair in evaluation_sets.items()}
    unfinished = len(trainers)

    def cores_of_each() -> int:
        return max(1, threads // unfinished)

    def fit(index: int) -> History | DivergenceError:
        nonlocal unfinished
        trainer = trainers[index]
        own_sets = {name: shared[index] for name, shared in sets.items()}
        which = f"trainers[{index}], {trainer.network!r}"
        try:
            with trainer.network._core.lock_parameters():
                outcome = trainer._fit(data[index], own_sets, epochs, callbacks, cores_of_each, progress)
            loss = outcome.loss[-1]
        except Cancelled:
            raise
        except Exception as error:
            validation.add_note(error, which)
            if not (return_diverged and isinstance(error, DivergenceError)):
                raise
            outcome, loss = error, math.nan
        with lock:
            unfinished -= 1
        progress.fit_done(f"{which}, loss {loss:.4f}")
        return outcome

    cost = [trainer.network._core.training_operations for trainer in trainers]
    longest_first = iter(sorted(range(len(trainers)), key=lambda index: -cost[index]))
    outcomes: dict[int, History | DivergenceError] = {}
    failures: list[BaseException] = []

    at_work = threading.Condition()
    workers = 0  # at work: each counts itself, so that nobody waits for one that Ctrl-C kept from its start

    def work() -> None:
        nonlocal workers
        with at_work:
            workers += 1
        try:
            while not failures:
                with lock:
                    index = next(longest_first, None)
                if index is None:
                    break
                outcomes[index] = fit(index)
        except BaseException as failure:  # told by the thread that called
            failures.append(failure)
            progress.stop()
        with at_work:
            workers -= 1
            at_work.notify()

    def wait_for_workers() -> None:
        with at_work:
            at_work.wait_for(lambda: workers == 0 and (failures or len(outcomes) == len(trainers)))

    with progress:
        try:
            for number in range(min(threads, len(trainers))):
                # A daemon, unlike a ThreadPoolExecutor's threads: the interpreter can end while it works.
                threading.Thread(target=work, name=f"fastmlp.fit_many-{number}", daemon=True).start()
            wait_for_workers()
        except BaseException as interruption:  # Ctrl-C, or a thread that the system refuses
            failures.insert(0, interruption)
            progress.stop()
            wait_for_workers()
    for failure in failures:
        if not isinstance(failure, Cancelled):
            raise failure
    return [outcomes[index] for index in range(len(trainers))]


def _check_trainers(trainers: Any) -> list[Trainer]:
    if not isinstance(trainers, Iterable):
        raise TypeError(f"trainers must be a sequence of Trainer, got {trainers!r}")
    found = list(trainers)
    if not found:
        raise ValueError("trainers must have at least one entry, got none")
    seen: dict[int, int] = {}
    for index, trainer in enumerate(found):
        if not isinstance(trainer, Trainer):
            raise TypeError(f"trainers[{index}] must be a fastmlp.Trainer, got {trainer!r}")
        if hasattr(trainer, "communicator"):
            raise TypeError(
                f"trainers[{index}] must train alone, got a distributed Trainer, which trains with other ranks"
            )
        first = seen.setdefault(id(trainer.network), index)
        if first != index:
            raise ValueError(
                f"trainers must train different networks, but trainers[{first}] and trainers[{index}] share one"
            )
    return found


def share_data(networks: Sequence[Network], X: Any, y: Any, threads: int) -> list[Any]:
    """A data set for each network; what they can share, converted, checked and looked through once."""
    inputs: dict[Any, Any] = {}
    targets: dict[Any, Any] = {}
    found = []
    for index, network in enumerate(networks):
        kind = (network.layer_sizes[0], network.dtype, network.input_scale)
        try:
            if kind not in inputs:
                checked = network._check_inputs(X, threads)
                inputs[kind] = (checked, _core.NonzeroBits(checked, threads))
                X = checked  # what one network has converted, the next need not
            kind_of_target = (network.loss, network.layer_sizes[-1], network.dtype)
            if kind_of_target not in targets:
                targets[kind_of_target] = network._check_targets(y, len(inputs[kind][0]), threads)
        except Exception as error:
            validation.add_note(error, f"trainers[{index}], {network!r}")
            raise
        shared, nonzero = inputs[kind]
        found.append(network._core.dataset(shared, targets[kind_of_target], nonzero))
    return found


def _one_at_a_time(callback: Callback, lock: threading.Lock) -> Callback:
    def locked(info: Any) -> bool | None:
        with lock:
            return callback(info)

    return locked
