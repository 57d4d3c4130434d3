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

_NO_NUMBERS: Final = (bytes, bytearray, memoryview, array)
"""``float()`` reads the text of numbers out of buffers, which nobody means."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST: Final = -62_135_596_800_000_000
_END: Final = 253_402_300_800_000_000
"""The years 1 to 9999, UTC, in microseconds: what the text on the wire has room for."""


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
        if isinstance(value, _NO_NUMBERS):
            raise TypeError
        if getattr(value, "ndim", 0):
            # Of one element, numpy would still make a number of it.
            raise TypeError
        if hasattr(type(value), "__index__"):
            # numpy integers, exactly.  Arrays have the method too, and refuse.
            try:
                return as_number(name, value.__index__())
            except TypeError:
                pass
        if isinstance(value, complex) or getattr(getattr(value, "dtype", None), "kind", "") == "c":
            raise TypeError
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
            # As a plain one: subclasses, of pandas say, change what astimezone does.
            day = (timestamp.year, timestamp.month, timestamp.day)
            clock = (timestamp.hour, timestamp.minute, timestamp.second, timestamp.microsecond)
            moment = datetime(*day, *clock, tzinfo=timestamp.tzinfo, fold=timestamp.fold)
        else:
            moment = datetime.fromtimestamp(timestamp, timezone.utc)
        if moment.tzinfo is None:
            moment = moment.astimezone()
        microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
        if not _FIRST <= microseconds < _END:
            raise ValueError
        return microseconds
    except (TypeError, ValueError, OverflowError, OSError):
        raise InvalidValueError(
            f"timestamp {timestamp!r:.100} is neither a datetime nor a text like "
            "2026-01-31T12:00:00.000000"
        ) from None


def as_column(name: str, values: Any) -> memoryview[Any] | list[float]:
    """Return one array as a contiguous memoryview of float64 ('d') or int64 ('q'), else as a list.

    Arrays of those two kinds are read in place.  Everything else is gone through value by
    value, as a loop of log calls would: the list holds floats, ints and bools.
    """
    try:
        view = memoryview(values)
    except (TypeError, ValueError):  # no buffer; a kind that buffers do not have
        view = None
    if view is not None and view.ndim != 1:
        raise InvalidValueError(f"log_series: {name!r:.100} has {view.ndim} dimensions, not 1")
    if view is not None and view.c_contiguous and view.format in ("d", "l", "q"):
        return view.cast("B").cast("d" if view.format == "d" else "q")
    try:
        items = list(values)
    except TypeError:
        raise InvalidValueError(f"log_series: {name!r:.100} is not an array") from None
    plain = []
    for item in items:
        if isinstance(item, str):
            raise InvalidValueError(f"log_series: {name!r:.100} holds text, not numbers")
        plain.append(as_number(name, item))
    if all(type(value) is float for value in plain):
        return memoryview(array("d", plain))
    return plain


def as_steps(steps: Any) -> memoryview[Any]:
    """Return a block's steps as a contiguous memoryview of int64, each of 0 to 2**63 - 1."""
    column = as_column("steps", steps)
    if not isinstance(column, memoryview) or column.format == "d":
        try:
            column = memoryview(array("q", [as_step(step) for step in column]))
        except OverflowError:
            raise InvalidValueError("a step is not an integer of 0 to 2**63 - 1") from None
    if len(column) and min(column) < 0:
        raise InvalidValueError(f"step {min(column)} is not an integer of 0 to 2**63 - 1")
    return column


def as_times(times: Any) -> memoryview[Any]:
    """Return a block's times as a contiguous memoryview of float64, in seconds."""
    column = as_column("times", times)
    if isinstance(column, memoryview) and column.format == "d":
        return column
    return memoryview(array("d", [float(time) for time in column]))
