"""The shared queue, the shipper's side: take what was published, settle what arrived.

One thread uses an intake.  docs/design/queue.md draws the states of a segment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from simvue._batch import Segment
from simvue.runtime import Kind, Runtime


class Piece:
    """Rows of one filling that go out as one body; ``done`` once acknowledged or in the spool."""

    __slots__ = ("body", "done", "end", "first")

    def __init__(self, first: int, end: int, body: bytes) -> None:
        self.first = first
        self.end = end
        self.body = body
        self.done = False


class _Filling:
    """One filling of one segment, and how far the shipper is with it."""

    __slots__ = ("first_row", "number", "pieces", "segment", "taken")

    def __init__(
        self, segment: Segment, number: int, first_row: int, taken: tuple[int, int]
    ) -> None:
        self.segment = segment
        self.number = number
        self.first_row = first_row
        self.taken = taken
        # (piece, rows, bytes) in the order of taking; rows and bytes count from the start.
        self.pieces: deque[tuple[Piece, int, int]] = deque()


class Intake:
    """One writer's segments as the shipper sees them: it alone moves ``shipped`` and ``returned``.

    One thread uses it.  A new shipper begins where ``shipped`` stands: rows that were on the
    way when the old one died go out again, and the server stores them once.
    """

    def __init__(self, runtime: Runtime, process: str, run: str, kind: Kind, writer: str) -> None:
        self.runtime = runtime
        self.process = process
        self.run = run
        self.kind: Kind = kind
        self.writer = writer
        self.since: float | None = None
        """No row that waits was published before this moment of the caller's clock."""
        self._emptied: float | None = None
        """When everything that there was had been taken."""
        self._unsettled = True
        """Whether ``settle`` may find something to do; looking costs more than nothing."""
        self._segments: dict[str, Segment] = {}
        self._fillings: dict[str, _Filling] = {}

    def adopt(self, name: str) -> None:
        """Map one more segment of this writer."""
        if name in self._segments:
            return
        segment = self.runtime.map_segment(name)
        if segment is None:
            return
        self._segments[name] = segment

    @property
    def names(self) -> list[str]:
        """The segments' file names."""
        return list(self._segments)

    @property
    def signal(self) -> int:
        """The signal that ended the writer's process, if it was one that is noted; else 0."""
        return max((s.signal for s in self._segments.values()), default=0)

    @property
    def dropped(self) -> int:
        """Rows the writer lost to a full queue."""
        return max((s.dropped for s in self._segments.values()), default=0)

    def look(self) -> list[tuple[_Filling, bool, int, int]]:
        """Return (filling, sealed, rows, bytes) of every filling not handed back, in order."""
        found = []
        for name, segment in self._segments.items():
            number = segment.number
            if number == segment.returned:
                continue
            filling = self._fillings.get(name)
            if filling is None or filling.number != number:
                filling = _Filling(segment, number, segment.first_row, segment.shipped)
                self._fillings[name] = filling
            # `sealed` before the count: the count of a sealed filling is final.
            sealed = segment.sealed == number
            found.append((filling, sealed, *segment.published))
        found.sort(key=lambda entry: entry[0].number)
        return found

    def take(
        self, now: float, flush_s: float, size_min: int, header: Callable[[int], bytes]
    ) -> Iterator[Piece]:
        """Yield the pieces that are due at *now*, each copied out when it is asked for.

        A piece is due when its segment is sealed, when *size_min* bytes wait, or when the
        oldest waits for *flush_s* seconds.  *header* makes a body's front from its row count.
        """
        waiting = False
        for filling, sealed, rows, size in self.look():
            taken_rows, taken_size = filling.taken
            if rows == taken_rows:
                # Sealed with nothing more in it: it is to be handed back.
                self._unsettled = self._unsettled or sealed
                continue
            waiting = True
            if self.since is None:
                self.since = now if self._emptied is None else self._emptied
            due = sealed or size - taken_size >= size_min or now - self.since >= flush_s
            if due:
                piece = Piece(
                    filling.first_row + taken_rows,
                    filling.first_row + rows,
                    filling.segment.copy(header(rows - taken_rows), taken_size, size),
                )
                filling.taken = (rows, size)
                filling.pieces.append((piece, rows, size))
                self._unsettled = True
                # Before the yield: the caller may not come back for more.
                waiting, self.since, self._emptied = False, None, now
                yield piece
        if not waiting:
            self.since, self._emptied = None, now

    def settle(self) -> bool:
        """Tell the writer what is done and hand back what is empty; True if something moved."""
        if not self._unsettled:
            return False
        self._unsettled = False
        moved = False
        for filling, sealed, rows, size in self.look():
            while filling.pieces and filling.pieces[0][0].done:
                _, done_rows, done_size = filling.pieces.popleft()
                filling.segment.ship(done_rows, done_size)
                moved = True
            done = filling.segment.shipped == (rows, size)
            if sealed and done and not self._keeps(filling):
                filling.segment.hand_back()
                moved = True
            elif filling.pieces:
                self._unsettled = True
        return moved

    def is_settled(self, row: int) -> bool:
        """Whether all rows below *row* are acknowledged or in the spool.

        The caller knows that they are published, and has every segment adopted since: then
        each lies in a filling that was handed back, or in one of those seen here.
        """
        self.settle()
        for filling, _, rows, size in self.look():
            shipped = filling.segment.shipped
            if filling.first_row + shipped[0] < row and shipped != (rows, size):
                return False
        return True

    def read_first(self) -> bytes:
        """Return the calls from the open call on, settled ones too; empty before there is one."""
        for filling, _, _, size in self.look():
            if self._keeps(filling):
                return filling.segment.copy(b"", 0, size)
        return b""

    def _keeps(self, filling: _Filling) -> bool:
        # The open call says where a run's rows go, and a later shipper has to read it too.
        return self.kind == "calls" and filling.number == 1

    @property
    def owed(self) -> bool:
        """Whether a published row is neither acknowledged nor in the spool."""
        return any(segment.owed for segment in self._segments.values())

    def waiting(self) -> list[Piece]:
        """Return the pieces that are taken and not done, oldest first."""
        fillings = sorted(self._fillings.values(), key=lambda filling: filling.number)
        return [p for filling in fillings for p, _, _ in filling.pieces if not p.done]

    def remove(self) -> None:
        """Remove the files; what a process still maps stays readable to it."""
        for name in self._segments:
            self.runtime.remove(name)
        self._segments.clear()
        self._fillings.clear()
