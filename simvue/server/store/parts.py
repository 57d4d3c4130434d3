"""The rows of one shape, wherever they lie: as they came (L0), or folded (L1).

A *body* holds some rows with all their metrics (chunks.py).  A *fold* holds the rows of many
bodies: their numbers and axes once, and each metric in a *chunk* of its own (columns.py)::

    fold.axes     number, step, time, and timestamp less the microseconds of time
    chunk.rows    values, kinds

Within one transaction a row lies in one of the two, so both together are the series.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from . import chunks, columns
from .buckets import Axis
from .cells import AXES
from .connection import Connection, Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BODIES: Final = (
    "SELECT body.key, writer, coalesce(rank, -1) AS rank, first, chunk "
    "FROM body JOIN writer ON writer.key = writer WHERE shape = ?"
)
_FOLDS: Final = (
    "SELECT fold.key, writer, coalesce(rank, -1) AS rank "
    "FROM fold JOIN writer ON writer.key = writer WHERE shape = ? AND level = 0"
)
# Microseconds of time beyond this are not whole in a float64; the timestamp then stands alone.
_WHOLE_MAX: Final = 2.0**52


class Part(NamedTuple):
    """Some rows of one metric, by ascending row number; ``kinds`` has one byte a row."""

    writer: int
    rank: int
    numbers: NDArray[np.int64]
    axes: dict[Axis, NDArray[Any]]
    values: NDArray[np.uint64]
    kinds: NDArray[np.uint8]


def of_shape(
    connection: Connection, shape: int, metrics: Sequence[int], axes: Sequence[Axis] = AXES
) -> Iterator[list[Part]]:
    """Yield all rows of *shape*: for each body and fold a part for each of its *metrics*."""
    for fold in connection.execute(_FOLDS, (shape,)):
        yield of_fold(connection, fold, metrics, axes)
    yield from bodies(connection, shape, metrics)


def bodies(
    connection: Connection, shape: int, metrics: Sequence[int], rank: int | None = None
) -> Iterator[list[Part]]:
    """Yield the rows of *shape*, or of one *rank* there, that are not folded, as of_shape does."""
    ours, which = ("", ()) if rank is None else (" AND coalesce(rank, -1) = ?", (rank,))
    for body in connection.execute(f"{_BODIES}{ours} ORDER BY writer, first", (shape, *which)):
        yield of_body(body, metrics)


def of_body(body: Row, metrics: Sequence[int]) -> list[Part]:
    """Return the rows of *body*, a row with columns writer, rank, first and chunk."""
    found = chunks.decode(body["chunk"], metrics)
    count = len(found.step)
    places = np.arange(count) if found.places is None else found.places
    numbers = body["first"] + places.astype(np.int64)
    axes: dict[Axis, NDArray[Any]] = {
        "step": found.step, "time": found.time, "timestamp": found.timestamp,
    }  # fmt: skip
    return [
        Part(body["writer"], body["rank"], numbers, axes, values, np.full(count, kind, np.uint8))
        for values, kind in zip(found.values, found.kinds, strict=True)
    ]


def of_fold(
    connection: Connection,
    fold: Row,
    metrics: Sequence[int],
    axes: Sequence[Axis] = AXES,
) -> list[Part]:
    """Return the rows of *fold*, a row with columns key, writer and rank."""
    key = fold["key"]
    data, place, start, size = connection.execute(
        "SELECT axes, place, start, fold.size FROM fold LEFT JOIN pack ON pack.key = pack "
        "WHERE fold.key = ?",
        (key,),
    ).fetchone()
    packed = data is None
    numbers, positions = decode_axes(connection.fetch(place, start, size) if packed else data, axes)
    found = []
    for metric in metrics:
        data, start, size = connection.execute(
            "SELECT rows, start, size FROM chunk WHERE fold = ? AND metric = ?", (key, metric)
        ).fetchone()
        values, kinds = columns.decode(
            connection.fetch(place, start, size) if packed else data, [0, 1]
        )
        found.append(
            Part(fold["writer"], fold["rank"], numbers, positions, values, kinds.astype(np.uint8))
        )
    return found


def newest_first(
    connection: Connection, shape: int, writer: int, metrics: Sequence[int], start: int
) -> Iterator[list[Part]]:
    """Yield the bodies and the folds of one writer that have rows later than *start*.

    Bodies by the numbers of their rows, highest first: whatever a writer logged before one that
    is too old is older still, so that one ends the search.
    """
    for fold in connection.execute(
        f"{_FOLDS} AND writer = ? AND timestamp_high > ?", (shape, writer, start)
    ):
        yield of_fold(connection, fold, metrics)
    old = None
    for body in connection.execute(
        f"{_BODIES} AND writer = ? ORDER BY first DESC", (shape, writer)
    ):
        # Rows with the same names and other kinds lie beside it.
        if old is not None and body["first"] < old:
            break
        some = of_body(body, metrics)
        if some[0].axes["timestamp"].max() > start:
            yield some
        else:
            old = body["first"]


def ordered(parts: Sequence[Part]) -> tuple[list[Part], NDArray[np.int64] | None]:
    """Return *parts* in the order of ranks, writers and row numbers, and how to sort their rows.

    None means that no part lies in another: their rows, one part behind the other, are sorted.
    """
    chosen = sorted(parts, key=lambda part: (part.rank, part.writer, part.numbers[0]))
    if all(a.writer != b.writer or a.numbers[-1] < b.numbers[0] for a, b in pairwise(chosen)):
        return chosen, None
    # Bodies with rows of several shapes lie in each other: sort row by row.
    turns = np.cumsum([False, *(a.writer != b.writer for a, b in pairwise(chosen))])
    sizes = [len(part.numbers) for part in chosen]
    numbers = np.concatenate([part.numbers for part in chosen])
    return chosen, np.lexsort((numbers, np.repeat(turns, sizes)))


# ---- The axes of a fold -------------------------------------------------------------------


def encode_axes(numbers: NDArray[np.int64], axes: dict[Axis, NDArray[Any]]) -> bytes:
    """Write the row numbers and the three axes of a fold."""
    # A row's clock is read once: its timestamp is its time and a constant, but for rounding.
    skew = axes["timestamp"] - _microseconds(axes["time"])
    return columns.encode([numbers, axes["step"], axes["time"], skew])


def decode_axes(
    data: bytes, axes: Sequence[Axis]
) -> tuple[NDArray[np.int64], dict[Axis, NDArray[Any]]]:
    """Read the row numbers and the wanted *axes* of a fold."""
    found: dict[Axis, NDArray[Any]] = {}
    (numbers,) = columns.decode(data, [0])
    if "step" in axes:
        found["step"] = columns.decode(data, [1])[0].view(np.int64)
    if "time" in axes or "timestamp" in axes:
        found["time"] = columns.decode(data, [2])[0].view(np.float64)
    if "timestamp" in axes:
        (skew,) = columns.decode(data, [3])
        found["timestamp"] = skew.view(np.int64) + _microseconds(found["time"])
    return numbers.view(np.int64), found


def _microseconds(time: NDArray[np.float64]) -> NDArray[np.int64]:
    # A time too large, or none, counts as 0.
    with np.errstate(over="ignore", invalid="ignore"):
        micros = np.rint(time * 1e6)
        micros[~(np.abs(micros) < _WHOLE_MAX)] = 0
    return micros.astype(np.int64)
