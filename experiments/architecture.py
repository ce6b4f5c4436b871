"""Which architecture is best, and do width and depth do what the report says?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from architecture_figures import draw_grid, draw_learning_curve, draw_report_rule
from architecture_measurements import (
    CURVE_NETS,
    DEPTHS,
    MINI_BATCH,
    REPORT_NETS,
    REPORT_RULE,
    Hidden,
    Measurements,
    Nets,
    measure,
    name_of,
)
from campaign import Campaign
from figures import save
from report import run_alone
from results import Results
from section import CONTRADICTED, IN_PART, REPRODUCED, Claim, Figure, Part, Section, Table
from wording import counted, duration, listing

NAME = "architecture"
SAME = 0.01  # of accuracy: what cannot be told apart in the report's figures
DIP_EPOCHS = (10, 40)  # around the report's "near epoch 20"


def run(campaign: Campaign) -> Section:
    results = campaign.results(NAME)
    measured = measure(campaign, results)
    tables = _write_tables(measured, results)
    rule = Figure(
        *save(draw_report_rule(measured), results.folder, "report_rule"),
        f"Validation accuracy of the report's nine nets with one update per epoch; means of {counted(measured.plan.seeds, 'seed')}.",
        "Accuracy by epoch, a panel per depth. " + _ends_in_words(measured.report),
        tables[:1],
    )
    grid = Figure(
        *save(draw_grid(measured), results.folder, "grid"),
        "Test accuracy under mini-batch SGD by first width and depth, widths falling by 3/4, and against the number of weights.",
        "Heat map and lines: "
        + "; ".join(f"width {w}, depth {d}: {_mean(n, 'test_accuracy'):.2%}" for (w, d), n in measured.grid.items()),
        tables[1:2],
    )
    curve = Figure(
        *save(draw_learning_curve(measured), results.folder, "learning_curve"),
        "Accuracy on the training and on the test images, by the number of training images.",
        "; ".join(
            f"{name_of(hidden)}, {size} rows: test {_mean(nets, 'test_accuracy'):.2%}"
            for (hidden, size), nets in measured.curve.items()
        ),
        tables[2:],
    )
    return Section(
        name=NAME,
        title="Architecture",
        question="Which architecture is best, and what do width and depth do?",
        summary=[_summary(measured)],
        claims=_claims(measured),
        parts=[_report_part(measured, rule), _grid_part(measured, grid), _theory_part(measured, curve)],
        setup={
            "Report's rule": f"one update per epoch, learning rate {REPORT_RULE['learning_rate']:g}, {counted(measured.plan.report_epochs, 'epoch')}",
            "Mini-batch": f"learning rate {MINI_BATCH['learning_rate']:g}, momentum {MINI_BATCH['momentum']:g}, batches of "
            f"{MINI_BATCH['batch_size']}, L2 of {MINI_BATCH['l2']:g}, {counted(measured.plan.epochs, 'epoch')}",
            "Choice": "one training row in ten is kept for it; test images play no part",
            "Seeds": str(measured.plan.seeds),
        },
        data=[results.path, *tables],
        environments=results.environments(),
        notices=[measured.digits.notice] if measured.digits.notice else [],
    )


def _mean(nets: Nets, name: str = "val_accuracy") -> float:
    return float(nets.final(name).mean())


def _of_depth(nets: dict[Hidden, Nets], depth: int) -> dict[Hidden, Nets]:
    return {hidden: each for hidden, each in nets.items() if len(hidden) == depth}


def _depth_mean(nets: dict[Hidden, Nets], depth: int) -> float:
    return float(np.mean([_mean(each) for each in _of_depth(nets, depth).values()]))


def _ends_in_words(nets: dict[Hidden, Nets]) -> str:
    return "; ".join(f"{name_of(hidden)} ends at {_mean(each):.1%}" for hidden, each in nets.items())


def _summary(measured: Measurements) -> str:
    chosen = measured.chosen
    test = measured.mini_batch[chosen].final("test_accuracy")
    return (
        f"Under mini-batch SGD validation chooses {name_of(chosen)}: {test.mean():.2%} on the test images ({test.min():.2%} to {test.max():.2%} over "
        f"{counted(len(test), 'seed')}). Under the report's rule the nine nets end between "
        f"{min(map(_mean, measured.report.values())):.1%} and {max(map(_mean, measured.report.values())):.1%}: after as few updates as epochs, what one sees is how "
        "far each net has come, not how good it is."
    )


def _both(
    measured: Measurements,
    statement: str,
    holds: Callable[[dict[Hidden, Nets]], bool],
    finding: Callable[[dict[Hidden, Nets]], str],
) -> Claim:
    """A claim that is looked at under both rules; the report's own decides first."""
    verdicts = holds(measured.report), holds(measured.mini_batch)
    verdict = REPRODUCED if all(verdicts) else IN_PART if any(verdicts) else CONTRADICTED
    return Claim(
        statement,
        verdict,
        f"One update per epoch: {finding(measured.report)}. Mini-batch: {finding(measured.mini_batch)}.",
    )


def _claims(measured: Measurements) -> list[Claim]:
    def spread(nets: dict[Hidden, Nets]) -> float:
        values = [_mean(each) for each in _of_depth(nets, 1).values()]
        return max(values) - min(values)

    def gain(nets: dict[Hidden, Nets]) -> float:
        return _depth_mean(nets, 2) - _depth_mean(nets, 1)

    def best(nets: dict[Hidden, Nets]) -> Hidden:
        return max(nets, key=lambda hidden: _mean(nets[hidden]))

    def loss_of_depth(nets: dict[Hidden, Nets]) -> float:
        return _depth_mean(nets, 3) - _depth_mean(nets, 1)

    return [
        _both(
            measured,
            "Width does not affect the accuracy of one hidden layer.",
            lambda nets: spread(nets) < SAME,
            lambda nets: listing(f"{name_of(hidden)} {_mean(each):.2%}" for hidden, each in _of_depth(nets, 1).items()),
        ),
        _both(
            measured,
            "Two hidden layers are about 1 % more accurate than one.",
            lambda nets: 0 < gain(nets) < 2 * SAME,
            lambda nets: f"{gain(nets):+.2%}",
        ),
        _dips(measured),
        _both(
            measured,
            "Three hidden layers are less accurate than one.",
            lambda nets: loss_of_depth(nets) < 0,
            lambda nets: f"{loss_of_depth(nets):+.2%}",
        ),
        _both(
            measured,
            "512-384 is the best of the nine.",
            lambda nets: best(nets) == (512, 384),
            lambda nets: (
                f"{name_of(best(nets))} is, with {_mean(nets[best(nets)]):.2%}; 512-384 has {_mean(nets[512, 384]):.2%}"
            ),
        ),
        _run_time(measured),
    ]


def _dips(measured: Measurements) -> Claim:
    def deepest(nets: Nets) -> float:
        mean = nets.curves["val_accuracy"].mean(axis=0)
        part = mean[DIP_EPOCHS[0] - 1 : DIP_EPOCHS[1]]
        return float((np.maximum.accumulate(part) - part).max()) if len(part) else 0.0

    falls = {hidden: deepest(nets) for hidden, nets in _of_depth(measured.report, 2).items()}
    grows = list(falls.values()) == sorted(falls.values())
    seen = max(falls.values()) > 0.005
    return Claim(
        "With two hidden layers accuracy dips near epoch 20, the more the wider they are.",
        REPRODUCED if seen and grows else IN_PART if seen else CONTRADICTED,
        f"Deepest fall of the mean between epochs {DIP_EPOCHS[0]} and {DIP_EPOCHS[1]}: "
        + listing(f"{fall:.1%} ({name_of(hidden)})" for hidden, fall in falls.items())
        + ". With all rows in each update nothing averages these swings out: the learning rate is near the largest that these nets bear.",
    )


def _run_time(measured: Measurements) -> Claim:
    grows = all(
        [each.seconds for each in _of_depth(measured.mini_batch, depth).values()]
        == sorted(each.seconds for each in _of_depth(measured.mini_batch, depth).values())
        for depth in DEPTHS
    )
    parts = [f"{name_of(hidden)} {duration(nets.seconds)}" for hidden, nets in measured.mini_batch.items()]
    return Claim(
        "Run time grows with width.",
        REPRODUCED if grows else IN_PART,
        f"Seconds of an epoch, nets side by side, one core each: {', '.join(parts)}.",
    )


HEADER = ["hidden layers", "weights and biases", "training", "validation", "test", "time per epoch"]


def _rows(nets: dict[Hidden, Nets]) -> list[list[str]]:
    return [
        [
            name_of(hidden),
            str(each.parameters),
            f"{each.train_accuracy.mean():.2%}",
            f"{_mean(each):.2%}",
            f"{_mean(each, 'test_accuracy'):.2%}",
            duration(each.seconds),
        ]
        for hidden, each in nets.items()
    ]


def _report_part(measured: Measurements, figure: Figure) -> Part:
    return Part(
        "The report's nine nets",
        [
            (
                "Under its rule a net gets as many updates as epochs, so the differences are those of a training that has hardly begun. The second table "
                "trains the same nets with an update per mini-batch."
            )
        ],
        [figure],
        [
            Table(
                f"One update per epoch, after {counted(measured.plan.report_epochs, 'epoch')}",
                HEADER,
                _rows(measured.report),
            ),
            Table(
                f"Mini-batch SGD, after {counted(measured.plan.epochs, 'epoch')}", HEADER, _rows(measured.mini_batch)
            ),
        ],
    )


def _grid_part(measured: Measurements, figure: Figure) -> Part:
    best = max(measured.grid, key=lambda key: _mean(measured.grid[key]))
    return Part(
        "All widths and depths",
        [
            f"By validation the best of the grid is a first width of {best[0]} at depth {best[1]}: {_mean(measured.grid[best], 'test_accuracy'):.2%} on the test images."
        ],
        [figure],
    )


def _theory_part(measured: Measurements, figure: Figure) -> Part:
    sizes = measured.plan.train_sizes
    small, large = CURVE_NETS
    gaps = {
        size: {
            net: measured.curve[net, size].train_accuracy.mean() - _mean(measured.curve[net, size], "test_accuracy")
            for net in CURVE_NETS
        }
        for size in (min(sizes), max(sizes))
    }
    first, last = gaps[min(sizes)], gaps[max(sizes)]
    return Part(
        "Hypothesis sets, training sets, overfitting",
        [
            (
                f"A larger net is a larger hypothesis set: {name_of(large)} has {measured.curve[large, sizes[0]].parameters} parameters, {name_of(small)} "
                f"{measured.curve[small, sizes[0]].parameters}, both more than there are training images. Bounds that count parameters would forbid either. What is "
                f"measured: the gap between training and test accuracy is {first[small]:.1%} and {first[large]:.1%} with {min(sizes)} images, and {last[small]:.1%} and "
                f"{last[large]:.1%} with {max(sizes)}. It closes with the data, and the larger net does not pay for its size."
                if last[large] <= last[small] + 0.005
                else f"{name_of(large)} has {measured.curve[large, sizes[0]].parameters} parameters, {name_of(small)} {measured.curve[small, sizes[0]].parameters}. The gap between "
                f"training and test accuracy is {first[small]:.1%} and {first[large]:.1%} with {min(sizes)} images, and {last[small]:.1%} and {last[large]:.1%} with "
                f"{max(sizes)}: it closes with the data, and the larger net keeps the larger gap."
            )
        ],
        [figure],
    )


def _write_tables(measured: Measurements, results: Results) -> Sequence[Path]:
    header = ("parameters", "train_accuracy", "val_accuracy", "test_accuracy")

    def rows(nets: Nets, *key: object) -> list[tuple[object, ...]]:
        return [
            (
                *key,
                seed,
                nets.parameters,
                *(
                    f"{values[seed]:.5g}"
                    for values in (nets.train_accuracy, nets.final("val_accuracy"), nets.final("test_accuracy"))
                ),
            )
            for seed in range(measured.plan.seeds)
        ]

    nine = [
        row
        for rule, found in (("one update per epoch", measured.report), ("mini-batch", measured.mini_batch))
        for hidden in REPORT_NETS
        for row in rows(found[hidden], rule, name_of(hidden))
    ]
    return (
        results.write_csv("nets.csv", ("rule", "hidden", "seed", *header), nine),
        results.write_csv(
            "grid.csv",
            ("width", "depth", "seed", *header),
            [row for key, nets in measured.grid.items() for row in rows(nets, *key)],
        ),
        results.write_csv(
            "learning_curve.csv",
            ("hidden", "train_rows", "seed", *header),
            [row for (hidden, size), nets in measured.curve.items() for row in rows(nets, name_of(hidden), size)],
        ),
    )


if __name__ == "__main__":
    run_alone(run, __doc__)
