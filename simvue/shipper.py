"""The shipper: the other process, one a user and node; segments -> bodies -> server.

::

    main thread  ── owns every segment word, every spool file, every decision
       look      the runtime directory: new writers, dead processes
       take      rows that are due; calls, once the rows before them are settled
       spool     what waits longer than a second or so, with its segment handed back
       settle    what is acknowledged or in the spool, back to the writers
    two threads a destination ── each one request at a time, and nothing else

It is started by the first ``Run.init`` (simvue/link.py), is nobody's child, and leaves when
its writers have ended and nothing is owed.  A new one begins where the words in the
segments stand.  docs/design/path.md tells the journey.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import queue as stdlib_queue
import random
import selectors
import signal
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from simvue import delivery, wire
from simvue.delivery import Outcome, Reply
from simvue.queue import (
    LOCK_NAME,
    SOCKET_NAME,
    Intake,
    Kind,
    Piece,
    Runtime,
    is_alive,
    list_processes,
    parse_segment_name,
    remove_process,
)
from simvue.remote import Remote
from simvue.spool import (
    Record,
    RecordKind,
    SpoolDamaged,
    SpoolFile,
    SpoolFull,
    list_files,
    read_record,
    read_records,
)

BODY_SIZE_MIN: Final = 1 << 20
"""A body goes out early once it has this size: measured, larger ones gain little."""

POLL_S_MIN: Final = 0.001
POLL_S_MAX: Final = 0.1
"""Fast while bytes flow, backing off when they do not; 10 looks a second cost 0.1 % of a core."""

SPOOL_AFTER_S: Final = 1.0
"""Rows due for longer than this go to disk, so that shared memory is about a second deep."""

IN_FLIGHT: Final = 2
"""Bodies on the way to one server: measured, two lift one writer from 8M to 12M points/s."""

BACKOFF_S_MAX: Final = 60.0
REFUSED_RETRY_S: Final = 60.0
LEAVE_AFTER_S: Final = 2.0
DEATHS_S: Final = 1.0
"""Between two looks for processes that died unconnected; the others are seen at once."""

HEARTBEAT_S_MAX: Final = 60.0
TERMINATE_S: Final = 5.0
"""What a scheduler grants between SIGTERM and SIGKILL, at the least."""


# ---- Where bodies go -----------------------------------------------------------------


@dataclass
class Job:
    """One delivery: ``send`` in a destination's thread, then ``then`` in the main thread."""

    send: Callable[[Remote], Reply]
    then: Callable[[Reply], None]


class Destination:
    """One server and token, two threads that send to it, and what they found out about it."""

    def __init__(
        self,
        url: str,
        token: str,
        source: str | None,
        ca_file: str | None,
        wake: Callable[[], None],
    ):
        self.url = url
        self.results: deque[tuple[Job, Reply]] = deque()
        self.in_flight = 0
        self.trouble = ""
        self.refused = False
        self.retry_at = 0.0
        self._failures = 0
        self._jobs: stdlib_queue.SimpleQueue[Job] = stdlib_queue.SimpleQueue()
        self._wake = wake
        remote = Remote(url, token, token_source=source, ca_file=ca_file)
        for _ in range(IN_FLIGHT):
            threading.Thread(target=self._send, args=(remote,), daemon=True).start()

    def ready(self, now: float) -> bool:
        """Whether it may be given a job: after a failure one at a time, and not before its time."""
        if self.trouble:
            return now >= self.retry_at and self.in_flight == 0
        return self.in_flight < IN_FLIGHT

    def submit(self, job: Job) -> None:
        """Give a job to the threads."""
        self.in_flight += 1
        self._jobs.put(job)

    def collect(self, now: float) -> bool:
        """Act on the replies that came; True if there were any."""
        moved = False
        while self.results:
            job, reply = self.results.popleft()
            self.in_flight -= 1
            self._learn(reply, now)
            job.then(reply)
            moved = True
        return moved

    def _learn(self, reply: Reply, now: float) -> None:
        if reply.outcome is Outcome.LATER:
            # Full jitter, so that the nodes of a cluster do not come back as one.
            wait = random.uniform(0, min(BACKOFF_S_MAX, 0.5 * 2 ** min(self._failures, 8)))
            self._failures += 1
            self.trouble = reply.detail
            self.retry_at = now + max(wait, reply.retry_after or 0.0)
        elif reply.outcome is Outcome.REFUSED:
            self.refused = True
            self.trouble = reply.detail
            self.retry_at = now + REFUSED_RETRY_S
        else:
            self.refused = False
            self.trouble = ""
            self._failures = 0

    def _send(self, remote: Remote) -> None:
        while True:
            job = self._jobs.get()
            try:
                reply = job.send(remote)
            except Exception as error:  # noqa: BLE001 - a process boundary: nothing ends sending for good
                # A fault of ours must not stop other runs' rows: tried again like an outage.
                reply = Reply(Outcome.LATER, f"{type(error).__name__}: {error}")
            self.results.append((job, reply))
            self._wake()


# ---- What a process records into one run -----------------------------------------------


@dataclass
class _Call:
    """One call, with the end of the calls stream behind it."""

    content: dict[str, Any]
    piece: Piece
    number: int
    last: bool


@dataclass
class Opening:
    """One run as one process has it open: its writers, its calls in order, where they go."""

    run: str
    process: str
    intakes: dict[str, Intake] = field(default_factory=dict)
    """By writer."""
    calls: deque[_Call] = field(default_factory=deque)
    destination: Destination | None = None
    opened: dict[str, Any] | None = None
    """The open call, token included; kept for a server that asks again."""
    remote_run: str = ""
    registered: bool = False
    calling: bool = False
    retry: deque[tuple[Intake, Piece]] = field(default_factory=deque)
    spool: Spool | None = None
    spooled: int = 0
    """Records in the spool that no server acknowledged yet."""
    stuck_since: float | None = None
    flush: bool = False
    to_spool: bool = False
    ended: bool = False
    paused_until: float = 0.0
    heard: float = 0.0
    """When the server last acknowledged something of this run."""
    asks: list[tuple[Client, int]] = field(default_factory=list)

    @property
    def offline(self) -> bool:
        return bool(self.opened and self.opened.get("offline"))

    @property
    def flush_s(self) -> float:
        if self.flush or self.to_spool or self.opened is None:
            return 0.0
        return float(self.opened.get("flush_interval", 1.0))

    def kinds(self, *kinds: Kind) -> list[Intake]:
        return [intake for intake in self.intakes.values() if intake.kind in kinds]

    @property
    def owed(self) -> bool:
        return bool(self.calls) or any(intake.owed for intake in self.intakes.values())


class Client:
    """A simulation's process at the other end of the socket."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.buffer = b""
        self.runs: set[str] = set()

    def say(self, message: dict[str, Any]) -> None:
        # It may have died, or stopped reading: nobody waits for it.
        with contextlib.suppress(OSError):
            self.connection.send(json.dumps(message).encode() + b"\n", socket.MSG_DONTWAIT)


class Spool:
    """A spool file being written, and what of it is still to be delivered."""

    def __init__(self, directory: Path, keep: bool) -> None:
        self.file = SpoolFile(directory)
        self.keep = keep
        self.opened_runs: set[str] = set()
        self.pending: dict[Destination, deque[tuple[Path, int, Opening]]] = {}
        self.draining: set[Destination] = set()
        self.full = ""

    @property
    def drained(self) -> bool:
        return not any(self.pending.values())


# ---- The shipper ----------------------------------------------------------------------


class Shipper:
    """All of it; ``run`` is the main loop."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.openings: dict[tuple[str, str], Opening] = {}
        self.destinations: dict[tuple[str, str], Destination] = {}
        self.spools: dict[tuple[Path, bool], Spool] = {}
        self.clients: dict[int, Client] = {}
        self.linger_s = 0.0
        self.terminating: float | None = None
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._drain_wakes)
        self._listen()
        self._log = logging.getLogger("simvue.shipper")
        self._listed = -1
        self._looked = 0.0
        self._idle_since: float | None = None

    def _listen(self) -> None:
        path = f"/proc/self/fd/{self.runtime.fd}/{SOCKET_NAME}"
        self.runtime.remove(SOCKET_NAME)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(128)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def wake(self) -> None:
        """End the main loop's sleep; called from any thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"w")

    def _drain_wakes(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    # ---- The loop ---------------------------------------------------------------------

    def run(self) -> None:
        """Ship until there is nobody left to ship for."""
        poll = POLL_S_MIN
        while True:
            for key, _ in self._selector.select(poll):
                key.data()
            moved = self.step(time.monotonic())
            poll = POLL_S_MIN if moved else min(poll * 1.5, POLL_S_MAX)
            flushes = [o.flush_s for o in self.openings.values() if not o.ended]
            # A short flush interval is kept to within a quarter of itself.
            poll = min([poll, *(max(f / 4, POLL_S_MIN) for f in flushes)])
            if self._may_leave(time.monotonic()):
                return

    def step(self, now: float) -> bool:
        """Do all that is due; True if anything moved."""
        moved = False
        for destination in self.destinations.values():
            moved |= destination.collect(now)
        self._look(now)
        for key, opening in list(self.openings.items()):
            if self._serve_safely(opening, now):
                moved = True
                # Behind the others, so that a busy run leaves the server to them in turn.
                self.openings[key] = self.openings.pop(key)
        for spool in self.spools.values():
            moved |= self._drain(spool, now)
        for opening in list(self.openings.values()):
            for intake in opening.intakes.values():
                moved |= intake.settle()
            self._retire(opening)
        return moved

    def _may_leave(self, now: float) -> bool:
        if self.terminating is not None:
            settled = not any(o.owed for o in self.openings.values())
            undelivered = any(d.in_flight for d in self.destinations.values()) or not all(
                spool.drained or spool.keep for spool in self.spools.values()
            )
            if (settled and not undelivered) or now >= self.terminating:
                self._finish()
                return True
            return False
        busy = any(o.opened is not None or not o.ended for o in self.openings.values())
        if busy or any(d.in_flight for d in self.destinations.values()):
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = now
            self._remove_dead()
        drained = all(spool.drained or spool.keep for spool in self.spools.values())
        if now - self._idle_since < (
            LEAVE_AFTER_S if drained else max(LEAVE_AFTER_S, self.linger_s)
        ):
            return False
        self._finish()
        return True

    def _finish(self) -> None:
        for spool in self.spools.values():
            spool.file.finish(delivered=spool.drained and not spool.keep)
        self.runtime.remove(SOCKET_NAME)

    def terminate(self) -> None:
        """Put everything owed into the spool first, then try the servers for a few seconds."""
        self.terminating = time.monotonic() + TERMINATE_S
        for opening in self.openings.values():
            opening.to_spool = True

    # ---- Look: what is in the runtime directory ------------------------------------------

    def _look(self, now: float) -> None:
        # A change within the clock tick of the last listing would show no newer time, so a
        # young directory is listed again.
        if now - self._looked >= DEATHS_S:
            self._looked = now
            self._look_for_deaths()
        changed = os.fstat(self.runtime.fd).st_mtime_ns
        if changed == self._listed and time.time_ns() - changed > 100_000_000:
            return
        self._listed = changed
        for name in self.runtime.names():
            parsed = parse_segment_name(name)
            if parsed is None:
                continue
            process, run, kind, writer = parsed
            opening = self.openings.setdefault((process, run), Opening(run, process))
            intake = opening.intakes.get(writer)
            if intake is None:
                intake = opening.intakes[writer] = Intake(self.runtime, process, run, kind, writer)
            intake.adopt(name)

    def _look_for_deaths(self) -> None:
        alive = {process: is_alive(self.runtime, process) for process, _ in self.openings}
        for (process, _), opening in self.openings.items():
            if not alive[process]:
                # Nothing comes any more: what is there is all of it.
                opening.flush = True
                opening.ended = True

    def _remove_dead(self) -> None:
        for process in list_processes(self.runtime):
            if not is_alive(self.runtime, process):
                remove_process(self.runtime, process)

    def _retire(self, opening: Opening) -> None:
        """Remove the files of a run that its process closed, or that died, once nothing is owed."""
        if not opening.ended or opening.owed or opening.calling or opening.retry:
            return
        for intake in opening.intakes.values():
            intake.remove()
        del self.openings[opening.process, opening.run]
        self._listed = -1

    # ---- Serve: one run -------------------------------------------------------------------

    def _serve_safely(self, opening: Opening, now: float) -> bool:
        if now < opening.paused_until:
            return False
        try:
            return self._serve(opening, now)
        except Exception:  # noqa: BLE001 - a process boundary: nothing stops another run's rows
            # Its rows stay in their segments, and it is tried again.
            self._log.exception("run %s of process %s", opening.run, opening.process)
            opening.paused_until = now + 1.0
            return False

    def _serve(self, opening: Opening, now: float) -> bool:
        moved = self._read_calls(opening, now)
        if opening.opened is None and not self._inherit(opening):
            # Rows before their open call: it is being written, or its process was forked and
            # its parent's opening is on its way into this table.
            return moved
        ready = self._is_ready(opening, now)
        if opening.stuck_since is None and not ready and opening.owed:
            opening.stuck_since = now
        if self._must_spool(opening, now):
            return self._spool_all(opening, now) or moved
        if not ready:
            return moved
        destination = opening.destination
        assert destination is not None
        moved |= self._send_call(opening, destination)
        if opening.registered:
            moved |= self._send_rows(opening, destination, now)
            self._beat(opening, destination, now)
        return moved

    def _read_calls(self, opening: Opening, now: float) -> bool:
        moved = False
        for intake in opening.kinds("calls"):
            for piece in intake.take(now, 0.0, 0, lambda count: b""):
                contents = list(_split_calls(piece.body))
                for number, content in enumerate(contents, piece.first):
                    call = _Call(content, piece, number, number == piece.end - 1)
                    opening.calls.append(call)
                    if content["call"] == "open":
                        self._open(opening, content)
                moved = True
        return moved

    def _open(self, opening: Opening, content: dict[str, Any]) -> None:
        opening.opened = content
        opening.remote_run = opening.run
        self.linger_s = max(self.linger_s, float(content.get("linger", 0.0)))
        opening.spool = self._spool_at(Path(content["cache"]), keep=opening.offline)
        if not opening.offline:
            opening.destination = self._destination(content["server"], opening.spool)

    def _inherit(self, opening: Opening) -> bool:
        """Let a forked child's rows go where its parent's run goes."""
        for other in self.openings.values():
            if other.run == opening.run and other.opened is not None:
                opening.opened = other.opened
                opening.destination = other.destination
                opening.remote_run = other.remote_run
                opening.spool = other.spool
                opening.registered = other.registered
                return True
        return False

    def _destination(self, server: dict[str, Any], spool: Spool | None) -> Destination:
        key = (server["url"], server["token"])
        destination = self.destinations.get(key)
        if destination is None:
            destination = self.destinations[key] = Destination(
                server["url"],
                server["token"],
                server.get("token_source"),
                server.get("ca_file"),
                self.wake,
            )
        if spool is not None and destination not in spool.pending:
            spool.pending[destination] = deque()
            self._adopt_spooled(spool, destination)
        return destination

    def _is_ready(self, opening: Opening, now: float) -> bool:
        return opening.destination is not None and opening.destination.ready(now)

    def _send_call(self, opening: Opening, destination: Destination) -> bool:
        if not opening.calls or opening.calling or opening.spooled:
            return False
        call = opening.calls[0]
        if call.content["call"] != "open" and not self._settled_before(opening, call):
            return False
        opening.calling = True
        run, content = opening.remote_run, _without_token(call.content)

        def then(reply: Reply) -> None:
            opening.calling = False
            self._called(opening, call, reply)

        destination.submit(Job(lambda remote: delivery.deliver_call(remote, run, content), then))
        return True

    def _settled_before(self, opening: Opening, call: _Call) -> bool:
        """Whether the rows that the call's process had logged before it are all settled."""
        for writer, row in call.content.get("after", {}).items():
            intake = opening.intakes.get(writer)
            if intake is not None:
                intake.settle()
                if intake.settled < row:
                    return False
        return True

    def _called(self, opening: Opening, call: _Call, reply: Reply) -> None:
        if reply.outcome is Outcome.UNKNOWN_RUN and call.content["call"] != "open":
            self._register_again(opening)
            return
        name = call.content["call"]
        if name == "open":
            self._answer_asks(opening, reply)
        if reply.outcome in (
            Outcome.LATER,
            Outcome.REFUSED,
            Outcome.TOO_LARGE,
            Outcome.UNKNOWN_RUN,
        ):
            return
        if not opening.calls or opening.calls[0] is not call:
            return  # It went to the spool meanwhile; done twice it changes nothing.
        opening.calls.popleft()
        if reply.outcome in (Outcome.REJECTED, Outcome.GONE):
            self._set_aside(
                opening,
                Record(
                    RecordKind.CALL,
                    opening.run,
                    "0" * 22,
                    call.number,
                    call.number + 1,
                    json.dumps(_without_token(call.content)).encode(),
                ),
                reply,
            )
        else:
            self._acknowledged(opening, reply)
            if name == "open":
                opening.registered = True
                if isinstance(reply.content, dict) and reply.content.get("id"):
                    opening.remote_run = reply.content["id"]
        self._finish_call(opening, call)

    def _finish_call(self, opening: Opening, call: _Call) -> None:
        if call.content["call"] == "end":
            opening.ended = True
        if call.last:
            call.piece.done = True

    def _register_again(self, opening: Opening) -> None:
        """A server that does not know the run, restored from a backup say, is told again."""
        opening.registered = False
        assert opening.opened is not None
        if not opening.calls or opening.calls[0].content["call"] != "open":
            lost = Piece(0, 0, b"")
            opening.calls.appendleft(_Call(opening.opened, lost, 0, False))

    def _answer_asks(self, opening: Opening, reply: Reply) -> None:
        for client, number in opening.asks:
            client.say(
                {
                    "answer": number,
                    "outcome": reply.outcome.name,
                    "detail": reply.detail,
                    "content": reply.content if isinstance(reply.content, dict) else None,
                }
            )
        opening.asks.clear()

    def _send_rows(self, opening: Opening, destination: Destination, now: float) -> bool:
        moved = False
        while opening.retry and destination.ready(now):
            intake, piece = opening.retry.popleft()
            if not piece.done:
                self._submit(opening, destination, intake, piece)
                moved = True
        for intake in opening.kinds("metrics", "events"):
            if not destination.ready(now):
                break
            kind, run = intake.kind, opening.remote_run
            assert kind != "calls"
            for piece in intake.take(now, opening.flush_s, BODY_SIZE_MIN, _header_maker(run, kind)):
                self._submit(opening, destination, intake, piece)
                moved = True
                if not destination.ready(now):
                    break
        if moved:
            opening.stuck_since = None
        return moved

    def _submit(
        self, opening: Opening, destination: Destination, intake: Intake, piece: Piece
    ) -> None:
        kind, writer = intake.kind, intake.writer

        def then(reply: Reply) -> None:
            self._sent(opening, intake, piece, reply)

        destination.submit(
            Job(
                lambda remote: delivery.deliver_body(
                    remote, kind, writer, piece.first, piece.end, piece.body
                ),
                then,
            )
        )

    def _sent(self, opening: Opening, intake: Intake, piece: Piece, reply: Reply) -> None:
        if reply.outcome is Outcome.DONE:
            piece.done = True
            self._acknowledged(opening, reply)
        elif reply.outcome in (Outcome.REJECTED, Outcome.GONE):
            self._set_aside(opening, _as_record(intake, piece), reply)
            piece.done = True
        else:
            if reply.outcome is Outcome.UNKNOWN_RUN:
                self._register_again(opening)
            opening.retry.append((intake, piece))

    def _acknowledged(self, opening: Opening, reply: Reply) -> None:
        opening.heard = time.monotonic()
        opening.stuck_since = None
        if isinstance(reply.content, dict) and reply.content.get("abort"):
            self._abort(opening)

    def _abort(self, opening: Opening) -> None:
        for client in self.clients.values():
            if opening.run in client.runs:
                client.say({"abort": opening.run})

    def _beat(self, opening: Opening, destination: Destination, now: float) -> None:
        if opening.ended or opening.opened is None or opening.opened.get("created"):
            return
        timeout = opening.opened.get("timeout") or 180.0
        if now - opening.heard < min(HEARTBEAT_S_MAX, timeout / 3) or not destination.ready(now):
            return
        opening.heard = now
        run = opening.remote_run

        def then(reply: Reply) -> None:
            if reply.outcome is Outcome.DONE:
                self._acknowledged(opening, reply)

        destination.submit(Job(lambda remote: delivery.deliver_heartbeat(remote, run), then))

    # ---- Spool: what cannot go now ------------------------------------------------------------

    def _must_spool(self, opening: Opening, now: float) -> bool:
        if opening.spool is None:
            return False
        if opening.offline or opening.to_spool:
            return opening.owed
        if opening.spooled and opening.calls and not opening.calling:
            return True
        return (
            opening.stuck_since is not None
            and now - opening.stuck_since >= SPOOL_AFTER_S
            and opening.owed
        )

    def _spool_all(self, opening: Opening, now: float) -> bool:
        """Append all that is due of a run to its spool, rows before the calls behind them."""
        spool = opening.spool
        assert spool is not None
        records: list[Record] = []
        done: list[Piece] = []
        if opening.run not in spool.opened_runs and opening.opened is not None:
            content = _without_token(opening.opened)
            records.append(
                Record(RecordKind.CALL, opening.run, "0" * 22, 0, 1, json.dumps(content).encode())
            )
        opening.retry.clear()
        # What stands before a call goes before it, however young.
        flush_s = 0.0 if opening.calls else opening.flush_s
        for intake in opening.kinds("metrics", "events"):
            for piece in intake.waiting():
                records.append(_as_record(intake, piece))
                done.append(piece)
            kind = intake.kind
            assert kind != "calls"
            for piece in intake.take(now, flush_s, BODY_SIZE_MIN, _header_maker(opening.run, kind)):
                records.append(_as_record(intake, piece))
                done.append(piece)
        calls = list(opening.calls)
        for call in calls:
            if call.content["call"] == "open" and opening.run not in spool.opened_runs:
                continue
            records.append(
                Record(
                    RecordKind.CALL,
                    opening.run,
                    "0" * 22,
                    call.number,
                    call.number + 1,
                    json.dumps(_without_token(call.content)).encode(),
                )
            )
        if not records or (len(records) == 1 and not done and not calls):
            return False
        try:
            for record in records:
                offset, _ = spool.file.append(record)
                if opening.destination is not None:
                    assert spool.file.path is not None
                    spool.pending[opening.destination].append((spool.file.path, offset, opening))
                    opening.spooled += 1
            spool.file.sync()
        except (SpoolFull, OSError) as error:
            if not spool.full:
                spool.full = str(error)
                self._warn(opening, f"nothing more can be kept on disk: {error}")
            return False
        spool.full = ""
        spool.opened_runs.add(opening.run)
        for piece in done:
            piece.done = True
        for call in calls:
            opening.calls.popleft()
            self._finish_call(opening, call)
        if opening.asks:
            trouble = opening.destination.trouble if opening.destination else ""
            self._answer_asks(opening, Reply(Outcome.LATER, trouble))
        opening.stuck_since = now
        return True

    def _warn(self, opening: Opening, text: str) -> None:
        for client in self.clients.values():
            if opening.run in client.runs:
                client.say({"warn": text})

    def _spool_at(self, cache: Path, keep: bool) -> Spool:
        directory = cache / "spool"
        if (directory, keep) not in self.spools:
            self.spools[directory, keep] = Spool(directory, keep)
        return self.spools[directory, keep]

    def _adopt_spooled(self, spool: Spool, destination: Destination) -> None:
        """Take over what shippers before this one on this node left for *destination*."""
        for path in list_files(spool.file.directory):
            if path == spool.file.path or not path.name.startswith(f"{os.uname().nodename}-"):
                continue
            urls: dict[str, str | None] = {}
            found: list[tuple[Path, int, Opening]] = []
            try:
                for offset, record in read_records(path):
                    if record.kind is RecordKind.CALL and record.run not in urls:
                        call = json.loads(record.payload)
                        urls[record.run] = (call.get("server") or {}).get("url")
                    if urls.get(record.run) == destination.url:
                        found.append((path, offset, Opening(record.run, "", spooled=1)))
            except (SpoolDamaged, ValueError, OSError):
                pass  # The whole records before the damage go; 'simvue doctor' names the file.
            spool.pending[destination].extend(found)

    def _drain(self, spool: Spool, now: float) -> bool:
        moved = False
        for destination, pending in spool.pending.items():
            if not pending or destination in spool.draining or not destination.ready(now):
                continue
            path, offset, opening = pending[0]
            spool.draining.add(destination)
            destination.submit(self._drain_job(spool, destination, path, offset, opening))
            moved = True
        return moved

    def _drain_job(
        self, spool: Spool, destination: Destination, path: Path, offset: int, opening: Opening
    ) -> Job:
        records: list[Record] = []

        def send(remote: Remote) -> Reply:
            record = read_record(path, offset)
            records.append(record)
            return deliver_record(remote, record)

        def then(reply: Reply) -> None:
            spool.draining.discard(destination)
            if reply.outcome in (Outcome.LATER, Outcome.REFUSED, Outcome.TOO_LARGE):
                return
            if reply.outcome is not Outcome.DONE:
                self._set_aside(opening, records[0], reply, spool.file.directory)
            elif records[0].kind is RecordKind.CALL:
                opening.registered = True
            spool.pending[destination].popleft()
            opening.spooled -= 1
            self._acknowledged(opening, reply)
            if not any(entry[0] == path for entry in spool.pending[destination]):
                self._dispose(spool, path)

        return Job(send, then)

    def _dispose(self, spool: Spool, path: Path) -> None:
        """Remove a file of which everything is delivered."""
        if any(entry[0] == path for pending in spool.pending.values() for entry in pending):
            return
        if path == spool.file.path:
            spool.file.finish(delivered=True)
            spool.opened_runs.clear()
        else:
            path.unlink(missing_ok=True)

    def _set_aside(
        self, opening: Opening, record: Record, reply: Reply, directory: Path | None = None
    ) -> None:
        """Keep what the server rejects, with its answer beside it; it is not sent again by itself."""
        if directory is None:
            assert opening.spool is not None
            directory = opening.spool.file.directory
        file = SpoolFile(directory / "rejected")
        file.append(record)
        file.sync()
        assert file.path is not None
        file.path.with_suffix(".answer").write_text(f"{reply.detail}\n", encoding="utf-8")
        file.finish(delivered=False)
        self._warn(
            opening, f"the server does not take some rows or changes of this run: {reply.detail}"
        )

    # ---- The socket ------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("3i", credentials)[1] != os.geteuid():
            connection.close()
            return
        connection.setblocking(False)
        client = Client(connection)
        self.clients[connection.fileno()] = client
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._hear(client))

    def _hear(self, client: Client) -> None:
        try:
            received = client.connection.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._selector.unregister(client.connection)
            del self.clients[client.connection.fileno()]
            client.connection.close()
            self._look_for_deaths()
            return
        *lines, client.buffer = (client.buffer + received).split(b"\n")
        for line in lines:
            self._take(client, json.loads(line))

    def _take(self, client: Client, message: dict[str, Any]) -> None:
        now = time.monotonic()
        if "open" in message:
            self._listed = -1
            self._look(now)
            client.runs.add(message["open"])
            opening = self.openings.get((message["process"], message["open"]))
            if opening is None:
                client.say(
                    {"answer": message["ask"], "outcome": "LATER", "detail": "no such run here"}
                )
                return
            opening.asks.append((client, message["ask"]))
            self._read_calls(opening, now)
            destination = opening.destination
            if destination is not None and destination.trouble and now < destination.retry_at:
                # It did not answer the run before this one either: nobody waits twice.
                outcome = Outcome.REFUSED if destination.refused else Outcome.LATER
                self._answer_asks(opening, Reply(outcome, destination.trouble))
        elif "hello" in message:
            client.runs.update(message["hello"])
        elif "find" in message:
            self._find(client, message)
        else:
            for opening in list(self.openings.values()):
                if opening.run == message.get("forget"):
                    self._forget(opening)
                if opening.run == message.get("flush"):
                    opening.flush = True
                if opening.run == message.get("spool"):
                    opening.to_spool = True

    def _forget(self, opening: Opening) -> None:
        """Drop a run that the server refused while its ``init`` waited: the caller was told."""
        opening.calls.clear()
        opening.ended = True
        for intake in opening.intakes.values():
            intake.remove()

    def _find(self, client: Client, message: dict[str, Any]) -> None:
        destination = self._destination(message["server"], None)
        name = message["find"]

        def then(reply: Reply) -> None:
            client.say(
                {
                    "answer": message["ask"],
                    "outcome": reply.outcome.name,
                    "detail": reply.detail,
                    "content": reply.content,
                }
            )

        destination.submit(Job(lambda remote: delivery.find_run(remote, name), then))


def deliver_record(remote: Remote, record: Record) -> Reply:
    """Send one spooled record as it would have gone live."""
    if record.kind is RecordKind.CALL:
        return delivery.deliver_call(remote, record.run, json.loads(record.payload))
    kind = record.kind.name.lower()
    return delivery.deliver_body(
        remote, kind, record.writer, record.first, record.end, record.payload
    )


def _header_maker(run: str, kind: wire.Kind) -> Callable[[int], bytes]:
    return lambda count: wire.body_header(run, kind, count)


def _as_record(intake: Intake, piece: Piece) -> Record:
    kind = RecordKind[intake.kind.upper()]
    return Record(kind, intake.run, intake.writer, piece.first, piece.end, piece.body)


def _split_calls(rows: bytes) -> list[dict[str, Any]]:
    """Decode calls: each a u32 big-endian size and that much JSON."""
    calls = []
    at = 0
    while at < len(rows):
        size = int.from_bytes(rows[at : at + 4], "big")
        calls.append(json.loads(rows[at + 4 : at + 4 + size]))
        at += 4 + size
    return calls


def _without_token(call: dict[str, Any]) -> dict[str, Any]:
    """Return the call as it may lie on a disk."""
    if not call.get("server"):
        return call
    return {**call, "server": {"url": call["server"]["url"]}}


def _take_office(runtime: Runtime) -> bool:
    """Lock the node's one place for a shipper, for as long as this process lives."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    lock = os.open(LOCK_NAME, flags, 0o600, dir_fd=runtime.fd)
    for _ in range(100):
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if runtime.has(SOCKET_NAME):
                return False
        # The one before us has closed its door and is about to go.
        time.sleep(0.02)
    return False


def main() -> int:
    """Run as the node's shipper; return at once if there is one already."""
    # Whatever a launcher left open (a pipe it waits for) is not ours to hold.
    os.closerange(3, 4096)
    with contextlib.suppress(OSError):
        os.setsid()
    with contextlib.suppress(OSError):
        os.nice(10)
    with contextlib.suppress(OSError, ValueError):
        # A launcher pins its ranks; the shipper takes what is free.
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    runtime = Runtime.open()
    if not _take_office(runtime):
        return 0
    logging.basicConfig(
        filename=os.path.join(runtime.path, "shipper.log"),
        filemode="w",
        format="%(asctime)s %(message)s",
    )
    shipper = Shipper(runtime)
    signal.signal(signal.SIGTERM, lambda *_: shipper.terminate())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    shipper.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
