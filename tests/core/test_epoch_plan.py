"""EpochPlan: how an epoch is cut into mini-batches, micro-batches and updates, against the definition in plain Python."""

from itertools import product

import numpy as np
import pytest
from fastmlp import _core

micro_batch = _core.testing.micro_batch


def micro_batches(rows, batch_size, accumulate, max_rows):
    """Of each in turn (begin, end, update_begin, update_end), by cutting lists of rows."""
    batches = [range(rows)[begin : begin + batch_size] for begin in range(0, rows, batch_size)]
    for first in range(0, len(batches), accumulate):
        update = batches[first : first + accumulate]
        for batch in update:
            count = -(-len(batch) // max_rows)
            edges = [batch[0] + len(batch) * i // count for i in range(count + 1)]
            for begin, end in zip(edges, edges[1:]):
                yield begin, end, update[0][0], update[-1][-1] + 1


CASES = product(range(24), (1, 2, 3, 5, 7, 8, 23, 100), (1, 2, 3, 7, 50), (1, 2, 3, 4, 8, 256))


def test_each_position_lies_in_its_micro_batch():
    for rows, batch_size, accumulate, max_rows in CASES:
        case = f"{rows} rows, batch_size={batch_size}, accumulate={accumulate}, max_rows={max_rows}"
        plan = _core.EpochPlan(rows, batch_size, accumulate)
        expected = list(micro_batches(rows, batch_size, accumulate, max_rows))
        assert [found[:2] for found in expected[1:]] == [(a[1], b[1]) for a, b in zip(expected, expected[1:])], case
        found = [micro_batch(plan, position, max_rows) for position in range(rows)]
        assert found == [each for each in expected for _ in range(each[0], each[1])], case
        assert micro_batch(plan, rows, max_rows) == (rows,) * 4, case


@pytest.mark.parametrize("rows, batch_size, max_rows", [(60_000, 60_000, 256), (60_000, 1000, 255), (7919, 4001, 256)])
@pytest.mark.parametrize("accumulate", [1, 3, 10**18])
def test_micro_batches_of_a_mini_batch_have_equal_sizes_up_to_one_row(rows, batch_size, max_rows, accumulate):
    plan, position, sizes = _core.EpochPlan(rows, batch_size, accumulate), 0, {}
    while position < rows:
        begin, end, update_begin, update_end = micro_batch(plan, position, max_rows)
        assert begin == position and end <= (position // batch_size + 1) * batch_size
        assert update_begin == position // (batch_size * accumulate) * batch_size * accumulate
        assert update_end == min(rows, update_begin + batch_size * accumulate)
        sizes.setdefault(position // batch_size, []).append(end - begin)
        position = end
    assert position == rows
    for batch, found in sizes.items():
        assert max(found) <= max_rows and max(found) - min(found) <= 1
        assert len(found) == -(-min(batch_size, rows - batch * batch_size) // max_rows)


def test_sums_are_needed_where_an_update_takes_several_micro_batches():
    for rows, batch_size, accumulate, max_rows in product(range(1, 14), (1, 2, 5, 13, 20), (1, 2, 9), (1, 3, 4, 13)):
        expected = list(micro_batches(rows, batch_size, accumulate, max_rows))
        plan = _core.EpochPlan(rows, batch_size, accumulate)
        assert _core.testing.sums_micro_batches(plan, max_rows) == any(found[:2] != found[2:] for found in expected)
        max_size = max(end - begin for begin, end, _, _ in expected)
        assert max_size <= _core.testing.max_micro_batch(plan, max_rows) <= min(rows, batch_size, max_rows)


@pytest.mark.parametrize("batch_size", [1, 2**62, 2**63 - 1])
@pytest.mark.parametrize("accumulate", [1, 2**62, 2**63 - 1])
def test_sizes_beyond_the_rows_are_all_rows(batch_size, accumulate):
    plan, batch = _core.EpochPlan(np.arange(10), batch_size, accumulate), min(batch_size, 10)
    for position in range(10):
        begin = position // batch * batch
        assert micro_batch(plan, position, 256) == (
            begin,
            begin + batch,
            *((begin, begin + batch) if accumulate == 1 else (0, 10)),
        )
