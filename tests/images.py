"""Images to train on: MNIST where it is installed, drawn digits elsewhere."""

import os

import fastmlp
import pytest
from fastmlp import datasets


def real_mnist():
    if not os.environ.get("FASTMLP_DATA"):
        pytest.skip("FASTMLP_DATA does not name a folder with MNIST")
    try:
        return datasets.load_mnist(download=False)
    except fastmlp.DataFileError as reason:
        pytest.skip(str(reason))


def mnist_or_digits():
    """Real MNIST where FASTMLP_DATA names a folder; elsewhere a tenth as many drawn digits."""
    if os.environ.get("FASTMLP_DATA"):
        return real_mnist()
    pytest.importorskip("matplotlib", reason="drawn digits need matplotlib's fonts, which are not installed")
    return datasets.make_digits(6000, 1000)
