"""What one pixel of a chart shows: a series cut into buckets along an axis; pure functions.

A chart of a thousand pixels needs a thousand buckets, however long the series: of each the
first, last, least and greatest value, and where in x they lie, so that no peak is lost and
a line drawn through them looks like the line through all rows::

    values          .  :.'   '  .             bucket   x from x0 + i w to x0 + (i + 1) w
                  .'        '  : '.           first, min, max, last: each with its own x
    x          |-------|-------|-------|      empty buckets are left out

On a logarithmic axis each bucket is wider than the one before by the same ratio.

A row is a bucket of its own, and buckets are cut into buckets again: that is how the store
reads a long series, whose rows it has summed up beforehand (cells.py).

Values here are float64: a chart has no use for the last digits of a large integer.  Exact
values are in ``points`` and in the series itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from . import Series

if TYPE_CHECKING:
    from numpy.typing import NDArray

Axis = Literal["step", "time", "timestamp"]
Number = int | float

# The least float above 0: no x between them has a place on a logarithmic axis.
_LEAST: Final = math.ulp(0.0)
# The greatest float that is an int64.
_INT64_MAX: Final = math.nextafter(2.0**63, 0.0)

_FLOAT64, _INT64, _UINT64, _BOOL = range(4)
_DTYPES: Final[dict[int, type[np.generic]]] = {
    _FLOAT64: np.float64,
    _INT64: np.int64,
    _UINT64: np.uint64,
    _BOOL: np.uint64,
}


class MetricAxis(NamedTuple):
    """Another metric as the axis: of each row its value there is x, a float64."""

    name: str


class Window(NamedTuple):
    """What of an axis is cut: *start* <= x <= *end* where given, into at most *most* buckets.

    They are of equal width, or with *log* of equal ratio, and then only x > 0 has a place.
    """

    most: int
    start: Number | None = None
    end: Number | None = None
    log: bool = False

    @property
    def low(self) -> Number | None:
        """The least x that has a place; None if any has."""
        if self.log and (self.start is None or self.start <= 0):
            return _LEAST
        return self.start

    def ends(self, least: Number, greatest: Number) -> tuple[Number, Number]:
        """Return where the buckets begin and end: as asked, or with the rows that have a place."""
        begins = self.start is not None and self.start == self.low
        return (
            self.start if begins and self.start is not None else least,
            greatest if self.end is None else self.end,
        )


@dataclass(frozen=True)
class Buckets:
    """Arrays with one entry a bucket, ascending in x; x arrays have the type of the axis.

    ``count`` tells the rows of a bucket, ``nonfinite`` how many of them are NaN or infinite.
    Those are never a min or max, which are NaN where no row is finite; first and last are
    as logged.
    """

    count: NDArray[np.int64]
    nonfinite: NDArray[np.int64]
    first: NDArray[np.float64]
    first_x: NDArray[Any]
    last: NDArray[np.float64]
    last_x: NDArray[Any]
    min: NDArray[np.float64]
    min_x: NDArray[Any]
    max: NDArray[np.float64]
    max_x: NDArray[Any]


@dataclass(frozen=True)
class Cut(Buckets):
    """A series as a chart shows it; ``left_out`` tells how many of its rows have no place there.

    Their x is NaN or infinite, not positive on a logarithmic axis, or was not logged with them.
    They are in no range of the axis, so where one is asked for the number is 0.
    """

    left_out: int


def floats(values: NDArray[np.uint64], kinds: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return raw *values* as float64; integers beyond 2**53 are rounded."""
    if len(kinds) and (kinds == kinds[0]).all():
        return values.view(_DTYPES[int(kinds[0])]).astype(np.float64)
    result = np.empty(len(values), np.float64)
    for kind, dtype in _DTYPES.items():
        chosen = kinds == kind
        result[chosen] = values[chosen].view(dtype)
    return result


def numbers(series: Series) -> list[Number]:
    """Return the values as Python numbers, exactly; bools are 1 and 0."""
    result: NDArray[np.object_] = np.empty(len(series.values), object)
    for kind, dtype in _DTYPES.items():
        chosen = series.kinds == kind
        result[chosen] = series.values[chosen].view(dtype).tolist()
    return list(result)


def cut(
    series: Series,
    axis: Axis,
    most: int,
    start: Number | None = None,
    end: Number | None = None,
    log: bool = False,
) -> Cut:
    """Cut *series* into at most *most* buckets along *axis*, of equal width or of equal ratio.

    Only rows with *start* <= x <= *end* are taken, where given, and the buckets divide that
    range; otherwise they divide the range of the rows.  With no more rows than buckets each
    row is its own bucket.  Raises ValueError if *most* is not positive.  Costs a sort where
    rows are not ascending in x.
    """
    x = getattr(series, axis)
    window = Window(most, start, end, log)
    return beside(cut_rows(x, floats(series.values, series.kinds), window), len(x), window)


def beside(found: Buckets, rows: int, window: Window) -> Cut:
    """Say how many of *rows* were left out of the buckets *found*."""
    whole = window.start is None and window.end is None
    return Cut(**vars(found), left_out=rows - int(found.count.sum()) if whole else 0)


def cut_rows(x: NDArray[Any], y: NDArray[np.float64], window: Window) -> Buckets:
    """Cut rows with the values *y* at *x*, in the order of a series, as ``cut`` does."""
    check(window)
    taken = within(x, window)
    if not taken.all():
        x, y = x[taken], y[taken]
    if (x[1:] < x[:-1]).any():
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    if len(x) <= window.most:
        return single(x, y)
    low, high = window.ends(x[0].item(), x[-1].item())
    return summed([x], y, _starts(x, window.most, low, high, window.log))[0]


def check(window: Window) -> None:
    """Raise ValueError if nothing can be cut like that."""
    if window.most < 1:
        raise ValueError(f"a series cannot be cut into {window.most} buckets")


def within(x: NDArray[Any], window: Window) -> NDArray[np.bool_]:
    """Tell which of *x* have a place in the *window*."""
    taken: NDArray[np.bool_] = np.isfinite(x)
    if window.low is not None:
        taken &= x >= window.low
    if window.end is not None:
        taken &= x <= window.end
    return taken


def cut_again(cells: Buckets, window: Window, low: Number, high: Number) -> Buckets:
    """Join *cells* to the buckets of *window* from *low* to *high*.

    A cell belongs to the bucket in which it begins, so buckets keep to their edges but for the
    width of a cell, and where cells lie over each other they may do so by as much.  Of cells
    that begin at one x the first counts as the earlier.
    """
    if (cells.first_x[1:] < cells.first_x[:-1]).any():
        order = np.argsort(cells.first_x, kind="stable")
        cells = Buckets(*(column[order] for column in columns(cells)))
    return joined(cells, _starts(cells.first_x, window.most, low, high, window.log))


def columns(buckets: Buckets) -> list[NDArray[Any]]:
    """Return the arrays of *buckets*, in the order of their names in the class."""
    return [getattr(buckets, column.name) for column in fields(Buckets)]


def _starts(
    x: NDArray[Any], most: int, low: Number, high: Number, log: bool = False
) -> NDArray[np.int64]:
    """Return where the buckets from *low* to *high* begin among ascending *x*."""
    edges: Sequence[Number] | NDArray[Any]
    if log:
        edges = np.geomspace(low, high, most + 1)[1:-1]
        if x.dtype == np.int64:
            edges = np.minimum(np.ceil(edges), _INT64_MAX)
    elif x.dtype == np.int64:
        # Whole numbers, exactly: steps near 2**63 would all be one float64.
        low, high = math.ceil(max(low, -(2**63))), math.floor(min(high, 2**63 - 1))
        if max(-low, high, (high - low + 1) * most) < _INT64_MAX // 2:
            edges = low - (low - high - 1) * np.arange(1, most) // most
        else:
            edges = [low - (low - high - 1) * i // most for i in range(1, most)]
    else:
        edges = [low * (1 - i / most) + high * (i / most) for i in range(1, most)]
    # Each edge belongs to the bucket on its right, the end of the range to the last bucket.
    starts = np.searchsorted(x, np.array(edges, x.dtype), side="left")
    starts = starts[starts < len(x)]
    # Ascending already, and each bucket has rows: np.unique would sort.
    return np.concatenate([[0], starts[np.diff(starts, prepend=0) > 0]])


def single(x: NDArray[Any], y: NDArray[np.float64]) -> Buckets:
    """Return a bucket for each row."""
    finite = np.isfinite(y)
    extreme = np.where(finite, y, np.nan)
    count = np.ones(len(x), np.int64)
    return Buckets(count, (~finite).astype(np.int64), y, x, y, x, extreme, x, extreme, x)


def summed(
    axes: Sequence[NDArray[Any]], y: NDArray[np.float64], starts: NDArray[np.int64]
) -> list[Buckets]:
    """Sum up the rows from each of *starts* to the next, along each of the *axes*.

    First and last are those of the rows as they come, whatever their x is.
    """
    count = np.diff(starts, append=len(y))
    ends = starts + count - 1
    finite = np.isfinite(y)
    low = _extreme(y, finite, starts, count, np.minimum, np.inf)
    high = _extreme(y, finite, starts, count, np.maximum, -np.inf)
    some = finite[low]
    nonfinite = np.add.reduceat((~finite).astype(np.int64), starts)
    least, greatest = np.where(some, y[low], np.nan), np.where(some, y[high], np.nan)
    return [
        Buckets(
            count, nonfinite, y[starts], x[starts], y[ends], x[ends],
            least, x[low], greatest, x[high],
        )
        for x in axes
    ]  # fmt: skip


def joined(cells: Buckets, starts: NDArray[np.int64]) -> Buckets:
    """Join the *cells*, ascending in ``first_x``, from each of *starts* to the next."""
    if not len(starts) or not len(cells.count):
        return cells
    sizes = np.diff(starts, append=len(cells.count))
    low = _extreme(cells.min, ~np.isnan(cells.min), starts, sizes, np.minimum, np.inf)
    high = _extreme(cells.max, ~np.isnan(cells.max), starts, sizes, np.maximum, -np.inf)
    # Where cells lie over each other, that which begins last need not end last.
    end = np.repeat(np.maximum.reduceat(cells.last_x, starts), sizes)
    ends = np.flatnonzero(~(cells.last_x < end))  # also those that are no numbers
    last = ends[np.searchsorted(ends, starts + sizes) - 1]
    return Buckets(
        count=np.add.reduceat(cells.count, starts),
        nonfinite=np.add.reduceat(cells.nonfinite, starts),
        first=cells.first[starts],
        first_x=cells.first_x[starts],
        last=cells.last[last],
        last_x=cells.last_x[last],
        min=cells.min[low],
        min_x=cells.min_x[low],
        max=cells.max[high],
        max_x=cells.max_x[high],
    )


def _extreme(
    y: NDArray[np.float64],
    finite: NDArray[np.bool_],
    starts: NDArray[np.int64],
    count: NDArray[np.int64],
    least: np.ufunc,
    worst: float,
) -> NDArray[np.int64]:
    """Return of each bucket the place of its first extreme, its first row if none is finite."""
    comparable = np.where(finite, y, worst)
    found = np.flatnonzero(comparable == np.repeat(least.reduceat(comparable, starts), count))
    # Every bucket has at least one; the first of each is the first at or behind its start.
    return found[np.searchsorted(found, starts)]


def points(
    series: Series, axis: Axis, most: int | None = None
) -> tuple[NDArray[Any], list[Number]]:
    """Return x, ascending and unique, and the exact values: what v1 readers take.

    Of rows with the same x, that with the greatest timestamp wins, of equals the one stored
    last; rows whose x is not finite are left out.  If there are more than *most*, the least
    and greatest of each of ``most // 2`` buckets remain: points as logged, not averages.
    """
    x: NDArray[Any] = getattr(series, axis)
    order = np.lexsort((series.timestamp, x))  # stable: of equals the last stored is last
    order = order[np.isfinite(x[order])]
    last = np.append(x[order][1:] != x[order][:-1], True)[: len(order)]
    chosen = series.take(order[last])
    if most is not None and len(chosen.step) > most:
        y = floats(chosen.values, chosen.kinds)
        chosen = chosen.take(_thinned(getattr(chosen, axis), y, most))
    found: NDArray[Any] = getattr(chosen, axis)
    return found, numbers(chosen)


def _thinned(x: NDArray[Any], y: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Return the places of at most *most* of ascending points, extremes before others."""
    if most < 1:
        raise ValueError(f"a series cannot be cut to {most} points")
    starts = _starts(x, max(1, most // 2), x[0].item(), x[-1].item())
    count = np.diff(starts, append=len(x))
    finite = np.isfinite(y)
    low = _extreme(y, finite, starts, count, np.minimum, np.inf)
    high = _extreme(y, finite, starts, count, np.maximum, -np.inf)
    return np.unique(np.concatenate([low, high]))[:most]
