"""What does the best net still get wrong, and does it know?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from best_net_figures import draw_calibration, draw_confusion, draw_mistakes, sure
from best_net_measurements import Measurements, measure
from campaign import Campaign
from figures import save, save_pixels
from report import run_alone
from results import Results
from section import Figure, Part, Section, Table
from wording import counted, listing, mean_and_range

NAME = "best_net"
PAIRS = 4  # confusions named in the text
CALIBRATED = 0.005  # expected calibration error: beyond what one reads off a probability


def run(campaign: Campaign) -> Section:
    results = campaign.results(NAME)
    measured = measure(campaign, results)
    tables = _write_tables(measured, results)
    confusion = Figure(
        *save(draw_confusion(measured), results.folder, "confusion"),
        "Test images that are not recognized, by digit; the diagonal, the right ones, is left out.",
        f"Heat map of mistakes. Most frequent: {_pairs(measured)}.",
        tables[1:2],
    )
    mistakes = Figure(
        *save_pixels(draw_mistakes(measured), results.folder, "mistakes"),
        "The mistakes of which the net is surest.",
        "Images of digits: "
        + "; ".join(
            f"a {m['label']} seen as {m['predicted']}, {sure(m['confidence'])} sure" for m in measured.mistakes
        ),
        tables[2:3],
    )
    calibration = Figure(
        *save(draw_calibration(measured), results.folder, "calibration"),
        "How often the net is right, by how sure it is: each point a tenth of the test images.",
        f"Accuracy against confidence. The least sure tenth: {_least_sure(measured)}.",
        tables[3:],
    )
    return Section(
        name=NAME,
        title="The best net's mistakes",
        question="What does the best net still get wrong, and does it know?",
        summary=[_summary(measured)],
        claims=[],
        parts=[
            Part("The choice", [_choice(measured)], [], [_candidates(measured)]),
            Part("What it gets wrong", [_wrong(measured)], [confusion, mistakes]),
            Part("Does it know?", [_calibration(measured)], [calibration]),
        ],
        setup={
            "Optimizer": "as mini-batch SGD under architecture",
            "Epochs": str(measured.plan.epochs),
            "Choice": "by validation accuracy, one training row in ten; test images are seen once, by the chosen nets",
            "Seeds": str(measured.plan.seeds),
        },
        data=[results.path, *tables],
        environments=results.environments(),
        notices=[measured.digits.notice] if measured.digits.notice else [],
    )


def _summary(measured: Measurements) -> str:
    return (
        f"Validation chooses {measured.chosen.name}; it recognizes {mean_and_range(100 * measured.accuracy, 2)} % of the test images. "
        f"Its confidence is off by {measured.as_trained.error:.2%} on average"
        + (
            f", and by {measured.corrected.error:.2%} once its scores are divided by {measured.temperature:.2f}."
            if measured.temperature != 1
            else "."
        )
    )


def _choice(measured: Measurements) -> str:
    return (
        f"{counted(len(measured.candidates), 'kind')} of nets are trained with {counted(measured.plan.seeds, 'seed')} each. The one with the best mean validation "
        f"accuracy is kept, {measured.chosen.name}, and only its nets ever see the test images."
    )


def _candidates(measured: Measurements) -> Table:
    return Table(
        f"Validation accuracy in per cent, means and ranges over {counted(measured.plan.seeds, 'seed')}",
        ["net", "validation accuracy"],
        [
            [
                candidate.name + (" (chosen)" if candidate is measured.chosen else ""),
                mean_and_range(100 * candidate.val_accuracy, 2),
            ]
            for candidate in measured.candidates
        ],
    )


def _pairs(measured: Measurements) -> str:
    counts = np.where(np.eye(len(measured.confusion), dtype=bool), 0, measured.confusion)
    order = np.argsort(-counts, axis=None, kind="stable")[:PAIRS]
    found = [(int(i // len(counts)), int(i % len(counts))) for i in order if counts.flat[i]]
    return listing(f"{a} seen as {b} ({counts[a, b]})" for a, b in found) if found else "none"


def _wrong(measured: Measurements) -> str:
    first = measured.mistaken[0]
    text = f"The first seed's net misses {first} of {len(measured.digits.x_test)} test images. Most frequent: {_pairs(measured)}."
    if len(measured.mistaken) > 1 and first:
        text += (
            f" The nets of all {len(measured.mistaken)} seeds miss {measured.mistaken_by_all} of these {first}: the rest is the chance of one training, "
            "which the vote of several nets would mend in part."
        )
    return text


def _least_sure(measured: Measurements) -> str:
    found = measured.as_trained
    return f"{found.confidence[0]:.1%} sure and {found.accuracy[0]:.1%} right"


def _calibration(measured: Measurements) -> str:
    before, after = measured.as_trained, measured.corrected
    direction = "too sure" if measured.temperature > 1 else "not sure enough"
    verdict = "well calibrated as it is" if before.error < CALIBRATED else direction
    better = "lowers" if after.error < before.error else "does not lower"
    return (
        f"The least sure tenth of the test images is {_least_sure(measured)}; over all tenths, confidence and accuracy differ by {before.error:.2%} on average: the "
        f"net is {verdict}. One number, a temperature of {measured.temperature:.2f} by which all scores are divided, fitted to the validation "
        f"images, {better} this to {after.error:.2%}, and the test loss from {before.loss:.4f} to {after.loss:.4f}; no prediction changes."
        if after.error < before.error
        else f"The least sure tenth of the test images is {_least_sure(measured)}; over all tenths, confidence and accuracy differ by {before.error:.2%} on average: "
        f"the net is {verdict}. A temperature of {measured.temperature:.2f}, fitted to the validation images, does not help: {after.error:.2%}, with a test loss of "
        f"{after.loss:.4f} instead of {before.loss:.4f}."
    )


def _write_tables(measured: Measurements, results: Results) -> Sequence[Path]:
    digits = range(len(measured.confusion))
    return (
        results.write_csv(
            "candidates.csv",
            ("hidden", "l2", "seed", "val_accuracy", "test_accuracy"),
            [
                (
                    "-".join(map(str, candidate.hidden)),
                    candidate.l2,
                    seed,
                    f"{accuracy:.5g}",
                    f"{measured.accuracy[seed]:.5g}" if candidate is measured.chosen else "",
                )
                for candidate in measured.candidates
                for seed, accuracy in enumerate(candidate.val_accuracy)
            ],
        ),
        results.write_csv(
            "confusion.csv",
            ("true", *digits),
            [(true, *map(int, row)) for true, row in zip(digits, measured.confusion)],
        ),
        results.write_csv(
            "mistakes.csv",
            ("row", "label", "predicted", "confidence"),
            [(m["row"], m["label"], m["predicted"], f"{m['confidence']:.5g}") for m in measured.mistakes],
        ),
        results.write_csv(
            "calibration.csv",
            ("scores", "confidence", "accuracy"),
            [
                (scores, f"{confidence:.5g}", f"{accuracy:.5g}")
                for scores, found in (("as trained", measured.as_trained), ("temperature", measured.corrected))
                for confidence, accuracy in zip(found.confidence, found.accuracy)
            ],
        ),
    )


if __name__ == "__main__":
    run_alone(run, __doc__)
