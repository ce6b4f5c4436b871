"""Rows of a .npy file: checked, and read by several threads or mapped."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .. import _core
from ..errors import DataFileError

BYTES_AT_ONCE = 1 << 17  # the longest range that Linux prefetches for one advice, on any device


class NpyRows:
    """The rows of a .npy file, read or mapped on demand."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._name = os.path.abspath(os.fsdecode(path))
        with open(self._name, "rb") as file:
            try:
                self.shape, column_major, self.dtype = _header(file)
            except OSError:
                raise
            except Exception as reason:  # forged bytes can raise anything in NumPy and its parser
                raise DataFileError(f"{self._name} is not a .npy file: {str(reason)[:200]}") from None
            self._offset, status = file.tell(), os.fstat(file.fileno())
            file.seek(0)
            self._header = file.read(self._offset)
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
            if file.read(self._offset) != self._header:
                raise DataFileError(f"{self._name} has got another header while it was used")
            yield file

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Mapped, not copied."""
        begin, end, _ = rows.indices(self.shape[0])
        with self._open() as file:
            offset = self._offset + begin * self._row_bytes
            return np.memmap(file, self.dtype, "r", offset, (end - begin, *self.shape[1:]))

    def prefetch(self, begins: Iterable[int], rows: int) -> None:
        """Advises the system to read so many rows from each of `begins` on, if they are not in memory."""
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

    def read_into(self, to: np.ndarray, pieces: np.ndarray, threads: int) -> None:
        """For each (begin, position, size), rows begin .. begin + size become rows position .. of `to`."""
        with self._open() as file:
            if not _core.read_pieces(file.fileno(), to, pieces * self._row_bytes + [self._offset, 0, 0], threads):
                raise self._changed(file)

    def _changed(self, file: Any) -> DataFileError:
        found, expected = os.fstat(file.fileno()).st_size, self._status.st_size
        change = "shorter" if found < expected else "longer"
        return DataFileError(
            f"{self._name} has become {change} while it was used: it has {found} bytes, not {expected}"
        )


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
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
    """Whether a byte can be read without waiting; False if the system does not report it."""
    try:
        return os.preadv(file, [bytearray(1)], offset, os.RWF_NOWAIT) == 1
    except (AttributeError, OSError):
        return False
