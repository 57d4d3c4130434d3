"""Logs: one line a record on stderr, as text for people or as JSON for machines.

::

    2026-11-23T12:00:00.123Z WARNING simvue.server.ledger: POST /api/metrics answered 503 user=...
    {"time": "2026-11-23T12:00:00.123Z", "level": "WARNING", "logger": ..., "message": ..., ...}

A record names the request that it belongs to.  What a request brings in its headers or behind
the ``?`` of its URL is never logged: tokens and signatures stand there.
"""

from __future__ import annotations

import json
import logging
import time
from contextvars import ContextVar
from typing import Any, Final

REQUEST: Final[ContextVar[str]] = ContextVar("request", default="")
"""The id of the request that is being answered; empty outside of one."""


class TextFormatter(logging.Formatter):
    """Writes a record as a line, its fields as ``name=value``; a traceback goes below."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of *record*, on one line if it has no traceback."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}{fields}"
        # Whoever puts a line break into a name must not write a line of their own.
        line = line.replace("\n", "\\n").replace("\r", "\\r")
        return "\n".join([line, *_traceback(self, record)])


class JSONFormatter(logging.Formatter):
    """Writes a record as one JSON object on one line, a traceback as one of its members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON of *record*."""
        members = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        for text in _traceback(self, record):
            members["exception"] = text
        return json.dumps(members, default=str)


def _time(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a record says beside its message: ``extra={"fields": {...}}``."""
    fields: dict[str, Any] = dict(getattr(record, "fields", {}))
    if request := REQUEST.get():
        fields["request"] = request
    return fields


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    return [formatter.formatException(record.exc_info)] if record.exc_info else []


def configure(form: str, level: str) -> None:
    """Send every record of the process to stderr in *form*, ours and uvicorn's from *level* up.

    Those of other libraries from ``warning`` up, whatever *level* is: what they tell beyond
    that may hold what they sign and send.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JSONFormatter() if form == "json" else TextFormatter())
    least = getattr(logging, level.upper())
    logging.basicConfig(handlers=[handler], level=max(least, logging.WARNING), force=True)
    for name in ("simvue", "uvicorn"):
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(True)
