"""Synthetic data sets: drawn digits and the regression problem."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from fastmlp import datasets
from fastmlp.datasets import synthetic_digits

# Synthetic digits


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("matplotlib")
    return datasets.make_digits(3000, 1000, seed=0)


def test_digits_have_the_form_of_mnist(digits):
    x_train, y_train, x_test, y_test = digits
    assert (x_train.shape, y_train.shape) == ((3000, 784), (3000,))
    assert (x_test.shape, y_test.shape) == ((1000, 784), (1000,))
    for x, y in ((x_train, y_train), (x_test, y_test)):
        assert (x.dtype, y.dtype) == (np.uint8, np.int64)
        assert x.flags.c_contiguous
        assert set(y.tolist()) == set(range(10))
    # Drawn with probability 1/10 each: six standard deviations.
    counts = np.bincount(y_train, minlength=10)
    assert np.abs(counts - 300).max() < 6 * math.sqrt(3000 * 0.1 * 0.9)
    # MNIST: 0.191 of the pixels not zero, mean intensity 0.131.
    assert 0.15 < (x_train > 0).mean() < 0.25
    assert 0.09 < x_train.mean() / 255 < 0.16
    assert x_train.max() == 255


def test_digits_are_centred_by_mass(digits):
    images = digits[0].reshape(-1, 28, 28).astype(np.float64)
    mass = images.sum((1, 2))
    assert mass.min() > 0
    for axis in (1, 2):
        centre = (images.sum(3 - axis) @ np.arange(28)) / mass
        assert abs(centre.mean() - 13.5) < 0.3
        assert np.abs(centre - 13.5).max() < 4  # shift, elastic bend and specks together


def test_digits_depend_on_the_seed_alone(digits):
    again = datasets.make_digits(3000, 1000, seed=0)
    for first, second in zip(digits, again):
        np.testing.assert_array_equal(first, second)
    other = datasets.make_digits(100, 100, seed=1)
    assert (other[0] != digits[0][:100]).any(axis=1).all()
    assert (other[1] != digits[1][:100]).any()


DRAWN = {
    "labels": [8, 3, 8, 1, 9, 5, 2, 0, 1, 2, 8, 3],
    "mass": [83.69, 102.89, 97.91, 60.02, 87.23, 71.21, 99.76, 93.56, 80.42, 33.44, 107.88, 97.8],
    "row": [13.731, 12.539, 13.483, 12.873, 13.227, 12.507, 12.737, 11.524, 13.861, 13.119, 13.952, 12.83],
    "column": [14.253, 13.599, 14.045, 12.689, 13.8, 13.44, 12.805, 13.951, 13.208, 12.689, 14.252, 13.092],
    "pixels": [185, 190, 170, 103, 139, 141, 180, 157, 126, 82, 195, 171],
    "brightest": [222, 242, 224, 244, 242, 210, 242, 221, 231, 218, 228, 249],
}


def test_digits_of_a_seed_stay_what_they_are():
    """Labels, ink and centres of mass, to a tolerance for other outlines of the same fonts."""
    pytest.importorskip("matplotlib")
    x, y, _, _ = datasets.make_digits(12, 1, seed=7)
    images = x.reshape(-1, 28, 28) / 255
    mass = images.sum((1, 2))
    assert y.tolist() == DRAWN["labels"]
    np.testing.assert_allclose(mass, DRAWN["mass"], rtol=0.01)
    np.testing.assert_allclose(images.sum(2) @ np.arange(28) / mass, DRAWN["row"], atol=0.03)
    np.testing.assert_allclose(images.sum(1) @ np.arange(28) / mass, DRAWN["column"], atol=0.03)
    np.testing.assert_allclose((x > 0).sum(1), DRAWN["pixels"], rtol=0.03)
    np.testing.assert_allclose(x.max(1), DRAWN["brightest"], atol=3)


def test_training_and_test_digits_differ(digits):
    assert not {row.tobytes() for row in digits[0]} & {row.tobytes() for row in digits[2]}
    assert len({row.tobytes() for row in digits[0]}) == 3000


@pytest.mark.parametrize(("train_samples", "test_samples"), [(1, 1), (511, 3), (512, 2), (513, 514)])
def test_fewer_digits_are_the_first_of_more(digits, train_samples, test_samples):
    fewer = datasets.make_digits(train_samples, test_samples)
    for part, whole in zip(fewer, digits):
        np.testing.assert_array_equal(part, whole[: len(part)])
    assert (len(fewer[0]), len(fewer[2])) == (train_samples, test_samples)


def test_a_linear_model_is_clearly_below_a_richer_one(digits):
    x_train, y_train, x_test, y_test = digits
    x_train, x_test = x_train / 255, x_test / 255
    means = np.stack([x_train[y_train == digit].mean(0) for digit in range(10)])
    # The nearest mean image is a linear model, the nearest neighbour is not.
    by_mean = (x_test @ means.T - (means**2).sum(1) / 2).argmax(1)
    by_neighbour = y_train[(x_test @ x_train.T - (x_train**2).sum(1) / 2).argmax(1)]
    linear, richer = (by_mean == y_test).mean(), (by_neighbour == y_test).mean()
    assert 0.5 < linear < richer - 0.05 < 0.95


def test_digits_without_matplotlib(monkeypatch):
    synthetic_digits._distance_fields.cache_clear()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="make_digits .* matplotlib.*pip install"):
        datasets.make_digits(1, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"train_samples": 0}, ValueError, "train_samples must be at least 1, got 0"),
        ({"test_samples": -3}, ValueError, "test_samples must be at least 1, got -3"),
        ({"train_samples": 10.0}, TypeError, "train_samples must be an integer, got 10.0"),
        ({"train_samples": True}, TypeError, "train_samples must be an integer, got True"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": None}, TypeError, "seed must be an integer, got None"),
    ],
)
def test_digits_check_their_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        datasets.make_digits(**arguments)


# The regression problem


def test_hill_and_valley_has_its_known_extremes():
    peak = math.exp(-0.5) / math.sqrt(2)
    X = np.array([[0.0, 1.0], [math.sqrt(0.5), 0.0], [-math.sqrt(0.5), 0.0], [1.0, 1.0]])
    # The exponents have size 2 at most, so that exp carries over a few eps.
    np.testing.assert_allclose(
        datasets.hill_and_valley(X), [0.0, peak, -peak, math.exp(-2.0)], rtol=8 * np.finfo(float).eps
    )
    with pytest.raises(ValueError, match=r"\(samples, 2\), got \(4,\)"):
        datasets.hill_and_valley(X[:, 0])


def test_make_hill_and_valley_covers_the_square():
    X, y = datasets.make_hill_and_valley(5000, seed=3)
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((5000, 2), np.float64, (5000,), np.float64)
    assert -2 <= X.min() < -1.99
    assert 1.99 < X.max() < 2
    assert np.abs(X.mean(0)).max() < 6 * 4 / math.sqrt(12 * 5000)  # six standard deviations
    np.testing.assert_array_equal(y, datasets.hill_and_valley(X))


def test_make_hill_and_valley_depends_on_the_seed():
    X, y = datasets.make_hill_and_valley(10, seed=1)
    again = datasets.make_hill_and_valley(np.int64(10), seed=1)
    np.testing.assert_array_equal(X, again[0])
    np.testing.assert_array_equal(y, again[1])
    assert (X != datasets.make_hill_and_valley(10, seed=2)[0]).all()


def test_noise_leaves_the_points_alone():
    X, y = datasets.make_hill_and_valley(20000)
    noisy_X, noisy_y = datasets.make_hill_and_valley(20000, noise=0.1)
    np.testing.assert_array_equal(X, noisy_X)
    assert (noisy_y - y).std() == pytest.approx(0.1, rel=6 / math.sqrt(2 * 20000))


@pytest.mark.parametrize("points", [2, 3, 1000])
def test_grid(points):
    X, y = datasets.hill_and_valley_grid(points)
    axis = np.linspace(-2, 2, points)
    assert (X.shape, y.shape) == ((points**2, 2), (points**2,))
    assert X.flags.c_contiguous
    np.testing.assert_array_equal(X.reshape(points, points, 2)[:, 0, 0], axis)
    np.testing.assert_array_equal(X.reshape(points, points, 2)[0, :, 1], axis)
    np.testing.assert_array_equal(y, datasets.hill_and_valley(X))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: datasets.make_hill_and_valley(0), ValueError, "samples must be at least 1, got 0"),
        (lambda: datasets.make_hill_and_valley("9"), TypeError, "samples must be an integer, got '9'"),
        (lambda: datasets.make_hill_and_valley(9, noise=-1), ValueError, "noise must be .* >= 0, got -1"),
        (lambda: datasets.make_hill_and_valley(9, noise=math.nan), ValueError, "noise must be .* got nan"),
        (lambda: datasets.hill_and_valley_grid(1), ValueError, "points must be at least 2, got 1"),
    ],
)
def test_hill_and_valley_checks_its_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_import_brings_no_optional_package():
    program = (
        "import sys, numpy\n"
        "before = set(sys.modules)\n"
        "import fastmlp.datasets\n"
        "late = {'gzip', 'urllib.request', 'http', 'matplotlib', 'pooch', 'platformdirs', 'requests'}\n"
        "sys.exit(', '.join(late & set(sys.modules) - before) or None)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("noise", [0, 0.0, 5e-324, 0.25])
def test_samples_of_a_seed_stay_what_they_are(noise):
    rng = np.random.default_rng(4)
    points = rng.uniform(-2, 2, (20, 2))
    values = points[:, 0] * np.exp(-(points[:, 0] ** 2) - points[:, 1] ** 2) + rng.normal(0, noise, 20)
    X, y = datasets.make_hill_and_valley(20, noise=noise, seed=4)
    np.testing.assert_array_equal(X, points)
    np.testing.assert_allclose(y, values, rtol=1e-14)
    for bad in (-5e-324, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"noise must be a finite number >= 0, got {bad}"):
            datasets.make_hill_and_valley(20, noise=bad)


def test_grids_run_through_the_second_variable_first():
    X, _ = datasets.hill_and_valley_grid(3)
    assert X.tolist() == [[a, b] for a in (-2, 0, 2) for b in (-2, 0, 2)]
