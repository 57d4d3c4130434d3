"""One run as one process has it open: its writers, its calls in order, and where they go."""

from __future__ import annotations

import json
import math
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simvue import wire
from simvue.death import Witness
from simvue.delivery import Reply
from simvue.destination import Destination
from simvue.intake import Intake, Piece
from simvue.runtime import Kind
from simvue.spool import Record, RecordKind

_NO_WRITER = "0" * wire.ID_SIZE
"""Stands in a record where a writer's id would: calls are not numbered for the server."""


@dataclass
class Call:
    """One call; the last of a piece settles it."""

    content: dict[str, Any]
    piece: Piece
    number: int
    last: bool

    @property
    def is_open(self) -> bool:
        """Whether it opens the run."""
        return bool(self.content["call"] == "open")


@dataclass(eq=False)
class Opening:
    """A run of a process, from its open call to its end, or the process's."""

    run: str
    process: str
    intakes: dict[str, Intake] = field(default_factory=dict)
    """By writer."""
    calls: deque[Call] = field(default_factory=deque)
    retry: deque[tuple[Intake, Piece]] = field(default_factory=deque)
    """Pieces that were sent and did not arrive."""
    open_count: int = 0
    """How many objects of the process have the run open: one, or a pickled one beside it."""
    opened: dict[str, Any] | None = None
    """The open call, token included; kept for a server that has to be told again."""
    destination: Destination | None = None
    remote_run: str = ""
    """The server's id of the run; ours, unless the server insists on its own."""
    reply: Reply | None = None
    """What became of the open call, for an ``init`` that asks after it came."""
    registered: bool = False
    calling: bool = False
    """A call is on its way; they go one at a time."""
    stuck_since: float | None = None
    """When rows that were owed first found the server busy or away."""
    heard: float = 0.0
    """When the server last acknowledged something of this run."""
    paused_until: float = 0.0
    flush: bool = False
    """The process closes the run, or is dead: everything is due."""
    to_spool: bool = False
    """The process cannot wait any longer: everything goes to disk."""
    ended: bool = False
    died: bool = False
    """The process is gone; an ``end`` call may have come before."""
    mourned: bool = False
    """The cause of its death is among the calls, or there is nothing to say of it."""
    witness: Witness | None = None

    @property
    def creates(self) -> bool:
        """Whether the open call can make, or restart, the run on a server that lacks it."""
        return bool(self.opened and (self.opened.get("run") or self.opened.get("changes")))

    @property
    def offline(self) -> bool:
        """Whether the run is to contact no server."""
        return bool(self.opened and self.opened.get("offline"))

    @property
    def flush_s(self) -> float:
        """How long a row may wait for company, in seconds."""
        if self.flush or self.to_spool or self.opened is None:
            return 0.0
        return float(self.opened["flush_interval"])

    def due_s(self, now: float) -> float:
        """Seconds until rows that are known of are due, or others may have come and be."""
        if self.destination is None or not self.destination.is_ready(now):
            # A reply ends the sleep, and what waits too long for one is looked for anyway.
            return math.inf
        flush_s = self.flush_s
        known = [intake.since for intake in self.rows if intake.since is not None]
        # A short flush interval is kept to within a quarter of itself.
        return min([flush_s / 4, *(since + flush_s - now for since in known)])

    @property
    def rows(self) -> list[Intake]:
        """The writers of metrics and events."""
        return [intake for intake in self.intakes.values() if intake.kind != "calls"]

    @property
    def owed(self) -> bool:
        """Whether anything is neither acknowledged nor on disk."""
        return bool(self.calls) or any(intake.owed for intake in self.intakes.values())

    def take_calls(self, now: float) -> list[Call]:
        """Take the calls that were written since, and return them."""
        taken = []
        for intake in self.intakes.values():
            if intake.kind != "calls":
                continue
            for piece in intake.take(now, 0.0, 0, lambda count: b""):
                for number, content in enumerate(_split(piece.body), piece.first):
                    taken.append(Call(content, piece, number, number == piece.end - 1))
        self.calls.extend(taken)
        return taken

    def read_open_call(self) -> dict[str, Any] | None:
        """Return the open call that an earlier shipper carried out, or put on disk."""
        for intake in self.intakes.values():
            if intake.kind == "calls" and (calls := _split(intake.read_first())):
                return calls[0]
        return None

    def is_settled_before(self, call: Call) -> bool:
        """Whether all rows that the process had logged before *call* are settled."""
        return all(
            self.intakes[writer].is_settled(row)
            for writer, row in call.content.get("after", {}).items()
            if writer in self.intakes
        )

    def finish(self, call: Call) -> None:
        """Note that the first of the calls is carried out, or safe on disk."""
        self.calls.popleft()
        if call.content["call"] == "end":
            self.open_count -= 1
            self.ended = self.open_count <= 0
        if call.last:
            call.piece.done = True

    def mourn(self) -> None:
        """Add calls that tell how the process ended, if it left its run open."""
        self.mourned = True
        witness, self.witness = self.witness, None
        death = witness.testify() if witness else None
        if witness:
            witness.close()
        if self.opened is None or self.open_count <= 0:
            return
        if self.opened.get("joined") or self.opened["created"]:
            return
        signals = [i.signal for i in self.intakes.values() if i.kind == "calls" and i.signal]
        changes: dict[str, Any] = {}
        if signals:
            words = f"it was ended by {signal.Signals(signals[0]).name}"
            changes["status"] = "terminated"
        elif death is not None:
            words = death.words
            # Of a process killed from outside the server says `lost`, when it stays silent.
            if death.failed and not death.killed:
                changes["status"] = "failed"
        else:
            words = "it vanished, and nobody saw how"
        message = f"The process that recorded this run is gone and did not close it: {words}."
        changes["metadata"] = {"simvue": {"end": words}}
        event = {
            "call": "event",
            "writer": wire.new_id(),
            "event": {
                "message": message,
                "timestamp": wire.format_timestamp(time.time_ns() // 1000),
                "log_level": "error",
            },
        }
        for content in (event, {"call": "update", "changes": changes}):
            self.calls.append(Call(content, Piece(0, 0, b""), 0, last=False))

    def inherit(self, parent: Opening) -> None:
        """Send what a forked child logs where its parent's rows go."""
        self.opened = parent.opened
        self.destination = parent.destination
        self.remote_run = parent.remote_run
        self.registered = parent.registered

    def record_of_opening(self) -> Record:
        """Return the open call as it may lie on a disk, for a spool that has not got it."""
        assert self.opened is not None
        return self._record(self.opened, 0)

    def record_of_call(self, call: Call) -> Record:
        """Return *call* as it may lie on a disk."""
        return self._record(call.content, call.number)

    def record_of_rows(self, intake: Intake, piece: Piece) -> Record:
        """Return *piece* as it lies on a disk."""
        kind = RecordKind[intake.kind.upper()]
        return Record(kind, self.run, intake.writer, piece.first, piece.end, piece.body)

    def header_of(self, kind: Kind) -> Callable[[int], bytes]:
        """Return what makes the front of a body of *kind* from its row count."""
        assert kind != "calls"
        run = self.remote_run or self.run
        return lambda count: wire.body_header(run, kind, count)

    def _record(self, content: dict[str, Any], number: int) -> Record:
        text = json.dumps(without_token(content)).encode()
        return Record(RecordKind.CALL, self.run, _NO_WRITER, number, number + 1, text)


def without_token(call: dict[str, Any]) -> dict[str, Any]:
    """Return *call* without what only shared memory may hold."""
    if not call.get("server"):
        return call
    return {**call, "server": {"url": call["server"]["url"]}}


def _split(rows: bytes) -> list[dict[str, Any]]:
    """Decode calls: each a big-endian u32 of bytes and that much JSON."""
    calls = []
    at = 0
    while at < len(rows):
        end = at + 4 + int.from_bytes(rows[at : at + 4], "big")
        calls.append(json.loads(rows[at + 4 : end]))
        at = end
    return calls
