"""Iterables of chunks that fill the same memory again."""

import mmap

import numpy as np
import pytest
from fastmlp import Network, Trainer
from fastmlp.streaming import Stream
from problems import assert_equal_bits, parameters

RNG = np.random.default_rng(0)
CHUNKS = [(RNG.normal(size=(32, 4)), RNG.integers(3, size=32), RNG.uniform(1, 2, size=32)) for _ in range(6)]


def trained(chunks, epochs=2):
    trainer = Trainer(Network((4, 8, 3), seed=1), batch_size=8)
    trainer.fit(Stream(chunks), None, epochs)
    return parameters(trainer.network)


class Refilled:
    """Chunks whose arrays `memory` makes once, so many sets of them, and fills in turn; `parts` of the three."""

    def __init__(self, memory, sets, parts=3, view=lambda array: array):
        self.buffers = [[memory(array) for array in CHUNKS[0][:parts]] for _ in range(sets)]
        self.view = view

    def __iter__(self):
        for i, chunk in enumerate(CHUNKS):
            buffers = self.buffers[i % len(self.buffers)]
            for buffer, values in zip(buffers, chunk):
                buffer[:] = values
            yield tuple(self.view(buffer) for buffer in buffers)


def of_bytes(make):
    return lambda array: np.frombuffer(make(array.nbytes), array.dtype)


MEMORY = {
    "array": np.empty_like,
    "other dtype": lambda array: np.empty(array.shape, np.float32 if array.dtype.kind == "f" else np.int16),
    "slices of a larger array": lambda array: np.empty((100, *array.shape[1:]), array.dtype)[: len(array)],
    "bytearray": lambda array: of_bytes(bytearray)(array).reshape(array.shape),
    "mmap": lambda array: of_bytes(lambda size: mmap.mmap(-1, size))(array).reshape(array.shape),
    "columns": lambda array: np.empty_like(array, order="F"),
}


class _Alias:
    """An object of its own over the memory of an array, which it keeps."""

    def __init__(self, array):
        self.array = array
        self.__array_interface__ = array.__array_interface__


class Tensor:
    """As of PyTorch: NumPy sees its values without a copy, through an object that lives no longer than the array."""

    def __init__(self, array):
        self.array = array
        self.dtype, self.shape = array.dtype, array.shape

    def data_ptr(self):
        return self.array.ctypes.data

    def __array__(self, dtype=None, copy=None):
        alias = np.asarray(_Alias(self.array))
        return alias if dtype is None else alias.astype(dtype)

    def __len__(self):
        return len(self.array)


VIEWS = {
    "a memoryview itself": lambda array: array.data,
    "same": lambda array: array,
    "view": lambda array: array[:],
    "memoryview": lambda array: np.asarray(array.data),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("memory", MEMORY.values(), ids=MEMORY)
def test_one_buffer_raises_instead_of_training_on_mixed_rows(memory, view):
    with pytest.raises(ValueError, match="a chunk must have arrays of its own, got those of the chunk before it"):
        trained(Refilled(memory, sets=1, view=view))


def test_a_tensor_that_is_filled_again_raises():
    def chunks(new):
        buffer = np.empty_like(CHUNKS[0][0])
        tensor = Tensor(buffer)
        for X, y, weights in CHUNKS:
            if new:
                buffer = np.empty_like(X)
                tensor = Tensor(buffer)
            buffer[:] = X
            yield tensor, y.copy(), weights.copy()

    trained(chunks(new=True), epochs=1)
    with pytest.raises(ValueError, match="arrays of its own"):
        trained(chunks(new=False), epochs=1)


@pytest.mark.parametrize("part", [0, 1, 2], ids=["X", "y", "sample_weight"])
def test_one_part_that_is_refilled_raises(part):
    def chunks():
        refilled = np.empty_like(CHUNKS[0][part])
        for chunk in CHUNKS:
            refilled[:] = chunk[part]
            yield tuple(refilled if i == part else chunk[i].copy() for i in range(3))

    with pytest.raises(ValueError, match="arrays of its own"):
        trained(chunks(), epochs=1)


def test_refilled_values_of_a_sparse_matrix_raise():
    sparse = pytest.importorskip("scipy.sparse")
    matrix = sparse.csr_matrix(CHUNKS[0][0])

    def chunks():
        for X, y, _ in CHUNKS:
            matrix.data[:] = X.ravel()
            yield matrix, y

    with pytest.raises(ValueError, match="arrays of its own"):
        trained(chunks(), epochs=1)


@pytest.mark.parametrize("sets", [2, 3])
@pytest.mark.parametrize("memory", MEMORY.values(), ids=MEMORY)
def test_buffers_in_turn_train_on_their_rows(memory, sets):
    given = Refilled(memory, sets)
    rounded = [
        tuple(values.astype(buffer.dtype) for values, buffer in zip(chunk, given.buffers[0])) for chunk in CHUNKS
    ]
    assert_equal_bits(trained(given), trained(rounded))


def test_chunks_that_end_before_the_next_may_take_its_memory():
    """The allocator gives a freed chunk's memory to the next one."""

    class Fresh:
        def __iter__(self):
            for chunk in CHUNKS:
                yield tuple(array.astype(np.float16 if array.dtype.kind == "f" else np.int16) for array in chunk)

    assert_equal_bits(trained(Fresh(), epochs=20), trained(list(Fresh()), epochs=20))


def test_a_list_may_hold_one_chunk_twice():
    assert_equal_bits(trained([CHUNKS[0], CHUNKS[0]]), trained([CHUNKS[0], tuple(a.copy() for a in CHUNKS[0])]))


def test_one_chunk_may_come_again_in_the_next_epoch():
    class One:
        def __iter__(self):
            yield CHUNKS[0]

    assert_equal_bits(trained(One(), epochs=3), trained([CHUNKS[0]], epochs=3))
