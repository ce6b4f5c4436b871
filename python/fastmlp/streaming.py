"""Data larger than memory: chunks of rows, each prefetched while the core trains on the previous one."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from . import training_data, validation
from .formats.npy_rows import NpyRows
from .input_scales import warn_of_scale
from .training_data import TrainingData

__all__ = ["Stream"]

CHUNK_BYTES = 1 << 26
BLOCKS_PER_CHUNK = 64
ROWS_AT_ONCE = 1024  # a multiple of most batch sizes, so that default chunks end with a whole batch
MAX_SIZES_TRIED = 1000  # of a block, in the search for one that divides the chunk

Chunk = tuple[Any, Any, Any]  # X, y and sample_weight, as `Trainer.fit` takes them
TakeChunk = Callable[[int], Chunk]  # what remains to be done when the chunk is needed, on so many threads


class Stream:
    """Rows for `Trainer.fit` that need not fit into memory, in chunks: ``trainer.fit(stream, None, epochs=5)``.

    The constructor takes chunks in your order; `of_rows` reads files and arrays in a well shuffled order.

    Parameters
    ----------
    chunks : iterable of (X, y) or (X, y, sample_weight)
        Iterated once per epoch; for several epochs it must be a list or an object with ``__iter__``, not an iterator. A
        schedule changes within an epoch if ``len(chunks)`` is known, otherwise between epochs.
        Each chunk is what `Trainer.fit` takes as X, y and sample_weight. While the core trains on one chunk, another
        thread gets the next: two are in memory. An iterable that reuses its buffers must rotate at least two: a chunk
        whose arrays or tensors are those of the chunk before it raises a ValueError. Data frames, and new views of one
        tensor, are not noticed. Ctrl-C waits for the chunk that is being read.

    Attributes
    ----------
    rows : int or None
        Rows per epoch; None until the first epoch has ended, except for `of_rows`.

    Notes
    -----
    The shuffle: chunks come in the iterable's order, and the rows of a chunk are permuted, so two rows of different chunks
    are never in one batch. A batch ends with its chunk, and so does an update: choose chunks of a multiple of the batch
    size, and of several batches for `accumulate`. With a list of a single chunk, the fit has the same bits as a fit on the
    chunk's X and y.

    Examples
    --------
    >>> import numpy as np, fastmlp
    >>> class Measurements:
    ...     def __iter__(self):
    ...         for day in range(5):
    ...             rng = np.random.default_rng(day)
    ...             X = rng.normal(size=(256, 4))
    ...             yield X, (X[:, 0] > X[:, 1]).astype(int)
    >>> trainer = fastmlp.Trainer(fastmlp.Network((4, 8, 2)), batch_size=32)
    >>> history = trainer.fit(fastmlp.streaming.Stream(Measurements()), None, epochs=3)
    """

    def __init__(self, chunks: Iterable[tuple[Any, Any] | Chunk]) -> None:
        if not isinstance(chunks, Iterable):
            raise TypeError(f"chunks must be an iterable of (X, y), got {chunks!r}")
        self._chunks = chunks
        self.rows: int | None = None

    @classmethod
    def of_rows(
        cls,
        X: Any,
        y: Any,
        *,
        chunk_rows: int | None = None,
        blocks_per_chunk: int = BLOCKS_PER_CHUNK,
        sample_weight: Any = None,
    ) -> Stream:
        """A stream over the rows of files or arrays, in a new order each epoch.

        Parameters
        ----------
        X : path of a .npy file, or anything with a shape, a dtype and rows ``X[begin:end]``, shape (samples, features)
            Such as a memory-mapped array, or a dataset of h5py or zarr. All threads read from a path, without mapping the
            file: neither memory nor address space grows with it.
        y : path or array, shape (samples,) or (samples, outputs)
        chunk_rows : int >= 1, optional
            Rows of a chunk; two chunks are in memory, or one if X is a path. Rounded down to whole blocks if necessary.
            Default: as many rows as fit into 64 MiB in the type that the core reads; a multiple of 1024 if above 1024.
        blocks_per_chunk : int >= 1
            A chunk consists of about so many blocks of neighbouring rows from all over the data. 1: chunks are mapped or
            sliced in place, which saves a copy, for files whose rows are in random order already. (The process ends if a
            file is shortened while a part of it is mapped, as in NumPy.)
        sample_weight : path or array, shape (samples,), optional

        Returns
        -------
        Stream

        Raises
        ------
        ValueError, TypeError
            If X, y and sample_weight do not match.
        DataFileError
            If a path is not a complete .npy file of C-contiguous numbers.
        OSError
            If it cannot be opened.

        Notes
        -----
        The shuffle, with ``shuffle=True``: the blocks are permuted, then the rows of each chunk. It differs from a full
        shuffle in one respect: rows of one block are in one chunk, so a batch holds on average
        ``batch_size / blocks_per_chunk`` rows of the block of any of its rows. More blocks, or larger chunks, are closer
        to a full shuffle; fewer blocks read longer ranges of the file at once.

        As in a fit on arrays, values are checked once per fit: when their rows are read for the first time.
        """
        weights = None if sample_weight is None else _rows("sample_weight", sample_weight)
        return _RowStream(_rows("X", X), _rows("y", y), weights, chunk_rows, blocks_per_chunk)

    def __array__(self, *arguments: Any, **settings: Any) -> Any:
        raise TypeError(
            "X must be an array or a CSR matrix here, got a Stream, which only Trainer.fit accepts: for a file larger than"
            " memory, pass np.load(path, mmap_mode='r')"
        )

    def _length(self) -> int | None:
        """The number of chunks, or of all rows; None if it is not known before the end of an epoch."""
        try:
            return len(self._chunks)  # type: ignore[arg-type]
        except TypeError:
            return None

    def _begin(self, number: int, rows: int, within: np.ndarray, chunk_rows: int) -> np.ndarray:
        """After so many chunks, or rows, in the unit of `_length`; `within` are rows of the chunk that follows."""
        return number + within / chunk_rows

    _same_each_epoch = False  # whether the values are those of the first epoch, which are checked

    def _buffers(self) -> Any:
        """The reusable chunk buffers of one fit."""
        return None

    def _epoch(self, rng: np.random.Generator | None, buffers: Any) -> Iterator[Callable[[], TakeChunk]]:
        """For each chunk of an epoch, what another thread does ahead. rng None: in order."""
        chunks, end, in_use = iter(self._chunks), object(), _Buffers([])
        refills = not isinstance(self._chunks, (list, tuple))  # whose chunks may be the same arrays again

        def load() -> TakeChunk:
            nonlocal in_use
            chunk = next(chunks, end)
            if chunk is end:
                raise _EndOfEpoch
            triple = validation.check_triple("a chunk", chunk)
            if refills:
                in_use = in_use.followed_by(triple)
            return lambda threads: triple

        while True:
            yield load


class _RowStream(Stream):
    _same_each_epoch = True

    def _length(self) -> int | None:
        return self.rows

    def _begin(self, number: int, rows: int, within: np.ndarray, chunk_rows: int) -> np.ndarray:
        return rows + within

    def __init__(self, X: Any, y: Any, sample_weight: Any, chunk_rows: int | None, blocks_per_chunk: int) -> None:
        if len(X.shape) != 2 or 0 in X.shape:
            raise ValueError(f"X must have shape (samples >= 1, features >= 1), got {tuple(X.shape)}")
        if not y.shape or y.shape[0] != X.shape[0] or 0 in y.shape:
            raise ValueError(f"y must have one entry per row of X, {X.shape[0]}, got shape {tuple(y.shape)}")
        if sample_weight is not None and tuple(sample_weight.shape) != (X.shape[0],):
            raise ValueError(
                f"sample_weight must have shape ({X.shape[0]},), one weight per row of X, got {tuple(sample_weight.shape)}"
            )
        if chunk_rows is None:
            chunk_rows = max(1, CHUNK_BYTES // (X.shape[1] * _bytes_in_memory(np.dtype(X.dtype))))
            chunk_rows -= chunk_rows % ROWS_AT_ONCE if chunk_rows > ROWS_AT_ONCE else 0
        self.rows = int(X.shape[0])
        chunk_rows = min(validation.check_integer("chunk_rows", chunk_rows, 1), self.rows)
        blocks = validation.check_integer("blocks_per_chunk", blocks_per_chunk, 1)
        self._X = X
        self._sources = {"X": X, "y": y, "sample_weight": sample_weight}
        largest = max(1, chunk_rows // blocks)
        sizes = range(largest, max(largest // 2, largest - MAX_SIZES_TRIED), -1)
        self._block_rows = next((size for size in sizes if chunk_rows % size == 0), largest)
        self._blocks = -(-self.rows // self._block_rows)
        self._per_chunk = self._blocks if chunk_rows == self.rows else chunk_rows // self._block_rows

    def _buffers(self) -> list[dict[str, np.ndarray]]:
        """Empty if chunks are not copied; two sets if a thread copies one chunk while the core reads the other.

        From a file, all threads read a chunk between two chunks: one that worked beside the team would delay all of it,
        because equal parts of an update are as slow as the slowest.
        """
        if self._per_chunk == 1:
            return []
        rows = min(self._per_chunk * self._block_rows, self.rows)
        return [
            {
                name: np.empty((rows, *source.shape[1:]), np.dtype(source.dtype))
                for name, source in self._sources.items()
                if source is not None
            }
            for _ in range(1 if isinstance(self._X, NpyRows) or self._per_chunk == self._blocks else 2)
        ]

    def _epoch(self, rng: np.random.Generator | None, buffers: Any) -> Iterator[Callable[[], TakeChunk]]:
        blocks = np.arange(self._blocks) if rng is None else rng.permutation(self._blocks)

        def load(chosen: np.ndarray, to: dict[str, np.ndarray] | None) -> TakeChunk:
            if isinstance(self._X, NpyRows):
                self._X.prefetch((chosen * self._block_rows).tolist(), self._block_rows)
                if to:
                    return functools.partial(self._read, chosen, to)
            chunk = self._read(chosen, to, 1) if to else self._map(int(chosen[0]))
            return lambda threads: chunk

        for i, first in enumerate(range(0, self._blocks, self._per_chunk)):
            yield functools.partial(
                load, blocks[first : first + self._per_chunk], buffers and buffers[i % len(buffers)]
            )

    def _map(self, block: int) -> Chunk:
        begin = block * self._block_rows
        end = min(begin + self._block_rows, self.rows)
        X, y, weights = (None if source is None else source[begin:end] for source in self._sources.values())
        return X, y, weights

    def _read(self, blocks: np.ndarray, buffers: dict[str, np.ndarray], threads: int) -> Chunk:
        begins = blocks * self._block_rows
        sizes = np.minimum(begins + self._block_rows, self.rows) - begins
        ends = np.cumsum(sizes)
        pieces = np.stack([begins, ends - sizes, sizes], axis=1)
        for name, to in buffers.items():
            source = self._sources[name]
            if isinstance(source, NpyRows):
                source.read_into(to, pieces, threads)
                continue
            for begin, position, size in pieces.tolist():
                rows = training_data.as_array(name, source[begin : begin + size])
                if len(rows) != size:
                    raise ValueError(f"rows [{begin}, {begin + size}) must be {size} rows, got {len(rows)}")
                to[position : position + size] = rows
        X, y, weights = (buffers[name][: ends[-1]] if name in buffers else None for name in self._sources)
        return X, y, weights


def _rows(name: str, source: Any) -> Any:
    if isinstance(source, (str, bytes, os.PathLike)):
        return NpyRows(source)
    if hasattr(source, "tocsr"):
        raise TypeError(
            f"{name} must be an array or a .npy file, got a sparse matrix: give parts of it as chunks of a Stream"
        )
    try:
        kind = np.dtype(source.dtype).kind if hasattr(source, "shape") else None
    except (AttributeError, TypeError):  # no dtype of its own, or one of pandas
        kind = None
    if kind is None:
        source = np.asarray(source)
        kind = source.dtype.kind
    if kind not in "biuf":
        raise TypeError(f"{name} must be an array of real numbers, got dtype {source.dtype}")
    return source


def _bytes_in_memory(dtype: np.dtype) -> int:
    """Bytes per value of a chunk: of the source, plus those of the core's type if that differs."""
    if dtype in (np.uint8, np.float32, np.float64) and dtype.isnative:
        return dtype.itemsize
    return dtype.itemsize + (4 if dtype.kind == "f" and dtype.itemsize < 8 else 8)


class _Buffers:
    """The memory of a chunk's arrays, which must not be filled again while the core reads it. It does not keep them."""

    def __init__(self, parts: Iterable[Any]) -> None:
        found = [(array, part) for part in parts for array in _arrays(part) if array.nbytes]
        self._owners = {  # NumPy's view of a tensor dies before the tensor does
            array.ctypes.data: _owner(part if hasattr(part, "data_ptr") else array) for array, part in found
        }

    def followed_by(self, parts: Iterable[Any]) -> _Buffers:
        """The buffers of the next chunk; ValueError if one is of this chunk, too."""
        following = _Buffers(parts)
        if any(owner() is not None for address, owner in self._owners.items() if address in following._owners):
            raise ValueError(
                "a chunk must have arrays of its own, got those of the chunk before it, which is still in use: make new"
                " arrays for each chunk, or fill two sets of buffers in turn"
            )
        return following


def _arrays(part: Any) -> list[np.ndarray]:
    """What a chunk's X, y or sample_weight keeps its values in, as far as NumPy sees it without a copy."""
    if hasattr(part, "indptr"):
        return _arrays(part.data)
    has_buffer = isinstance(part, (np.ndarray, memoryview)) or hasattr(part, "__array_interface__")
    try:
        return [np.asarray(part)] if has_buffer or hasattr(part, "data_ptr") else []  # that of a tensor of PyTorch
    except (TypeError, RuntimeError):  # such as one that needs a gradient: its check is elsewhere
        return []


def _owner(array: Any) -> Callable[[], Any]:
    """A weak reference to what owns the array's memory."""
    inner = array
    while inner is not None:
        array = inner
        inner = array.base if isinstance(array, np.ndarray) else array.obj if isinstance(array, memoryview) else None
    try:
        return weakref.ref(array)
    except TypeError:  # a bytearray, for example: kept, so that no other takes its place
        return lambda: array


class _EndOfEpoch(Exception):
    """The epoch has no more chunks."""


def _ahead(loads: Iterator[Callable[[], Any]]) -> Iterator[Any]:
    """Their results, until one raises _EndOfEpoch; a thread calls the next one while the caller uses the last result.

    One thread for the whole epoch: while a fit keeps the cores busy, a new thread can take a millisecond to start.
    """
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def work() -> None:
        for load in iter(requests.get, None):
            outcomes.put(_outcome(load))

    def outcome_of(load: Callable[[], Any]) -> Outcome:
        while True:
            try:
                return outcomes.get(timeout=0.5)
            except queue.Empty:
                if not thread.is_alive():  # in a child, forked meanwhile
                    return _outcome(load)

    load = next(loads)
    thread = threading.Thread(target=work, name="fastmlp.streaming", daemon=True)
    try:
        thread.start()
        requests.put(load)
        while load is not None:
            results, error = outcome_of(load)
            if isinstance(error, _EndOfEpoch):
                break
            if error is not None:
                raise error
            load = next(loads, None)
            requests.put(load)
            yield results.pop()  # no reference stays here: otherwise three chunks would be in memory
    finally:
        requests.put(None)
        if thread.is_alive():  # Ctrl-C may have come before it started
            thread.join()  # it may still write to buffers of the caller


Outcome = tuple[list[Any], BaseException | None]  # one result or none


def _outcome(load: Callable[[], Any]) -> Outcome:
    try:
        return [load()], None
    except BaseException as error:  # raised by the thread that wants the result
        return [], error


class BoundStream:
    """A stream's chunks as the core's data sets for one network."""

    def __init__(self, stream: Stream, trainer: Any) -> None:
        self._stream, self._network = stream, trainer.network
        self._accumulated = 0 if trainer.accumulate == 1 else trainer.batch_size  # chunks of no more rows are one batch
        if trainer.schedule is not None and trainer.schedule(0.0) == 0 and not stream._length():
            validation.warn(
                "the schedule stays at a learning rate of 0 in the whole first epoch, because the stream's chunks have no"
                " len(): define __len__ of the object that yields them"
            )
        self._buffers = stream._buffers()
        self._checked = self._warned = False

    @property
    def rows(self) -> int | None:
        return self._stream.rows

    def shares(self, number: int, rows: int, within: np.ndarray, chunk_rows: int) -> np.ndarray:
        """The progress of an epoch where updates begin, `within` rows of a chunk; 0 if unknown. Former epochs do not count."""
        length = self._stream._length()
        return np.minimum(self._stream._begin(number, rows, within, chunk_rows) / (length or np.inf), 1)

    def epoch(self, rng: np.random.Generator | None, threads: Callable[[], int]) -> Iterator[TrainingData]:
        """The chunks of an epoch; another thread prefetches the next one while the caller uses the last."""
        rows = 0
        with contextlib.closing(_ahead(self._stream._epoch(rng, self._buffers))) as chunks:
            for number in itertools.count():
                try:
                    take = next(chunks, None)
                    if take is None:
                        break
                    chunk = take(threads())
                    data = training_data.training_data(
                        self._network, *chunk, threads(), skips_columns=True, checked=self._checked
                    )
                    self._warn(chunk[0], data.rows)
                    del take, chunk
                except Exception as error:
                    error.add_note(f"chunk {number} of the stream")
                    raise
                rows += data.rows
                yield data
                del data
        if rows == 0:
            raise ValueError(
                "a stream must have at least one chunk in each epoch, got none; an iterator ends with its first epoch: pass"
                " an iterable, such as a list or an object whose __iter__ starts anew"
            )
        self._stream.rows = rows
        self._checked = self._stream._same_each_epoch

    def _warn(self, X: Any, rows: int) -> None:
        """Of the first chunk of a fit."""
        if self._warned:
            return
        self._warned = True
        warn_of_scale(X, self._network)
        if rows <= self._accumulated:
            validation.warn(
                f"accumulate has no effect on the first chunk of the stream: its {rows} rows are one batch, and an update"
                " ends with its chunk"
            )
