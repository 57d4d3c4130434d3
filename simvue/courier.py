"""The courier: carries what lies in a spool directory to the server, on demand.

``simvue ship`` runs one where no shipper will: after an offline run, on a log-in node, from
cron.  Any number may run at once, and beside a shipper that is still writing: rows are
numbered and calls repeat harmlessly, so what two of them send is stored once.

::

    spool/*.open      carried as far as it goes, again and again; kept: it may be written still
    spool/*.done      carried, then removed
    spool/damaged/    sealed files of which only the whole records could be carried
    spool/rejected/   records that the server does not take, the answer beside them
"""

from __future__ import annotations

import contextlib
import enum
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from simvue.backlog import deliver_record, url_of_opening
from simvue.delivery import Outcome, Reply
from simvue.exception import ServerError
from simvue.parcels import KINDS, Parcels, merge
from simvue.reading import Found, Reading, rows_of
from simvue.remote import Remote, route
from simvue.spool import Record, RecordKind, Rejected, list_files, read_record

_SILENT_MAX: Final = 3
"""So many runs in a row that the server is too ill to take: it is the server, not the runs."""

DAMAGED: Final = "damaged"
"""The folder beside the files for those that were damaged while they lay there."""


class End(enum.Enum):
    """How the carrying of one file ended."""

    DELIVERED = "delivered"
    STILL_OPEN = "delivered so far; it may still be written"
    DAMAGED = "damaged; its whole records are delivered, and it is kept"
    UNREADABLE = "cannot be read, and is kept"
    ELSEWHERE = "kept, as it has runs for another server"
    UNRESOLVED = "kept, as the server has to know a run first"
    STOPPED = "stopped"


@dataclass
class Delivery:
    """What became of one file: rows the server has now, rows it had before, records set aside."""

    path: Path
    end: End = End.STOPPED
    reason: str = ""
    runs: set[str] = field(default_factory=set)
    rows: int = 0
    known: int = 0
    rejected: int = 0

    @property
    def is_kept(self) -> bool:
        """Whether some of it cannot go there at all, now or later."""
        return self.rejected > 0 or self.end in (End.DAMAGED, End.UNREADABLE, End.ELSEWHERE)


class Courier:
    """Carries the spool files of *directory* to *remote*, oldest first.

    *advance* is called with the bytes and rows of each parcel that is looked at.  A run that was
    recorded for another address goes only with *any_server*: the address of this server may have
    changed, or a tunnel lead to it.  *chosen* says which runs are meant by names, or ids, that
    were reconnected to while nobody could be asked.
    """

    def __init__(
        self,
        directory: Path,
        remote: Remote,
        advance: Callable[[int, int], None] = lambda size, rows: None,
        any_server: bool = False,
        chosen: Mapping[str, str] | None = None,
    ) -> None:
        self._directory = directory
        self._remote = remote
        self._advance = advance
        self._any_server = any_server
        self._chosen = chosen or {}
        self.rejected = Rejected(directory)
        self._stored: dict[str, dict[str, list[list[int]]]] = {}
        self._remote_runs: dict[str, str] = {}
        self._openings: dict[str, Record] = {}
        self._readings: dict[str, Reading] = {}
        """By the file's name without its suffix, which changes when it is sealed."""
        self._held: dict[str, tuple[End, str]] = {}
        """Runs that have to wait for the next time, and why."""
        self._silent = 0
        self._until = math.inf
        self._is_late = False
        self._has_created = False
        self.trouble = ""
        """Why the last ``carry`` did not deliver everything; empty if it did."""
        self.unresolved: dict[str, str] = {}
        """Of the runs that it did not find: by what they were reconnected to, and why not."""

    @property
    def size(self) -> int:
        """Bytes that are to be carried, as far as is known."""
        total = 0
        for path in list_files(self._directory):
            with contextlib.suppress(FileNotFoundError):
                total += max(0, path.stat().st_size - self._reading(path).offset)
        return total

    def carry(self, tell: Callable[[Delivery], None], until: float = math.inf) -> bool:
        """Carry every file once, telling of each that has something new.

        No request is begun after *until* on the monotonic clock.  Returns False, and ``trouble``
        says why, if the server did not take all of it by then.  A sealed file of which all is
        delivered is removed, a damaged one set aside.  A run whose records the server cannot take
        now is held back for this time, and the others go on.
        """
        self._until = until
        self._is_late = False
        self._held.clear()
        self._stored.clear()
        self._silent = 0
        self.trouble = ""
        self.unresolved.clear()
        self._has_created = False
        try:
            self._carry_files(tell)
            if self.unresolved and self._has_created:
                # What creates a run may lie in a file behind the one that goes on with it.
                self._held = {r: why for r, why in self._held.items() if why[0] is End.STOPPED}
                self.unresolved.clear()
                self._carry_files(tell)
        finally:
            self.rejected.finish()
        return not self.trouble and not self.unresolved

    def _carry_files(self, tell: Callable[[Delivery], None]) -> None:
        for path in list_files(self._directory):
            if self._is_stopped:
                return
            reading = self._reading(path)
            before = reading.offset
            delivery = Delivery(path)
            self._carry_file(delivery, reading)
            if reading.offset != before or delivery.end is not End.STILL_OPEN:
                tell(delivery)

    @property
    def _is_stopped(self) -> bool:
        return self._silent >= _SILENT_MAX or self._is_late

    def _reading(self, path: Path) -> Reading:
        return self._readings.setdefault(path.stem, Reading())

    def _carry_file(self, delivery: Delivery, reading: Reading) -> None:
        path = delivery.path
        try:
            for parcel in reading.gather(path, self._advance):
                if time.monotonic() >= self._until:
                    self._is_late = True
                    self.trouble = delivery.reason = "the time is up"
                    return
                self._carry_parcel(parcel, delivery, reading)
                self._advance(
                    sum(found.size for found in parcel),
                    sum(rows_of(found.record) for found in parcel),
                )
                if self._is_stopped:
                    return
        except FileNotFoundError:
            sealed = path.with_suffix(".done")
            if sealed != path and sealed.exists():
                delivery.path = sealed
                self._carry_file(delivery, reading)
                return
            # Another courier, or its shipper, delivered and removed it.
            delivery.end = End.DELIVERED
            self._readings.pop(path.stem, None)
            return
        except (OSError, ValueError) as error:
            delivery.end, delivery.reason = End.UNREADABLE, str(error)
            return
        delivery.rejected = len(reading.refused)
        if not reading.undone:
            self._finish(delivery, reading)

    def _finish(self, delivery: Delivery, reading: Reading) -> None:
        """Note how the file ended, and take it out of the way if nothing more is to come of it."""
        path = delivery.path
        delivery.reason = (
            reading.flaws[0] if reading.flaws else next(iter(reading.refused.values()), "")
        )
        if path.suffix == ".open":
            # Whoever writes it seals or removes it; what is refused stays in it until then.
            delivery.end = End.DAMAGED if reading.flaws else End.STILL_OPEN
            return
        if not reading.is_sealed and not reading.flaws:
            reading.flaws.append(f"{path} was cut short: its end is missing")
            delivery.reason = reading.flaws[0]
        delivery.end = End.DAMAGED if reading.flaws else End.DELIVERED
        # Another courier may be doing the same.
        with contextlib.suppress(FileNotFoundError):
            for offset, answer in reading.refused.items():
                self.rejected.add(read_record(path, offset), answer)
            if reading.flaws:
                aside = path.parent / DAMAGED
                aside.mkdir(mode=0o700, exist_ok=True)
                path.rename(aside / path.name)
            else:
                path.unlink()
        self._readings.pop(path.stem, None)

    def _carry_parcel(self, parcel: list[Found], delivery: Delivery, reading: Reading) -> None:
        """Deliver what can go as one; what has to wait stays undone."""
        if parcel[0].record.kind is RecordKind.CALL:
            parcel = [replace(parcel[0], record=self._with_choice(parcel[0].record))]
        record = parcel[0].record
        delivery.runs.add(record.run)
        creates = bool(record.call.get("run"))
        end, reason = self._held.get(record.run, (None, ""))
        if end is not None and not (creates and end is End.UNRESOLVED):
            delivery.end, delivery.reason = end, reason
            return
        if creates:
            self._openings[record.run] = record
        elif record.call.get("call") == "open":
            self._openings.setdefault(record.run, record)
        if (url := self._elsewhere(record.run)) is not None:
            delivery.end, delivery.reason = End.ELSEWHERE, f"{url}; --any-server sends them here"
            return
        # Another sender may have been cut off within what is one parcel here.
        new: Parcels[Found] = Parcels()
        for found in parcel:
            if found.record.kind in KINDS and self._is_stored(found.record):
                delivery.known += rows_of(found.record)
                reading.settle(found.offset)
            else:
                new.add(found, found.record)
        while new and self._deliver_parcel(new.take(), delivery, reading):
            pass

    def _deliver_parcel(self, parcel: list[Found], delivery: Delivery, reading: Reading) -> bool:
        """Deliver what the server does not have; False if it has to wait."""
        run = parcel[0].record.run
        reply = self._deliver(merge([found.record for found in parcel]))
        if reply.outcome is Outcome.UNRESOLVED:
            self.unresolved[_key(self._openings[run])] = reply.detail
            delivery.end, delivery.reason = End.UNRESOLVED, reply.detail
            self._held[run] = delivery.end, delivery.reason
            return False
        if reply.outcome in (Outcome.LATER, Outcome.TOO_LARGE, Outcome.REFUSED):
            # A token that is refused is so for every run.
            self._silent = _SILENT_MAX if reply.outcome is Outcome.REFUSED else self._silent + 1
            self.trouble = delivery.reason = reply.detail
            delivery.end = End.STOPPED
            self._held[run] = delivery.end, delivery.reason
            return False
        self._silent = 0
        if reply.outcome is Outcome.REJECTED and len(parcel) > 1:
            # One bad record is set aside alone, and is found by halving.
            middle = len(parcel) // 2
            return all(
                self._deliver_parcel(half, delivery, reading)
                for half in (parcel[:middle], parcel[middle:])
            )
        for found in parcel:
            if reply.outcome is Outcome.DONE:
                delivery.rows += rows_of(found.record)
            else:
                reading.refused[found.offset] = reply.detail
            reading.settle(found.offset)
        return True

    def _with_choice(self, record: Record) -> Record:
        """Return *record*, where it opens a run that was chosen with that choice."""
        call = record.call
        if call.get("call") != "open" or call.get("run") or _key(record) not in self._chosen:
            return record
        call = {**call, "find": self._chosen[_key(record)], "provisional": record.run}
        return replace(record, payload=json.dumps(call).encode())

    def _elsewhere(self, run: str) -> str | None:
        """Return the other server that *run* was recorded for, None if it may go to this one."""
        opening = self._openings.get(run)
        url = url_of_opening(opening) if opening else None
        return None if self._any_server or url in (None, self._remote.url) else url

    def _deliver(self, record: Record) -> Reply:
        """Send *record*, telling the server of its run if it has forgotten."""
        reply = self._send(record)
        opening = self._openings.get(record.run)
        if reply.outcome is not Outcome.UNKNOWN_RUN or opening is None or opening is record:
            return reply
        known = self._send(opening)
        if known.outcome is not Outcome.DONE:
            return known
        reply = self._send(record)
        if reply.outcome is Outcome.UNKNOWN_RUN:
            # What registers the run lies in a file that is still to come.
            return Reply(Outcome.UNRESOLVED, f"there is no run {record.run}")
        return reply

    def _send(self, record: Record) -> Reply:
        try:
            run = self._remote_runs.get(record.run, record.run)
            reply = deliver_record(self._remote, record, run, self._directory)
        except (ValueError, LookupError, TypeError) as error:
            # Its checksum holds, so this is how it was written, and it stays so.
            return Reply(Outcome.REJECTED, f"not understood: {type(error).__name__}: {error}")
        if record is self._openings.get(record.run) and reply.outcome is Outcome.DONE:
            self._has_created |= bool(record.call.get("run"))
            content = reply.content if isinstance(reply.content, dict) else {}
            self._remote_runs[record.run] = content.get("id") or record.run
        return reply

    def _is_stored(self, record: Record) -> bool:
        """Ask the server, once a run, which rows it has: no progress is kept in side files."""
        if record.run not in self._stored:
            self._stored[record.run] = self._ask_stored(record.run)
        ranges = self._stored[record.run].get(record.writer, [])
        return any(first <= record.first and record.end <= end for first, end in ranges)

    def _ask_stored(self, run: str) -> dict[str, list[list[int]]]:
        try:
            remote_run = self._remote_runs.get(run, run)
            answer = self._remote.send("GET", route("runs", remote_run, "writers"))
        except ServerError:
            return {}
        return answer.content if answer.ok and isinstance(answer.content, dict) else {}


def _key(opening: Record) -> str:
    """Return the name or the id that a run was reconnected to."""
    return str(opening.call.get("find") or opening.run)
