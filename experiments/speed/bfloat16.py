"""What do products in bfloat16 gain, in fastmlp, PyTorch and JAX?

Nothing is measured where the processor does not multiply bfloat16: all of them are slower there than in float32.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import fastmlp
from harness.figures import panels
from harness.jobs import Job
from harness.number_text import listing, significant
from harness.run import Run, Sizes
from harness.tables import Row, Table, Tables
from matplotlib.figure import Figure as Drawing

from speed import libraries, speed_vs_rivals
from speed.timing import Case, Processes, Timing

PRECISIONS = ("bfloat16", "bfloat16_amx")  # of fastmlp: two orders of sums, of two kinds of processors
RIVALS = ("PyTorch", "JAX")
OURS = "fastmlp"
CASES = {
    **{name: speed_vs_rivals.CASES[name] for name in "ABCDE"},
    "J": Case((784, 512, 384, 10), 1024),
    "K": Case((784, 2048, 2048, 10), 256, rows=5120),
}
STYLES = {name: speed_vs_rivals.MARKERS[name] for name in (OURS, *RIVALS)}  # hollow: float32

ALL_KINDS = (
    *((OURS, precision) for precision in ("float32", *PRECISIONS)),
    *((name, precision) for name in RIVALS for precision in ("float32", PRECISIONS[0])),
)

SIZES = Sizes(
    seconds=(6, 40, 600),
    cases=(("A",), ("A", "D", "J"), tuple(CASES)),
    rounds=(1, 2, 7),
    max_rows=(1000, 4096, 20000),  # of a case, unless its batch is larger
)


def native_precisions() -> list[str]:
    """Those of fastmlp whose products this processor has."""
    config = fastmlp.show_config("dicts")
    return [precision for precision in PRECISIONS if config[precision] == "native"]


def name_of(library: str, precision: str) -> str:
    return f"{library} {precision}" if precision else library


def notices() -> list[str]:
    if not native_precisions():
        return ["This processor does not multiply bfloat16: nothing is measured."]
    return libraries.notices_of_missing(RIVALS)


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    native = native_precisions()
    if not native:
        return []
    kinds = [(OURS, ""), *((OURS, precision) for precision in native)]
    kinds += [
        (name, precision) for name in RIVALS if name in libraries.installed() for precision in ("", PRECISIONS[0])
    ]
    timers = Processes({name_of(*kind): (kind[0], "", kind[1]) for kind in kinds}, run.processes)

    def job(name: str) -> Job:
        case = CASES[name]
        case = dataclasses.replace(case, rows=min(case.rows, max(sizes.max_rows, case.batch_size)))
        configuration = {**asdict(case), "threads": fastmlp.show_config("dicts")["threads"], "rounds": sizes.rounds}
        return Job(
            {**configuration, "kinds": kinds},
            lambda: timers.time(case, [name_of(*kind) for kind in kinds], sizes.rounds, *case.random_data()),
            lambda result: {"speed": _rows(name, Timing.of(case, result), kinds)},
        )

    return [job(name) for name in sizes.cases]


def _rows(name: str, timing: Timing, kinds: Sequence[tuple[str, str]]) -> list[Row]:
    return [
        {
            **{"case": name, "net": timing.case.net, "batch": timing.case.batch_size},
            **{"library": library, "precision": precision or "float32"},
            "ms_per_epoch": float(f"{1e3 * timing.median_seconds(name_of(library, precision)):.4g}"),
            "times_float32": float(f"{timing.ratio(name_of(library, precision), OURS):.4g}"),
        }
        for library, precision in kinds
    ]


def best(speed: Table) -> dict[str, dict[str, float]]:
    """Of each case and library: the seconds with bfloat16, those of its quicker precision, over fastmlp's with float32."""
    found: dict[str, dict[str, float]] = {}
    for row in speed.rows():
        if row["precision"] != "float32":
            of_case = found.setdefault(row["case"], {})
            of_case[row["library"]] = min(row["times_float32"], of_case.get(row["library"], float("inf")))
    return found


def numbers(t: Tables) -> dict[str, Any]:
    if "speed" not in t.tables:
        return {"answer": "Nothing was measured on this processor.", "cases": "no"}
    ratios = best(t["speed"])
    gains = [1 / of_case[OURS] for of_case in ratios.values()]
    parts = [f"fastmlp trains {_range(gains)} times as fast in bfloat16 as in float32"]
    for name in RIVALS:
        over = [of_case[name] / of_case[OURS] for of_case in ratios.values() if name in of_case]
        parts += [f"{name} in bfloat16 takes {_range(over)} times as long as fastmlp"] if over else []
    return {"answer": f"{listing(parts)}.", "cases": str(len(ratios))}


def _range(values: Sequence[float]) -> str:
    low, high = (significant(each, 2) for each in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def views(t: Tables) -> dict[str, list[Row]]:
    """A row per case: milliseconds, and in brackets the times of fastmlp's in float32."""
    if "speed" not in t.tables:
        return {"cases": []}
    lines = []
    for part in t["speed"].groups("case").values():
        rows = part.rows()
        cells = {
            column(row["library"], row["precision"]): (
                f"{significant(row['ms_per_epoch'], 3)} ({significant(row['times_float32'], 2)})"
            )
            for row in rows
        }
        empty = {column(*kind): "" for kind in ALL_KINDS}
        lines.append({**empty, "net": rows[0]["net"], "batch": rows[0]["batch"], **cells})
    return {"cases": lines}


def column(library: str, precision: str) -> str:
    """Of the page's table."""
    return f"{library}_{precision}"


def figures(t: Tables) -> dict[str, Drawing]:
    """One row per case: how many times as fast as fastmlp in float32, of each library in both precisions."""
    if "speed" not in t.tables:
        return {}
    cases = t["speed"].groups("case")
    drawing, axes = panels(1, 1, (8.4, 1.5 + 0.4 * len(cases)))
    ax = axes[0, 0]
    for library, style in STYLES.items():
        for precisions, face in ((("float32",), "white"), (PRECISIONS, style["color"])):
            marks = []
            for place, part in enumerate(cases.values()):
                ratios = [
                    row["times_float32"]
                    for row in part.rows()
                    if row["library"] == library and row["precision"] in precisions
                ]
                marks += [(1 / min(ratios), place)] if ratios else []
            if marks:
                label = f"{library}, {'float32' if face == 'white' else 'bfloat16'}"
                ax.plot(*zip(*marks), linestyle="none", label=label, markerfacecolor=face, clip_on=False, **style)
    names = [f"{name}:  {part['net'][0]}, batch {part['batch'][0]}" for name, part in cases.items()]
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="speed over fastmlp in float32", xlim=(0, None), ylim=(len(names) - 0.5, -0.5))
    drawing.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3, handletextpad=0.2)
    return {"speed": drawing}
