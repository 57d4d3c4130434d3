"""Parents: folds above folds, which sum up the cells of those below (cells.py).

::

    level 2                   [ parent                     ] ...
    level 1    [ parent     ] [ parent     ] [ parent     ] ...
    level 0    [fold][fold][fold][fold][fold][fold][fold] ...  [small one]

FAN full folds of one level that follow each other get a parent; nothing else is changed by it,
and a fold whose parent is not there yet is read for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from . import cells, fold
from .buckets import Buckets
from .cells import AXES
from .connection import Connection
from .fold import Due, Folded


class Siblings(NamedTuple):
    """FAN folds that follow each other, and the parent that they get."""

    run: str
    keys: list[int]
    parent: Folded


def orphans(connection: Connection) -> list[Due]:
    """Return whose folds are due to get a parent; reads the whole index of folds."""
    return [
        Due(*row)
        for row in connection.execute(
            "SELECT shape, writer FROM fold JOIN shape ON shape.key = shape "
            "WHERE parent IS NULL AND sealed AND run IS NOT NULL "
            "GROUP BY shape, level, writer HAVING count(*) >= ?",
            (cells.FAN,),
        )
    ]


def siblings(connection: Connection, due: Due) -> Siblings | None:
    """Sum up the next FAN folds without a parent, if there are so many of one level."""
    run = connection.execute(
        "SELECT id FROM shape JOIN run ON run.key = run WHERE shape.key = ?", (due.shape,)
    ).fetchone()
    level = connection.execute(
        "SELECT level FROM fold WHERE shape = ? AND parent IS NULL AND writer = ? AND sealed "
        "GROUP BY level HAVING count(*) >= ? ORDER BY level LIMIT 1",
        (*due, cells.FAN),
    ).fetchone()
    if run is None or level is None:
        return None
    children = connection.execute(
        "SELECT key, first, rows, step_low, step_high, time_low, time_high, timestamp_low, "
        "timestamp_high, ascending, cells FROM fold WHERE shape = ? AND parent IS NULL "
        "AND level = ? AND writer = ? AND sealed ORDER BY first LIMIT ?",
        (due.shape, level["level"], due.writer, cells.FAN),
    ).fetchall()
    along = [[cells.decode_axis(child["cells"], axis) for axis in AXES] for child in children]
    keys = [child["key"] for child in children]
    summed, chunks = _chunks(connection, keys, along)
    ascending = [
        all(child["ascending"] >> axis & 1 for child in children)
        and cells.ascends(cells.concatenated([one[axis] for one in along]))
        for axis in range(len(AXES))
    ]
    ends = [
        end([child[name] for child in children if child[name] is not None])
        for axis in AXES
        for name, end in ((f"{axis}_low", _least), (f"{axis}_high", _greatest))
    ]
    parent = Folded(
        (
            *due, level["level"] + 1, True, children[0]["first"],
            sum(child["rows"] for child in children), *ends, fold.bits(ascending),
            cells.encode_axes(summed), None,
        ),
        chunks,
    )  # fmt: skip
    return Siblings(run["id"], keys, parent)


def _chunks(
    connection: Connection, keys: Sequence[int], along: Sequence[Sequence[Buckets]]
) -> tuple[list[Buckets], list[tuple[bytes, bytes | None]]]:
    """Sum up the cells of the folds *keys* for each metric.

    *along* are theirs along each axis, without what is a metric's own.  Return those of the last
    metric, which tell where the cells of all lie, and the chunks of the parent.
    """
    summed: list[Buckets] = []
    chunks: list[tuple[bytes, bytes | None]] = []
    children = dict(zip(keys, along, strict=True))
    group: dict[int, list[Buckets]] = {}
    for fold_key, data in connection.execute(
        f"SELECT fold, cells FROM chunk WHERE fold IN ({', '.join('?' * len(keys))}) "
        "ORDER BY metric",
        keys,
    ):
        group[fold_key] = [
            cells.decode_metric(data, axis, one)
            for axis, one in zip(AXES, children[fold_key], strict=True)
        ]
        if len(group) == len(keys):
            summed = cells.above([group[key] for key in keys])
            chunks.append((cells.encode_metric(summed), None))
            group.clear()
    return summed, chunks


def _least(found: Sequence[float]) -> float | None:
    return min(found, default=None)


def _greatest(found: Sequence[float]) -> float | None:
    return max(found, default=None)


def adopt(connection: Connection, due: Due, found: Siblings) -> None:
    """Put the parent above its children; nothing if their run is gone."""
    if not fold.lives(connection, found.run, due.shape):
        return
    key = fold.insert(connection, found.parent)
    adopted = connection.executemany(
        "UPDATE fold SET parent = ? WHERE key = ? AND parent IS NULL",
        [(key, child) for child in found.keys],
    ).rowcount
    fold.expect(adopted, found.keys)
