"""Series as they leave the server: points in JSON, columns in msgpack.

Official clients read points, one for each x; our own read columns, every row as it was
logged, or as many buckets as their chart has pixels::

    points     [{"step": 0, "value": 0.5}, ...]                     text, ascending and unique
    aggregate  [{"step": 0, "average": .., "min": .., "max": ..}]   the same, over several runs
    columns    {"step": bin, "time": bin, "timestamp": bin, "values": bin, "kinds": "f",
                "rank": bin of int32, -1 for none, where ranks share the run}
    buckets    {"count": bin, "nonfinite": bin, "first": bin, "x_first": bin, ...,
                "left_out": rows of the whole series that have no place on the axis}
    drawn      {"columns": bin of float64, those of a chart one behind the other: count,
                nonfinite, first, last, min, max, x_first, x_last; "left_out": ...}

A ``bin`` is little-endian: int64, float64, and eight bytes a value, of which ``kinds`` says
what they are: "f" float64, "i" int64, "u" uint64, "b" bool for all rows, or a byte 0 to 3 a
row.  Timestamps are microseconds since the epoch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .store import Series, buckets

if TYPE_CHECKING:
    from numpy.typing import NDArray

AXES: Final[tuple[buckets.Axis, ...]] = ("step", "time", "timestamp")
KINDS: Final = "fiub"

# ---- Points, as JSON text ---------------------------------------------------------------


def points(series: Series, axis: buckets.Axis, most: int | None) -> str:
    """Write one point for each x, at most *most* of them with the extremes kept."""
    x, values = buckets.points(series, axis, most)
    return _records((axis, "value"), (_axis_texts(x, axis), _texts(values)))


def aggregate(several: Sequence[Series], axis: buckets.Axis, most: int | None) -> str:
    """Write average, least and greatest over *several* series at each x that one of them has.

    With more than *most* of them, neighbours are joined: the averages by how many values
    they are of.
    """
    found = [buckets.points(series, axis) for series in several]
    x, place = np.unique(np.concatenate([x for x, _ in found]), return_inverse=True)
    y = np.concatenate([np.array(values, np.float64) for _, values in found])
    if most is not None and len(x) > most:
        firsts = np.arange(most) * len(x) // most
        place = np.searchsorted(firsts, place, side="right") - 1
        x = x[firsts]
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(x)))
    average = np.bincount(place, y, len(x)) / np.bincount(place, minlength=len(x))
    texts = (
        _axis_texts(x, axis),
        _texts(average.tolist()),
        _texts(np.minimum.reduceat(y[order], starts).tolist()),
        _texts(np.maximum.reduceat(y[order], starts).tolist()),
    )
    return _records((axis, "average", "min", "max"), texts)


def _axis_texts(x: NDArray[Any], axis: buckets.Axis) -> list[str]:
    if axis == "timestamp":
        return _texts(np.datetime_as_string(x.astype("datetime64[us]"), unit="us").tolist())
    return _texts(x.tolist())


def _texts(values: list[Any]) -> list[str]:
    # One call of the encoder, taken apart: a call a value would cost several times as much,
    # and so would a dict a point.  No value's text holds a comma.
    return json.dumps(values)[1:-1].split(", ") if values else []


def _records(names: Iterable[str], columns: Iterable[list[str]]) -> str:
    record = "{" + ",".join(f'"{name}":%s' for name in names) + "}"
    return "[" + ",".join([record % row for row in zip(*columns, strict=True)]) + "]"


# ---- Columns and buckets, for msgpack -------------------------------------------------------


def columns(series: Series) -> dict[str, Any]:
    """Return every row of *series* as columns."""
    kinds = series.kinds
    uniform = not len(kinds) or bool((kinds == kinds[0]).all())
    found = {
        "step": _binary(series.step, "<i8"),
        "time": _binary(series.time, "<f8"),
        "timestamp": _binary(series.timestamp, "<i8"),
        "values": _binary(series.values, "<u8"),
        "kinds": KINDS[int(kinds[0]) if len(kinds) else 0] if uniform else _binary(kinds, "u1"),
    }
    if series.rank is not None:
        found["rank"] = _binary(series.rank, "<i4")
    return found


def between(series: Series, axis: buckets.Axis, start: float | None, end: float | None) -> Series:
    """Return the rows of *series* with *start* <= x <= *end*, as far as these are given."""
    x = getattr(series, axis)
    taken = np.ones(len(x), bool)
    if start is not None:
        taken &= x >= start
    if end is not None:
        taken &= x <= end
    if taken.all():
        return series
    return series.take(taken)


def of_rank(series: Series, rank: int) -> Series:
    """Return the rows of *series* that one rank logged; there may be none."""
    ranks = np.full(len(series.step), -1) if series.rank is None else series.rank
    return series.take(ranks == rank)


def pixels(cut: buckets.Cut) -> dict[str, Any]:
    """Return buckets as columns, and what is beside them."""
    return {
        "left_out": cut.left_out,
        "count": _binary(cut.count, "<i8"),
        "nonfinite": _binary(cut.nonfinite, "<i8"),
        "first": _binary(cut.first, "<f8"),
        "last": _binary(cut.last, "<f8"),
        "min": _binary(cut.min, "<f8"),
        "max": _binary(cut.max, "<f8"),
        "x_first": _binary(cut.first_x, "<f8"),
        "x_last": _binary(cut.last_x, "<f8"),
        "x_min": _binary(cut.min_x, "<f8"),
        "x_max": _binary(cut.max_x, "<f8"),
    }


def drawn(cut: buckets.Cut) -> dict[str, Any]:
    """Return of buckets what a chart draws, in numbers that a browser takes as they are."""
    columns = (
        *(cut.count, cut.nonfinite, cut.first, cut.last),
        *(cut.min, cut.max, cut.first_x, cut.last_x),
    )
    return {"columns": _binary(np.stack(columns), "<f8"), "left_out": cut.left_out}


def _binary(column: NDArray[Any], form: str) -> bytes:
    return np.ascontiguousarray(column, form).tobytes()
