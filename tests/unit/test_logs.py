"""Lines of the log: what one says, in both forms, and what it can never be made to say."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from simvue.server import logs


@pytest.fixture
def request_id() -> Iterator[str]:
    token = logs.REQUEST.set("r1")
    yield "r1"
    logs.REQUEST.reset(token)


def record(message: str, *arguments: Any, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("simvue.server", logging.WARNING, "f", 1, message, arguments, None)
    made.created, made.msecs = 1_790_000_000.25, 250.0
    made.fields = fields
    return made


def test_a_record_is_one_json_object_with_its_fields(request_id: str) -> None:
    told = json.loads(logs.JSONFormatter().format(record("%s failed", "it", status=500, run="x")))
    assert told == {
        "time": "2026-09-21T14:13:20.250Z",
        "level": "WARNING",
        "logger": "simvue.server",
        "message": "it failed",
        "status": 500,
        "run": "x",
        "request": request_id,
    }


def test_outside_of_a_request_none_is_named() -> None:
    assert "request" not in json.loads(logs.JSONFormatter().format(record("m")))


def test_a_line_for_people_says_the_same(request_id: str) -> None:
    assert logs.TextFormatter().format(record("m", status=500)) == (
        "2026-09-21T14:13:20.250Z WARNING simvue.server: m status=500 request=r1"
    )


@pytest.mark.parametrize("formatter", [logs.TextFormatter(), logs.JSONFormatter()])
def test_no_name_makes_a_line_of_its_own(formatter: logging.Formatter) -> None:
    hostile = "a\n2026-01-01T00:00:00.000Z ERROR simvue: all is lost\r\n"
    assert "\n" not in formatter.format(record("%s failed", hostile, run=hostile))


def test_a_traceback_is_a_member_or_stands_below() -> None:
    try:
        raise RuntimeError("an inner reason")
    except RuntimeError:
        failed = record("m")
        failed.exc_info = sys.exc_info()
    told = json.loads(logs.JSONFormatter().format(failed))
    assert told["exception"].endswith("RuntimeError: an inner reason")
    head, *below = logs.TextFormatter().format(failed).splitlines()
    assert head.endswith("simvue.server: m")
    assert below[-1] == "RuntimeError: an inner reason"


def test_other_libraries_stay_quiet_when_ours_tell_everything() -> None:
    """boto3 at debug tells what it signs."""
    root, kept = logging.getLogger(), logging.getLogger("simvue").level
    handlers, level = root.handlers[:], root.level
    try:
        logs.configure("json", "debug")
        assert logging.getLogger("simvue.server").isEnabledFor(logging.DEBUG)
        assert logging.getLogger("uvicorn.error").isEnabledFor(logging.DEBUG)
        assert not logging.getLogger("botocore").isEnabledFor(logging.INFO)
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.getLogger("simvue").setLevel(kept)
        logging.getLogger("uvicorn").setLevel(logging.NOTSET)
