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

LAYER_SIZES = (784, 128, 10)
ACTIVATION = "gelu"
LABEL_SMOOTHING = 0.1
BATCH_SIZE = 96
EPOCHS = 3
MOMENTUM = 0.9  # Nesterov's
LARGEST_RATE = 0.4  # of one cycle, in which the rate of each update rises and falls
PEAK = 0.2  # the share of the updates after which the rate is the largest
SETTINGS = [LAYER_SIZES, ACTIVATION, LABEL_SMOOTHING, BATCH_SIZE, EPOCHS, MOMENTUM, LARGEST_RATE, PEAK]


def run_fastmlp(
    x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, seed: int, epochs: int
) -> tuple[float, float]:
    """Seconds of the clock, and the test accuracy."""
    start = time.perf_counter()
    network = fastmlp.Network(
        LAYER_SIZES,
        activation=ACTIVATION,
        loss_settings={"label_smoothing": LABEL_SMOOTHING},
        input_scale=INPUT_SCALE,
        seed=seed,
    )
    trainer = fastmlp.Trainer(
        network,
        learning_rate=LARGEST_RATE,
        batch_size=BATCH_SIZE,
        momentum=MOMENTUM,
        nesterov=True,
        schedule=fastmlp.schedules.one_cycle(PEAK),
        seed=seed,
    )
    trainer.fit(x_train, y_train, epochs, verbose=False)
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
    model = libraries.torch_model(LAYER_SIZES, torch.nn.GELU)
    optimizer = torch.optim.SGD(model.parameters(), LARGEST_RATE, momentum=MOMENTUM, nesterov=True, fused=True)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        LARGEST_RATE,
        epochs * -(-len(X) // BATCH_SIZE),
        pct_start=PEAK,
        cycle_momentum=False,
        final_div_factor=1000,  # as fastmlp's
    )
    for _ in range(epochs):
        libraries.torch_epoch(
            model, optimizer, X, y, BATCH_SIZE, label_smoothing=LABEL_SMOOTHING, after_update=cycle.step
        )
    seconds = time.perf_counter() - start
    with torch.no_grad():
        correct = model(tensor(x_test)).argmax(dim=1).numpy() == y_test
    return seconds, float(correct.mean())


RUNS = {"fastmlp": run_fastmlp, "PyTorch": run_torch}
