"""Mutation testing: each fault of the lists is put into a copy of the project, and the tests must fail.

`make mutants` runs all of it, some hours; `make mutants ONLY="K01 P03"` these faults alone. First the tests nearest to
the changed file run, for all faults; then all others, for the survivors. What is known already, in
build/mutants/results.jsonl, is not run again: a killed fault until its text changes, a survivor until a test changes.
Prints the survivors, and faults whose text is gone.
"""

import argparse
import collections
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from faults import ROOT, all_faults, places, sources

HOME = ROOT / "build" / "mutants"
RESULTS = HOME / "results.jsonl"
# Where the processor lacks AVX-512, its kernels' faults are tried in an emulation, if that is installed.
HAS_AVX512 = "avx512f" in Path("/proc/cpuinfo").read_text()
EMULATES_AVX512 = Path("/usr/include/simde/x86/avx512.h").exists() and not HAS_AVX512

# The record of bits fails at every change of a result, right or wrong, so it would hide that no other test fails. The
# test of these lists fails because the text of the fault is gone.
LEFT_OUT = ["--ignore=tests/core/test_bits.py", "--ignore=tests/core/test_mutations.py"]

# Tests that fail soon for most faults of these files; by the longest prefix of the path.
NEAREST = {
    "cpp/kernels/bfloat16": "bfloat16 bfloat16_training",
    "cpp/kernels/simd/denormals": "denormals",
    "cpp/linalg/bfloat16": "bfloat16",
    "cpp/nn/pair_": "bfloat16_training bfloat16_predictions bfloat16_tables",
    "cpp/nn/tabular/": "tabular_network bfloat16_tables realmlp tabm table_targets table_validation",
    "cpp/kernels/": "accuracy ops ties core combinations network trainer",
    "cpp/linalg/": "ops core plain_network combinations validation arguments network trainer threads processes",
    "cpp/nn/": "core epoch_plan ties combinations columns sparse network plain_network trainer sample_weight part_settings "
    "distributed rank_errors bfloat16_training",
    "cpp/bindings/": "core validation arguments network streaming stream_files distributed rank_errors interruption "
    "processes checkpoints",
    "python/fastmlp/": "settings defaults callbacks early_stopping sample_weight",
    "python/fastmlp/network.py": "network ties settings defaults validation arguments checkpoints sparse interruption",
    "python/fastmlp/training_data.py": "validation arguments sample_weight sparse network",
    "python/fastmlp/trainer.py": "trainer streaming stream_files settings defaults callbacks checkpoints validation "
    "arguments",
    "python/fastmlp/trainer_state.py": "checkpoints copies settings trainer",
    "python/fastmlp/trainer_settings.py": "trainer settings defaults validation arguments distributed rank_errors",
    "python/fastmlp/callbacks.py": "early_stopping checkpoint_callback plateau settings defaults",
    "python/fastmlp/epoch_loop.py": "callbacks early_stopping max_seconds trainer progress parity errors additions",
    "python/fastmlp/core_calls.py": "trainer network lbfgs interruption streaming stream_files",
    "python/fastmlp/model_state.py": "model_files checkpoints settings defaults network",
    "python/fastmlp/estimators/": "parity state errors additions combinations ties settings defaults callbacks",
    "python/fastmlp/estimators/ensembles.py": "members settings defaults",
    "python/fastmlp/sweeps.py": "studies settings defaults",
    "python/fastmlp/row_subsets.py": "validation_split ensembles members",
    "python/fastmlp/ensemble": "ensembles ensemble_files",
    "python/fastmlp/workers.py": "many members",
    "python/fastmlp/progress.py": "progress notebooks max_seconds",
    "python/fastmlp/notebook.py": "notebooks",
    "python/fastmlp/history": "notebooks max_seconds callbacks",
    "python/fastmlp/formats/atomic_write.py": "atomic_files",
    "python/fastmlp/formats/model_file.py": "model_files checkpoints ensemble_files",
    "python/fastmlp/formats/checkpoint.py": "checkpoints settings defaults",
    "python/fastmlp/formats/exports.py": "exports model_files state_dicts c_export onnx_export",
    "python/fastmlp/formats/state_dict.py": "state_dicts settings defaults",
    "python/fastmlp/formats/c_source.py": "c_export ties ensemble_files",
    "python/fastmlp/formats/c_ensemble.py": "ensemble_files",
    "python/fastmlp/formats/onnx_graph.py": "onnx_export ties ensemble_files",
    "python/fastmlp/formats/onnx_ensemble.py": "ensemble_files",
    "python/fastmlp/datasets/": "datasets idx mnist",
    "python/fastmlp/distributed/": "distributed rank_errors mpi callbacks",
}


def nearest(path):
    files = {test.stem: test.relative_to(ROOT).as_posix() for test in (ROOT / "tests").rglob("test_*.py")}
    longest = max((prefix for prefix in NEAREST if path.startswith(prefix)), key=len)
    own = f"test_{Path(path).stem}"
    named = [own] if path.startswith("python/") and own in files else []
    return [files[name] for name in [*named, *(f"test_{name}" for name in NEAREST[longest].split())]]


class Copy:
    """A copy of the project with a build of its own."""

    def __init__(self, name, emulated=False):
        self.root, self.build = HOME / f"copy-{name}", HOME / f"copy-{name}-build"
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for name in listed:  # what is there already, and built, stays; what a run that was ended has changed does not
            source, copy = ROOT / name, self.root / name
            if source.is_file() and not (copy.is_file() and copy.read_bytes() == source.read_bytes()):
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, copy)
        for path in [*self.root.rglob("*.py"), *self.root.rglob("*.h"), *self.root.rglob("*.cpp")]:
            if path.relative_to(self.root).as_posix() not in listed:
                path.unlink()
        if not HAS_AVX512 and not emulated:  # then none of its kernels runs: the quickest build will do
            with (self.root / "CMakeLists.txt").open("a") as file:
                file.write("if(FASTMLP_X86)\n  target_compile_options(kernels_avx512 PRIVATE -O0)\nendif()\n")
        pybind11 = subprocess.run(
            [sys.executable, "-m", "pybind11", "--cmakedir"], capture_output=True, text=True
        ).stdout
        self.run(
            "cmake", "-S", self.root, "-B", self.build, "-G", "Ninja", f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.strip()}", "-DCMAKE_MODULE_LINKER_FLAGS=-s",
            f"-DFASTMLP_EMULATE_AVX512={'ON' if emulated else 'OFF'}",
        )  # fmt: skip
        if self.compile():
            raise SystemExit("the project does not build")

    def run(self, *command):
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=True)

    def compile(self):
        """The compiler's errors, or None."""
        result = subprocess.run(["ninja", "-C", self.build, "-j1"], capture_output=True, text=True)
        if result.returncode:
            return result.stdout
        for library in self.build.glob("_core*.so"):
            (self.root / "python" / "fastmlp" / library.name).unlink(missing_ok=True)  # it may be loaded
            shutil.copy2(library, self.root / "python" / "fastmlp")
        return None

    def first_failure(self, tests, minutes=25):
        """The first test that fails, or None."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *LEFT_OUT, *tests]
        environment = {**os.environ, "PYTHONPATH": str(self.root / "python")}
        process = subprocess.Popen(
            command, cwd=self.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            printed, _ = process.communicate(timeout=60 * minutes)
        except subprocess.TimeoutExpired:
            process.kill()
            return "no end in time"
        if process.returncode == 0:
            return None
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", printed, re.M)
        return failed[1] if failed else f"exit status {process.returncode}: {printed[-300:]}"

    def available_isas(self):
        script = "from fastmlp._core import testing; print(*testing.available_isas())"
        environment = {**os.environ, "PYTHONPATH": str(self.root / "python")}
        found = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        return found.stdout.split()

    def outcome(self, fault, near):
        """(killed, survived or invalid; the test or the reason), by the tests near the fault or by all others."""
        ((path, begin, end),) = places(fault, sources(self.root))
        original = path.read_text()
        path.write_text(original[:begin] + fault.replace + original[end:])
        try:
            if path.suffix != ".py" and (errors := self.compile()):
                return "invalid", errors[-1000:]
            close = nearest(path.relative_to(self.root).as_posix())
            found = self.first_failure(close if near else ["tests", *(f"--ignore={test}" for test in close)])
            return ("killed", found) if found else ("survived", "")
        finally:
            path.write_text(original)
            if path.suffix != ".py":
                path.touch()


def digest(*texts):
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def tests_digest():
    paths = sorted(path for path in (ROOT / "tests").rglob("*.py") if path.parent.name != "mutations")
    return digest(*(path.read_text() for path in paths))


def known_results():
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {line["fault"]: line for line in map(json.loads, lines)}


def is_known(result, fault, tests):
    same_fault = result.get("text") == digest(fault.find, fault.replace)
    return same_fault and (result["outcome"] == "killed" or result["tests"] == tests)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("only", nargs="*", help="names of faults; all by default")
    parser.add_argument("--copies", type=int, default=2, help="faults that are tried at the same time")
    parser.add_argument("--again", action="store_true", help="also those whose result is known")
    parser.add_argument("--unchecked", action="store_true", help="do not run the tests without a fault first")
    options = parser.parse_args()
    by_name = {fault.name: fault for fault in all_faults()}
    if unknown := set(options.only) - set(by_name):
        parser.error(f"no faults of these names: {', '.join(sorted(unknown))}")
    chosen = [by_name[name] for name in options.only] or list(by_name.values())
    texts = sources()
    gone = [fault.name for fault in chosen if len(places(fault, texts)) != 1]
    HOME.mkdir(parents=True, exist_ok=True)
    tests, known = tests_digest(), {} if options.again else known_results()
    to_try = [
        fault for fault in chosen if fault.name not in gone and not is_known(known.get(fault.name, {}), fault, tests)
    ]
    results, lock = {fault.name: known[fault.name] for fault in chosen if fault.name in known}, threading.Lock()
    print(f"{len(chosen)} faults, {len(to_try)} to try", flush=True)

    def record(fault, outcome, detail, seconds):
        with lock:
            results[fault.name] = {
                "fault": fault.name,
                "text": digest(fault.find, fault.replace),
                "tests": tests,
                "outcome": outcome,
                "detail": detail,
                "seconds": round(seconds),
            }
            with RESULTS.open("a") as file:
                file.write(json.dumps(results[fault.name]) + "\n")
            print(f"{fault.name:5} {outcome:9} {seconds:5.0f} s  {detail.partition(chr(10))[0][:120]}", flush=True)

    def work(copy, waiting, survivors):
        isas = copy.available_isas()
        while True:
            with lock:
                near = bool(waiting)
                if not waiting and not survivors:
                    return
                fault = (waiting or survivors).popleft()
            begin = time.monotonic()
            if fault.isa and fault.isa not in isas:
                record(fault, "not tried", f"needs {fault.isa}", 0)
                continue
            outcome, detail = copy.outcome(fault, near)
            if near and outcome == "survived":
                print(f"{fault.name:5} survives the tests nearest to it", flush=True)
                survivors.append(fault)
            else:
                record(fault, outcome, detail, time.monotonic() - begin)

    checked = options.unchecked
    for emulated in (False, True):
        part = [fault for fault in to_try if (EMULATES_AVX512 and fault.isa == "avx512") == emulated]
        names = [f"{number}-emulated" if emulated else str(number) for number in range(min(options.copies, len(part)))]
        copies = [Copy(name, emulated) for name in names]
        waiting, survivors = collections.deque(part), collections.deque()
        if copies and not checked and (failed := copies[0].first_failure(["tests"])):
            raise SystemExit(f"without any fault a test fails: {failed}")
        checked = True
        threads = [threading.Thread(target=work, args=(copy, waiting, survivors)) for copy in copies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return report(chosen, gone, results)


def report(chosen, gone, results):
    by_outcome = {}
    for fault in chosen:
        outcome = "gone" if fault.name in gone else results[fault.name]["outcome"]
        by_outcome.setdefault("may live" if outcome == "survived" and fault.lives else outcome, []).append(fault)
    print("\n" + ", ".join(f"{len(faults)} {outcome}" for outcome, faults in sorted(by_outcome.items())))
    for outcome, faults in sorted(by_outcome.items()):
        for fault in faults if outcome != "killed" else ():
            print(f"{outcome}: {fault.name}: {fault.lives or f'{fault.find} -> {fault.replace}'}")
    return int(bool(set(by_outcome) & {"survived", "gone", "invalid"}))


if __name__ == "__main__":
    sys.exit(main())
