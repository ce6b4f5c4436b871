"""Which architecture is best, and do width and depth have the effects that the report describes?"""

from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
from fastmlp import studies
from harness.jobs import Job
from harness.nets import Net, train
from harness.number_text import listing
from harness.run import Run, Sizes
from harness.section import IN_PART, all_or_some
from harness.tables import Table, Tables

from learning import architecture_figures as draw
from learning.architecture_figures import CURVE_NETS, DEPTHS, MINI_BATCH, ONE_UPDATE, REPORT_NETS, depth_of

RULES: dict[str, dict[str, Any]] = {
    ONE_UPDATE: {"learning_rate": 0.2, "batch_size": 128, "accumulate": "epoch"},  # the report's
    MINI_BATCH: {"learning_rate": 0.05, "batch_size": 64, "momentum": 0.9, "l2": 5e-5},
}
HALVED_NETS = {"128-64": "128-96", "254-127": "254-190", "512-256": "512-384"}  # widths falling by 1/2, and by 3/4
ORDER_OF_THREE = ["254-190-142", "512-384-288", "128-96-72"]  # the report's, the best first
SAME = 0.01  # of accuracy: what cannot be distinguished in the report's figures
SLOWER = 0.05  # of the final accuracy: behind by more is slower
DIP = 0.005  # of accuracy: a fall that one sees
DIP_EPOCHS = (10, 40)  # around the report's "near epoch 20"

SIZES = Sizes(
    seconds=(4, 35, 9000),
    train_rows=(600, 5000, 60000),
    test_rows=(200, 2000, 10000),
    report_epochs=(3, 25, 200),
    epochs=(2, 8, 20),
    first_widths=((16,), (16, 64, 256, 512), (16, 32, 64, 128, 256, 512)),
    train_sizes=((100,), (500, 1500, 5000), (500, 1000, 2000, 5000, 10000, 20000, 60000)),
    seeds=(1, 2, 3),
)


def layer_sizes(hidden: str) -> tuple[int, ...]:
    return (784, *map(int, hidden.split("-")), 10)


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    digits = run.digits(sizes.train_rows, sizes.test_rows)
    ends = ("parameters", "train_accuracy", "val_accuracy", "test_accuracy")
    nets = {
        # Without the widest of the halved, which would take as long as all nets of depth 1.
        ONE_UPDATE: ([*REPORT_NETS, *list(HALVED_NETS)[:2]], sizes.report_epochs),
        MINI_BATCH: ([*REPORT_NETS, *HALVED_NETS], sizes.epochs),
    }
    grid = [
        _net(MINI_BATCH, "-".join(map(str, studies.widths(width, depth))), width=width, depth=depth)
        for width, depth in product(sizes.first_widths, DEPTHS)
    ]
    curves = {"curves": ("curves", "val_accuracy"), "thin_after": DIP_EPOCHS[1]}
    trainings = []
    for seed in range(sizes.seeds):
        for rule, (names, epochs) in nets.items():
            of_rule = [_net(rule, hidden, rule=rule, hidden=hidden) for hidden in names]
            final = ("nets", *ends, "seconds")
            trainings.append(train(digits, digits.held_out, of_rule, epochs, seed, final=final, **curves))
        trainings.append(train(digits, digits.held_out, grid, sizes.epochs, seed, final=("grid", *ends)))
        for rows in sizes.train_sizes:  # nothing is chosen here: no rows are held out
            of_size = [_net(MINI_BATCH, hidden, hidden=hidden, train_rows=rows) for hidden in CURVE_NETS]
            final = ("learning_curve", "parameters", "train_accuracy", "test_accuracy")
            trainings.append(train(digits, digits.first(rows), of_size, sizes.epochs, seed, final=final))
    return trainings


def _net(rule: str, hidden: str, /, **columns: Any) -> Net:
    return columns, {"layer_sizes": layer_sizes(hidden), **RULES[rule]}


def accuracies(t: Tables, rule: str, name: str = "val_accuracy") -> dict[str, float]:
    """Of each net, the mean over the seeds after the last epoch."""
    return {hidden: float(part[name].mean()) for hidden, part in t["nets"].where(rule=rule).groups("hidden").items()}


def of_depth(values: dict[str, float], depth: int) -> dict[str, float]:
    """Of the report's nine nets, those of this depth."""
    return {hidden: values[hidden] for hidden in REPORT_NETS if depth_of(hidden) == depth}


def depth_mean(values: dict[str, float], depth: int) -> float:
    return float(np.mean(list(of_depth(values, depth).values())))


def mean_curve(t: Tables, rule: str, hidden: str) -> Table:
    """Epochs of a net, and its validation accuracy, the mean over the seeds."""
    part = t["curves"].where(rule=rule, hidden=hidden)
    accuracy = part.by_seed("val_accuracy").mean(axis=0)
    return Table({"epoch": part.by_seed("epoch")[0], "accuracy": accuracy})


def best(values: dict[str, float]) -> str:
    return max(REPORT_NETS, key=lambda hidden: values[hidden])


def early_shares(t: Tables, rule: str) -> list[float]:
    """By depth, the mean share of its final accuracy that a net has after a twentieth of the epochs."""
    early = max(1, (t.sizes.report_epochs if rule == ONE_UPDATE else t.sizes.epochs) // 20)
    ends = accuracies(t, rule)
    shares = {hidden: mean_curve(t, rule, hidden).row(epoch=early)["accuracy"] / ends[hidden] for hidden in REPORT_NETS}
    return [depth_mean(shares, depth) for depth in DEPTHS]


def deepest_fall(curve: Table) -> float:
    """Of accuracy from its highest point so far, between the epochs of the report's dip."""
    part = curve["accuracy"][DIP_EPOCHS[0] - 1 : DIP_EPOCHS[1]]
    return float((np.maximum.accumulate(part) - part).max()) if len(part) else 0.0


def _checks(nets: dict[str, float]) -> dict[str, tuple[bool, str]]:
    """Claims on the final accuracies under one rule: whether each holds, and what was measured."""
    one, two, three = (depth_mean(nets, depth) for depth in DEPTHS)
    of_one, ranked = of_depth(nets, 1), sorted(of_depth(nets, 3), key=lambda hidden: -nets[hidden])
    gains = {halved: nets[kept] - nets[halved] for halved, kept in HALVED_NETS.items() if halved in nets}
    widths = listing(f"{hidden} {end:.2%}" for hidden, end in of_one.items())
    falling = listing(f"{HALVED_NETS[halved]} {gain:+.2%} over {halved}" for halved, gain in gains.items())
    first = best(nets)
    return {
        "width": (max(of_one.values()) - min(of_one.values()) < SAME, widths),
        "two": (0 < two - one < 2 * SAME, f"{two - one:+.2%}"),
        "three": (three < one, f"{three - one:+.2%}"),
        "order": (ranked == ORDER_OF_THREE, listing(f"{hidden} {nets[hidden]:.2%}" for hidden in ranked)),
        "falling": (bool(np.mean([*gains.values()]) > SAME), falling),
        "best": (first == "512-384", f"best {first}, {nets[first]:.2%}; 512-384 {nets['512-384']:.2%}"),
    }


def falls(t: Tables) -> dict[str, float]:
    """Of each net of depth 2, in the order of their widths."""
    nets = [hidden for hidden in REPORT_NETS if depth_of(hidden) == 2]
    return {hidden: deepest_fall(mean_curve(t, ONE_UPDATE, hidden)) for hidden in nets}


def holds(t: Tables) -> dict[str, bool | str | None]:
    report, mini_batch = (accuracies(t, rule) for rule in RULES)
    comparable = t.data == "MNIST" and t.sizes.report_epochs == SIZES["full"].report_epochs
    one = depth_mean(report, 1)
    figures = {}
    for hidden in REPORT_NETS:
        end = report[hidden]
        of_depths = {1: abs(end - 0.9) < 2 * SAME, 2: 0 < end - one < 2 * SAME, 3: end < one}
        figures[f"figure_{hidden}"] = of_depths[depth_of(hidden)] if comparable else None
    both = zip(_checks(report).items(), _checks(mini_batch).values())
    dips = list(falls(t).values())
    slower = [shares[2] < shares[0] - SLOWER for shares in (early_shares(t, rule) for rule in RULES)]
    return {
        **figures,
        **{key: all_or_some([under_report, under_other]) for (key, (under_report, _)), (under_other, _) in both},
        "dips": max(dips) > DIP and (True if dips == sorted(dips) else IN_PART),
        "slower": all_or_some(slower),
    }


def numbers(t: Tables) -> dict[str, Any]:
    ends = {rule: accuracies(t, rule) for rule in RULES}
    tests = accuracies(t, MINI_BATCH, "test_accuracy")
    grid = t["grid"].groups("width", "depth")
    width, depth = max(grid, key=lambda key: grid[key]["val_accuracy"].mean())
    of_nets: dict[str, Any] = {"grid_width": width, "grid_depth": depth}
    for (hidden, rows), part in t["learning_curve"].groups("hidden", "train_rows").items():
        position = {t.sizes.train_sizes[0]: "few", t.sizes.train_sizes[-1]: "many"}.get(rows)
        gap = part["train_accuracy"].mean() - part["test_accuracy"].mean()
        of_nets |= {f"gap_{hidden}_{position}": gap, f"parameters_{hidden}": part["parameters"][0]}
    for hidden in REPORT_NETS:
        of_nets[f"net_{hidden}"] = (
            f"{ends[ONE_UPDATE][hidden]:.1%} after {t.sizes.report_epochs} epochs with one update each; mini-batch SGD: {tests[hidden]:.2%} "
            "on the test images."
        )
    both = [(key, *(_checks(of_rule)[key][1] for of_rule in ends.values())) for key in _checks(ends[MINI_BATCH])]
    return {
        **of_nets,
        **{key: f"One update per epoch: {report}. Mini-batch: {mini_batch}." for key, report, mini_batch in both},
        "chosen": best(ends[MINI_BATCH]),
        "chosen_accuracy": tests[best(ends[MINI_BATCH])],
        "ends": [ends[ONE_UPDATE][hidden] for hidden in REPORT_NETS],
        "grid_accuracy": grid[width, depth]["test_accuracy"].mean(),
        "dips": listing(f"{fall:.1%} ({hidden})" for hidden, fall in falls(t).items()),
        "shares": [listing(f"{share:.0%}" for share in early_shares(t, rule)) for rule in RULES],
    }


def figures(t: Tables) -> dict[str, Any]:
    return {
        "report_rule": draw.report_rule({hidden: mean_curve(t, ONE_UPDATE, hidden) for hidden in REPORT_NETS}),
        "grid": draw.grid(t["grid"]),
        "learning_curve": draw.learning_curve(t["learning_curve"]),
    }
