"""Which architecture is best, and do width and depth do what the report says?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from architecture_figures import draw_grid, draw_learning_curve, draw_report_rule
from architecture_measurements import (
    CURVE_NETS,
    DEPTHS,
    HALVED_NETS,
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
from section import CONTRADICTED, IN_PART, REPRODUCED, UNTESTED, Claim, Figure, Part, Section, Table
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
        report_figures=_report_figures(measured),
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
    """Of the report's nine, those of this depth."""
    return {hidden: nets[hidden] for hidden in REPORT_NETS if len(hidden) == depth}


def _depth_mean(nets: dict[Hidden, Nets], depth: int) -> float:
    return float(np.mean([_mean(each) for each in _of_depth(nets, depth).values()]))


def _ends_in_words(nets: dict[Hidden, Nets]) -> str:
    return "; ".join(f"{name_of(hidden)} ends at {_mean(nets[hidden]):.1%}" for hidden in REPORT_NETS)


def _summary(measured: Measurements) -> str:
    chosen = measured.chosen
    test = measured.mini_batch[chosen].final("test_accuracy")
    ends = [_mean(measured.report[hidden]) for hidden in REPORT_NETS]
    return (
        f"Under mini-batch SGD validation chooses {name_of(chosen)}: {test.mean():.2%} on the test images ({test.min():.2%} to {test.max():.2%} over "
        f"{counted(len(test), 'seed')}). Under the report's rule the nine nets end between "
        f"{min(ends):.1%} and {max(ends):.1%}: after as few updates as epochs, what one sees is how "
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
        return max(REPORT_NETS, key=lambda hidden: _mean(nets[hidden]))

    def slower(nets: dict[Hidden, Nets]) -> list[float]:
        """By depth, the mean share of its final accuracy that a net has after a twentieth of the epochs."""
        shares = []
        for depth in DEPTHS:
            curves = [each.curves["val_accuracy"].mean(axis=0) for each in _of_depth(nets, depth).values()]
            shares.append(float(np.mean([curve[max(0, len(curve) // 20 - 1)] / curve[-1] for curve in curves])))
        return shares

    def order_of_three(nets: dict[Hidden, Nets]) -> list[Hidden]:
        return sorted(_of_depth(nets, 3), key=lambda hidden: -_mean(nets[hidden]))

    def loss_of_depth(nets: dict[Hidden, Nets]) -> float:
        return _depth_mean(nets, 3) - _depth_mean(nets, 1)

    def three_quarters(nets: dict[Hidden, Nets]) -> dict[Hidden, tuple[Hidden, float]]:
        """Of each net with halved widths: the one of the report beside it, and how much better that is."""
        pairs = zip(HALVED_NETS, _of_depth(nets, 2))
        return {halved: (kept, _mean(nets[kept]) - _mean(nets[halved])) for halved, kept in pairs if halved in nets}

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
            "Three hidden layers converge much more slowly.",
            lambda nets: slower(nets)[2] < slower(nets)[0] - 0.05,
            lambda nets: (
                "after a twentieth of the epochs depths 1, 2 and 3 have "
                + listing(f"{share:.0%}" for share in slower(nets))
                + " of their final accuracy"
            ),
        ),
        _both(
            measured,
            "Of the nets with three hidden layers 254-190-142 is best, then 512-384-288, then 128-96-72.",
            lambda nets: order_of_three(nets) == [(254, 190, 142), (512, 384, 288), (128, 96, 72)],
            lambda nets: listing(f"{name_of(hidden)} {_mean(nets[hidden]):.2%}" for hidden in order_of_three(nets)),
        ),
        _both(
            measured,
            "Widths that fall by 3/4 instead of 1/2 from layer to layer give much better results.",
            lambda nets: float(np.mean([gain for _, gain in three_quarters(nets).values()])) > SAME,
            lambda nets: listing(
                f"{name_of(kept)} {gain:+.2%} over {name_of(halved)}"
                for halved, (kept, gain) in three_quarters(nets).items()
            ),
        ),
        _both(
            measured,
            "512-384 is the best of the nine.",
            lambda nets: best(nets) == (512, 384),
            lambda nets: (
                f"{name_of(best(nets))} is, with {_mean(nets[best(nets)]):.2%}"
                + ("" if best(nets) == (512, 384) else f"; 512-384 has {_mean(nets[512, 384]):.2%}")
            ),
        ),
        _run_time(measured),
    ]


def _report_figures(measured: Measurements) -> list[Claim]:
    """A row for each net."""
    found = []
    one = _depth_mean(measured.report, 1)
    for hidden in REPORT_NETS:
        depth, end = len(hidden), _mean(measured.report[hidden])
        said, holds = {
            1: ("about 90 % after 200 epochs", abs(end - 0.9) < 2 * SAME),
            2: ("about 1 % more than with one layer, after a dip near epoch 20", 0 < end - one < 2 * SAME),
            3: ("less than with one layer", end < one),
        }[depth]
        comparable = measured.digits.is_mnist and measured.plan.report_epochs == 200
        found.append(
            Claim(
                f"Hidden layers {name_of(hidden)}: accuracy {said}.",
                UNTESTED if not comparable else REPRODUCED if holds else CONTRADICTED,
                f"{end:.1%} after {counted(measured.plan.report_epochs, 'epoch')} with one update each; mini-batch SGD: "
                f"{_mean(measured.mini_batch[hidden], 'test_accuracy'):.2%} on the test images.",
            )
        )
    return found


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
    seconds = {hidden: measured.mini_batch[hidden].seconds for hidden in REPORT_NETS}
    grows = all(
        list(times) == sorted(times)
        for times in ([seconds[hidden] for hidden in REPORT_NETS if len(hidden) == depth] for depth in DEPTHS)
    )
    deeper = seconds[128, 96, 72] / seconds[128,], seconds[512, 384, 288] / seconds[512,]
    parts = [f"{name_of(hidden)} {duration(value)}" for hidden, value in seconds.items()]
    return Claim(
        "Run time grows with width; with depth it grows, too, but not by much.",
        REPRODUCED if grows and max(deeper) < 1.5 else IN_PART if grows else CONTRADICTED,
        f"Seconds of an epoch, nets side by side, one core each: {', '.join(parts)}. Three layers take {deeper[0]:.1f} times as long as one for a first width "
        f"of 128, {deeper[1]:.1f} times for 512.",
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
                f"{nets.train_accuracy[seed]:.5g}",
                f"{nets.final('val_accuracy')[seed]:.5g}" if "val_accuracy" in nets.curves else "",
                f"{nets.final('test_accuracy')[seed]:.5g}",
            )
            for seed in range(measured.plan.seeds)
        ]

    trained = [
        row
        for rule, found in (("one update per epoch", measured.report), ("mini-batch", measured.mini_batch))
        for hidden, each in found.items()
        for row in rows(each, rule, name_of(hidden))
    ]
    return (
        results.write_csv("nets.csv", ("rule", "hidden", "seed", *header), trained),
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
