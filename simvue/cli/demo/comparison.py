"""Comparison: what was said on paper against what the store gives back, value by value.

Every check yields sentences about what differs; no sentence means exact.  Floats are
compared by their bits (any NaN equals any other), and a kind that changed on the way, an
int that came back as a float, is a difference.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from itertools import chain
from typing import TYPE_CHECKING, Any

from simvue.wire import parse_timestamp

from .paper import Column, Number, Sheet

if TYPE_CHECKING:
    from simvue.client import Client
    from simvue.series import Series

# What a shipper adds on its own account.
_OURS = ("resources/",)

# Clocks of one machine may be set while a script runs; more would be a wrong unit.
_SLACK_S = 1.0


class Comparison:
    """One run of the store held against its sheet; *window* is when the script ran."""

    def __init__(self, client: Client, run_id: str, sheet: Sheet, window: tuple[float, float]):
        self.run_id = run_id
        self._sheet = sheet
        self._window = window
        self._run = client.get_run(run_id)
        names = [name for name in self._run["metrics"] if not name.startswith(_OURS)]
        self._series = {name: client.get_series(run_id, name) for name in names}
        self._events = client.get_events(run_id)

    @property
    def rows(self) -> int:
        """How many rows the store holds: whole ones, and what is there too often."""
        left = {name: len(series) for name, series in self._series.items()}
        whole = 0
        for names, count in self._sheet.shapes.items():
            found = min(count, *(left.get(name, 0) for name in names))
            whole += found
            left.update({name: left.get(name, 0) - found for name in names})
        return whole + max(left.values(), default=0)

    def differences(self) -> Iterator[str]:
        """Say everything that differs."""
        for sentence in chain(self._of_run(), self._of_metrics(), self._of_events()):
            yield f"{self._sheet.name}: {sentence}"

    def _of_run(self) -> Iterator[str]:
        sheet, run = self._sheet, self._run
        said = {
            "name": sheet.name,
            "description": sheet.description,
            "folder": sheet.folder,
            "status": sheet.status,
            "tags": sorted(sheet.tags),
        }
        stored = {**run, "tags": sorted(run["tags"])}
        for key, value in said.items():
            if stored[key] != value:
                yield f"{key}: said {value!r}, stored {stored[key]!r}"
        for key, value in sheet.metadata.items():
            # A shipper adds metadata of its own beside it.
            if key not in run["metadata"]:
                yield f"metadata {key!r} is missing"
            elif not _alike(value, run["metadata"][key]):
                yield f"metadata {key!r}: said {value!r}, stored {run['metadata'][key]!r}"

    def _of_metrics(self) -> Iterator[str]:
        for name in self._series.keys() - self._sheet.metrics.keys():
            yield f"metric {name!r} was never logged"
        for name, column in self._sheet.metrics.items():
            series = self._series.get(name)
            if series is None:
                yield f"metric {name!r} is missing"
            elif len(series) != len(column.values):
                yield f"metric {name!r}: logged {len(column.values)} rows, stored {len(series)}"
            else:
                yield from (f"metric {name!r} {what}" for what in self._of_rows(column, series))

    def _of_rows(self, column: Column, series: Series) -> Iterator[str]:
        yield from _first("step", column.steps, series.step)
        values = [_as_stored(value) for value in column.values]
        if not _same_floats(values, series.values):
            yield from _first("value", values, series.values)
        began, ended = self._window
        for row, (time, said) in enumerate(zip(series.time, column.times, strict=True)):
            if said is None:
                if not 0 <= time <= ended - began + _SLACK_S:
                    yield f"row {row}: time {time} s, in a script of {ended - began:.1f} s"
                    break
            elif time != said:
                yield f"row {row}: time said {said!r}, stored {time!r}"
                break
        for row, (stamp, text) in enumerate(zip(series.timestamp, column.timestamps, strict=True)):
            if text is None:
                if not began - _SLACK_S <= stamp / 1e6 <= ended + _SLACK_S:
                    yield f"row {row}: timestamp {_moment(stamp)} is not of when the script ran"
                    break
            elif stamp != parse_timestamp(text):
                yield f"row {row}: timestamp said {text}, stored {_moment(stamp)}"
                break

    def _of_events(self) -> Iterator[str]:
        # By message: the store gives them by their time, a script may say any time.
        said = sorted(self._sheet.events, key=lambda event: event[0])
        stored = sorted(self._events, key=lambda event: event["message"])
        if len(said) != len(stored):
            yield f"said {len(said)} events, stored {len(stored)}"
            return
        for (message, timestamp, level), event in zip(said, stored, strict=True):
            if (message, level) != (event["message"], event["log_level"]):
                yield f"event said {level} {message!r}, stored {event!r}"
            elif timestamp is not None and timestamp != event["timestamp"]:
                yield f"event {message!r}: said {timestamp}, stored {event['timestamp']}"


def _as_stored(value: Number) -> Number:
    """Return what the store promises to keep of *value*: all of it, up to 64 bits."""
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else float(value)
    # A numpy.float64 is a float; plain ones compare faster and print better.
    return float(value)


def _same_floats(said: Sequence[Number], stored: Sequence[Number]) -> bool:
    """Tell at once that two columns of floats have the same bits; False may mean other kinds."""
    if not isinstance(stored, array) or stored.typecode != "d":
        return False
    return set(map(type, said)) <= {float} and array("d", said).tobytes() == stored.tobytes()


def _first(what: str, said: Sequence[Number], stored: Sequence[Number]) -> Iterator[str]:
    for row, (one, other) in enumerate(zip(said, stored, strict=True)):
        if not _alike(one, other):
            yield f"row {row}: {what} said {one!r}, stored {other!r}"
            return


def _alike(said: Any, stored: Any) -> bool:
    if isinstance(said, Mapping):
        return (
            isinstance(stored, Mapping)
            and said.keys() == stored.keys()
            and all(_alike(said[key], stored[key]) for key in said)
        )
    if isinstance(said, list | tuple):
        return (
            isinstance(stored, list) and len(said) == len(stored) and all(map(_alike, said, stored))
        )
    if type(said) is not type(stored):
        return False
    if isinstance(said, float) and said == said:
        return struct.pack("d", said) == struct.pack("d", stored)
    if isinstance(said, float):
        return bool(stored != stored)
    return bool(said == stored)


def _moment(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, timezone.utc).isoformat()
