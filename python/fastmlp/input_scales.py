"""Warnings of inputs whose scale is wrong for their network."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import validation


def warn_of_scale(X: Any, network: Any, *, trains: bool = True) -> None:
    """Images without a scale, or scaled twice: a fit hardly ever succeeds on them. A few rows are looked at.

    Parameters
    ----------
    trains : bool
        Of a fit; otherwise only bytes are looked for, in rows to evaluate.
    """
    dtype, scale = getattr(X, "dtype", None), network.input_scale
    is_bytes = dtype == np.uint8
    is_numeric = getattr(dtype, "kind", "") in ("i", "u", "f") and getattr(X, "ndim", 0) == 2
    if network.standardize or not is_numeric or not (trains or is_bytes):
        return
    values = X.tocsr().data if hasattr(X, "tocsr") else X  # the maximum of a sparse matrix would change it
    some = np.asarray(values[:: max(1, len(values) // 64)])
    largest = max(float(some.max()), -float(some.min())) if some.size else 0.0
    if scale == 1 and dtype.kind in "iu" and largest > 127:
        more = "" if is_bytes else ", and standardize=True for tables"
        validation.warn(
            f"X is {dtype} with values above 127 and the network's input_scale is 1: pass input_scale=1/255 to Network for"
            f" images{more}"
        )
    if trains and abs(scale) < 0.1 and 0 < largest <= 1:
        validation.warn(
            f"X is within [-1, 1] and the network's input_scale is {scale:.3g}, which scales it again: leave it out of Network"
        )
