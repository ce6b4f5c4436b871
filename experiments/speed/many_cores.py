"""Epochs of 60000 rows by number of threads, beside other libraries and a GPU: for machines with many cores.

    python experiments/speed/many_cores.py [--rounds 3] [--rows 60000]

takes some six minutes on 16 cores and prints little: a table of milliseconds and shares of the peak of as many threads
in the same run, the cases in which more threads are slower than fewer, those that miss their targets for 16 threads of
a Sapphire Rapids server, what it costs a core to store to lines that others have read (`shared_lines.cpp`), and the
epochs of a GPU.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import fastmlp
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from speed import libraries
from speed.multicore import NETS, RIVALS, thread_counts
from speed.timing import LEARNING_RATE, Case, Processes, Timing

TARGETS = [  # net, batch size, milliseconds at most with 16 threads; None: no target
    *((NETS[0], batch, most) for batch, most in ((32, 60), (128, 35), (256, 30), (512, None), (1024, 27))),
    *((NETS[0], batch, 25) for batch in (4096, 60000)),
    *((NETS[1], batch, most) for batch, most in ((128, 160), (1024, 145))),
    *((NETS[2], batch, most) for batch, most in ((128, 210), (1024, 190))),
]
NOISE = 1.03


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=60000)
    arguments = parser.parse_args()
    threads = thread_counts(fastmlp.show_config("dicts")["threads"])
    rivals = [name for name in RIVALS if name in libraries.installed()]
    has_targets = threads[-1] == 16 and arguments.rows == 60000
    print(f"fastmlp {fastmlp.__version__}, {fastmlp.show_config('dicts')['instruction_set']}, {threads[-1]} threads")
    print("net, batch".ljust(28), *(f"{n} thr".rjust(13) for n in threads), *(name.rjust(9) for name in rivals))
    problems = []
    with contextlib.ExitStack() as stack:
        participants = {str(n): ("fastmlp", str(n)) for n in threads} | {name: (name,) for name in rivals}
        timers = Processes(participants, stack)
        for net, batch, most in TARGETS:
            case = Case(net, batch, rows=max(arguments.rows, batch))
            timing = Timing.of(case, timers.time(case, list(participants), arguments.rounds, *case.random_data()))
            name = f"{case.net}, {batch}"
            milliseconds = {n: 1e3 * timing.median_seconds(n) for n in participants}
            shares = {str(n): timing.share_of_peak(str(n)) for n in threads}
            print(
                name.ljust(28),
                *(f"{milliseconds[n]:8.1f} {share:4.0%}" for n, share in shares.items()),
                *(f"{milliseconds[rival]:9.1f}" for rival in rivals),
                flush=True,
            )
            for fewer, more in pairwise(map(str, threads)):
                if (ratio := timing.ratio(more, fewer)) > NOISE:
                    problems.append(f"{name}: {more} threads take {ratio:.2f} of the time of {fewer}")
            if most and has_targets and milliseconds["16"] > most:
                problems.append(f"{name}: {milliseconds['16']:.1f} ms with 16 threads, target {most}")
    fine = "no case is slower with more threads" + (" or misses its target" if has_targets else "")
    print(*(problems or [fine]), sep="\n")
    shared_lines(threads)
    for net, batch, _ in TARGETS:
        for library, value in on_gpu(Case(net, batch, rows=max(arguments.rows, batch))).items():
            print(f"{Case(net, batch).net}, {batch}: {library} on the GPU takes {value:.1f} ms", flush=True)


def on_gpu(case: Case) -> dict[str, float]:
    """Milliseconds per epoch, for scale, where PyTorch and JAX find a GPU."""
    X, y = case.random_data()
    weights = fastmlp.Network(case.layer_sizes).weights
    problem = libraries.Problem(X * np.float32(1 / 255), y, weights, case.batch_size, LEARNING_RATE)
    found = {}
    for library, train in (("PyTorch", torch_on_gpu), ("JAX", jax_on_gpu)):
        with contextlib.suppress(ImportError):
            if epoch := train(problem):
                found[library] = 1e3 * min([epoch() for _ in range(4)][1:])
    return found


def torch_on_gpu(problem: libraries.Problem) -> Callable[[], float] | None:
    import torch

    if not torch.cuda.is_available():
        return None
    X, y = torch.from_numpy(problem.X).cuda(), torch.from_numpy(problem.y).cuda()
    model = libraries.torch_model(problem.layer_sizes).cuda()
    optimizer = torch.optim.SGD(model.parameters(), problem.learning_rate, fused=True)

    def epoch() -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        libraries.torch_epoch(model, optimizer, X, y, problem.batch_size, device="cuda")
        torch.cuda.synchronize()
        return time.perf_counter() - start

    return epoch


def jax_on_gpu(problem: libraries.Problem) -> Callable[[], float] | None:
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs some of the GPU's memory, too
    import jax

    return None if jax.default_backend() == "cpu" else libraries.train_jax(problem).epoch


def shared_lines(threads: list[int]) -> None:
    compiler = shutil.which("c++") or shutil.which("g++")
    if not compiler or threads[-1] == 1:
        return
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "shared_lines")
        source = str(Path(__file__).with_suffix("").with_name("shared_lines.cpp"))
        subprocess.run([compiler, "-O2", "-std=c++17", "-march=native", "-pthread", source, "-o", program], check=True)
        for count in threads[1:]:
            subprocess.run([program, str(count)], check=True)


if __name__ == "__main__":
    main()
