"""Cells: what some rows of a series show, summed up before anybody asks.

::

    rows       ................................................................
    level 0    [ CELL rows ][ CELL rows ][ CELL rows ][ CELL rows ]  ...
    level 1    [ FAN cells of level 0                             ]  ...

A cell is a bucket (buckets.py) that is kept for each of the three axes, so a chart reads
cells as narrow as it needs instead of rows.  What belongs to the axes is kept once for all
metrics that were logged together; min and max lie elsewhere for each metric::

    axes       count, and of each axis: x of first, x of last
    metric     nonfinite, first, last, min, max, and of each axis: x of min, x of max
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from . import buckets, columns
from .buckets import Axis, Buckets

if TYPE_CHECKING:
    from numpy.typing import NDArray

AXES: Final[tuple[Axis, ...]] = ("step", "time", "timestamp")
AXIS_DTYPES: Final = {"step": np.int64, "time": np.float64, "timestamp": np.int64}

CELL: Final = 128
"""Rows of a cell: a thousand pixels of a million rows are then cut to an eighth of a pixel, and
cells take a twentieth of the bytes of their rows (measured)."""

FAN: Final = 4
"""Cells that one of the next level sums up.  A chart of any length reads at most so many times
the cells that it needs, and all levels together take a third more than the first (chosen: with
8 they take a seventh more, and the longest series is drawn half as fast)."""


def of_rows(axes: Sequence[NDArray[Any]], y: NDArray[np.float64], size: int) -> list[Buckets]:
    """Sum up every *size* rows; return their cells along each of the three *axes*."""
    return buckets.summed(axes, y, np.arange(0, len(y), size))


def above(children: Sequence[Sequence[Buckets]]) -> list[Buckets]:
    """Sum up every FAN of the cells of *children* that follow each other, along each axis."""
    found = []
    for of_axis in zip(*children, strict=True):
        cells = concatenated(of_axis)
        found.append(buckets.joined(cells, np.arange(0, len(cells.count), FAN)))
    return found


def concatenated(parts: Sequence[Buckets]) -> Buckets:
    """Return the cells of *parts* one behind the other."""
    return Buckets(
        *map(np.concatenate, zip(*(buckets.columns(part) for part in parts), strict=True))
    )


def encode_axes(cells: Sequence[Buckets]) -> bytes:
    """Write what all metrics of a fold share; *cells* are those along each axis."""
    positions = [x for along in cells for x in (along.first_x, along.last_x)]
    return columns.encode([cells[0].count, *positions])


def encode_metric(cells: Sequence[Buckets]) -> bytes:
    """Write what is one metric's own."""
    one = cells[0]
    positions = [x for along in cells for x in (along.min_x, along.max_x)]
    return columns.encode([one.nonfinite, one.first, one.last, one.min, one.max, *positions])


def decode_axis(data: bytes, axis: Axis) -> Buckets:
    """Read the cells of a fold along *axis* without what is a metric's own."""
    dtype, at = AXIS_DTYPES[axis], 1 + 2 * AXES.index(axis)
    count, first_x, last_x = columns.decode(data, [0, at, at + 1])
    x, none = first_x.view(dtype), np.full(len(count), np.nan)
    return Buckets(
        count.view(np.int64), np.zeros(len(count), np.int64),
        none, x, none, last_x.view(dtype), none, x, none, x,
    )  # fmt: skip


def decode_metric(data: bytes, axis: Axis, cells: Buckets) -> Buckets:
    """Return *cells*, which decode_axis read, with what is the metric's own."""
    dtype, at = AXIS_DTYPES[axis], 5 + 2 * AXES.index(axis)
    nonfinite, first, last, low, high, min_x, max_x = columns.decode(
        data, [0, 1, 2, 3, 4, at, at + 1]
    )
    return replace(
        cells,
        nonfinite=nonfinite.view(np.int64),
        first=first.view(np.float64),
        last=last.view(np.float64),
        min=low.view(np.float64),
        min_x=min_x.view(dtype),
        max=high.view(np.float64),
        max_x=max_x.view(dtype),
    )


def extremes(data: bytes) -> tuple[float, float] | None:
    """Read the least and the greatest value of a metric from its cells; None if none is finite."""
    low, high = (column.view(np.float64) for column in columns.decode(data, [3, 4]))
    finite = ~np.isnan(low)
    return (low[finite].min().item(), high[finite].max().item()) if finite.any() else None


def ascends(cells: Buckets) -> bool:
    """Tell whether no cell ends behind where the next begins, and every x is finite."""
    return bool(
        np.isfinite(cells.first_x).all()
        and np.isfinite(cells.last_x).all()
        and (cells.last_x[:-1] <= cells.first_x[1:]).all()
    )
