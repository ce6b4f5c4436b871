"""What this installation is: version, instruction set, threads."""

from __future__ import annotations

from typing import Any, Literal, overload

from . import _core
from .threads import default_thread_count
from .version import __version__


@overload
def show_config(mode: Literal["stdout"] = ...) -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...
def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Print what this installation is and what it would use now, or return it.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        As in ``numpy.show_config``: print, or return a dict with the keys version, instruction_set, instruction_sets,
        bfloat16 and bfloat16_amx (of these precisions: "native" where the processor multiplies so, otherwise "emulated",
        with the same results), openmp (whether OMP_NUM_THREADS and threadpoolctl limit the threads) and threads.
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"mode must be 'stdout' or 'dicts', got {mode!r}")
    config = {
        "version": __version__,
        "instruction_set": _core.current_isa(),
        "instruction_sets": _core.available_isas(),
        **{order.name: "native" if _core.multiplies_bfloat16(order) else "emulated" for order in _core.PairOrder},
        "openmp": _core.has_openmp(),
        "threads": default_thread_count(),
    }
    if mode == "dicts":
        return config
    for name, value in config.items():
        print(f"{name + ':':18}{', '.join(value) if isinstance(value, list) else value}")
    return None
