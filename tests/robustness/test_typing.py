"""The types that the package declares: the stub is true to the compiled core, and a user's typed program is checked."""

import subprocess
import sys

import pytest

pytest.importorskip("mypy", reason="mypy is not installed")

PROGRAM = """
import numpy as np

import fastmlp
from fastmlp.callbacks import EarlyStopping


def accuracy(x: np.ndarray, y: np.ndarray) -> float:
    net = fastmlp.Network((784, 128, 10), activation="relu", input_scale=1 / 255, seed=0)
    trainer = fastmlp.Trainer(net, optimizer="adam", learning_rate=1e-3, batch_size=128, l2=1e-4)
    history = trainer.fit(x, y, epochs=5, validation_data=(x, y), callbacks=[EarlyStopping("val_loss", patience=3)])
    losses: list[float] = history.loss
    net.save("net.safetensors")
    again: fastmlp.Network = fastmlp.load("net.safetensors")
    labels: np.ndarray = again.predict(x)
    model = fastmlp.MLPClassifier((64,), random_state=0, class_weight=[{0: 1.0}]).fit(x, y)
    losses += fastmlp.fit_many([trainer], x, y, epochs=2)[0].loss
    outcomes = fastmlp.fit_many([trainer], x, y, epochs=2, return_diverged=True)
    losses += [outcome.loss[-1] for outcome in outcomes if isinstance(outcome, fastmlp.History)]
    levels = fastmlp.Network((4, 2), loss="quantile", loss_settings={"level": (0.1, 0.9)})
    by_layer = fastmlp.Trainer(levels, learning_rate_factors=[(0, 0)])
    by_layer.fit(fastmlp.streaming.Stream([(x, y), (x, y)]), None, epochs=1)
    print(losses[-1], labels.shape, model.score(x, y), fastmlp.ops.relu(x), fastmlp.show_config("dicts")["threads"])
    return again.evaluate(x, y).accuracy
"""


def run_mypy(module, *arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )


def test_the_stub_is_true_to_the_core(tmp_path):
    result = run_mypy("mypy.stubtest", "--concise", "fastmlp._core", folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_typed_program_passes_strict_checks(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    result = run_mypy("mypy", "--strict", "program.py", folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


MISTAKES = [  # what is right, what is wrong, what mypy says
    ("activation=", "activated=", 'Unexpected keyword argument "activated"'),
    ("seed=0)", 'seed="0")', 'Argument "seed" to "Network"'),
    ("list[float]", "list[str]", 'variable has type "list[str]"'),
    ("[trainer], x, y, epochs=2)", "trainer, x, y, epochs=2)", '"fit_many"'),
    ("(0.1, 0.9)", '("0.1", "0.9")', "Dict entry 0 has incompatible type"),
    ("[(0, 0)]", "[0, 0]", 'List item 0 has incompatible type "int"'),
    ("if isinstance(outcome, fastmlp.History)", "", 'has no attribute "loss"'),
    ("again: fastmlp.Network", "again: fastmlp.Trainer", 'variable has type "Trainer"'),
    ('"dicts"', '"stdout"', "not indexable"),
]


def test_programs_with_mistakes_do_not(tmp_path):
    """The twin of the test above: what is passed for Any would be right with everything."""
    names = [f"program_{i}.py" for i in range(len(MISTAKES))]
    for name, (right, wrong, _) in zip(names, MISTAKES):
        assert PROGRAM.count(right) == 1
        (tmp_path / name).write_text(PROGRAM.replace(right, wrong))
    said = run_mypy("mypy", "--strict", *names, folder=tmp_path).stdout
    for name, (_, wrong, message) in zip(names, MISTAKES):
        assert any(line.startswith(name) and message in line for line in said.splitlines()), (wrong, said)
