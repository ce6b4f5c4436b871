"""The tables of the page, from the fits."""

from collections.abc import Callable, Sequence

import numpy as np
from harness.number_text import duration, percent, significant
from harness.tables import Row, Table, Tables

from tabular import data
from tabular.comparison import Comparison, means_of_known, medians_of_known, standard_error
from tabular.methods import FASTMLP, METHODS, ORIGINALS, REFERENCE, TREES


def one_thread(t: Tables) -> Table:
    return t["fits"].where(threads=1)


def views(t: Tables) -> dict[str, list[Row]]:
    fits, compared = one_thread(t), Comparison.of(one_thread(t))
    groups = fits.groups("method", "set")

    def cells(sets: Sequence[str], text: Callable[[Table], str]) -> list[Row]:
        """A row for each method, with a text for each set."""

        def cell(method: str, name: str) -> str:
            return text(groups[method, name]) if (method, name) in groups else ""

        return [{"method": method, **{name: cell(method, name) for name in sets}} for method in compared.methods]

    def seconds(part: Table) -> str:
        median = float(medians_of_known(part["fit_seconds"][None])[0])
        return "" if np.isnan(median) else duration(median)

    return {
        "summary": summary(t, compared),
        "classification": cells(data.CLASSIFICATION, lambda part: with_error(100 * part["error"], 2)),
        "log_loss": cells(data.CLASSIFICATION, lambda part: with_error(part["log_loss"], 4)),
        "regression": cells(data.REGRESSION, lambda part: with_error(part["error"])),
        "classification_seconds": cells(data.CLASSIFICATION, seconds),
        "regression_seconds": cells(data.REGRESSION, seconds),
        "winners": winners(compared),
        "originals": originals(fits),
    }


def with_error(values: np.ndarray, decimals: int | None = None) -> str:
    """The mean and its standard error; without `decimals`, the mean has four digits."""
    mean, error = float(values.mean()), standard_error(values)
    if decimals is None:
        decimals = max(0, 3 - int(np.floor(np.log10(abs(mean))))) if mean else 0
    return f"{mean:.{decimals}f}" + ("" if np.isnan(error) else f" ± {error:.{decimals}f}")


def summary(t: Tables, compared: Comparison) -> list[Row]:
    """The order is that of the geometric means; methods on fewer sets or splits come last."""
    columns = {
        "ratio": compared.geometric_means(REFERENCE),
        "rank": compared.ranks(compared.complete),
        "rank_in_trees": compared.ranks([METHODS[method].family == TREES for method in compared.methods]),
        "normalised": means_of_known(compared.normalised()),
        "fit_seconds": medians_of_known(compared.fit_seconds),
        "predict_seconds": medians_of_known(compared.predict_seconds),
    }
    rows = [
        {
            "method": method,
            "sets": int((~np.isnan(compared.errors[i])).any(axis=1).sum()),
            "splits": splits_of(compared.errors[i]),
            "complete": bool(compared.complete[i]),
            **{name: float(values[i]) for name, values in columns.items()},
            "two_threads": times_as_fast(t["fits"].where(method=method)),
        }
        for i, method in enumerate(compared.methods)
    ]
    for row in rows:
        row |= {name: "" if np.isnan(row[name]) else f"{row[name]:.1f}" for name in ("rank", "rank_in_trees")}
    return sorted(rows, key=lambda row: (not row["complete"], row["ratio"]))


def splits_of(errors: np.ndarray) -> str:
    """How many splits of each set a method was fitted to, such as "5" or "1 to 3"; `errors` of shape (sets, splits)."""
    counts = np.unique((~np.isnan(errors)).sum(axis=1))
    return " to ".join(map(str, dict.fromkeys((counts[counts > 0][0], counts[-1]))))


def times_as_fast(fits: Table) -> str:
    """Two threads: the median over the sets whose times with both are known, with the same splits."""
    seconds = {(row["set"], row["seed"], row["threads"]): row["fit_seconds"] for row in fits.rows()}
    ratios = [seconds[name, seed, 1] / time for (name, seed, threads), time in seconds.items() if threads == 2]
    median = float(medians_of_known(np.array([ratios]))[0])
    return "" if np.isnan(median) else f"{median:.2f}"


def winners(compared: Comparison) -> list[Row]:
    """Set by set, the best of the trees and of fastmlp's methods that were fitted to all splits."""
    rows = []
    for column, name in enumerate(compared.sets):
        best = {family: _best(compared, column, family) for family in (TREES, FASTMLP)}
        (trees, tree_error), (ours, our_error) = best[TREES], best[FASTMLP]
        ratio = our_error / tree_error if ours and trees and tree_error else np.nan
        verdict = "" if np.isnan(ratio) else f"{abs(ratio - 1):.1%} {'more' if ratio > 1 else 'less'}"
        rows.append(
            {"set": name, "trees": trees, "ours": ours, "ratio": ratio, "verdict": verdict}
            | {"tree_error": _error_text(name, tree_error), "our_error": _error_text(name, our_error)}
        )
    return rows


def _best(compared: Comparison, column: int, family: str) -> tuple[str, float]:
    errors = {
        method: compared.error[i, column]
        for i, method in enumerate(compared.methods)
        if METHODS[method].family == family and not np.isnan(compared.error[i, column])
    }
    method = min(errors, key=errors.__getitem__, default="")
    return method, float(errors.get(method, np.nan))


def _error_text(name: str, error: float) -> str:
    if np.isnan(error):
        return ""
    return percent(error, 2) if name in data.CLASSIFICATION else significant(error, 4)


def pairs(fits: Table, ours: str, name: str) -> list[tuple[Row, Row]]:
    """Of a method of fastmlp's and the package that it reproduces: their fits of a set to the same splits."""
    theirs = {row["seed"]: row for row in fits.where(method=ORIGINALS[ours], set=name).rows()}
    return [(row, theirs[row["seed"]]) for row in fits.where(method=ours, set=name).rows() if row["seed"] in theirs]


def times_as_long(of_set: Sequence[tuple[Row, Row]]) -> float:
    """The second of each pair: the median of those whose times are both known; nan if there are none."""
    ratios = np.array([[other["fit_seconds"] / one["fit_seconds"] for one, other in of_set]])
    return float(medians_of_known(ratios)[0])


def originals(fits: Table) -> list[Row]:
    """fastmlp's methods beside the packages that they reproduce, set by set, on the same splits."""
    rows = []
    for ours in ORIGINALS:
        for name in fits.distinct("set"):
            of_set = pairs(fits, ours, name)
            if not of_set:
                continue
            errors = np.array([[one["error"], other["error"]] for one, other in of_set])
            differences = (errors[:, 0] - errors[:, 1]) / errors[:, 1].mean()
            deviation, times = standard_error(differences), times_as_long(of_set)
            rows.append(
                {
                    "method": ours.removeprefix("fastmlp "),
                    "set": name,
                    "ours": _error_text(name, float(errors[:, 0].mean())),
                    "theirs": _error_text(name, float(errors[:, 1].mean())),
                    "difference": f"{differences.mean():+.1%}" + ("" if np.isnan(deviation) else f" ± {deviation:.1%}"),
                    "times": "" if np.isnan(times) else significant(times, 2),
                }
            )
    return rows
