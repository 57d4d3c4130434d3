"""A series by pixels: cells where they are narrow enough, rows where not.

Folds above others are looked at first.  One whose cells are all much narrower than a bucket
stands for its rows; otherwise its children are asked, and at the bottom the rows themselves::

    range         start ├───────────────────────────────────────────┤ end
    folds     [           ][               ][               ][           ][        ]
    read       ..rows....    cells            cells           ..rows....   (nothing)

So whatever the length of a series, its chart costs as many cells as it has pixels, and the
rows of two folds.  Every row of the range is in one bucket, none from outside is, and what a
bucket says of its rows is exact; only the edges between buckets keep to those of cells.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from . import buckets, cells, parts, runs
from .buckets import Axis, Buckets, Number
from .connection import Connection, Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .parts import Part

# A bucket's edges are then off by a third of its width at most: less than a line's own (chosen).
_CELLS_MIN: Final = 3

# Without the axes of its rows, which are many times as large as all this.
_FOLDS: Final = (
    "SELECT fold.key, shape, writer, coalesce(rank, -1) AS rank, level, first, step_low, "
    "step_high, time_low, time_high, timestamp_low, timestamp_high, ascending, cells "
    "FROM fold JOIN writer ON writer.key = writer WHERE shape = ? AND "
)


class _Window(NamedTuple):
    """What is asked of a series."""

    axis: Axis
    most: int
    start: Number | None
    end: Number | None


def cut(
    connection: Connection,
    run: str,
    names: Sequence[str],
    axis: Axis,
    most: int,
    start: Number | None,
    end: Number | None,
    rank: int | None,
) -> dict[str, Buckets]:
    """Return buckets of those of *names* that the run has; see Store.cut."""
    if most < 1:
        raise ValueError(f"a series cannot be cut into {most} buckets")
    key = runs.find(connection, run)
    shapes = [
        (shape["key"], {name: place for place, name in enumerate(json.loads(shape["names"]))})
        for shape in connection.execute("SELECT key, names FROM shape WHERE run = ?", (key,))
    ]
    window = _Window(axis, most, start, end)
    found = {}
    for name in dict.fromkeys(names):
        series = _Series(connection, window, rank)
        for shape, places in shapes:
            if name in places:
                series.add(shape, places[name])
        if series.exists:
            found[name] = series.cut()
    return found


class _Series:
    """One series: its rows that are not folded, and its folds that no other sums up."""

    def __init__(self, connection: Connection, window: _Window, rank: int | None) -> None:
        self._connection = connection
        self._window = window
        self._rank = rank
        self._bodies: list[Part] = []
        self._roots: list[tuple[int, Row]] = []
        self.exists = False

    def add(self, shape: int, metric: int) -> None:
        """Add the rows of *shape*, in which the metric has the place *metric*."""
        bodies = [part for (part,) in parts.bodies(self._connection, shape, [metric])]
        roots = self._connection.execute(f"{_FOLDS} parent IS NULL", (shape,)).fetchall()
        self.exists |= bool(bodies or roots)
        self._bodies += [part for part in bodies if self._rank in (None, part.rank)]
        self._roots += [(metric, root) for root in roots if self._rank in (None, root["rank"])]

    def cut(self) -> Buckets:
        """Read what the window needs, and cut it."""
        low, high = self._ends()
        width = 0.0 if low is None or high is None else (float(high) - low) / self._window.most
        rows, summed = self._read(width / _CELLS_MIN)
        x, y = self._joined(rows)
        if summed and len(x) + sum(int(one.count.sum()) for one in summed) <= self._window.most:
            # So few rows have a bucket each, however close they lie.
            rows, summed = self._read(-1.0)
            x, y = self._joined(rows)
        _, most, start, end = self._window
        if not summed or low is None or high is None:
            return buckets.cut_rows(x, y, most, start, end)
        taken = buckets.within(x, start, end)
        alone = buckets.single(x[taken], y[taken])
        return buckets.cut_again(cells.concatenated([*summed, alone]), most, low, high)

    def _ends(self) -> tuple[Number | None, Number | None]:
        """Return where the buckets begin and end: as asked, or with the rows."""
        axis, _, start, end = self._window
        lows: list[Number] = []
        highs: list[Number] = []
        for _, root in self._roots:
            if root[f"{axis}_low"] is not None:
                lows.append(root[f"{axis}_low"])
                highs.append(root[f"{axis}_high"])
        for part in self._bodies:
            x = part.axes[axis]
            x = x[np.isfinite(x)]
            if len(x):
                lows.append(x.min().item())
                highs.append(x.max().item())
        low, high = min(lows, default=None), max(highs, default=None)
        return low if start is None else start, high if end is None else end

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
                axis = self._window.axis
                summed.append((place, cells.decode_metric(chunk["cells"], axis, narrow)))
            elif fold["level"]:
                children = self._connection.execute(
                    f"{_FOLDS} parent = ?", (fold["shape"], fold["key"])
                )
                waiting += [(metric, child) for child in children]
            else:
                rows += parts.of_fold(self._connection, fold, [metric], [self._window.axis])
        return rows, [one for _, one in sorted(summed, key=lambda pair: pair[0])]

    def _overlaps(self, fold: Row) -> bool:
        axis, _, start, end = self._window
        low, high = fold[f"{axis}_low"], fold[f"{axis}_high"]
        if low is None:
            # No row has a place on this axis.
            return False
        return (start is None or high >= start) and (end is None or low <= end)

    def _cells(self, fold: Row, widest: float) -> Buckets | None:
        """Return the places of the cells of *fold* if they may stand for its rows."""
        axis, _, start, end = self._window
        inside = (start is None or fold[f"{axis}_low"] >= start) and (
            end is None or fold[f"{axis}_high"] <= end
        )
        if not inside or not fold["ascending"] >> cells.AXES.index(axis) & 1:
            return None
        found = cells.decode_axis(fold["cells"], axis)
        widths = found.last_x.astype(np.float64) - found.first_x
        return found if widths.max() <= widest else None

    def _joined(self, rows: list[Part]) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Return x and y of *rows* in the order of the series."""
        axis = self._window.axis
        chosen, order = parts.ordered(rows)
        if not chosen:
            return np.empty(0, cells.AXIS_DTYPES[axis]), np.empty(0)
        x = np.concatenate([part.axes[axis] for part in chosen])
        y = np.concatenate([buckets.floats(part.values, part.kinds) for part in chosen])
        return (x, y) if order is None else (x[order], y[order])
