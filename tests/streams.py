"""Networks and trainers of streams, and the chunks of an epoch."""

import fastmlp
import numpy as np


def network(dtype="float64", loss="cross_entropy"):
    return fastmlp.Network((11, 17, 9, 4), loss=loss, dtype=dtype, seed=1)


def trained(X, y=None, epochs=3, loss="cross_entropy", **settings):
    trainer = fastmlp.Trainer(network(loss=loss), **{"batch_size": 16, "seed": 5, **settings})
    trainer.fit(X, y, epochs=epochs)
    return trainer


def epoch_of(stream, seed=0):
    """X and y of each chunk; the first column of X is the row's number."""
    rng = None if seed is None else np.random.default_rng(seed)
    return [tuple(part.copy() for part in load()(2)[:2]) for load in stream._epoch(rng, stream._buffers())]
