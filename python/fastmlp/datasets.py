"""Data to train on: MNIST, a stand-in for it that needs no download, and a small regression problem."""

from __future__ import annotations

import operator
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .errors import DataFileError
from .idx import load_idx, read_idx
from .synthetic_digits import draw_digits

__all__ = [
    "cache_folder",
    "hill_and_valley",
    "hill_and_valley_grid",
    "load_idx",
    "load_mnist",
    "make_digits",
    "make_hill_and_valley",
]

Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class PublishedFile(NamedTuple):
    name: str  # as published, without .gz
    shape: tuple[int, ...]
    md5: str  # of the published .gz
    sha256: str  # of the decompressed file: holds for any recompression


# In the order of load_mnist's result.
MNIST_FILES = (
    PublishedFile(
        "train-images-idx3-ubyte",
        (60000, 28, 28),
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    PublishedFile(
        "train-labels-idx1-ubyte",
        (60000,),
        "d53e105ee54ea40749a09fcbcd1e9432",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    PublishedFile(
        "t10k-images-idx3-ubyte",
        (10000, 28, 28),
        "9fb629c4189551a2d022fa330f9573f3",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    PublishedFile(
        "t10k-labels-idx1-ubyte",
        (10000,),
        "ec29112dd5afa0611ce80d1b7f02629c",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
DOWNLOAD_TIMEOUT = 15.0  # seconds without a byte before a mirror is given up


def load_mnist(folder: str | os.PathLike[str] | None = None, download: bool = True) -> Split:
    """Load MNIST: 60000 + 10000 images of handwritten digits (LeCun, Cortes, Burges).

    Looks in `folder` alone if it is given. Otherwise in the folder that the
    environment variable ``FASTMLP_DATA`` names, then in `cache_folder()`; a
    place that lacks a file is passed over, then the files are downloaded into
    the cache. The content is compared with the published hashes wherever it
    comes from.

    Parameters
    ----------
    folder : str or path-like, optional
        Holds the four files under their published names, compressed
        (``train-images-idx3-ubyte.gz``) or not (``train-images-idx3-ubyte`` or
        ``train-images.idx3-ubyte``).
    download : bool, default True
        Whether the network may be used. Needs pooch (``pip install pooch``). Reading needs nothing but NumPy.

    Returns
    -------
    x_train : array of uint8 in [0, 255], shape (60000, 784), C-contiguous
    y_train : array of int64 in [0, 9], shape (60000,)
    x_test : array of uint8 in [0, 255], shape (10000, 784), C-contiguous
    y_test : array of int64 in [0, 9], shape (10000,)

    Raises
    ------
    DataFileError
        If the files are nowhere to be had: the message lists every place and
        address that was tried and says how to get them. Also if a file in
        `folder` or ``FASTMLP_DATA`` is damaged or is not MNIST's; such a file
        in the cache is an error only if it cannot be downloaded again.

    See Also
    --------
    load_idx : for other data under the same kind of file, such as Fashion-MNIST.
    make_digits : a stand-in that needs neither data nor network.
    """
    if folder is not None:
        place = Path(folder).expanduser()
        paths, complaint = _find_mnist(place)
        if complaint:
            raise _not_found([f"{place}: {complaint}"])
        return _read_mnist(paths)

    searched = []
    variable = os.environ.get("FASTMLP_DATA")
    if variable:
        place = Path(variable).expanduser()
        paths, complaint = _find_mnist(place)
        if not complaint:
            return _read_mnist(paths)
        searched.append(f"{place} (FASTMLP_DATA): {complaint}")
    else:
        searched.append("FASTMLP_DATA: not set")

    cache = cache_folder()
    paths, complaint = _find_mnist(cache)
    if not complaint:
        try:
            return _read_mnist(paths)
        except DataFileError as damage:
            complaint = str(damage)
    searched.append(f"{cache} (cache): {complaint}")

    if not download:
        searched.append("download: not tried, because download=False")
        raise _not_found(searched)
    _download_mnist(cache, searched)
    paths, complaint = _find_mnist(cache)
    if complaint:
        raise _not_found([*searched, f"{cache} (cache, after the download): {complaint}"])
    return _read_mnist(paths)


def cache_folder() -> Path:
    """Return the folder in which downloaded files are kept, such as ``~/.cache/fastmlp``.

    The operating system's place for caches as platformdirs knows it. The same
    places by the usual rules serve where platformdirs is not installed, so that
    files which were downloaded once can be read without it.
    """
    try:
        from platformdirs import user_cache_dir
    except ImportError:
        home = Path(os.path.expanduser("~"))
        if sys.platform == "win32":
            local = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
            return Path(local) / "fastmlp" / "fastmlp" / "Cache"
        if sys.platform == "darwin":
            return home / "Library" / "Caches" / "fastmlp"
        return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "fastmlp"
    return Path(user_cache_dir("fastmlp"))


def make_digits(train_samples: int = 60000, test_samples: int = 10000, *, seed: int = 0) -> Split:
    """Draw a stand-in for MNIST from the fonts that matplotlib ships.

    Each image is one digit in one of 21 fonts: rotated, sheared, scaled, moved
    and bent elastically, in a random stroke width and intensity, with grain in
    the ink and specks of dirt. As in MNIST its centre of mass lies about the
    middle, a fifth of the pixels is not zero, and the classes are about equally
    frequent. Training and test samples are drawn alike and independently.

    Fewer samples are the first of more: ``make_digits(1000)`` returns the
    beginning of ``make_digits(60000)``, seed for seed.

    The difficulty is near MNIST's. With 20000 training samples, a linear model
    reaches a test accuracy of about 0.91, a hidden layer of 128 units 0.97, one
    of 512 units 0.98.

    Parameters
    ----------
    train_samples : int >= 1, default 60000
    test_samples : int >= 1, default 10000
    seed : int >= 0, default 0
        The same seed gives the same bytes.

    Returns
    -------
    x_train : array of uint8 in [0, 255], shape (train_samples, 784), C-contiguous
    y_train : array of int64 in [0, 9], shape (train_samples,)
    x_test : array of uint8 in [0, 255], shape (test_samples, 784), C-contiguous
    y_test : array of int64 in [0, 9], shape (test_samples,)

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    DataFileError
        If matplotlib was installed without its fonts.
    TypeError, ValueError
        If an argument is not an integer, or is too small.
    """
    train_samples = _check_integer("train_samples", train_samples, 1)
    test_samples = _check_integer("test_samples", test_samples, 1)
    seed = _check_integer("seed", seed, 0)
    return (*draw_digits(train_samples, seed, stream=0), *draw_digits(test_samples, seed, stream=1))


def hill_and_valley(X: np.ndarray) -> np.ndarray:
    """Compute f(x) = x1 * exp(-x1^2 - x2^2): one hill, one valley, flat far away.

    Its extremes are +-exp(-1/2) / sqrt(2), about +-0.429, at (+-1/sqrt(2), 0).

    Parameters
    ----------
    X : array of float, shape (samples, 2)

    Returns
    -------
    y : array of float64, shape (samples,)
    """
    X = np.asarray(X, np.float64)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"X must have shape (samples, 2), got {X.shape}")
    return X[:, 0] * np.exp(-(X[:, 0] ** 2) - X[:, 1] ** 2)


def make_hill_and_valley(samples: int, *, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sample f(x) = x1 * exp(-x1^2 - x2^2) uniformly on the square [-2, 2]^2.

    Parameters
    ----------
    samples : int >= 1
    noise : float >= 0, default 0.0
        Standard deviation of the normal noise that is added to `y`, in units of
        `y`. The points do not depend on it.
    seed : int >= 0, default 0

    Returns
    -------
    X : array of float64 in [-2, 2), shape (samples, 2)
    y : array of float64, shape (samples,)

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type, or is too small or not finite.
    """
    samples = _check_integer("samples", samples, 1)
    seed = _check_integer("seed", seed, 0)
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise must be a finite number >= 0, got {noise!r}")
    random = np.random.default_rng(seed)
    X = random.uniform(-2.0, 2.0, (samples, 2))
    y = hill_and_valley(X)
    if noise:
        y += random.normal(0.0, noise, samples)
    return X, y


def hill_and_valley_grid(points: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Evaluate f(x) = x1 * exp(-x1^2 - x2^2) on a regular grid over [-2, 2]^2, borders included.

    Parameters
    ----------
    points : int >= 2, default 1000
        Points per axis, ``np.linspace(-2, 2, points)``.

    Returns
    -------
    X : array of float64 in [-2, 2], shape (points * points, 2)
        x1 varies slowest: ``y.reshape(points, points)[i, j]`` belongs to the
        i-th value of x1 and the j-th of x2.
    y : array of float64, shape (points * points,)

    Raises
    ------
    TypeError, ValueError
        If `points` is not an integer, or is smaller than 2.
    """
    points = _check_integer("points", points, 2)
    axis = np.linspace(-2.0, 2.0, points)
    X = np.empty((points, points, 2))
    X[..., 0] = axis[:, None]
    X[..., 1] = axis
    X = X.reshape(-1, 2)
    return X, hill_and_valley(X)


def _find_mnist(place: Path) -> tuple[list[Path], str]:
    """Return the paths of the four files, and a complaint if there are not four."""
    if not place.is_dir():
        return [], "no such folder"
    paths, missing = [], []
    for file in MNIST_FILES:
        # .gz first: it is what a download into the cache replaces.
        names = (f"{file.name}.gz", file.name, file.name.replace("-idx", ".idx"))
        path = next((place / name for name in names if (place / name).is_file()), None)
        if path is None:
            missing.append(f"{file.name}[.gz]")
        else:
            paths.append(path)
    return paths, f"lacks {', '.join(missing)}" if missing else ""


def _read_mnist(paths: list[Path]) -> Split:
    x_train, y_train, x_test, y_test = (
        _read_official(path, file) for path, file in zip(paths, MNIST_FILES, strict=True)
    )
    return (
        x_train.reshape(len(x_train), -1),
        y_train.astype(np.int64),
        x_test.reshape(len(x_test), -1),
        y_test.astype(np.int64),
    )


def _read_official(path: Path, file: PublishedFile) -> np.ndarray:
    try:
        return read_idx(path, file.shape, sha256=file.sha256)
    except FileNotFoundError as failure:  # removed since it was found
        raise DataFileError(f"{path} disappeared while MNIST was being read") from failure


def _download_mnist(cache: Path, searched: list[str]) -> None:
    """Bring the four published files into the cache, or raise with everything that was tried."""
    try:
        import pooch
    except ImportError as failure:
        searched.append("download: needs pooch, which is not installed: pip install pooch")
        raise _not_found(searched) from failure

    download = pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT, chunk_size=1 << 16)
    mirrors = list(MNIST_MIRRORS)
    for file in MNIST_FILES:

        def fetch(address: str, target: str, _: object, file: PublishedFile = file) -> None:
            download(address, target, None)
            read_idx(target, file.shape, sha256=file.sha256)

        for mirror in tuple(mirrors):
            address = f"{mirror}{file.name}.gz"
            try:
                # Downloads beside the target and moves it there once both hashes agree.
                pooch.retrieve(address, f"md5:{file.md5}", f"{file.name}.gz", cache, downloader=fetch)
                break
            except Exception as failure:  # whatever is wrong with one mirror, the next may be well
                searched.append(f"{address}: {type(failure).__name__}: {' '.join(str(failure).split())}")
                # Asked last from now on: a dead one costs its timeout once, not per file.
                mirrors.remove(mirror)
                mirrors.append(mirror)
        else:
            raise _not_found(searched)


def _not_found(searched: list[str]) -> DataFileError:
    lines = ["MNIST was not found. Searched:"]
    lines += [f"  {entry}" for entry in searched]
    lines += [
        "To get it: pip install pooch, and let load_mnist download it, or put these files",
        "(compressed or not) into one folder, and name it in FASTMLP_DATA or as load_mnist(folder):",
    ]
    lines += [f"  {MNIST_MIRRORS[0]}{file.name}.gz (md5 {file.md5})" for file in MNIST_FILES]
    lines += [f"  also at {mirror}" for mirror in MNIST_MIRRORS[1:]]
    lines += ["With matplotlib installed, fastmlp.datasets.make_digits() gives a stand-in without data or network."]
    return DataFileError("\n".join(lines))


def _check_integer(name: str, value: object, least: int) -> int:
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer >= {least}, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {number}")
    return number
