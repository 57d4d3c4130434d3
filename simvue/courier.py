"""The courier: carries what lies in a spool directory to the server, on demand.

``simvue ship`` runs one where no shipper will: after an offline run, on a log-in node, from
cron.  Any number may run at once, and beside a shipper that is still writing: rows are
numbered and calls repeat harmlessly, so what two of them send is stored once.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simvue.backlog import deliver_record
from simvue.delivery import Outcome
from simvue.exception import ServerError
from simvue.remote import Remote, route
from simvue.spool import Record, RecordKind, Rejected, SpoolDamaged, list_files, read_records


class End(enum.Enum):
    """How the carrying of one file ended."""

    DELIVERED = "delivered"
    STILL_OPEN = "delivered so far; it is still being written"
    DAMAGED = "damaged; the whole records before that are delivered"
    STOPPED = "stopped"


@dataclass
class Delivery:
    """What became of one file: rows the server has now, rows it had before, records set aside."""

    path: Path
    end: End = End.STOPPED
    reason: str = ""
    runs: int = 0
    rows: int = 0
    known: int = 0
    rejected: int = 0


_STOP: Final = (Outcome.LATER, Outcome.REFUSED, Outcome.TOO_LARGE)


class Courier:
    """Carries the spool files of *directory* to *remote*, oldest first."""

    def __init__(self, directory: Path, remote: Remote) -> None:
        self._directory = directory
        self._remote = remote
        self.rejected = Rejected(directory)
        self._stored: dict[str, dict[str, list[list[int]]]] = {}
        self._remote_runs: dict[str, str] = {}

    def carry(self, tell: Callable[[Delivery], None]) -> bool:
        """Carry every file once, telling of each; False if the server stopped it.

        A file that is sealed and delivered is removed.  A damaged file is delivered up to the
        damage, and kept.
        """
        try:
            for path in list_files(self._directory):
                delivery = Delivery(path)
                self._carry_file(delivery)
                if delivery.end is End.DELIVERED:
                    path.unlink(missing_ok=True)
                tell(delivery)
                if delivery.end is End.STOPPED:
                    return False
            return True
        finally:
            self.rejected.finish()

    def _carry_file(self, delivery: Delivery) -> None:
        runs: set[str] = set()
        sealed = delivery.path.suffix == ".done"
        try:
            for _, record in read_records(delivery.path):
                runs.add(record.run)
                delivery.runs = len(runs)
                if not self._carry_record(record, delivery):
                    return
        except FileNotFoundError:
            pass  # Another courier delivered and removed it.
        except (SpoolDamaged, ValueError) as error:
            delivery.end, delivery.reason = End.DAMAGED, str(error)
            return
        delivery.end = End.DELIVERED if sealed else End.STILL_OPEN

    def _carry_record(self, record: Record, delivery: Delivery) -> bool:
        """Deliver one record; False if the server is away or refuses us."""
        count = record.end - record.first
        is_call = record.kind is RecordKind.CALL
        if not is_call and self._is_stored(record):
            delivery.known += count
            return True
        reply = deliver_record(self._remote, record, self._remote_runs.get(record.run, record.run))
        if reply.outcome in _STOP:
            delivery.reason = reply.detail
            return False
        if reply.outcome is not Outcome.DONE:
            self.rejected.add(record, reply.detail)
            delivery.rejected += 1
        elif is_call:
            if record.run not in self._remote_runs:
                content = reply.content if isinstance(reply.content, dict) else {}
                self._remote_runs[record.run] = content.get("id") or record.run
        else:
            delivery.rows += count
        return True

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
