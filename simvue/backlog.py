"""What could not be sent and lies in the spool, and its way to the server when that is back."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from simvue import delivery
from simvue.delivery import Outcome, Reply
from simvue.destination import Destination
from simvue.remote import Remote
from simvue.spool import (
    Record,
    RecordKind,
    Rejected,
    SpoolDamaged,
    SpoolFile,
    list_files,
    read_record,
    read_records,
)
from simvue.wire import replace_run


@dataclass(frozen=True)
class _Entry:
    """A record on disk that is still to go."""

    path: Path
    offset: int
    run: str


@dataclass
class _Waiting:
    """A run of which something is still to go."""

    opening: _Entry
    """Its open call, kept for a server that has to be told again."""
    remote_run: str
    count: int = 0
    known: bool = False
    """Whether the server took a record of it, and so knows it."""


class Backlog:
    """One spool directory: a file being written, and per destination what is still to go.

    With *keep*, nothing is sent from here: the runs are offline, and ``simvue ship`` sends
    them.  Records of one destination go one after another, so calls stay behind their rows.
    *arrived* is called with the run, its id on the server, and the reply.
    """

    def __init__(
        self, directory: Path, keep: bool, arrived: Callable[[str, str, Reply], None]
    ) -> None:
        self.directory = directory
        self.keep = keep
        self.rejected = Rejected(directory)
        self._file = SpoolFile(directory)
        self._arrived = arrived
        self._pending: dict[Destination, deque[_Entry]] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._sending: set[Destination] = set()
        self._opened: set[str] = set()
        self._foreign: dict[Path, set[str | None]] = {}
        """Of files that others wrote: the servers that its runs are for and that were not adopted
        yet.  None stands for no server, and for what is damaged."""

    @property
    def is_drained(self) -> bool:
        """Whether nothing waits here for a server."""
        return not self._waiting

    def waits_for(self, run: str) -> bool:
        """Whether something of *run* is still to go."""
        return run in self._waiting

    def holds_opening(self, run: str) -> bool:
        """Whether the file being written has the open call of *run*: rows need it before them."""
        return run in self._opened

    def add(self, destination: Destination | None, records: Iterable[Record]) -> None:
        """Put *records* on disk, in this order; they are safe when this returns.

        The first of a run in a file is its open call.  Raises SpoolFull or OSError; what was
        written before is then sent all the same, and the server stores it once.
        """
        for record in records:
            offset, _ = self._file.append(record)
            assert self._file.path is not None
            self._opened.add(record.run)
            if destination is not None:
                self._await(destination, _Entry(self._file.path, offset, record.run))
        self._file.sync()

    def adopt(self, destination: Destination) -> None:
        """Take over what shippers before this one on this node left for *destination*."""
        if destination in self._pending:
            return
        self._pending[destination] = deque()
        mine = f"{os.uname().nodename}-"
        for path in list_files(self.directory):
            if path == self._file.path or not path.name.startswith(mine):
                continue
            urls: dict[str, str | None] = {}
            is_whole = False
            try:
                for offset, record in read_records(path):
                    if record.run not in urls:
                        urls[record.run] = url_of_opening(record)
                    if urls[record.run] == destination.url:
                        self._await(destination, _Entry(path, offset, record.run))
                is_whole = True
            except (SpoolDamaged, ValueError, OSError):
                # The whole records before the damage go; the file stays for 'simvue ship'.
                pass
            foreign = self._foreign.setdefault(
                path, set(urls.values()) | (set() if is_whole else {None})
            )
            foreign.discard(destination.url)

    def drain(self, now: float) -> bool:
        """Send the next record of every destination that takes one; True if any went."""
        moved = False
        for destination, pending in self._pending.items():
            if pending and destination not in self._sending and destination.is_ready(now):
                self._send(destination, pending[0])
                moved = True
        return moved

    def finish(self) -> None:
        """End the file being written; the next shipper, or ``simvue ship``, goes on with it."""
        self._file.finish(delivered=self.is_drained and not self.keep)
        self.rejected.finish()

    def _await(self, destination: Destination, entry: _Entry) -> None:
        self._pending[destination].append(entry)
        waiting = self._waiting.setdefault(entry.run, _Waiting(entry, entry.run))
        waiting.count += 1

    def _send(self, destination: Destination, entry: _Entry) -> None:
        self._sending.add(destination)
        waiting = self._waiting[entry.run]
        sent: list[Record] = []

        def send(remote: Remote) -> Reply:
            try:
                sent.append(read_record(entry.path, entry.offset))
            except FileNotFoundError:
                # 'simvue ship' removes a file once all of it is delivered.
                return Reply(Outcome.DONE)
            return deliver_record(remote, sent[0], waiting.remote_run)

        def then(reply: Reply) -> None:
            self._sending.discard(destination)
            if reply.outcome in (Outcome.LATER, Outcome.REFUSED, Outcome.TOO_LARGE):
                return
            if reply.outcome is Outcome.UNKNOWN_RUN and waiting.known:
                # A server restored from a backup, say: it is told of the run once more.
                waiting.known = False
                waiting.count += 1
                self._pending[destination].appendleft(waiting.opening)
                return
            if reply.outcome is Outcome.DONE:
                waiting.known = True
                if isinstance(reply.content, dict) and entry == waiting.opening:
                    waiting.remote_run = reply.content.get("id") or entry.run
                self._arrived(entry.run, waiting.remote_run, reply)
            else:
                self.rejected.add(sent[0], reply.detail)
            self._pending[destination].popleft()
            waiting.count -= 1
            if not waiting.count:
                del self._waiting[entry.run]
            self._dispose(entry.path)

        destination.submit(send, then)

    def _dispose(self, path: Path) -> None:
        """Remove a file once all of it is delivered."""
        if any(entry.path == path for pending in self._pending.values() for entry in pending):
            return
        if path == self._file.path:
            self._file.finish(delivered=True)
            self._opened.clear()
        elif not self._foreign.get(path):
            path.unlink(missing_ok=True)


def deliver_record(remote: Remote, record: Record, run: str) -> Reply:
    """Send one spooled record to the *run* of the server as it would have gone live."""
    if record.kind is RecordKind.CALL:
        return delivery.deliver_call(remote, run, json.loads(record.payload))
    return delivery.deliver_body(
        remote,
        "metrics" if record.kind is RecordKind.METRICS else "events",
        record.writer,
        record.first,
        record.end,
        replace_run(record.payload, run),
    )


def url_of_opening(record: Record) -> str | None:
    """Return the server that an open call names; None for an offline run or any other record."""
    if record.kind is not RecordKind.CALL:
        return None
    server = json.loads(record.payload).get("server") or {}
    url = server.get("url")
    return str(url) if url else None
