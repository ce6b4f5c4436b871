"""The report's first question: what does the batch size change in learning, in time and in memory?

A net of 784-128-10 units, relu, learning rate 0.4, under two rules: one update per epoch, as in the report's
figures, and one update per batch.
"""

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from fastmlp import Network, Trainer, show_config
from harness.digits import INPUT_SCALE, Digits, Split
from harness.jobs import Job
from harness.nets import train
from harness.number_text import counted, duration, listing
from harness.run import Run, Sizes
from harness.section import EXPLAINED, IN_PART
from harness.tables import Row, Table, Tables
from matplotlib.figure import Figure as Drawing

from learning import batch_size_analysis as analysis
from learning import batch_size_figures as draw
from learning.memory_probe import TRAINERS, peak_training_bytes

LAYER_SIZES = (784, 128, 10)
LEARNING_RATE = 0.4
ONE_UPDATE, MINI_BATCH = "one update per epoch", "mini-batch"
RULES: dict[str, str | int] = {ONE_UPDATE: "epoch", MINI_BATCH: 1}  # values of `accumulate`
SCALING_RATES = (0.1, 0.4)  # at batches of 128: a usual one, and the report's

REPORT_SIZES = (128, 1024, 60000)
REPORT_EPOCHS = 200
REPORT_LEVELS = {"loss": 0.325, "accuracy": 0.9}  # of the report's training at its end
NEAR = {"loss": 0.05, "accuracy": 0.02}  # the report reads its levels off figures, with "about"

EARLY = 10  # epochs: where batch sizes differ most
STEEP = 5.0  # times as fast before as after: a bend that one sees
LEVELS = (0.9, 0.95, 0.975)  # test accuracies
CONSTANT = 1.25  # a ratio of times that one would not notice without a clock
GROWS = 5.0  # times the smallest batch's memory: buffers of a fixed size stay below, whole batches go far above

SIZES = Sizes(
    seconds=(3, 70, 1500),
    train_rows=(2000, 60000, 60000),
    test_rows=(500, 10000, 10000),
    seeds=((0,), (0, 1), (0, 1, 2)),
    batch_sizes=((128, 1024, 2000), REPORT_SIZES, REPORT_SIZES),  # the last is all rows
    epochs=(4, 20, REPORT_EPOCHS),
    scaling_sizes=((32, 128, 512), (32, 128, 512, 2048, 8192), tuple(2**i for i in range(5, 14))),
    scaling_epochs=(2, 4, 10),
    timing_sizes=(
        (128, 1024, 2000),
        (32, 128, 1024, 8192, 60000),
        (1, 4, 16, 64, 128, 256, 1024, 4096, 16384, 60000),
    ),
    timing_rounds=(1, 2, 5),
    memory_sizes=((32, 2000), (128, 1024, 8192, 60000), (8, 32, 128, 512, 1024, 2048, 8192, 32768, 60000)),
)


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    digits = run.digits(sizes.train_rows, sizes.test_rows)
    return [*_curve_jobs(digits, sizes), *_rate_jobs(digits, sizes), *_time_jobs(digits, sizes), *_memory_jobs(sizes)]


def _settings(batch_size: int, learning_rate: float, accumulate: int | str = 1) -> dict[str, Any]:
    settings = {"layer_sizes": LAYER_SIZES, "batch_size": batch_size, "learning_rate": learning_rate}
    return {**settings, "accumulate": accumulate}


def _validated_on_test(digits: Digits) -> Split:
    """All training rows, as in the report, so that only the test images are left to validate on."""
    return Split("all rows", digits.x_train, digits.y_train, {"val": (digits.x_test, digits.y_test)})


def _curve_jobs(digits: Digits, sizes: SimpleNamespace) -> list[Job]:
    columns = ("curves", "updates", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")
    trainings = []
    # Seed by seed, so that a slow minute of the machine does not hit one batch size alone.
    for seed, rule, size in itertools.product(sizes.seeds, RULES, sizes.batch_sizes):
        # With all rows in one batch both rules are the same computation: equal configurations are trained once.
        accumulate = "epoch" if size >= sizes.train_rows else RULES[rule]
        net = ({"rule": rule, "batch_size": size}, _settings(size, LEARNING_RATE, accumulate))
        trainings.append(train(digits, _validated_on_test(digits), [net], sizes.epochs, seed, curves=columns))
    return trainings


def _rate_jobs(digits: Digits, sizes: SimpleNamespace) -> list[Job]:
    trainings = []
    for base, scaled, size, seed in itertools.product(SCALING_RATES, (False, True), sizes.scaling_sizes, sizes.seeds):
        rate = base * size / analysis.SCALING_REFERENCE if scaled else base
        columns = {"learning_rates": "scaled" if scaled else "constant", "rate_at_128": base, "batch_size": size}
        net = ({**columns, "learning_rate": rate}, _settings(size, rate))
        split, columns = _validated_on_test(digits), ("learning_rates", "val_loss")
        trainings.append(train(digits, split, [net], sizes.scaling_epochs, seed, final=columns))
    return trainings


def _time_jobs(digits: Digits, sizes: SimpleNamespace) -> list[Job]:
    def job(turn: int, threads: int, size: int) -> Job:
        def second_epoch() -> float:
            network = Network(LAYER_SIZES, input_scale=INPUT_SCALE)
            trainer = Trainer(network, learning_rate=0.1, batch_size=size, n_threads=threads)
            return trainer.fit(digits.x_train, digits.y_train, epochs=2, verbose=False).seconds[1]  # the first warms up

        def rows(seconds: float) -> dict[str, list[dict[str, Any]]]:
            batches = math.ceil(sizes.train_rows / size)
            times = {"seconds_per_epoch": seconds, "seconds_per_batch": float(f"{seconds / batches:.4g}")}
            return {"times": [{"batch_size": size, "threads": threads, "round": turn, **times}]}

        configuration = {"threads": threads, "round": turn, "batch_size": size, "rows": sizes.train_rows}
        return Job({"measurement": "seconds per epoch", **configuration}, second_epoch, rows)

    threads = sorted({1, show_config("dicts")["threads"]})
    # Round by round, for the same reason as seed by seed.
    return [job(*key) for key in itertools.product(range(sizes.timing_rounds), threads, sizes.timing_sizes)]


def _memory_jobs(sizes: SimpleNamespace) -> list[Job]:
    def job(trainer: str, size: int) -> Job:
        return Job(
            {"measurement": "peak bytes", "trainer": trainer, "batch_size": size, "rows": sizes.train_rows},
            lambda: peak_training_bytes(trainer, size, sizes.train_rows, LAYER_SIZES),
            lambda count: {"memory": [{"trainer": trainer, "batch_size": size, "peak_bytes_beyond_data": count}]},
        )

    return [job(*key) for key in itertools.product(TRAINERS, sizes.memory_sizes)]


def comparable(t: Tables) -> bool:
    """Whether the report's numbers can be expected: its data, all of them."""
    return t.data == "MNIST" and t.sizes.train_rows == 60000


def holds(t: Tables) -> dict[str, bool | str | None]:
    one_update, mini_batch = analysis.group(t, ONE_UPDATE), analysis.group(t, MINI_BATCH)
    same = analysis.same_curves(one_update)
    differs = analysis.smaller_is_faster(mini_batch, min(EARLY, t.sizes.epochs))
    curves = next(iter(one_update.values()))
    steepness, long_enough = analysis.steepness(analysis.mean_curve(curves, "loss")), t.sizes.epochs >= REPORT_EPOCHS
    ends = {
        size: _near(each) or (False if long_enough else None) for size, each in zip(REPORT_SIZES, one_update.values())
    }
    passed = None not in [analysis.first_epoch(curves, *level) for level in REPORT_LEVELS.items()]
    levels = True if _near(curves) else IN_PART if passed else False if long_enough else None
    sizes = t.sizes.batch_sizes[0], t.sizes.batch_sizes[-1]
    small, large = (analysis.seconds_per_batch(t, int(t["times"]["threads"].max()), size) for size in sizes)
    cheaper = CONSTANT * small / sizes[0] < large / sizes[1]
    ratio, certain = analysis.slowest_over_quickest(t, 1)  # one thread, as the report's was
    peaks = [analysis.peaks(t, trainer) for trainer in TRAINERS]
    depends = tuple(large > GROWS * small for small, large in peaks)
    memory = {(True, True): True, (False, True): EXPLAINED, (True, False): IN_PART, (False, False): False}[depends]
    return {
        **{f"curve_{size}": near if comparable(t) else None for size, near in ends.items()},
        "convergence": {(True, True): EXPLAINED, (True, False): True, (False, True): False}.get((same, differs)),
        "steep": None if math.isnan(steepness) else steepness >= STEEP,
        "levels": levels if comparable(t) else None,
        "time_per_batch": False if large / small < 2 else True if cheaper else EXPLAINED,
        "time_per_epoch": True if ratio <= CONSTANT else False if certain else None,
        "memory": None if np.isnan(peaks).any() else memory,
    }


def _near(curves: Table) -> bool:
    return all(abs(analysis.final(curves, name).mean() - level) <= NEAR[name] for name, level in REPORT_LEVELS.items())


def numbers(t: Tables) -> dict[str, Any]:
    one_update, mini_batch = analysis.group(t, ONE_UPDATE), analysis.group(t, MINI_BATCH)
    curves, early = next(iter(one_update.values())), min(EARLY, t.sizes.epochs)
    loss = analysis.mean_curve(curves, "loss")
    by_epoch, by_update = analysis.factors(*list(mini_batch.values())[:2])
    threads, sizes = int(t["times"]["threads"].max()), t.sizes.batch_sizes
    seconds = [analysis.seconds_per_batch(t, threads, size) for size in (sizes[0], sizes[-1])]
    return {
        "one_update": analysis.final(curves, "val_accuracy").mean(),
        "mini_batch": listing(f"{analysis.final(each, 'val_accuracy').mean():.1%}" for each in mini_batch.values()),
        "difference": analysis.max_difference(one_update),
        "between_seeds": float(np.ptp(curves.by_seed("val_loss"), axis=0).max()),
        "steepness": analysis.steepness(loss),
        "mostly_done": int((loss <= loss[0] - 0.9 * (loss[0] - loss[-1])).argmax()) + 1,
        **{name: analysis.final(curves, name) for name in ("loss", "accuracy", "val_loss", "val_accuracy")},
        "ends": dict(zip(REPORT_SIZES, (analysis.final(each, "val_accuracy") for each in mini_batch.values()))),
        "reached": [analysis.first_epoch(curves, *level) or "none" for level in REPORT_LEVELS.items()],
        "early": early,
        "early_accuracies": listing(f"{each.mean('val_accuracy', epoch=early):.3f}" for each in mini_batch.values()),
        "factor_epochs": by_epoch,
        "factor_updates": by_update,
        "batch_seconds": seconds,
        "batch_ratio": seconds[1] / seconds[0],
        "row_ratio": sizes[-1] / sizes[0],
        "row_seconds": [seconds[0] / sizes[0], seconds[1] / sizes[-1]],
        "epoch_seconds": listing(f"{duration(analysis.median_seconds(t, 1, size))} ({size})" for size in sizes),
        "alone": analysis.slowest_over_quickest(t, 1)[0],
        "together": analysis.slowest_over_quickest(t, threads)[0],
        "threads": threads,
        "peaks": {trainer: analysis.peaks(t, trainer) for trainer in TRAINERS},
    }


def views(t: Tables) -> dict[str, list[Row]]:
    costs, scaling = [], []
    for size, curves in analysis.group(t, MINI_BATCH).items():
        loss = analysis.mean_curve(curves, "val_loss")
        levels = {f"to_{i}": _cost(curves, level) for i, level in enumerate(LEVELS)}
        lowest = f"{loss.min():.3f} in epoch {int(loss.argmin()) + 1}"
        costs.append({"size": size, **levels, "lowest": lowest, "last": f"{loss[-1]:.3f}"})
    for (kind, rate), line in t["learning_rates"].groups("learning_rates", "rate_at_128").items():
        smallest, works, fails = analysis.limits_of_scaling(line)
        rates = {size: part["learning_rate"][0] for size, part in line.groups("batch_size").items()}
        failure = (
            f"{rates[fails]:g} at {fails}: {analysis.mean_loss(line.where(batch_size=fails)):.3g}" if fails else "none"
        )
        works_text = f"{smallest} to {works}, at rates up to {rates[works]:g}"
        scaling.append({"line": f"{kind}, {rate:g} at 128", "works": works_text, "failure": failure})
    return {"costs": costs, "scaling": scaling}


def _cost(curves: Table, level: float) -> str:
    epoch = analysis.first_epoch(curves, "val_accuracy", level)
    if epoch is None:
        return "not reached"
    updates = int(curves.where(epoch=epoch)["updates"][0])
    return f"{counted(epoch, 'epoch')}, {counted(updates, 'update')}, {duration(analysis.elapsed(curves)[epoch - 1])}"


def figures(t: Tables) -> dict[str, Any]:
    one_update, mini_batch = analysis.group(t, ONE_UPDATE), analysis.group(t, MINI_BATCH)
    return {
        "two_rules": draw.two_rules({"One update per epoch": one_update, "One update per batch": mini_batch}),
        "one_update_per_epoch": draw.rule_in_detail(one_update, False, REPORT_LEVELS if comparable(t) else {}),
        "mini_batch": draw.rule_in_detail(mini_batch, True, {}),
        "updates": draw.by_updates(mini_batch),
        "learning_rates": draw.learning_rates(t["learning_rates"], t.sizes.scaling_epochs),
        "times": draw.times(t["times"]),
        "memory": draw.memory(t["memory"], t.sizes.train_rows * LAYER_SIZES[0]),
    }


def headline(t: Tables) -> Drawing:
    return draw.headline(analysis.group(t, ONE_UPDATE), analysis.group(t, MINI_BATCH))
