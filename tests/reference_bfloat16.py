"""The arithmetic of bfloat16 in NumPy: how numbers are rounded, and the chain of sums of a product."""

import numpy as np

SMALLEST = np.float32(2.0**-126)  # normal number


def rounded(x):
    """float32 arrays: the nearest number with 8 significant bits, ties to even; denormals become zero."""
    x = np.asarray(x, np.float32)
    bits = x.view(np.uint32)
    even = (bits >> 16) & 1
    nearest = (bits + (0x7FFF + even)) & np.uint32(0xFFFF0000)
    kept = np.where(np.isfinite(x), nearest, (bits | np.where(np.isnan(x), 0x400000, 0)) & np.uint32(0xFFFF0000))
    return flushed(kept.astype(np.uint32).view(np.float32))


def flushed(x):
    return np.where(np.abs(x) < SMALLEST, np.copysign(np.float32(0), x), x).astype(np.float32)


def matmul(a, b):
    """The chain over kk = 1, 0, 3, 2, ... of each element; every sum is rounded once to float32.

    In float64 a product of two bfloat16 is exact, and so is its sum with a float32, unless one of them is too small to
    change the rounded sum.
    """
    a, b = (rounded(x).astype(np.float64) for x in (a, b))
    c = np.zeros((len(a), b.shape[1]), np.float32)
    with np.errstate(all="ignore"):
        for kk in range(0, len(b), 2):
            for k in (kk + 1, kk):
                if k < len(b):
                    c = flushed((c + np.outer(a[:, k], b[k])).astype(np.float32))
    return c
