"""Data to train on: MNIST, Fashion-MNIST, a stand-in that needs no download, and a regression problem in two variables.

An argument of the wrong type raises a TypeError, one outside its range a ValueError.
"""

from .hill_and_valley import hill_and_valley, hill_and_valley_grid, make_hill_and_valley
from .idx import load_idx
from .mnist import cache_folder, load_fashion_mnist, load_mnist
from .synthetic_digits import make_digits

__all__ = [
    "cache_folder",
    "hill_and_valley",
    "hill_and_valley_grid",
    "load_fashion_mnist",
    "load_idx",
    "load_mnist",
    "make_digits",
    "make_hill_and_valley",
]
