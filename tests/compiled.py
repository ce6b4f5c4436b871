"""What tests of exported C share: it is compiled without a warning, and runs in a process of its own."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastmlp.losses import TABLE as LOSSES

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler under the name of cc")

STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-O2"]

RUN = """
import ctypes, json, sys
import numpy as np

with open("calls.json") as file:
    calls = json.load(file)
library, X, results = ctypes.CDLL(sys.argv[1]), np.load("inputs.npy"), {}
for name, dtype, outputs, decision in calls:
    inputs = np.ascontiguousarray(X, dtype)
    found = np.full((len(X), outputs + 1), -7, dtype)  # the last column must stay as it is
    classes = np.full((len(X), outputs + 1), -7, np.intc)
    pointers = [ctypes.c_void_p]
    forward, predict = getattr(library, name + "_forward"), getattr(library, name + "_predict", None)
    forward.argtypes, forward.restype = pointers * 2, None
    if decision == "argmax":
        predict.argtypes, predict.restype = pointers, ctypes.c_int
    elif decision == "threshold":
        predict.argtypes, predict.restype = pointers * 2, None
    for i, row in enumerate(inputs):
        forward(row.ctypes.data, found[i].ctypes.data)
        if decision == "argmax":
            classes[i, 0] = predict(row.ctypes.data)
        elif decision == "threshold":
            predict(row.ctypes.data, classes[i].ctypes.data)
    assert (found[:, -1] == -7).all() and (classes[:, -1] == -7).all()
    assert (predict is None) == (decision is None)
    results[name + ".outputs"] = found[:, :-1]
    results[name + ".classes"] = classes[:, 0] if decision == "argmax" else classes[:, :-1]
np.savez("results.npz", **results)
"""


def run_checked(command, folder, timeout=300):
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout)
    assert result.returncode == 0, result.stderr[:2000]


def run_exported(nets, X, folder, compiler=("cc", "-std=c99")):
    """The outputs and the classes of each net on the rows of X, from C; `nets` by the names of their functions."""
    for name, net in nets.items():
        (folder / f"{name}.c").write_text(net.to_c(name))
    sources = [f"{name}.c" for name in nets]
    compile_them = [*compiler, *STRICT, "-fPIC", "-c"]
    with ThreadPoolExecutor(2) as pool:
        list(
            pool.map(
                lambda part: run_checked([*compile_them, *part], folder), filter(None, (sources[::2], sources[1::2]))
            )
        )
    objects = [f"{name}.o" for name in nets]
    run_checked([compiler[0], "-shared", *objects, "-lm", "-o", "nets.so"], folder)
    calls = [[name, net.dtype.name, net.layer_sizes[-1], LOSSES[net.loss].decision] for name, net in nets.items()]
    (folder / "calls.json").write_text(json.dumps(calls))
    np.save(folder / "inputs.npy", X)
    run_checked([sys.executable, "-W", "error", "-c", RUN, str(folder / "nets.so")], folder)
    results = np.load(folder / "results.npz")
    return {name: (results[name + ".outputs"], results[name + ".classes"]) for name in nets}
