"""How fast is a training step, as a share of the processor's peak and beside the libraries that people would use instead?

    pip install ".[rivals]"

installs those libraries; one that is missing is left out. The peak is what multiply-adds reach that never
leave the registers. A step counts 2 * batch * (3 * sum(inputs * outputs) - inputs_0 * outputs_0) operations:
forward, weight gradients, and input gradients of all layers but the first.
"""

from __future__ import annotations

import numpy as np
import rivals
import speed_vs_rivals_figures as draw
import time_to_accuracy as recipe
from campaign import Campaign
from figures import save
from report import run_alone
from results import Results
from section import Figure, Part, Section, Table
from speed_vs_rivals_measurements import OURS, OURS_ALONE, Measurements, measure
from turns import PAUSE, Timing
from wording import counted, duration, listing, significant, times

NAME = "speed_vs_rivals"


def run(campaign: Campaign) -> Section:
    results = campaign.results(NAME)
    measured = measure(campaign, results)
    image, picture = save(draw.shares_of_peak(measured), results.folder, "shares_of_peak")
    speed, accuracy = _write_tables(measured, results)
    figure = Figure(image, picture, _caption(measured), _alt(measured), [speed])
    return Section(
        name=NAME,
        title="Speed, beside other libraries",
        question="What share of the processor's multiply-add peak does a whole training step reach, and what do other libraries reach?",
        summary=[_summary(measured)],
        claims=[],
        parts=[_steps(measured, figure), _libraries(measured), _time_to_accuracy(measured)],
        setup=_setup(measured),
        data=[results.path, speed, accuracy],
        environments=results.environments(),
        notices=_notices(measured),
    )


def _rivals(measured: Measurements) -> list[str]:
    return [name for name in measured.libraries if name != OURS]


def _notices(measured: Measurements) -> list[str]:
    missing = [name for name in rivals.LIBRARIES if name not in measured.libraries]
    absent = [f'Not installed when this was measured: {listing(missing)} (pip install ".[rivals]").'] if missing else []
    return absent + ([measured.digits.notice] if measured.digits.notice else [])


def _summary(measured: Measurements) -> str:
    first, timing = next(iter(measured.timings.items()))
    ratios = listing(f"{times(timing.ratio(name, OURS))} ({name})" for name in _rivals(measured))
    return (
        f"Case {first}, {timing.case.net} with batches of {timing.case.batch_size}: {timing.share_of_peak(OURS):.0%} of the peak. "
        f"An epoch takes other libraries {ratios} as long. {_recipe_result(measured)}"
    )


def _steps(measured: Measurements, figure: Figure) -> Part:
    others = _rivals(measured)
    alone = [OURS_ALONE] if OURS_ALONE in measured.timings[measured.plan.cases[0]].seconds else []
    return Part(
        "Whole training steps",
        [
            (
                "Forward, backward and update of shuffled float32 rows. Each library works in a process of its own with its own threads, "
                f"and all take turns, with {PAUSE:g} s between them; the peak is measured in the same turns. On a shared machine only shares "
                "and ratios mean something, so both are taken round by round."
            ),
            (
                "Random data have no zeros: there is no input to skip. Real digits have columns that are zero in a whole batch, which fastmlp "
                "skips; its share of the peak counts the operations of dense data all the same. scikit-learn makes one output of two classes."
            ),
        ],
        [figure],
        [
            Table(
                f"fastmlp, and how many times as long the others take; medians of {counted(measured.plan.rounds, 'round')}",
                [
                    "case",
                    "net",
                    "batch",
                    "share of the peak",
                    *("with 1 thread" for _ in alone),
                    *("gain of threads" for _ in alone),
                    *others,
                ],
                [
                    [
                        name,
                        timing.case.net,
                        str(timing.case.batch_size),
                        f"{timing.share_of_peak(OURS):.0%}",
                        *(f"{timing.share_of_peak(one):.0%}" for one in alone),
                        *(f"{timing.ratio(one, OURS):.2f}" for one in alone),
                        *(significant(timing.ratio(one, OURS), 2) if one in timing.seconds else "" for one in others),
                    ]
                    for name, timing in measured.timings.items()
                ],
            ),
            Table(
                "Milliseconds per epoch",
                ["case", "rows", OURS, *alone, *others],
                [
                    [
                        name,
                        str(timing.case.rows),
                        *(
                            significant(1e3 * timing.median_seconds(one)) if one in timing.seconds else ""
                            for one in (OURS, *alone, *others)
                        ),
                    ]
                    for name, timing in measured.timings.items()
                ],
            ),
        ],
    )


def _libraries(measured: Measurements) -> Part:
    return Part(
        "Each library at its best",
        [
            (
                "PyTorch: fused optimizer, tensors in memory, no DataLoader. JAX: an epoch is one compiled scan. scikit-learn: partial_fit of "
                "float32 rows, no momentum, no penalty. NumPy: in place where it can be. OpenBLAS chooses its kernels for the processor itself, whatever the environment says."
            )
        ],
        tables=[
            Table(
                "As each process found it",
                ["library", "version", "matrix products", "threads"],
                [
                    [name, about["version"], about["blas"], about["threads"]]
                    for name, about in measured.libraries.items()
                ],
            )
        ],
    )


def _time_to_accuracy(measured: Measurements) -> Part:
    return Part(
        f"Time to {recipe.TARGET:.0%}" if measured.digits.is_mnist else "Time of a whole training",
        [
            (
                f"{'-'.join(map(str, recipe.LAYER_SIZES))}, batches of {recipe.BATCH_SIZE}, SGD with momentum {recipe.MOMENTUM:g}, {recipe.EPOCHS} "
                f"epochs with a learning rate that falls in equal steps from {recipe.FIRST_RATE:g}. The recipe was chosen for few operations, by "
                "the test images: it measures time, not how well one can do. The clock runs from uint8 images in memory to trained weights."
            ),
            _recipe_result(measured),
        ],
        tables=[
            Table(
                "Medians, and the least and greatest accuracy of the seeds",
                ["library", "seconds", "test accuracy", "least", "greatest", "seeds"],
                [
                    [
                        name,
                        f"{np.median(runs.seconds):.2f}",
                        *(
                            f"{value:.4f}"
                            for value in (np.median(runs.accuracy), runs.accuracy.min(), runs.accuracy.max())
                        ),
                        str(len(runs.seconds)),
                    ]
                    for name, runs in measured.runs.items()
                ],
            )
        ],
    )


def _recipe_result(measured: Measurements) -> str:
    ours, *others = measured.runs.items()
    accuracy = float(np.median(ours[1].accuracy))
    reached = "reaches" if accuracy >= recipe.TARGET else "does not reach"
    target = f", which {reached} {recipe.TARGET:.0%}" if measured.digits.is_mnist else ""
    beside = "".join(
        f"; {name} takes {times(float(np.median(runs.seconds / ours[1].seconds)))} as long ({np.median(runs.accuracy):.2%})"
        for name, runs in others
    )
    return (
        f"On {measured.digits.name}, fastmlp trains to a median test accuracy of {accuracy:.2%}{target}, in "
        f"{duration(float(np.median(ours[1].seconds)))}{beside}."
    )


def _caption(measured: Measurements) -> str:
    return (
        f"Share of the multiply-add peak that whole training steps reach; medians of {counted(measured.plan.rounds, 'round')}. "
        "Hollow: one thread, of the peak of one thread."
    )


def _alt(measured: Measurements) -> str:
    def shares(timing: Timing) -> str:
        return listing(f"{name} {timing.share_of_peak(name):.0%}" for name in timing.seconds)

    return "One row per case, one mark per library. " + "; ".join(
        f"{name}: {shares(timing)}" for name, timing in measured.timings.items()
    )


def _setup(measured: Measurements) -> dict[str, str]:
    return {
        "Data": f"random, without zeros; case A, digits: {measured.digits.name}",
        "Loss": "softmax cross-entropy, relu layers",
        "Optimizer": "plain SGD, where not said otherwise",
        "Rounds": str(measured.plan.rounds),
        "Rows": f"{measured.plan.most_rows} at most, if the batch is not larger",
        "Number type": "float32",
    }


def _write_tables(measured: Measurements, results: Results) -> tuple:
    speed = results.write_csv(
        "speed.csv",
        (
            "case",
            "net",
            "batch",
            "rows",
            "optimizer",
            "data",
            "library",
            "ms_per_epoch",
            "gflops",
            "share_of_peak",
            "times_fastmlp",
        ),
        [
            (
                name,
                timing.case.net,
                timing.case.batch_size,
                timing.case.rows,
                timing.case.optimizer,
                measured.digits.name if timing.case.digits else "random",
                one,
                f"{1e3 * timing.median_seconds(one):.4g}",
                f"{timing.case.operations / timing.median_seconds(one) / 1e9:.4g}",
                f"{timing.share_of_peak(one):.3f}",
                f"{timing.ratio(one, OURS):.4g}",
            )
            for name, timing in measured.timings.items()
            for one in timing.seconds
        ],
    )
    accuracy = results.write_csv(
        "time_to_accuracy.csv",
        ("library", "seed", "seconds", "test_accuracy"),
        [
            (name, seed, f"{seconds:.4f}", accuracy)
            for name, runs in measured.runs.items()
            for seed, seconds, accuracy in zip(measured.plan.seeds, runs.seconds, runs.accuracy)
        ],
    )
    return speed, accuracy


if __name__ == "__main__":
    run_alone(run, __doc__)
