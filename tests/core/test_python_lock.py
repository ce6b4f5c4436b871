"""Every entry point of the core releases Python's lock, or is known to be short."""

import contextlib
import sys
import tempfile
import threading
import time

import numpy as np
import pytest
from core_objects import new_network, run, sum_gradients
from fastmlp import _core

OPEN_FILES = contextlib.ExitStack()  # of one test


def long_inputs(size):
    return np.random.default_rng(0).normal(size=(size, 256)).astype(np.float32)


def long_network(size, loss="cross_entropy", widths=(512, 512)):
    core = new_network("float32", (256, *widths, 10), loss)
    return core, _core.TrainerFloat32(core, _core.UpdateKind.adam), core.dataset(long_inputs(size), np.zeros(size, int))


def a_run(size):
    _, trainer, data = long_network(size)
    return lambda: run(trainer, data, size, batch_size=128)


def a_sum(size):
    _, trainer, data = long_network(size)
    return lambda: sum_gradients(trainer, data, size, batch_size=size)


def an_update(size):
    _, trainer, _ = long_network(1, widths=(64 * (size // 64), 64 * (size // 64)))
    trainer.gradient_memory()
    return lambda: trainer.update(_core.UpdateSettings(1e-6), 1.0, 1)


def an_apply(size):
    core, trainer, _ = long_network(1, widths=(64 * (size // 64), 64 * (size // 64)))
    shapes = [core.weights(i).shape for i in range(3)]
    gradients = [np.zeros(shape, np.float32) for shape in shapes], [np.zeros(shape[1], np.float32) for shape in shapes]
    return lambda: trainer.apply(*gradients, _core.UpdateSettings(1e-6), 1)


def a_step(size):
    X = long_inputs(size)
    step = _core.StepFloat32(long_network(1)[0], size)
    return step, X, lambda: step.forward(X, 0, size, 1)


def a_way_back(size):
    step, _, forward = a_step(size)
    forward()
    return lambda: step.backward(np.ones((size, 10), np.float32), 0, size, True, None, 1)


def large_network(size):
    return long_network(1, widths=(size, size))[0]


def a_read(size):
    """Python's functions of files release the lock, so the file is made before the call."""
    to = np.empty(size << 15, np.uint8)
    pieces = np.array([[0, 0, to.nbytes]])
    file = OPEN_FILES.enter_context(tempfile.TemporaryFile())
    file.truncate(to.nbytes)
    return lambda: _core.read_pieces(file.fileno(), to, pieces, 1)


def column_moments(size):
    """NumPy releases the lock where it fills an array, so the arrays are made before the call."""
    X, weights, around = long_inputs(8 * size), np.ones(8 * size), np.zeros(256)
    return lambda: _core.column_moments(X, weights, around, 1)


def tabular(size):
    shape = _core.TabularShape(256, 0, 0, 0, [], [512], 10)
    net = _core.TabularNetFloat32(shape, _core.Activation.relu, [], _core.Loss.cross_entropy, [0.0])
    empty = np.empty((size, 0), np.float32), np.empty((size, 0), np.int32)
    return net, net.labelled_table(long_inputs(size), *empty, labels=np.zeros(size, np.int64))


def a_tabular_run(size):
    net, table = tabular(size)
    trainer, plan, settings = _core.TabularTrainerFloat32(net), _core.EpochPlan(size, 128), _core.UpdateSettings(1e-6)
    return lambda: trainer.run(table, plan, settings, 0, _core.LossSum(), 1, 60.0)


def tabular_gradients(size):
    net, table = tabular(size)
    trainer, plan, settings = _core.TabularTrainerFloat32(net), _core.EpochPlan(size, size), _core.UpdateSettings(1e-6)
    return lambda: trainer.gradients(table, plan, settings, 1)


LONG_CALLS = {
    "Network.forward": lambda size: (lambda core, X: lambda: core.forward(X, 0, size, 1))(
        long_network(1)[0], long_inputs(size)
    ),
    "Network.evaluate": lambda size: (lambda core, data: lambda: core.evaluate(data, 0, size, _core.LossSum(), 1))(
        *long_network(size)[::2]
    ),
    "Network.weight_norms": lambda size: large_network(size).weight_norms,
    "Network.is_finite": lambda size: large_network(size).is_finite,
    "Trainer.run": a_run,
    "Trainer.sum_gradients": a_sum,
    "Trainer.update": an_update,
    "Trainer.apply": an_apply,
    "Step.forward": lambda size: a_step(size)[2],
    "Step.backward": a_way_back,
    "forward_plain": lambda size: (
        lambda X, w: lambda: _core.forward_plain([w], [np.zeros(512)], [], _core.Loss.poisson, None, X, 0, len(X), 1)
    )(np.zeros((8 * size, 512)), np.eye(512)),
    "NonzeroBits": lambda size: (lambda X: lambda: _core.NonzeroBits(X, 1))(np.eye(8 * size, 512, dtype=np.float32)),
    "column_moments": column_moments,
    "first_not_finite": lambda size: (lambda X: lambda: _core.first_not_finite(X, 1e38, 1))(long_inputs(8 * size)),
    "peak_gflops": lambda size: lambda: _core.peak_gflops(True, 1, 0.02),
    "matmul": lambda size: (lambda a: lambda: _core.matmul(a, a, False, True, 1))(long_inputs(size)),
    "matmul_bfloat16": lambda size: (
        lambda a: lambda: _core.matmul_bfloat16(a, a, False, True, _core.PairOrder.bfloat16, 1)
    )(long_inputs(size).astype(np.float32)),
    "activate": lambda size: (lambda z: lambda: _core.activate(z, _core.Activation.tanh, []))(long_inputs(8 * size)),
    "activation_gradient": lambda size: (lambda z: lambda: _core.activation_gradient(z, z, _core.Activation.tanh, []))(
        long_inputs(8 * size)
    ),
    "softmax": lambda size: (lambda z: lambda: _core.softmax(z))(long_inputs(8 * size)),
    "loss": lambda size: (lambda z, y: lambda: _core.loss(z, y, _core.Loss.cross_entropy, [0.0]))(
        long_inputs(8 * size), np.zeros(8 * size, np.int64)
    ),
    "TabularNet.forward": lambda size: (lambda net, table: lambda: net.forward(table, 1))(*tabular(size)),
    "TabularNet.hidden_outputs": lambda size: (lambda net, table: lambda: net.hidden_outputs(table, 1, 1))(
        *tabular(size)
    ),
    "TabularTrainer.run": a_tabular_run,
    "TabularTrainer.gradients": tabular_gradients,
    "end_native_calls": None,  # waits for others; see test_processes.py
    "read_pieces": a_read,
}
COPIES = {  # copies of parameters and arguments, and short answers: the lock is held, so no other thread changes them
    *("Network." + name for name in ("weights", "biases", "set_layer", "parameter_vector", "dataset", "standardize")),
    *("Network." + name for name in ("training_operations", "forward_operations")),
    *("Network." + name for name in ("lock_parameters", "parameters_version", "is_locked_elsewhere")),
    *("Trainer." + name for name in ("gradient_memory", "gradients", "gradient_vector", "memory", "set_memory")),
    *("Trainer." + name for name in ("optimizer_state", "set_optimizer_state", "updates")),
    *("Trainer." + name for name in ("save_snapshot", "restore_snapshot")),
    *("current_isa", "available_isas", "multiplies_bfloat16", "has_openmp", "default_thread_count"),
    *("forget_native_calls", "CsrInputs", "LossSum", "UpdateSettings", "UpdateSchedule"),
    *("Step.outputs", "Step.gradients"),
    *("TabularNet." + name for name in ("table", "labelled_table", "parameters", "set_parameters")),
    *("TabularNet.forward_operations", "Table.rows", "TabularShape"),
    *("TabularTrainer." + name for name in ("set_factors", "updates", "save_snapshot", "restore_snapshot")),
    *("EpochPlan", "ParameterLock"),
}


def test_every_entry_point_of_the_core_is_known_here():
    names = set()
    for name, value in vars(_core).items():
        owner = name.removesuffix("Float32").removesuffix("Float64")
        if owner in ("Network", "Trainer", "Step", "TabularNet", "TabularTrainer", "Table"):
            names |= {f"{owner}.{member}" for member in vars(value) if not member.startswith("_")}
        elif (
            callable(value) and owner == name and not hasattr(value, "__members__")
        ):  # neither made by others nor an enum
            names.add(name)
    assert names == set(LONG_CALLS) | COPIES


def ticks_during(call):
    """How often another Python thread runs during the call: never, if the call holds the lock throughout."""
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0005)

    ticker, interval = threading.Thread(target=tick), sys.getswitchinterval()
    sys.setswitchinterval(60)  # seconds until the interpreter takes the lock from a thread that another waits for
    try:
        ticker.start()
        time.sleep(0.002)
        begin = time.perf_counter()
        call()
        end = time.perf_counter()
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        ticker.join()
    return sum(begin < t < end for t in ticks)


@pytest.mark.parametrize("name", [name for name, make in LONG_CALLS.items() if make])
def test_other_python_threads_run_during_a_long_call(name):
    """In one of many tries, because the machine may be busy. A call of some milliseconds is long."""
    size, call, seconds = 64, None, 0.0
    with OPEN_FILES:
        while seconds < 0.004 and size <= 65536:
            size *= 2
            call = LONG_CALLS[name](size)
            begin = time.perf_counter()
            call()
            seconds = time.perf_counter() - begin
        assert any(ticks_during(call) for _ in range(100)), f"{name} holds Python's lock"


def test_the_check_distinguishes_calls_that_hold_and_release_the_lock():
    numbers = list(range(100_000))
    assert not any(ticks_during(numbers.sort) for _ in range(20))
    assert any(ticks_during(lambda: time.sleep(0.004)) for _ in range(100))
