"""Data larger than memory: rows that pass by in chunks, the next one fetched while the core trains on the one before."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from . import _core, validation
from .errors import DataFileError
from .network import Network

__all__ = ["Stream"]

CHUNK_BYTES = 1 << 26
BLOCKS_PER_CHUNK = 64
ROWS_AT_ONCE = 1024  # a multiple of most batch sizes, so that chunks by default end with a whole batch
MOST_SIZES_TRIED = 1000  # of a block, when one that divides the chunk is looked for
BYTES_AT_ONCE = 1 << 17  # the longest stretch that Linux reads ahead when told to, whatever the device

Chunk = tuple[Any, Any]  # X and y, as `Trainer.fit` takes them
TakeChunk = Callable[[int], Chunk]  # what is left to do when the chunk is needed, by so many threads


class Stream:
    """Rows for `Trainer.fit` that need not fit into memory, chunk by chunk: ``trainer.fit(stream, None, epochs=5)``.

    Of its own, this class takes chunks as they come; `of_rows` reads files and arrays in an order that is shuffled well.

    Parameters
    ----------
    chunks : iterable of (X, y)
        Iterated once for each epoch, so a list or an object with ``__iter__``, not an iterator, if there are to be
        several epochs. Each chunk is what `Trainer.fit` takes as X and y. While the core trains on one chunk,
        another thread asks for the next: two are in memory, in arrays of their own. One whose arrays are filled anew
        needs three of them. Ctrl-C waits for the chunk that is being asked for.

    Attributes
    ----------
    rows : int or None
        Of an epoch; None until one has passed, but for `of_rows`.

    Notes
    -----
    The shuffle: chunks come in the iterable's order, and the rows of a chunk are permuted, so two rows of different chunks
    never meet in a batch. A batch ends with its chunk: let chunks have a multiple of the batch size. With one chunk, the
    fit has the bits of one on the chunk's X and y.

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

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        if not isinstance(chunks, Iterable):
            raise TypeError(f"chunks must be an iterable of (X, y), got {chunks!r}")
        self._chunks = chunks
        self.rows: int | None = None

    @classmethod
    def of_rows(
        cls, X: Any, y: Any, *, chunk_rows: int | None = None, blocks_per_chunk: int = BLOCKS_PER_CHUNK
    ) -> Stream:
        """A stream over the rows of files or arrays, in a new order each epoch.

        Parameters
        ----------
        X : path of a .npy file, or anything with a shape, a dtype and rows ``X[begin:end]``, shape (samples, features)
            Such as a memory-mapped array, or a dataset of h5py or zarr. A path is read by all threads, and without mapping
            the file, so that neither memory nor address space grows with it.
        y : path or array, shape (samples,) or (samples, outputs)
        chunk_rows : int >= 1, optional
            Rows of a chunk, of which two are in memory, or one if X is a path; rounded down to whole blocks where no block
            of about that size divides it. Default: 64 MiB of X, as the core reads it and before, where it is of a type
            other than float32, float64 and uint8; and a multiple of 1024 where that is more.
        blocks_per_chunk : int >= 1
            A chunk is put together from about so many blocks, neighbouring rows each, from all over the data. 1: chunks are
            mapped or sliced where they lie, which saves a copy, for files whose rows are in random order already; two are
            mapped. (A file that is shortened while a part of it is mapped ends the process, here as in NumPy.)

        Returns
        -------
        Stream

        Raises
        ------
        ValueError, TypeError
            If X and y do not fit together.
        DataFileError
            If a path names no whole .npy file of C-contiguous numbers.
        OSError
            If it cannot be opened.

        Notes
        -----
        The shuffle, with ``shuffle=True``: the blocks are permuted, then the rows of each chunk. It is a full shuffle but for
        one thing: rows of the same block are in the same chunk, so that a row meets on average
        ``batch_size / blocks_per_chunk`` rows of its own block in its batch. More blocks, or larger chunks, are
        closer to a full shuffle; fewer read longer stretches of the file at once.

        As in a fit on arrays, values are checked once per fit: when their rows pass for the first time.
        """
        return _RowStream(_rows("X", X), _rows("y", y), chunk_rows, blocks_per_chunk)

    def __array__(self, *arguments: Any, **settings: Any) -> Any:
        raise TypeError("X must be an array or a CSR matrix here, got a Stream, which only Trainer.fit takes")

    _same_each_epoch = False  # so that values need to be checked once only

    def _rooms(self) -> Any:
        """What chunks are put together in, throughout a fit."""
        return None

    def _epoch(self, rng: np.random.Generator | None, rooms: Any) -> Iterator[Callable[[], TakeChunk]]:
        """For each chunk of an epoch what another thread does ahead. rng None: in order."""
        chunks, end = iter(self._chunks), object()

        def load() -> TakeChunk:
            chunk = next(chunks, end)
            if chunk is end:
                raise _EndOfEpoch
            validation.check_pair("a chunk", chunk)
            return lambda threads: chunk

        while True:
            yield load


class _RowStream(Stream):
    _same_each_epoch = True

    def __init__(self, X: Any, y: Any, chunk_rows: int | None, blocks_per_chunk: int) -> None:
        if len(X.shape) != 2 or 0 in X.shape:
            raise ValueError(f"X must have shape (samples >= 1, features >= 1), got {tuple(X.shape)}")
        if not y.shape or y.shape[0] != X.shape[0] or 0 in y.shape:
            raise ValueError(f"y must have one entry per row of X, {X.shape[0]}, got shape {tuple(y.shape)}")
        if chunk_rows is None:
            chunk_rows = max(1, CHUNK_BYTES // (X.shape[1] * _bytes_in_memory(np.dtype(X.dtype))))
            chunk_rows -= chunk_rows % ROWS_AT_ONCE if chunk_rows > ROWS_AT_ONCE else 0
        self.rows = int(X.shape[0])
        chunk_rows = min(validation.check_integer("chunk_rows", chunk_rows, 1), self.rows)
        blocks = validation.check_integer("blocks_per_chunk", blocks_per_chunk, 1)
        self._X, self._y = X, y
        largest = max(1, chunk_rows // blocks)
        sizes = range(largest, max(largest // 2, largest - MOST_SIZES_TRIED), -1)
        self._block_rows = next((size for size in sizes if chunk_rows % size == 0), largest)
        self._blocks = -(-self.rows // self._block_rows)
        self._per_chunk = self._blocks if chunk_rows == self.rows else chunk_rows // self._block_rows

    def _rooms(self) -> list[list[np.ndarray]]:
        """None where chunks are not put together; two where one thread does that ahead, while the core reads from the other.

        From a file, all threads do it between two chunks: one that worked beside them would keep all of them waiting,
        for equal parts of an update are as slow as the slowest.
        """
        if self._per_chunk == 1:
            return []
        rows = min(self._per_chunk * self._block_rows, self.rows)
        return [
            [np.empty((rows, *source.shape[1:]), np.dtype(source.dtype)) for source in (self._X, self._y)]
            for _ in range(1 if isinstance(self._X, _NpyRows) or self._per_chunk == self._blocks else 2)
        ]

    def _epoch(self, rng: np.random.Generator | None, rooms: Any) -> Iterator[Callable[[], TakeChunk]]:
        blocks = np.arange(self._blocks) if rng is None else rng.permutation(self._blocks)

        def load(chosen: np.ndarray, room: list[np.ndarray] | None) -> TakeChunk:
            if isinstance(self._X, _NpyRows):
                self._X.ask_for((chosen * self._block_rows).tolist(), self._block_rows)
                if room:
                    return functools.partial(self._read, chosen, room)
            chunk = self._read(chosen, room, 1) if room else self._map(int(chosen[0]))
            return lambda threads: chunk

        for i, first in enumerate(range(0, self._blocks, self._per_chunk)):
            yield functools.partial(load, blocks[first : first + self._per_chunk], rooms and rooms[i % len(rooms)])

    def _map(self, block: int) -> Chunk:
        begin = block * self._block_rows
        end = min(begin + self._block_rows, self.rows)
        return self._X[begin:end], self._y[begin:end]

    def _read(self, blocks: np.ndarray, room: list[np.ndarray], threads: int) -> Chunk:
        begins = blocks * self._block_rows
        sizes = np.minimum(begins + self._block_rows, self.rows) - begins
        ends = np.cumsum(sizes)
        places = np.stack([begins, ends - sizes, sizes], axis=1)
        for name, source, to in zip(("X", "y"), (self._X, self._y), room):
            if isinstance(source, _NpyRows):
                source.read_into(to, places, threads)
            else:
                for begin, place, size in places.tolist():
                    rows = validation.as_array(name, source[begin : begin + size])
                    if len(rows) != size:
                        raise ValueError(f"rows [{begin}, {begin + size}) must be {size} rows, got {len(rows)}")
                    to[place : place + size] = rows
        return room[0][: ends[-1]], room[1][: ends[-1]]


class _NpyRows:
    """The rows of a .npy file, read or mapped where they are asked for."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._name = os.path.abspath(os.fsdecode(path))
        with open(self._name, "rb") as file:
            try:
                self.shape, column_major, self.dtype = _npy_header(file)
            except OSError:
                raise
            except Exception as reason:  # whatever numpy and its parser make of forged bytes
                raise DataFileError(f"{self._name} is not a .npy file: {str(reason)[:200]}") from None
            self._offset, status = file.tell(), os.fstat(file.fileno())
        if self.dtype.kind not in "biuf" or (column_major and len(self.shape) > 1):
            order = "column-major " if column_major else ""
            raise DataFileError(f"{self._name} must hold row-major numbers, got {order}{self.dtype}")
        self._row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        expected = self._offset + math.prod(self.shape[:1]) * self._row_bytes
        if status.st_size != expected:
            raise DataFileError(f"{self._name} must have {expected} bytes for shape {self.shape}, got {status.st_size}")
        self._status = status

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        """The file, if it is still the one whose header was read."""
        with open(self._name, "rb") as file:
            status = os.fstat(file.fileno())
            if not os.path.samestat(status, self._status):
                raise DataFileError(f"{self._name} has been replaced by another file while it was used")
            if status.st_size != self._status.st_size:
                raise self._changed(file)
            yield file

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Mapped, not copied."""
        begin, end, _ = rows.indices(self.shape[0])
        with self._open() as file:
            offset = self._offset + begin * self._row_bytes
            return np.memmap(file, self.dtype, "r", offset, (end - begin, *self.shape[1:]))

    def ask_for(self, begins: Iterable[int], rows: int) -> None:
        """The system begins to read so many rows from each place on, if they are not in memory and it takes advice."""
        if not hasattr(os, "posix_fadvise"):
            return
        with self._open() as file:
            for begin in begins:
                first = self._offset + begin * self._row_bytes
                last = first + rows * self._row_bytes
                if _is_cached(file.fileno(), last - 1):
                    continue
                for offset in range(first, last, BYTES_AT_ONCE):
                    count = min(BYTES_AT_ONCE, last - offset)
                    os.posix_fadvise(file.fileno(), offset, count, os.POSIX_FADV_WILLNEED)

    def read_into(self, to: np.ndarray, places: np.ndarray, threads: int) -> None:
        """For each (begin, place, size), rows begin .. begin + size become rows place .. place + size of `to`."""
        pieces = places * self._row_bytes + [self._offset, 0, 0]
        with self._open() as file:
            if not _core.read_pieces(file.fileno(), to, pieces, threads):
                raise self._changed(file)

    def _changed(self, file: Any) -> DataFileError:
        found, expected = os.fstat(file.fileno()).st_size, self._status.st_size
        change = "shorter" if found < expected else "longer"
        return DataFileError(
            f"{self._name} has become {change} while it was used: it has {found} bytes, not {expected}"
        )


def _npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its version must be 1.0, 2.0 or 3.0, got {version[0]}.{version[1]}")
    # 3.0 is 2.0 with names of fields in UTF-8, and fields are refused
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, column_major, dtype = header(file)
    if min(shape, default=0) < 0:
        raise ValueError(f"its shape must not be negative, got {shape}")
    return shape, column_major, dtype


def _is_cached(file: int, offset: int) -> bool:
    """Whether a byte can be read without waiting; False where the system does not say."""
    try:
        return os.preadv(file, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except (AttributeError, OSError):
        return False


def _rows(name: str, source: Any) -> Any:
    if isinstance(source, (str, bytes, os.PathLike)):
        return _NpyRows(source)
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
    """Of a value of a chunk: as it comes, and once more as the core takes it, where that is another type."""
    if dtype in (np.uint8, np.float32, np.float64) and dtype.isnative:
        return dtype.itemsize
    return dtype.itemsize + (4 if dtype.kind == "f" and dtype.itemsize < 8 else 8)


class _EndOfEpoch(Exception):
    """Nothing is left to load."""


def _ahead(loads: Iterator[Callable[[], Any]]) -> Iterator[Any]:
    """What they return, until one raises _EndOfEpoch; a thread calls the next while the caller uses the last.

    One thread for the whole epoch: where OpenMP keeps the cores busy, a new one can take a millisecond to start.
    """
    asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
    answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def answer() -> None:
        for load in iter(asked.get, None):
            answers.put(_outcome(load))

    def outcome_of(load: Callable[[], Any]) -> Outcome:
        while True:
            try:
                return answers.get(timeout=0.5)
            except queue.Empty:
                if not thread.is_alive():  # in a child, forked meanwhile
                    return _outcome(load)

    load = next(loads)
    thread = threading.Thread(target=answer, name="fastmlp.streaming", daemon=True)
    try:
        thread.start()
        asked.put(load)
        while load is not None:
            results, error = outcome_of(load)
            if isinstance(error, _EndOfEpoch):
                break
            if error is not None:
                raise error
            load = next(loads, None)
            asked.put(load)
            yield results.pop()  # not held here, too, or three chunks would be in memory and not two
    finally:
        asked.put(None)
        if thread.is_alive():  # Ctrl-C may have come before it began
            thread.join()  # it may write to what the caller owns


Outcome = tuple[list[Any], BaseException | None]  # one result or none


def _outcome(load: Callable[[], Any]) -> Outcome:
    try:
        return [load()], None
    except BaseException as error:  # raised where the result is wanted
        return [], error


class BoundStream:
    """A stream's chunks as the core's data sets for one network."""

    def __init__(self, stream: Stream, network: Network) -> None:
        self._stream, self._network = stream, network
        self._rooms = stream._rooms()
        self._checked = False

    @property
    def rows(self) -> int | None:
        return self._stream.rows

    def epoch(self, rng: np.random.Generator | None, threads: Callable[[], int]) -> Iterator[Any]:
        """Data sets, one after another; another thread fetches the next chunk while the caller uses the last."""
        rows = 0
        with contextlib.closing(_ahead(self._stream._epoch(rng, self._rooms))) as chunks:
            for number in itertools.count():
                try:
                    take = next(chunks, None)
                    if take is None:
                        break
                    data = self._network._training_set(*take(threads()), threads(), self._checked)
                    del take
                except Exception as error:
                    validation.add_note(error, f"chunk {number} of the stream")
                    raise
                rows += data.rows
                yield data
                del data
        if rows == 0:
            raise ValueError(
                "a stream must have at least one chunk in each epoch, got none; an iterator ends with its first epoch: give"
                " an iterable, such as a list or an object whose __iter__ begins anew"
            )
        self._stream.rows = rows
        self._checked = self._stream._same_each_epoch
