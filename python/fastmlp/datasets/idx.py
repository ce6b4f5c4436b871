"""Strict reader of IDX files, the format in which MNIST is published.

An IDX file is a big-endian header (two zero bytes, a type code, the number of dimensions, one 32-bit length per
dimension) followed by the values and nothing else. The header is not trusted: a size is checked before memory is
allocated or data decompressed.
"""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNSIGNED_BYTE = 0x08  # the only type code that MNIST and its relatives use
_MAX_DIMENSIONS = 8  # colour images have 4; a header with 255 is forged
_DEFLATE_LIMIT = 1032  # the best ratio of DEFLATE: 258 bytes for 2 bits
_BLOCK = 1 << 20  # bytes per read, so that no second copy of the file is held


def read_idx(
    path: str | os.PathLike[str],
    expected_shape: Sequence[int | None] | None = None,
    *,
    sha256: str | None = None,
    max_bytes: int = 1 << 30,
) -> np.ndarray:
    """Read one IDX file of unsigned bytes, plain or gzip-compressed.

    Compression is recognised by content, not by name: browsers and servers decompress ``.gz`` files without
    renaming them.

    Parameters
    ----------
    path : str or path-like
    expected_shape : sequence of int or None, optional
        The shape that the file must declare; ``None`` matches any length: ``(None, 28, 28)`` accepts any number of
        MNIST-sized images.
    sha256 : str of 64 hexadecimal digits, optional
        The hash that the decompressed file, header included, must have.
    max_bytes : int, default 2**30 bytes
        A file that declares more values is rejected. (The largest relative of MNIST, EMNIST by class, has 547 million.)

    Returns
    -------
    values : array of uint8, C-contiguous, with the shape that the file declares

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataFileError
        If the file cannot be read, is not an IDX file of unsigned bytes, is shorter or longer than its header says by
        even one byte, fails its gzip checksum, or differs from `expected_shape` or `sha256`.
    """
    import gzip
    import hashlib
    import zlib

    path = Path(path)
    try:
        with open(path, "rb") as file:
            is_compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            capacity = os.fstat(file.fileno()).st_size * (_DEFLATE_LIMIT if is_compressed else 1)
            with gzip.GzipFile(fileobj=file, mode="rb") if is_compressed else file as stream:
                header, values = _read_stream(path, stream, expected_shape, max_bytes, capacity)
    except FileNotFoundError:
        raise
    except (OSError, EOFError, zlib.error) as failure:
        raise DataFileError(f"{path} cannot be read: {failure}") from failure
    if sha256 is not None:
        digest = hashlib.sha256(header)
        digest.update(values)
        if digest.hexdigest() != sha256:
            expected = f"expected sha256 {sha256} of the decompressed file, got {digest.hexdigest()}"
            raise DataFileError(f"{path} has the right form but other content: {expected}")
    return values


def load_idx(
    images: str | os.PathLike[str], labels: str | os.PathLike[str], *, classes: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Load labelled images from two IDX files, plain or gzip-compressed.

    Parameters
    ----------
    images, labels : str or path-like
        Files of unsigned bytes, shapes (samples, ...) and (samples,).
    classes : int >= 1, default 10

    Returns
    -------
    X : array of uint8, shape (samples, features), C-contiguous
        All dimensions of `images` but the first are flattened.
    y : array of int64 in [0, classes), shape (samples,)

    Raises
    ------
    FileNotFoundError
        If one of the files does not exist.
    DataFileError
        If a file is damaged, the two differ in the number of samples, or a label lies outside [0, classes).
    """
    X = read_idx(images)
    y = read_idx(labels, (None,))
    if len(X) != len(y):
        raise DataFileError(f"{images} holds {len(X)} images, but {labels} holds {len(y)} labels")
    if y.max() >= classes:
        position = int(np.argmax(y >= classes))
        raise DataFileError(f"{labels} must hold labels in [0, {classes}), got {y[position]} at position {position}")
    return X.reshape(len(X), -1), y.astype(np.int64)


def _read_stream(
    path: Path, stream: io.BufferedIOBase, expected_shape: Sequence[int | None] | None, max_bytes: int, capacity: int
) -> tuple[bytes, np.ndarray]:
    """Return the header and the values of a stream of at most `capacity` bytes."""
    header, shape = _read_header(path, stream)
    if expected_shape is not None and not (
        len(shape) == len(expected_shape) and all(b in (None, a) for a, b in zip(shape, expected_shape))
    ):
        expected = str(tuple(expected_shape)).replace("None", "any")
        raise DataFileError(f"{path} must hold values of shape {expected}, its header says {shape}")
    size = math.prod(shape)
    declared = f"{path} declares {size} values of shape {shape}"
    if size > max_bytes:
        raise DataFileError(f"{declared}, the limit is {max_bytes}")
    if size > capacity:
        raise DataFileError(f"{declared}, but is too short to hold them")

    values = np.empty(shape, np.uint8)
    target = memoryview(values).cast("B")
    filled = 0
    while filled < size:
        block = stream.read(min(_BLOCK, size - filled))
        if not block:
            raise DataFileError(f"{declared}, but ends after {filled}")
        target[filled : filled + len(block)] = block
        filled += len(block)
    if stream.read(1):  # reading past the end also makes gzip compare its checksum
        raise DataFileError(f"{declared}, but goes on after them")
    return header, values


def _read_header(path: Path, stream: io.BufferedIOBase) -> tuple[bytes, tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        start = magic + stream.read(12)
        raise DataFileError(f"{path} is not an IDX file: expected two zero bytes first, it starts with {start!r}")
    type_code, dimensions = magic[2], magic[3]
    if type_code != _UNSIGNED_BYTE:
        raise DataFileError(f"{path} must hold unsigned bytes (IDX type 0x08), its header says type 0x{type_code:02x}")
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise DataFileError(f"{path} must have 1 to {_MAX_DIMENSIONS} dimensions, its header says {dimensions}")
    lengths = stream.read(4 * dimensions)
    if len(lengths) < 4 * dimensions:
        raise DataFileError(f"{path} ends inside its header, after {4 + len(lengths)} bytes")
    shape = tuple(np.frombuffer(lengths, ">u4").tolist())
    if 0 in shape:
        raise DataFileError(f"{path} is empty: its header says shape {shape}")
    return magic + lengths, shape
