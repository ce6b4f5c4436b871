"""Model files and checkpoints: safetensors with a layout of our own, version 1.

Tensors of every file, for layer i from 0 on, of the network's dtype (F32 or F64), row-major and little-endian:

=====================  ==================
``weights.<i>``        (inputs, outputs)
``biases.<i>``         (outputs,)
=====================  ==================

Metadata of every file, all of them text:

=====================  ==================================================
``format``             ``fastmlp``
``format_version``     ``1``
``content``            ``network`` or ``checkpoint``
``written_by``         the version of fastmlp, for people
``layer_sizes``        ``784, 128, 10``
``activation``         of the hidden layers, as in `Network`
``loss``               as in `Network`
``input_scale``        the shortest decimal of the float64
``clips_loss``         ``0``, or ``1``: reported losses as scikit-learn's
=====================  ==================================================

A checkpoint holds besides, in ``trainer.<name>``, the settings of `Trainer`; in ``rows.<name>`` the state of NumPy's
PCG64 that permutes the rows; in ``steps`` the updates made; as tensors ``optimizer.<i>.<k>`` the optimizer's arrays
beside weights (even k) and biases (odd k), and as float64 tensors ``history.<name>`` the entries of `History`.

Weights and biases are finite; a fit that is well may leave inf in the rest, such as Adam's second moments or `val_loss`.

Nothing in a file is executed, and memory is bounded by its size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import validation
from .atomic_files import write_file
from .errors import ModelFileError

if TYPE_CHECKING:
    from .network import Network

FORMAT_VERSION = 1
LARGEST_HEADER = 1 << 24  # bytes: a hundred thousand layers

LONGEST_MESSAGE = 300  # characters beside the path: a file may hold any text, and its error is not to be a copy

Arrays = dict[str, np.ndarray]
Metadata = dict[str, str]
Path = str | os.PathLike[str]


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError:
        raise ImportError("model files need safetensors: pip install 'fastmlp[files]'") from None
    return safetensors


def write(path: Path, content: str, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes the file, or leaves the old one as it was (OSError); ValueError where `read` would refuse it."""
    from . import __version__

    head = {
        "format": "fastmlp",
        "format_version": str(FORMAT_VERSION),
        "content": content,
        "written_by": f"fastmlp {__version__}",
    }
    written = _safetensors().numpy.save(dict(arrays), {**head, **metadata})
    header_bytes = int.from_bytes(written[:8], "little")
    if header_bytes > LARGEST_HEADER:
        raise ValueError(f"a model file's header must have at most {LARGEST_HEADER} bytes, got {header_bytes}")
    write_file(path, written)


def read(path: Path) -> tuple[Arrays, Metadata]:
    """The tensors and the metadata of a file of this format; whatever it holds besides is up to the caller.

    Raises
    ------
    ModelFileError
        If it is not such a file, or a later version's.
    OSError
        If it cannot be read.
    """
    safetensors = _safetensors()
    name = os.fsdecode(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        header_bytes = int.from_bytes(start, "little")
        if len(start) < 8 or header_bytes > min(size - 8, LARGEST_HEADER):
            raise _error(name, "is not a model file: it does not begin with a safetensors header")
        header = file.read(header_bytes)
        if b'"fastmlp"' not in header:  # before all of a large file of another kind is read
            raise _error(name, "is not a model file of fastmlp: its header does not say so")
        content = start + header + file.read(size - 8 - header_bytes)
    try:
        tensors = json.loads(header)
        metadata = tensors.pop("__metadata__", None) or {}
        if not isinstance(metadata, dict):
            raise TypeError(f"__metadata__ must be an object, got {metadata!r}")
        others = {name: found["dtype"] for name, found in tensors.items() if found["dtype"] not in ("F32", "F64")}
        arrays = {} if others else safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as reason:
        raise _error(name, f"is not a whole safetensors file: {reason}") from None
    if metadata.get("format") != "fastmlp":
        raise _error(name, f"is not a model file of fastmlp: its format is {metadata.get('format')!r}")
    version = metadata.get("format_version")
    if version != str(FORMAT_VERSION):
        raise _error(
            name, f"has format version {version!r}; this fastmlp reads version {FORMAT_VERSION}: use a later one"
        )
    if others:
        raise _error(name, f"must hold tensors of F32 or F64, got {others}")
    return arrays, metadata


def _error(name: str, what: str) -> ModelFileError:
    return ModelFileError(f"{name} {what if len(what) <= LONGEST_MESSAGE else what[:LONGEST_MESSAGE] + '...'}")


class Fields:
    """The metadata of a file, each entry checked as it is taken."""

    def __init__(self, path: Path, metadata: Metadata) -> None:
        self._name = os.fsdecode(path)
        self._metadata = metadata

    def text(self, name: str) -> str:
        if name not in self._metadata:
            raise self.error(f"its metadata lack {name!r}")
        return self._metadata[name]

    def integer(self, name: str) -> int:
        return self._parsed(name, int, "an integer")

    def number(self, name: str) -> float:
        return self._parsed(name, float, "a number")

    def flag(self, name: str) -> bool:
        return self._parsed(name, {"0": False, "1": True}.__getitem__, "0 or 1")

    def integers(self, name: str) -> tuple[int, ...]:
        return self._parsed(name, lambda text: tuple(map(int, text.split(","))), "integers with commas between")

    def _parsed(self, name: str, parse: Any, kind: str) -> Any:
        text = self.text(name)
        try:
            return parse(text)
        except (ValueError, KeyError):
            raise self.error(f"{name} must be {kind}, got {text!r}") from None

    def error(self, what: str) -> ModelFileError:
        return _error(self._name, f"is damaged: {what}")


def take(fields: Fields, arrays: Arrays, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Removes this array from `arrays` and returns it: of this shape and dtype."""
    if name not in arrays:
        raise fields.error(f"it lacks the tensor {name!r}")
    array = arrays.pop(name)
    if array.shape != shape or array.dtype != dtype:
        raise fields.error(f"{name} must have shape {shape} and be {dtype}, got {array.shape} and {array.dtype}")
    return array


def _take_finite(fields: Fields, arrays: Arrays, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    array = take(fields, arrays, name, shape, dtype)
    if not np.isfinite(array).all():
        raise fields.error(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
    return array


def network_metadata(network: Any) -> Metadata:
    return {
        "layer_sizes": ", ".join(map(str, network.layer_sizes)),
        "activation": network.activation,
        "loss": network.loss,
        "input_scale": repr(float(network.input_scale)),
        "clips_loss": str(int(network._clips_loss)),
    }


def finite_arrays(network: Any, purpose: str) -> Arrays:
    """Weights and biases by name, of one moment (RuntimeError while another thread fits the network).

    ValueError if one is not finite: nobody else's program is handed such a network.
    """
    with network._at_rest():
        arrays = {f"weights.{i}": array for i, array in enumerate(network.weights)}
        arrays |= {f"biases.{i}": array for i, array in enumerate(network.biases)}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(
                f"a network must be finite to be {purpose}, got {name} with {array[~np.isfinite(array)][0]}"
            )
    return arrays


def take_network(fields: Fields, arrays: Arrays) -> Any:
    """The network of a file; its tensors are removed from `arrays`."""
    from .network import ACTIVATIONS, LOSSES, Network

    layer_sizes = fields.integers("layer_sizes")
    if len(layer_sizes) < 2 or min(layer_sizes) < 1:
        raise fields.error(f"layer_sizes must be at least two positive integers, got {layer_sizes}")
    if "weights.0" not in arrays:
        raise fields.error("it lacks the tensor 'weights.0'")
    dtype = arrays["weights.0"].dtype
    shapes = list(zip(layer_sizes, layer_sizes[1:]))
    weights = [_take_finite(fields, arrays, f"weights.{i}", shape, dtype) for i, shape in enumerate(shapes)]
    biases = [_take_finite(fields, arrays, f"biases.{i}", shape[1:], dtype) for i, shape in enumerate(shapes)]
    try:
        validation.check_layer_sizes(layer_sizes, dtype)
        activation = validation.check_choice("activation", fields.text("activation"), ACTIVATIONS)
        loss = validation.check_choice("loss", fields.text("loss"), LOSSES)
        scale = validation.check_scale("input_scale", fields.number("input_scale"), dtype)
    except ModelFileError:
        raise
    except ValueError as reason:
        raise fields.error(str(reason)) from None
    return Network._of_parameters(weights, biases, activation, loss, dtype, fields.flag("clips_loss"), scale)


def load(path: Path) -> Network:
    """Read a network that `Network.save` or a checkpoint has written.

    Parameters
    ----------
    path : path

    Returns
    -------
    Network
        With the same bits in its parameters, dtype included.

    Raises
    ------
    ModelFileError
        If the file is not a whole model file of fastmlp, or one of a later format version.
    OSError
        If it cannot be read.
    MemoryError
        If its network does not fit into this machine's memory.
    ImportError
        Without safetensors.
    """
    arrays, metadata = read(path)
    fields = Fields(path, metadata)
    network = take_network(fields, arrays)
    unknown = [name for name in arrays if metadata.get("content") != "checkpoint" or not _of_checkpoint(name)]
    if unknown:
        raise fields.error(f"it holds tensors that do not belong to it: {', '.join(sorted(unknown)[:5])}")
    return network


def _of_checkpoint(name: str) -> bool:
    return name.startswith(("optimizer.", "history."))


def save_network(network: Any, path: Path) -> None:
    write(path, "network", finite_arrays(network, "saved"), network_metadata(network))
