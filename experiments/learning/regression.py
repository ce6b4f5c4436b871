"""How well can a small net learn f(x) = x1 exp(-x1^2 - x2^2) from m points, and how does the error fall with m?

The architecture and the penalty are chosen by cross-validation on the m training points; the test grid is used once.
"""

import itertools
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from fastmlp import Network, datasets, fit_lbfgs
from fastmlp.plotting import SurfaceDisplay
from harness.figures import BLUE, DARK_ORANGE, GREY, STYLE, as_pixels, panels, plain_ticks, ticks_between
from harness.jobs import Job
from harness.run import Run, Sizes
from harness.tables import Row, Table, Tables
from matplotlib import pyplot
from matplotlib.figure import Figure as Drawing


REPORT_ERRORS = {100: 0.0135, 1000: 0.00573}
FOLDS = 5
HIDDEN = ((20,), (40,), (10, 10), (20, 20), (40, 40))

GRID_POINTS = 41  # per axis: finer than visible
SIDES = ((28, -60), (28, 30))  # elevation and azimuth, degrees

SIZES = Sizes(
    seconds=(2, 26, 3000),
    points=((100, 1000), (25, 100, 300, 1000), (25, 50, 100, 200, 400, 1000, 3000)),
    seeds=(1, 2, 10),
    hidden=(((5,), (8, 8)), HIDDEN[2:], HIDDEN),
    l2=((1e-7,), (1e-8,), (1e-8, 1e-6)),
    iterations=(30, 1500, 3000),
    grid=(50, 1000, 1000),  # test points per axis
)

Candidate = tuple[Sequence[int], float]  # hidden layers and L2


def candidates(sizes: SimpleNamespace) -> list[Candidate]:
    return list(itertools.product(sizes.hidden, sizes.l2))


def jobs(run: Run, sizes: SimpleNamespace) -> list[Job]:
    choices = candidates(sizes)

    def job(points: int, seed: int) -> Job:
        settings = {"iterations": sizes.iterations, "grid": sizes.grid}
        configuration = {"points": points, "seed": seed, "candidates": [[list(h), l2] for h, l2 in choices], **settings}

        def rows(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
            hidden, l2 = choices[result["chosen"]]
            errors = {name: result[name] for name in ("train_error", "test_error")}
            row = {"points": points, "seed": seed, "hidden": "-".join(map(str, hidden)), "l2": l2, **errors}
            return {"regression": [row]}

        return Job(configuration, lambda: choose_and_fit(points, seed, choices, **settings), rows)

    return [job(*pair) for pair in itertools.product(sizes.points, range(sizes.seeds))]


def choose_and_fit(points: int, seed: int, choices: Sequence[Candidate], iterations: int, grid: int) -> dict[str, Any]:
    """The whole procedure from m points: cross-validation, the chosen net fitted to all of them, and its test error."""
    X, y = datasets.make_hill_and_valley(points, seed=seed)
    # A third of the iterations is enough to distinguish candidates.
    scores = [cross_validate(candidate, X, y, iterations // 3, seed) for candidate in choices]
    chosen = int(np.argmin(scores))
    net = fit(choices[chosen], X, y, iterations, seed)
    arrays = [array.tolist() for array in (*net.weights, *net.biases)]
    return {
        "points": points,
        "scores": scores,
        "chosen": chosen,
        "train_error": _error(net, X, y),
        "test_error": _error(net, *datasets.hill_and_valley_grid(grid)),
        "parameters": arrays if seed == 0 else [],
    }


def fit(candidate: Candidate, X: np.ndarray, y: np.ndarray, iterations: int, seed: int) -> Network:
    net = _network(candidate, seed)
    fit_lbfgs(net, X, y, iterations, l2=candidate[1], tol=1e-12)
    return net


def _network(candidate: Candidate, seed: int = 0) -> Network:
    return Network((2, *candidate[0], 1), "tanh", "squared_error", "float64", seed=seed)


def cross_validate(candidate: Candidate, X: np.ndarray, y: np.ndarray, iterations: int, seed: int) -> float:
    """The mean squared error on points that were left out."""
    squares = 0.0
    for left_out in np.array_split(np.random.default_rng(seed).permutation(len(X)), FOLDS):
        kept = np.setdiff1d(np.arange(len(X)), left_out)
        net = fit(candidate, X[kept], y[kept], iterations, seed)
        squares += _error(net, X[left_out], y[left_out]) * len(left_out)
    return squares / len(X)


def _error(net: Network, X: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean((net.forward(X)[:, 0] - y) ** 2))


def by_points(t: Tables) -> dict[int, Table]:
    return t["regression"].groups("points")


def median_errors(t: Tables) -> dict[int, float]:
    return {points: float(np.median(part["test_error"])) for points, part in by_points(t).items()}


def slope(t: Tables) -> float:
    """Of log error over log m."""
    errors = median_errors(t)
    return float(np.polyfit(np.log(list(errors)), np.log(list(errors.values())), 1)[0])


def holds(t: Tables) -> dict[str, bool | str | None]:
    verdicts = {}
    for points, reported in REPORT_ERRORS.items():
        ratio = reported / median_errors(t)[points]
        verdicts |= {f"figure_{points}": ratio >= 1, f"error_{points}": 0.5 < ratio < 2}
    return verdicts


def numbers(t: Tables) -> dict[str, Any]:
    errors = median_errors(t)
    tests = {points: part["test_error"] for points, part in by_points(t).items()}
    ratios = {points: reported / errors[points] for points, reported in REPORT_ERRORS.items()}
    return {"errors": errors, "tests": tests, "ratios": ratios, "points": list(errors), "slope": slope(t)}


def views(t: Tables) -> dict[str, list[Row]]:
    rows = []
    for points, part in by_points(t).items():
        kinds = [f"{hidden}, l2 {l2:g}" for hidden, l2 in zip(part["hidden"], part["l2"])]
        errors = {"train": part["train_error"], "test": part["test_error"], "report": REPORT_ERRORS.get(points, "")}
        rows.append({"points": points, **errors, "kind": max(kinds, key=kinds.count)})
    return {"errors": rows}


def figures(t: Tables) -> dict[str, Any]:
    nets = {}
    for result in t.results:
        if result["points"] in REPORT_ERRORS and result["parameters"]:
            net = _network(candidates(t.sizes)[result["chosen"]])
            arrays = [np.array(array) for array in result["parameters"]]
            net.set_parameters(arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :])
            nets[result["points"]] = net
    return {"surfaces": draw_surfaces(nets), "errors": draw_errors(by_points(t), REPORT_ERRORS)}


def draw_surfaces(nets: Mapping[int, Network]) -> Drawing:
    """A row per view: the function, then prediction and error of each net."""
    axis = np.linspace(-2, 2, GRID_POINTS)
    truth = datasets.hill_and_valley_grid(GRID_POINTS)[1].reshape(GRID_POINTS, GRID_POINTS)
    shown = [(SurfaceDisplay(axis, axis, truth), "the function", "viridis", 0)]
    for points, net in nets.items():
        values = net.forward(datasets.hill_and_valley_grid(GRID_POINTS)[0]).reshape(GRID_POINTS, GRID_POINTS)
        shown.append((SurfaceDisplay(axis, axis, values), f"learnt from {points} points", "viridis", points))
        shown.append((SurfaceDisplay(axis, axis, values - truth), "its error", "coolwarm", 0))
    pyplot.rcParams.update(STYLE)
    drawing = pyplot.figure(figsize=(1.75 * len(shown), 3.8), layout="constrained")
    for row, (elevation, azimuth) in enumerate(SIDES):
        for column, (display, title, colours, points) in enumerate(shown):
            ax = drawing.add_subplot(2, len(shown), row * len(shown) + column + 1, projection="3d")
            display.plot(ax, cmap=colours, rcount=20, ccount=20, alpha=0.8)
            if points:
                sample, values = datasets.make_hill_and_valley(points)
                ax.scatter(sample[:, 0], sample[:, 1], values, color="black", s=3, linewidth=0)
            ax.view_init(elevation, azimuth)
            ax.set(xticks=(-2, 0, 2), yticks=(-2, 0, 2))
            ax.set_xlabel("$x_1$", labelpad=-10, fontsize=8)
            ax.set_ylabel("$x_2$", labelpad=-10, fontsize=8)
            ax.zaxis.set_major_formatter(lambda value, _: f"{value:g}")
            ax.tick_params(pad=-3, labelsize=6)
            if row == 0:
                ax.set_title(title, fontsize=8)
    return as_pixels(drawing)


def draw_errors(by_points: Mapping[int, Table], reported: Mapping[int, float]) -> Drawing:
    """Test errors by number of points, with the report's."""
    drawing, axes = panels(1, 1, (6.2, 3.8))
    ax = axes[0, 0]
    points = list(by_points)
    of_points = [part["test_error"] for part in by_points.values()]
    for m, each in zip(points, of_points):
        ax.plot([m] * len(each), each, "o", color=BLUE, markersize=3.5, alpha=0.45, linewidth=0)
    ax.plot(points, [np.median(each) for each in of_points], "-s", color=BLUE, markersize=6, label="median")
    ax.plot(list(reported), list(reported.values()), "^", color=DARK_ORANGE, markersize=8, label="the report")
    ax.set(xscale="log", yscale="log", xlabel="training points", ylabel="mean squared error on the grid")
    plain_ticks(ax.xaxis, ticks_between(*ax.get_xlim(), (1, 3)))
    variance = float(np.var(datasets.hill_and_valley_grid(200)[1]))
    ax.axhline(variance, color=GREY, linestyle=":", linewidth=0.9)
    ax.annotate("variance of the function", (points[0], 1.15 * variance), color=GREY, fontsize=8)
    ax.legend(loc="lower left")
    return drawing
