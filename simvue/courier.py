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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from simvue.backlog import deliver_record, url_of_opening
from simvue.delivery import Outcome, Reply
from simvue.exception import ServerError
from simvue.remote import Remote, route
from simvue.spool import Flaw, Record, RecordKind, Rejected, list_files, read_record, walk

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


@dataclass
class _Place:
    """How far a file was carried by this courier; in its memory only, so it is never wrong."""

    offset: int = 0
    """All records before this byte are delivered, or among the refused."""
    done: set[int] = field(default_factory=set)
    """Where records behind it lie that are so, too."""
    refused: dict[int, str] = field(default_factory=dict)
    """Where a record lies that the server does not take, and its answer."""
    flaws: list[str] = field(default_factory=list)
    is_sealed: bool = False


class Courier:
    """Carries the spool files of *directory* to *remote*, oldest first.

    *advance* is called with the bytes and rows of each record that is looked at.  A run that was
    recorded for another address goes only with *any_server*: the address of this server may have
    changed, or a tunnel lead to it.
    """

    def __init__(
        self,
        directory: Path,
        remote: Remote,
        advance: Callable[[int, int], None] = lambda size, rows: None,
        any_server: bool = False,
    ) -> None:
        self._directory = directory
        self._remote = remote
        self._advance = advance
        self._any_server = any_server
        self.rejected = Rejected(directory)
        self._stored: dict[str, dict[str, list[list[int]]]] = {}
        self._remote_runs: dict[str, str] = {}
        self._openings: dict[str, Record] = {}
        self._places: dict[str, _Place] = {}
        """By the file's name without its suffix, which changes when it is sealed."""
        self._held: set[str] = set()
        self._silent = 0
        self.trouble = ""
        """Why the last ``carry`` did not deliver everything; empty if it did."""

    @property
    def size(self) -> int:
        """Bytes that are to be carried, as far as is known."""
        total = 0
        for path in list_files(self._directory):
            with contextlib.suppress(FileNotFoundError):
                total += max(0, path.stat().st_size - self._place(path).offset)
        return total

    def carry(self, tell: Callable[[Delivery], None]) -> bool:
        """Carry every file once, telling of each that has something new.

        Returns False, and ``trouble`` says why, if the server did not take all of it.  A sealed
        file of which all is delivered is removed, a damaged one set aside.  A run whose records
        the server cannot take now is held back for this time, and the others go on.
        """
        self._held.clear()
        self._stored.clear()
        self._silent = 0
        self.trouble = ""
        try:
            for path in list_files(self._directory):
                place = self._place(path)
                before = place.offset
                delivery = Delivery(path)
                self._carry_file(delivery, place)
                if place.offset != before or delivery.end is not End.STILL_OPEN:
                    tell(delivery)
                if self._is_stopped:
                    break
        finally:
            self.rejected.finish()
        return not self.trouble

    @property
    def _is_stopped(self) -> bool:
        return self._silent >= _SILENT_MAX

    def _place(self, path: Path) -> _Place:
        return self._places.setdefault(path.stem, _Place())

    def _carry_file(self, delivery: Delivery, place: _Place) -> None:
        path = delivery.path
        is_whole, begin = True, place.offset
        try:
            for offset, end, content in walk(path, place.offset):
                self._advance(end - begin, 0 if isinstance(content, Flaw) else _rows(content))
                begin = end
                if isinstance(content, Flaw):
                    if content.torn and path.suffix == ".open":
                        continue  # Its writer died, or is at it just now.
                    if content.reason not in place.flaws:
                        place.flaws.append(content.reason)
                    place.offset = end if is_whole else place.offset
                elif content.kind is RecordKind.END:
                    place.is_sealed = True
                else:
                    if offset not in place.done:
                        is_done = self._carry_record(content, offset, delivery, place)
                        if self._is_stopped:
                            return
                        if is_done:
                            place.done.add(offset)
                    is_whole &= offset in place.done
                    if is_whole:
                        place.offset = end
                        place.done.discard(offset)
        except FileNotFoundError:
            sealed = path.with_suffix(".done")
            if sealed != path and sealed.exists():
                delivery.path = sealed
                self._carry_file(delivery, place)
                return
            # Another courier, or its shipper, delivered and removed it.
            delivery.end = End.DELIVERED
            self._places.pop(path.stem, None)
            return
        except (OSError, ValueError) as error:
            delivery.end, delivery.reason = End.UNREADABLE, str(error)
            return
        delivery.rejected = len(place.refused)
        if is_whole:
            self._finish(delivery, place)

    def _finish(self, delivery: Delivery, place: _Place) -> None:
        """Note how the file ended, and take it out of the way if nothing more is to come of it."""
        path = delivery.path
        delivery.reason = place.flaws[0] if place.flaws else next(iter(place.refused.values()), "")
        if path.suffix == ".open":
            # Whoever writes it seals or removes it; what is refused stays in it until then.
            delivery.end = End.DAMAGED if place.flaws else End.STILL_OPEN
            return
        if not place.is_sealed and not place.flaws:
            place.flaws.append(f"{path} was cut short: its end is missing")
            delivery.reason = place.flaws[0]
        delivery.end = End.DAMAGED if place.flaws else End.DELIVERED
        # Another courier may be doing the same.
        with contextlib.suppress(FileNotFoundError):
            for offset, answer in place.refused.items():
                self.rejected.add(read_record(path, offset), answer)
            if place.flaws:
                aside = path.parent / DAMAGED
                aside.mkdir(mode=0o700, exist_ok=True)
                path.rename(aside / path.name)
            else:
                path.unlink()
        self._places.pop(path.stem, None)

    def _carry_record(self, record: Record, offset: int, delivery: Delivery, place: _Place) -> bool:
        """Deliver one record; False if it has to wait."""
        delivery.runs.add(record.run)
        if record.run in self._held:
            return False
        if record.call.get("call") == "open":
            self._openings.setdefault(record.run, record)
        if (url := self._elsewhere(record.run)) is not None:
            delivery.end, delivery.reason = End.ELSEWHERE, f"{url}; --any-server sends them here"
            return False
        if record.kind is not RecordKind.CALL and self._is_stored(record):
            delivery.known += _rows(record)
            return True
        reply = self._deliver(record)
        if reply.outcome in (Outcome.LATER, Outcome.TOO_LARGE, Outcome.REFUSED):
            # A token that is refused is so for every run.
            self._silent = _SILENT_MAX if reply.outcome is Outcome.REFUSED else self._silent + 1
            self._held.add(record.run)
            self.trouble = delivery.reason = reply.detail
            delivery.end = End.STOPPED
            return False
        self._silent = 0
        if reply.outcome is Outcome.DONE:
            delivery.rows += _rows(record)
        else:
            place.refused[offset] = reply.detail
        return True

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
        return self._send(record) if known.outcome is Outcome.DONE else known

    def _send(self, record: Record) -> Reply:
        try:
            run = self._remote_runs.get(record.run, record.run)
            reply = deliver_record(self._remote, record, run)
        except (ValueError, LookupError, TypeError) as error:
            # Its checksum holds, so this is how it was written, and it stays so.
            return Reply(Outcome.REJECTED, f"not understood: {type(error).__name__}: {error}")
        if record is self._openings.get(record.run) and reply.outcome is Outcome.DONE:
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
            answer = self._remote.send("GET", route("runs", run, "writers"))
        except ServerError:
            return {}
        return answer.content if answer.ok and isinstance(answer.content, dict) else {}


def _rows(record: Record) -> int:
    is_row = record.kind in (RecordKind.METRICS, RecordKind.EVENTS)
    return record.end - record.first if is_row else 0
