"""The progress line of a fit: on a terminal, off it, and where stderr is no file."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from fastmlp import Network, Trainer, progress
from fastmlp.progress import Cancelled, FitProgress, Line, ManyProgress
from problems import LAYER_SIZES, problem


class Terminal(io.StringIO):
    def isatty(self):
        return True


def fit_with(verbose):
    X, y = problem(40)
    net = Network(LAYER_SIZES, dtype="float64")
    Trainer(net, learning_rate=0.1, batch_size=16).fit(X, y, epochs=3, verbose=verbose, validation_data=(X, y))


def test_verbose_writes_one_line_per_epoch(capfd):
    fit_with(True)
    captured = capfd.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 3
    for epoch, line in enumerate(lines, start=1):
        assert f"{epoch}/3" in line
        assert "loss" in line
    assert captured.out == ""


@pytest.mark.parametrize("verbose", ["auto", False])
def test_no_output_off_a_terminal(capfd, verbose):
    fit_with(verbose)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_auto_redraws_one_line_on_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    fit_with("auto")
    text = terminal.getvalue()
    assert "3/3" in text
    assert "\r" in text
    assert text.count("\n") == 1 and text.endswith("\n")


def test_a_missing_stderr_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # pythonw, daemons
    fit_with("auto")


def test_the_progress_line_fits_the_terminal(monkeypatch):
    from fastmlp.progress import FitProgress

    class Terminal:
        text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    with FitProgress("auto", 10) as progress:
        progress.epoch_done(1, {name: 0.5 for name in ("loss", "accuracy", "val_loss", "val_accuracy", "seconds")})
        progress.part_done(2, 0.5)
    lines = terminal.text.replace("\n", "\r").split("\r")
    assert "epoch 1/10" in terminal.text
    assert max(map(len, lines)) == 59


class Broken:
    """Something in place of stderr that is no file."""

    def isatty(self):
        raise OSError("no terminal")


def test_a_broken_stderr_does_not_end_a_fit(monkeypatch):
    for verbose in ("auto", True):
        with monkeypatch.context() as patch:
            patch.setattr("sys.stderr", Broken())
            fit_with(verbose)


METRICS = {"loss": 0.12345, "penalty": 0.0, "accuracy": 0.5, "val_loss": 2.0, "seconds": 1.25}


@pytest.fixture
def clock(monkeypatch):
    """Seconds that stand still, beside a terminal of 80 columns."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_REDRAWS", 0.25)
    monkeypatch.setenv("COLUMNS", "80")
    return now


def on_terminal(monkeypatch):
    """In the test itself, as pytest changes stderr between a fixture and its test."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def drawn(stream):
    """The texts since the last call, without what pads them to those before."""
    texts = [text.rstrip(" ") for text in stream.getvalue().split("\r")[1:]]
    stream.seek(0)
    stream.truncate()
    return texts


def test_redraws_keep_their_distance(clock, monkeypatch):
    terminal = on_terminal(monkeypatch)
    with Line("auto") as line:
        for seconds, text in [(0, "a"), (0.125, "b"), (0.25, "c"), (0.375, "d"), (0.4375, "e"), (0.5, "f"), (0.6, "g")]:
            clock.seconds = seconds
            line.redraw(text)
    assert drawn(terminal) == ["a", "c", "f", "g\n"], "a quarter of a second is enough, and the last text stays"


def test_what_a_terminal_shows_of_a_fit(clock, monkeypatch):
    terminal = on_terminal(monkeypatch)
    with FitProgress("auto", 12) as line:
        for step in range(6):
            clock.seconds = step
            if step in (2, 5):
                line.epoch_done(step, METRICS | {"penalty": 0.25 * (step == 5)})
            else:
                line.part_done(step, [0.0, 0.5, None, 0.999, 1.0][step])
    before = "  loss 0.1235  accuracy 0.5000  val_loss 2.0000"
    assert (
        drawn(terminal)
        == [
            "epoch 0/12   0%",
            "epoch 1/12  50%",
            f"epoch 2/12{before}  seconds 1.2500",
            f"epoch 3/12 100%{before}",  # an epoch that is done has a line of its own
            "epoch 5/12  loss 0.1235  penalty 0.2500  accuracy 0.5000  val_loss 2.0000  seconds 1.2"[:79],
            "epoch 5/12  loss 0.1235  penalty 0.2500  accuracy 0.5000  val_loss 2.0000  seconds 1.2"[:79] + "\n",
        ]
    )


def test_a_shorter_text_covers_a_longer_one(clock, monkeypatch):
    terminal = on_terminal(monkeypatch)
    with Line("auto") as line:
        line.redraw("0123456789")
        clock.seconds = 1
        line.redraw("abc")
    assert terminal.getvalue() == "\r0123456789\rabc       \rabc       \n"


@pytest.mark.parametrize("verbose, written", [(True, True), ("auto", False), (False, False)])
def test_what_a_file_gets_of_a_fit(monkeypatch, verbose, written):
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with FitProgress(verbose, 3) as line:
        assert not line.on_terminal
        line.part_done(1, 0.5)
        line.epoch_done(1, METRICS)
        line.epoch_done(2, METRICS | {"penalty": 0.5})
    lines = [
        "epoch 1/3  loss 0.1235  accuracy 0.5000  val_loss 2.0000  seconds 1.2500\n",
        "epoch 2/3  loss 0.1235  penalty 0.5000  accuracy 0.5000  val_loss 2.0000  seconds 1.2500\n",
    ]
    assert file.getvalue() == ("".join(lines) if written else "")


@pytest.mark.parametrize("verbose", [True, "auto", False])
def test_a_terminal_gets_no_lines_of_their_own(monkeypatch, verbose):
    terminal = on_terminal(monkeypatch)
    with Line(verbose) as line:
        line.add("a line")
    assert terminal.getvalue() == ""
    with Line(verbose) as line:
        line.redraw("text")
    assert (terminal.getvalue() == "") == (verbose is False)


def test_many_fits_count_nets_and_epochs(clock, monkeypatch):
    terminal = on_terminal(monkeypatch)
    with ManyProgress("auto", 2, 3) as line:
        for step, report in enumerate(
            [lambda: line.epoch_done(1, {}), lambda: line.fit_done("a"), lambda: line.epoch_done(2, {})]
        ):
            clock.seconds = step
            report()
            line.part_done(1, 0.5)
    assert drawn(terminal) == [
        "0/2 nets, 1/6 epochs",
        "1/2 nets, 1/6 epochs",
        "1/2 nets, 2/6 epochs",
        "1/2 nets, 2/6 epochs\n",
    ]


def test_many_fits_end_when_they_are_stopped(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    line = ManyProgress(True, 2, 3)
    line.part_done(1, 0.5)
    line.fit_done("trainers[0]")
    assert file.getvalue() == "1/2 nets, 0/6 epochs  trainers[0]\n"
    line.stop()
    with pytest.raises(Cancelled):
        line.part_done(1, 0.5)


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("kind", [int, np.int64, np.bool_])
def test_zero_and_one_are_flags(monkeypatch, flag, kind):
    for stream in (io.StringIO(), Terminal()):
        monkeypatch.setattr(sys, "stderr", stream)
        texts = []
        for verbose in (flag, kind(flag)):
            with FitProgress(verbose, 3) as line:
                line.epoch_done(1, METRICS)
            texts.append(stream.getvalue())
            stream.seek(0)
            stream.truncate()
        assert texts[0] == texts[1] and bool(texts[0]) == flag


def test_a_fit_takes_zero_and_one_as_verbose(capfd):
    fit_with(0)
    assert capfd.readouterr().err == ""
    fit_with(1)
    assert len(capfd.readouterr().err.splitlines()) == 3


@pytest.mark.parametrize("verbose", [-1, 2, np.int64(2), 0.0, 1.0, None, "Auto", "", "1", 2.0, [], np.ones(2)])
def test_verbose_is_a_flag_or_auto(verbose):
    with pytest.raises(ValueError, match="verbose must be True, False or 'auto', got "):
        Line(verbose)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_stream_that_fails_is_left_alone(monkeypatch, is_terminal):
    class Failing(io.StringIO):
        writes = 0

        def isatty(self):
            return is_terminal

        def write(self, text):
            self.writes += 1
            raise OSError("a full disk")

    stream = Failing()
    monkeypatch.setattr(sys, "stderr", stream)
    with Line(True) as line:
        for _ in range(3):
            line.redraw("text")
            line.add("text")
    assert stream.writes == 1


def test_a_fit_reports_shares_of_its_epochs(monkeypatch):
    """That of the rows that are done, of an array and of a stream, whose first epoch has an unknown number of them."""
    from fastmlp.streaming import Stream

    seen = []
    monkeypatch.setattr(FitProgress, "part_done", lambda self, epoch, share: seen.append((epoch, share)))
    monkeypatch.setattr("fastmlp.core_calls.SECONDS_PER_CALL", 0.0)  # a call for each update
    X, y = problem(40)
    Trainer(Network(LAYER_SIZES), batch_size=10).fit(X, y, epochs=2)
    assert seen == [(epoch, share) for epoch in (1, 2) for share in (0.25, 0.5, 0.75, 1.0)]
    seen.clear()
    Trainer(Network(LAYER_SIZES), batch_size=10).fit(Stream.of_rows(X, y, chunk_rows=20), None, epochs=2)
    assert seen == [(epoch, share) for epoch in (1, 2) for share in (0.25, 0.5, 0.75, 1.0)]
    seen.clear()
    Trainer(Network(LAYER_SIZES), batch_size=10).fit(Stream([(X[:20], y[:20]), (X[20:], y[20:])]), None, epochs=2)
    assert seen == [(1, 0.0)] * 4 + [(2, share) for share in (0.25, 0.5, 0.75, 1.0)]
