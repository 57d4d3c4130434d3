"""The reading of a spool file by a sender: how far it is, and the parcels that are still to go."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from simvue.backlog import artifact_of
from simvue.parcels import KINDS, Parcels
from simvue.spool import Flaw, Record, RecordKind, walk

_WINDOW_SIZE: Final = 8 << 20
"""Bytes of records that are read ahead, to find those that go together; chosen: of 64 writers
that log once a second, each has 200 rows in it, and the memory is no matter."""


@dataclass(frozen=True, slots=True)
class Found:
    """A record, where it lies in its file, and the bytes from the end of the one before it."""

    offset: int
    size: int
    record: Record


@dataclass
class Reading:
    """How far one file was carried; in the sender's memory only, so it is never wrong."""

    end: int = 0
    """Up to here it was read."""
    undone: deque[int] = field(default_factory=deque)
    """Where records lie that were read, in their order, from the first that is not done on."""
    done: set[int] = field(default_factory=set)
    """Which of those are delivered all the same, or among the refused."""
    refused: dict[int, str] = field(default_factory=dict)
    """Where a record lies that the server does not take, and its answer."""
    flaws: list[str] = field(default_factory=list)
    is_sealed: bool = False

    @property
    def offset(self) -> int:
        """All records before this byte are delivered, or among the refused."""
        return self.undone[0] if self.undone else self.end

    def settle(self, offset: int) -> None:
        """Note that the record there is done."""
        self.done.add(offset)
        while self.undone and self.undone[0] in self.done:
            self.done.remove(self.undone.popleft())

    def gather(self, path: Path, advance: Callable[[int, int], None]) -> Iterator[list[Found]]:
        """Yield what is not done of a file, in parcels; the calls of a run after the rows before.

        Artifacts come behind all else: one may take as long as all rows together.
        """
        parcels: Parcels[Found] = Parcels()
        artifacts: list[Found] = []
        self.end = self.offset
        self.undone.clear()
        for offset, end, content in walk(path, self.end):
            size = end - self.end
            if isinstance(content, Flaw) and content.torn and path.suffix == ".open":
                continue  # Its writer died, or is at it just now.
            self.end = end
            if isinstance(content, Flaw):
                advance(size, 0)
                if content.reason not in self.flaws:
                    self.flaws.append(content.reason)
            elif content.kind is RecordKind.END:
                advance(size, 0)
                self.is_sealed = True
            elif offset in self.done:
                self.undone.append(offset)
                self.settle(offset)
                advance(size, rows_of(content))
            else:
                self.undone.append(offset)
                found = Found(offset, size, content)
                if artifact_of(content):
                    artifacts.append(found)
                else:
                    parcels.add(found, content)
                while parcels.size > _WINDOW_SIZE:
                    yield parcels.take()
        while parcels:
            yield parcels.take()
        for found in artifacts:
            yield [found]


def rows_of(record: Record) -> int:
    """Return how many rows *record* holds."""
    return record.end - record.first if record.kind in KINDS else 0
