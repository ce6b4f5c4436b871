"""The progress line of a fit: on a terminal, off it, and where stderr is no file."""

import io
import sys

import pytest
from fastmlp import Network, Trainer
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
