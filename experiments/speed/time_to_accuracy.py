"""One recipe that reaches 98 % on MNIST's test images in few operations, by fastmlp and by PyTorch.

The clock runs from uint8 images in memory to trained weights: conversion, set-up and all epochs. The nets are
evaluated on the test images afterwards, once.
"""

from __future__ import annotations

import time

import fastmlp
import numpy as np
from harness.digits import INPUT_SCALE

from speed import libraries

LAYER_SIZES = (784, 192, 10)
BATCH_SIZE = 64
EPOCHS = 5
MOMENTUM = 0.9
FIRST_RATE = 0.1
SETTINGS = [LAYER_SIZES, BATCH_SIZE, EPOCHS, MOMENTUM, FIRST_RATE]


def learning_rate(epoch: int, epochs: int) -> float:
    """Falls in equal steps; the next after the last epoch would be 0."""
    return FIRST_RATE * (1 - epoch / epochs)


def run_fastmlp(
    x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int, epochs: int
) -> tuple[float, float]:
    """Seconds of the clock, and the test accuracy."""
    start = time.perf_counter()
    network = fastmlp.Network(LAYER_SIZES, input_scale=INPUT_SCALE, seed=seed)
    trainer = fastmlp.Trainer(network, learning_rate=FIRST_RATE, batch_size=BATCH_SIZE, momentum=MOMENTUM, seed=seed)

    def next_rate(info: fastmlp.EpochInfo) -> None:
        if info.epoch < epochs:
            trainer.learning_rate = learning_rate(info.epoch, epochs)

    trainer.fit(x_train, y_train, epochs, callbacks=[next_rate], verbose=False)
    seconds = time.perf_counter() - start
    return seconds, network.evaluate(x_test, y_test).accuracy


def run_torch(
    x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int, epochs: int
) -> tuple[float, float]:
    """Seconds of the clock, and the test accuracy."""
    import torch

    def tensor(images: np.ndarray):
        return torch.from_numpy(images).float().mul_(INPUT_SCALE)

    start = time.perf_counter()
    torch.manual_seed(seed)
    X, y = tensor(x_train), torch.from_numpy(y_train).long()
    model = libraries.torch_model(LAYER_SIZES)
    optimizer = torch.optim.SGD(model.parameters(), FIRST_RATE, momentum=MOMENTUM, fused=True)
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = learning_rate(epoch, epochs)
        libraries.torch_epoch(model, optimizer, X, y, BATCH_SIZE)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        correct = model(tensor(x_test)).argmax(dim=1).numpy() == y_test
    return seconds, float(correct.mean())


RUNS = {"fastmlp": run_fastmlp, "PyTorch": run_torch}
