"""The slow lane of log calls: whatever a simulation hands over, as plain numbers.

_batch.pyx takes floats and ints as they are; anything else comes through here, before a
row is begun, because ``__float__`` may raise, drop the GIL, or log something itself.
Everything here raises InvalidValueError and nothing else.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from simvue.exception import InvalidValueError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


def as_dict(metrics: object) -> dict[Any, Any]:
    """Return any mapping as a dict."""
    if isinstance(metrics, Mapping):
        return dict(metrics)
    raise InvalidValueError(
        f"metrics are given as a dict of names and numbers, not {type(metrics).__name__}"
    )


def as_plain(metrics: dict[Any, Any]) -> dict[str, float]:
    """Return *metrics* with exact str names and plain numbers."""
    plain: dict[str, float] = {}
    for name, value in metrics.items():
        if not isinstance(name, str):
            kind = type(name).__name__
            raise InvalidValueError(f"a metric's name is a text, not {kind} ({name!r:.100})")
        plain[str.__str__(name)] = as_number(name, value)
    return plain


def as_number(name: str, value: Any) -> float:
    """Return *value* as a float, int or bool; an integer beyond 64 bits as the nearest float."""
    try:
        if isinstance(value, bool):
            return value
        if isinstance(value, int):
            return int(value) if -(1 << 63) <= value < (1 << 64) else float(value)
        if isinstance(value, (bytes, bytearray)):
            raise TypeError
        if hasattr(type(value), "__index__"):
            # numpy integers, exactly.  Arrays have the method too, and refuse.
            try:
                return as_number(name, value.__index__())
            except TypeError:
                pass
        return float(value)
    except (TypeError, ValueError):
        raise InvalidValueError(f"metric {name!r:.100}: {value!r:.100} is not a number") from None
    except OverflowError:
        raise InvalidValueError(
            f"metric {name!r:.100}: the integer is too large for a float"
        ) from None


def as_step(step: Any) -> int:
    """Return numpy integers, whole floats and numeric text as an int."""
    try:
        if isinstance(step, str):
            return int(step)
        if isinstance(step, float):
            whole = int(step)
            if whole != step:
                raise ValueError
            return whole
        return int(step.__index__())
    except (TypeError, ValueError, OverflowError, AttributeError):
        raise InvalidValueError(f"step {step!r:.100} is not an integer of 0 to 2**63 - 1") from None


def as_time(time: Any) -> float:
    """Return seconds as a float."""
    try:
        return float(time)
    except (TypeError, ValueError, OverflowError):
        raise InvalidValueError(f"time {time!r:.100} is not a number of seconds") from None


def as_microseconds(timestamp: Any) -> int:
    """Return microseconds since the epoch of a datetime or ISO text, local unless zoned."""
    try:
        if isinstance(timestamp, str):
            moment = datetime.fromisoformat(timestamp.strip().replace("Z", "+00:00"))
        elif isinstance(timestamp, datetime):
            moment = timestamp
        else:
            moment = datetime.fromtimestamp(timestamp, timezone.utc)
        # astimezone takes a naive time for local.
        return (moment.astimezone(timezone.utc) - _EPOCH) // timedelta(microseconds=1)
    except (TypeError, ValueError, OverflowError, OSError):
        raise InvalidValueError(
            f"timestamp {timestamp!r:.100} is neither a datetime nor a text like "
            "2026-01-31T12:00:00.000000"
        ) from None


def as_column(name: str, values: Any) -> memoryview[Any]:
    """Return one array as a contiguous memoryview of float64 ('d') or int64 ('q').

    Arrays of those two kinds are read in place; others are copied.
    """
    try:
        view = memoryview(values)
    except TypeError:
        view = None
    if view is not None and view.ndim != 1:
        raise InvalidValueError(f"log_series: {name!r:.100} has {view.ndim} dimensions, not 1")
    if view is not None and view.c_contiguous and view.format in ("d", "l", "q"):
        return view.cast("B").cast("d" if view.format == "d" else "q")
    plain = values if view is None else view.tolist()
    try:
        if all(type(value) is int and -(1 << 63) <= value < 1 << 63 for value in plain):
            return memoryview(array("q", plain))
        return memoryview(array("d", plain))
    except (TypeError, ValueError, OverflowError):
        raise InvalidValueError(
            f"log_series: {name!r:.100} holds something that is not a number"
        ) from None
