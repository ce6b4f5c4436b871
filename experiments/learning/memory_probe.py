"""Program: the peak memory of training beyond the data set, for fastmlp or a plain NumPy trainer.

    python memory_probe.py {fastmlp,numpy} BATCH_SIZE ROWS LAYER_SIZE...

prints the number of bytes. It runs in a process of its own, because the system reports the peak since a process began.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import fastmlp
import numpy as np

TRAINERS = ("fastmlp", "numpy")
NUMPY_BATCHES = 8  # batches are alike: later ones have no higher peak
LEARNING_RATE = 0.4


def peak_training_bytes(trainer: str, batch_size: int, rows: int, layer_sizes: Sequence[int]) -> int | None:
    """Measured in a new process; None where the system reports no peak (Windows)."""
    if sys.platform == "win32":
        return None
    command = [sys.executable, __file__, trainer, *map(str, (batch_size, rows, *layer_sizes))]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _peak_bytes() -> int:
    """The largest size so far of this process's memory."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not ru_maxrss: Linux starts it at the peak of the process that started this one.
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _train_fastmlp(X: np.ndarray, y: np.ndarray, batch_size: int, layer_sizes: Sequence[int]) -> None:
    network = fastmlp.Network(layer_sizes, input_scale=1 / 255)
    fastmlp.Trainer(network, learning_rate=LEARNING_RATE, batch_size=batch_size).fit(X, y, epochs=1, verbose=False)


def _train_numpy(X: np.ndarray, y: np.ndarray, batch_size: int, layer_sizes: Sequence[int]) -> None:
    """As in a course: a batch as float32, and the activations of all its rows."""
    initial = fastmlp.Network(layer_sizes)
    weights, biases = ([array.copy() for array in arrays] for arrays in (initial.weights, initial.biases))
    order = np.random.default_rng(0).permutation(len(X))
    for begin in range(0, min(len(X), NUMPY_BATCHES * batch_size), batch_size):
        rows = order[begin : begin + batch_size]
        activations = [X[rows] * np.float32(1 / 255)]
        for w, b in zip(weights[:-1], biases[:-1]):
            activations.append(np.maximum(activations[-1] @ w + b, 0))
        scores = activations[-1] @ weights[-1] + biases[-1]
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        gradient = exponentials / exponentials.sum(axis=1, keepdims=True)
        gradient[np.arange(len(rows)), y[rows]] -= 1
        gradient /= len(rows)
        for i in reversed(range(len(weights))):
            weight_gradient, bias_gradient = activations[i].T @ gradient, gradient.sum(axis=0)
            gradient = (gradient @ weights[i].T) * (activations[i] > 0) if i else gradient
            weights[i] -= LEARNING_RATE * weight_gradient
            biases[i] -= LEARNING_RATE * bias_gradient


def main(trainer: str, batch_size: int, rows: int, layer_sizes: Sequence[int]) -> None:
    train = {"fastmlp": _train_fastmlp, "numpy": _train_numpy}[trainer]
    rng = np.random.default_rng(0)  # memory does not depend on what the images show
    X = rng.integers(0, 256, (rows, layer_sizes[0]), dtype=np.uint8)
    y = rng.integers(0, layer_sizes[-1], rows)
    train(X[:2], y[:2], 1, layer_sizes)  # code, threads and libraries are loaded from here on
    before = _peak_bytes()
    train(X, y, batch_size, layer_sizes)
    print(_peak_bytes() - before)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), [int(size) for size in sys.argv[4:]])
