"""scikit-learn's callbacks (1.9 and later): a fit is a task, and each epoch, or each member of an ensemble, a subtask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

from ..history import EpochInfo
from .scikit_learn import CallbackSupportMixin, with_callbacks


class FitTasks:
    """The tasks of one fit, from its beginning on.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext or None
        Of the fit; None if the estimator has no callbacks.
    estimator
        That of the user.
    X, y, sample_weight
        As the user passed them: callbacks may compute scores of them.
    """

    def __init__(self, context: Any, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._context, self._epoch, self._attributes = context, None, {}
        self._shown = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        if context is not None:
            context.call_on_fit_task_begin(**self._shown)

    def begin_epoch(self) -> None:
        if self._context is not None:
            self._epoch = self._context.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(**self._shown)

    def of_epochs(self, attributes: Callable[[], dict[str, Any]]) -> Callable[[EpochInfo], bool]:
        """What follows an epoch; returns whether a callback ends the fit.

        An iteration of L-BFGS, whose beginning SciPy does not report, begins and ends here.

        Parameters
        ----------
        attributes : callable
            Returns what makes a copy of the estimator the model of this moment. Called only for callbacks that use it.
        """

        def end_epoch(info: EpochInfo) -> bool:
            if self._context is None:
                return False
            if self._epoch is None:
                self.begin_epoch()
            ended, self._epoch = self._epoch, None
            now = lambda: {**self._attributes, **attributes()}  # noqa: E731
            return bool(ended.call_on_fit_task_end(**self._shown, reconstruction_attributes=now))

        return end_epoch

    def fit_member(self, member: Any, index: int, fit: Callable[[Any], Any]) -> None:
        """Call ``fit(member)``, in a subtask; the callbacks that scikit-learn propagates follow its epochs."""
        if self._context is None:
            fit(member)
            return
        task = self._context.subcontext(task_name="member", task_id=index)
        member.set_callbacks()  # clone has copied those of the ensemble, whose tasks are others
        with task.propagate_callback_context(member):
            task.call_on_fit_task_begin(**self._shown)
            with_callbacks(fit)(member)
            task.call_on_fit_task_end(**self._shown)

    @contextmanager
    def of_network(
        self, index: int, networks: int, epochs: int, attributes: dict[str, Any]
    ) -> Iterator[FitTasks | None]:
        """The tasks of one of the networks that an estimator trains itself; None without callbacks.

        Parameters
        ----------
        index : int
            Of the subtask, if there are several networks.
        epochs : int
            At most so many.
        attributes : dict
            What the estimator has fitted beside the networks. Those of `of_epochs` are added to them.
        """
        if self._context is None:
            yield None
            return
        part = copy(self)
        part._attributes = attributes
        if networks == 1:
            yield part
            return
        part._context = self._context.subcontext(task_name="member", task_id=index, max_subtasks=epochs)
        part._context.call_on_fit_task_begin(**self._shown)
        yield part
        part._context.call_on_fit_task_end(**self._shown)

    def end(self) -> None:
        """After a fit that has succeeded."""
        if self._context is not None:
            self._context.call_on_fit_task_end(**self._shown, reconstruction_attributes={})


class CallbackSupport(CallbackSupportMixin):
    """A part of the estimators: set_callbacks, where scikit-learn has it."""

    def _begin_tasks(self, X: Any, y: Any, sample_weight: Any, subtasks: int, sequential: bool = True) -> FitTasks:
        context = None
        if getattr(self, "_skl_callbacks", None):
            context = self._init_callback_context(max_subtasks=subtasks, sequential_subtasks=sequential)
        return FitTasks(context, self, X, y, sample_weight)
