"""MNIST and Fashion-MNIST: the search for their files, the download and the check of the content."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataFileError
from .idx import read_idx

ImageArrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class PublishedFile(NamedTuple):
    name: str  # as published, without .gz
    shape: tuple[int, ...]
    md5: str  # of the published .gz
    sha256: str  # of the decompressed file: holds for any recompression


class PublishedImages(NamedTuple):
    """Four files of images and labels, of the same names in each data set."""

    name: str
    function: str  # that loads them
    subfolder: str  # of FASTMLP_DATA and of the cache
    files: tuple[PublishedFile, ...]  # in the order of the function's result
    mirrors: tuple[str, ...]


def _files(hashes: tuple[tuple[str, str], ...]) -> tuple[PublishedFile, ...]:
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    shapes = ((60000, 28, 28), (60000,), (10000, 28, 28), (10000,))
    return tuple(PublishedFile(*parts, *pair) for *parts, pair in zip(names, shapes, hashes, strict=True))


MNIST = PublishedImages(
    "MNIST",
    "load_mnist",
    "",
    _files((
        ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        ("d53e105ee54ea40749a09fcbcd1e9432", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        ("9fb629c4189551a2d022fa330f9573f3", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        ("ec29112dd5afa0611ce80d1b7f02629c", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    )),
    ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
)  # fmt: skip
FASHION_MNIST = PublishedImages(
    "Fashion-MNIST",
    "load_fashion_mnist",
    "fashion-mnist",
    _files((
        ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
        ("25c81989df183df01b3e8a0aad5dffbe", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
        ("bef4ecab320f06d8554ea6380940ec79", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
        ("bb300cfdad3c16e7a12a480ee83cd310", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
    )),
    ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
)  # fmt: skip
DOWNLOAD_TIMEOUT = 15.0  # seconds without a byte until the next mirror is tried


def load_mnist(folder: str | os.PathLike[str] | None = None, download: bool = True) -> ImageArrays:
    """Load MNIST: 60000 + 10000 images of handwritten digits (LeCun, Cortes, Burges).

    If `folder` is passed, only this folder is searched. Otherwise the folder in the environment variable
    ``FASTMLP_DATA`` comes first, then `cache_folder()`; if both lack files, these are downloaded into the cache.
    The content is compared with the published hashes in every case.

    Parameters
    ----------
    folder : str or path-like, optional
        Holds the four files under their published names, compressed (``train-images-idx3-ubyte.gz``) or not
        (``train-images-idx3-ubyte`` or ``train-images.idx3-ubyte``).
    download : bool, default True
        Whether the network may be used. A download needs pooch (``pip install pooch``); reading needs only NumPy.

    Returns
    -------
    x_train, y_train, x_test, y_test : arrays
        60000 and 10000 samples: x of uint8 in [0, 255], shape (samples, 784), C-contiguous; y of int64 in [0, 9],
        shape (samples,).

    Raises
    ------
    DataFileError
        If the files are missing: the message lists every folder and address that was tried and says how to get
        them. Also if a file in `folder` or ``FASTMLP_DATA`` is damaged or is not MNIST's; such a file in the cache
        is an error only if it cannot be downloaded again.

    See Also
    --------
    load_fashion_mnist : harder images of the same format.
    make_digits : a stand-in that needs neither data nor network.
    """
    return _load(MNIST, folder, download)


def load_fashion_mnist(folder: str | os.PathLike[str] | None = None, download: bool = True) -> ImageArrays:
    """Load Fashion-MNIST: 60000 + 10000 images of clothes in ten classes (Xiao, Rasul, Vollgraf).

    Its files have the names of MNIST's. So the search looks into the folder ``fashion-mnist`` in ``FASTMLP_DATA`` and in
    `cache_folder()`; all else is as in `load_mnist`.

    Parameters
    ----------
    folder : str or path-like, optional
        Holds the four files under their published names, compressed or not.
    download : bool, default True
        Whether the network may be used. A download needs pooch (``pip install pooch``).

    Returns
    -------
    x_train, y_train, x_test, y_test : arrays
        60000 and 10000 samples: x of uint8 in [0, 255], shape (samples, 784), C-contiguous; y of int64 in [0, 9],
        shape (samples,): T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot.

    Raises
    ------
    DataFileError
        As `load_mnist` does.

    See Also
    --------
    load_mnist : handwritten digits.
    load_idx : for other data in files of this format.
    """
    return _load(FASHION_MNIST, folder, download)


def _load(images: PublishedImages, folder: str | os.PathLike[str] | None, download: bool) -> ImageArrays:
    searched: list[str] = []
    if folder is not None and not isinstance(folder, (str, os.PathLike)):
        raise TypeError(
            f"folder must be a path, got {folder!r}; all images are loaded, so take some with x_train[:4000]"
        )
    if folder is not None:
        if paths := _find(images, Path(folder).expanduser(), "", searched):
            return _read(images, paths)
        raise _not_found(images, searched)
    if variable := os.environ.get("FASTMLP_DATA"):
        if paths := _find(images, Path(variable).expanduser() / images.subfolder, " (FASTMLP_DATA)", searched):
            return _read(images, paths)
    else:
        searched.append("FASTMLP_DATA: not set")
    cache = cache_folder() / images.subfolder
    if paths := _find(images, cache, " (cache)", searched):
        try:
            return _read(images, paths)
        except DataFileError as damage:
            searched.append(f"{cache} (cache): {damage}")
    if not download:
        searched.append("download: not tried, because download=False")
        raise _not_found(images, searched)
    _download(images, cache, searched)
    if paths := _find(images, cache, " (cache, after the download)", searched):
        return _read(images, paths)
    raise _not_found(images, searched)


def cache_folder() -> Path:
    """Return the folder of downloaded files, in the operating system's folder for caches: ``~/.cache/fastmlp``, say."""
    try:
        from platformdirs import user_cache_dir
    except ImportError:  # by the same rules, so that files can be read without platformdirs once they are there
        home = Path(os.path.expanduser("~"))
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "fastmlp" / "fastmlp" / "Cache"
        if sys.platform == "darwin":
            return home / "Library" / "Caches" / "fastmlp"
        return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "fastmlp"
    return Path(user_cache_dir("fastmlp"))


def _find(images: PublishedImages, folder: Path, origin: str, searched: list[str]) -> list[Path]:
    """Return the paths of the four files; if one is missing, return none and append the reason to `searched`."""
    paths, missing = [], []
    for file in images.files:
        # .gz first: it is what a download into the cache replaces.
        names = (f"{file.name}.gz", file.name, file.name.replace("-idx", ".idx"))
        existing = [folder / name for name in names if (folder / name).is_file()]
        paths += existing[:1]
        missing += [] if existing else [f"{file.name}[.gz]"]
    if missing:
        reason = f"lacks {', '.join(missing)}" if folder.is_dir() else "no such folder"
        searched.append(f"{folder}{origin}: {reason}")
        return []
    return paths


def _read(images: PublishedImages, paths: list[Path]) -> ImageArrays:
    try:
        x_train, y_train, x_test, y_test = (
            read_idx(path, file.shape, sha256=file.sha256) for path, file in zip(paths, images.files, strict=True)
        )
    except FileNotFoundError as failure:
        raise DataFileError(f"{failure.filename} disappeared while {images.name} was being read") from failure
    return x_train.reshape(-1, 784), y_train.astype(np.int64), x_test.reshape(-1, 784), y_test.astype(np.int64)


def _download(images: PublishedImages, cache: Path, searched: list[str]) -> None:
    """Download the four published files into the cache; append each failure to `searched`."""
    try:
        import pooch
    except ImportError as failure:
        searched.append("download: needs pooch, which is not installed: pip install pooch")
        raise _not_found(images, searched) from failure

    download = pooch.HTTPDownloader(timeout=DOWNLOAD_TIMEOUT, chunk_size=1 << 16)
    mirrors = list(images.mirrors)
    for file in images.files:

        def fetch(address: str, target: str, _: object, file: PublishedFile = file) -> None:
            download(address, target, None)
            read_idx(target, file.shape, sha256=file.sha256)

        for mirror in tuple(mirrors):
            address = f"{mirror}{file.name}.gz"
            try:
                # Downloads beside the target and moves it there once both hashes agree.
                pooch.retrieve(address, f"md5:{file.md5}", f"{file.name}.gz", cache, downloader=fetch)
                break
            except Exception as failure:  # whatever is wrong with one mirror, the next may work
                searched.append(f"{address}: {type(failure).__name__}: {' '.join(str(failure).split())}")
                # Tried last from now on: a dead mirror costs its timeout once, not once a file.
                mirrors.remove(mirror)
                mirrors.append(mirror)
        else:
            raise _not_found(images, searched)


def _not_found(images: PublishedImages, searched: list[str]) -> DataFileError:
    lines = [f"{images.name} was not found. Searched:", *(f"  {entry}" for entry in searched)]
    lines += [
        f"To get it: pip install pooch, and let {images.function} download it, or put these files (compressed or not)",
        f"into one folder, and name it as {images.function}(folder), or {_in_the_variable(images)}:",
    ]
    lines += [f"  {images.mirrors[0]}{file.name}.gz (md5 {file.md5})" for file in images.files]
    lines += [f"  also at {mirror}" for mirror in images.mirrors[1:]]
    lines += ["With matplotlib installed, fastmlp.datasets.make_digits() gives a stand-in without data or network."]
    return DataFileError("\n".join(lines))


def _in_the_variable(images: PublishedImages) -> str:
    if not images.subfolder:
        return "in FASTMLP_DATA"
    return f"name the folder above it in FASTMLP_DATA, if it is called {images.subfolder}"
