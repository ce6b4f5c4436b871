"""Types of the C++ core. Arrays must be C-contiguous, aligned and of exactly the dtype named: nothing is converted."""

import enum
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Generic, NoReturn, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T", np.float32, np.float64)

testing: ModuleType

class _Class(type): ...  # pybind11's

class Activation(enum.Enum):
    identity = 0
    relu = 1
    tanh = 2
    logistic = 3
    exponential = 4
    leaky_relu = 5
    silu = 6
    elu = 7
    selu = 8
    softplus = 9
    gelu = 10
    gelu_tanh = 11
    mish = 12
    __pybind11_native_enum__: object

class Loss(enum.Enum):
    cross_entropy = 0
    squared_error = 1
    binary_cross_entropy = 2
    poisson = 3
    absolute_error = 4
    huber = 5
    quantile = 6
    gamma = 7
    __pybind11_native_enum__: object

class PairOrder(enum.Enum):
    bfloat16 = 0
    bfloat16_amx = 1
    __pybind11_native_enum__: object

class UpdateKind(enum.Enum):
    sgd = 0
    momentum = 1
    adam = 2
    adamw = 3
    nadam = 4
    rmsprop = 5
    __pybind11_native_enum__: object

class UpdateSchedule(metaclass=_Class):
    def __init__(
        self, learning_rate: Sequence[float], weight_decay: Sequence[float], dropout: Sequence[float]
    ) -> None: ...

class UpdateSettings(metaclass=_Class):
    def __init__(
        self,
        learning_rate: float,
        l1: float = 0.0,
        l2: float = 0.0,
        alpha: float = 0.0,
        proximal: bool = False,
        measures_penalty: bool = False,
        max_gradient_norm: float = 0.0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        dropout_seed: int = 0,
        schedule: UpdateSchedule | None = None,
    ) -> None: ...
    def at(self, update: int) -> UpdateSettings: ...

class LossSum(metaclass=_Class):
    @property
    def loss(self) -> float: ...
    @property
    def correct(self) -> float: ...
    @property
    def penalty(self) -> float: ...

class EpochPlan(metaclass=_Class):
    @overload
    def __init__(
        self, order: NDArray[np.int64], batch_size: int, accumulate: int = 1, gradient_divisor: float = 0.0
    ) -> None: ...
    @overload
    def __init__(self, order: int, batch_size: int, accumulate: int = 1, gradient_divisor: float = 0.0) -> None: ...
    @property
    def rows(self) -> int: ...

class CsrInputs(metaclass=_Class):
    def __init__(
        self, values: NDArray[Any], column_index: NDArray[np.int32], row_starts: NDArray[np.int64], columns: int
    ) -> None: ...
    @property
    def values(self) -> NDArray[Any]: ...
    @property
    def ascending(self) -> bool: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    def __len__(self) -> int: ...
    def position(self, value: int) -> tuple[int, int]: ...
    def positions(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]: ...

_Inputs: TypeAlias = NDArray[Any] | CsrInputs
_MeanAndDeviation: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]

class NonzeroBits(metaclass=_Class):
    def __init__(self, inputs: _Inputs, n_threads: int) -> None: ...

class ParameterLock(metaclass=_Class):
    def __init__(self, *args: NoReturn, **kwargs: NoReturn) -> None: ...  # Network.lock_parameters makes it
    def __enter__(self) -> None: ...
    def __exit__(self, *exception: object) -> None: ...

class _Dataset(metaclass=_Class):
    def __init__(self, *args: NoReturn, **kwargs: NoReturn) -> None: ...  # Network.dataset makes it
    @property
    def rows(self) -> int: ...

class _Network(Generic[_T], metaclass=_Class):
    def __init__(
        self,
        sizes: list[int],
        activations: list[tuple[Activation, list[float]]],
        loss: Loss,
        loss_settings: list[float],
        input_scale: float,
        clips_loss: bool = False,
    ) -> None: ...
    parameter_vector: NDArray[_T]
    @property
    def training_operations(self) -> float: ...
    @property
    def forward_operations(self) -> float: ...
    def weights(self, layer: int) -> NDArray[_T]: ...
    def biases(self, layer: int) -> NDArray[_T]: ...
    def set_layer(self, layer: int, weights: NDArray[_T], biases: NDArray[_T]) -> None: ...
    @overload
    def dataset(
        self,
        inputs: _Inputs,
        labels: NDArray[np.int64],
        nonzero: NonzeroBits | None = None,
        sample_weights: NDArray[_T] | None = None,
    ) -> _Dataset: ...
    @overload
    def dataset(
        self,
        inputs: _Inputs,
        targets: NDArray[_T],
        nonzero: NonzeroBits | None = None,
        sample_weights: NDArray[_T] | None = None,
    ) -> _Dataset: ...
    def forward(
        self, inputs: _Inputs, begin: int, end: int, n_threads: int, bfloat16: PairOrder | None = None
    ) -> NDArray[_T] | None: ...
    def evaluate(self, data: _Dataset, begin: int, end: int, sum: LossSum, n_threads: int) -> None: ...
    def standardize(self, standardization: _MeanAndDeviation) -> None: ...
    def weight_norms(self) -> tuple[float, float]: ...
    def is_finite(self) -> bool: ...
    def lock_parameters(self) -> ParameterLock: ...
    @property
    def parameters_version(self) -> int: ...
    def is_locked_elsewhere(self) -> bool: ...

class _Trainer(Generic[_T], metaclass=_Class):
    def __init__(
        self,
        network: _Network[_T],
        kind: UpdateKind,
        momentum: float = 0.0,
        nesterov: bool = False,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        rho: float = 0.99,
        momentum_decay: float = 0.0,
        average_decay: float = 0.0,
        rate_factors: Sequence[tuple[float, float]] = ...,
        bfloat16: PairOrder | None = None,
    ) -> None: ...
    updates: int
    def run(
        self,
        data: _Dataset,
        plan: EpochPlan,
        settings: UpdateSettings,
        position: int,
        sum: LossSum,
        n_threads: int,
        seconds: float,
    ) -> int: ...
    def sum_gradients(
        self,
        data: _Dataset,
        plan: EpochPlan,
        position: int,
        sum: LossSum,
        n_threads: int,
        seconds: float,
        settings: UpdateSettings = ...,
    ) -> int: ...
    def gradient_memory(self) -> NDArray[_T]: ...
    def update(self, settings: UpdateSettings, gradient_divisor: float, n_threads: int) -> None: ...
    def apply(
        self, weights: list[NDArray[_T]], biases: list[NDArray[_T]], settings: UpdateSettings, n_threads: int
    ) -> None: ...
    def memory(self) -> NDArray[_T]: ...
    def set_memory(self, values: NDArray[_T]) -> None: ...
    def save_snapshot(self) -> None: ...
    def restore_snapshot(self) -> None: ...
    def optimizer_state(self) -> tuple[int, list[list[NDArray[_T]]]]: ...
    def set_optimizer_state(self, updates: int, layers: list[list[NDArray[_T]]]) -> None: ...
    def gradients(self) -> tuple[list[NDArray[_T]], list[NDArray[_T]]]: ...
    def gradient_vector(self) -> NDArray[_T]: ...

class NetworkFloat32(_Network[np.float32]): ...
class NetworkFloat64(_Network[np.float64]): ...
class DatasetFloat32(_Dataset): ...
class DatasetFloat64(_Dataset): ...

class _Step(Generic[_T], metaclass=_Class):
    def __init__(self, network: _Network[_T], rows: int) -> None: ...
    def forward(self, inputs: _Inputs, begin: int, end: int, n_threads: int) -> int: ...
    def outputs(self) -> NDArray[_T]: ...
    def backward(
        self,
        gradient: NDArray[_T],
        begin: int,
        end: int,
        sums: bool,
        in_gradient: NDArray[_T] | None,
        n_threads: int,
    ) -> int: ...
    def gradients(self) -> tuple[list[NDArray[_T]], list[NDArray[_T]]]: ...

class StepFloat32(_Step[np.float32]): ...
class StepFloat64(_Step[np.float64]): ...
class TrainerFloat32(_Trainer[np.float32]): ...
class TrainerFloat64(_Trainer[np.float64]): ...

class TabularShape(metaclass=_Class):
    def __init__(
        self,
        numbers: int,
        columns: int,
        frequencies: int,
        embedding_outputs: int,
        categories: list[tuple[int, int]],
        hidden: list[int],
        outputs: int,
        members: int = ...,
        scales_inputs: bool = ...,
        scales_layers: bool = ...,
        mixes_activation: bool = ...,
        bin_edges: list[list[float]] = ...,
    ) -> None: ...

class _Table(metaclass=_Class):
    def __init__(self, *args: NoReturn, **kwargs: NoReturn) -> None: ...  # TabularNet.table makes it
    @property
    def rows(self) -> int: ...

class TableFloat32(_Table): ...
class TableFloat64(_Table): ...

class _TabularNet(Generic[_T], metaclass=_Class):
    def __init__(
        self,
        shape: TabularShape,
        activation: Activation,
        activation_settings: list[float],
        loss: Loss,
        loss_settings: list[float],
    ) -> None: ...
    def table(self, numbers: NDArray[_T], columns: NDArray[_T], codes: NDArray[np.int32]) -> _Table: ...
    def labelled_table(
        self,
        numbers: NDArray[_T],
        columns: NDArray[_T],
        codes: NDArray[np.int32],
        labels: NDArray[np.int64] | None = None,
        targets: NDArray[_T] | None = None,
        sample_weights: NDArray[_T] | None = None,
    ) -> _Table: ...
    def parameters(self) -> dict[str, NDArray[_T]]: ...
    def set_parameters(self, parameters: dict[str, NDArray[_T]]) -> None: ...
    def forward(self, table: _Table, n_threads: int) -> NDArray[_T]: ...
    def hidden_outputs(self, table: _Table, count: int, n_threads: int) -> NDArray[_T]: ...
    @property
    def forward_operations(self) -> float: ...

class _TabularTrainer(Generic[_T], metaclass=_Class):
    def __init__(
        self,
        net: _TabularNet[_T],
        beta_1: float = ...,
        beta_2: float = ...,
        epsilon: float = ...,
        weight_decay: float = ...,
        gradient_factor: float = ...,
        bfloat16: PairOrder | None = None,
    ) -> None: ...
    def set_factors(
        self, name: str, learning_rate: float = ..., weight_decay: float = ..., epsilon: float = ...
    ) -> None: ...
    def run(
        self,
        table: _Table,
        plan: EpochPlan,
        settings: UpdateSettings,
        position: int,
        sum: LossSum,
        n_threads: int,
        seconds: float,
    ) -> int: ...
    def gradients(
        self, table: _Table, plan: EpochPlan, settings: UpdateSettings, n_threads: int
    ) -> dict[str, NDArray[_T]]: ...
    @property
    def updates(self) -> int: ...
    def save_snapshot(self) -> None: ...
    def restore_snapshot(self) -> None: ...

class TabularNetFloat32(_TabularNet[np.float32]): ...
class TabularNetFloat64(_TabularNet[np.float64]): ...
class TabularTrainerFloat32(_TabularTrainer[np.float32]): ...
class TabularTrainerFloat64(_TabularTrainer[np.float64]): ...

def forward_plain(
    weights: list[NDArray[_T]],
    biases: list[NDArray[_T]],
    activations: list[tuple[Activation, list[float]]],
    loss: Loss,
    standardization: _MeanAndDeviation | None,
    inputs: _Inputs,
    begin: int,
    end: int,
    n_threads: int,
) -> NDArray[_T] | None: ...
def current_isa() -> str: ...
def multiplies_bfloat16(order: PairOrder) -> bool: ...
def available_isas() -> list[str]: ...
def has_openmp() -> bool: ...
def default_thread_count() -> int: ...
def end_native_calls(seconds: float) -> None: ...
def forget_native_calls() -> None: ...
def first_not_finite(x: NDArray[_T], limit: float, n_threads: int) -> int: ...
def column_moments(
    x: NDArray[Any], weights: NDArray[np.float64], about: NDArray[np.float64], n_threads: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]: ...
def read_pieces(file: int, to: NDArray[Any], pieces: NDArray[np.int64], n_threads: int) -> bool: ...
def peak_gflops(single_precision: bool, n_threads: int, seconds: float) -> float: ...
def matmul_bfloat16(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    transpose_a: bool,
    transpose_b: bool,
    order: PairOrder,
    n_threads: int,
) -> NDArray[np.float32]: ...
def matmul(a: NDArray[_T], b: NDArray[_T], transpose_a: bool, transpose_b: bool, n_threads: int) -> NDArray[_T]: ...
def activate(z: NDArray[_T], activation: Activation, settings: list[float]) -> NDArray[_T]: ...
def activation_gradient(
    output: NDArray[_T],
    grad_output: NDArray[_T],
    activation: Activation,
    settings: list[float],
    z: NDArray[_T] | None = None,
) -> NDArray[_T]: ...
def softmax(z: NDArray[_T]) -> NDArray[_T]: ...
@overload
def loss(z: NDArray[_T], labels: NDArray[np.int64], loss: Loss, settings: list[float]) -> tuple[float, NDArray[_T]]: ...
@overload
def loss(z: NDArray[_T], targets: NDArray[_T], loss: Loss, settings: list[float]) -> tuple[float, NDArray[_T]]: ...
