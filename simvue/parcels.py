"""Parcels: what lies in a spool file as many small records goes to the server in few bodies.

A run that logs once a second is spooled once a second, a row a record.  Rows are numbered, so
records of one writer of which one begins where the other ends can be one body::

    in the file        open a0  b0  a1  open'  a2  b1  a3  tags a4  ...
    in parcels         open  a0+a1  b0+b1  open'  ...

A parcel takes no record in from behind a call of its run, so each call keeps its place among the
rows; runs, and the writers of a run, have none among each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar

from simvue.delivery import PART_ROWS_MAX, PART_SIZE_MAX
from simvue.spool import Record, RecordKind
from simvue.wire import Kind, body_header

_RECORD_SIZE: Final = 512
"""Bytes that a record takes in memory beside its payload, roughly: half a dozen objects."""

KINDS: Final[dict[RecordKind, Kind]] = {
    RecordKind.METRICS: "metrics",
    RecordKind.EVENTS: "events",
}
"""What the records that hold rows are called on the wire."""

Item = TypeVar("Item")


@dataclass
class _Parcel(Generic[Item]):
    """Records that follow each other; ``stream`` is their writer, None where nothing follows."""

    run: str
    stream: tuple[RecordKind, str] | None
    items: list[Item]
    end: int = 0
    rows: int = 0
    rows_size: int = 0
    size: int = 0


@dataclass
class Parcels(Generic[Item]):
    """A queue of records, out of which they come in parcels.

    An *item* is whatever stands for a record here: with its payload, or without.  A parcel of
    several stays within what any Simvue server takes in one part, so that none is cut again.
    """

    size: int = 0
    """Bytes in memory of the records that were added and not taken, if the items hold them."""
    _queue: deque[_Parcel[Item]] = field(default_factory=deque)
    _growing: dict[str, dict[tuple[RecordKind, str], _Parcel[Item]]] = field(default_factory=dict)
    """By run and stream: the parcels that the next record of it may join."""

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, item: Item, record: Record) -> None:
        """Put *record* behind the others of its run, in a parcel with them if they go on in it."""
        size = len(record.payload)
        self.size += size + _RECORD_SIZE
        if record.kind not in KINDS:
            self._growing.pop(record.run, None)
            self._queue.append(_Parcel(record.run, None, [item], size=size + _RECORD_SIZE))
            return
        growing = self._growing.setdefault(record.run, {})
        stream = (record.kind, record.writer)
        parcel = growing.get(stream)
        rows = record.end - record.first
        if (
            parcel is None
            or parcel.end != record.first
            or parcel.rows + rows > PART_ROWS_MAX
            or parcel.rows_size + size > PART_SIZE_MAX
        ):
            parcel = growing[stream] = _Parcel(record.run, stream, [])
            self._queue.append(parcel)
        parcel.items.append(item)
        parcel.end = record.end
        parcel.rows += rows
        parcel.rows_size += size
        parcel.size += size + _RECORD_SIZE

    @property
    def first(self) -> list[Item]:
        """The parcel that is taken next, as far as it has grown."""
        return self._queue[0].items

    def take(self) -> list[Item]:
        """Remove and return the oldest parcel."""
        parcel = self._queue.popleft()
        self.size -= parcel.size
        if parcel.stream is not None:
            growing = self._growing.get(parcel.run, {})
            if growing.get(parcel.stream) is parcel:
                del growing[parcel.stream]
        return parcel.items

    def put_back(self, run: str, items: list[Item]) -> None:
        """Have *items* of *run* as the parcel that is taken next."""
        self._queue.appendleft(_Parcel(run, None, items))

    def split(self, run: str) -> Parcels[Item]:
        """Remove and return all that waits here of *run*."""
        taken = [parcel for parcel in self._queue if parcel.run == run]
        self._queue = deque(parcel for parcel in self._queue if parcel.run != run)
        size = sum(parcel.size for parcel in taken)
        self.size -= size
        return Parcels(size, deque(taken), {run: self._growing.pop(run, {})})

    def extend(self, others: Parcels[Item]) -> None:
        """Put what was ``split`` from here behind the rest; *others* is not used after that."""
        self.size += others.size
        self._queue.extend(others._queue)
        self._growing.update(others._growing)


def merge(records: Sequence[Record]) -> Record:
    """Return the *records* of one parcel as one; their rows are copied as they lie."""
    first, last = records[0], records[-1]
    if len(records) == 1:
        return first
    header = body_header(first.run, KINDS[first.kind], last.end - first.first)
    rows = (record.payload[len(header) :] for record in records)
    return replace(first, end=last.end, payload=b"".join((header, *rows)))
