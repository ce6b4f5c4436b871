"""Estimators of several networks: members that are fitted at the same time, one per core, on one copy of the data."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.utils import check_random_state

from .. import row_subsets
from ..callbacks import check_of_several
from ..history import Callback, EpochInfo
from ..many import one_at_a_time
from ..threads import default_thread_count
from ..workers import Workers
from .fit_tasks import FitTasks
from .predictions import only_fit_of

OF_ALL_MEMBERS = ("classes_", "_label_binarizer", "n_outputs_", "_fitted_levels", "n_layers_", "out_activation_")
"""What the ensemble has from its first member."""

OF_INPUTS = ("n_features_in_", "feature_names_in_")


@contextmanager
def errors_name_eval_set() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note("eval_set, which a Pipeline does not transform")
        raise


class EnsembleFit(ABC):
    """A part of the estimators: the fit with n_ensemble above 1."""

    n_ensemble: int
    ensemble_rows: str
    n_threads: int | None
    max_seconds: float | None
    random_state: Any
    verbose: bool | int
    warm_start: bool

    @abstractmethod
    def _fit(self, *arguments: Any, **more: Any) -> Any:
        """The fit of one member."""

    @abstractmethod
    def _begin_tasks(self, X: Any, y: Any, sample_weight: Any, subtasks: int, sequential: bool = True) -> FitTasks:
        """Of scikit-learn's callbacks."""

    @abstractmethod
    def _check_X_y(self, X: Any, y: Any, reset: bool) -> tuple[Any, np.ndarray]:
        """X and y, checked; y is not yet encoded."""

    @abstractmethod
    def _check_eval_X_y(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        """The same for an eval_set."""

    @abstractmethod
    def _outputs(self, X: Any) -> np.ndarray:
        """The outputs of one member."""

    @abstractmethod
    def _as_out_of_fold(self, outputs: np.ndarray) -> np.ndarray:
        """``out_of_fold_`` of the outputs of the members."""

    def _fit_members(self, X: Any, y: Any, sample_weight: Any, eval_pair: Any, callbacks: list[Callback]) -> Any:
        if self.warm_start:
            raise ValueError(f"warm_start=True needs n_ensemble=1, got n_ensemble={self.n_ensemble}")
        check_of_several(callbacks, self.n_ensemble)
        with only_fit_of(self) as model:
            X, y = model._check_X_y(X, y, reset=True)
            X = X.tocsr() if issparse(X) else np.ascontiguousarray(X)  # once for all members
            if eval_pair is not None:
                with errors_name_eval_set():
                    eval_pair = model._check_eval_X_y(*eval_pair)
            seeds = check_random_state(self.random_state).randint(np.iinfo(np.int32).max, size=self.n_ensemble)
            parts, rows = row_subsets.of_members(self.ensemble_rows, X.shape[0], seeds.tolist())
            threads = self.n_threads or default_thread_count()
            shares = self._shares_of_members(threads)
            own = {"n_ensemble": 1, "verbose": False, **shares}
            members = [clone(self).set_params(random_state=seed, **own) for seed in seeds.tolist()]
            tasks = self._begin_tasks(X, y, sample_weight, self.n_ensemble, sequential=False)
            lock, stopped = threading.Lock(), threading.Event()
            called = [one_at_a_time(callback, lock) for callback in callbacks]

            def is_stopped(info: EpochInfo) -> bool:
                return stopped.is_set()

            def fit(index: int) -> None:
                member, more = members[index], [*called, is_stopped]
                data = (X, y, sample_weight, eval_pair, None, None, more)
                tasks.fit_member(member, index, lambda member: member._fit(*data, False, chosen=rows[index]))
                member.set_params(**{name: getattr(self, name) for name in shares})
                if self.verbose:
                    with lock:
                        print(f"Member {index + 1}: {member.n_iter_} iterations, loss = {member.loss_:.8f}")

            Workers(range(len(members)), threads, fit, stopped.set).run()
            fitted = {name: vars(members[0])[name] for name in OF_ALL_MEMBERS if name in vars(members[0])}
            fitted |= {name: vars(model)[name] for name in OF_INPUTS if name in vars(model)}
            fitted["estimators_"] = members
            fitted["n_iter_"] = max(member.n_iter_ for member in members)
            fitted["loss_"] = np.mean([member.loss_ for member in members])
            if parts:
                outputs = [member._outputs(X[part]) for member, part in zip(members, parts)]
                in_order = np.concatenate(outputs)[np.argsort(np.concatenate(parts))]
                fitted["out_of_fold_"] = members[0]._as_out_of_fold(in_order)
            of_former_fits = vars(members[0]).keys() - vars(clone(self)).keys() | {"out_of_fold_", *OF_INPUTS}
            kept = {name: value for name, value in vars(self).items() if name not in of_former_fits}
            self.__dict__ = {**kept, **fitted}
        tasks.end()
        return self

    def _shares_of_members(self, threads: int) -> dict[str, Any]:
        """The parameters that members have a part of while they are fitted."""
        one_after_another = -(-self.n_ensemble // threads)
        return {
            "n_threads": None if self.n_threads is None else max(1, threads // self.n_ensemble),
            "max_seconds": None if self.max_seconds is None else self.max_seconds / one_after_another,
        }
