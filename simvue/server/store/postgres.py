"""PostgresStore: the scale-out engine, one database that any number of servers share.

::

    writes of small things    one thread a server, group commit, in turn with other servers
    writes of rows            each its own transaction, side by side; two of one run in turn
    reads                     each in one snapshot
    news                      NOTIFY, heard by every other server

Turns are a lock of the database that a transaction holds, so what runs.py and the others read
before they write stays so, as in the embedded engine.  A write of rows holds the row of its run
instead (runs.touch), and so does whoever deletes the run.

Statements are those of the embedded engine; this module makes psycopg take and answer them as
sqlite3 does.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, TypeVar

import psycopg
import psycopg_pool
from psycopg import errors
from psycopg.adapt import Buffer, Dumper
from psycopg.types.numeric import NumericBinaryLoader
from psycopg.types.string import StrDumperUnknown, TextBinaryLoader

from simvue import wire
from simvue.exception import StoreError

from .. import meters
from . import Busy, packs, shown
from . import connection as sql_connection
from .blobs import Blobs
from .commits import Commits, failure
from .sql import SCHEMA, SQLStore
from .tables import listed

T = TypeVar("T")

_FORWARD: Final = {
    3: """
        CREATE TABLE recent (
            run BIGINT NOT NULL REFERENCES run (key) ON DELETE CASCADE,
            digest BYTEA NOT NULL,
            stored BIGINT NOT NULL,
            PRIMARY KEY (run, digest)
        );
        CREATE INDEX recent_stored ON recent (run, stored);
    """
}
"""By the version that is left, what makes the tables those of the next, all or nothing."""

CONNECTIONS: Final = 24
"""That a server opens at most: four of them, and psql, fit into PostgreSQL's default of 100."""

# A connection that is not to be had for so long is not to be had: whoever asks tries again.  The
# pool gives up as soon, and tries anew for whoever asks next: it pauses twice as long after each
# try, and would miss the database's return by minutes after an outage of minutes.
_PATIENCE_S: Final = 10.0
# How long a transaction waits for another's locks: far more than the longest takes (chosen).
_LOCK_WAIT_MS: Final = 30_000
# A server that hangs with a lock, or is cut off, holds up the others no longer (chosen).
_IDLE_MAX_MS: Final = 60_000
_SETTINGS: Final = (
    f"-c lock_timeout={_LOCK_WAIT_MS} -c idle_in_transaction_session_timeout={_IDLE_MAX_MS} "
    "-c timezone=UTC -c client_encoding=UTF8"
)
# Any number that no other program takes as the name of its lock: "simvue" in ASCII.
_TURN: Final = 0x73696D767565
_CHANNEL: Final = "simvue"
# A transaction that lost a race for a lock is run again, which it may be a few times (chosen).
_ATTEMPTS: Final = 5


class PostgresStore(SQLStore):
    """The store in the database at *url*; its tables are made if they lack.

    *clock* tells seconds; what is too big for the database lies in *blobs*, which all servers
    reach.
    """

    shared = True

    def __init__(self, url: str, blobs: Blobs, clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._blobs = blobs
        self._node = wire.new_id()
        self._closed = False
        self._secret = self._prepare()
        self._pool = psycopg_pool.ConnectionPool(
            url,
            connection_class=psycopg.Connection,
            kwargs=_arguments(),
            configure=_configure,
            check=psycopg_pool.ConnectionPool.check_connection,
            min_size=2,
            max_size=CONNECTIONS,
            timeout=_PATIENCE_S,
            reconnect_timeout=_PATIENCE_S,
            open=True,
        )
        self._commits = Commits(self._turn, psycopg.Error)
        self._ears: list[_Ears] = []
        super().__init__(blobs, clock)
        self.tidy()

    def close(self) -> None:
        """Finish the writes in flight and close all connections."""
        if self._closed:
            return
        self._closed = True
        for ears in self._ears:
            ears.close()
        self._commits.close()
        self._pool.close()

    @property
    def secret(self) -> bytes:
        """See Store."""
        return self._secret

    # ---- Transactions -----------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[sql_connection.Connection]:
        try:
            with self._begun("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as connection:
                yield connection
        except psycopg.Error as error:
            raise StoreError(f"the store cannot be read: {error}") from error

    def _write(self, work: Callable[[sql_connection.Connection], T], size: int = 0) -> T:
        return self._commits.write(work, size)

    def _write_rows(self, work: Callable[[sql_connection.Connection], T], size: int = 0) -> T:
        begun = time.perf_counter()
        for attempt in range(_ATTEMPTS):
            try:
                with self._writing() as connection:
                    result = work(connection)
                meters.COMMIT_SECONDS.observe(time.perf_counter() - begun)
                meters.WRITES.inc()
                return result
            except errors.ProgramLimitExceeded as error:
                raise ValueError(
                    f"a name is too long for the store to look it up: {error}"
                ) from None
            except (errors.DeadlockDetected, errors.SerializationFailure, errors.UniqueViolation):
                # Another server made the same metric, or took two runs in another order.
                if attempt == _ATTEMPTS - 1:
                    raise Busy("other servers write the same rows") from None
            except psycopg.Error as error:
                raise failure(error) from error
        raise AssertionError

    @contextmanager
    def _turn(self, writes: int, size: int) -> Iterator[sql_connection.Connection]:
        """Lend a connection within a transaction, when it is this server's turn."""
        with self._writing() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(?)", (_TURN,))
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[_Connection]:
        """Lend a connection within a transaction, which is committed at the end."""
        with self._begun("BEGIN") as connection:
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _begun(self, begin: str) -> Iterator[_Connection]:
        """Lend a connection after *begin*; what is not committed by its end is taken back."""
        if self._closed:
            raise StoreError("the store is closed")
        with self._pool.connection() as raw:
            raw.execute(begin)
            try:
                yield _Connection(raw, self._blobs)
            finally:
                # A connection that broke goes to no pool, and its server takes all back.
                if raw.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    with suppress(psycopg.Error):
                        raw.execute("ROLLBACK")

    # ---- News -------------------------------------------------------------------------

    def tell(self, news: str) -> None:
        """See Store."""
        try:
            with self._writing() as connection:
                connection.execute("SELECT pg_notify(?, ?)", (_CHANNEL, f"{self._node} {news}"))
        except psycopg.Error as error:
            raise StoreError(f"other servers cannot be told: {error}") from error

    def hear(self, heard: Callable[[str], None]) -> None:
        """See Store."""
        self._ears.append(_Ears(self._url, self._node, heard))

    # ---- The schema -------------------------------------------------------------------

    def _prepare(self) -> bytes:
        """Make the tables of a new database, bring older ones forward; return the secret.

        Raises StoreError if the database is of a newer program, or cannot be opened.
        """
        script = files(__package__).joinpath("postgres.sql").read_text("utf-8")
        try:
            with psycopg.connect(self._url, **_arguments()) as connection, connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_TURN,))
                (there,) = connection.execute("SELECT to_regclass('store')").fetchone() or (None,)
                if there is None:
                    connection.execute(script)
                    connection.execute(
                        "INSERT INTO store VALUES (%s, %s)", (SCHEMA, secrets.token_bytes(32))
                    )
                    connection.execute(
                        "INSERT INTO storage (id, owner, name, backend, config, is_default, "
                        "is_enabled, is_tenant_useable, created) "
                        "VALUES (%s, 'admin', 'default', 'File', '{}', TRUE, TRUE, TRUE, %s)",
                        (wire.new_id(), int(time.time() * 1e6)),
                    )
                version, secret = connection.execute("SELECT * FROM store").fetchone() or (0, b"")
                while version in _FORWARD:
                    connection.execute(_FORWARD[version])
                    version += 1
                    connection.execute("UPDATE store SET version = %s", (version,))
        except psycopg.Error as error:
            raise StoreError(
                f"the store at {shown(self._url)} cannot be opened: {error}"
            ) from error
        if version != SCHEMA:
            raise StoreError(
                f"the store at {shown(self._url)} has version {version}, this program's is "
                f"{SCHEMA}: "
                + ("upgrade simvue" if version > SCHEMA else "it has no way from there")
            )
        return bytes(secret)


class _Ears:
    """A thread that hears what other servers tell, and calls *heard* with it."""

    def __init__(self, url: str, node: str, heard: Callable[[str], None]) -> None:
        self._url = url
        self._node = node
        self._heard = heard
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="simvue-ears", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._closed.is_set():
            try:
                self._listen()
            except psycopg.Error:
                # The database restarts: what was told meanwhile is lost, which is said below.
                self._closed.wait(1.0)

    def _listen(self) -> None:
        with psycopg.connect(self._url, **_arguments()) as connection:
            connection.execute(f"LISTEN {_CHANNEL}")
            self._heard("")
            while not self._closed.is_set():
                for notice in connection.notifies(timeout=0.5):
                    node, _, news = notice.payload.partition(" ")
                    if node != self._node:
                        self._heard(news)


def _arguments() -> dict[str, Any]:
    return {
        "autocommit": True,
        "options": _SETTINGS,
        "connect_timeout": 10,
        "application_name": "simvue",
        # A server that was cut off notices within half a minute.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 4,
        "tcp_user_timeout": 30_000,
    }


# ---- psycopg as the SQL modules see it ----------------------------------------------------


class _Connection:
    """psycopg's connection, which takes ``?`` for a parameter and answers rows by name."""

    def __init__(self, raw: psycopg.Connection[Any], blobs: Blobs) -> None:
        self._raw = raw
        self._blobs = blobs

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> psycopg.Cursor[Any]:
        return self._raw.execute(_translated(sql), parameters, binary=True)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> psycopg.Cursor[Any]:
        cursor = self._raw.cursor()
        cursor.executemany(_translated(sql), parameters)
        return cursor

    def insert(self, sql: str, parameters: Sequence[Any], /) -> int:
        (key,) = self.execute(f"{sql} RETURNING key", parameters).fetchall()[0]
        return int(key)

    def fetch(self, place: str, start: int, size: int) -> bytes:
        return packs.read(self._blobs, place, start, size)


@lru_cache(1024)
def _translated(sql: str) -> bytes:
    return sql.replace("%", "%%").replace("?", "%s").encode()


class _Row:
    """A row by name and by place, as sqlite3.Row is."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: dict[str, int], values: Sequence[Any]) -> None:
        self._places = places
        self._values = values

    def __getitem__(self, key: int | str) -> Any:
        return self._values[self._places[key] if isinstance(key, str) else key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> list[str]:
        return list(self._places)


def _rows(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], _Row]:
    places: dict[str, int] = {}
    for place, column in enumerate(cursor.description or ()):
        places.setdefault(column.name, place)
    return lambda values: _Row(places, values)


# Texts may hold the one character that PostgreSQL's cannot, U+0000: it travels as two others, of
# which the first, a character for private use, travels as two itself.
_ESCAPE: Final = "\uf8ff"


class _TextDumper(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer | None:
        if "\0" in obj or _ESCAPE in obj:
            obj = obj.replace(_ESCAPE, f"{_ESCAPE}1").replace("\0", f"{_ESCAPE}0")
        return super().dump(obj)


class _TextLoader(TextBinaryLoader):
    def load(self, data: Buffer) -> bytes | str:
        text = super().load(data)
        if isinstance(text, str) and _ESCAPE in text:
            text = text.replace(f"{_ESCAPE}0", "\0").replace(f"{_ESCAPE}1", _ESCAPE)
        return text


class _FloatDumper(Dumper):
    """A float as all its digits, and of a type that its column chooses.

    As a number with a point: so a NUMERIC column tells it from an int when it is read.
    """

    format = psycopg.pq.Format.TEXT
    oid = 0

    def dump(self, obj: float) -> Buffer | None:
        text = repr(float(obj))
        if "e" in text:
            text = f"{Decimal(text):f}"
            if "." not in text:
                text += ".0"
        return text.encode()


class _NumericLoader(NumericBinaryLoader):
    """An int, or a float if it was written with a point."""

    def load(self, data: Buffer) -> Any:
        number = super().load(data)
        exponent = number.as_tuple().exponent
        return int(number) if exponent == 0 else float(number)


def _configure(raw: psycopg.Connection[Any]) -> None:
    raw.row_factory = _rows
    adapters = raw.adapters
    adapters.register_dumper(str, _TextDumper)
    adapters.register_dumper(float, _FloatDumper)
    adapters.register_loader("text", _TextLoader)
    adapters.register_loader("numeric", _NumericLoader)


# ---- Whole tables -------------------------------------------------------------------------


_EXACT: Final = {psycopg.adapters.types[name].oid for name in ("int8", "bool", "float8", "bytea")}


class _Tables(_Connection):
    """A connection that reads and writes whole tables (tables.py)."""

    def columns(self, table: str) -> list[str]:
        return [column.name for column in self._described(table, "*")]

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Sequence[Any]]:
        types = [column.type_code for column in self._described(table, listed(columns))]
        chosen = f'COPY (SELECT {listed(columns)} FROM "{table}") TO STDOUT (FORMAT BINARY)'
        with self._raw.cursor().copy(chosen.encode()) as copy:
            copy.set_types(types)
            yield from copy.rows()

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        types = [column.type_code for column in self._described(table, listed(columns))]
        # What is big has no types but these, and goes at thrice the speed as it is.  All else
        # goes as text, of which each column makes what it is: a number keeps its point.
        exact = _EXACT.issuperset(types)
        form = " (FORMAT BINARY)" if exact else ""
        with self._raw.cursor().copy(
            f'COPY "{table}" ({listed(columns)}) FROM STDIN{form}'.encode()
        ) as copy:
            if exact:
                copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    def _described(self, table: str, columns: str) -> Sequence[psycopg.Column]:
        nothing = self._raw.execute(f'SELECT {columns} FROM "{table}" LIMIT 0'.encode())
        return nothing.description or ()

    def faults(self) -> Iterator[str]:
        # It checks its own references, and its pages where it was set up to.
        return iter(())

    def take_turn(self) -> None:
        """Let no server write small things until this transaction ends, nor make tables."""
        self.execute("SELECT pg_advisory_xact_lock(?)", (_TURN,))


@contextmanager
def transaction(url: str, blobs: Blobs, begin: str) -> Iterator[_Tables]:
    """Lend a connection within a transaction that may take as long as it needs.

    It is committed at the end.  Raises StoreError.
    """
    try:
        with psycopg.connect(url, **_arguments()) as raw:
            _configure(raw)
            raw.execute("SET idle_in_transaction_session_timeout = 0")
            raw.execute(begin.encode())
            yield _Tables(raw, blobs)
            raw.execute("COMMIT")
    except psycopg.Error as error:
        raise StoreError(f"the store at {shown(url)} cannot be copied: {error}") from error
