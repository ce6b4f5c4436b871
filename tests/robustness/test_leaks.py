"""Memory stays flat over many fits, predictions, saves and loads. Ten thousand cycles in the long test run, fewer here."""

import os
from pathlib import Path

import fastmlp
import numpy as np
import pytest
from fastmlp import Network, Trainer
from problems import without_sanitizer

CYCLES = int(os.environ.get("FASTMLP_CYCLES", "1000"))
MOST_GROWTH = 2_000_000  # bytes

pytest.importorskip("safetensors")
if not Path("/proc/self/statm").exists():
    pytest.skip("this system does not report the memory of a process", allow_module_level=True)

pytestmark = without_sanitizer  # which keeps what is freed


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_stays_flat_over_many_cycles(tmp_path):
    path = tmp_path / "net"
    X, y = np.random.default_rng(0).normal(size=(300, 20)).astype(np.float32), np.arange(300) % 3
    failing = X.copy()
    failing[7, 7] = np.nan

    def cycle():
        trainer = Trainer(Network((20, 64, 3), seed=1), "adam", n_threads=2)
        trainer.fit(X, y, epochs=2, validation_data=(X, y))
        trainer.save(path)
        net = Trainer.resume(path).network
        net.save(path)
        fastmlp.load(path).forward(X)
        for bad in (lambda: net.forward(failing), lambda: fastmlp.load(__file__), lambda: trainer.fit(X, y + 1, 1)):
            with pytest.raises(ValueError):
                bad()

    for _ in range(200):
        cycle()
    before = resident_bytes()
    for _ in range(CYCLES):
        cycle()
    assert resident_bytes() - before < MOST_GROWTH
