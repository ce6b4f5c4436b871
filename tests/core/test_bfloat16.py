"""Products in bfloat16: the same bits as the oracle's on every instruction set, native or emulated."""

import sys

import numpy as np
import pytest
import reference_bfloat16
from fastmlp import ops
from fastmlp._core import PairOrder, multiplies_bfloat16, testing
from teams import TEAMS, team_of

ORIENTATIONS = [(False, False), (False, True), (True, False), (True, True)]
SHAPES = [  # (m, k, n): every height and width of a tile, odd and even numbers of pairs
    *[(d, 7, 5) for d in range(1, 35)],
    *[(d, 35, 40) for d in (13, 16, 17, 31, 32, 33, 50, 64)],
    *[(5, 6, d) for d in (1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)],
    *[(3, d, 17) for d in (0, 1, 2, 3, 33)],
    (0, 3, 2),
    (2, 3, 0),
    (29, 190, 142),
    (43, 131, 67),
]


def product(a, b, precision, transpose_a=False, transpose_b=False, **settings):
    """a @ b of arrays that are stored as said."""
    a, b = (a.T.copy() if transpose_a else a), (b.T.copy() if transpose_b else b)
    return ops.matmul(a, b, transpose_a, transpose_b, precision=precision, **settings)


def assert_equal_bits(found, expected):
    """NaN may have any bits."""
    assert found.dtype == expected.dtype == np.float32
    equal = (found.view(np.uint32) == expected.view(np.uint32)) | (np.isnan(found) & np.isnan(expected))
    assert equal.all(), f"{(~equal).sum()} of {equal.size} differ, the first at {np.argwhere(~equal)[0]}"


@pytest.mark.parametrize("transpose_a, transpose_b", ORIENTATIONS)
def test_products_equal_the_oracle(arithmetic, precision, transpose_a, transpose_b):
    rng = np.random.default_rng(0)
    for m, k, n in SHAPES:
        a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
        assert_equal_bits(
            product(a, b, precision, transpose_a, transpose_b), reference_bfloat16.matmul(a, b, precision)
        )


def numbers_of_exponents(rng, shape, least, most):
    return (rng.uniform(-2, 2, shape) * 2.0 ** rng.integers(least, most + 1, shape)).astype(np.float32)


@pytest.mark.parametrize("exponents", [(-40, 40), (-70, -56), (-126, -110), (-140, 10), (60, 70), (100, 127)], ids=str)
def test_sums_that_are_tiny_or_huge_equal_the_oracle(arithmetic, precision, exponents):
    """Where sums are denormal, overflow, or one operand is far smaller than the other."""
    rng = np.random.default_rng(1)
    a, b = (numbers_of_exponents(rng, shape, *exponents) for shape in ((30, 24), (24, 40)))
    expected = reference_bfloat16.matmul(a, b, precision)
    assert_equal_bits(product(a, b, precision), expected)
    if exponents == (-70, -56):
        denormal = np.abs(reference_bfloat16.rounded(a).astype(float) @ reference_bfloat16.rounded(b)) < 2.0**-126
        assert denormal.any() and (expected != 0).any()


def test_factors_are_rounded_to_the_nearest_ties_to_even(arithmetic, precision):
    ties = np.arange(0x3F800000, 0x3F800000 + (1 << 18), 0x4000, np.uint32)  # a quarter of a step apart
    beside = np.concatenate([ties - 1, ties, ties + 1]).view(np.float32)
    special = np.array([0, -0.0, 1e-45, -1e-39, 3.39e38, -3.4e38, np.inf, -np.inf, np.nan, 65280, 65408], np.float32)
    nans = np.array([0x7F800001, 0xFFC00000, 0x7FFFFFFF], np.uint32).view(
        np.float32
    )  # of the first, bfloat16 keeps no bit
    x = np.concatenate([beside, -beside, special, nans])[:, None]
    one = np.ones((1, 1), np.float32)
    expected = reference_bfloat16.rounded(x) + np.float32(0)  # the chain begins at 0, so a zero is positive
    assert_equal_bits(product(x, one, precision), expected)
    assert_equal_bits(product(one, x.T.copy(), precision), expected.T.copy())


def test_numbers_of_eight_bits_are_exact(arithmetic, precision):
    """Bytes, which images consist of."""
    bytes_ = np.arange(256, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(product(bytes_, np.ones((1, 3), np.float32), precision), bytes_ * np.ones(3))


def test_teams_give_equal_bits(arithmetic, precision):
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(301, 254)).astype(np.float32), rng.normal(size=(254, 190)).astype(np.float32)
    one = product(a, b, precision, n_threads=1)
    for n_threads in TEAMS:
        with team_of(n_threads):
            assert_equal_bits(product(a, b, precision, n_threads=n_threads), one)


@pytest.mark.skipif(sys.platform != "linux", reason="the processor's extensions are read from /proc/cpuinfo")
@pytest.mark.parametrize(
    "order, extension", [(PairOrder.bfloat16, "avx512_bf16"), (PairOrder.bfloat16_amx, "amx_bf16")]
)
def test_the_processors_own_products_are_used_where_it_has_them(isa, order, extension):
    testing.emulate_bfloat16(True)
    try:
        assert not multiplies_bfloat16(order)
    finally:
        testing.emulate_bfloat16(False)
    with open("/proc/cpuinfo") as file:
        has_extension = extension in file.read()
    if has_extension:
        assert multiplies_bfloat16(order) == (isa == "avx512")
    else:
        assert not multiplies_bfloat16(order)


def test_other_precisions_and_dtypes_are_rejected():
    a = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match=r"precision must be .*bfloat16.*got 'float16'"):
        ops.matmul(a, a, precision="float16")
    with pytest.raises(ValueError, match="precision 'bfloat16' is for float32 arrays, got float64"):
        ops.matmul(a.astype(float), a.astype(float), precision="bfloat16")
