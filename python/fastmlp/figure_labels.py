"""The texts of figures: what the entries of a history, the columns of a study and their values are called."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence
from typing import Any


def set_and_metric(name: str, names: Iterable[str]) -> tuple[str, str]:
    """("val", "loss") of "val_loss"; ("", name) of what is measured in training. `names` are all entries."""
    names = set(names)
    sets = {"val", *(each.removesuffix("_loss") for each in names if each.endswith("_loss"))}
    # "val_hinge_loss" is a metric "hinge_loss" of the set "val", rather than the loss of a set "val_hinge"
    own = {each for each in sets if any(each.startswith(f"{other}_") for other in sets)}
    sets -= {each for each in own if f"{each}_accuracy" not in names}
    for each in sorted(sets, key=len, reverse=True):
        if name.startswith(f"{each}_"):
            return each, name[len(each) + 1 :]
    return "", name


def of_data(name: str, names: Iterable[str]) -> str:
    """The data that an entry is about: "training", "validation" or the name of another set."""
    which, _ = set_and_metric(name, names)
    return {"": "training", "val": "validation"}.get(which, which)


def of_each_data(own: Sequence[str], names: Iterable[str]) -> list[str]:
    """The data that each of these entries is about; where two sets have the same text, the entry of the second one."""
    return _distinct([of_data(name, names) for name in own], own)


def of_column(name: str, names: Iterable[str] = ()) -> str:
    """ "validation loss" of "val_loss", "batch size" of "batch_size"."""
    which, metric = set_and_metric(name, names)
    return f"{of_data(name, names)} {metric}".replace("_", " ") if which else name.replace("_", " ")


def of_metrics(metrics: Sequence[str], names: Iterable[str]) -> tuple[str, list[str]]:
    """The label of the axis, and what tells the metrics apart: their data, or their names if these differ, too."""
    kinds = {set_and_metric(name, names)[1] for name in metrics}
    full = _distinct([of_column(name, names) for name in metrics], metrics)
    if len(metrics) == 1 or len(kinds) > 1:
        return ", ".join(full), full
    return of_column(kinds.pop()), of_each_data(metrics, names)


def of_values(column: str, values: Sequence[Any]) -> tuple[str, list[str]]:
    """The name of a setting, and a text for each of its values, which differ."""
    are_sizes = column == "layer_sizes" and all(isinstance(each, tuple) and len(each) > 2 for each in values)
    if are_sizes and len({(each[0], each[-1]) for each in values}) == 1:
        column, values = "hidden_layers", [each[1:-1] for each in values]
    texts = [_text(value) for value in values]
    if len(set(texts)) < len(texts):
        texts = [repr(value) for value in values]
    return of_column(column), texts


def is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _distinct(texts: Sequence[str], names: Sequence[str]) -> list[str]:
    """The texts; instead of one that an earlier name has, the name."""
    first: dict[str, str] = {}
    for text, name in zip(texts, names):
        first.setdefault(text, name)
    return [text if first[text] == name else name for text, name in zip(texts, names)]


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(_text, value))
    return f"{value:g}" if is_number(value) and not isinstance(value, numbers.Integral) else str(value)
