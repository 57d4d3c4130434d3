"""Store: the contract that every engine keeps, and the door to them.

Calls may come from any thread and return when what they wrote is committed (durable:
``synchronous=FULL``), so an answer sent after a call is an answer sent after the commit.
An engine groups the writes of concurrent callers into one transaction.  Reads see every
write whose call has returned.  SQL stands only in this folder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simvue._columns import Rows

Object = dict[str, Any]
"""A run, folder or tag with the members of its JSON form on the wire (wire.md section 8)."""


class RunGone(Exception):
    """The run was deleted; its rows and its registration answer 410."""


class NoSuchRun(Exception):
    """The store never heard of the run; its rows answer 404, so that a shipper registers it."""


class IdTaken(Exception):
    """The id belongs to another owner, or to a run registered with another body."""


class Busy(Exception):
    """More writes wait than the store will hold; nothing was written, try again in a second."""


@dataclass(frozen=True)
class Span:
    """Which rows of which writer a body holds: ``first`` <= number < ``end``."""

    writer: str
    first: int
    end: int


@dataclass(frozen=True)
class Stored:
    """What became of a body: rows newly stored (the rest were there), and the run's abort flag."""

    stored: int
    abort: bool


@dataclass(frozen=True)
class Event:
    """One event: microseconds since the epoch, level, message."""

    timestamp: int
    log_level: str
    message: str


@dataclass(frozen=True)
class Filter:
    """One condition on a run or folder, parsed by the server from wire.md section 7."""

    key: str
    op: str
    value: str = ""


@dataclass(frozen=True)
class Query:
    """A list request: conditions ANDed, columns with a descending flag, offset and page size."""

    filters: Sequence[Filter] = ()
    sorting: Sequence[tuple[str, bool]] = ()
    start: int = 0
    count: int | None = None


@dataclass(frozen=True)
class Series:
    """One metric of one run, every row as it was logged, in the order of its writers' numbers.

    Four arrays of equal length.  ``values`` holds eight raw bytes a row (little-endian
    uint64 view); ``kinds`` one byte a row: 0 float64, 1 int64, 2 uint64, 3 bool.  ``time`` is in
    seconds since the run's start, ``timestamp`` in microseconds since the epoch.
    """

    step: NDArray[np.int64]
    time: NDArray[np.float64]
    timestamp: NDArray[np.int64]
    values: NDArray[np.uint64]
    kinds: NDArray[np.uint8]


@dataclass(frozen=True)
class Token:
    """Who a token speaks for; the store keeps only the SHA-256 of the token itself."""

    user: str
    tenant: str
    is_admin: bool
    expires: float
    extra: Mapping[str, Any] = field(default_factory=dict)


class Store(ABC):
    """All that the server remembers."""

    # ---- Life -------------------------------------------------------------------
    @abstractmethod
    def close(self) -> None:
        """Finish the writes in flight and release the data directory."""

    # ---- Runs --------------------------------------------------------------------
    @abstractmethod
    def create_run(self, run: Object, owner: str) -> tuple[str, bool]:
        """Create *run* (wire.md 8.1; may carry ``id``) and return (id, created now).

        Known id, same owner and same body: (id, False).  Raises IdTaken, RunGone.  Makes the
        folder and its parents, and the tags.
        """

    @abstractmethod
    def get_run(self, run: str) -> Object:
        """Return the whole run object with its ``metrics`` summaries; raises NoSuchRun, RunGone."""

    @abstractmethod
    def list_runs(self, query: Query, owner: str) -> tuple[int, list[Object]]:
        """Return (total before paging, run objects of the page); ``self`` in filters is *owner*."""

    @abstractmethod
    def update_run(self, run: str, changes: Object) -> None:
        """Apply a partial update: metadata merges deeply, tags replace; raises NoSuchRun, RunGone.

        ``running`` stamps ``started`` where it is null, clears abort and ``endtime``; a terminal
        status stamps ``endtime`` where none is given.
        """

    @abstractmethod
    def delete_run(self, run: str) -> None:
        """Delete the run and its rows, leaving a tombstone; raises NoSuchRun, RunGone."""

    @abstractmethod
    def beat(self, run: str) -> Stored:
        """Note a sign of life; a ``lost`` run is ``running`` again.  Raises NoSuchRun, RunGone."""

    @abstractmethod
    def set_abort(self, run: str, reason: str) -> None:
        """Raise the abort flag of a run; raises NoSuchRun, RunGone."""

    @abstractmethod
    def mark_lost(self, now: float) -> list[str]:
        """Set to ``lost`` every running run silent for longer than its timeout; return their ids.

        *now* is the server's clock in seconds since the epoch.  Opening the store counts as a
        sign of life of every run: a server that was down has heard nobody.
        """

    # ---- Rows --------------------------------------------------------------------
    @abstractmethod
    def add_metrics(self, run: str, rows: Rows, span: Span | None) -> Stored:
        """Store decoded *rows*; with a *span*, those already stored are skipped and the set grows.

        One transaction; counts as a sign of life.  Raises NoSuchRun, RunGone.
        """

    @abstractmethod
    def add_events(self, run: str, events: Sequence[Event], span: Span | None) -> Stored:
        """Store *events* the same way."""

    @abstractmethod
    def writers(self, run: str) -> dict[str, list[tuple[int, int]]]:
        """Return per writer the ranges of rows stored, ascending, merged where they touch."""

    @abstractmethod
    def metric_names(self, runs: Sequence[str]) -> list[str]:
        """Return the sorted union of the metric names of *runs*; unknown runs have none."""

    @abstractmethod
    def series(self, run: str, names: Sequence[str]) -> dict[str, Series]:
        """Return the series of *names* that the run has; raises NoSuchRun, RunGone."""

    @abstractmethod
    def list_events(
        self, run: str, contains: Sequence[str], start: int, count: int | None
    ) -> tuple[int, list[Event]]:
        """Return (total, events oldest first) whose message contains every text of *contains*."""

    # ---- Folders and tags ----------------------------------------------------------
    @abstractmethod
    def create_folder(self, folder: Object) -> tuple[str, bool]:
        """Create the folder at ``path`` and its parents; return (id, created now)."""

    @abstractmethod
    def get_folder(self, folder: str) -> Object | None:
        """Return the folder with that id."""

    @abstractmethod
    def list_folders(self, query: Query) -> tuple[int, list[Object]]:
        """Return (total, folder objects)."""

    @abstractmethod
    def update_folder(self, folder: str, changes: Object) -> bool:
        """Apply a partial update (tags replace, metadata merges); False if there is none."""

    @abstractmethod
    def delete_folder(self, folder: str, recursive: bool, runs: bool, keep: bool) -> Object:
        """Delete as wire.md 8.5 says; return ``{"folders": [ids], "runs": [ids]}``.

        *keep* deletes the runs and leaves the folder.  Raises KeyError if there is none,
        ValueError with a reason if it is not empty.
        """

    @abstractmethod
    def create_tag(self, tag: Object) -> tuple[str, bool]:
        """Create a tag by ``name``; return (id, created now)."""

    @abstractmethod
    def get_tag(self, tag: str) -> Object | None:
        """Return the tag with that id."""

    @abstractmethod
    def list_tags(self, query: Query) -> tuple[int, list[Object]]:
        """Return (total, tag objects)."""

    @abstractmethod
    def update_tag(self, tag: str, changes: Object) -> bool:
        """Apply a partial update; False if there is none."""

    @abstractmethod
    def delete_tag(self, tag: str) -> bool:
        """Delete a tag and take it off every run; False if there is none."""

    # ---- Tokens --------------------------------------------------------------------
    @abstractmethod
    def add_token(self, digest: str, token: Token) -> None:
        """Remember a token by the SHA-256 (hexadecimal) of its text."""

    @abstractmethod
    def find_token(self, digest: str) -> Token | None:
        """Return who the token with that digest speaks for."""


def open_store(url: str) -> Store:
    """Open the store at *url*: a directory (the embedded engine).

    Raises simvue.exception.StoreError with one clear sentence: another server owns it, it
    is newer than this program, the disk is read-only.
    """
    from .sqlite import SQLiteStore

    return SQLiteStore(url)
