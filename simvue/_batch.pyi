"""The types of _batch.pyx, for people and mypy."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, SupportsFloat

SEGMENT_HEADER_SIZE: int

Number = SupportsFloat | str
Timestamp = datetime | str | float

class Segment:
    name: str
    capacity: int
    is_whole: bool
    number: int
    first_row: int
    sealed: int
    published: tuple[int, int]
    shipped: tuple[int, int]
    returned: int
    is_free: bool
    owed: bool
    dropped: int
    signal: int
    def note_signals(self) -> None: ...
    def forget_signals(self) -> None: ...
    def __init__(self, buffer: Any, name: str) -> None: ...
    def format(self) -> None: ...
    def copy(self, header: bytes, start: int, end: int) -> bytes: ...
    def ship(self, rows: int, size: int) -> None: ...
    def hand_back(self) -> None: ...

class Stream:
    segment: Segment | None
    first_row: int
    number: int
    dropped: int
    next_row: int
    def __init__(self, roll: Callable[[Stream, int], bool]) -> None: ...
    def switch(self, old: Segment | None, new: Segment) -> bool: ...
    def seal(self) -> bool: ...
    def fits(self, size: int) -> bool: ...
    def write(self, row: bytes) -> bool: ...

class Writer:
    def _attach(self, metrics: Stream, events: Stream) -> None: ...
    def _detach(self) -> None: ...
    def _silence(self) -> None: ...
    def _log_arrays(
        self, metrics: Mapping[Any, Any], step: int, seconds: float | None, microseconds: int | None
    ) -> tuple[dict[str, float], bool]: ...
    def log_metrics(
        self,
        metrics: Mapping[str, Number],
        step: int | str | None = None,
        time: Number | None = None,
        timestamp: Timestamp | None = None,
    ) -> bool: ...
    def log_event(
        self, message: str, timestamp: Timestamp | None = None, log_level: str | None = None
    ) -> bool: ...
    def log_series(
        self,
        series: Mapping[str, Sequence[float] | Any],
        steps: Iterable[int] | None = None,
        times: Iterable[float] | None = None,
    ) -> bool: ...
    def bind_metrics(self, *names: str) -> Callable[..., bool]: ...
