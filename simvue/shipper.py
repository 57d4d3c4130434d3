"""The shipper: the other process, one a user and node; segments -> bodies -> server.

::

    main thread   owns every segment word, every spool file, every decision
       look       the runtime directory: new writers, dead processes
       serve      each run: its calls, its rows, its heartbeat
       spool      what waits longer than about a second, so that its segment goes back
       drain      the spool, when the server is back
       settle     what is acknowledged or on disk, back to the writers
    threads, a few a destination   each one request at a time, and nothing else

It is started by the first ``Run.init`` (link.py), is nobody's child, and leaves when its
writers have ended and nothing is owed.  A new one begins where the words in the segments
stand.  docs/design/path.md tells the journey.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

from simvue import calls, delivery
from simvue.backlog import Backlog
from simvue.death import Witness
from simvue.delivery import Outcome, Reply
from simvue.destination import Destination
from simvue.exception import ConfigurationError
from simvue.intake import Intake, Piece
from simvue.opening import Call, Opening, Source, own_call, without_token
from simvue.registrations import find_run
from simvue.resources import Meter, Sampler
from simvue.runtime import (
    LOCK_NAME,
    SOCKET_NAME,
    Runtime,
    is_alive,
    list_processes,
    parse_segment_name,
    remove_process,
)
from simvue.spool import Record, SpoolFull
from simvue.stream import Event
from simvue.switchboard import Client, Switchboard
from simvue.wire import replace_run

BODY_SIZE_MIN: Final = 1 << 20
"""A body goes out before its time once it has this size; chosen: larger ones gain little."""

FLOW_SIZE: Final = 256 << 10
"""A step that took so many bytes is followed by another at once; a first segment's size."""

POLL_S_MIN: Final = 0.001
POLL_S_MAX: Final = 0.1
"""Fast while bytes flow, backing off when they do not: a writer that fills a segment, a reply
and a message end the sleep by themselves."""

SPOOL_AFTER_S: Final = 1.0
"""Rows that wait longer than this go to disk, so that shared memory is about a second deep."""

LEAVE_AFTER_S: Final = 2.0
"""Chosen: longer than between two runs of a parameter scan, so they share a shipper."""

DEATHS_S: Final = 1.0
"""Between two looks for processes that died without a link; the others are seen at once."""

HEARTBEAT_S_MAX: Final = 60.0
"""What official clients keep to; a third of the run's timeout if that is shorter."""

REGISTER_AGAIN_S: Final = 5.0
"""Between two tries of rows whose run is registered elsewhere, and is not yet; chosen."""

REFUSAL_S: Final = 1.0
"""Within so long a ``reconnect`` that raises has said so; nothing of it is put on disk before."""

TERMINATE_S: Final = 5.0
"""What a scheduler grants between SIGTERM and SIGKILL, at the least."""


class Shipper:
    """All of the main thread; ``run`` is its loop."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._board = Switchboard(runtime, self._take, self._hang_up)
        self._sampler = Sampler(self._board.wake)
        self._openings: dict[tuple[str, str], Opening] = {}
        self._asks: dict[tuple[str, str], list[tuple[Client, int]]] = {}
        """Questions of ``init`` that wait for the answer to an open call, by opening."""
        self._destinations: dict[str, Destination] = {}
        self._backlogs: dict[tuple[Path, bool], Backlog] = {}
        self._complained: set[str] = set()
        self._log = logging.getLogger("simvue.shipper")
        self._linger_s = 0.0
        self._taken = 0
        """Bytes taken out of segments in all."""
        self._terminate_at: float | None = None
        self._idle_since: float | None = None
        self._listed_ns = -1
        self._looked = 0.0

    # ---- The loop ---------------------------------------------------------------------

    def run(self) -> None:
        """Ship until there is nobody left to ship for."""
        poll = POLL_S_MIN
        while not self._may_leave(time.monotonic()):
            self._board.wait(poll)
            try:
                flowing = self.step(time.monotonic())
            except Exception:  # noqa: BLE001 - a process boundary: a fault must not end shipping
                # What was not settled is still in its segments, and is looked at again.
                self._log.exception("a step failed")
                flowing = False
            poll = POLL_S_MIN if flowing else min(poll * 1.5, POLL_S_MAX)
            now = time.monotonic()
            for opening in self._openings.values():
                poll = min(poll, max(opening.due_s(now), POLL_S_MIN))
        for backlog in self._backlogs.values():
            backlog.finish()
        self._remove_dead()
        self._board.close()

    def step(self, now: float) -> bool:
        """Do all that is due; True if bytes flow, so that more of them are likely soon."""
        for destination in self._destinations.values():
            destination.collect(now)
        self._look(now)
        before = self._taken
        # Those first whose ``init`` waits for an answer.
        for key in sorted(self._openings, key=lambda key: key not in self._asks):
            opening = self._openings[key]
            if self._serve_safely(opening, now):
                # Behind the others, so that a busy run leaves the server to them in turn.
                self._openings[key] = self._openings.pop(key)
        for backlog in self._backlogs.values():
            backlog.drain(now)
        for key, opening in list(self._openings.items()):
            for intake in opening.intakes.values():
                intake.settle()
            if opening.meter is not None:
                opening.meter.settle()
            if opening.died:
                opening.end_children()
            if opening.ended and not (opening.owed or opening.calling or opening.retry):
                if opening.died and not opening.mourned:
                    opening.mourn()
                elif not opening.describe_writers(now):
                    self._remove(key)
        return self._taken - before >= FLOW_SIZE

    def terminate(self) -> None:
        """Put everything owed on disk first, then try the servers for a few seconds."""
        self._terminate_at = time.monotonic() + TERMINATE_S
        for opening in self._openings.values():
            opening.to_spool = True
        self._board.wake()

    def _may_leave(self, now: float) -> bool:
        under_way = any(d.in_flight or d.uploads.under_way for d in self._destinations.values())
        drained = all(backlog.is_drained for backlog in self._backlogs.values())
        if self._terminate_at is not None:
            owed = any(opening.owed for opening in self._openings.values())
            return now >= self._terminate_at or (drained and not owed and not under_way)
        # Rows of a dead process whose open call never came have nowhere to go; they stay.
        busy = any(o.opened is not None or not o.ended for o in self._openings.values())
        if busy or under_way:
            self._idle_since = None
            return False
        if self._idle_since is None:
            self._idle_since = now
        return now - self._idle_since >= max(LEAVE_AFTER_S, 0.0 if drained else self._linger_s)

    # ---- Look: what is in the runtime directory ------------------------------------------

    def _look(self, now: float) -> None:
        if now - self._looked >= DEATHS_S:
            self._looked = now
            self._look_for_deaths()
        changed_ns = os.fstat(self._runtime.fd).st_mtime_ns
        # Two changes within one tick of the kernel's clock show the same time, so a
        # directory is listed again until its last change is well past.
        if changed_ns == self._listed_ns and time.time_ns() - changed_ns > 100_000_000:
            return
        self._listed_ns = changed_ns
        self._list()

    def _list(self) -> None:
        for name in self._runtime.names():
            parsed = parse_segment_name(name)
            if parsed is None:
                continue
            process, run, kind, writer = parsed
            opening = self._openings.setdefault((process, run), Opening(run, process))
            if writer not in opening.intakes:
                opening.intakes[writer] = Intake(self._runtime, process, run, kind, writer)
            opening.intakes[writer].adopt(name)

    def _look_for_deaths(self) -> None:
        for process in {process for process, _ in self._openings}:
            if is_alive(self._runtime, process):
                continue
            for opening in self._openings.values():
                if opening.process == process:
                    # Nothing comes any more: what is there is all of it.
                    opening.flush = opening.ended = opening.died = True

    def _remove(self, key: tuple[str, str]) -> None:
        """Remove the files of a run that was closed, or whose process died."""
        opening = self._openings[key]
        if opening.opened is None and opening.owed:
            return
        for intake in opening.intakes.values():
            intake.remove()
        if opening.witness is not None:
            opening.witness.close()
        del self._openings[key]

    def _remove_dead(self) -> None:
        """Remove the entries of processes that are dead and owe nothing."""
        owing = {process for process, _ in self._openings}
        for process in list_processes(self._runtime):
            if process not in owing and not is_alive(self._runtime, process):
                remove_process(self._runtime, process)

    # ---- Serve: one run -------------------------------------------------------------------

    def _serve_safely(self, opening: Opening, now: float) -> bool:
        if now < opening.paused_until:
            return False
        try:
            return self._serve(opening, now)
        except Exception:  # noqa: BLE001 - a process boundary: nothing stops another run's rows
            # Its rows stay where they are, and it is tried again.
            self._log.exception("run %s of process %s", opening.run, opening.process)
            opening.paused_until = now + 1.0
            return False

    def _serve(self, opening: Opening, now: float) -> bool:
        moved = self._read_calls(opening, now)
        if opening.opened is None and not self._adopt(opening) and not self._inherit(opening):
            # Its open call is being written; a listing may show rows before it.
            return moved
        self._measure(opening, now)
        opening.describe_writers(now)
        destination = opening.destination
        ready = destination is not None and destination.is_ready(now)
        if not ready and opening.stuck_since is None and opening.owed:
            opening.stuck_since = now
        if self._must_spool(opening, now):
            return self._spool(opening, now) or moved
        if destination is None or not ready:
            return moved
        moved |= self._send_call(opening, destination)
        if opening.registered:
            moved |= self._send_rows(opening, destination, now)
            self._beat(opening, destination, now)
            destination.listen(self._hear)
        return moved

    def _read_calls(self, opening: Opening, now: float) -> bool:
        calls = opening.take_calls(now)
        for call in calls:
            if call.is_open:
                opening.open_count += 1
                if opening.opened is None or not call.content.get("joined"):
                    self._open(opening, call.content)
            opening.heed(call.content)
        if calls:
            # Rows that the calls stand behind may lie in segments made since the last listing.
            self._list()
        return bool(calls)

    def _open(self, opening: Opening, content: dict[str, Any]) -> None:
        opening.opened = content
        opening.remote_run = opening.run
        if content.get("resources"):
            opening.meter = Meter(content["resources"], Path(content["cache"]))
        self._linger_s = max(self._linger_s, float(content["linger"]))
        backlog = self._backlog(opening)
        if opening.offline:
            return
        try:
            opening.destination = self._destination(content["server"])
        except ConfigurationError as error:
            opening.to_spool = True
            self._answer(opening, Reply(Outcome.REFUSED, str(error)))
        else:
            backlog.adopt(opening.destination)

    def _adopt(self, opening: Opening) -> bool:
        """Go on with a run that an earlier shipper registered, or has the opening of on disk."""
        content = opening.read_open_call()
        if content is None:
            return False
        self._open(opening, content)
        for call in opening.read_first_calls():
            opening.heed(call)
        if opening.meter is not None:
            opening.meter.adopts = True
        opening.open_count += 1
        opening.registered = True
        return True

    def _inherit(self, opening: Opening) -> bool:
        for other in self._openings.values():
            if other.run == opening.run and other.opened is not None:
                opening.inherit(other)
                return True
        return False

    def _measure(self, opening: Opening, now: float) -> None:
        if opening.meter is None or opening.pid is None or opening.ended:
            return
        root = opening.meter.ask(now, opening.pid)
        if root is not None:
            self._sampler.submit(opening.meter, root)

    def _destination(self, server: dict[str, Any]) -> Destination:
        # Whoever mends a certificate or a proxy's password is not to meet the old one here.
        key = repr([server.get(name) for name in ("url", "token", "ca_file", "proxy")])
        if key not in self._destinations:
            self._destinations[key] = Destination(server, self._board.wake)
        return self._destinations[key]

    def _backlog(self, opening: Opening) -> Backlog:
        assert opening.opened is not None
        key = (Path(opening.opened["cache"]) / "spool", opening.offline)
        if key not in self._backlogs:
            self._backlogs[key] = Backlog(*key, self._arrived)
        return self._backlogs[key]

    def _send_call(self, opening: Opening, destination: Destination) -> bool:
        if not opening.calls or opening.calling or self._backlog(opening).waits_for(opening.run):
            return False
        call = opening.calls[0]
        if not call.is_open and not opening.is_settled_before(call):
            return False
        if call.is_artifact:
            return self._keep_artifact(opening, call)
        opening.calling = True
        run, content = opening.remote_run, without_token(call.content)

        def then(reply: Reply) -> None:
            opening.calling = False
            self._called(opening, call, reply)

        if call.creates_run:
            destination.registrations.add(content, then)
        else:
            destination.submit(lambda remote: calls.deliver_call(remote, run, content), then)
        return True

    def _keep_artifact(self, opening: Opening, call: Call) -> bool:
        """Put an artifact's call on disk, where its content is; it is uploaded from there."""
        records = [opening.record_of_call(call)]
        backlog = self._backlog(opening)
        if not backlog.holds_opening(opening.run):
            records.insert(0, self._record_of_opening(opening))
        try:
            backlog.add(opening.destination, records, opening.remote_run)
        except (SpoolFull, OSError) as error:
            self._complain(opening.run, Reply(Outcome.LATER, f"nothing fits on disk: {error}"))
            return False
        opening.finish(call)
        return True

    def _called(self, opening: Opening, call: Call, reply: Reply) -> None:
        was_awaited = call.is_open and self._answer(opening, reply)
        if reply.outcome is Outcome.UNKNOWN_RUN and not call.is_open:
            self._register_again(opening)
            return
        if reply.outcome is Outcome.UNRESOLVED:
            # Who waits for this answer raises, and forgets the run.  Else it goes on by way of the
            # disk, until the server has such a run.
            opening.paused_until = time.monotonic() + REFUSAL_S
            opening.stuck_since = -math.inf
            if not was_awaited:
                detail = f"{reply.detail}; its data waits on disk"
                self._complain(opening.run, Reply(Outcome.LATER, detail))
            return
        waits = (Outcome.LATER, Outcome.REFUSED, Outcome.TOO_LARGE, Outcome.UNKNOWN_RUN)
        if reply.outcome in waits or not opening.calls or opening.calls[0] is not call:
            # The last: it went to disk meanwhile.  Done twice, it changes nothing.
            return
        if reply.outcome is Outcome.DONE:
            if call.is_open:
                opening.registered = True
                opening.remote_run = (reply.content or {}).get("id") or opening.run
            self._acknowledge(opening, reply)
        elif not was_awaited:
            self._set_aside(opening, opening.record_of_call(call), reply)
            # Without its opening the server takes no rows: they follow it aside, by way of disk.
            opening.to_spool = opening.to_spool or call.is_open
        opening.finish(call)

    def _register_again(self, opening: Opening) -> None:
        """Tell a server that does not know the run, restored from a backup say, once more."""
        opening.registered = False
        creator = self._creator(opening.run)
        if creator is None:
            # Some other node's shipper registers it; rows are tried again then.
            opening.registered = True
            opening.paused_until = time.monotonic() + REGISTER_AGAIN_S
        elif not opening.calls or not opening.calls[0].is_open:
            assert creator.opened is not None
            opening.calls.appendleft(own_call(creator.opened))

    def _record_of_opening(self, opening: Opening) -> Record:
        """Return what lets whoever sends the spool make the run, or find it, if need be."""
        return (self._creator(opening.run) or opening).record_of_opening()

    def _creator(self, run: str) -> Opening | None:
        """Return the opening of *run* that can have a server make it, or find it, again."""
        return next((o for o in self._openings.values() if o.run == run and o.creates), None)

    def _send_rows(self, opening: Opening, destination: Destination, now: float) -> bool:
        moved = False
        while opening.retry and destination.is_ready(now):
            intake, piece = opening.retry.popleft()
            if not piece.done:
                self._send_piece(opening, destination, intake, piece)
                moved = True
        for intake in opening.rows:
            # A piece is copied out of its segment when it is asked for, so none too many is.
            pieces = intake.take(
                now, opening.flush_s, BODY_SIZE_MIN, opening.header_of(intake.kind)
            )
            while destination.is_ready(now):
                due = next(pieces, None)
                if due is None:
                    break
                self._taken += len(due.body)
                self._send_piece(opening, destination, intake, due)
                moved = True
        if moved:
            opening.stuck_since = None
        return moved

    def _send_piece(
        self, opening: Opening, destination: Destination, intake: Source, piece: Piece
    ) -> None:
        kind = intake.kind
        assert kind != "calls"
        # It may have been made before the server said that it has another id for the run.
        body = replace_run(piece.body, opening.remote_run)

        def then(reply: Reply) -> None:
            if reply.outcome is Outcome.DONE:
                piece.done = True
                self._acknowledge(opening, reply)
            elif reply.outcome in (Outcome.REJECTED, Outcome.GONE):
                self._set_aside(opening, opening.record_of_rows(intake, piece), reply)
                piece.done = True
            else:
                if reply.outcome is Outcome.UNKNOWN_RUN:
                    self._register_again(opening)
                elif reply.outcome is Outcome.REFUSED:
                    self._complain(opening.run, reply)
                opening.retry.append((intake, piece))

        destination.submit(
            lambda remote: delivery.deliver_body(
                remote, kind, intake.writer, piece.first, piece.end, body
            ),
            then,
            len(body),
        )

    def _acknowledge(self, opening: Opening, reply: Reply) -> None:
        opening.heard = time.monotonic()
        opening.stuck_since = None
        if isinstance(reply.content, dict) and reply.content.get("abort"):
            self._board.tell(opening.run, {"abort": opening.run})

    def _hear(self, destination: Destination, event: Event) -> None:
        """Act on what the server says unasked."""
        name, content = event
        there = [o for o in self._openings.values() if o.destination is destination]
        if name == "hello":
            # What it said before was said to nobody: the answers to heartbeats say it again.
            for opening in there:
                opening.heard = 0.0
        elif name == "abort":
            for run in {o.run for o in there if o.remote_run == content["run"]}:
                self._board.tell(run, {"abort": run})

    def _arrived(self, run: str, remote_run: str, reply: Reply) -> None:
        """Note that a record of *run* went from the disk to the server, or was set aside."""
        if reply.outcome is not Outcome.DONE:
            self._complain(run, reply)
            return
        for opening in self._openings.values():
            if opening.run == run:
                opening.registered = True
                opening.remote_run = remote_run
                self._acknowledge(opening, reply)

    def _beat(self, opening: Opening, destination: Destination, now: float) -> None:
        assert opening.opened is not None
        if opening.ended or opening.opened["created"] or not destination.is_ready(now):
            return
        silence = (opening.opened["run"] or {}).get("heartbeat_timeout") or 3 * HEARTBEAT_S_MAX
        if now - opening.heard < min(HEARTBEAT_S_MAX, silence / 3):
            return
        opening.heard = now
        run = opening.remote_run

        def then(reply: Reply) -> None:
            if reply.outcome is Outcome.DONE:
                self._acknowledge(opening, reply)

        destination.submit(lambda remote: delivery.deliver_heartbeat(remote, run), then)

    # ---- Spool: what cannot go now ------------------------------------------------------------

    def _must_spool(self, opening: Opening, now: float) -> bool:
        if not opening.owed:
            return False
        backlog = self._backlog(opening)
        if opening.offline or opening.to_spool or backlog.holds_back(opening.run):
            return True
        waits = opening.calls and not opening.calling
        if waits and backlog.waits_for(opening.run):
            # A call stays behind the rows before it, which lie on disk.
            return True
        return opening.stuck_since is not None and now - opening.stuck_since >= SPOOL_AFTER_S

    def _spool(self, opening: Opening, now: float) -> bool:
        """Put all that is due of a run on disk, rows before the calls behind them."""
        backlog = self._backlog(opening)
        opening.stuck_since = now
        opening.retry.clear()
        calls = list(opening.calls)
        # What stands before a call goes before it, however young.
        flush_s = 0.0 if calls else opening.flush_s
        pieces: list[tuple[Source, Piece]] = []
        for intake in opening.rows:
            header = opening.header_of(intake.kind)
            pieces += [(intake, piece) for piece in intake.waiting()]
            pieces += [(intake, p) for p in intake.take(now, flush_s, BODY_SIZE_MIN, header)]
        if not pieces and not calls:
            return False
        self._taken += sum(len(piece.body) for _, piece in pieces)
        records = [opening.record_of_rows(intake, piece) for intake, piece in pieces]
        records += [opening.record_of_call(call) for call in calls]
        if not backlog.holds_opening(opening.run) and not (calls and calls[0].is_open):
            records.insert(0, self._record_of_opening(opening))
        elif calls and calls[0].is_open:
            records.insert(0, records.pop(len(pieces)))
        try:
            backlog.add(
                opening.destination, records, opening.remote_run if opening.registered else None
            )
        except (SpoolFull, OSError) as error:
            self._complain(opening.run, Reply(Outcome.LATER, f"nothing more fits on disk: {error}"))
            opening.retry.extend(pieces)
            return False
        for _, piece in pieces:
            piece.done = True
        for call in calls:
            opening.finish(call)
        trouble = opening.destination.trouble if opening.destination else ""
        outcome = Outcome.DONE if opening.offline else Outcome.LATER
        self._answer(opening, Reply(outcome, trouble or "the server is busy"))
        return True

    def _set_aside(self, opening: Opening, record: Record, reply: Reply) -> None:
        self._backlog(opening).rejected.add(record, reply.detail)
        self._complain(opening.run, reply)

    def _complain(self, run: str, reply: Reply) -> None:
        """Tell the user once what the server, or the disk, does not take."""
        text = f"run {run}: {reply.detail}"
        if reply.outcome is not Outcome.LATER:
            text = f"the server does not take some data of run {run}: {reply.detail}"
        if text not in self._complained:
            self._complained.add(text)
            self._log.warning("%s", text)
            self._board.tell(run, {"warn": text})

    # ---- What the links say -------------------------------------------------------------------

    def _take(self, client: Client, message: dict[str, Any]) -> None:
        if "open" in message:
            self._take_open(client, message["ask"], (message["process"], message["open"]))
        elif "find" in message:
            number, name = message["ask"], message["find"]
            self._destination(message["server"]).submit(
                lambda remote: find_run(remote, name),
                lambda reply: client.answer(number, reply),
            )
        elif "left" in message:
            run = message["left"]
            owing = [backlog for backlog in self._backlogs.values() if backlog.owes(run)]
            left = {
                "directory": next((str(backlog.directory) for backlog in owing), None),
                "moving": any(backlog.is_moving(run) for backlog in owing),
                "trouble": "".join(backlog.trouble_of(run) for backlog in owing),
            }
            client.answer(message["ask"], Reply(Outcome.DONE, content=left))
        elif "hello" in message:
            for run in message["hello"]:
                client.runs.add(run)
                self._watch(client, (message["process"], run))
        else:
            self._take_wish(message)

    def _take_wish(self, message: dict[str, Any]) -> None:
        wish, run = next((w, message[w]) for w in ("flush", "spool", "forget") if w in message)
        opening = self._openings.get((message["process"], run))
        if opening is None:
            return
        if wish == "flush":
            opening.flush = True
        elif wish == "spool":
            opening.to_spool = True
        else:
            # ``init`` raised: the caller knows that there is no run.
            opening.calls.clear()
            for intake in opening.intakes.values():
                intake.remove()
            opening.meter = None
            opening.ended = True

    def _hang_up(self) -> None:
        """A link ended, and its process most likely with it."""
        self._look_for_deaths()
        self._remove_dead()

    def _take_open(self, client: Client, number: int, key: tuple[str, str]) -> None:
        now = time.monotonic()
        client.runs.add(key[1])
        self._asks.setdefault(key, []).append((client, number))
        self._listed_ns = -1
        self._look(now)
        opening = self._openings.get(key)
        if opening is None:
            return
        self._watch(client, key)
        self._read_calls(opening, now)
        destination = opening.destination
        if opening.reply is not None:
            # The call was seen, and carried out, before the question came.
            self._answer(opening, opening.reply)
        elif destination is not None and destination.is_waiting(now):
            # It did not answer the run before this one either: nobody waits twice.
            outcome = Outcome.REFUSED if destination.refused else Outcome.LATER
            self._answer(opening, Reply(outcome, destination.trouble))

    def _watch(self, client: Client, key: tuple[str, str]) -> None:
        """Have somebody see how the process ends."""
        opening = self._openings.get(key)
        if opening is not None and opening.witness is None:
            opening.pid = client.pid
            opening.witness = Witness(client.pid)

    def _answer(self, opening: Opening, reply: Reply) -> bool:
        """Answer those who wait for the open call of *opening*; False if nobody does."""
        opening.reply = reply
        waiting = self._asks.pop((opening.process, opening.run), [])
        for client, number in waiting:
            client.answer(number, reply)
        return bool(waiting)


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
        # The one before us has shut its door and is about to go.
        time.sleep(0.02)
    return False


def main() -> int:
    """Run as the node's shipper; return at once if there is one."""
    # Whatever a launcher left open, a pipe it waits for say, is not ours to hold.
    os.closerange(3, 4096)
    with contextlib.suppress(OSError):
        os.setsid()
    with contextlib.suppress(OSError):
        os.nice(10)
    with contextlib.suppress(OSError, AttributeError):
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
