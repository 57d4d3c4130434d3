"""Writers and the segments they fill: in plain memory, or in a runtime directory of the test's own.

``tape`` is a writer over plain memory, for what one process writes; ``runtime`` is a private
runtime directory, for everything that has to do with files, other processes and the shipper.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from simvue._batch import SEGMENT_HEADER_SIZE, Segment, Stream, Writer
from simvue.intake import Intake, Piece
from simvue.runtime import Runtime, parse_segment_name, this_process


class Lane:
    """One stream that gets a new segment in plain memory whenever it asks for one."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.memory: list[bytearray] = []
        self.segments: list[Segment] = []
        self.stream = Stream(self._roll)
        self.before_roll: Callable[[], None] = lambda: None

    def _roll(self, stream: Stream, size: int) -> bool:
        full = stream.segment
        self.before_roll()
        memory = bytearray(SEGMENT_HEADER_SIZE + max(size, self.capacity))
        segment = Segment(memory, str(len(self.segments)))
        segment.format()
        if stream.switch(full, segment):
            self.memory.append(memory)
            self.segments.append(segment)
        return True

    def seal(self) -> None:
        """Have the next row in a segment of its own."""
        self._roll(self.stream, 0)

    @property
    def written(self) -> bytes:
        """The bytes of all published rows."""
        return b"".join(s.copy(b"", 0, s.published[1]) for s in self.segments)

    @property
    def image(self) -> list[bytes]:
        """All memory, published or not: what a call that raised has left as it was."""
        return [bytes(memory) for memory in self.memory]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All published rows, decoded."""
        return decode(self.written)


class Tape:
    """An open `Writer` over plain memory, with one lane for metrics and one for events."""

    def __init__(self, capacity: int = 1 << 16, make: Callable[[], Writer] = Writer) -> None:
        self.metrics = Lane(capacity)
        self.events = Lane(capacity)
        self.writer = make()
        self.writer._attach(self.metrics.stream, self.events.stream)

    def last(self) -> dict[str, Any]:
        """The newest row of metrics, decoded."""
        return self.metrics.rows[-1]


def decode(rows: bytes) -> list[dict[str, Any]]:
    """Decode rows that lie one behind the other."""
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(rows)
    return list(unpacker)


class Shipper:
    """The shipper's side of one writer, with the server in the hands of the test."""

    def __init__(self, runtime: Runtime, writer: str) -> None:
        self.runtime = runtime
        self.writer = writer
        self.intake: Intake
        for name in sorted(runtime.names()):
            parsed = parse_segment_name(name)
            if parsed is not None and parsed[3] == writer:
                self.intake = Intake(runtime, *parsed)
                break
        self.adopt()

    def adopt(self) -> None:
        """Look for new segments."""
        for name in self.runtime.names():
            parsed = parse_segment_name(name)
            if parsed is not None and parsed[3] == self.writer:
                self.intake.adopt(name)

    def take(self) -> list[Piece]:
        """Take all that is published."""
        self.adopt()
        return list(self.intake.take(0.0, 0.0, 1, lambda count: b""))

    def ship(self) -> list[dict[str, Any]]:
        """Take all that is published, acknowledge and settle it; return the rows."""
        pieces = self.take()
        for piece in pieces:
            piece.done = True
        self.intake.settle()
        return [row for piece in pieces for row in decode(piece.body)]


@pytest.fixture
def tape() -> Tape:
    """A writer over plain memory."""
    return Tape()


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    """This process's runtime directory, which nobody else knows."""
    monkeypatch.setenv("SIMVUE_RUNTIME_DIRECTORY", str(tmp_path / "runtime"))
    # Whatever entry another test has made stands in another directory.
    monkeypatch.setattr("simvue.runtime._process", None)
    return this_process().runtime
