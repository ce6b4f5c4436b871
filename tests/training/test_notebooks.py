"""In notebooks: the progress of a fit is a bar, and a history draws itself. The kernel and tqdm are stand-ins."""

import io
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from fastmlp import DivergenceError, History, Network, Trainer, fit_ensemble, fit_many, notebook, progress
from fastmlp.progress import FitProgress, Line, ManyProgress
from problems import LAYER_SIZES, problem
from subprocesses import run_python

X, Y = problem(40)
PNG = b"\x89PNG\r\n"


class Bar:
    """tqdm's, as far as it is used."""

    made: list = []

    def __init__(self, total, unit):
        self.total, self.unit, self.n, self.postfix, self.shown, self.closed = total, unit, 0, "", [], False
        Bar.made.append(self)

    def set_postfix_str(self, text, refresh):
        assert not refresh
        self.postfix = text

    def refresh(self):
        assert not self.closed
        self.shown.append((self.n, self.postfix))

    def close(self):
        self.closed = True


def ipython(**config):
    module = ModuleType("IPython")
    module.get_ipython = lambda: SimpleNamespace(config=config)
    return module


@pytest.fixture
def kernel(monkeypatch):
    """A notebook with tqdm, whose clock moves on by a second when it is read; its stderr is no terminal."""
    seconds = iter(range(10**6))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: float(next(seconds))))
    tqdm = ModuleType("tqdm.auto")
    tqdm.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm", ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", tqdm)
    monkeypatch.setitem(sys.modules, "IPython", ipython(IPKernelApp={}))
    monkeypatch.setattr(Bar, "made", [])
    return Bar.made


def trainer(**settings):
    return Trainer(Network(LAYER_SIZES, dtype="float64", seed=1), batch_size=10, **settings)


@pytest.mark.parametrize("verbose", ["auto", True])
def test_a_fit_moves_a_bar(kernel, capfd, monkeypatch, verbose):
    monkeypatch.setattr("fastmlp.core_calls.SECONDS_PER_CALL", 0.0)  # a call for each update
    history = trainer().fit(X, Y, epochs=3, verbose=verbose)
    (bar,) = kernel
    assert (bar.total, bar.unit, bar.n, bar.closed) == (3, "epoch", 3, True)
    positions = [n for n, _ in bar.shown]
    assert positions == sorted(positions) and {0.25, 0.5, 0.75, 1, 1.25, 2.75, 3} <= set(positions)
    assert bar.postfix == f"loss {history.loss[-1]:.4f}  accuracy {history.accuracy[-1]:.4f}"
    assert capfd.readouterr() == ("", "")


def test_a_quiet_fit_has_none(kernel):
    trainer().fit(X, Y, epochs=1, verbose=False)
    assert kernel == []


def test_invalid_arguments_show_none(kernel):
    with pytest.raises(ValueError):
        trainer().fit(X[:, :2], Y, epochs=1)
    assert kernel == []


def test_a_fit_that_ends_early_has_a_full_bar_and_one_that_fails_has_not(kernel):
    trainer().fit(X, Y, epochs=9, callbacks=[lambda info: info.epoch == 2])
    with np.errstate(all="ignore"), pytest.raises(DivergenceError):
        trainer(learning_rate=1e300).fit(X, Y, epochs=9)
    assert [(bar.n, bar.total, bar.closed) for bar in kernel][0] == (2, 2, True)
    assert kernel[1].n < kernel[1].total == 9 and kernel[1].closed


def test_the_end_by_time_is_shown(kernel):
    trainer().fit(X, Y, epochs=9, max_seconds=1e-9)
    (bar,) = kernel
    assert bar.n == bar.total == 1 and bar.postfix.endswith("max_seconds=1e-09 leave no time for another epoch")


@pytest.mark.parametrize(
    "fit",
    [
        lambda: fit_many([trainer(), trainer()], X, Y, epochs=3),
        lambda: fit_ensemble({"layer_sizes": LAYER_SIZES}, X, Y, 3, seeds=(0, 1)),
    ],
)
def test_many_fits_have_one_bar(kernel, fit):
    fit()
    (bar,) = kernel
    assert (bar.total, bar.n, bar.postfix, bar.closed) == (6, 6, "2/2 nets", True)


def test_bars_keep_their_distance(kernel, monkeypatch):
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    with Line("auto", 10) as line:
        for seconds, done in [(0, 1), (0.05, 2), (0.1, 3), (0.15, 4), (0.25, 5.123), (0.3, 6)]:
            now.seconds = seconds
            line.redraw("unused", done)
    assert [n for n, _ in kernel[0].shown] == [1, 3, 5.12, 6], "the last one is shown at the end"


def test_a_bar_that_fails_does_not_end_a_fit(kernel, monkeypatch):
    def fail(bar):
        raise OSError("the browser is gone")

    monkeypatch.setattr(Bar, "refresh", fail)
    assert len(trainer().fit(X, Y, epochs=2).loss) == 2


def failing_tqdm(patch):
    def fail(total, unit):
        raise RuntimeError("no widgets")

    patch.setattr(sys.modules["tqdm.auto"], "tqdm", fail)


def no_tqdm(patch):
    patch.setitem(sys.modules, "tqdm.auto", None)


def terminal(patch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    patch.setattr(sys, "stderr", stream)


ELSEWHERE = {
    "without tqdm": no_tqdm,
    "a tqdm that fails": failing_tqdm,
    "without IPython": lambda patch: patch.delitem(sys.modules, "IPython"),
    "IPython in a terminal": lambda patch: patch.setitem(sys.modules, "IPython", ipython(TerminalIPythonApp={})),
    "IPython that has no shell": lambda patch: patch.setattr(sys.modules["IPython"], "get_ipython", lambda: None),
    "IPython half imported": lambda patch: patch.setitem(sys.modules, "IPython", ModuleType("IPython")),
    "a terminal": terminal,
}


@pytest.mark.parametrize("change", ELSEWHERE.values(), ids=ELSEWHERE)
def test_elsewhere_there_is_none(kernel, monkeypatch, change):
    assert notebook.is_kernel()
    with monkeypatch.context() as patch:
        change(patch)
        for line in (Line("auto", 3), FitProgress(True, 3), ManyProgress(True, 3, 3)):
            with line:
                line.redraw("text", 1)
    assert kernel == []


def test_the_real_tqdm_takes_what_it_is_given(monkeypatch):
    tqdm = pytest.importorskip("tqdm")
    monkeypatch.setattr(notebook, "is_kernel", lambda: True)
    with Line("auto", 7, "net") as line:
        line.redraw("text", 2.5, "beside")
        bar = line._bar
        assert isinstance(bar, tqdm.tqdm) and (bar.n, bar.total, bar.unit) == (2.5, 7, "net")
        assert "beside" in str(bar)
    assert bar.total == bar.n == 2.5


def test_neither_is_imported_with_the_package():
    script = (
        "import sys, fastmlp\nfastmlp.History(loss=[1.0])\nprint({'tqdm', 'matplotlib', 'IPython'} & set(sys.modules))"
    )
    assert run_python(script).stdout.strip() == "set()"


# Histories


HISTORY = {
    "loss": [0.9, 0.5, 0.4],
    "val_loss": [1.0, 0.7, 0.8],
    "test_loss": [1.0, 0.6, 0.9],
    "penalty": [0.1, 0.2, 0.3],
    "accuracy": [0.3, 0.5, 0.7],
    "val_score": [0.1, 0.2],
    "seconds": [1.0, 1.0, 1.0],
}


def history(*names):
    return History().extend({name: HISTORY[name] for name in names})


def drawn(figure):
    """The curves of each panel by its label."""
    return {
        axes.get_ylabel(): {
            line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.lines
        }
        for axes in figure.axes
    }


@pytest.mark.parametrize(
    "names, panels",
    [
        (("loss", "seconds", "penalty"), {"loss": {"training": "loss"}}),
        (("loss", "val_loss"), {"loss": {"training": "loss", "validation": "val_loss"}}),
        (("loss", "test_loss"), {"loss": {"training": "loss", "test": "test_loss"}}),
        (("loss", "accuracy"), {"loss": {"training": "loss"}, "accuracy": {"training": "accuracy"}}),
        (("loss", "val_score"), {"loss": {"training": "loss"}, "score": {"validation": "val_score"}}),
    ],
)
def test_a_history_draws_its_metrics(names, panels):
    pytest.importorskip("matplotlib")
    found = drawn(history(*names).plot())
    assert found == {
        panel: {label: (list(range(1, len(HISTORY[name]) + 1)), HISTORY[name]) for label, name in curves.items()}
        for panel, curves in panels.items()
    }


def test_a_fit_draws_itself_where_it_can_be_seen():
    pytest.importorskip("matplotlib")
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    made = trainer().fit(X, Y, epochs=2, validation_data=(X, Y))
    assert made._repr_png_().startswith(PNG)
    assert history("loss").plot() is not None and History(loss=[1.0])._repr_png_().startswith(PNG)
    assert History(loss=[np.nan, np.inf, 1.0])._repr_png_().startswith(PNG)
    assert pyplot.get_fignums() == before, "no figure that somebody would have to close"


def test_without_epochs_or_matplotlib_the_text_is_shown(monkeypatch):
    pytest.importorskip("matplotlib")
    assert History()._repr_png_() is None
    with pytest.raises(ValueError, match="at least one epoch"):
        History().plot()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert history("loss")._repr_png_() is None
    with pytest.raises(ImportError, match="History.plot needs matplotlib"):
        history("loss").plot()
