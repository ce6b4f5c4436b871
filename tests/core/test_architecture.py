"""The layers of the core: which file may include which, what lives in one place only, what the binary holds."""

import ast
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fastmlp import _core, optimizers

ROOT = Path(__file__).resolve().parents[2]
CPP = ROOT / "cpp"
LAYERS = ["kernels", "linalg", "nn", "bindings"]
SOURCES = sorted(p for p in CPP.rglob("*") if p.suffix in (".h", ".cpp"))


def layer_of(path):
    return path.relative_to(CPP).parts[0]


# Files compiled with the flags of one instruction set; the others are for the core outside the kernels.
PER_ISA = [
    path.relative_to(CPP / "kernels").as_posix()
    for path in SOURCES
    if layer_of(path) == "kernels" and path.stem not in ("dispatch", "denormals")
]


def includes(path):
    return re.findall(r'^#include ([<"].+?[>"])', path.read_text(), re.M)


def test_there_are_sources():
    assert len(SOURCES) > 15
    assert {layer_of(p) for p in SOURCES} == set(LAYERS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_includes_point_down(path):
    layer = LAYERS.index(layer_of(path))
    for include in includes(path):
        if include.startswith('"'):
            target = (path.parent / include.strip('"')).resolve()
            assert target.is_file(), f"{path.name} includes {include}"
            assert LAYERS.index(layer_of(target)) <= layer, f"{path.name} includes a higher layer: {include}"


@pytest.mark.parametrize(
    "pattern, home",
    [
        (r"pybind11", "bindings/"),
        (r"_mm\d*_|__m\d{3}|immintrin|arm_neon|\bv\w+q_(n_)?[fsu]\d\d|(float|int)\d\dx\d_t", "kernels/simd/"),
        (r"#pragma omp|\bomp_\w+\(", "linalg/team.h"),
    ],
)
def test_what_lives_in_one_place_only(pattern, home):
    found = {p.relative_to(CPP).as_posix() for p in SOURCES if re.search(pattern, p.read_text())}
    assert found, f"nothing matches {pattern}"
    assert all(name.startswith(home) for name in found), found


@pytest.mark.parametrize("name", PER_ISA)
def test_files_of_one_instruction_set_share_no_code_with_others(name):
    text = re.sub(r"//.*", "", (CPP / "kernels" / name).read_text())
    allowed = {f"std::{kind}_t" for kind in ("int64", "int32", "uint8", "uint16", "uint32", "uint64")}
    assert set(re.findall(r"std::\w+", text)) <= allowed
    assert not re.search(r"\b(throw|try|catch|new|delete)\b", text)
    for include in includes(CPP / "kernels" / name):
        if include not in ("<cstdint>", "<immintrin.h>", "<arm_neon.h>"):
            target = ((CPP / "kernels" / name).parent / include.strip('"')).resolve()
            assert target.relative_to(CPP / "kernels").as_posix() in PER_ISA


@pytest.mark.parametrize("path", sorted(ROOT.glob("python/fastmlp/**/*.py")), ids=lambda p: p.name)
def test_no_check_is_gone_with_python_O(path):
    tree = ast.parse(path.read_text())
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert "__debug__" not in path.read_text()


def test_no_source_file_is_longer_than_450_lines():
    files = [*SOURCES, *(ROOT / "python").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")]
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in files}
    assert len(lengths) > 100
    assert {path: lines for path, lines in lengths.items() if lines > 450} == {}


def test_every_file_says_what_it_is_for():
    scripts = [
        path
        for folder in ("python/fastmlp", "experiments", "examples", "tests")
        for path in ROOT.glob(f"{folder}/**/*.py")
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


KERNEL_FILES = [
    *((name, file) for name in INSTRUCTION_SETS for file in ("kernels", "bfloat16")),
    *([("avx512bf16", "bfloat16"), ("amx", "amx")] if MACHINE == "x86_64" else []),
]


@pytest.mark.parametrize("instruction_set, file", KERNEL_FILES)
def test_kernels_export_nothing_outside_their_namespace(instruction_set, file):
    """A weak symbol built with AVX-512 flags may become the only copy, and crash older processors."""
    found = objects(f"kernels_{instruction_set}.dir/**/{file}.cpp.o")
    if not found and instruction_set in ("avx512bf16", "amx"):
        pytest.skip(f"the compiler does not know {instruction_set}")
    (path,) = found
    symbols = [line.split(maxsplit=2) for line in output_of("nm", "-C", "--defined-only", str(path)).splitlines()]
    visible = [name for _, kind, name in symbols if kind not in "tr" or kind in "VWu"]
    exported = {"kernels": "table", "bfloat16": "bfloat16", "amx": "products"}[file]
    assert any(f"fastmlp::{instruction_set}::{exported}" in name for name in visible)
    strangers = [name for name in visible if f"fastmlp::{instruction_set}::" not in name]
    assert not strangers


@pytest.mark.skipif(sys.platform != "linux", reason="nm prints other formats in other ways")
def test_the_module_exports_its_entry_only():
    """Symbols of a C++ library that is linked in would replace those of another version in modules loaded later."""
    lines = output_of("nm", "-D", "--defined-only", _core.__file__).splitlines()
    assert [line.split()[-1] for line in lines] == ["PyInit__core"]


@on_x86
def test_baseline_objects_hold_no_avx():
    paths = [*objects("core.dir/**/*.o"), *objects("_core.dir/**/*.o"), *objects("kernels_generic.dir/**/*.o")]
    assert len(paths) >= 10
    for path in paths:
        assembly = output_of("objdump", "-d", "--no-show-raw-insn", str(path))
        assert not re.search(r"%[yz]mm\d|\tv[a-z]+[sp][sd] ", assembly), path.name


@on_x86
def test_avx512_objects_hold_avx512():
    """The twin of the test above: its pattern finds AVX where there is some."""
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
            r"(gemm_tile|gemm_sparse|outer_tile|outer_update|outer_overlap)_kernel<(float|double), (\d+), ([12])[,>]",
            function,
        )
        multiply_adds = sum(bool(re.match("vfmadd|fmla", instruction)) for instruction in instructions)
        if not tile or not multiply_adds or any(re.search("sqrt|fcmgt", instruction) for instruction in instructions):
            continue  # with roots or comparisons: updates, after the iterations of k
        kind, dtype, rows, vectors = tile.groups()
        assert multiply_adds % (int(rows) * int(vectors)) == 0, function
        stores = [
            instruction
            for instruction in instructions
            if re.match(r"v?mov\w+\s+%[xyz]mm\d+,[^%]*\(%r[sb]p|st[rpu]+\s+q.*\[sp", instruction)
        ]
        assert not stores, f"{function} spills in its inner loop: {stores[0]}"
        found.add((kind, dtype, int(rows), int(vectors)))
    kinds = ("gemm_tile", "gemm_sparse", "outer_tile", "outer_update", "outer_overlap")
    missing = {
        (k, d, r, v) for k in kinds for d in ("float", "double") for r in range(1, tile_rows + 1) for v in (1, 2)
    } - found
    assert not missing, f"no inner loop found in {sorted(missing)[:4]}"


@on_x86
def test_sums_of_bfloat16_stay_in_registers():
    found = objects("kernels_avx512bf16.dir/**/bfloat16.cpp.o")
    if not found or gcc_version(found[0]) < KNOWN_GCC:
        pytest.skip(f"not built by GCC {KNOWN_GCC} or newer: another compiler may lack the instruction, or spill")
    tiles = set()
    for function, instructions in innermost_loops(
        output_of("objdump", "-d", "-C", "--no-show-raw-insn", str(found[0]))
    ):
        tile = re.search(r"chain_tile<(\d+), ([12]), (?:true|false)>", function)
        if not tile:
            continue
        rows, vectors = int(tile[1]), int(tile[2])
        products = sum(instruction.startswith("vdpbf16ps") for instruction in instructions)
        if not products:
            continue
        assert products % (rows * vectors) == 0, function
        assert not any(re.match(r"vmov\w+\s+%zmm\d+,[^%]*\(%r[sb]p", instruction) for instruction in instructions)
        tiles.add((rows, vectors))
    assert tiles == {(rows, vectors) for rows in range(1, TILE_ROWS["avx512"] + 1) for vectors in (1, 2)}


MODULES = sorted((ROOT / "python" / "fastmlp").rglob("*.py"))


def module_name(path):
    parts = path.relative_to(ROOT / "python").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path): path for path in MODULES}


def imported_modules(path):
    """Modules of the package that a file imports, also inside functions; not for type checkers alone."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            source = f"{base}.{node.module}" if node.module else base
            for alias in node.names:
                if alias.name == "_core":  # the extension, which imports nothing
                    continue
                yield f"{source}.{alias.name}" if f"{source}.{alias.name}" in NAMES else source
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
            yield from (name for name in names if name.partition(".")[0] == "fastmlp")


def test_no_import_cycles():
    imports = {name: set(imported_modules(path)) & NAMES.keys() - {name} for name, path in NAMES.items()}
    assert "fastmlp.network" in imports["fastmlp.trainer"] and "fastmlp.validation" in imports["fastmlp.network"]
    left = dict(imports)
    while free := [name for name, needed in left.items() if not needed & left.keys()]:
        for name in free:
            del left[name]
    assert not left, {name: sorted(needed & left.keys()) for name, needed in left.items()}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_use_of_another_object_s_underscore_members_across_files(path):
    """`x._name` is fine for self and cls, and where this file itself defines _name."""
    tree = ast.parse(path.read_text())
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            own |= {target.id for target in targets if isinstance(target, ast.Name)}
    foreign = [
        f"{node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and re.match(r"_[^_]", node.attr)
        and node.attr not in own
        and ast.unparse(node.value) not in ("self", "cls", "super()")
    ]
    assert not foreign


ROWS = {  # the files that may name parts: their own rows
    "python": ["activations.py", "losses.py", "optimizers.py"],
    "cpp": ["parts.h", "activations.h", "losses.h", "updates.h"],
}


def part_names():
    names = set()
    for table in ROWS["python"]:
        tree = ast.parse((ROOT / "python" / "fastmlp" / table).read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
        names |= {
            call.args[0].value
            for call in calls
            if isinstance(call.func, ast.Name)
            and call.func.id in ("Activation", "Loss", "Optimizer")
            and isinstance(call.args[0], ast.Constant)
        }
    return names


def test_optimizers_that_share_a_setting_share_its_default_and_range():
    for row in optimizers.TABLE.values():
        for name, setting in row.settings.items():
            assert optimizers.SETTINGS[name] == setting, f"{row.name}, {name}"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_python_file_but_its_row_compares_with_a_part_s_name(path):
    names = part_names()
    assert {"relu", "poisson", "adam"} <= names
    if path.name in ROWS["python"]:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        compared = node.comparators + [node.left] if isinstance(node, ast.Compare) else []
        compared += (
            [case.pattern.value for case in node.cases if isinstance(case.pattern, ast.MatchValue)]
            if isinstance(node, ast.Match)
            else []
        )
        for value in (leaf for each in compared for leaf in ast.walk(each)):
            assert not (isinstance(value, ast.Constant) and value.value in names), (
                f"line {node.lineno}: {value.value!r}"
            )


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_no_cpp_file_but_its_struct_compares_with_a_part(path):
    if path.name in ROWS["cpp"]:
        return
    text = re.sub(r"//.*", "", path.read_text())
    part = r"(Activation|Loss|UpdateKind)::(?!count)\w+"
    assert not re.search(rf"[=!]=\s*{part}|{part}\s*[=!]=|case\s+{part}", text)
