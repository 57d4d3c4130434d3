"""The logging.Handler: what a program logs becomes events of a run."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import Run


class Handler(logging.Handler):
    """Log each record as an event of a run, at the record's time and level.

    ::

        logging.getLogger("solver").addHandler(simvue.Handler(run))

    Our own records are left out.  What goes wrong is for ``logging.raiseExceptions`` to show,
    never for the program that logs.
    """

    def __init__(self, simvue_run: Run | None = None, *, client: Run | None = None) -> None:
        """Send records to *simvue_run*, which older programs call *client*."""
        super().__init__()
        run = simvue_run or client
        if run is None:
            raise TypeError("Handler needs the run that its records go to")
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        # Ours included, a warning about an event would become the next event.
        if record.name == "simvue" or record.name.startswith("simvue."):
            return
        try:
            self._run.log_event(
                self.format(record),
                timestamp=datetime.fromtimestamp(record.created, timezone.utc),
                log_level=_level(record.levelno),
            )
        except (RuntimeError, TypeError, ValueError):
            self.handleError(record)


def _level(number: int) -> str:
    """Return the level of an event for one of logging, whose numbers may lie between."""
    for name in ("critical", "error", "warning", "info"):
        if number >= getattr(logging, name.upper()):
            return name
    return "debug"
