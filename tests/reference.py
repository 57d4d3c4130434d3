"""A row in ten lines of plain Python: the oracle of what `_batch` writes, byte for byte."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgpack


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
