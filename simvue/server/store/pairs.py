"""A series along another metric: rows that have both, paired by their numbers.

::

    shape  loss, energy     x y  x y  x y          both lie in one body, or in one fold
    shape  loss             . y  . y               left out, and counted
    shape  energy           x .                    no row of this series

What x is has no order, so no cell can stand for rows: they are read, one fold after the other,
and cut as they come.  That takes little memory, but a second for some millions of rows; so a
chart of more rows than ROWS_MAX is refused unless its range leaves fewer of them.  Cells tell
the least and the greatest x of a fold, so those out of the range are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from . import buckets, cells, parts
from .buckets import Buckets, Cut, MetricAxis, Window
from .connection import Connection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .parts import Part

ROWS_MAX: Final = 1 << 24
"""Rows of one series that are read for a chart along another: some seconds of a core (chosen)."""

# Rows that are cut together: some 10 MiB (chosen).
_WAITING_MAX: Final = 1 << 18

_FOLDS: Final = (
    "SELECT fold.key, shape, writer, coalesce(rank, -1) AS rank, level, first, rows "
    "FROM fold JOIN writer ON writer.key = writer WHERE shape = ? AND "
)
_COUNTS: Final = (
    "SELECT coalesce(rank, -1) AS rank, sum(rows) AS rows FROM {} "
    "JOIN writer ON writer.key = writer WHERE shape = ? {} GROUP BY coalesce(rank, -1)"
)


class _Source(NamedTuple):
    """Some rows of one shape: where they belong in the series, and the ends of their x."""

    place: tuple[int, int, int]
    rows: int
    least: float
    greatest: float
    read: Callable[[], Sequence[Part]]


class Pairs:
    """One series along the metric *axis*."""

    def __init__(
        self, connection: Connection, axis: MetricAxis, window: Window, rank: int | None
    ) -> None:
        self._connection = connection
        self._axis = axis
        self._window = window
        self._rank = rank
        self._rows = 0
        self._shapes: list[tuple[int, list[int]]] = []
        self.exists = False

    def add(self, shape: int, places: Mapping[str, int], name: str) -> None:
        """Add the rows of *shape*, in which the metric *name* has its place of *places*."""
        counts = [
            count
            for table, level in (("body", ""), ("fold", "AND level = 0"))
            for count in self._connection.execute(_COUNTS.format(table, level), (shape,))
        ]
        self.exists |= bool(counts)
        self._rows += sum(int(one["rows"]) for one in counts if self._wants(one["rank"]))
        if self._axis.name in places:
            self._shapes.append((shape, [places[name], places[self._axis.name]]))

    def cut(self) -> Cut:
        """Read the rows that the window needs, and cut them.  Raises ValueError if too many."""
        sources = sorted(self._sources(), key=lambda source: source.place)
        return buckets.beside(self._buckets(sources), self._rows, self._window)

    def _buckets(self, sources: Sequence[_Source]) -> Buckets:
        if not sources:
            return buckets.single(np.empty(0), np.empty(0))
        low, high = self._window.ends(
            min(self._least(source) for source in sources),
            max(source.greatest for source in sources),
        )
        window = self._window._replace(start=low, end=high)
        found: list[Buckets] = []
        xs, ys, size = [np.empty(0)], [np.empty(0)], 0
        for source in sources:
            y, x = map(_floats, source.read())
            taken = buckets.within(x, window)
            xs.append(x[taken])
            ys.append(y[taken])
            size += len(xs[-1])
            # No more rows than buckets are cut at once, so that each has one of its own.
            if size > max(window.most, _WAITING_MAX):
                found.append(buckets.cut_rows(np.concatenate(xs), np.concatenate(ys), window))
                xs, ys, size = [np.empty(0)], [np.empty(0)], 0
        found.append(buckets.cut_rows(np.concatenate(xs), np.concatenate(ys), window))
        if len(found) == 1:
            return found[0]
        return buckets.cut_again(cells.concatenated(found), window, low, high)

    def _sources(self) -> Iterator[_Source]:
        """Yield the rows that have both metrics and may have a place in the window."""
        rows = 0
        for source in self._bodies_and_folds():
            rows += source.rows
            if rows > ROWS_MAX:
                raise ValueError(
                    f"along another metric a chart reads its rows, and these are more than "
                    f"{ROWS_MAX:,}: ask for a narrower range of {self._axis.name}"
                )
            yield source

    def _bodies_and_folds(self) -> Iterator[_Source]:
        for shape, metrics in self._shapes:
            for both in parts.bodies(self._connection, shape, metrics):
                place = (both[0].rank, both[0].writer, int(both[0].numbers[0]))
                x = _floats(both[1])
                x = x[np.isfinite(x)]
                if self._wants(place[0]) and len(x) and self._overlaps(x.min(), x.max()):
                    yield _Source(
                        place, len(both[0].numbers), x.min(), x.max(), partial(list, both)
                    )
            yield from self._folds(shape, metrics)

    def _folds(self, shape: int, metrics: list[int]) -> Iterator[_Source]:
        waiting = self._connection.execute(f"{_FOLDS} parent IS NULL", (shape,)).fetchall()
        while waiting:
            fold = waiting.pop()
            if not self._wants(fold["rank"]):
                continue
            chunk = self._connection.execute(
                "SELECT cells FROM chunk WHERE fold = ? AND metric = ?", (fold["key"], metrics[1])
            ).fetchone()
            ends = cells.extremes(chunk["cells"])
            if ends is None or not self._overlaps(*ends):
                continue
            if fold["level"]:
                waiting += self._connection.execute(f"{_FOLDS} parent = ?", (shape, fold["key"]))
            else:
                place = (fold["rank"], fold["writer"], fold["first"])
                read = partial(parts.of_fold, self._connection, fold, metrics, ())
                yield _Source(place, fold["rows"], *ends, read)

    def _wants(self, rank: int) -> bool:
        return self._rank in (None, rank)

    def _overlaps(self, least: float, greatest: float) -> bool:
        low, end = self._window.low, self._window.end
        return (low is None or greatest >= low) and (end is None or least <= end)

    def _least(self, source: _Source) -> float:
        """Return the least x of *source* that has a place; of one that begins below by its rows."""
        low = self._window.low
        if low is None or source.least >= low:
            return source.least
        if low == self._window.start:
            return low
        x = _floats(source.read()[1])
        return float(x[x >= low].min())


def _floats(part: Part) -> NDArray[np.float64]:
    return buckets.floats(part.values, part.kinds)
