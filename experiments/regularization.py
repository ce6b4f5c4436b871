"""What do L1 and L2 penalties change? And why did the report's L2 net rise to 60 % and fall to chance?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from campaign import Campaign
from figures import save, save_pixels
from regularization_figures import TITLES, draw_path, draw_report, draw_weights
from regularization_measurements import (
    BATCH_SIZE,
    LAYER_SIZES,
    LEARNING_RATE,
    NONE,
    NORMS,
    REPORT_BATCHES,
    REPORT_STRENGTHS,
    Key,
    Measurements,
    Nets,
    measure,
)
from report import run_alone
from results import Results
from section import CONTRADICTED, EXPLAINED, IN_PART, REPRODUCED, Claim, Figure, Part, Section, Table
from wording import constant_since, counted, listing, mean_and_range

NAME = "regularization"
LARGE, MIDDLE, SMALL = REPORT_STRENGTHS[2], REPORT_STRENGTHS[1], REPORT_STRENGTHS[0]
SAME = 0.01  # of accuracy: what the report could not tell apart in a figure
CHANCE = 0.15  # accuracy at most: no better than always the same answer
RISEN = 0.5  # accuracy at least, before a fall to chance


def run(campaign: Campaign) -> Section:
    results = campaign.results(NAME)
    measured = measure(campaign, results)
    tables = _write_tables(measured, results)
    report = Figure(
        *save(draw_report(measured), results.folder, "report"),
        "Validation accuracy with one update per epoch: above, the penalty's gradient counts once; below, it is added once per mini-batch.",
        _report_alt(measured),
        [tables[0]],
    )
    path = Figure(
        *save(draw_path(measured), results.folder, "path"),
        "Accuracy, the gap between training and test, and the share of exact zeros, by strength; dotted: the choice by validation.",
        _path_alt(measured),
        [tables[1]],
    )
    weights = Figure(
        *save_pixels(draw_weights(measured), results.folder, "weights"),
        "First-layer weights of the first seed: how they are distributed, and six neurons as images.",
        "Histograms on a log scale and images: without a penalty the images look like noise, with one they are smooth or mostly empty.",
        [],
    )
    return Section(
        name=NAME,
        title="Regularization",
        question="What do L1 and L2 penalties change, and what went wrong in the report's L2 net?",
        summary=[_summary(measured)],
        claims=_claims(measured),
        report_figures=_report_figures(measured),
        parts=[_report_part(measured, report), _path_part(measured, path), _weights_part(weights)],
        setup={
            "Net": "-".join(map(str, LAYER_SIZES)),
            "Optimizer": f"SGD, learning rate {LEARNING_RATE:g}, batches of {BATCH_SIZE}",
            "Report's rule": f"one update per epoch, {counted(measured.plan.report_epochs, 'epoch')}",
            "Path": f"one update per batch, {counted(measured.plan.path_epochs, 'epoch')}; L1 by proximal steps",
            "Validation": "one training row in ten, for the choice of λ",
            "Seeds": str(measured.plan.seeds),
        },
        data=[results.path, *tables],
        environments=results.environments(),
        notices=[measured.digits.notice] if measured.digits.notice else [],
    )


def _final(nets: Nets, name: str = "val_accuracy") -> float:
    return float(nets.final(name).mean())


def collapses(nets: Nets) -> bool:
    """Whether accuracy rises, and ends at chance."""
    mean = nets.curves["val_accuracy"].mean(axis=0)
    return bool(mean.max() >= RISEN and mean[-1] <= CHANCE)


def _collapse(nets: Nets) -> str:
    mean = nets.curves["val_accuracy"].mean(axis=0)
    text = f"rises to {mean.max():.0%} in epoch {int(mean.argmax()) + 1}"
    if mean[-1] > CHANCE:
        return f"{text} and ends at {mean[-1]:.0%}"
    since = constant_since(mean, "{:.1%}".format) + 1
    return f"{text} and " + (
        f"is at {mean[-1]:.1%} from epoch {since} on" if since < len(mean) else f"ends at {mean[-1]:.1%}"
    )


def _summary(measured: Measurements) -> str:
    counted_once, per_batch = measured.once["l2", LARGE], measured.per_batch["l2", LARGE]
    if collapses(per_batch) and not collapses(counted_once):
        riddle = (
            f"The report's collapse comes from counting the penalty once per mini-batch: λ = {LARGE:g} then acts {REPORT_BATCHES} times, "
            f"and accuracy {_collapse(per_batch)}. Counted once, the same λ ends at {_final(counted_once):.0%}."
        )
    else:
        riddle = f"Counted once per mini-batch, accuracy with L2 at {LARGE:g} {_collapse(per_batch)}; counted once, it {_collapse(counted_once)}."
    return f"{riddle} {_choice(measured)}"


def _choice(measured: Measurements) -> str:
    parts = []
    for norm in NORMS:
        key = measured.chosen(norm)
        name = "no penalty" if key == NONE else f"λ = {key[1]:g}"
        parts.append(f"{TITLES[norm]}: {name}, {_final(measured.path[key], 'test_accuracy'):.2%}")
    without = _final(measured.path[NONE], "test_accuracy")
    return f"Chosen by validation under mini-batch SGD, with their test accuracy: {'; '.join(parts)}; without a penalty {without:.2%}."


def _report_figures(measured: Measurements) -> list[Claim]:
    """A row for each of the report's six: two norms, three strengths."""
    said = {
        ("l2", LARGE): "rises to about 60 % and falls to about 10 %",
        ("l1", LARGE): "does as badly as L2 does with it",
    }
    found = []
    without = _final(measured.once[NONE])
    for norm in NORMS:
        for strength in REPORT_STRENGTHS:
            once, per_batch = measured.once[norm, strength], measured.per_batch[norm, strength]
            fails = (norm, strength) in said
            if fails:
                fallen = _final(once) <= CHANCE, _final(per_batch) <= CHANCE
                verdict = REPRODUCED if fallen[0] else EXPLAINED if fallen[1] else CONTRADICTED
            else:
                verdict = REPRODUCED if abs(_final(once) - without) < SAME else CONTRADICTED
            found.append(
                Claim(
                    f"{TITLES[norm]}, λ = {strength:g}: accuracy {said.get((norm, strength), 'as expected, among the best')}.",
                    verdict,
                    f"Counted once, it ends at {_final(once):.1%} (without a penalty {without:.1%}); counted once per mini-batch, it {_collapse(per_batch)}.",
                )
            )
    return found


def _claims(measured: Measurements) -> list[Claim]:
    return [
        _small_changes_nothing(measured),
        _too_large(measured),
        _slower(measured),
        _zeros(measured),
        _best_ones(measured),
        _anomaly(measured),
        _l1_large(measured),
        _l1_middle(measured),
        _generalization(measured),
    ]


def _small_changes_nothing(measured: Measurements) -> Claim:
    without = _final(measured.once[NONE])
    found = {norm: _final(measured.once[norm, SMALL]) for norm in NORMS}
    same = all(abs(value - without) < SAME for value in found.values())
    return Claim(
        "A small λ changes loss and accuracy little.",
        REPRODUCED if same else CONTRADICTED,
        f"With λ = {SMALL:g} accuracy ends at {listing(f'{value:.1%} ({TITLES[norm]})' for norm, value in found.items())}, without at {without:.1%}.",
        hypothesis=True,
    )


def _too_large(measured: Measurements) -> Claim:
    without = _final(measured.path[NONE])
    strongest = {norm: max(key for key in measured.path if key[0] == norm) for norm in NORMS}
    found = {key: _final(measured.path[key]) for key in strongest.values()}
    worse = [without - value > SAME for value in found.values()]
    return Claim(
        "If λ is too large, the wrong function is learnt: loss and accuracy end worse.",
        REPRODUCED if all(worse) else IN_PART if any(worse) else CONTRADICTED,
        f"Mini-batch SGD ends at {listing(f'{value:.1%} with {_label(key)}' for key, value in found.items())}, the strongest tried; without a penalty at {without:.1%}.",
        hypothesis=True,
    )


def _slower(measured: Measurements) -> Claim:
    level = RISEN  # of accuracy
    epochs = {
        norm: int(np.argmax(measured.once[norm, LARGE].curves["val_accuracy"].mean(axis=0) >= level)) + 1
        for norm in NORMS
    }
    return Claim(
        "If the weights are smaller than 1, convergence is slower under L1 than under L2.",
        REPRODUCED if epochs["l1"] > epochs["l2"] else CONTRADICTED,
        f"Counted once, at λ = {LARGE:g}, {level:.0%} accuracy is passed in epoch {epochs['l1']} (L1) and {epochs['l2']} (L2), and accuracy ends at "
        f"{_final(measured.once['l1', LARGE]):.1%} and {_final(measured.once['l2', LARGE]):.1%}: below 1, L1 pulls harder than L2 of the same λ.",
        hypothesis=True,
    )


def _zeros(measured: Measurements) -> Claim:
    l1, l2 = (max(nets.zeros.mean() for key, nets in measured.path.items() if key[0] == norm) for norm in NORMS)
    initial = measured.path[NONE].zeros.mean()
    return Claim(
        "L1 brings less critical weights to 0, L2 does not.",
        REPRODUCED if l1 > l2 + SAME and l2 <= initial + SAME else CONTRADICTED,
        f"Exact zeros among the first layer's weights: up to {l1:.1%} under L1, {l2:.1%} under L2, {initial:.1%} without a penalty.",
        hypothesis=True,
    )


def _best_ones(measured: Measurements) -> Claim:
    small = [_final(measured.once[norm, s]) for norm in NORMS for s in (SMALL, MIDDLE)]
    large = [_final(measured.once[norm, LARGE]) for norm in NORMS]
    return Claim(
        f"The best results come with λ of {SMALL:g} and {MIDDLE:g}.",
        REPRODUCED if min(small) > max(large) else IN_PART if np.mean(small) > np.mean(large) else CONTRADICTED,
        f"Counted once, accuracy ends at {min(small):.1%} to {max(small):.1%} with those, at {listing(f'{value:.1%}' for value in large)} with {LARGE:g} "
        f"({listing(TITLES[norm] for norm in NORMS)}), at {_final(measured.once[NONE]):.1%} with none.",
    )


def _anomaly(measured: Measurements) -> Claim:
    once, per_batch = measured.once["l2", LARGE], measured.per_batch["l2", LARGE]
    explained = collapses(per_batch) and not collapses(once)
    return Claim(
        f"With L2 at {LARGE:g} accuracy rises to about 60 % and falls to about 10 %: the function slowly converges towards the wrong one.",
        EXPLAINED if explained else REPRODUCED if collapses(once) else CONTRADICTED,
        f"Counted once, it {_collapse(once)}. With the penalty's gradient added once per mini-batch, an effective λ of "
        f"{REPORT_BATCHES * LARGE:.2g}, it {_collapse(per_batch)}: the penalty drives the weights to zero faster than one step per epoch on the "
        "data can build them up.",
    )


def _l1_large(measured: Measurements) -> Claim:
    once, per_batch = measured.once["l1", LARGE], measured.per_batch["l1", LARGE]
    bad = _final(per_batch) <= CHANCE
    return Claim(
        f"L1 at {LARGE:g} fails in the same way.",
        EXPLAINED if bad and _final(once) > RISEN else REPRODUCED if _final(once) <= CHANCE else CONTRADICTED,
        f"Counted once, accuracy {_collapse(once)}; counted per mini-batch, it {_collapse(per_batch)}.",
    )


def _l1_middle(measured: Measurements) -> Claim:
    once, per_batch = measured.once["l1", MIDDLE], measured.per_batch["l1", MIDDLE]
    return Claim(
        f"L1 at {MIDDLE:g} learns as well as without a penalty.",
        REPRODUCED if abs(_final(once) - _final(measured.once[NONE])) < SAME else CONTRADICTED,
        f"Counted once: {_final(once):.1%}. But if the report counted L1 per mini-batch as it must have counted L2, accuracy would end at "
        f"{_final(per_batch):.1%}; so its two norms were not counted alike, or its collapse has another reason as well.",
    )


def _generalization(measured: Measurements) -> Claim:
    without = measured.path[NONE]
    chosen = [key for key in map(measured.chosen, NORMS) if key != NONE]
    narrows = bool(chosen) and all(measured.path[key].gap.mean() < without.gap.mean() for key in chosen)
    helps = bool(chosen) and all(
        _final(measured.path[key], "test_accuracy") >= _final(without, "test_accuracy") for key in chosen
    )
    parts = [f"{measured.path[key].gap.mean():.2%} with {_label(key)}" for key in chosen]
    return Claim(
        "Regularization helps to generalize.",
        REPRODUCED if narrows and helps else IN_PART if narrows or helps else CONTRADICTED,
        f"The gap between training and test accuracy is {without.gap.mean():.2%} without a penalty"
        + (f", and {listing(parts)}, as validation chose. " if parts else "; validation chose no penalty at all. ")
        + _choice(measured),
    )


def _report_part(measured: Measurements, figure: Figure) -> Part:
    return Part(
        "The report's rule, and its riddle",
        [
            (
                "The report's figures come from one update per epoch (see the batch size). What is open is how often the penalty's gradient was "
                f"added: once with the mean gradient of all rows, or once with each of its {REPORT_BATCHES} mini-batches. The row below tries the second."
            )
        ],
        [figure],
        [
            Table(
                f"Validation accuracy over {counted(measured.plan.seeds, 'seed')}: at its highest, and after the last epoch",
                ["penalty", "counted once: highest", "last", "per mini-batch: highest", "last"],
                [
                    [
                        _label(key),
                        *_highest_and_last(measured.once[key]),
                        *(_highest_and_last(measured.per_batch[key]) if key in measured.per_batch else ("", "")),
                    ]
                    for key in measured.once
                ],
            )
        ],
    )


def _highest_and_last(nets: Nets) -> tuple[str, str]:
    return f"{nets.curves['val_accuracy'].mean(axis=0).max():.1%}", f"{_final(nets):.1%}"


def _label(key: Key) -> str:
    return "none" if key == NONE else f"{TITLES[key[0]]}, λ = {key[1]:g}"


def _path_part(measured: Measurements, figure: Figure) -> Part:
    rows = [
        [
            _label(key),
            *(
                mean_and_range(100 * nets.final(name), 2)
                for name in ("train_accuracy", "val_accuracy", "test_accuracy")
            ),
            f"{nets.gap.mean():.2%}",
            f"{nets.zeros.mean():.1%}",
        ]
        for key, nets in measured.path.items()
    ]
    return Part(
        "A path of strengths, with one update per mini-batch",
        [
            (
                "λ is chosen by validation accuracy; the test images play no part in it, though the figure shows them as well. L1 "
                "works by proximal steps, so weights that it wins over are exactly zero: pixels that are black in most images go first."
            )
        ],
        [figure],
        [
            Table(
                f"After {counted(measured.plan.path_epochs, 'epoch')}; accuracies in per cent, means and ranges over {counted(measured.plan.seeds, 'seed')}",
                ["penalty", "training", "validation", "test", "gap", "first-layer zeros"],
                rows,
            )
        ],
    )


def _weights_part(figure: Figure) -> Part:
    return Part(
        "What the weights look like",
        [
            "The report recalls that L1 brings less critical weights to zero and that L2 does not, but shrinks large ones. Both can be seen."
        ],
        [figure],
    )


def _report_alt(measured: Measurements) -> str:
    return "Accuracy by epoch, four panels. " + "; ".join(
        f"{_label(key)} {_collapse(nets)}, counted per mini-batch" for key, nets in measured.per_batch.items()
    )


def _path_alt(measured: Measurements) -> str:
    return "Accuracy and gap by strength of the penalty, for L1 and L2. Chosen: " + "; ".join(
        _label(measured.chosen(norm)) for norm in NORMS
    )


def _write_tables(measured: Measurements, results: Results) -> Sequence[Path]:
    curves = results.write_csv(
        "report_rule.csv",
        (
            "counted",
            "norm",
            "strength",
            "seed",
            "epoch",
            "loss",
            "penalty",
            "accuracy",
            "val_accuracy",
            "test_accuracy",
        ),
        [
            (
                way,
                *key,
                seed,
                epoch + 1,
                *(
                    f"{nets.curves[name][seed, epoch]:.5g}"
                    for name in ("loss", "penalty", "accuracy", "val_accuracy", "test_accuracy")
                ),
            )
            for way, found in (("once", measured.once), ("per_batch", measured.per_batch))
            for key, nets in found.items()
            for seed in range(measured.plan.seeds)
            for epoch in range(0, measured.plan.report_epochs)
            if (epoch + 1) % 5 == 0 or epoch < 20
        ],
    )
    path = results.write_csv(
        "path.csv",
        ("norm", "strength", "seed", "train_accuracy", "val_accuracy", "test_accuracy", "zeros"),
        [
            (
                *key,
                seed,
                *(f"{nets.final(name)[seed]:.5g}" for name in ("train_accuracy", "val_accuracy", "test_accuracy")),
                f"{nets.zeros[seed]:.4g}",
            )
            for key, nets in measured.path.items()
            for seed in range(measured.plan.seeds)
        ],
    )
    return curves, path


if __name__ == "__main__":
    run_alone(run, __doc__)
