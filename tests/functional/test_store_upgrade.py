"""A store that an older program made is upgraded when it is opened, and holds what it held.

The files in stores/ are dumps of databases that the program of that time made, one a version.
"""

from __future__ import annotations

import math
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from simvue.exception import StoreError
from simvue.server.store import Query, RunGone, open_store
from simvue.server.store.audit import audit
from simvue.server.store.sql import SCHEMA

STORES = Path(__file__).parent / "stores"


def make(directory: Path, version: int) -> Path:
    """Make the database of that version in *directory*; return its file."""
    directory.mkdir(mode=0o700, exist_ok=True)
    database = directory / "simvue.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.executescript((STORES / f"version_{version}.sql").read_text())
    return database


def tables_of(database: Path) -> dict[tuple[str, str], str]:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchone() is None
        rows = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql NOT NULL")
        return {(kind, name): sql for kind, name, sql in rows}


def test_there_is_a_store_of_every_version_that_came_before() -> None:
    found = {path.name for path in STORES.glob("version_*.sql")}
    assert found == {f"version_{version}.sql" for version in range(1, SCHEMA)}


@pytest.mark.parametrize("version", range(1, SCHEMA))
def test_an_older_store_is_upgraded_and_holds_what_it_held(tmp_path: Path, version: int) -> None:
    database = make(tmp_path / "store", version)
    for _ in range(2):
        # The second time there is nothing to do.
        store = open_store(str(database.parent))
        try:
            run = store.get_run("R" * 22)
            assert (run["name"], run["folder"], run["status"]) == ("first", "/old/runs", "running")
            assert run["metadata"] == {"re": 1000, "solver": {"name": "x", "ok": True}}
            assert sorted(run["tags"]) == ["a", "b"]
            assert run["description"] == "from version 1"
            assert run["metrics"]["x"]["count"] == 20
            series = store.series("R" * 22, ["x", "n"])
            assert series["x"].step.tolist() == list(range(20))
            values = series["x"].values.view("<f8").tolist()
            assert all(math.isnan(v) if i % 2 == 0 else v == i for i, v in enumerate(values))
            assert series["n"].values.tolist() == list(range(1, 20, 2))
            assert store.extent("R" * 22)["step"] == (0, 19)
            total, events = store.list_events("R" * 22, [], 0, None)
            assert (total, [event.message for event in events]) == (2, ["hello", "bye"])
            assert store.writers("R" * 22) == {"W" * 22: [(0, 20)], "E" * 22: [(0, 2)]}
            with pytest.raises(RunGone):
                store.get_run("D" * 22)
            assert store.list_runs(Query(), "ada")[0] == 1 + version
            admin, other = store.find_token("ab" * 32), store.find_token("cd" * 32)
            assert admin is not None
            assert other is not None
            assert (admin.user, admin.tenant, admin.scope) == ("ada", "home", "admin")
            assert (other.user, other.tenant, other.scope) == ("bob", "home", "write")
        finally:
            store.close()
    with closing(sqlite3.connect(database)) as connection:
        counted = connection.execute("SELECT min(rows), sum(rows) FROM body").fetchone()
        assert counted == (10, 20), "two shapes, ten rows each"
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,), "incremental"
    fresh = tmp_path / "fresh"
    open_store(str(fresh)).close()
    assert tables_of(database) == tables_of(fresh / "simvue.db")


@pytest.mark.parametrize("version", range(2, SCHEMA))
def test_folds_artifacts_and_alerts_are_upgraded(tmp_path: Path, version: int) -> None:
    """What a store may hold since version 2; its blobs are files, and stay where they are."""
    database = make(tmp_path / "store", version)
    with closing(sqlite3.connect(database)) as connection:
        (place,) = connection.execute("SELECT place FROM blob").fetchone()
    blob = database.with_name("blobs") / place
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"11 bytes ..")
    store = open_store(str(database.parent))
    try:
        run = store.get_run("T" * 22)
        assert (run["folder"], run["status"], run["tags"]) == ("/new", "completed", ["c"])
        assert run["metadata"] == {"k": 1.5}
        series = store.series("T" * 22, ["x", "n"])
        assert series["x"].values.view("<f8").tolist() == list(range(4096))
        assert series["n"].values.tolist() == list(range(4096))
        assert series["n"].time.tolist() == [step / 8 for step in range(4096)]
        cut = store.cut("T" * 22, ["x"], "step", 4)["x"]
        assert [cut.count.sum(), cut.min.min(), cut.max.max()] == [4096, 0, 4095]
        assert store.writers("T" * 22) == {"w" * 22: [(0, 4096)]}
        (artifact,) = store.run_artifacts("T" * 22)
        assert (artifact["name"], artifact["category"]) == ("a.txt", "output")
        file, size = store.open_artifact(artifact["id"])
        with file:
            assert (file.read(), size) == (b"11 bytes ..", 11)
        total, (alert,) = store.list_alerts(Query())
        assert (total, alert["name"], alert["alert"]["threshold"]) == (1, "hot", 5)
        # It goes on: what is new has keys of its own.
        assert store.create_run({"folder": "/new"}, "ada")[1]
    finally:
        store.close()
    assert audit(database.parent).faults == []


def test_a_database_of_version_3_is_brought_forward(database: str, tmp_path: Path) -> None:
    """Method: today's tables without what version 4 added."""
    open_store(database, str(tmp_path)).close()
    described = (
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
        "WHERE table_name = 'recent' ORDER BY column_name"
    )
    with psycopg.connect(database) as connection:
        wanted = connection.execute(described).fetchall()
        connection.execute("DROP TABLE recent")
        connection.execute("UPDATE store SET version = 3")
    for _ in range(2):
        open_store(database, str(tmp_path)).close()
    with psycopg.connect(database) as connection:
        assert connection.execute(described).fetchall() == wanted != []
        assert connection.execute("SELECT version FROM store").fetchone() == (SCHEMA,)


def test_what_it_was_stays_beside_it(tmp_path: Path) -> None:
    database = make(tmp_path / "store", 1)
    before = tables_of(database)
    open_store(str(database.parent)).close()
    kept = database.with_name("simvue-1.db")
    assert tables_of(kept) == before
    # To go back, the old file takes its place again; the next upgrade is the same again.
    shutil.copy(kept, database)
    open_store(str(database.parent)).close()
    assert tables_of(kept) == before


def test_an_upgrade_that_was_killed_begins_again(tmp_path: Path) -> None:
    database = make(tmp_path / "store", 1)
    database.with_name("simvue.db.new").write_bytes(b"half of it")
    open_store(str(database.parent)).close()
    assert not database.with_name("simvue.db.new").exists()


def test_without_room_for_a_second_one_nothing_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = make(tmp_path / "store", 1)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    before = tables_of(database)
    with pytest.raises(StoreError, match="MiB of free space"):
        open_store(str(database.parent))
    assert tables_of(database) == before
