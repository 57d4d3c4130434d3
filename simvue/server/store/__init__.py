"""Store: the contract that every engine keeps, and the door to them.

Calls may come from any thread and return when what they wrote is committed (durable:
``synchronous=FULL``), so an answer sent after a call is an answer sent after the commit.
An engine groups the writes of concurrent callers into one transaction.  Reads see every
write whose call has returned.  SQL stands only in this folder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

from simvue import wire
from simvue.exception import StoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simvue._columns import Rows

    from .blobs import Form, Upload
    from .buckets import Axis, Cut, MetricAxis, Number

Object = dict[str, Any]
"""A run, folder, tag, alert, tenant, user with the members of its JSON form (wire.md section 8)."""


NEWS_MAX: Final = 7_900
"""Bytes of one piece of news: PostgreSQL takes 8,000."""


class RunGone(Exception):
    """The run was deleted; its rows and its registration answer 410."""


REPEAT_S: Final = 600
"""How long a body without row numbers is known again: official clients try five times within 20 s,
each try at most minutes apart."""


class NoSuchRun(Exception):
    """The store never heard of the run; its rows answer 404, so that a shipper registers it."""


class IdTaken(Exception):
    """The id belongs to another owner, or to a run registered with another body."""


class NoSuchAlert(Exception):
    """The store never heard of the alert, or it was deleted."""


class Busy(Exception):
    """More writes wait than the store will hold; nothing was written, try again in a second."""


class NoSpace(Exception):
    """The disk has no room for an artifact; what was sent of it is forgotten."""


class ChecksumDiffers(Exception):
    """The bytes that came have another SHA-256 than was announced; they are forgotten."""


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
class Tensor:
    """An array that a run logged on a grid, as metric *name*.

    ``values`` are the raw bytes of an array of numpy's ``dtype`` and ``shape``, rows first;
    ``time`` is in seconds since the run's start, ``timestamp`` in microseconds.
    """

    name: str
    grid: str
    step: int
    time: float
    timestamp: int
    dtype: str
    shape: tuple[int, ...]
    values: bytes


@dataclass(frozen=True)
class Attached:
    """One artifact as one run has it."""

    run: str
    run_name: str
    artifact: str
    name: str
    category: str


@dataclass(frozen=True)
class Filter:
    """One condition on a run or folder, parsed by the server from wire.md section 7."""

    key: str
    op: str
    value: str = ""


@dataclass(frozen=True)
class Query:
    """A list request: conditions ANDed, columns with a descending flag, offset and page size.

    Of runs, only those of *runs* where there are some, by their ids; members of them that are
    *unwanted* are answered empty: ``metrics``, ``metadata``, ``system``.
    """

    filters: Sequence[Filter] = ()
    sorting: Sequence[tuple[str, bool]] = ()
    start: int = 0
    count: int | None = None
    runs: Sequence[str] = ()
    unwanted: Collection[str] = ()


@dataclass(frozen=True)
class Series:
    """One metric of one run, every row as it was logged, in the order of its writers' numbers.

    Arrays of equal length.  ``values`` holds eight raw bytes a row (little-endian
    uint64 view); ``kinds`` one byte a row: 0 float64, 1 int64, 2 uint64, 3 bool.  ``time`` is in
    seconds since the run's start, ``timestamp`` in microseconds since the epoch.  ``rank`` is
    None if no writer of the rows has one; -1 where one has none.
    """

    step: NDArray[np.int64]
    time: NDArray[np.float64]
    timestamp: NDArray[np.int64]
    values: NDArray[np.uint64]
    kinds: NDArray[np.uint8]
    rank: NDArray[np.int32] | None = None

    def take(self, rows: NDArray[Any]) -> Series:
        """Return the rows at the places *rows*, or those where the mask *rows* is true."""
        return Series(
            self.step[rows],
            self.time[rows],
            self.timestamp[rows],
            self.values[rows],
            self.kinds[rows],
            None if self.rank is None else self.rank[rows],
        )


AlertStatus = Literal["ok", "critical"]


@dataclass(frozen=True)
class Watched:
    """One alert on one run that the server itself judges: what it looks at, how it stands."""

    run: str
    alert: str
    source: str
    definition: Object
    status: AlertStatus | None


TokenScope = Literal["read", "write", "admin"]
SCOPES: Final[tuple[TokenScope, ...]] = ("read", "write", "admin")
"""What a token may do, each also what those before it may."""


@dataclass(frozen=True)
class Token:
    """Who a token speaks for; the store keeps only the SHA-256 of the token itself.

    *name* is what its owner calls it, *expires* in seconds since the epoch.
    """

    user: str
    tenant: str
    scope: TokenScope
    expires: float
    name: str = ""
    id: str = field(default_factory=wire.new_id)

    @property
    def is_admin(self) -> bool:
        """Tell whether it may change users, tenants, and the tokens of others."""
        return self.scope == "admin"


class Store(ABC):
    """All that the server remembers."""

    shared = False
    """Whether other servers may be there, which serve the same."""

    # ---- Life -------------------------------------------------------------------
    @abstractmethod
    def close(self) -> None:
        """Finish the writes in flight and release the data directory."""

    # ---- News --------------------------------------------------------------------
    @abstractmethod
    def tell(self, news: str) -> None:
        """Tell all other servers of this store *news*, at most NEWS_MAX bytes in ASCII.

        Who does not listen, or is cut off just then, misses it.  Raises StoreError.
        """

    @abstractmethod
    def hear(self, heard: Callable[[str], None]) -> None:
        """Call *heard* with what other servers tell from now on, in a thread of the store's.

        With an empty text after some of it may have been missed.
        """

    # ---- Runs --------------------------------------------------------------------
    @abstractmethod
    def create_run(self, run: Object, owner: str) -> tuple[str, bool]:
        """Create *run* (wire.md 8.1; may carry ``id``) and return (id, created now).

        Known id, same owner and same body: (id, False); with a ``process`` the body may differ,
        and its metadata is added.  Raises IdTaken, RunGone.  Makes the folder and its parents,
        and the tags.
        """

    @abstractmethod
    def create_runs(self, runs: Sequence[Object], owner: str) -> list[tuple[str, bool]]:
        """Create all of *runs*, in order, or none of them; otherwise as create_run."""

    @abstractmethod
    def get_run(self, run: str) -> Object:
        """Return the whole run object; raises NoSuchRun, RunGone.

        With the summaries of its ``metrics``, how many rows its writers ``dropped``, and the
        ``ranks`` that it has rows of, ascending.
        """

    @abstractmethod
    def processes(self, run: str) -> list[Object]:
        """Return the processes that shared the run, by attempt and rank; raises NoSuchRun, RunGone.

        Each has its ``attempt`` (from 1), ``launch``, ``rank``, ``size`` of the launch, ``status``.
        """

    @abstractmethod
    def list_runs(self, query: Query, owner: str) -> tuple[int, list[Object]]:
        """Return (total before paging, run objects of the page); ``self`` in filters is *owner*."""

    @abstractmethod
    def update_run(self, run: str, changes: Object) -> None:
        """Apply a partial update: metadata merges deeply, tags replace; raises NoSuchRun, RunGone.

        ``running`` stamps ``started`` where it is null, clears abort and ``endtime``; a terminal
        status stamps ``endtime`` where none is given.  ``process`` notes the status of one of the
        processes that share the run, and may change the run's (processes.py); ``writers`` notes
        kind, rank and rows dropped of writers, by id; raises ValueError if one has another kind.
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
        sign of life of every run, and so does a call that failed or took seconds: a server that
        was down, or could not write, has heard nobody.
        """

    @abstractmethod
    def delete_expired(self, now: float) -> list[str]:
        """Delete every run that outlived its ``ttl``; return their ids.

        The ttl counts from the last time that anything was heard of a run or changed in it,
        and never ends while the run is running.
        """

    # ---- Rows --------------------------------------------------------------------
    @abstractmethod
    def add_metrics(
        self, run: str, rows: Rows, span: Span | None, digest: bytes | None = None
    ) -> Stored:
        """Store decoded *rows*; with a *span*, those already stored are skipped and the set grows.

        Without one, *digest* tells their body from all others: if one with the same was stored
        for this run in the last REPEAT_S, none of it is stored.

        One transaction; counts as a sign of life.  Raises NoSuchRun, RunGone, ValueError if the
        writer sends rows of another kind.
        """

    @abstractmethod
    def add_events(
        self, run: str, events: Sequence[Event], span: Span | None, digest: bytes | None = None
    ) -> Stored:
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
    def cut(
        self,
        run: str,
        names: Sequence[str],
        axis: Axis | MetricAxis,
        most: int,
        start: Number | None = None,
        end: Number | None = None,
        rank: int | None = None,
        log: bool = False,
    ) -> dict[str, Cut]:
        """Cut the series of *names* that the run has into at most *most* buckets (buckets.py).

        Only rows with *start* <= x <= *end* and of that *rank* are taken, where given.  The
        buckets are of equal width, or with *log* of equal ratio; of a long series but for a third
        of it.  What each says of its rows is exact, and every row that has a place on the axis
        is in one.  Costs as much as there are buckets, not rows, where x ascends as it does in
        most series; along another metric as much as there are rows, and too many are refused.
        Raises NoSuchRun, RunGone, ValueError.
        """

    @abstractmethod
    def fold(self) -> bool:
        """Pack some of the rows that came tighter, so that they are read faster.

        No answer changes by it, at no moment.  False if there is nothing to be done, or if
        another process does it.  To be called again and again; a call takes about a tenth of a
        second, and holds up no write for more than a few milliseconds.
        """

    @abstractmethod
    def pack(self) -> bool:
        """Move some of what was folded to where blobs are, if that is a storage of its own.

        Otherwise as fold; a call takes as long as that storage does to take some 40 MiB.
        """

    @abstractmethod
    def tidy(self) -> None:
        """Remove what deleted runs, and servers that died over a blob, left behind.

        What is known of bodies that came long ago to runs at rest goes as well.  Those of an
        engine with one owner leave nothing else; of others it takes a day to be sure.
        """

    @abstractmethod
    def extent(self, run: str) -> dict[str, tuple[float, float]]:
        """Return the least and the greatest ``step``, ``time`` and ``timestamp`` of the run's rows.

        Empty if it has none, a time that no row has left out.  Raises NoSuchRun, RunGone.
        """

    @abstractmethod
    def list_events(
        self,
        run: str,
        contains: Sequence[str],
        start: int,
        count: int | None,
        levels: Sequence[str] | None = None,
    ) -> tuple[int, list[Event]]:
        """Return (total, events oldest first) whose message contains every text of *contains*.

        Of one of *levels*, if there are any wanted in particular.  Raises NoSuchRun, RunGone.
        """

    @abstractmethod
    def count_events(
        self,
        run: str,
        contains: Sequence[str],
        begin: int,
        window: int,
        bars: int,
        levels: Sequence[str] | None = None,
    ) -> list[int]:
        """Return how many such events fell into each of *bars* windows of microseconds."""

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

    # ---- Alerts --------------------------------------------------------------------
    @abstractmethod
    def create_alert(self, alert: Object, owner: str, deduplicate: bool) -> tuple[str, bool]:
        """Create *alert* (wire.md 8.6; may carry ``id``) and return (id, created now).

        With *deduplicate*, an alert with the same members is found, not made.  Known id, same
        owner and same body: (id, False).  Raises IdTaken.
        """

    @abstractmethod
    def get_alert(self, alert: str) -> Object | None:
        """Return the alert with that id."""

    @abstractmethod
    def list_alerts(self, query: Query) -> tuple[int, list[Object]]:
        """Return (total, alert objects)."""

    @abstractmethod
    def update_alert(self, alert: str, changes: Object) -> bool:
        """Apply a partial update; False if there is none.

        Another definition forgets how the alert stands on its runs.
        """

    @abstractmethod
    def delete_alert(self, alert: str) -> bool:
        """Delete an alert and detach it from every run; False if there is none."""

    @abstractmethod
    def alert_status(self, alert: str, run: str) -> AlertStatus | None:
        """Return how *alert* stands on *run*, None if nobody has said.

        Raises NoSuchAlert, NoSuchRun, RunGone.
        """

    @abstractmethod
    def set_alert_status(self, alert: str, run: str, status: AlertStatus) -> str | None:
        """Note how *alert* stands on *run*; return why the run is asked to abort, if it is.

        It is by an alert that is critical, enabled, attached and has ``abort``.  Raises
        NoSuchAlert, NoSuchRun, RunGone.
        """

    @abstractmethod
    def watched_alerts(self, runs: Collection[str] | None) -> list[Watched]:
        """Return what the server judges on *runs*; None means all that have not ended.

        Enabled alerts of metrics and events that are attached; unknown runs have none.
        """

    @abstractmethod
    def recent_values(
        self, run: str, names: Sequence[str], window: int
    ) -> dict[str, NDArray[np.float64]]:
        """Return the values of *names* in the *window* (microseconds) up to the newest of each.

        In no particular order; a metric without rows is left out.  Costs as much as the bodies
        that reach into the window.  Raises NoSuchRun, RunGone.
        """

    @abstractmethod
    def find_event(self, run: str, pattern: str, after: int) -> tuple[bool, int]:
        """Look for *pattern* in the messages of the run's events that were stored *after*.

        Return whether one contains it, and what to pass as *after* the next time; 0 means all.
        Raises NoSuchRun, RunGone.
        """

    # ---- Artifacts -------------------------------------------------------------------
    @abstractmethod
    def create_artifact(self, artifact: Object, owner: str) -> tuple[str, bool]:
        """Register *artifact* (wire.md 8.7; may carry ``id``) and return (id, its bytes are here).

        They are if *owner* uploaded equal ones before.  Known id, same owner and same body: that
        id.  Raises IdTaken; ValueError if no storage takes artifacts.
        """

    @abstractmethod
    def get_artifact(self, artifact: str) -> Object | None:
        """Return the artifact with that id; its ``runs`` are the ids of those that have it."""

    @abstractmethod
    def list_artifacts(self, query: Query, runs: Sequence[str]) -> tuple[int, list[Object]]:
        """Return (total, artifact objects), those of *runs* only if there are any."""

    @abstractmethod
    def update_artifact(self, artifact: str, changes: Object) -> bool:
        """Apply a partial update; False if there is none.

        ``uploaded`` is a question: ValueError if the bytes did not come.  What a client sent by
        an upload_form is read then; raises ChecksumDiffers, and forgets it, if it is not right.
        """

    @abstractmethod
    def delete_artifact(self, artifact: str) -> bool:
        """Delete an artifact, and its bytes with the last that has them; False if there is none."""

    @abstractmethod
    def attach_artifact(self, run: str, artifact: str, category: str) -> bool:
        """Attach an artifact to a run, or change its category there; False if there is none.

        It goes with the last run that has it.  Raises NoSuchRun, RunGone.
        """

    @abstractmethod
    def run_artifacts(self, run: str) -> list[Object]:
        """Return the uploaded artifacts of a run with ``category``; raises NoSuchRun, RunGone."""

    @abstractmethod
    def artifact_category(self, run: str, artifact: str) -> str | None:
        """Return what the artifact is to the run; None if the run does not have it."""

    @abstractmethod
    def lineage(self, checksum: str) -> list[Attached]:
        """Return every run that has uploaded bytes with this checksum, oldest artifact first."""

    @abstractmethod
    def begin_upload(self, artifact: str) -> Upload:
        """Begin to take the artifact's bytes, which nobody sees before they are all here.

        Whoever asks finishes or discards it.  Raises KeyError if there is no such artifact.
        """

    @abstractmethod
    def upload_form(self, artifact: str) -> Form | None:
        """Return how a client may send the artifact's bytes to the storage itself.

        None: by the server.  Raises StoreError.
        """

    @abstractmethod
    def artifact_url(self, artifact: str, media_type: str, disposition: str) -> str | None:
        """Return where a client may fetch the artifact's bytes itself, with these headers.

        None: from the server.  Raises KeyError, StoreError.
        """

    @abstractmethod
    def open_artifact(self, artifact: str) -> tuple[BinaryIO, int]:
        """Open the artifact's bytes; return them and their number.  Raises KeyError."""

    # ---- Storages --------------------------------------------------------------------
    @abstractmethod
    def create_storage(self, storage: Object, owner: str) -> str:
        """Create a storage and return its id; a new default replaces the old.  ValueError."""

    @abstractmethod
    def get_storage(self, storage: str) -> Object | None:
        """Return the storage with that id, without its secrets."""

    @abstractmethod
    def list_storages(self) -> list[Object]:
        """Return all storages; there is always a default one."""

    @abstractmethod
    def update_storage(self, storage: str, changes: Object) -> bool:
        """Apply a partial update; False if there is none, ValueError if it cannot be."""

    @abstractmethod
    def delete_storage(self, storage: str) -> bool:
        """Delete a storage; False if there is none, ValueError if it is the default, or used."""

    # ---- Grids -----------------------------------------------------------------------
    @abstractmethod
    def create_grid(self, grid: Object, owner: str) -> str:
        """Create a grid and return its id."""

    @abstractmethod
    def get_grid(self, grid: str) -> Object | None:
        """Return the grid with that id."""

    @abstractmethod
    def list_grids(self, start: int, count: int) -> tuple[int, list[Object]]:
        """Return (total, grid objects of the page), newest first."""

    @abstractmethod
    def delete_grid(self, grid: str) -> bool:
        """Delete a grid; False if there is none, ValueError if a run uses it."""

    @abstractmethod
    def attach_grid(self, run: str, grid: str, name: str) -> bool:
        """Say that a run logs the metric *name* on a grid; False if there is no such grid.

        Raises NoSuchRun, RunGone.
        """

    @abstractmethod
    def run_grids(self, run: str) -> list[Object]:
        """Return the run's grids, each with the ``metric`` logged on it."""

    @abstractmethod
    def add_tensors(
        self, run: str, tensors: Sequence[Tensor], span: Span | None, digest: bytes | None = None
    ) -> Stored:
        """Store *tensors* as add_metrics does rows.

        Raises ValueError, and stores nothing, if a grid lacks or has another shape: that of its
        axes, the last first.
        """

    @abstractmethod
    def tensor(self, run: str, name: str, step: int | None) -> Tensor | None:
        """Return a run's array at *step*, or at its last; of several the latest."""

    @abstractmethod
    def tensor_span(self, run: str, name: str) -> Object | None:
        """Return the ``count`` of a run's arrays, and ``min_`` and ``max_`` of their axes."""

    # ---- Secret ----------------------------------------------------------------------
    @property
    @abstractmethod
    def secret(self) -> bytes:
        """Random bytes that all who serve this store share, and nobody else knows."""

    # ---- Tenants, users, tokens ------------------------------------------------------
    @abstractmethod
    def create_tenant(self, tenant: Object) -> str:
        """Create a tenant; return its id.  Raises ValueError if the name is taken."""

    @abstractmethod
    def get_tenant(self, tenant: str) -> Object | None:
        """Return the tenant with that id."""

    @abstractmethod
    def list_tenants(self, query: Query) -> tuple[int, list[Object]]:
        """Return (total, tenant objects)."""

    @abstractmethod
    def update_tenant(self, tenant: str, changes: Object) -> bool:
        """Apply a partial update; False if there is none.

        Raises ValueError if the name is taken, or if no administrator would be left.
        """

    @abstractmethod
    def delete_tenant(self, tenant: str) -> bool:
        """Delete a tenant with its users; False if there is none.

        Raises ValueError if no administrator would be left.
        """

    @abstractmethod
    def create_user(self, user: Object) -> str:
        """Create a user of the ``tenant`` with that id; return the id of the user.

        Raises ValueError if there is no such tenant, or if the username is taken.
        """

    @abstractmethod
    def get_user(self, user: str) -> Object | None:
        """Return the user with that id."""

    @abstractmethod
    def list_users(self, query: Query) -> tuple[int, list[Object]]:
        """Return (total, user objects)."""

    @abstractmethod
    def update_user(self, user: str, changes: Object) -> bool:
        """Apply a partial update; False if there is none.

        Raises ValueError if the username would change, which says whose runs are whose, or if
        no administrator would be left.
        """

    @abstractmethod
    def delete_user(self, user: str) -> bool:
        """Delete a user and all tokens that speak for it; False if there is none.

        What belongs to it stays.  Raises ValueError if no administrator would be left.
        """

    @abstractmethod
    def usage(self, tenant: str | None) -> dict[str, Object]:
        """Return what each user has (wire.md 8.11), by username.

        With *tenant*, an id or a name, only of its users.
        """

    @abstractmethod
    def add_token(self, digest: str, token: Token) -> None:
        """Remember a token by the SHA-256 (hexadecimal) of its text.

        Makes its user and its tenant where they lack.
        """

    @abstractmethod
    def find_token(self, digest: str) -> Token | None:
        """Return what the token with that digest may: no more than its user may by now.

        None if there is none, or if its user or its tenant is not enabled.
        """

    @abstractmethod
    def list_tokens(self, query: Query, user: str | None) -> tuple[int, list[Object]]:
        """Return (total, token objects) of *user*; None means of all."""

    @abstractmethod
    def delete_token(self, token: str, user: str | None) -> bool:
        """Take back the token with that id; False if *user* (None: anybody) has none such."""


def open_store(url: str, blobs: str | None = None) -> Store:
    """Open the store at *url*: a directory (the embedded engine), or ``postgresql://...``.

    What is too big for a database lies in *blobs*: a directory, or ``s3://...`` (blobs.py); by
    default beside the embedded engine's database.  Raises simvue.exception.StoreError with one
    clear sentence: another server owns it, it is newer than this program, the disk is read-only.
    """
    from .blobs import open_blobs

    if url.startswith(("postgresql:", "postgres:")):
        try:
            from .postgres import PostgresStore
        except ModuleNotFoundError as error:
            raise StoreError(
                f"a store in PostgreSQL needs the package {error.name}: "
                "`pip install 'simvue[scale]'`"
            ) from None
        if blobs is None:
            raise StoreError(
                "a store in PostgreSQL needs a place for what is big: --blobs s3://BUCKET, or a "
                "directory that all its servers share"
            )
        return PostgresStore(url, open_blobs(blobs))
    from .sqlite import SQLiteStore

    return SQLiteStore(url, blobs=None if blobs is None else open_blobs(blobs))


def shown(url: str) -> str:
    """Return *url* without its password."""
    scheme, _, rest = url.rpartition("://")
    credentials, at, place = rest.rpartition("@")
    return f"{scheme}://{credentials.partition(':')[0]}{at}{place}" if at else url
