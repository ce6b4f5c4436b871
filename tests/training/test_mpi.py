"""Data-parallel training over MPI: programs that mpiexec starts, their results, and how they end if a rank fails."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fastmlp
import numpy as np
import pytest
from images import mnist_or_digits
from problems import DTYPES, without_sanitizer

pytest.importorskip("mpi4py", reason="mpi4py is not installed")
ROOT = Path(__file__).resolve().parents[2]
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
pytestmark = [without_sanitizer, pytest.mark.skipif(MPIEXEC is None, reason="mpiexec is not installed")]


def mpi(size, program, *arguments, seconds=120):
    """The ended processes of `mpiexec -n size python -m mpi4py program`; a hang is a failure."""
    command = [
        MPIEXEC,
        "-n",
        str(size),
        sys.executable,
        "-W",
        "error",
        "-m",
        "mpi4py",
        str(program),
        *map(str, arguments),
    ]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=seconds, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def run(tmp_path, size, script, **parameters):
    """What rank 0 of the script leaves in `result`, a dict."""
    program = tmp_path / "program.py"
    program.write_text(f"{HEAD}\nparameters = {parameters!r}\n{script}\n{TAIL}")
    done = mpi(size, program, tmp_path / "result.json")
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "result.json").read_text())


HEAD = """
import hashlib, json, sys
import numpy as np
import fastmlp
from fastmlp import distributed

communicator = distributed.MPICommunicator()
rank, size = communicator.rank, communicator.size

def bits(net):
    return hashlib.sha256(b"".join(array.tobytes() for array in net.weights + net.biases)).hexdigest()
"""
TAIL = """
if rank == 0:
    with open(sys.argv[1], "w") as file:
        json.dump(result, file)
"""


def test_sums_run_in_the_order_of_the_ranks(tmp_path):
    script = """
def given(rank, count, dtype):
    return np.random.default_rng((rank, count)).normal(size=count).astype(dtype) * 10.0 ** rank

result = []
for count in (0, 1, 2, 3, 10, 1001):
    for dtype in (np.float32, np.float64):
        buffer = given(rank, count, dtype)
        communicator.allreduce_(buffer)
        expected = sum((given(r, count, dtype) for r in range(1, size)), start=given(0, count, dtype))
        same = (buffer == expected).all()
        first = given(rank, count, dtype)
        communicator.broadcast_(first)
        result.append(bool(same and (first == given(0, count, dtype)).all()))
"""
    assert run(tmp_path, 3, script) == [True] * 12
    assert run(tmp_path, 2, script) == [True] * 12


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no process")
def test_ranks_share_the_cores_that_they_may_use(tmp_path):
    script = """
import os
cores = sorted(os.sched_getaffinity(0))
result = [communicator.ranks_on_these_cores()]
if len(cores) > 1:
    os.sched_setaffinity(0, {cores[rank]})  # each on a core of its own
    result.append(communicator.ranks_on_these_cores())
"""
    assert run(tmp_path, 2, script) == [2, 1][: len(os.sched_getaffinity(0))]


@pytest.mark.parametrize("dtype", DTYPES)
def test_two_ranks_of_64_learn_what_one_process_learns_from_128(tmp_path, dtype):
    """On MNIST or drawn digits. Rank r holds its part of each batch, in order."""
    x_train, y_train, x_test, y_test = mnist_or_digits()
    script = """
from fastmlp import datasets

if parameters["rows"] == 60000:
    x_train, y_train, x_test, y_test = datasets.load_mnist(download=False)
else:
    x_train, y_train, x_test, y_test = datasets.make_digits(parameters["rows"], 1000)
batches = np.array_split(np.arange(len(x_train)), range(128, len(x_train), 128))
own = np.concatenate([np.array_split(batch, 2)[rank] for batch in batches])
net = fastmlp.Network((784, 128, 10), dtype=parameters["dtype"], input_scale=1 / 255, seed=rank)
trainer = distributed.Trainer(net, learning_rate=0.3, batch_size=128, momentum=0.5, l2=1e-4, shuffle=False)
equal = []
trainer.fit(x_train[own], y_train[own], epochs=2, callbacks=[lambda info: equal.append(len(set(communicator._comm.allgather(bits(net)))))])
if rank == 0:
    np.savez(sys.argv[1] + ".npz", *net.weights, *net.biases)
result = {"equal": equal, "loss": trainer.history.loss, "accuracy": net.evaluate(x_test, y_test).accuracy}
"""
    found = run(tmp_path, 2, script, dtype=dtype, rows=len(x_train))
    net = fastmlp.Network((784, 128, 10), dtype=dtype, input_scale=1 / 255, seed=0)
    trainer = fastmlp.Trainer(net, learning_rate=0.3, batch_size=128, momentum=0.5, l2=1e-4, shuffle=False)
    history = trainer.fit(x_train, y_train, epochs=2)
    assert found["equal"] == [1, 1]
    accuracy = net.evaluate(x_test, y_test).accuracy
    if dtype == "float32":  # rounding switches activations on and off, and 938 updates later it shows in the weights
        assert abs(found["accuracy"] - accuracy) <= 0.002
        np.testing.assert_allclose(found["loss"], history.loss, rtol=5e-3)
        return
    assert found["accuracy"] == accuracy
    np.testing.assert_allclose(found["loss"], history.loss, rtol=1e-12)
    with np.load(tmp_path / "result.json.npz") as file:
        for parameter, name in zip(net.weights + net.biases, file.files):
            np.testing.assert_allclose(file[name], parameter, rtol=0, atol=1e-12)


def test_the_example_trains_and_goes_on_with_another_number_of_ranks(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.delenv("FASTMLP_DATA", raising=False)
    program = ROOT / "examples" / "distributed_mnist.py"
    checkpoint = ("--checkpoint", tmp_path / "ranks.safetensors")
    for ranks, epochs in ((2, 1), (1, 2)):
        done = mpi(ranks, program, "--epochs", "1", *checkpoint)
        assert done.returncode == 0, done.stderr
        accuracy = re.fullmatch(rf"ranks {ranks}, epochs {epochs}, test accuracy (0\.\d+)\n", done.stdout)
        assert accuracy and float(accuracy[1]) > 0.5, done.stdout


def test_ranks_have_the_same_bits_after_each_update_however_uneven_their_rows(tmp_path):
    script = """
rng = np.random.default_rng(rank)
rows = parameters["rows"][rank]
X, y = rng.normal(size=(rows, 20)), rng.integers(0, 3, rows)
net = fastmlp.Network((20, 33, 3), seed=rank)
trainer = distributed.Trainer(net, "adam", batch_size=12, l1=1e-4)
per_update = []

class Watched:
    rank, size = communicator.rank, communicator.size
    def allreduce_(self, buffer):
        per_update.append(len(set(communicator._comm.allgather(bits(net)))))
        communicator.allreduce_(buffer)
    def broadcast_(self, buffer):
        communicator.broadcast_(buffer)

trainer._communicator = Watched()
history = trainer.fit(X, y, epochs=3)
result = {"differing": [count for count in per_update[10:] if count != 1], "calls": len(per_update), "loss": history.loss}
"""
    found = run(tmp_path, 3, script, rows=[50, 0, 17])
    assert found["calls"] > 30 and found["differing"] == []
    assert found["loss"][-1] < found["loss"][0]


FAILING = """
import os, signal, sys, threading
import numpy as np
import fastmlp
from fastmlp import distributed

rng = np.random.default_rng(0)
trainer = distributed.Trainer(fastmlp.Network((50, 40, 3)), batch_size=16)
rank = trainer.communicator.rank
trainer.fit(rng.normal(size=(500, 50)), rng.integers(0, 3, 500), epochs=1)
print("began", flush=True)

def in_callback(info):
    if rank == 1 and info.epoch == 3:
        raise ValueError("no more paper")

def killed(info):
    if rank == 1 and info.epoch == 3:
        os.kill(os.getpid(), signal.SIGKILL)

def in_an_update(info):
    sum_up = distributed.MPICommunicator.allreduce_
    def fail(self, buffer):
        if len(buffer) > 1000:
            raise MemoryError("no memory for gradients")
        sum_up(self, buffer)
    if rank == 1 and info.epoch == 3:
        distributed.MPICommunicator.allreduce_ = fail

trainer.fit(rng.normal(size=(500, 50)), rng.integers(0, 3, 500), epochs=10**9, callbacks=[globals()[sys.argv[1]]])
"""


@pytest.mark.parametrize(
    "failure, message", [("in_callback", "no more paper"), ("killed", ""), ("in_an_update", "no memory for gradients")]
)
def test_a_rank_that_fails_ends_the_job(tmp_path, failure, message):
    """Without that, the others would wait for it until the time limit ends the test."""
    (tmp_path / "failing.py").write_text(FAILING)
    done = mpi(2, tmp_path / "failing.py", failure, seconds=60)
    assert done.stdout.count("began") == 2, done.stderr
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


def test_ctrl_c_on_one_rank_ends_the_fit_of_all_after_an_update_that_all_have_made(tmp_path):
    script = """
import os, signal, threading

rng = np.random.default_rng(rank)
X, y = rng.normal(size=(400, 20)), rng.integers(0, 3, 400)
result = []
for sync_every in (1, 3):
    net = fastmlp.Network((20, 33, 3))
    trainer = distributed.Trainer(net, "adam", batch_size=16, sync_every=sync_every)
    for attempt in range(5):
        timer = threading.Timer(0.02 + 0.017 * attempt, os.kill, (os.getpid(), signal.SIGINT))
        if rank == attempt % size:
            timer.start()
        try:
            trainer.fit(X, y, 10**9)
        except KeyboardInterrupt:
            result.append(communicator._comm.allgather((bits(net), trainer.core.updates)))
    trainer.fit(X, y, 1)
"""
    found = run(tmp_path, 2, script)
    assert len(found) == 10
    for first, second in found:
        assert first == second
    for first, _ in found[4::5]:  # the fifth interrupt of each net: on a busy machine the first may come too early
        assert first[1] > 0


def test_ctrl_c_before_the_first_update_ends_the_fit_of_all(tmp_path):
    """Rank 1 reads its rows slowly."""
    script = """
import os, signal, threading, time

class Rows:
    def __array__(self, dtype=None, copy=None):
        if rank == 1:
            time.sleep(1)
        return np.ones((50, 5))

trainer = distributed.Trainer(fastmlp.Network((5, 3)), batch_size=16)
if rank == 0:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
caught = "nothing"
try:
    trainer.fit(Rows(), np.zeros(50, int), 2)
except KeyboardInterrupt:
    caught = "interrupt"
result = communicator._comm.allgather(caught)
trainer.fit(Rows(), np.zeros(50, int), 2)
"""
    assert run(tmp_path, 2, script) == ["interrupt", "interrupt"]


def test_communicators_are_duplicated_once(tmp_path):
    script = """
from mpi4py import MPI

half = MPI.COMM_WORLD.Split(rank % 2)
first, second = distributed.MPICommunicator(half), distributed.MPICommunicator(half)
result = [first._comm is second._comm or first._comm == second._comm, first._comm != half]
for _ in range(3000):
    comm = MPI.COMM_WORLD.Dup()
    distributed.MPICommunicator(comm)
    comm.Free()
"""
    assert run(tmp_path, 2, script) == [True, True]


def test_messages_of_the_user_are_left_alone(tmp_path):
    script = """
from mpi4py import MPI

if rank == 1:
    request = MPI.COMM_WORLD.isend("mine", 0, tag=7)
rng = np.random.default_rng(0)
distributed.Trainer(fastmlp.Network((20, 3))).fit(rng.normal(size=(40, 20)), rng.integers(0, 3, 40), 2)
result = None
if rank == 0:
    result = MPI.COMM_WORLD.recv(source=1, tag=7)
elif rank == 1:
    request.wait()
"""
    assert run(tmp_path, 3, script) == "mine"
