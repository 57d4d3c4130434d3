"""One run as one process has it open: its writers, its calls in order, and where they go."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from simvue import tree, wire
from simvue.death import Witness
from simvue.delivery import Reply
from simvue.destination import Destination
from simvue.intake import Intake, Piece
from simvue.resources import Meter
from simvue.runtime import Kind
from simvue.spool import Record, RecordKind

_NO_WRITER = "0" * wire.ID_SIZE
"""Stands in a record where a writer's id would: calls are not numbered for the server."""

_DESCRIBE_S: Final = 5.0
"""Between two looks at how many rows were dropped; chosen: soon enough for a person."""


Source = Intake | Meter
"""A writer of rows: in shared memory, or the shipper's own."""


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

    @property
    def creates_run(self) -> bool:
        """Whether it registers the run with a server that may not know it."""
        return self.is_open and bool(self.content.get("run")) and not self.content.get("remote_run")

    @property
    def is_artifact(self) -> bool:
        """Whether it has an artifact uploaded: that may take long, and holds up no other call."""
        return bool(self.content["call"] == "artifact")


@dataclass(eq=False)
class Opening:
    """A run of a process, from its open call to its end, or the process's."""

    run: str
    process: str
    intakes: dict[str, Intake] = field(default_factory=dict)
    """By writer."""
    calls: deque[Call] = field(default_factory=deque)
    retry: deque[tuple[Source, Piece]] = field(default_factory=deque)
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
    pid: int | None = None
    """The process, as whoever is connected with it knows."""
    meter: Meter | None = None
    """What samples its use of the machine; one for all processes of its tree."""
    children: list[tree.Process] = field(default_factory=list)
    """The external codes that it started, which are not to outlive it."""
    _told: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the server was told of each writer."""
    _described: tuple[int, float] = (0, 0.0)
    """How many writers there were at the last look for news of them, and when that was."""

    @property
    def creates(self) -> bool:
        """Whether the open call can make, or restart, the run on a server that lacks it."""
        return bool(self.opened and (self.opened.get("run") or self.opened.get("changes")))

    @property
    def offline(self) -> bool:
        """Whether the run is to contact no server."""
        return bool(self.opened and self.opened.get("offline"))

    @property
    def share(self) -> dict[str, Any] | None:
        """Who the process is among those that share the run; None where none do."""
        return self.opened.get("share") if self.opened else None

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
    def rows(self) -> list[Source]:
        """The writers of metrics and events, the shipper's own one as well."""
        rows = [intake for intake in self.intakes.values() if intake.kind != "calls"]
        return [*rows, self.meter] if self.meter else [*rows]

    @property
    def owed(self) -> bool:
        """Whether anything is neither acknowledged nor on disk."""
        if self.calls or (self.meter and self.meter.owed):
            return True
        return any(intake.owed for intake in self.intakes.values())

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
        return next(iter(self.read_first_calls()), None)

    def read_first_calls(self) -> list[dict[str, Any]]:
        """Return the open call and some of those behind it, whoever carried them out."""
        for intake in self.intakes.values():
            if intake.kind == "calls" and (calls := _split(intake.read_first())):
                return calls
        return []

    def heed(self, call: dict[str, Any]) -> None:
        """Do what a call says to the shipper itself; to the server it says nothing."""
        if call["call"] == "resources" and self.meter is not None:
            self.meter.heed(call["resources"])
        elif call["call"] == "child":
            self.children.append(tree.Process(*call["child"]))

    def end_children(self) -> None:
        """End what the process, which is dead, had started and left behind."""
        children, self.children = self.children, []
        if not children:
            return
        table = tree.read_table()
        # A later process of the same number has nothing to do with it.
        ours = [child for child in children if table.has(child)]
        ending = [process for child in ours for process in table.tree(child.pid)]
        threading.Thread(target=tree.end, args=(ending,), name="simvue-orphans").start()

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

    def describe_writers(self, now: float) -> bool:
        """Add a call that tells what the server does not know of the writers; True if it did.

        That is the rank of those of a shared run, said before their first rows, and how many
        rows were dropped, said every few seconds and at the end.
        """
        writers, then = self._described
        if writers == len(self.intakes) and not self.ended and now - then < _DESCRIBE_S:
            return False
        self._described = len(self.intakes), now
        rank = self.share.get("rank") if self.share else None
        news = {}
        for intake in self.rows:
            facts = {"kind": intake.kind, "rank": rank, "dropped": intake.dropped}
            if facts != self._told.get(intake.writer, {**facts, "rank": None, "dropped": 0}):
                news[intake.writer] = facts
        if news:
            self._told |= news
            self._add_call({"call": "update", "changes": {"writers": news}})
        return bool(news)

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
        share = self.share
        if share is not None:
            changes["process"] = {**share, "status": changes.pop("status", "lost")}
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
        self._add_call(event)
        self._add_call({"call": "update", "changes": changes})

    def _add_call(self, content: dict[str, Any]) -> None:
        """Add a call of the shipper's own, which lies in no segment."""
        self.calls.append(own_call(content))

    def inherit(self, parent: Opening) -> None:
        """Send what a forked child logs where its parent's rows go."""
        self.opened = parent.opened
        self.destination = parent.destination
        self.remote_run = parent.remote_run
        self.registered = parent.registered

    def record_of_opening(self) -> Record:
        """Return the open call as it may lie on a disk, for a spool that has not got it.

        Of a run that is registered it changes nothing any more, whenever somebody repeats it.
        """
        assert self.opened is not None
        content = self.opened
        if self.registered:
            content = {**content, "changes": {}}
            if self.remote_run != self.run:
                content["remote_run"] = self.remote_run
        return self._record(content, 0)

    def record_of_call(self, call: Call) -> Record:
        """Return *call* as it may lie on a disk."""
        return self._record(call.content, call.number)

    def record_of_rows(self, intake: Source, piece: Piece) -> Record:
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


def own_call(content: dict[str, Any]) -> Call:
    """Return a call of the shipper's own, which lies in no segment and settles none."""
    return Call(content, Piece(0, 0, b""), 0, last=False)


def without_token(call: dict[str, Any]) -> dict[str, Any]:
    """Return *call* without what only shared memory may hold."""
    # How a run is measured is of use only here, and may hold a token of some other service.
    kept = {name: value for name, value in call.items() if name != "resources"}
    if kept.get("server"):
        kept["server"] = {"url": kept["server"]["url"]}
    return kept


def _split(rows: bytes) -> list[dict[str, Any]]:
    """Decode calls: each a big-endian u32 of bytes and that much JSON."""
    calls = []
    at = 0
    while at < len(rows):
        end = at + 4 + int.from_bytes(rows[at : at + 4], "big")
        calls.append(json.loads(rows[at + 4 : end]))
        at = end
    return calls
