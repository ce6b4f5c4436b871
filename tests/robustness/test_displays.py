"""Rows of studies that displays draw or reject: one network for each seed and setting."""

import numpy as np
import pytest
from drawings import close_figures, curve_rows, heat_rows  # noqa: F401
from fastmlp.plotting import HeatMapDisplay, LearningCurveDisplay, PathDisplay


@pytest.mark.parametrize("make", [LearningCurveDisplay.from_rows, PathDisplay.from_rows])
def test_names_of_columns_are_checked(make):
    for metric in (3, [], ["loss", 3]):
        with pytest.raises(TypeError, match="metric must be the name of a column or several, got "):
            make(curve_rows(), metric, "l2")
    with pytest.raises(TypeError, match="rows must be the rows of a study, got a tuple: pass its first element"):
        make((curve_rows(), []), "loss", "l2")
    with pytest.raises(TypeError, match=r"by must be the name of a column, got \['l2'\]"):
        LearningCurveDisplay.from_rows(curve_rows(), "loss", ["l2"])


def grid_rows():
    """Two widths by two depths, as of `studies.architectures`."""
    return [
        {
            "width": width,
            "depth": depth,
            "layer_sizes": (4, *[width] * depth, 3),
            "seed": 0,
            "epoch": epoch,
            "loss": 1.0,
        }
        for width in (8, 16)
        for depth in (1, 2)
        for epoch in (1, 2)
    ]


ROW_DISPLAYS = {
    "by": lambda rows, name: LearningCurveDisplay.from_rows(rows, "loss", name),
    "x": lambda rows, name: PathDisplay.from_rows(rows, "loss", name),
    "y": lambda rows, name: HeatMapDisplay.from_rows(rows, "loss", "seed", name),
}


@pytest.mark.parametrize("argument", ROW_DISPLAYS)
def test_rows_that_also_differ_in_another_setting_are_rejected(argument):
    make = ROW_DISPLAYS[argument]
    with pytest.raises(
        ValueError, match="rows also differ in 'depth', 'layer_sizes', got several with .*width = 8.*, "
    ) as error:
        make(grid_rows(), "width")
    assert "as in [row for row in rows if row['depth'] == 2]" in str(error.value)
    assert str(error.value).endswith(f", or use {argument}='layer_sizes'") == (argument != "y")
    make([row for row in grid_rows() if row["depth"] == 2], "width")
    make(grid_rows(), "layer_sizes")
    with pytest.raises(ValueError, match=r"one network for each seed, got several rows with .*width = 8.*epoch = 1"):
        make([row for row in grid_rows() * 2 if row["depth"] == 2], "width")
    two_studies = [{**row, "l2": l2} for l2 in (0.1, 0.2) for row in grid_rows()]
    with pytest.raises(ValueError, match="differ in 'l2'"):
        make(two_studies, "layer_sizes")


@pytest.mark.parametrize("argument", ROW_DISPLAYS)
def test_a_setting_is_no_metric_and_a_metric_no_setting(argument):
    for name in ("epoch", "loss", "val_accuracy"):
        with pytest.raises(
            ValueError, match=f"{argument} must be a column of settings, such as 'batch_size', got '{name}'"
        ):
            ROW_DISPLAYS[argument]([{**row, "val_accuracy": 0.5} for row in grid_rows()], name)
    with pytest.raises(ValueError, match=r"a metric must be a column of numbers, got 'layer_sizes' with \(4, 8, 3\)"):
        PathDisplay.from_rows(grid_rows(), "layer_sizes", "width")
    with pytest.raises(ValueError, match="lack 'val_acuracy'; all rows have .*; did you mean 'val_accuracy'"):
        PathDisplay.from_rows([{**row, "val_accuracy": 0.5} for row in grid_rows()], "val_acuracy", "width")


@pytest.mark.parametrize("argument", ROW_DISPLAYS)
def test_rows_may_be_a_data_frame(argument):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(grid_rows())
    ROW_DISPLAYS[argument](frame, "layer_sizes")
    ROW_DISPLAYS[argument](frame[frame.depth == 1], "width")
    with pytest.raises(ValueError, match="differ in 'depth'"):
        ROW_DISPLAYS[argument](frame, "width")
    with pytest.raises(TypeError, match="rows must be the rows of a study, a list of dicts or a data frame, got 3"):
        ROW_DISPLAYS[argument](3, "width")


@pytest.mark.parametrize("argument", ROW_DISPLAYS)
def test_a_frame_s_nan_is_the_setting_none(argument):
    """pandas keeps None beside numbers as nan, which no other nan is equal to."""
    pandas = pytest.importorskip("pandas")
    rows = [{**row, "max_gradient_norm": norm} for norm in (None, 0.5) for row in grid_rows()[:2]]
    frame = pandas.DataFrame(rows)
    assert frame["max_gradient_norm"].isna().sum() == 2
    of_frame, of_rows = (ROW_DISPLAYS[argument](each, "max_gradient_norm") for each in (frame, rows))
    if argument == "y":
        assert of_frame.yticks == of_rows.yticks == ["0.5", "None"]
        np.testing.assert_array_equal(of_frame.values, of_rows.values)
    else:
        assert list(map(str, of_frame.curves)) == list(map(str, of_rows.curves))
        texts = [[text.get_text() for text in each.ax_.get_xticklabels()] for each in (of_frame, of_rows)]
        assert texts[0] == texts[1] and (argument == "by" or texts[0] == ["None", "0.5"])


def test_lists_of_layer_sizes_are_settings_too():
    rows = [{**row, "layer_sizes": list(row["layer_sizes"])} for row in grid_rows()]
    assert list(LearningCurveDisplay.from_rows(rows, "loss", "layer_sizes").curves) == ["8", "8-8", "16", "16-16"]


def test_rows_are_drawn_at_their_epochs():
    rows = [{**row, "loss": float(row["epoch"]), "seconds": 1.0} for row in curve_rows()]
    some = [row for row in rows if row["epoch"] != 2 and row["l2"] == 0]
    display = LearningCurveDisplay.from_rows(some, "loss", "l2")
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), [1, 3])
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [1, 3])
    lacking = [row for row in rows if row["l2"] == 0 and (row["seed"], row["epoch"]) != (1, 2)]
    line = LearningCurveDisplay.from_rows(lacking, "loss", "l2").lines_[0]
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(line.get_ydata(), [1, np.nan, 3])
    with pytest.raises(ValueError, match="x='seconds' needs the rows of all epochs, got those of 1, 3"):
        LearningCurveDisplay.from_rows(some, "loss", "l2", x="seconds")


def test_a_heat_map_takes_the_last_epoch_of_each_net():
    """With early stopping they differ."""
    rows = [row for row in grid_rows() if (row["width"], row["depth"], row["epoch"]) != (8, 1, 2)]
    assert np.isfinite(HeatMapDisplay.from_rows(rows, "loss", "width", "depth").values).all()


@pytest.mark.parametrize("display", [LearningCurveDisplay, HeatMapDisplay])
def test_missing_columns_are_named_beside_those_needed(display):
    call = {
        LearningCurveDisplay: lambda rows: display.from_rows(rows[:12], "loss", "size"),
        HeatMapDisplay: lambda rows: display.from_rows(rows, "loss", "size", "rate"),
    }[display]
    needed = {
        LearningCurveDisplay: ["loss", "size", "seed", "epoch"],
        HeatMapDisplay: ["loss", "size", "rate", "seed", "epoch"],
    }
    for name in needed[display]:
        for lacking in (0, 11):  # in one row only
            rows = heat_rows()
            del rows[lacking][name]
            with pytest.raises(ValueError, match=f"must have columns .*'{name}'.*, and lack '{name}'; all rows have '"):
                call(rows)
