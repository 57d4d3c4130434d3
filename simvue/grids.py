"""Grids, and the arrays that are logged on them (wire.md 8.3).

An array is not a row: it is checked here, by ``log_metrics``' slow road, and goes as a call.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from simvue.exception import InvalidValueError
from simvue.wire import METRIC_NAME_PATTERN

_logger = logging.getLogger("simvue")

ELEMENTS_MAX: Final = 50_000
"""Of one array; what other servers and clients assume."""

Grid = dict[str, Any]
"""``name``, ``grid`` (the ticks of each axis) and ``labels``, as the wire has them."""


def make_grid(name: str, ticks: Iterable[Any], labels: Iterable[str]) -> Grid:
    """Return a grid of one or two axes, each with ascending *ticks* and a label.

    Raises InvalidValueError for anything else.
    """
    axes = [_check_ticks(axis) for axis in _listed("axes_ticks", ticks)]
    words = _listed("axes_labels", labels)
    if not 1 <= len(axes) <= 2:
        raise InvalidValueError(f"a grid has one or two axes; got ticks for {len(axes)}")
    if len(words) != len(axes) or not all(isinstance(word, str) for word in words):
        raise InvalidValueError(
            f"a grid of {len(axes)} axes has as many labels; got {words!r:.100}"
        )
    return {"name": name, "grid": axes, "labels": words}


def default_grid(name: str, array: Any) -> Grid:
    """Return the grid of an array whose metric was given none: its axes run from 0 to 1."""
    # The last axis of an array is the first of its grid.
    sizes = list(reversed(array.shape))
    axes = [[place / max(size - 1, 1) for place in range(size)] for size in sizes]
    grid = make_grid(name, axes, [f"axis_{axis}" for axis in range(len(axes))])
    _logger.warning(
        "metric %s is an array without a grid: its axes run from 0 to 1; say which they are with "
        "assign_metric_to_grid",
        name,
    )
    return grid


def take_arrays(metrics: Mapping[Any, Any]) -> tuple[dict[str, Any], dict[Any, Any]]:
    """Return (the arrays among *metrics*, the others).

    An array is whatever says that it has dimensions: numpy's, torch's.  One that is too large is
    left out with a warning.  Raises InvalidValueError
    for one that no grid has room for, and for a name that cannot be.
    """
    arrays, numbers = {}, {}
    for name, value in metrics.items():
        if not getattr(value, "ndim", 0):
            numbers[name] = value
            continue
        if value.ndim > 2 or not all(value.shape):
            raise InvalidValueError(
                f"metric {name!r:.100}: an array has one or two axes, none of them empty; got one "
                f"of shape {tuple(value.shape)}"
            )
        elements = math.prod(value.shape)
        if elements > ELEMENTS_MAX:
            _logger.warning(
                "metric %s: an array of %d elements is not recorded; %d are allowed",
                name, elements, ELEMENTS_MAX,
            )  # fmt: skip
        else:
            arrays[name] = value
    for name in metrics if arrays else ():
        if not isinstance(name, str) or METRIC_NAME_PATTERN.fullmatch(name) is None:
            raise InvalidValueError(
                f"metric name {name!r:.100}: allowed are letters, digits, spaces and "
                "- _ / . : = > < + ( ) %"
            )
    return arrays, numbers


def place_arrays(
    arrays: Mapping[str, Any], known: Mapping[str, Grid]
) -> dict[str, tuple[Grid, list[Any]]]:
    """Return the grid of each array, of those *known* or made for it, and its values as lists.

    Raises InvalidValueError for an array that does not fit on its grid.
    """
    placed = {}
    for name, array in arrays.items():
        grid = known.get(name) or default_grid(name, array)
        placed[name] = grid, check_array(name, array, grid)
    return placed


def check_array(name: str, array: Any, grid: Grid) -> list[Any]:
    """Return *array* as nested lists; raise InvalidValueError if it does not fit on *grid*."""
    shape = tuple(len(axis) for axis in reversed(grid["grid"]))
    if tuple(array.shape) != shape:
        raise InvalidValueError(
            f"metric {name!r:.100}: the array's shape is {tuple(array.shape)}, and that of its "
            f"grid {grid['name']!r} is {shape}, the last axis of the grid first"
        )
    return list(array.tolist())


def _check_ticks(ticks: Any) -> list[float]:
    try:
        numbers = [float(tick) for tick in ticks]
    except (TypeError, ValueError):
        raise InvalidValueError(f"the ticks of an axis are numbers; got {ticks!r:.100}") from None
    if not numbers or any(not a < b for a, b in itertools.pairwise(numbers)):
        raise InvalidValueError(f"the ticks of an axis ascend; got {ticks!r:.100}")
    return numbers


def _listed(what: str, values: object) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidValueError(f"{what} has an entry for each axis; got {values!r:.100}")
    return list(values)
