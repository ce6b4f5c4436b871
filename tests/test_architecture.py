"""The floors of the core: who may include whom, what lives in one place only, what the binary holds."""

import ast
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CPP = ROOT / "cpp"
FLOORS = ["kernels", "linalg", "nn", "bindings"]
SOURCES = sorted(p for p in CPP.rglob("*") if p.suffix in (".h", ".cpp"))
# Files compiled with the flags of one instruction set.
PER_ISA = ["simd.h", "gemm_kernel.h", "elementwise_kernels.h", "kernels.cpp", "kernel_table.h", "update_step.h"]


def includes(path):
    return re.findall(r'^#include ([<"].+?[>"])', path.read_text(), re.M)


def test_there_are_sources():
    assert len(SOURCES) > 15
    assert {p.parent.name for p in SOURCES} == set(FLOORS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_includes_point_downstairs(path):
    floor = FLOORS.index(path.parent.name)
    for include in includes(path):
        if include.startswith('"'):
            target = (path.parent / include.strip('"')).resolve()
            assert target.is_file(), f"{path.name} includes {include}"
            assert FLOORS.index(target.parent.name) <= floor, f"{path.name} looks upstairs: {include}"


@pytest.mark.parametrize(
    "pattern, home",
    [
        (r"pybind11", "bindings/"),
        (r"_mm\d*_|__m\d{3}|immintrin|arm_neon|\bv\w+q_(n_)?[fsu]\d\d|(float|int)\d\dx\d_t", "kernels/simd.h"),
        (r"#pragma omp|\bomp_\w+\(", "linalg/parallel.h"),
    ],
)
def test_what_lives_in_one_place_only(pattern, home):
    found = {p.relative_to(CPP).as_posix() for p in SOURCES if re.search(pattern, p.read_text())}
    assert found, f"nothing matches {pattern}"
    assert all(name.startswith(home) for name in found), found


@pytest.mark.parametrize("name", PER_ISA)
def test_files_of_one_instruction_set_share_no_code_with_others(name):
    text = re.sub(r"//.*", "", (CPP / "kernels" / name).read_text())
    allowed = {"std::int64_t", "std::int32_t", "std::uint8_t", "std::uint32_t", "std::uint64_t"}
    assert set(re.findall(r"std::\w+", text)) <= allowed
    assert not re.search(r"\b(throw|try|catch|new|delete)\b", text)
    for include in includes(CPP / "kernels" / name):
        assert include in ("<cstdint>", "<immintrin.h>", "<arm_neon.h>") or include.strip('"') in PER_ISA


@pytest.mark.parametrize("path", sorted(ROOT.glob("python/fastmlp/*.py")), ids=lambda p: p.name)
def test_no_check_is_gone_with_python_O(path):
    tree = ast.parse(path.read_text())
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert "__debug__" not in path.read_text()


def test_every_file_says_what_it_is_for():
    scripts = [
        path
        for folder in ("python/fastmlp", "experiments", "examples", "tests")
        for path in (ROOT / folder).rglob("*.py")
    ]
    for path in [*SOURCES, *scripts]:
        first = path.read_text().splitlines()[0]
        assert first.startswith(("// ", '"""')) and len(first) > 20, path


def objects(pattern):
    """Object files of the newest build that `pip install .` has left in build/, by the tag of its wheel."""
    if sys.platform != "linux":
        pytest.skip("nm and objdump print other formats of object files in other ways")
    found = sorted(ROOT.glob(f"build/cp*/CMakeFiles/{pattern}"), key=lambda p: p.stat().st_mtime)
    if not found:
        pytest.skip("no object files in build/: the package was not built from this checkout")
    newest = found[-1].parts[len(ROOT.parts) + 1]
    return [p for p in found if p.parts[len(ROOT.parts) + 1] == newest]


MACHINE = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
INSTRUCTION_SETS = {"x86_64": ["generic", "avx2", "avx512"], "aarch64": ["generic", "neon"]}.get(MACHINE, ["generic"])
TILE_ROWS = {"avx2": 6, "avx512": 14, "neon": 10}
KNOWN_GCC = 12  # the oldest one whose output was read
on_x86 = pytest.mark.skipif(MACHINE != "x86_64", reason="AVX is x86-64's")


def output_of(tool, *arguments):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    return subprocess.run([tool, *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS)
def test_kernels_export_nothing_outside_their_namespace(instruction_set):
    """A weak symbol built with AVX-512 flags may become everybody's copy, and crash older processors."""
    (path,) = objects(f"kernels_{instruction_set}.dir/**/kernels.cpp.o")
    symbols = [line.split(maxsplit=2) for line in output_of("nm", "-C", "--defined-only", str(path)).splitlines()]
    visible = [name for _, kind, name in symbols if kind not in "tr" or kind in "VWu"]
    assert any(f"fastmlp::{instruction_set}::table" in name for name in visible)
    strangers = [name for name in visible if f"fastmlp::{instruction_set}::" not in name]
    assert not strangers


@on_x86
def test_baseline_objects_hold_no_avx():
    paths = [*objects("core.dir/**/*.o"), *objects("_core.dir/**/*.o"), *objects("kernels_generic.dir/**/*.o")]
    assert len(paths) >= 10
    for path in paths:
        assembly = output_of("objdump", "-d", "--no-show-raw-insn", str(path))
        assert not re.search(r"%[yz]mm\d|\tv[a-z]+[sp][sd] ", assembly), path.name


@on_x86
def test_avx512_objects_hold_avx512():
    """The twin of the test above: its pattern finds what it looks for."""
    (path,) = objects("kernels_avx512.dir/**/kernels.cpp.o")
    assert re.search(r"\tv[a-z0-9]+[sp][sd] .*%zmm\d", output_of("objdump", "-d", "--no-show-raw-insn", str(path)))


def innermost_loops(disassembly):
    """(function, instructions) of each loop that holds no other, from `objdump -d`."""
    for function in re.split(r"\n(?=[0-9a-f]+ <)", disassembly):
        name = function.partition("\n")[0]
        lines = re.findall(r"^\s*([0-9a-f]+):\s+(.*)$", function, re.M)
        addresses = [int(address, 16) for address, _ in lines]
        loops = []
        for i, (_, instruction) in enumerate(lines):
            jump = re.match(r"(?:j\w+|b(?:\.\w+)?|cbn?z\s+\w+,)\s+([0-9a-f]+) <", instruction)
            if jump and int(jump[1], 16) in addresses[: i + 1]:
                loops.append((addresses.index(int(jump[1], 16)), i))
        for begin, end in loops:
            if not any((b, e) != (begin, end) and begin <= b and e <= end for b, e in loops):
                yield name, [instruction for _, instruction in lines[begin : end + 1]]


def gcc_version(path):
    """The major version of the GCC that made an object file; 0 for another compiler."""
    found = re.search(r"GCC: \(.*\) (\d+)\.", output_of("readelf", "-p", ".comment", str(path)))
    return int(found[1]) if found else 0


@pytest.mark.skipif(MACHINE not in ("x86_64", "aarch64"), reason="the kernels of this machine are generic")
@pytest.mark.parametrize("instruction_set", [name for name in TILE_ROWS if name in INSTRUCTION_SETS] or ["none"])
def test_accumulators_stay_in_registers(instruction_set):
    """A vector stored on the stack inside the loop over k is a spilled accumulator: a tile at a third of its speed.

    The compiler's output is the same on every machine, however busy; a timed test would not be.
    """
    (path,) = objects(f"kernels_{instruction_set}.dir/**/kernels.cpp.o")
    if gcc_version(path) < KNOWN_GCC:
        pytest.skip(f"not built by GCC {KNOWN_GCC} or newer: another compiler may spill, which is slower but not wrong")
    tile_rows = TILE_ROWS[instruction_set]
    disassembly = output_of("objdump", "-d", "-C", "--no-show-raw-insn", str(path))
    found = set()
    for function, instructions in innermost_loops(disassembly):
        tile = re.search(
            r"(gemm_tile|gemm_sparse|outer_tile|outer_sgd|outer_adam)_kernel<(float|double), (\d+), ([12])>", function
        )
        multiply_adds = sum(bool(re.match("vfmadd|fmla", instruction)) for instruction in instructions)
        if not tile or not multiply_adds or any(re.search("sqrt|fcmgt", instruction) for instruction in instructions):
            continue  # with roots or comparisons: updates, when the steps are done
        kind, dtype, rows, vectors = tile.groups()
        assert multiply_adds % (int(rows) * int(vectors)) == 0, function
        stores = [
            instruction
            for instruction in instructions
            if re.match(r"v?mov\w+\s+%[xyz]mm\d+,[^%]*\(%r[sb]p|st[rpu]+\s+q.*\[sp", instruction)
        ]
        assert not stores, f"{function} spills in its inner loop: {stores[0]}"
        found.add((kind, dtype, int(rows), int(vectors)))
    kinds = ("gemm_tile", "gemm_sparse", "outer_tile", "outer_sgd", "outer_adam")
    missing = {
        (k, d, r, v) for k in kinds for d in ("float", "double") for r in range(1, tile_rows + 1) for v in (1, 2)
    } - found
    assert not missing, f"no inner loop found in {sorted(missing)[:4]}"
