"""A series by pixels: cells where they are narrow enough, rows where not.

Folds above others are looked at first.  One whose cells are all much narrower than a bucket
stands for its rows; otherwise its children are asked, and at the bottom the rows themselves::

    range         start ├───────────────────────────────────────────┤ end
    folds     [           ][               ][               ][           ][        ]
    read       ..rows....    cells            cells           ..rows....   (nothing)

So whatever the length of a series, its chart costs as many cells as it has pixels, and the
rows of two folds.  Every row of the range is in one bucket, none from outside is, and what a
bucket says of its rows is exact; only the edges between buckets keep to those of cells.

On a logarithmic axis the first buckets are narrow, so there the rows of more folds are read:
as many as have less than some 400 rows a bucket.  Along another metric see pairs.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from . import buckets, cells, pairs, parts, runs
from .buckets import Axis, Buckets, Cut, MetricAxis, Number, Window
from .connection import Connection, Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .parts import Part

# A bucket's edges are then off by a third of its width at most: less than a line's own (chosen).
_CELLS_MIN: Final = 3

# Metrics whose rows that are not folded are read together: what is not shared between them is held
# for all at once, some MiB each (chosen).
_TOGETHER: Final = 16

# Without the axes of its rows, which are many times as large as all this.
_FOLDS: Final = (
    "SELECT fold.key, shape, writer, coalesce(rank, -1) AS rank, level, first, rows, step_low, "
    "step_high, time_low, time_high, timestamp_low, timestamp_high, ascending, cells "
    "FROM fold JOIN writer ON writer.key = writer WHERE shape = ? AND "
)


def cut(
    connection: Connection,
    run: str,
    names: Sequence[str],
    axis: Axis | MetricAxis,
    window: Window,
    rank: int | None,
) -> dict[str, Cut]:
    """Return buckets of those of *names* that the run has; see Store.cut."""
    buckets.check(window)
    key = runs.find(connection, run)
    shapes = [
        (shape["key"], {name: place for place, name in enumerate(json.loads(shape["names"]))})
        for shape in connection.execute("SELECT key, names FROM shape WHERE run = ?", (key,))
    ]
    found: dict[str, Cut] = {}
    wanted = list(dict.fromkeys(names))
    for first in range(0, len(wanted), _TOGETHER):
        some = wanted[first : first + _TOGETHER]
        series = (
            _along_metric(connection, some, shapes, axis, window, rank)
            if isinstance(axis, MetricAxis)
            else _along_axis(connection, some, shapes, axis, window, rank)
        )
        found |= {name: one.cut() for name, one in series.items() if one.exists}
    return found


def _along_axis(
    connection: Connection,
    names: Sequence[str],
    shapes: Sequence[tuple[int, Mapping[str, int]]],
    axis: Axis,
    window: Window,
    rank: int | None,
) -> dict[str, _Series]:
    """Return the series of *names*; of rows that have several of them each body is read once."""
    series = {name: _Series(connection, axis, window) for name in names}
    for shape, places in shapes:
        metrics = {name: places[name] for name in names if name in places}
        if not metrics:
            continue
        bodies = list(parts.bodies(connection, shape, list(metrics.values()), rank))
        folds = connection.execute(f"{_FOLDS} parent IS NULL", (shape,)).fetchall()
        roots = [fold for fold in folds if rank in (None, fold["rank"])]
        for i, (name, metric) in enumerate(metrics.items()):
            series[name].add(metric, [body[i] for body in bodies], roots)
            series[name].exists |= bool(bodies or folds)
    return series


def _along_metric(
    connection: Connection,
    names: Sequence[str],
    shapes: Sequence[tuple[int, Mapping[str, int]]],
    axis: MetricAxis,
    window: Window,
    rank: int | None,
) -> dict[str, pairs.Pairs]:
    series = {name: pairs.Pairs(connection, axis, window, rank) for name in names}
    for shape, places in shapes:
        for name in names:
            if name in places:
                series[name].add(shape, places, name)
    return series


class _Series:
    """One series: its rows that are not folded, and its folds that no other sums up."""

    def __init__(self, connection: Connection, axis: Axis, window: Window) -> None:
        self._connection = connection
        self._axis = axis
        self._window = window
        self._bodies: list[Part] = []
        self._roots: list[tuple[int, Row]] = []
        self.exists = False

    def add(self, metric: int, bodies: Sequence[Part], roots: Sequence[Row]) -> None:
        """Add rows of one shape, in which the metric has the place *metric*."""
        self._bodies += bodies
        self._roots += [(metric, root) for root in roots]

    def cut(self) -> Cut:
        """Read what the window needs, and cut it."""
        rows = sum(len(part.numbers) for part in self._bodies)
        rows += sum(root["rows"] for _, root in self._roots)
        return buckets.beside(self._buckets(), rows, self._window)

    def _buckets(self) -> Buckets:
        if self._window.log:
            self._open_below_zero()
        low, high = self._ends()
        width = 0.0
        if low is not None and high is not None and low < high:
            width = float(np.diff(self._scaled(np.array([low, high], np.float64))).item())
        rows, summed = self._read(width / self._window.most / _CELLS_MIN)
        x, y = self._joined(rows)
        if summed and len(x) + sum(int(one.count.sum()) for one in summed) <= self._window.most:
            # So few rows have a bucket each, however close they lie.
            rows, summed = self._read(-1.0)
            x, y = self._joined(rows)
        if not summed or low is None or high is None:
            return buckets.cut_rows(x, y, self._window)
        taken = buckets.within(x, self._window)
        alone = buckets.single(x[taken], y[taken])
        return buckets.cut_again(cells.concatenated([*summed, alone]), self._window, low, high)

    def _open_below_zero(self) -> None:
        """Open the folds that begin below what has a place, to see where what has one begins."""
        waiting, self._roots = self._roots, []
        while waiting:
            metric, fold = waiting.pop()
            if not self._overlaps(fold):
                continue
            if fold[f"{self._axis}_low"] > 0:
                self._roots.append((metric, fold))
            else:
                children, rows = self._opened(metric, fold)
                waiting += children
                self._bodies += rows

    def _ends(self) -> tuple[Number | None, Number | None]:
        """Return where the buckets begin and end: as asked, or with the rows."""
        lows: list[Number] = []
        highs: list[Number] = []
        for _, root in self._roots:
            if root[f"{self._axis}_low"] is not None:
                lows.append(root[f"{self._axis}_low"])
                highs.append(root[f"{self._axis}_high"])
        # A range cuts nothing off yet: it may end where there are no rows.
        placed = Window(self._window.most, log=self._window.log)
        for part in self._bodies:
            x = part.axes[self._axis]
            x = x[buckets.within(x, placed)]
            if len(x):
                lows.append(x.min().item())
                highs.append(x.max().item())
        if not lows:
            return self._window.start, self._window.end
        return self._window.ends(min(lows), max(highs))

    def _read(self, widest: float) -> tuple[list[Part], list[Buckets]]:
        """Return the rows to be read, and cells no wider than *widest* instead of others."""
        rows = list(self._bodies)
        summed: list[tuple[tuple[int, int, int], Buckets]] = []
        waiting = list(self._roots)
        while waiting:
            metric, fold = waiting.pop()
            if not self._overlaps(fold):
                continue
            narrow = self._cells(fold, widest)
            if narrow is not None:
                chunk = self._connection.execute(
                    "SELECT cells FROM chunk WHERE fold = ? AND metric = ?", (fold["key"], metric)
                ).fetchone()
                place = (fold["rank"], fold["writer"], fold["first"])
                summed.append((place, cells.decode_metric(chunk["cells"], self._axis, narrow)))
            else:
                children, found = self._opened(metric, fold)
                waiting += children
                rows += found
        return rows, [one for _, one in sorted(summed, key=lambda pair: pair[0])]

    def _opened(self, metric: int, fold: Row) -> tuple[list[tuple[int, Row]], list[Part]]:
        """Return the folds that *fold* sums up, or its rows."""
        if not fold["level"]:
            return [], parts.of_fold(self._connection, fold, [metric], [self._axis])
        children = self._connection.execute(f"{_FOLDS} parent = ?", (fold["shape"], fold["key"]))
        return [(metric, child) for child in children], []

    def _overlaps(self, fold: Row) -> bool:
        least, end = self._window.low, self._window.end
        low, high = fold[f"{self._axis}_low"], fold[f"{self._axis}_high"]
        if low is None:
            # No row has a place on this axis.
            return False
        return (least is None or high >= least) and (end is None or low <= end)

    def _cells(self, fold: Row, widest: float) -> Buckets | None:
        """Return the places of the cells of *fold* if they may stand for its rows."""
        least, end = self._window.low, self._window.end
        inside = (least is None or fold[f"{self._axis}_low"] >= least) and (
            end is None or fold[f"{self._axis}_high"] <= end
        )
        if not inside or not fold["ascending"] >> cells.AXES.index(self._axis) & 1:
            return None
        found = cells.decode_axis(fold["cells"], self._axis)
        widths = self._scaled(found.last_x) - self._scaled(found.first_x)
        return found if widths.max() <= widest else None

    def _scaled(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return where the places *x* are on the chart: buckets are of equal width there."""
        return np.log(x) if self._window.log else x.astype(np.float64)

    def _joined(self, rows: list[Part]) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Return x and y of *rows* in the order of the series."""
        axis = self._axis
        chosen, order = parts.ordered(rows)
        if not chosen:
            return np.empty(0, cells.AXIS_DTYPES[axis]), np.empty(0)
        x = np.concatenate([part.axes[axis] for part in chosen])
        y = np.concatenate([buckets.floats(part.values, part.kinds) for part in chosen])
        return (x, y) if order is None else (x[order], y[order])
