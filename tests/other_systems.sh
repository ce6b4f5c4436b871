#!/usr/bin/env bash
# The core on other systems: built by a cross compiler, and run by QEMU or Wine. `make SYSTEM` calls it.
# On each system self_test (tests/native) trains networks with its kernels; on aarch64 the tests of Python run, too, which
# takes some twenty minutes. Needs Debian with the compiler and the emulator that it names. Debian's Python for ARM, of the
# system's version, is unpacked below build/aarch64 and not installed.
set -euo pipefail
cd "$(dirname "$0")/.."
system=${1:?aarch64, riscv64, ppc64le or windows}
case $system in
    aarch64) compiler=aarch64-linux-gnu-g++ packages="g++-aarch64-linux-gnu qemu-user-static" ;;
    riscv64) compiler=riscv64-linux-gnu-g++ packages="g++-riscv64-linux-gnu qemu-user-static" ;;
    ppc64le) compiler=powerpc64le-linux-gnu-g++ packages="g++-powerpc64le-linux-gnu qemu-user-static" ;;
    windows) compiler=x86_64-w64-mingw32-g++-posix packages="g++-mingw-w64-x86-64-posix wine64" ;;
    *) echo "$system: aarch64, riscv64, ppc64le or windows" >&2 && exit 1 ;;
esac
if [ "$system" = windows ]; then
    name=Windows run=(wine) file=self_test.exe
    export WINEPREFIX=$PWD/build/windows/wine WINEDEBUG=-all
else
    name=Linux run=("qemu-$system-static") file=self_test
fi
for tool in "$compiler" "${run[0]}" cmake; do
    command -v "$tool" > /dev/null && continue
    echo "no $tool: apt-get install cmake $packages" >&2
    exit 1
done

echo "== the kernels on $system"
mkdir -p "build/$system"
# Linked statically, so that the compiler's libraries need not be found by the emulator.
cmake -S . -B "build/$system/self_test" --log-level=NOTICE -DFASTMLP_SELF_TEST=ON -DFASTMLP_OPENMP=OFF \
    -DCMAKE_SYSTEM_NAME=$name -DCMAKE_SYSTEM_PROCESSOR="$system" -DCMAKE_CXX_COMPILER="$compiler" \
    -DCMAKE_EXE_LINKER_FLAGS=-static
cmake --build "build/$system/self_test"
"${run[@]}" "build/$system/self_test/$file"
[ "$system" = aarch64 ] || exit 0

for tool in apt-get dpkg; do
    command -v "$tool" > /dev/null || { echo "no $tool: needs Debian" >&2 && exit 1; }
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
