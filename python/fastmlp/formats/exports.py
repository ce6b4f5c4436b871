"""The files and formats of a network: model files, ONNX, state dicts, C."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from ..model_state import ModelState
from . import c_source, model_file, onnx_graph, state_dict

N = TypeVar("N", bound="Exports")


class Exports:
    """The part of `Network` that reads and writes it."""

    __slots__ = ()

    @abstractmethod
    def state(self) -> ModelState:
        """The network as a value."""

    @classmethod
    @abstractmethod
    def from_state(cls: type[N], state: ModelState) -> N:
        """The network of a value."""

    @classmethod
    def load(cls: type[N], path: str | os.PathLike[str]) -> N:
        """Read the network of a model file or a checkpoint, with the same bits and dtype; also `fastmlp.load`.

        Raises
        ------
        ModelFileError
            If the file is not a complete model file of fastmlp, or has a later format version.
        OSError, MemoryError, ImportError
            If it cannot be read, does not fit into this machine's memory, or safetensors is missing.
        """
        return cls.from_state(model_file.read_model(path))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file, which `fastmlp.load` reads. Its format is safetensors: nothing in it is executed.

        Parameters
        ----------
        path : path
            Conventionally ``<name>.safetensors``. An existing file is replaced atomically, once the new one is complete
            and on the disk: after a crash or with a full disk the old one is still there.

        Raises
        ------
        ValueError
            If a weight or bias is not finite, or the network has more layers (some 100,000) than a file can describe.
        RuntimeError
            If a fit is running in another thread; save from one of its callbacks.
        OSError, ImportError
            If the file cannot be written, or without safetensors; an existing file is unchanged.
        """
        model_file.write_model(self.state(), path)

    def to_onnx(self, input_type: str | None = None) -> Any:
        """The network as an ONNX model, for onnxruntime and every other runtime of this format.

        Parameters
        ----------
        input_type : {"float32", "float64", "uint8"}, optional
            Type of the model's inputs. Default: the network's dtype, in which the model computes.

        Returns
        -------
        onnx.ModelProto
            Opset 13, IR version 7, checked by onnx.checker. ``onnx.save(model, path)`` writes it to a file. Its input
            ``inputs``, shape (rows, features), is not yet multiplied by ``input_scale`` or standardized. Its outputs
            are ``outputs``, the result of `forward`, and, for the cross-entropies, ``classes``, the result of `predict`
            (a column for one output). Its metadata hold ``layer_sizes``, ``activation``, ``loss``, ``input_scale`` as
            model files do.

        Raises
        ------
        ValueError
            If a weight or bias is not finite, if the model would exceed the 2 GiB of a protobuf message, or for exact GELU
            in float64, which onnxruntime does not compute.
        ImportError
            Without onnx.

        Notes
        -----
        NaN, inf and float64 values beyond float32's range, which `forward` rejects, pass through the graph. Runtimes sum
        in another order: results differ from `forward` in their last digits, and so may the class of a tie. Sigmoid and Erf
        of onnxruntime have absolute errors of about the dtype's epsilon, also where they are nearly 0: so have logistic,
        silu and both gelu there.
        """
        return onnx_graph.to_onnx(self.state(), input_type)

    def to_state_dict(self, fold_input_scale: bool = False) -> dict[str, np.ndarray]:
        """The parameters by PyTorch's names, for ``torch.nn.Sequential(Linear, ReLU, Linear, ...)``; needs no torch.

        Parameters
        ----------
        fold_input_scale : bool
            Multiply ``input_scale`` into the first layer's weights, each rounded once more. Of a standardized network:
            fold the means and standard deviations into the first and the last layer, which loses digits where a mean is
            much larger than its standard deviation.

        Returns
        -------
        dict of array
            ``"0.weight"``, shape (outputs, inputs), ``"0.bias"``, shape (outputs,), ``"2.weight"`` ...: new arrays of
            the network's dtype. The odd numbers are the activations, which have no parameters.

        Raises
        ------
        ValueError
            If a weight or bias is not finite, or ``input_scale`` or a standardization is there and not folded.

        Notes
        -----
        A state dict holds no activation, no loss and no ``input_scale``; folded, a program that scales its inputs would
        scale them twice. PyTorch's module returns the values before softmax, sigmoid or exp, as its losses expect.

        Examples
        --------
        >>> import fastmlp
        >>> state = fastmlp.Network((4, 3, 2)).to_state_dict()
        >>> {name: array.shape for name, array in state.items()}
        {'0.weight': (3, 4), '0.bias': (3,), '2.weight': (2, 3), '2.bias': (2,)}
        """
        return state_dict.to_state_dict(self.state(), fold_input_scale)

    @classmethod
    def from_state_dict(
        cls: type[N],
        state: Any,
        *,
        activation: str | Sequence[str],
        loss: str,
        input_scale: float = 1.0,
        dtype: Any = None,
        activation_settings: Mapping[str, float] | Sequence[Mapping[str, float] | None] | None = None,
        loss_settings: Mapping[str, float | Sequence[float]] | None = None,
    ) -> N:
        """A network with the parameters of a state dict, PyTorch's or `to_state_dict`'s.

        Parameters
        ----------
        state : mapping from str to array or torch tensor, of float32 or float64
            Pairs ``"<layer>.weight"``, shape (outputs, inputs), and ``"<layer>.bias"``, shape (outputs,), of dense
            layers only. Layers whose names differ only in numbers are taken in the order of these numbers, that on the
            left first, others in the order of the mapping.
        activation, loss, input_scale, activation_settings, loss_settings
            As for `Network`. A state dict does not hold them; the first two have no default, because a wrong guess would
            give wrong predictions without an error.
        dtype : {"float32", "float64"}, optional
            Default: the dtype of the arrays.

        Raises
        ------
        ValueError, TypeError, MemoryError
            If a key, dtype or value (NaN, inf) is wrong, a bias is missing, shapes do not match, or memory is too small.
        """
        spec = (activation, loss, dtype, input_scale, activation_settings, loss_settings)
        return cls.from_state(state_dict.from_state_dict(state, *spec))

    def to_c(self, name: str = "network") -> str:
        """The network as the text of one C99 file (or C++17) that needs only <math.h>.

        Parameters
        ----------
        name : str
            A C identifier: the prefix of all names in the file.

        Returns
        -------
        str
            ``void NAME_forward(const float *inputs, float *outputs)`` computes `forward` for one row, in double for a
            float64 network. ``int NAME_predict(const float *inputs)`` for ``cross_entropy`` and
            ``void NAME_predict(const float *inputs, int *classes)`` for ``binary_cross_entropy`` compute `predict`.
            The comment at the top gives the sizes, the bytes of stack, and how to compile. The text has about 17 bytes
            per float32 parameter, 23 per float64 parameter, and a few thousand bytes more.

        Raises
        ------
        ValueError, TypeError
            If a weight or bias is not finite, or name is no such identifier.

        Notes
        -----
        Inputs are float or double: convert uint8 yourself. NaN and inf, which `forward` rejects, are not checked for.
        Sums run in the order of the inputs: results differ from `forward` in their last digits.
        """
        return c_source.to_c(self.state(), name)
