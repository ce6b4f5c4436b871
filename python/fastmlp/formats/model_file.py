"""Model files and checkpoints: safetensors files whose content is described here, in format versions 1 to 5.

Tensors of every file, for layer i from 0 on, of the network's dtype (F32 or F64), row-major and little-endian:

=====================  ==================
``weights.<i>``        (inputs, outputs)
``biases.<i>``         (outputs,)
=====================  ==================

and of a network that has learned its standardization, of F64: ``input_mean`` and ``input_std``, shape (features,), and for
losses of real targets, if it has learned those of y, ``target_mean`` and ``target_std``, shape (outputs,).

Metadata of every file, all of them text:

=====================  ==================================================
``format``             ``fastmlp``
``format_version``     ``1``; of an ensemble ``2``; ``3`` if the hidden layers of a network have several activations;
                       ``4`` if one has ``standardize``; ``5`` of a tabular estimator
``content``            ``network``, ``checkpoint``, ``ensemble`` or ``tabular``
``written_by``         the version of fastmlp, for information
``layer_sizes``        ``784, 128, 10``
``activation``         as in `Network`; in version 3 ``relu, elu``, one of each hidden layer
``loss``               as in `Network`
``input_scale``        the shortest decimal of the float64
``standardize``        ``1`` in version 4, otherwise missing
``column_targets``     ``1`` if the targets of one output had shape (samples, 1), otherwise missing
``clips_loss``         ``0``, or ``1``: reported losses as scikit-learn's
``activation.<name>``  a setting of the activation, if it has any; in version 3, of hidden layer i from 0 on,
                       ``activation.<i>.<name>``
``loss.<name>``        a setting of the loss, if it has any; several levels as ``0.1, 0.5, 0.9``
=====================  ==================================================

A checkpoint also holds the settings of `Trainer` in ``trainer.<name>``, the state of the NumPy generator PCG64 that
permutes the rows in ``rows.<name>``, the number of updates in ``steps``, that of the epochs before the last fit in
``fit_begin`` (0 if missing), that at its planned end in ``fit_end`` (if missing, it has ended), the optimizer's arrays
for weights (even k) and biases (odd k) as tensors ``optimizer.<i>.<k>``, and the entries of `History` as float64 tensors
``history.<name>``.

An ensemble holds the number of its networks in ``members``, and for member j all of the above, from ``layer_sizes`` on,
and its tensors, under names that begin with ``members.<j>.``. Its format version is 2, so that programs that know no
ensembles say so.

``tabular/files.py`` describes the rest of a file of a tabular estimator.

Weights, biases and their running means are finite. History and optimizer state may hold inf, such as Adam's second
moments or `val_loss`; only the history may hold NaN.

Nothing in a file is executed, and the memory that reading needs is bounded by the file's size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import activations, losses
from ..errors import ModelFileError
from ..model_state import ModelSpec, ModelState, Standardization, checked_spec
from ..version import __version__
from .atomic_write import write_file

FORMAT_VERSION = 1
ENSEMBLE_VERSION = 2  # of files of ensembles alone
ACTIVATIONS_VERSION = 3  # of files with a network of several activations alone
STANDARDIZED_VERSION = 4  # of files with a network that standardizes alone
TABULAR_VERSION = 5  # of files of tabular estimators alone
MAX_HEADER_BYTES = 1 << 24  # a hundred thousand layers
MAX_MESSAGE_LENGTH = 300  # characters after the path: the file may hold arbitrarily long text

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
    """Write the file, or leave an existing one unchanged (OSError); ValueError if `read` would reject it."""
    head = {
        "format": "fastmlp",
        "format_version": str(_version(content, metadata)),
        "content": content,
        "written_by": f"fastmlp {__version__}",
    }
    written = _safetensors().numpy.save(dict(arrays), {**head, **metadata})
    header_bytes = int.from_bytes(written[:8], "little")
    if header_bytes > MAX_HEADER_BYTES:
        raise ValueError(f"a model file's header must have at most {MAX_HEADER_BYTES} bytes, got {header_bytes}")
    write_file(path, written)


def read(path: Path) -> tuple[Arrays, Metadata]:
    """The tensors and the metadata of a file of this format; the caller checks which they are.

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
        if len(start) < 8 or header_bytes > min(size - 8, MAX_HEADER_BYTES):
            raise error(name, "is not a model file: it does not begin with a safetensors header")
        header = file.read(header_bytes)
        if b'"fastmlp"' not in header:  # before all of a large file of another kind is read
            raise error(name, "is not a model file of fastmlp: its header does not say so")
        content = start + header + file.read(size - 8 - header_bytes)
    try:
        tensors = json.loads(header)
        metadata = tensors.pop("__metadata__", None) or {}
        if not isinstance(metadata, dict):
            raise TypeError(f"__metadata__ must be an object, got {metadata!r}")
        others = {name: found["dtype"] for name, found in tensors.items() if found["dtype"] not in ("F32", "F64")}
        arrays = {} if others else safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as reason:
        raise error(name, f"is not a whole safetensors file: {reason}") from None
    if metadata.get("format") != "fastmlp":
        raise error(name, f"is not a model file of fastmlp: its format is {metadata.get('format')!r}")
    version, known = metadata.get("format_version"), _version(metadata.get("content"), metadata)
    if version != str(known):
        raise error(name, f"has format version {version!r}; this fastmlp reads version {known}: use a later one")
    if others:
        raise error(name, f"must hold tensors of F32 or F64, got {others}")
    return arrays, metadata


def _version(content: str | None, metadata: Mapping[str, Any]) -> int:
    """The lowest, so that older programs read all that they can, and of the rest say that they are older."""
    if content == "tabular":
        return TABULAR_VERSION
    if any(name.rpartition(".")[2] == "standardize" for name in metadata):
        return STANDARDIZED_VERSION
    if any(name.rpartition(".")[2] == "activation" and "," in str(text) for name, text in metadata.items()):
        return ACTIVATIONS_VERSION
    return ENSEMBLE_VERSION if content == "ensemble" else FORMAT_VERSION


def error(name: str, what: str) -> ModelFileError:
    return ModelFileError(f"{name} {what if len(what) <= MAX_MESSAGE_LENGTH else what[:MAX_MESSAGE_LENGTH] + '...'}")


class Fields:
    """The metadata of a file; each entry is checked when it is read."""

    def __init__(self, path: Path, metadata: Metadata) -> None:
        self._name = os.fsdecode(path)
        self._metadata = metadata

    def __contains__(self, name: str) -> bool:
        return name in self._metadata

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
        return self._parsed(name, lambda text: tuple(map(int, text.split(","))), "integers separated by commas")

    def _parsed(self, name: str, parse: Any, kind: str) -> Any:
        text = self.text(name)
        try:
            return parse(text)
        except (ValueError, KeyError):
            raise self.error(f"{name} must be {kind}, got {text!r}") from None

    def error(self, what: str) -> ModelFileError:
        return error(self._name, f"is damaged: {what}")

    def error_of_content(self, what: str) -> ModelFileError:
        """Of a file that is whole, but not of the kind that is read."""
        return error(self._name, what)


def take(fields: Fields, arrays: Arrays, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Removes this array from `arrays` and returns it: of this shape and dtype."""
    if name not in arrays:
        raise fields.error(f"it lacks the tensor {name!r}")
    array = arrays.pop(name)
    if array.shape != shape or array.dtype != dtype:
        raise fields.error(f"{name} must have shape {shape} and be {dtype}, got {array.shape} and {array.dtype}")
    return array


def take_finite(fields: Fields, arrays: Arrays, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    array = take(fields, arrays, name, shape, dtype)
    if not np.isfinite(array).all():
        raise fields.error(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
    return array


def model_metadata(spec: ModelSpec) -> Metadata:
    """The entries of the metadata that describe a network."""
    settings = spec.activation_settings
    parts = (
        {f"activation.{i}": of_layer for i, of_layer in enumerate(settings)}
        if isinstance(settings, tuple)
        else {"activation": settings}
    )
    parts["loss"] = spec.loss_settings
    return {
        "layer_sizes": ", ".join(map(str, spec.layer_sizes)),
        "activation": activations.text_of(spec.activation),
        "loss": spec.loss,
        "input_scale": repr(float(spec.input_scale)),
        "clips_loss": str(int(spec.clips_loss)),
        **({"standardize": "1"} if spec.standardize else {}),
        **({"column_targets": "1"} if spec.column_targets else {}),
        **{f"{kind}.{name}": _text(value) for kind, settings in parts.items() for name, value in settings.items()},
    }


def _text(value: Any) -> str:
    return ", ".join(map(repr, value)) if isinstance(value, tuple) else repr(float(value))


def take_model(fields: Fields, arrays: Arrays) -> ModelState:
    """The network of a file; its tensors are removed from `arrays`."""
    layer_sizes = fields.integers("layer_sizes")
    if len(layer_sizes) < 2 or min(layer_sizes) < 1:
        raise fields.error(f"layer_sizes must be at least two positive integers, got {layer_sizes}")
    if "weights.0" not in arrays:
        raise fields.error("it lacks the tensor 'weights.0'")
    dtype = arrays["weights.0"].dtype
    shapes = list(zip(layer_sizes, layer_sizes[1:]))
    weights = [take_finite(fields, arrays, f"weights.{i}", shape, dtype) for i, shape in enumerate(shapes)]
    biases = [take_finite(fields, arrays, f"biases.{i}", shape[1:], dtype) for i, shape in enumerate(shapes)]
    names, loss = fields.text("activation").split(", "), fields.text("loss")
    try:
        settings = [
            _part_settings(fields, f"activation.{i}" if len(names) > 1 else "activation", activations.TABLE.get(name))
            for i, name in enumerate(names)
        ]
        spec = checked_spec(
            layer_sizes,
            names[0] if len(names) == 1 else names,
            loss,
            dtype,
            fields.number("input_scale"),
            settings[0] if len(names) == 1 else settings,
            _part_settings(fields, "loss", losses.TABLE.get(loss)),
            fields.flag("clips_loss"),
            "standardize" in fields and fields.flag("standardize"),
            "column_targets" in fields and fields.flag("column_targets"),
        )
    except ModelFileError:
        raise
    except (ValueError, TypeError) as reason:
        raise fields.error(str(reason)) from None
    return ModelState(spec, weights, biases, _take_standardization(fields, arrays, spec))


def _take_standardization(fields: Fields, arrays: Arrays, spec: ModelSpec) -> Standardization | None:
    if not spec.standardize or "input_mean" not in arrays:
        return None
    shapes = {"input": spec.layer_sizes[:1]}
    if spec.has_real_targets and "target_mean" in arrays:
        shapes["target"] = spec.layer_sizes[-1:]
    values = {
        f"{kind}_{name}": take_finite(fields, arrays, f"{kind}_{name}", shape, np.dtype(np.float64))
        for kind, shape in shapes.items()
        for name in ("mean", "std")
    }
    for name in ("input_std", "target_std"):
        with np.errstate(all="ignore"):
            if name in values and not ((values[name] > 0) & np.isfinite(1 / values[name])).all():
                raise fields.error(f"{name} must be positive, with a finite inverse, got {values[name].min()}")
    return Standardization(**values)


def _part_settings(fields: Fields, kind: str, part: Any) -> dict[str, Any]:
    """Those that are there: a setting may be younger than the file."""
    given = [name for name in part.settings if f"{kind}.{name}" in fields] if part else []
    return {name: _number_or_numbers(fields, f"{kind}.{name}") for name in given}


def _number_or_numbers(fields: Fields, name: str) -> Any:
    text = fields.text(name)
    if ", " not in text:
        return fields.number(name)
    try:
        return tuple(float(each) for each in text.split(", "))
    except ValueError:
        raise fields.error(f"{name} must be numbers, got {text!r}") from None


def read_model(path: Path) -> ModelState:
    """What `Network.load` makes a network of."""
    model = read_any(path)
    if not isinstance(model, ModelState):
        raise error(os.fsdecode(path), "holds an ensemble; fastmlp.load reads it")
    return model


def read_ensemble(path: Path) -> list[ModelState]:
    """What `Ensemble.load` makes an ensemble of."""
    models = read_any(path)
    if isinstance(models, ModelState):
        raise error(os.fsdecode(path), "holds one network, no ensemble; fastmlp.load reads it")
    return models


def read_any(path: Path) -> ModelState | list[ModelState]:
    """The network of a model file or a checkpoint, or the members of an ensemble."""
    arrays, metadata = read(path)
    fields = Fields(path, metadata)
    if metadata.get("content") == "tabular":
        raise error(os.fsdecode(path), "holds a tabular estimator: fastmlp.tabular.load reads it")
    if metadata.get("content") == "ensemble":
        return _take_members(path, fields, arrays, metadata)
    state = take_model(fields, arrays)
    unknown = [name for name in arrays if metadata.get("content") != "checkpoint" or not _of_checkpoint(name)]
    if unknown:
        raise _strangers(fields, unknown)
    return state


def _take_members(path: Path, fields: Fields, arrays: Arrays, metadata: Metadata) -> list[ModelState]:
    own_arrays, own_metadata = _by_member(arrays), _by_member(metadata)
    count = fields.integer("members")
    if own_arrays.keys() != set(map(str, range(len(own_arrays)))) or count != len(own_arrays):
        raise fields.error(f"it must hold the tensors of {count} members, got those of {len(own_arrays)}")
    states = []
    for member, own in own_arrays.items():
        its_fields = Fields(path, own_metadata.get(member, {}))
        states.append(take_model(its_fields, own))
        if own:
            raise _strangers(its_fields, own)
    return states


def _by_member(entries: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Those whose names are ``members.<j>.<name>``, by j and name, in ascending order of j; others have j ``""``."""
    members: dict[str, dict[str, Any]] = {}
    for name, value in entries.items():
        head, _, rest = name.removeprefix("members.").partition(".")
        members.setdefault(head if name.startswith("members.") else "", {})[rest] = value
    return dict(sorted(members.items(), key=lambda item: (len(item[0]), item[0])))


def _strangers(fields: Fields, names: Iterable[str]) -> ModelFileError:
    return fields.error(f"it holds tensors that do not belong to it: {', '.join(sorted(names)[:5])}")


def _of_checkpoint(name: str) -> bool:
    return name.startswith(("optimizer.", "history."))


def write_ensemble(states: Sequence[ModelState], path: Path) -> None:
    """What `Ensemble.save` does."""
    arrays, metadata = {}, {"members": str(len(states))}
    for j, state in enumerate(states):
        arrays |= {f"members.{j}.{name}": array for name, array in state.saved_arrays().items()}
        metadata |= {f"members.{j}.{name}": text for name, text in model_metadata(state.spec).items()}
    write(path, "ensemble", arrays, metadata)


def write_model(state: ModelState, path: Path) -> None:
    """What `Network.save` does."""
    write(path, "network", state.saved_arrays(), model_metadata(state.spec))
