"""SQLiteStore: the embedded engine, one directory owned by one process.

::

    DIR/lock         held by the kernel for the process that owns DIR
    DIR/simvue.db    the database; -wal and -shm beside it while it is open

Writes go through one thread (commits.py), reads through a pool of read-only connections,
each read in one snapshot.  What is written is decoded, compressed and summed up in the
caller's thread before it queues.  The SQL stands in runs.py, rows.py, folders.py.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar

from simvue.exception import StoreError

from . import Event, Object, Query, Series, Span, Store, Stored, Token
from . import folders as folder_sql
from . import rows as row_sql
from . import runs as run_sql
from .commits import Commits

if TYPE_CHECKING:
    from simvue._columns import Rows

T = TypeVar("T")

SCHEMA: Final = 1
"""The version of sqlite.sql, kept in the database's ``user_version``."""

_PAGE_SIZE: Final = 16_384
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
        self._write(lambda connection: run_sql.update(connection, run, changes, self._now))

    def delete_run(self, run: str) -> None:
        """See Store."""
        self._write(lambda connection: run_sql.delete(connection, run, self._now))
        self._sweep()

    def _sweep(self) -> None:
        """Delete the bodies of deleted runs, in slices between which others write."""
        while self._write(row_sql.sweep):
            pass

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

    def list_events(
        self, run: str, contains: Sequence[str], start: int, count: int | None
    ) -> tuple[int, list[Event]]:
        """See Store."""
        with self._reading() as connection:
            return row_sql.list_events(connection, run, contains, start, count)

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

    # ---- Tokens --------------------------------------------------------------------

    def add_token(self, digest: str, token: Token) -> None:
        """See Store."""
        line = (digest, token.user, token.tenant, token.is_admin, token.expires)
        extra = json.dumps(dict(token.extra))
        self._write(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO token VALUES (?, ?, ?, ?, ?, ?)", (*line, extra)
            )
        )

    def find_token(self, digest: str) -> Token | None:
        """See Store."""
        with self._reading() as connection:
            row = connection.execute("SELECT * FROM token WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            return None
        return Token(
            row["user"],
            row["tenant"],
            bool(row["is_admin"]),
            row["expires"],
            json.loads(row["extra"]),
        )


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
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 0").fetchone()
    return connection


def _prepare(directory: Path) -> None:
    """Make the tables of a new database; raise StoreError if it is newer than this program."""
    connection = _connect(directory)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise StoreError(
                f"the store at {directory} has version {version}, newer than this program's "
                f"{SCHEMA}: upgrade simvue"
            )
        if version == 0:
            script = files(__package__).joinpath("sqlite.sql").read_text("utf-8")
            connection.executescript(f"BEGIN; {script} PRAGMA user_version = {SCHEMA}; COMMIT;")
    finally:
        connection.close()
