"""Data frames whose columns have types that NumPy lacks, at the entry points that take arrays."""

import numpy as np
import pytest
from fastmlp import Network, Trainer, fit_lbfgs, fit_many
from fastmlp.history import Evaluation
from problems import assert_equal_bits, parameters

pandas = pytest.importorskip("pandas")

RNG = np.random.default_rng(0)
X = np.round(4 * RNG.normal(size=(40, 3)))
Y = np.arange(40) % 3
FRAMES = {
    "nullable": lambda: pandas.DataFrame(X).astype("Float64"),
    "nullable integers": lambda: pandas.DataFrame(X).astype("Int64"),
    "categories of numbers": lambda: pandas.DataFrame(X).astype("category"),
    "mixed": lambda: pandas.DataFrame({"a": pandas.array(X[:, 0], "Int64"), "b": X[:, 1], "c": X[:, 2].astype("f4")}),
    "two columns of one name": lambda: pandas.DataFrame(X, columns=["a", "a", "b"]).astype("Float64"),
    "plain": lambda: pandas.DataFrame(X),
}
LABELS = {
    "nullable": lambda: pandas.Series(Y).astype("Int64"),
    "categories": lambda: pandas.Series(Y).astype("category"),
    "small": lambda: pandas.Series(Y).astype("UInt8"),
    "plain": lambda: pandas.Series(Y),
}


def trained(X, y, fit=lambda trainer, X, y: trainer.fit(X, y, epochs=2)):
    """All numbers that the fit leaves and returns."""
    trainer = Trainer(Network((3, 4, 3), dtype="float64", seed=1), batch_size=8)
    returned = fit(trainer, X, y)
    if isinstance(returned, Evaluation):
        measured = [returned]
    else:
        histories = returned if isinstance(returned, list) else [returned]
        measured = [each[name] for each in histories for name in each if name != "seconds"]
    return [*parameters(trainer.network), trainer.network.forward(X), *map(np.array, measured)]


WEIGHTS = RNG.uniform(0.5, 2, 40)


FITS = {
    "fit": lambda trainer, X, y: trainer.fit(X, y, epochs=2, validation_data=(X, y)),
    "fit_many": lambda trainer, X, y: fit_many([trainer], X, y, epochs=2),
    "lbfgs": lambda trainer, X, y: fit_lbfgs(trainer.network, X, y, max_iter=3),
    "evaluate": lambda trainer, X, y: trainer.network.evaluate(X, y),
    "weights": lambda trainer, X, y: trainer.fit(
        X, y, epochs=2, sample_weight=WEIGHTS if isinstance(X, np.ndarray) else pandas.array(WEIGHTS, "Float64")
    ),
}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_frames_are_their_numbers(frame, fit):
    assert_equal_bits(trained(frame(), Y, fit), trained(X, Y, fit))


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_are_their_numbers(labels):
    assert_equal_bits(trained(X, labels()), trained(X, Y))


def test_errors_name_the_column_and_its_type():
    frame = pandas.DataFrame(X, columns=["a", "b", "c"]).astype("Float64")
    net = Network((3, 3))
    for column, message in [
        (pandas.Series(["u"] * 40), r"X\['b'\] must hold real numbers, got a column of type (str|object)"),
        (pandas.Series(["1"] * 40).astype("category"), r"X\['b'\].*category"),
        (pandas.Series(pandas.date_range("2020", periods=40)), r"X\['b'\].*datetime64"),
    ]:
        with pytest.raises(TypeError, match=message):
            net.forward(frame.assign(b=column))
    with pytest.raises(ValueError, match=r"\(40, 0\)"):
        net.forward(frame[[]])
    with pytest.raises(ValueError, match=r"nan at \[5, 1\]"):
        net.forward(frame.assign(b=frame.b.where(frame.index != 5)))
    with pytest.raises(TypeError, match="y must hold real numbers.*(string|str|object)"):
        net.evaluate(X, pandas.Series(["1"] * 40, dtype="string"))
    with pytest.raises(TypeError, match="integer class labels"):
        net.evaluate(X, pandas.Series([1, None] * 20, dtype="Int64"))


@pytest.mark.parametrize("beside", [[1, 2, 3], [True, False, True]], ids=["integers", "bools"])
def test_missing_categories_are_nan_beside_every_type(beside):
    """pandas casts them to the type that the columns have in common, where they become other numbers."""
    frame = pandas.DataFrame({"a": pandas.Categorical([beside[0], beside[1], None]), "b": beside})
    net = Network((2, 1), loss="squared_error")
    with pytest.raises(ValueError, match=r"X must be finite, got nan at \[2, 0\]"):
        net.forward(frame)
    np.testing.assert_array_equal(net.forward(frame[:2]), net.forward(np.stack([beside[:2]] * 2, axis=1)))


@pytest.mark.parametrize("values, kind", [([0.5, 1.5] * 20, "float"), ([0, 1] * 20, "int")])
def test_numbers_as_objects_are_no_text(values, kind):
    y = pandas.Series(values, dtype=object)
    with pytest.raises(
        TypeError, match=rf"y must hold real numbers, got a column of type object: pass astype\({kind}\)"
    ):
        Trainer(Network((3, 1), loss="squared_error")).fit(X, y, epochs=1)
    Trainer(Network((3, 1), loss="squared_error")).fit(X, y.astype(kind), epochs=1)
