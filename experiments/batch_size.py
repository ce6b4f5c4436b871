"""The report's first question: what does the batch size do to learning, to time and to memory?

A net of 784-128-10 units, relu, learning rate 0.4, under two rules: one update per epoch, as in the
report's figures, and one update per batch.
"""

from __future__ import annotations

from collections.abc import Callable

import batch_size_costs as costs
import batch_size_figures as draw
import batch_size_findings as findings
import numpy as np
from batch_size_claims import REPORT_LEVELS, claims, comparable, report_figures, summary
from batch_size_measurements import (
    LAYER_SIZES,
    LEARNING_RATE,
    SCALING_REFERENCE,
    Measurements,
    RateLine,
    measure,
)
from batch_size_tables import write_tables
from campaign import Campaign
from figures import save
from report import run_alone
from section import Figure, Part, Section
from wording import counted, duration, listing

NAME = "batch_size"

Draw = Callable[..., Figure]  # saves a drawing: (name, drawing, caption, alt, *data files)

QUESTION = (
    "A net with one hidden layer of 128 units is trained with batches of 128, 1024 and all 60000 images. "
    "How does the batch size relate to what is learned, and at what speed?"
)


def run(campaign: Campaign) -> Section:
    results = campaign.results(NAME)
    measured = measure(campaign, results)
    tables = write_tables(measured, results)

    def figure(name: str, drawing: object, caption: str, alt: str, *data: str) -> Figure:
        image, picture = save(drawing, results.folder, name)
        return Figure(image, picture, caption, alt, [tables[key] for key in data])

    return Section(
        name=NAME,
        title="Batch size",
        question=QUESTION,
        summary=[summary(measured)],
        claims=claims(measured),
        report_figures=report_figures(measured),
        parts=[
            _rules(measured, figure),
            _one_update(measured, figure),
            _mini_batch(measured, figure),
            _updates(measured, figure),
            _learning_rates(measured, figure),
            _time(measured, figure),
            _memory(measured, figure),
        ],
        setup=_setup(measured),
        data=[results.path, *tables.values()],
        environments=results.environments(),
        notices=[measured.digits.notice] if measured.digits.notice else [],
    )


def _rules(measured: Measurements, figure: Draw) -> Part:
    return Part(
        "Two rules",
        [
            (
                "The report does not say when it updates the weights; that its curves look the same for every batch size suggests one update "
                "per epoch, with the sum of all batches' gradients. Mini-batch SGD updates them after every batch. Both are tried here, "
                "from the same initial weights."
            ),
            (
                f"Validation is on the {len(measured.digits.x_test)} test images of {measured.digits.name}, because the report trains on all "
                "training images; nothing is chosen by them."
            ),
        ],
        [
            figure(
                "two_rules",
                draw.two_rules(measured),
                f"Validation loss and accuracy under both rules, learning rate {LEARNING_RATE:g}. {_seeds(measured)}",
                f"Four panels: validation loss and accuracy by epoch. Left, one update per epoch: {_ends(measured, 'one_update')}. "
                f"Right, one update per batch: {_ends(measured, 'mini_batch')}.",
                "curves",
            )
        ],
    )


def _one_update(measured: Measurements, figure: Draw) -> Part:
    levels = REPORT_LEVELS if comparable(measured) else None
    marked = " Dotted: where the report's curves end." if levels else ""
    return Part(
        "One update per epoch: the report's curves",
        findings.one_update(measured.one_update),
        [
            figure(
                "one_update_per_epoch",
                draw.rule_in_detail(measured.one_update, False, levels),
                f"One update per epoch. Where curves coincide, the broad line lies under the narrow and the dashed one. "
                f"{_seeds(measured)} Seconds are epochs times the median epoch of the quickest seed.{marked}",
                f"Six panels: loss above, accuracy below; training by epoch, validation by epoch, validation by seconds. At the end "
                f"{_ends(measured, 'one_update')}.",
                "curves",
            )
        ],
    )


def _mini_batch(measured: Measurements, figure: Draw) -> Part:
    return Part(
        "One update per batch: mini-batch SGD",
        findings.mini_batch(measured.mini_batch),
        [
            figure(
                "mini_batch",
                draw.rule_in_detail(measured.mini_batch, True, None),
                f"One update per batch. All axes are logarithmic, that of accuracy in the share of errors. {_seeds(measured)} With all "
                f"rows in one batch both rules are the same, and the net is trained once.{_cut(measured)}",
                f"Six panels as before, on logarithmic axes. At the end {_ends(measured, 'mini_batch')}.",
                "curves",
            )
        ],
        [findings.cost_table(measured.mini_batch)],
    )


def _updates(measured: Measurements, figure: Draw) -> Part:
    return Part(
        "Why: the number of updates",
        [
            (
                "If small batches learn faster because they make more updates, then curves drawn against the number of updates should "
                "lie on each other."
            ),
            *findings.updates(measured.mini_batch),
        ],
        [
            figure(
                "updates",
                draw.by_updates(measured.mini_batch),
                "Mini-batch SGD: the same validation losses by epoch and by update.",
                f"Two panels: validation loss of batches of {listing(measured.mini_batch)}, left by epoch, right by number of updates.",
                "curves",
            )
        ],
    )


def _learning_rates(measured: Measurements, figure: Draw) -> Part:
    epochs = measured.plan.scaling_epochs
    return Part(
        "Making up for fewer updates: the learning rate",
        [
            (
                "Batches twice as large make half as many updates. As long as one update points the same way as two of the smaller batches', "
                "a step twice as long should make up for it: a learning rate in proportion to the batch size (the linear scaling rule; "
                "Goyal et al., 2017)."
            ),
            *findings.learning_rates(measured.rate_lines, epochs),
        ],
        [
            figure(
                "learning_rates",
                draw.learning_rates(measured),
                f"Mini-batch SGD: validation loss after {epochs} epochs. Dashed: constant learning rate; solid: scaled, equal to the "
                f"constant one at batches of {SCALING_REFERENCE}. The band spans all seeds; a cross is a loss that is no longer finite.",
                f"Two panels: loss by batch size. Lines: {listing(map(_rate_line, measured.rate_lines))}.",
                "rates",
            )
        ],
    )


def _time(measured: Measurements, figure: Draw) -> Part:
    return Part(
        "Does the time per epoch depend on the batch size?",
        costs.epoch_times(measured),
        [
            figure(
                "times",
                draw.times(measured),
                f"Time of training without validation, one update per batch: median of {counted(measured.plan.timing_rounds, 'round')}, "
                "bars from the quickest to the slowest.",
                f"Two panels: time per epoch and time per batch by batch size. {_extremes(measured)}.",
                "times",
            )
        ],
    )


def _memory(measured: Measurements, figure: Draw) -> Part:
    texts = costs.memory(measured.peak_bytes)
    if not costs.memory_is_known(measured.peak_bytes):
        return Part("Does memory depend on the batch size?", texts)
    return Part(
        "Does memory depend on the batch size?",
        [
            *texts,
            (
                "fastmlp passes a batch through the net in chunks of rows and adds up their gradients, which gives the gradient of the "
                "batch without holding it."
            ),
        ],
        [
            figure(
                "memory",
                draw.memory(measured),
                "Peak memory of training beyond the data set, measured in a process of its own for each point.",
                "Two lines: peak memory by batch size, both axes logarithmic; the numbers of their ends are in the text before.",
                "memory",
            )
        ],
    )


def _seeds(measured: Measurements) -> str:
    count = len(measured.plan.seeds)
    return "One seed." if count == 1 else f"Lines: mean of {count} seeds; bands: from the lowest to the highest."


def _ends(measured: Measurements, rule: str) -> str:
    group = getattr(measured, rule)
    return listing(
        f"batch {size} at loss {curves.final('val_loss').mean():.3f}, accuracy {curves.final('val_accuracy').mean():.3f}"
        for size, curves in group.items()
    )


def _cut(measured: Measurements) -> str:
    below = [size for size, curves in measured.mini_batch.items() if curves.mean("loss").min() < draw.LEAST_LOSS_SHOWN]
    return (
        f" Training losses below {draw.LEAST_LOSS_SHOWN:g} (batches of {listing(below)}) are not shown."
        if below
        else ""
    )


def _rate_line(line: RateLine) -> str:
    ends = [f"{losses.mean():.3g} at {size}" for size, losses in zip(line.batch_sizes, line.losses)]
    return f"{'scaled' if line.scaled else 'constant'} rate {line.base_rate:g}: from {ends[0]} to {ends[-1]}"


def _extremes(measured: Measurements) -> str:
    return listing(
        f"{counted(threads, 'thread')}: from {duration(float(np.median(sizes[min(sizes)])))} per epoch with batches of {min(sizes)} to "
        f"{duration(float(np.median(sizes[max(sizes)])))} with batches of {max(sizes)}"
        for threads, sizes in sorted(measured.epoch_seconds.items())
    )


def _setup(measured: Measurements) -> dict[str, str]:
    plan, digits = measured.plan, measured.digits
    return {
        "Data": f"{digits.name}, {len(digits.x_train)} training and {len(digits.x_test)} test images, uint8, scaled by 1/255 in the net",
        "Layers": "-".join(map(str, LAYER_SIZES)),
        "Hidden activation": "relu",
        "Loss": "softmax cross-entropy",
        "Optimizer": f"SGD without momentum, learning rate {LEARNING_RATE:g} (where not said otherwise), no penalty",
        "Initial weights": "He, uniform; biases 0",
        "Batch sizes": ", ".join(map(str, plan.batch_sizes)),
        "Epochs": f"{plan.epochs}; {plan.scaling_epochs} in the study of learning rates",
        "Seeds": ", ".join(map(str, plan.seeds)) + " (initial weights and row order)",
        "Number type": "float32",
    }


if __name__ == "__main__":
    run_alone(run, __doc__)
