"""Counterpart: the run as connectors hold it, under the name that the official package gave it.

A connector that loads what a solver left behind corrects when the run began and ended, after it
has closed the run::

    run._sv_obj.started = first_line_of_the_log
    run._sv_obj.endtime = last_line_of_the_log
    run._sv_obj.commit()

The correction goes down the run's own road, behind its rows, so it is kept where a server cannot
be asked.  Whoever wants the run's other members takes ``simvue.api.objects.Run``.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from simvue.values import as_microseconds
from simvue.wire import format_timestamp


class Counterpart:
    """What a run is on the server, as far as connectors touch it."""

    def __init__(self, offline: bool, amend: Callable[[str, dict[str, Any]], bool]) -> None:
        self._offline = offline
        """Connectors keep a file that they saved for as long as it may still be read."""
        self._amend = amend
        self.started: datetime | str | None = None
        """When the run began, where that is to be corrected; naive is local."""
        self.endtime: datetime | str | None = None
        """When the run ended, where that is to be corrected; naive is local."""

    def commit(self) -> bool:
        """Send the corrections, also after the run's end."""
        moments = {"started": self.started, "endtime": self.endtime}
        changes = {
            name: format_timestamp(as_microseconds(moment))
            for name, moment in moments.items()
            if moment is not None
        }
        return self._amend("commit", changes) if changes else True
