"""SQLiteStore: the embedded engine, one directory owned by one process.

::

    DIR/lock         held by the kernel for the process that owns DIR
    DIR/simvue.db    the database; -wal and -shm beside it while it is open
    DIR/blobs        the bytes of artifacts (blobs.py)
    DIR/secret       what signs the links to them

Writes go through one thread (commits.py), reads through a pool of read-only connections,
each read in one snapshot.  What is written is decoded, compressed and summed up in the
caller's thread before it queues.  The SQL stands in runs.py, rows.py, folders.py.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from simvue.exception import StoreError

from . import (
    AlertStatus,
    Attached,
    Event,
    Object,
    Query,
    Series,
    Span,
    Store,
    Stored,
    Tensor,
    Token,
    Watched,
    folding,
    leases,
    secret,
)
from . import alerts as alert_sql
from . import artifacts as artifact_sql
from . import folders as folder_sql
from . import grids as grid_sql
from . import rows as row_sql
from . import runs as run_sql
from . import storages as storage_sql
from . import users as user_sql
from . import zoom as zoom_sql
from .blobs import Upload, open_blobs
from .commits import Commits
from .upgrade import upgrade

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simvue._columns import Rows

    from .buckets import Axis, Buckets, Number

T = TypeVar("T")

SCHEMA: Final = 2
"""The version of sqlite.sql, kept in the database's ``user_version``."""

_PAGE_SIZE: Final = 16_384
# Room that the next bodies will need anyway is not given back: a quarter of the file, or as much
# as a minute of fast ingest (chosen).
_FREE_MIN: Final = 256 << 20
_FREE_PART: Final = 4
# Each of them may be filled from the end of the file: 4 MiB, as large as a body.
_RECLAIM_PAGES: Final = 256
# Each deletes a slice of what deleted runs leave behind, and tells whether more is left.
_SWEEPERS: Final = (row_sql.sweep, grid_sql.sweep)
# Another program may read the file (a backup, sqlite3 in a shell): wait for its locks.
_LOCK_WAIT_S: Final = 10.0


class SQLiteStore(Store):
    """The store in directory *url*, which is made if it lacks; *clock* tells seconds."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._directory = Path(url).absolute()
        self._lock = _own(self._directory)
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = Lock()
        self._closed = False
        try:
            with _opening(self._directory):
                _prepare(self._directory)
            self._commits = Commits(lambda: _connect(self._directory))
        except BaseException:
            _disown(self._directory, self._lock)
            raise
        self._opened = clock()
        self._folding = folding.Folding(self._reading, self._write, clock)
        self._blobs = open_blobs(str(self._directory / "blobs"))
        self._secret = secret.load(self._directory / "secret")
        self._write(lambda connection: artifact_sql.recover(connection, self._now))
        # Whoever held one is dead: the directory is ours.
        self._write(leases.release_all)
        self._sweep()

    def close(self) -> None:
        """Finish the writes in flight and release the data directory."""
        with self._idle_lock:
            if self._closed:
                return
            self._closed = True
            # Before the writer's: the last connection to close empties the log into the
            # database, and these could not.
            for connection in self._idle:
                connection.close()
        self._commits.close()
        _disown(self._directory, self._lock)

    @property
    def _now(self) -> int:
        return int(self._clock() * 1e6)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that sees one moment of the store."""
        with self._idle_lock:
            if self._closed:
                raise StoreError("the store is closed")
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            with _opening(self._directory):
                connection = _connect(self._directory, read_only=True)
        try:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            connection.close()
            raise StoreError(f"the store cannot be read: {error}") from error
        except BaseException:
            self._give_back(connection)
            raise
        self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._idle_lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _write(self, work: Callable[[sqlite3.Connection], T], size: int = 0) -> T:
        return self._commits.write(work, size)

    # ---- Runs --------------------------------------------------------------------

    def create_run(self, run: Object, owner: str) -> tuple[str, bool]:
        """See Store."""
        return self._write(lambda connection: run_sql.create(connection, run, owner, self._now))

    def create_runs(self, runs: Sequence[Object], owner: str) -> list[tuple[str, bool]]:
        """See Store."""
        now = self._now
        return self._write(
            lambda connection: [run_sql.create(connection, run, owner, now) for run in runs]
        )

    def get_run(self, run: str) -> Object:
        """See Store."""
        with self._reading() as connection:
            return run_sql.get(connection, run, self._now)

    def list_runs(self, query: Query, owner: str) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return run_sql.select(connection, query, owner, self._now)

    def update_run(self, run: str, changes: Object) -> None:
        """See Store."""

        def work(connection: sqlite3.Connection) -> None:
            run_sql.update(connection, run, changes, self._now)
            if changes.get("writers"):
                row_sql.introduce(connection, run, changes["writers"])

        self._write(work)

    def delete_run(self, run: str) -> None:
        """See Store."""
        self._write(lambda connection: run_sql.delete(connection, run, self._now))
        self._sweep()

    def _sweep(self) -> None:
        """Delete what deleted runs leave behind, in slices between which others write."""
        while self._write(lambda connection: any(sweep(connection) for sweep in _SWEEPERS)):
            pass
        self._remove_litter()

    def _reclaim(self) -> bool:
        """Give a slice of much unused room back to the disk; False if there is not much."""
        with self._reading() as connection:
            free, pages = (
                connection.execute(f"PRAGMA {count}").fetchone()[0]
                for count in ("freelist_count", "page_count")
            )
        if free * _PAGE_SIZE < _FREE_MIN or free * _FREE_PART < pages:
            return False

        def shrink(connection: sqlite3.Connection) -> bool:
            connection.execute(f"PRAGMA incremental_vacuum({_RECLAIM_PAGES})").fetchall()
            # A database made before rows were folded cannot, and keeps its room for new rows.
            return bool(connection.execute("PRAGMA freelist_count").fetchone()[0] < free)

        return self._write(shrink, _RECLAIM_PAGES * _PAGE_SIZE)

    def beat(self, run: str) -> Stored:
        """See Store."""
        _, abort = self._write(lambda connection: run_sql.touch(connection, run, self._now))
        return Stored(0, abort)

    def set_abort(self, run: str, reason: str) -> None:
        """See Store."""
        self._write(lambda connection: run_sql.abort(connection, run, reason))

    def mark_lost(self, now: float) -> list[str]:
        """See Store."""
        return self._write(lambda connection: run_sql.lose(connection, now, self._opened))

    def delete_expired(self, now: float) -> list[str]:
        """See Store."""
        gone: list[str] = []
        while some := self._write(lambda connection: run_sql.expire(connection, now)):
            gone += some
        if gone:
            self._sweep()
        return gone

    # ---- Rows --------------------------------------------------------------------

    def add_metrics(self, run: str, rows: Rows, span: Span | None) -> Stored:
        """See Store."""
        _check_span(span, rows.count)
        with self._commits.room(rows.nbytes):
            first = span.first if span else 0
            chosen = [(first, first + rows.count)] if rows.count else []
            while True:
                kept = rows
                if span and chosen != [(first, span.end)]:
                    kept = rows.keep([(begin - first, end - first) for begin, end in chosen])
                answer = self._add(run, kept, span, chosen)
                if isinstance(answer, Stored):
                    return answer
                chosen = answer

    def _add(
        self, run: str, kept: Rows, span: Span | None, chosen: list[tuple[int, int]]
    ) -> Stored | list[tuple[int, int]]:
        blocks = row_sql.encode(kept)
        return self._write(
            lambda connection: row_sql.add_metrics(
                connection, run, blocks, kept.count, span, chosen, self._now
            ),
            sum(len(block.chunk) for block in blocks),
        )

    def add_events(self, run: str, events: Sequence[Event], span: Span | None) -> Stored:
        """See Store."""
        _check_span(span, len(events))
        size = sum(len(event.message) for event in events)
        with self._commits.room(size):
            return self._write(
                lambda connection: row_sql.add_events(connection, run, events, span, self._now),
                size,
            )

    def writers(self, run: str) -> dict[str, list[tuple[int, int]]]:
        """See Store."""
        with self._reading() as connection:
            return row_sql.writers(connection, run)

    def metric_names(self, runs: Sequence[str]) -> list[str]:
        """See Store."""
        with self._reading() as connection:
            return sorted({name for run in runs for name in row_sql.metric_names(connection, run)})

    def series(self, run: str, names: Sequence[str]) -> dict[str, Series]:
        """See Store."""
        with self._reading() as connection:
            return row_sql.series(connection, run, names)

    def cut(
        self,
        run: str,
        names: Sequence[str],
        axis: Axis,
        most: int,
        start: Number | None = None,
        end: Number | None = None,
        rank: int | None = None,
    ) -> dict[str, Buckets]:
        """See Store."""
        with self._reading() as connection:
            return zoom_sql.cut(connection, run, names, axis, most, start, end, rank)

    def fold(self) -> bool:
        """See Store."""
        return self._folding.step() or self._reclaim()

    def extent(self, run: str) -> dict[str, tuple[float, float]]:
        """See Store."""
        with self._reading() as connection:
            return row_sql.extent(connection, run)

    def list_events(
        self, run: str, contains: Sequence[str], start: int, count: int | None
    ) -> tuple[int, list[Event]]:
        """See Store."""
        with self._reading() as connection:
            return row_sql.list_events(connection, run, contains, start, count)

    def count_events(
        self, run: str, contains: Sequence[str], begin: int, window: int, bars: int
    ) -> list[int]:
        """See Store."""
        with self._reading() as connection:
            return row_sql.count_events(connection, run, contains, begin, window, bars)

    # ---- Folders and tags ----------------------------------------------------------

    def create_folder(self, folder: Object) -> tuple[str, bool]:
        """See Store."""
        return self._write(lambda connection: folder_sql.create(connection, folder, self._now))

    def get_folder(self, folder: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return folder_sql.get(connection, folder)

    def list_folders(self, query: Query) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return folder_sql.select(connection, query, self._now)

    def update_folder(self, folder: str, changes: Object) -> bool:
        """See Store."""
        return self._write(
            lambda connection: folder_sql.update(connection, folder, changes, self._now)
        )

    def delete_folder(self, folder: str, recursive: bool, runs: bool, keep: bool) -> Object:
        """See Store."""
        answer = self._write(
            lambda connection: _delete_folder(
                connection, folder, recursive, runs or keep, keep, self._now
            )
        )
        self._sweep()
        return answer

    def create_tag(self, tag: Object) -> tuple[str, bool]:
        """See Store."""
        return self._write(lambda connection: folder_sql.create_tag(connection, tag, self._now))

    def get_tag(self, tag: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return folder_sql.get_tag(connection, tag)

    def list_tags(self, query: Query) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return folder_sql.select_tags(connection, query, self._now)

    def update_tag(self, tag: str, changes: Object) -> bool:
        """See Store."""
        return self._write(lambda connection: folder_sql.update_tag(connection, tag, changes))

    def delete_tag(self, tag: str) -> bool:
        """See Store."""
        return self._write(lambda connection: folder_sql.delete_tag(connection, tag))

    # ---- Alerts --------------------------------------------------------------------

    def create_alert(self, alert: Object, owner: str, deduplicate: bool) -> tuple[str, bool]:
        """See Store."""
        return self._write(
            lambda connection: alert_sql.create(connection, alert, owner, deduplicate, self._now)
        )

    def get_alert(self, alert: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return alert_sql.get(connection, alert)

    def list_alerts(self, query: Query) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return alert_sql.select(connection, query)

    def update_alert(self, alert: str, changes: Object) -> bool:
        """See Store."""
        return self._write(lambda connection: alert_sql.update(connection, alert, changes))

    def delete_alert(self, alert: str) -> bool:
        """See Store."""
        return self._write(lambda connection: alert_sql.delete(connection, alert))

    def alert_status(self, alert: str, run: str) -> AlertStatus | None:
        """See Store."""
        with self._reading() as connection:
            return alert_sql.status(connection, alert, run_sql.find(connection, run))

    def set_alert_status(self, alert: str, run: str, status: AlertStatus) -> str | None:
        """See Store."""
        return self._write(
            lambda connection: alert_sql.set_status(
                connection, alert, run_sql.find(connection, run), status
            )
        )

    def watched_alerts(self, runs: Collection[str] | None) -> list[Watched]:
        """See Store."""
        with self._reading() as connection:
            return alert_sql.watched(connection, runs)

    def recent_values(
        self, run: str, names: Sequence[str], window: int
    ) -> dict[str, NDArray[np.float64]]:
        """See Store."""
        with self._reading() as connection:
            return alert_sql.recent(connection, run_sql.find(connection, run), names, window)

    def find_event(self, run: str, pattern: str, after: int) -> tuple[bool, int]:
        """See Store."""
        with self._reading() as connection:
            return alert_sql.find_event(connection, run_sql.find(connection, run), pattern, after)

    # ---- Artifacts -------------------------------------------------------------------

    def create_artifact(self, artifact: Object, owner: str) -> tuple[str, bool]:
        """See Store."""
        return self._write(
            lambda connection: artifact_sql.create(connection, artifact, owner, self._now)
        )

    def get_artifact(self, artifact: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return artifact_sql.get(connection, artifact)

    def list_artifacts(self, query: Query, runs: Sequence[str]) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return artifact_sql.select(connection, query, runs, self._now)

    def update_artifact(self, artifact: str, changes: Object) -> bool:
        """See Store."""
        return self._write(lambda connection: artifact_sql.update(connection, artifact, changes))

    def delete_artifact(self, artifact: str) -> bool:
        """See Store."""
        deleted = self._write(lambda connection: artifact_sql.delete(connection, artifact))
        self._remove_litter()
        return deleted

    def attach_artifact(self, run: str, artifact: str, category: str) -> bool:
        """See Store."""
        return self._write(
            lambda connection: artifact_sql.attach(connection, run, artifact, category)
        )

    def run_artifacts(self, run: str) -> list[Object]:
        """See Store."""
        with self._reading() as connection:
            return artifact_sql.of_run(connection, run)

    def artifact_category(self, run: str, artifact: str) -> str | None:
        """See Store."""
        with self._reading() as connection:
            return artifact_sql.category(connection, run, artifact)

    def lineage(self, checksum: str) -> list[Attached]:
        """See Store."""
        with self._reading() as connection:
            return artifact_sql.lineage(connection, checksum)

    def begin_upload(self, artifact: str) -> Upload:
        """See Store."""
        place, checksum = self._write(lambda connection: artifact_sql.begin(connection, artifact))

        def keep(size: int) -> None:
            self._write(lambda connection: artifact_sql.keep(connection, artifact, place, size))
            # The file, if equal bytes were there already.
            self._remove_litter()

        def drop() -> None:
            self._write(lambda connection: artifact_sql.forget(connection, [place]))

        return Upload(self._blobs, place, checksum, keep, drop)

    def open_artifact(self, artifact: str) -> tuple[BinaryIO, int]:
        """See Store."""
        with self._reading() as connection:
            found = artifact_sql.place(connection, artifact)
        if found is None:
            raise KeyError(artifact)
        try:
            return self._blobs.open(found[0]), found[1]
        except FileNotFoundError:
            # Deleted since it was looked up.
            raise KeyError(artifact) from None
        except OSError as error:
            raise StoreError(f"the artifact cannot be read: {error.strerror}") from error

    def _remove_litter(self) -> None:
        """Remove the files that nothing needs; those that will not go are tried again later."""
        with self._reading() as connection:
            places = artifact_sql.litter(connection)
        gone = []
        for place in places:
            with suppress(OSError):
                self._blobs.remove(place)
                gone.append(place)
        if gone:
            self._write(lambda connection: artifact_sql.forget(connection, gone))

    # ---- Storages --------------------------------------------------------------------

    def create_storage(self, storage: Object, owner: str) -> str:
        """See Store."""
        return self._write(
            lambda connection: storage_sql.create(connection, storage, owner, self._now)
        )

    def get_storage(self, storage: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return storage_sql.get(connection, storage)

    def list_storages(self) -> list[Object]:
        """See Store."""
        with self._reading() as connection:
            return storage_sql.select(connection)

    def update_storage(self, storage: str, changes: Object) -> bool:
        """See Store."""
        return self._write(lambda connection: storage_sql.update(connection, storage, changes))

    def delete_storage(self, storage: str) -> bool:
        """See Store."""
        return self._write(lambda connection: storage_sql.delete(connection, storage))

    # ---- Grids -----------------------------------------------------------------------

    def create_grid(self, grid: Object, owner: str) -> str:
        """See Store."""
        return self._write(lambda connection: grid_sql.create(connection, grid, owner, self._now))

    def get_grid(self, grid: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return grid_sql.get(connection, grid)

    def list_grids(self, start: int, count: int) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return grid_sql.select(connection, start, count)

    def delete_grid(self, grid: str) -> bool:
        """See Store."""
        return self._write(lambda connection: grid_sql.delete(connection, grid))

    def attach_grid(self, run: str, grid: str, name: str) -> bool:
        """See Store."""
        return self._write(lambda connection: grid_sql.attach(connection, run, grid, name))

    def run_grids(self, run: str) -> list[Object]:
        """See Store."""
        with self._reading() as connection:
            return grid_sql.of_run(connection, run)

    def add_tensors(self, run: str, tensors: Sequence[Tensor], span: Span | None) -> Stored:
        """See Store."""
        _check_span(span, len(tensors))
        with self._commits.room(sum(len(tensor.values) for tensor in tensors)):
            data = [grid_sql.compress(tensor) for tensor in tensors]
            return self._write(
                lambda connection: grid_sql.add(connection, run, tensors, data, span, self._now),
                sum(map(len, data)),
            )

    def tensor(self, run: str, name: str, step: int | None) -> Tensor | None:
        """See Store."""
        with self._reading() as connection:
            return grid_sql.values(connection, run, name, step)

    def tensor_span(self, run: str, name: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return grid_sql.span(connection, run, name)

    # ---- Secret ----------------------------------------------------------------------

    @property
    def secret(self) -> bytes:
        """See Store."""
        return self._secret

    # ---- Tenants, users, tokens ------------------------------------------------------

    def create_tenant(self, tenant: Object) -> str:
        """See Store."""
        return self._write(lambda connection: user_sql.create_tenant(connection, tenant, self._now))

    def get_tenant(self, tenant: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return user_sql.get_tenant(connection, tenant)

    def list_tenants(self, query: Query) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return user_sql.select_tenants(connection, query)

    def update_tenant(self, tenant: str, changes: Object) -> bool:
        """See Store."""
        return self._write(lambda connection: user_sql.update_tenant(connection, tenant, changes))

    def delete_tenant(self, tenant: str) -> bool:
        """See Store."""
        return self._write(lambda connection: user_sql.delete_tenant(connection, tenant))

    def create_user(self, user: Object) -> str:
        """See Store."""
        return self._write(lambda connection: user_sql.create_user(connection, user, self._now))

    def get_user(self, user: str) -> Object | None:
        """See Store."""
        with self._reading() as connection:
            return user_sql.get_user(connection, user)

    def list_users(self, query: Query) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return user_sql.select_users(connection, query)

    def update_user(self, user: str, changes: Object) -> bool:
        """See Store."""
        return self._write(lambda connection: user_sql.update_user(connection, user, changes))

    def delete_user(self, user: str) -> bool:
        """See Store."""
        return self._write(lambda connection: user_sql.delete_user(connection, user))

    def usage(self, tenant: str | None) -> dict[str, Object]:
        """See Store."""
        with self._reading() as connection:
            return user_sql.usage(connection, tenant)

    def add_token(self, digest: str, token: Token) -> None:
        """See Store."""
        self._write(lambda connection: user_sql.add_token(connection, digest, token, self._now))

    def find_token(self, digest: str) -> Token | None:
        """See Store."""
        with self._reading() as connection:
            return user_sql.find_token(connection, digest)

    def list_tokens(self, query: Query, user: str | None) -> tuple[int, list[Object]]:
        """See Store."""
        with self._reading() as connection:
            return user_sql.select_tokens(connection, query, user)

    def delete_token(self, token: str, user: str | None) -> bool:
        """See Store."""
        return self._write(lambda connection: user_sql.delete_token(connection, token, user))


def _check_span(span: Span | None, count: int) -> None:
    if span is not None and span.end - span.first != count:
        raise ValueError(
            f"rows {span.first}-{span.end} are {span.end - span.first}, but the body has {count}"
        )


def _delete_folder(
    connection: sqlite3.Connection,
    folder: str,
    recursive: bool,
    with_runs: bool,
    keep: bool,
    now: int,
) -> Object:
    path, below, held = folder_sql.contents(connection, folder, recursive)
    if below and not recursive and not keep:
        raise ValueError(f"folder {path} has sub-folders: delete it recursively, or them first")
    if held and not with_runs:
        raise ValueError(f"folder {path} holds {len(held)} runs: delete them with it, or first")
    for run in held:
        run_sql.delete(connection, run, now)
    deleted = [] if keep else [folder, *below]
    folder_sql.delete(connection, deleted)
    return {"folders": deleted, "runs": held}


# ---- The directory --------------------------------------------------------------------


# A process never conflicts with its own record locks, and closing any descriptor of the file
# drops them: so the directories that this process owns are remembered here as well.
_owned: set[Path] = set()
_owned_lock = Lock()


def _own(directory: Path) -> int:
    """Make *directory* if it lacks and take its lock; return the descriptor that holds it."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _owned_lock:
            if directory.resolve() in _owned:
                raise _in_use(directory)
            descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                # The kernel drops it at any death of this process; a forked child lacks it.
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(descriptor)
                raise _in_use(directory) from error
            _owned.add(directory.resolve())
    except OSError as error:
        raise StoreError(f"the store at {directory} cannot be written: {error.strerror}") from error
    return descriptor


def _disown(directory: Path, descriptor: int) -> None:
    with _owned_lock:
        _owned.discard(directory.resolve())
        os.close(descriptor)


def _in_use(directory: Path) -> StoreError:
    return StoreError(
        f"the store at {directory} is in use by another server: stop it, or choose another place"
    )


@contextmanager
def _opening(directory: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"the store at {directory} cannot be opened: {error}") from error


def _connect(directory: Path, read_only: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{(directory / 'simvue.db').as_uri()}?mode={'ro' if read_only else 'rwc'}",
        uri=True,
        timeout=_LOCK_WAIT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.row_factory = sqlite3.Row
    if not read_only:
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
        # Of a new database: room that deleted runs had can be given back, a little at a time.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 0").fetchone()
    return connection


def _prepare(directory: Path) -> None:
    """Make the tables of a new database, upgrade one of an older program; refuse a newer one."""
    script = files(__package__).joinpath("sqlite.sql").read_text("utf-8")
    schema = f"BEGIN; {script} PRAGMA user_version = {SCHEMA}; COMMIT;"
    with closing(_connect(directory)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise StoreError(
                f"the store at {directory} has version {version}, newer than this program's "
                f"{SCHEMA}: upgrade simvue"
            )
        if version == 0:
            connection.executescript(schema)
    if 0 < version < SCHEMA:
        upgrade(directory / "simvue.db", version, schema, _PAGE_SIZE)
