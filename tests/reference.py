"""Rows in plain Python: the oracle of what `_batch` writes, byte for byte, and `_columns` reads."""

from __future__ import annotations

import operator
import re
import struct
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgpack

from simvue import wire
from simvue._columns import Rows

FLOAT64, INT64, UINT64, BOOL = range(4)


def number(value: Any) -> bool | int | float:
    """A bool or an integer within 64 bits stays what it is; anything else is a float."""
    if isinstance(value, bool):
        return value
    try:
        integer = operator.index(value)
    except TypeError:
        return float(value)
    return integer if -(2**63) <= integer < 2**64 else float(integer)


def metric_row(values: Mapping[str, Any], time: float, timestamp: str, step: int) -> bytes:
    """One ``log_metrics``."""
    row = {
        "values": {str(name): number(value) for name, value in values.items()},
        "time": float(time),
        "timestamp": timestamp,
        "step": step,
    }
    return bytes(msgpack.packb(row))


def event_row(message: str, timestamp: str, log_level: str | None = None) -> bytes:
    """One ``log_event``."""
    row = {"message": message, "timestamp": timestamp}
    return bytes(msgpack.packb(row if log_level is None else {**row, "log_level": log_level}))


def timestamp(microseconds: int) -> str:
    """Microseconds since the epoch, as the wire has them."""
    moment = datetime(1970, 1, 1) + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec="microseconds")


# ---- Reading -------------------------------------------------------------------------

Flat = tuple[dict[str, tuple[int, int]], int, bytes, int]
"""A row as it is compared: its names with kinds and words, step, time as raw bytes, timestamp."""

_STAMP = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z?", re.ASCII)


def read_metrics(body: bytes) -> tuple[str, list[Flat]] | None:
    """Read a body of metrics: its run and its rows; None if it is to be refused."""
    try:
        members = msgpack.unpackb(body, object_pairs_hook=_once)
        run, rows = members["run"], members["metrics"]
        if len(members) != 2 or not isinstance(run, str) or not isinstance(rows, list):
            return None
        return run, [_flat(row) for row in rows]
    except (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException):
        return None


def flattened(rows: Rows) -> list[Flat]:
    """Return the rows of all blocks one by one, in the order in which they came."""
    found: dict[int, Flat] = {}
    for block in rows.blocks:
        places = range(rows.count) if block.rows is None else block.rows.tolist()
        for column, place in enumerate(places):
            assert place not in found
            found[place] = (
                {
                    name: (block.kinds[i], int(block.values[i, column]))
                    for i, name in enumerate(block.names)
                },
                int(block.step[column]),
                struct.pack("<d", block.time[column]),
                int(block.timestamp[column]),
            )
    return [found[place] for place in sorted(found)]


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _flat(row: Any) -> Flat:
    step, time = row["step"], row["time"]
    if len(row) != 4 or type(step) is not int or not 0 <= step <= wire.STEP_MAX:
        raise ValueError("no row")
    if type(time) not in (int, float):
        raise ValueError("no time")
    values = {_name(name): _word(value) for name, value in row["values"].items()}
    return values, step, struct.pack("<d", time), _microseconds(row["timestamp"])


def _name(text: str) -> str:
    if len(text) > wire.NAME_SIZE_MAX or not wire.METRIC_NAME_PATTERN.fullmatch(text):
        raise ValueError("no name")
    return text


def _word(value: Any) -> tuple[int, int]:
    """Return the kind and the raw bytes that *value* shall have."""
    if isinstance(value, bool):
        return BOOL, int(value)
    if isinstance(value, float):
        return FLOAT64, struct.unpack("<Q", struct.pack("<d", value))[0]
    if not isinstance(value, int):
        raise ValueError("no number")
    return (UINT64 if value >= 2**63 else INT64), value % 2**64


def _microseconds(text: str) -> int:
    """Read a timestamp; digits behind the sixth are cut off."""
    match = _STAMP.fullmatch(text)
    if match is None:
        raise ValueError("no timestamp")
    moment = datetime.fromisoformat(match[1]) - datetime(1970, 1, 1)
    fraction = (match[2] or "")[:6].ljust(6, "0")
    return (moment.days * 86_400 + moment.seconds) * 1_000_000 + int(fraction)
