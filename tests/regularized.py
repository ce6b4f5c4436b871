"""Training with dropout, clipping, schedules, running means and factors of learning rates, slowly, in NumPy."""

import numpy as np
import reference
from fastmlp import schedules

MASK = 2**64 - 1


def mixed(x):
    """SplitMix64."""
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
    return x ^ x >> 31


def factors_of_units(rate, seed, update, layer, rows, units):
    """0 for units that are dropped, else 1 / (1 - rate); shape (rows, units)."""
    key = mixed(mixed((seed + update) & MASK) + layer)
    factors = np.empty((rows, units))
    for row in range(rows):
        of_row = mixed((key + row) & MASK)
        x = np.arange(units, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(of_row & 0xFFFFFFFF)
        x = (x ^ x >> 16) * np.uint32(0x21F0AAAD) + np.uint32(of_row >> 32)
        x = (x ^ x >> 15) * np.uint32(0x735A2D97)
        factors[row] = np.where(x ^ x >> 15 >= int(rate * 2**32), 1 / (1 - rate), 0)
    return factors


def gradients(weights, biases, X, y, activation, loss, masks):
    """The mean loss, and the gradients of weights and biases."""
    entered, sums, rows = [X * masks[0]], [], reference.rows_of(activation, len(weights) - 1)
    for i, (w, b) in enumerate(zip(weights, biases)):
        sums.append(entered[-1] @ w + b)
        if i + 1 < len(weights):
            entered.append(rows[i].value(sums[-1]) * masks[i + 1])
    mean, delta = reference.LOSSES[loss].value(sums[-1], y)
    grads = []
    for i in reversed(range(len(weights))):
        grads.insert(0, (entered[i].T @ delta, delta.sum(axis=0)))
        if i:
            delta = (delta @ weights[i].T) * masks[i] * rows[i - 1].derivative(sums[i - 1])
    return mean, grads


def seed_of_dropout(seed):
    """Of a Trainer with this seed."""
    return (np.random.default_rng(seed).bit_generator.state["state"]["inc"] >> 1) % 2**63


def trained_slowly(net, X, y, orders, batch_size, optimizer, rate, dropout_seed, settings):
    """Weights, biases and their running means after a fit of one epoch for each order, and the loss of each."""
    epochs = len(orders)
    params = [(w.astype(float), b.astype(float)) for w, b in zip(net.weights, net.biases)]
    make = reference.OPTIMIZERS[optimizer][1]
    optimizers = [[make(rate), make(rate)] for _ in params]
    decays = [o.weight_decay for o, _ in optimizers] if optimizer == "adamw" else []
    of_setting = {
        name: settings.get(f"{name}schedule") or schedules.constant() for name in ("", "weight_decay_", "dropout_")
    }
    factors = settings.get("learning_rate_factors", [(1.0, 1.0)] * len(params))
    updates, update, losses, means = -(-len(X) // batch_size), 0, [], None
    for epoch, order in enumerate(orders):
        summed = 0.0
        for number in range(updates):
            rows = order[number * batch_size :][:batch_size]
            now = {
                name: schedule((epoch + number * batch_size / len(X)) / epochs) for name, schedule in of_setting.items()
            }
            rates = [settings.get("input_dropout", 0)] + [settings.get("dropout", 0)] * (len(params) - 1)
            masks = [
                factors_of_units(p * now["dropout_"], dropout_seed, update, layer, len(rows), len(params[layer][0]))
                for layer, p in enumerate(rates)
            ]
            weights, biases = zip(*params)
            mean, grads = gradients(weights, biases, X[rows].astype(float), y[rows], net.activation, net.loss, masks)
            summed += mean * len(rows)
            norm = np.sqrt(sum((g**2).sum() for pair in grads for g in pair))
            scale = min(1.0, settings.get("max_gradient_norm", np.inf) / norm)
            for i, (pair, pair_of_grads) in enumerate(zip(params, grads)):
                for kind in range(2):
                    own = optimizers[i][kind]
                    own.learning_rate = rate * now[""] * factors[i][kind]
                    if decays:
                        own.weight_decay = decays[i] * now["weight_decay_"]
                    own.step([pair[kind]], [pair_of_grads[kind] * scale])
            update += 1
            share = 1.0 if means is None else 1 - settings.get("average_decay", 0.5)
            means = means or [(0 * w, 0 * b) for w, b in params]
            for pair, mean_pair in zip(params, means):
                for value, running in zip(pair, mean_pair):
                    running += share * (value - running)
        losses.append(summed / len(X))
    return [list(each) for each in zip(*params)], [list(each) for each in zip(*means)], losses
