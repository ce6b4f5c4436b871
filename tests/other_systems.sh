#!/usr/bin/env bash
# The tests on another processor: the core built for 64-bit ARM and run by an emulator. `make aarch64` calls it.
# Needs Debian with g++-aarch64-linux-gnu and qemu-user-static. Debian's Python for ARM, of the system's version, is
# unpacked below build/aarch64 and not installed. Takes some twenty minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in aarch64-linux-gnu-g++ qemu-aarch64-static apt-get dpkg; do
    command -v "$tool" > /dev/null && continue
    echo "no $tool: apt-get install g++-aarch64-linux-gnu qemu-user-static" >&2
    exit 1
done
host=$PWD/.venv/bin/python
version=$(apt-cache depends python3-minimal | grep -oP 'python\K3\.\d+(?=-minimal)' | head -1)
home=$PWD/build/aarch64 && root=$home/root && python=$home/python
mkdir -p "$home"/{apt/lists,apt/cache,packages,site/fastmlp} "$root"

echo "== Python $version and its packages"
arm=(-o Dir::State="$home/apt" -o Dir::State::status=/dev/null -o Dir::Cache="$home/apt/cache"
     -o APT::Architecture=arm64 -o APT::Architectures=arm64 -qq)
apt-get "${arm[@]}" update
(cd "$home/packages" && apt-get "${arm[@]}" download libc6 libgcc-s1 libstdc++6 libgomp1 zlib1g libexpat1 libbz2-1.0 \
    liblzma5 libffi8 libssl3 libcrypt1 libuuid1 libsqlite3-0 \
    "python$version-minimal" "libpython$version-minimal" "libpython$version-stdlib" "libpython$version-dev")
for package in "$home"/packages/*.deb; do dpkg -x "$package" "$root"; done
printf '#!/bin/sh\nexec qemu-aarch64-static -L %s %s/usr/bin/python%s "$@"\n' "$root" "$root" "$version" > "$python"
chmod +x "$python"
"$host" -m pip install --quiet --disable-pip-version-check --upgrade --target "$home/site" --only-binary=:all: \
    --python-version "$version" --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 numpy pytest pytest-timeout hypothesis \
    safetensors
"$host" -m pip install --quiet --disable-pip-version-check --target "$home/build" --upgrade cmake ninja pybind11

echo "== the core"
PATH=$home/build/bin:$PATH PYTHONPATH=$home/build cmake -S . -B "$home/objects" -G Ninja --log-level=NOTICE \
    -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
    -DCMAKE_CXX_FLAGS="-isystem $root/usr/include" -DPython_EXECUTABLE="$python" \
    -DPython_INCLUDE_DIR="$root/usr/include/python$version" -Dpybind11_DIR="$home/build/pybind11/share/cmake/pybind11"
PATH=$home/build/bin:$PATH PYTHONPATH=$home/build cmake --build "$home/objects"
cp -r python/fastmlp "$home/site/"
cp "$home"/objects/_core*.so "$home/site/fastmlp/"

echo "== the tests, on NEON and on generic code"
# Not test_processes.py, whose time limits are for a processor. Tests start their subprocesses by sys.executable:
# without a binfmt handler that must be the emulator.
PYTHONPATH=$home/site "$python" -c '
import sys, pytest
sys.executable = sys.argv[1]
sys.exit(pytest.main(sys.argv[2:]))' "$python" -q -p no:cacheprovider --timeout=7200 \
    tests/core/test_ops.py tests/core/test_network.py tests/core/test_threads.py tests/training/test_trainer.py \
    tests/formats/test_model_files.py
