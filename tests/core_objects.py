"""Networks, trainers and data sets of the core, and short calls of them."""

import numpy as np
from fastmlp import Network, _core, losses
from problems import problem

SIZES = (5, 7, 3)


def bound(dtype="float64", loss="cross_entropy", sizes=SIZES, rows=20, kind=_core.UpdateKind.adam):
    """A core network with a trainer and a data set of its own."""
    core = Network(sizes, loss=loss, dtype=dtype).core
    trainer = getattr(_core, f"Trainer{dtype.capitalize()}")(core, kind)
    return core, trainer, dataset(core, dtype, loss, sizes, rows)


def new_network(
    dtype, sizes=SIZES, loss="cross_entropy", clips_loss=False, activation_settings=(), loss_settings=(), hidden=None
):
    """A core network of relu with weights that are all zero; with so many activations."""
    return getattr(_core, f"Network{dtype.capitalize()}")(
        [*sizes],
        [(_core.Activation.relu, [*activation_settings])] * (len(sizes) - 2 if hidden is None else hidden),
        getattr(_core.Loss, loss),
        [*loss_settings] or [setting.default for setting in losses.TABLE[loss].settings.values()],
        1.0,
        clips_loss,
    )


def dataset(core, dtype="float64", loss="cross_entropy", sizes=SIZES, rows=20):
    X, y = problem(rows, loss, dtype, sizes)
    return core.dataset(X, y.astype(np.int64) if loss == "cross_entropy" else y)


def run(trainer, data, order=20, batch_size=4, accumulate=1, position=0):
    plan = _core.EpochPlan(order, batch_size, accumulate)
    return trainer.run(data, plan, _core.UpdateSettings(0.1), position, _core.LossSum(), 1, 1e6)


def sum_gradients(trainer, data, order=20, batch_size=20, position=0):
    return trainer.sum_gradients(data, _core.EpochPlan(order, batch_size), position, _core.LossSum(), 1, 1e6)


def everything(core, trainer):
    return [trainer.memory(), np.array([trainer.updates])]
