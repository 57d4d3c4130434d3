"""Upgrade: a database of an older program becomes one of this program, all or not at all.

::

    simvue.db, version 1 ──copy──> simvue.db.new ──rename──> simvue.db
          └── stays beside it as simvue-1.db, to go back to or to delete

The new file is made by today's sqlite.sql and filled from the old one, column by column; what
means something else by now is said in ``_MOVED``.  So an upgraded store has the tables of a
new one, and the copy that one wants to have before an upgrade is the old file itself.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from simvue.exception import StoreError

from . import chunks, rows
from .disk import sync

_logger = logging.getLogger("simvue.server")

_ROOM: Final = 1.25
"""Free space that is asked for, in sizes of the old file: its indexes may grow."""

# An attribute is there once since version 3, and shorter.
_ATTRIBUTES: Final = """
    INSERT INTO attr ({columns}, name, num, txt)
    SELECT {columns}, name, num, substr(txt, 1, 512)
    FROM (SELECT *, max(rowid) FROM old.attr GROUP BY {columns}, name)"""

_MOVED: Final[dict[int, dict[str, str]]] = {
    # Tokens had their user's name in them; who there is has tables of its own since version 2.
    1: {
        "tenant": """
            INSERT INTO tenant SELECT NULL, substr(hex(randomblob(11)), 1, 22), tenant, 1, 0, 0, 0,
                strftime('%s', 'now') * 1000000 FROM (SELECT DISTINCT tenant FROM old.token)""",
        "user": """
            INSERT INTO user SELECT NULL, substr(hex(randomblob(11)), 1, 22), user, tenant.key,
                '', '', 0, max(is_admin), 0, 1, strftime('%s', 'now') * 1000000
            FROM old.token AS token JOIN tenant ON tenant.name = token.tenant GROUP BY user""",
        "token": """
            INSERT INTO token SELECT NULL, digest, substr(hex(randomblob(11)), 1, 22), user.key, '',
                CASE WHEN token.is_admin THEN 'admin' ELSE 'write' END,
                strftime('%s', 'now') * 1000000, expires
            FROM old.token AS token JOIN user ON user.username = token.user""",
        "attr": _ATTRIBUTES.format(columns="run, folder"),
    },
    2: {"attr": _ATTRIBUTES.format(columns="run, folder, artifact")},
    # 3 had no table `recent`, which begins empty.
}
"""By the version that is left, what fills the tables that are not copied as they are."""


def _measure_bodies(connection: sqlite3.Connection) -> None:
    """Note how many rows each body has, and where those of each run begin and end."""
    # By key: the statement that reads is not to see what the others write.
    keys = connection.execute("SELECT key FROM body").fetchall()
    for (key,) in keys:
        run, chunk = connection.execute(
            "SELECT shape.run, chunk FROM body JOIN shape ON shape.key = body.shape "
            "WHERE body.key = ?",
            (key,),
        ).fetchone()
        axes = chunks.decode(chunk, ())
        connection.execute("UPDATE body SET rows = ? WHERE key = ?", (len(axes.step), key))
        if run is not None:
            rows.add_extent(connection, run, axes)


_MEASURED: Final[dict[int, Callable[[sqlite3.Connection], None]]] = {1: _measure_bodies}
"""By the version that is left, what is worked out from the copied tables."""


def upgrade(database: Path, version: int, schema: str, page_size: int) -> None:
    """Replace *database*, of an older *version*, by one with today's *schema* and all it holds.

    Nobody else has it open.  Takes about as long as copying the file.  Raises StoreError, and
    leaves the database as it was, where there is no room for a second one.
    """
    new = database.with_name(database.name + ".new")
    new.unlink(missing_ok=True)
    size = database.stat().st_size
    if shutil.disk_usage(database.parent).free < size * _ROOM:
        raise StoreError(
            f"{database} has to be upgraded from version {version}, for which {database.parent} "
            f"needs {size * _ROOM / 2**20:.0f} MiB of free space"
        )
    _logger.warning("%s is upgraded from version %s", database, version)
    with closing(sqlite3.connect(database, isolation_level=None)) as old:
        # Nothing may be left in the log: the new file will have the name that belongs to it.
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        old.execute("PRAGMA journal_mode = DELETE").fetchone()
    with closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {page_size}")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.executescript(schema)
        connection.execute("ATTACH ? AS old", (str(database),))
        connection.execute("BEGIN IMMEDIATE")
        _fill(connection, version)
        connection.execute("COMMIT")
    kept = database.with_name(f"{database.stem}-{version}{database.suffix}")
    kept.unlink(missing_ok=True)
    os.link(database, kept)
    os.replace(new, database)
    sync(database.parent)
    _logger.warning("%s is upgraded; what it was is kept as %s", database, kept)


def _fill(connection: sqlite3.Connection, version: int) -> None:
    moved = _MOVED.get(version, {})
    before = set(_tables(connection, "old"))
    # Tables refer to one another in a circle of none: every reference is checked at the end.
    for table in _tables(connection, "main"):
        if table in before and table not in moved:
            known = _columns(connection, "old", table)
            shared = [name for name in _columns(connection, "main", table) if name in known]
            names = ", ".join(f'"{name}"' for name in shared)
            connection.execute(f'DELETE FROM main."{table}"')
            connection.execute(
                f'INSERT INTO main."{table}" ({names}) SELECT {names} FROM old."{table}"'
            )
    for statement in moved.values():
        connection.execute(statement)
    if version in _MEASURED:
        _MEASURED[version](connection)
    if connection.execute("PRAGMA main.foreign_key_check").fetchone() is not None:
        raise StoreError("the store refers to what it does not hold; see 'simvue doctor --data'")


def _tables(connection: sqlite3.Connection, database: str) -> list[str]:
    rows = connection.execute(
        f"SELECT name FROM {database}.sqlite_schema "
        "WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    )
    return [name for (name,) in rows]


def _columns(connection: sqlite3.Connection, database: str, table: str) -> list[str]:
    rows = connection.execute(f'PRAGMA {database}.table_info("{table}")')
    return [row[1] for row in rows]
