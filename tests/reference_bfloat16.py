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


def chain(a, b, c, order):
    """c plus the products of columns of a and rows of b, in this order; every sum is rounded once to float32.

    In float64 a product of two bfloat16 is exact, and so is its sum with a float32, unless one of them is too small to
    change the rounded sum.
    """
    for k in order:
        if k < len(b):
            c = flushed((c + np.outer(a[:, k], b[k])).astype(np.float32))
    return c


def matmul(a, b, precision="bfloat16"):
    a, b = (rounded(x).astype(np.float64) for x in (a, b))
    c = zero = np.zeros((len(a), b.shape[1]), np.float32)
    with np.errstate(all="ignore"):
        if precision == "bfloat16":  # 1, 0, 3, 2, ...
            return chain(a, b, c, [kk ^ 1 for kk in range(len(b) + 1)])
        for begin in range(0, len(b), 32):
            even, odd = (chain(a, b, zero, range(begin + first, begin + 32, 2)) for first in (0, 1))
            if begin + 32 > len(b):  # the rest of the block is zeros, to which a negative zero is added
                even, odd = even + zero, odd + zero
            c = flushed(c + flushed(even + odd))
    return c


def multiply_adds(is_fused):
    """A product in float32, over k = 0, 1, ...: exact products in float64, rounded before the sum unless fused."""

    def product(a, b):
        c = np.zeros((len(a), b.shape[1]), np.float32)
        for k in range(len(b)):
            products = np.outer(a[:, k].astype(np.float64), b[k].astype(np.float64))
            c = (c + (products if is_fused else products.astype(np.float32))).astype(np.float32)
        return c

    return product
