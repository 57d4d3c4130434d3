"""What could not be sent and lies in the spool, and its way to the server when that is back."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simvue.calls import deliver_call
from simvue.delivery import Outcome, Reply, deliver_body
from simvue.destination import Destination
from simvue.parcels import KINDS, Parcels, merge
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
from simvue.staging import located
from simvue.wire import replace_run

_UNRESOLVED_S: Final = 60.0
"""Between two tries of a run that the server has not found yet; somebody has to make it."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A record on disk that is still to go."""

    path: Path
    offset: int
    run: str
    artifact: str = ""
    """The artifact that it has uploaded; such records overtake others and are overtaken."""


@dataclass
class _Waiting:
    """A run of which something is still to go."""

    opening: _Entry
    """Its open call, kept for a server that has to be told again."""
    count: int = 0
    known: bool = False
    """Whether the server took a record of it, and so knows it."""
    told_for: _Entry | None = None
    """The record of which the server said that it does not know the run, before it was told."""
    uploads: int = 0
    """How many artifacts are still to go, beside those that have to keep their order."""


@dataclass
class _Held:
    """All that is to go of a run of which the server cannot say yet which it is."""

    retry_at: float
    parcels: Parcels[_Entry]


class Backlog:
    """One spool directory: a file being written, and per destination what is still to go.

    With *keep*, nothing is sent from here: the runs are offline, and ``simvue ship`` sends
    them.  Parcels of one destination go one after another, so calls stay behind their rows.
    *arrived* is called with the run, its id on the server, and the reply, for every parcel that
    the server took, or never will take.  Uploads go beside the others (uploads.py).
    """

    def __init__(
        self, directory: Path, keep: bool, arrived: Callable[[str, str, Reply], None]
    ) -> None:
        self.directory = directory
        self.keep = keep
        self.rejected = Rejected(directory)
        self._file = SpoolFile(directory)
        self._arrived = arrived
        self._pending: dict[Destination, Parcels[_Entry]] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._held: dict[tuple[Destination, str], _Held] = {}
        self._remote_runs: dict[str, str] = {}
        """The server's ids of runs, where they are not ours."""
        self._owed: Counter[Path] = Counter()
        """How many records of a file are still to go."""
        self._sending: set[Destination] = set()
        self._uploading: list[tuple[Destination, _Entry]] = []
        self._openings: dict[str, _Entry] = {}
        """Of the runs in the file being written: their open calls."""
        self._foreign: dict[Path, set[str | None]] = {}
        """Of files that others wrote: the servers that its runs are for and that were not adopted
        yet.  None stands for no server, and for what is damaged."""

    @property
    def is_drained(self) -> bool:
        """Whether nothing waits here for a server."""
        return not self._waiting

    def waits_for(self, run: str) -> bool:
        """Whether something of *run* is still to go that others must not overtake."""
        return run in self._waiting and self._waiting[run].count > 0

    def owes(self, run: str) -> bool:
        """Whether anything of *run* is still to go."""
        return run in self._waiting

    def is_moving(self, run: str) -> bool:
        """Whether what is to go of *run* is on its way, and may be there soon."""
        return any(
            entry.run == run and not (destination.trouble or destination.uploads.trouble)
            for destination, entry in self._uploading
        )

    def trouble_of(self, run: str) -> str:
        """Say why the artifacts of *run* do not arrive; empty if they do, or there are none."""
        troubles = (d.uploads.trouble for d, entry in self._uploading if entry.run == run)
        return next(filter(None, troubles), "")

    def holds_back(self, run: str) -> bool:
        """Whether *run* is one that the server has to find first: its rows wait here for that."""
        return any(run == held for _, held in self._held)

    def holds_opening(self, run: str) -> bool:
        """Whether the file being written has the open call of *run*: rows need it before them."""
        return run in self._openings

    def add(
        self,
        destination: Destination | None,
        records: Iterable[Record],
        remote_run: str | None = None,
    ) -> None:
        """Put *records* on disk, in this order; they are safe when this returns.

        The first of a run in a file is its open call; where the server has the run already, as
        *remote_run*, it is kept for whoever sends the file without knowing that.  Raises
        SpoolFull or OSError; what was written before is then sent all the same, and the server
        stores it once.
        """
        for record in records:
            offset, _ = self._file.append(record)
            assert self._file.path is not None
            entry = _Entry(self._file.path, offset, record.run, artifact_of(record))
            opening = self._openings.setdefault(record.run, entry)
            if destination is not None and (remote_run is None or entry is not opening):
                self._await(destination, entry, record, remote_run)
        self._file.sync()

    def adopt(self, destination: Destination) -> None:
        """Take over what shippers before this one on this node left for *destination*."""
        if destination in self._pending:
            return
        self._pending[destination] = Parcels()
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
                        entry = _Entry(path, offset, record.run, artifact_of(record))
                        self._await(destination, entry, record)
                is_whole = True
            except (SpoolDamaged, ValueError, OSError):
                # The whole records before the damage go; the file stays for 'simvue ship'.
                pass
            foreign = self._foreign.setdefault(
                path, set(urls.values()) | (set() if is_whole else {None})
            )
            foreign.discard(destination.url)

    def drain(self, now: float) -> bool:
        """Send the next parcel of every destination that takes one; True if any went."""
        for key in [key for key, held in self._held.items() if now >= held.retry_at]:
            self._pending[key[0]].extend(self._held.pop(key).parcels)
        moved = False
        for destination, pending in self._pending.items():
            if destination in self._sending:
                continue
            while pending and pending.first[0].artifact:
                self._upload(destination, *pending.take())
            if pending and destination.is_ready(now):
                self._send(destination, pending.take())
                moved = True
        return moved

    def finish(self) -> None:
        """End the file being written; the next shipper, or ``simvue ship``, goes on with it."""
        self._file.finish(delivered=self.is_drained and not self.keep)
        self.rejected.finish()

    def _await(
        self,
        destination: Destination,
        entry: _Entry,
        record: Record,
        remote_run: str | None = None,
    ) -> None:
        waiting = self._waiting.setdefault(
            entry.run, _Waiting(self._openings.get(entry.run, entry))
        )
        if remote_run is not None:
            waiting.known = True
            if remote_run != entry.run:
                self._remote_runs[entry.run] = remote_run
        waiting.count += 1
        self._owed[entry.path] += 1
        held = self._held.get((destination, entry.run))
        (held.parcels if held else self._pending[destination]).add(entry, record)

    def _hold(self, destination: Destination, run: str) -> None:
        """Take what is to go of *run* out of the others' way, for a while."""
        parcels = self._pending[destination].split(run)
        held = self._held.get((destination, run))
        if held is not None:
            # An artifact that was on its way by itself came back, and its opening with it.
            parcels.extend(held.parcels)
        self._held[destination, run] = _Held(time.monotonic() + _UNRESOLVED_S, parcels)

    def _send(self, destination: Destination, parcel: list[_Entry]) -> None:
        self._sending.add(destination)
        run = parcel[0].run
        pending, waiting = self._pending[destination], self._waiting[run]
        sent: list[Record] = []

        def then(reply: Reply) -> None:
            self._sending.discard(destination)
            if reply.outcome in (Outcome.LATER, Outcome.REFUSED, Outcome.TOO_LARGE):
                pending.put_back(run, parcel)
                return
            if reply.outcome is Outcome.UNRESOLVED:
                pending.put_back(run, parcel)
                self._hold(destination, run)
                return
            if reply.outcome is Outcome.UNKNOWN_RUN and waiting.known:
                pending.put_back(run, parcel)
                if waiting.told_for == parcel[0]:
                    # Telling it was no use: what registers the run lies somewhere else.
                    self._hold(destination, run)
                    return
                waiting.told_for = parcel[0]
                self._tell_again(destination, waiting)
                return
            if reply.outcome is Outcome.REJECTED and len(parcel) > 1:
                # One bad record is set aside alone, and is found by halving.
                middle = len(parcel) // 2
                pending.put_back(run, parcel[middle:])
                pending.put_back(run, parcel[:middle])
                return
            if reply.outcome is Outcome.DONE:
                waiting.known = True
                if sent and sent[0].kind is RecordKind.CALL and isinstance(reply.content, dict):
                    remote_run = reply.content.get("id") or run
                    if remote_run != run:
                        self._remote_runs[run] = remote_run
            waiting.count -= len(parcel)
            self._finish_parcel(parcel, sent, reply)

        destination.submit(self._delivery_of(parcel, sent), then)

    def _upload(self, destination: Destination, entry: _Entry) -> None:
        waiting = self._waiting[entry.run]
        waiting.count -= 1
        waiting.uploads += 1
        self._uploading.append((destination, entry))
        sent: list[Record] = []

        def then(reply: Reply) -> None:
            self._uploading.remove((destination, entry))
            waiting.uploads -= 1
            if reply.outcome is Outcome.UNKNOWN_RUN and waiting.known:
                waiting.count += 1
                self._pending[destination].put_back(entry.run, [entry])
                self._tell_again(destination, waiting)
                return
            self._finish_parcel([entry], sent, reply)

        destination.uploads.add(entry.artifact, self._delivery_of([entry], sent), then)

    def _delivery_of(self, parcel: list[_Entry], sent: list[Record]) -> Callable[[Remote], Reply]:
        """Return what reads and sends a parcel; it leaves the records in *sent*."""

        def send(remote: Remote) -> Reply:
            try:
                sent[:] = [read_record(entry.path, entry.offset) for entry in parcel]
            except FileNotFoundError as error:
                # 'simvue ship' removes a file once all of it is delivered.  The others of a
                # parcel may lie in a file that is there.
                return Reply(Outcome.DONE if len(parcel) == 1 else Outcome.REJECTED, str(error))
            except SpoolDamaged as error:
                return Reply(Outcome.REJECTED, str(error), error)
            run = self._remote_runs.get(parcel[0].run, parcel[0].run)
            return deliver_record(remote, merge(sent), run, self.directory)

        return send

    def _tell_again(self, destination: Destination, waiting: _Waiting) -> None:
        """Tell a server of a run that it knew once, and was restored from a backup since, say."""
        waiting.known = False
        waiting.count += 1
        opening = waiting.opening
        self._owed[opening.path] += 1
        self._pending[destination].put_back(opening.run, [opening])

    def _finish_parcel(self, parcel: list[_Entry], sent: list[Record], reply: Reply) -> None:
        """Note that a parcel is on the server, or will never be."""
        if reply.outcome is not Outcome.DONE:
            if sent:
                self.rejected.add(merge(sent), reply.detail)
            elif isinstance(reply.content, SpoolDamaged):
                # Its file is kept, for 'simvue ship' to set aside.
                self._foreign.setdefault(parcel[0].path, set()).add(None)
        run = parcel[0].run
        self._arrived(run, self._remote_runs.get(run, run), reply)
        waiting = self._waiting[run]
        if not waiting.count and not waiting.uploads:
            del self._waiting[run]
        self._owed.subtract(entry.path for entry in parcel)
        for path in {entry.path for entry in parcel}:
            if not self._owed[path]:
                self._dispose(path)

    def _dispose(self, path: Path) -> None:
        """Put away a file of which all is delivered that can be."""
        del self._owed[path]
        is_delivered = not self._foreign.get(path)
        if path == self._file.path:
            self._file.finish(is_delivered)
            self._openings.clear()
        elif is_delivered:
            path.unlink(missing_ok=True)


def deliver_record(remote: Remote, record: Record, run: str, directory: Path) -> Reply:
    """Send a record of the spool *directory* to the *run* of the server, as it would go live."""
    if record.kind is RecordKind.CALL:
        return deliver_call(remote, run, located(directory, json.loads(record.payload)))
    return deliver_body(
        remote,
        KINDS[record.kind],
        record.writer,
        record.first,
        record.end,
        replace_run(record.payload, run),
    )


def artifact_of(record: Record) -> str:
    """Return the id of the artifact that a record has uploaded; empty for any other."""
    call = record.call
    return str(call["artifact"]["id"]) if call.get("call") == "artifact" else ""


def url_of_opening(record: Record) -> str | None:
    """Return the server that an open call names; None for an offline run or any other record."""
    if record.kind is not RecordKind.CALL:
        return None
    server = json.loads(record.payload).get("server") or {}
    url = server.get("url")
    return str(url) if url else None
