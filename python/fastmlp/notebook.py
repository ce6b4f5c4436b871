"""Notebooks: whether this process serves one, and the progress bar that is shown there."""

from __future__ import annotations

import sys
from typing import Any


def is_kernel() -> bool:
    """Whether this process is the kernel of a notebook. IPython is never imported for this."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if hasattr(ipython, "get_ipython") else None
    return "IPKernelApp" in getattr(shell, "config", ())  # not in a terminal's


def progress_bar(total: int, unit: str) -> Any:
    """A bar of tqdm for so many units, such as epochs; None outside notebooks, and without tqdm."""
    if not is_kernel():
        return None
    try:
        from tqdm.auto import tqdm

        return tqdm(total=total, unit=unit)
    except Exception:  # not installed, or without the widgets that it needs: no reason to end a fit
        return None
