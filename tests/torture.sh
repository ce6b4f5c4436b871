#!/usr/bin/env bash
# The long test run: sanitizers, failing allocations, kills, cycles. `make torture` calls it; needs GCC on Linux.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
export PYTEST_TIMEOUT=7200  # seconds, in place of the 600 of pyproject.toml: sanitizers and cycles are ten times slower

# variant NAME CMAKE-OPTIONS...: another build of the package, in build/NAME, which comes before the installed one.
variant() {
    local name=$1
    shift
    echo "== building $name"
    rm -rf "build/$name"
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "build/$name" \
        --config-settings=build-dir="build/$name-objects" --config-settings=install.strip=false \
        $(for option in "$@"; do echo "--config-settings=cmake.define.$option"; done) .
}
library() { gcc -print-file-name="$1"; }

variant sanitized FASTMLP_SANITIZE=address,undefined
echo "== the whole suite under AddressSanitizer and UndefinedBehaviorSanitizer"
LD_PRELOAD="$(library libasan.so) $(library libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=$PWD/build/sanitized \
    "$python" -m pytest -q tests

variant threads FASTMLP_SANITIZE=thread FASTMLP_OPENMP=OFF
echo "== threads under ThreadSanitizer"
# But for the test that reads a network while it is fitted, on purpose: it gets old and new weights.
LD_PRELOAD="$(library libtsan.so)" TSAN_OPTIONS=halt_on_error=1 OPENBLAS_NUM_THREADS=1 PYTHONPATH=$PWD/build/threads \
    "$python" -m pytest -q tests/core/test_network.py tests/robustness/test_interruption.py \
    tests/training/test_{many,trainer,sparse,distributed,rank_errors,streaming,stream_files}.py \
    tests/tabular/test_{tabular_network,bfloat16_tables}.py \
    --deselect tests/robustness/test_interruption.py::test_gradients_on_the_side_leave_a_fit_alone

variant failing FASTMLP_FAIL_ALLOCATIONS=ON
echo "== each allocation fails once"
PYTHONPATH=$PWD/build/failing "$python" -m pytest -q tests/core/test_allocation_failures.py

echo "== two hundred kills, ten thousand cycles"
FASTMLP_KILLS=200 FASTMLP_CYCLES=10000 "$python" -m pytest -q tests/formats/test_atomic_files.py \
    tests/robustness/test_leaks.py

if command -v clang++ > /dev/null && command -v llvm-profdata > /dev/null && command -v llvm-cov > /dev/null; then
    CXX=clang++ CXXFLAGS="-fprofile-instr-generate -fcoverage-mapping" variant coverage FASTMLP_OPENMP=OFF
    echo "== which lines of the core the suite runs"
    rm -rf build/coverage-runs
    # A file for each process: one that is killed while it adds to a file of all would spoil that.
    LLVM_PROFILE_FILE=$PWD/build/coverage-runs/%p.profraw PYTHONPATH=$PWD/build/coverage \
        "$python" -m pytest -q tests --deselect tests/robustness/test_package.py::test_the_installed_package_is_small
    llvm-profdata merge --sparse --failure-mode=all build/coverage-runs/*.profraw -o build/coverage.profdata
    llvm-cov report build/coverage/fastmlp/_core*.so --instr-profile=build/coverage.profdata cpp
fi
