"""A store is copied whole, into either engine, while its server runs: backup, restore, migrate.

What a store holds is read through its contract, so that a copy is held to what people see.
"""

from __future__ import annotations

import hashlib
import json
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import numpy as np
import psycopg
import pytest
from fix_disk import Disk
from fix_postgres import drop_database, make_database
from fix_server import ROOT, Server, run_server

from simvue import wire
from simvue._columns import Rows, decode_metrics
from simvue.exception import StoreError
from simvue.server.store import (
    Event,
    Query,
    RunGone,
    Span,
    Store,
    Tensor,
    Token,
    open_store,
    tables,
)
from simvue.server.store.audit import audit
from simvue.server.store.blobs import open_blobs
from simvue.server.store.copies import Copied, copy
from simvue.server.store.sources import open_source
from simvue.server.store.targets import open_target

START = 1_770_000_000_000_000
CONTENT = b"shared by two artifacts" * 1000
ODD = [0.5, float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1.7976931348623157e308]
WHOLE = [0, -1, 2**53 + 1, -(2**63), 2**63 - 1, 2**63, 2**64 - 1]


class Place(NamedTuple):
    """A store and its blobs, as open_store takes them."""

    store: str
    blobs: str | None = None

    def open(self) -> Store:
        return open_store(*self)

    @property
    def options(self) -> list[str]:
        kind = "--store" if self.blobs else "--data"
        return [kind, self.store, *(["--blobs", self.blobs] if self.blobs else [])]


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Place]]:
    """Two places of each engine, all of them empty; a database is made when it is asked for."""
    made: list[str] = []

    class Places(dict[str, Place]):
        def __missing__(self, name: str) -> Place:
            if name.startswith("sqlite"):
                place = Place(str(tmp_path / name))
            else:
                made.append(make_database(request.getfixturevalue("postgres")))
                place = Place(made[-1], str(tmp_path / f"{name} blobs"))
            self[name] = place
            return place

    yield Places()
    for url in made:
        drop_database(request.getfixturevalue("postgres"), url)


def copied(source: Place, target: Place) -> Copied:
    with open_source(*source) as one, open_target(*target) as other:
        return copy(one, other)


# ---- What a store holds ----------------------------------------------------------------------


def rows_of(columns: dict[str, list[float]], first: int) -> Rows:
    count = len(next(iter(columns.values())))
    rows = [
        {
            "values": {name: column[i] for name, column in columns.items()},
            "time": (first + i) / 8,
            "timestamp": wire.format_timestamp(START + (first + i) * 1000),
            "step": first + i,
        }
        for i in range(count)
    ]
    return decode_metrics(msgpack.packb({"run": "R" * wire.ID_SIZE, "metrics": rows}))


def upload(store: Store, content: bytes, name: str, run: str) -> str:
    artifact, there = store.create_artifact(
        {
            "name": name,
            "size": len(content),
            "checksum": hashlib.sha256(content).hexdigest(),
            "metadata": {"of": name},
        },
        "ada",
    )
    if not there:
        sending = store.begin_upload(artifact)
        sending.write(content)
        sending.finish()
    store.attach_artifact(run, artifact, "output")
    return artifact


def alert_of(source: str, **rule: Any) -> dict[str, Any]:
    switches = {"enabled": True, "abort": False, "auto": False}
    known = {"name": "an alert", "description": None, "notification": "none", **switches}
    return {**known, "source": source, "alert": rule or None}


def fill(store: Store) -> str:
    """Put some of everything into *store*; return the run that most of it belongs to."""
    store.add_token("ab" * 32, Token("ada", "home", "admin", 4e9, name="mine"))
    store.add_token("cd" * 32, Token("bob", "home", "write", 4e9))
    store.create_folder({"path": "/a/b", "metadata": {"kind": "x"}, "tags": ["t"]})
    run, _ = store.create_run(
        {
            "folder": "/a/b",
            "name": "first \N{SNOWMAN}",
            "description": "a\0b \uf8ff",
            "tags": ["t", "u"],
            "status": "running",
            "heartbeat_timeout": 60.5,
            "metadata": {
                "int": 7, "float": 7.0, "big": 2**70, "nan": float("nan"), "inf": float("inf"),
                "text": "x\0y", "long": "z" * 5000, "yes": True, "none": None, "in": {"deep": 0.1},
            },
        },
        "ada",
    )  # fmt: skip
    store.add_metrics(run, rows_of({"odd": ODD, "whole": WHOLE}, 0), Span("w" * 22, 0, 7))
    store.add_metrics(run, rows_of({"odd": WHOLE}, 20), Span("w" * 22, 20, 27))
    store.add_metrics(run, rows_of({"last": [2**64 - 1]}, 0), Span("v" * 22, 5, 6))
    store.add_metrics(run, rows_of({"unnamed": [float("nan")]}, 0), None)
    events = [Event(START + i, "error", f"event {i} \0") for i in range(5)]
    store.add_events(run, events, Span("e" * 22, 0, 5))
    alert, _ = store.create_alert(
        alert_of(
            "metrics",
            metric="odd", rule="is above", threshold=1.5, window=1, aggregation="average",
            frequency=1,
        ),
        "ada", False,
    )  # fmt: skip
    store.update_run(run, {"alerts": [alert]})
    store.set_alert_status(alert, run, "critical")
    upload(store, CONTENT, "one", run)
    upload(store, CONTENT, "two", run)
    upload(store, b"", "empty", run)
    grid = store.create_grid({"name": "g", "grid": [[1.0, 2.0]], "labels": ["x"]}, "ada")
    store.attach_grid(run, grid, "field")
    values = np.array([1.0, float("nan")])
    store.add_tensors(
        run,
        [Tensor("field", grid, 3, 0.5, START, "<f8", values.shape, values.tobytes())],
        Span("g" * 22, 0, 1),
    )
    # A run that is folded, and one that is no more.
    folded, _ = store.create_run({"folder": "/", "status": "completed"}, "bob")
    walk = np.random.default_rng(5).normal(size=40_000).cumsum().tolist()
    store.add_metrics(folded, rows_of({"x": walk}, 0), Span("f" * 22, 0, 40_000))
    while store.fold() or store.pack():
        pass
    gone, _ = store.create_run({"folder": "/", "id": "D" * 22}, "ada")
    store.delete_run(gone)
    return run


def content_of(store: Store, artifact: str) -> bytes:
    file, _ = store.open_artifact(artifact)
    with file:
        return file.read()


def held(store: Store) -> dict[str, Any]:
    """Return all that *store* holds, in words that can be compared."""
    found: dict[str, Any] = {}
    runs = store.list_runs(Query(), "ada")[1]
    for run in (entry["id"] for entry in runs):
        artifacts = store.run_artifacts(run)
        names = store.metric_names([run])
        found[run] = {
            "run": {**store.get_run(run), "runtime": None},  # It goes on.
            "series": {
                name: [column.tobytes() for column in series if column is not None]
                for name, one in store.series(run, names).items()
                for series in [(one.step, one.time, one.timestamp, one.values, one.kinds)]
            },
            "cut": [repr(store.cut(run, names, axis, 50)) for axis in ("step", "time")],
            "extent": store.extent(run),
            "events": store.list_events(run, [], 0, None),
            "writers": store.writers(run),
            "artifacts": artifacts,
            "contents": [content_of(store, one["id"]) for one in artifacts],
            "grids": store.run_grids(run),
            "tensor": store.tensor(run, "field", None),
            "alerts": [
                (alert["id"], store.alert_status(alert["id"], run))
                for alert in store.list_alerts(Query())[1]
            ],
        }
    found["folders"] = store.list_folders(Query())
    found["tags"] = store.list_tags(Query())
    found["alerts"] = store.list_alerts(Query())
    found["storages"] = store.list_storages()
    found["tenants"] = store.list_tenants(Query())
    found["users"] = store.list_users(Query())
    found["tokens"] = store.list_tokens(Query(), None)
    found["usage"] = store.usage(None)
    found["known"] = [store.find_token(text * 32) for text in ("ab", "cd", "ef")]
    found["secret"] = store.secret
    return {name: repr(value) for name, value in found.items()}


# ---- Exactly ---------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["sqlite 2", "postgres 2"])
@pytest.mark.parametrize("source", ["sqlite 1", "postgres 1"])
def test_a_copy_holds_exactly_what_its_source_holds(
    places: dict[str, Place], source: str, target: str
) -> None:
    with closing(places[source].open()) as store:
        run = fill(store)
        before = held(store)
        # Its server is at work meanwhile.
        done = copied(places[source], places[target])
    assert (done.runs, done.blobs, done.dropped, done.faults) == (2, 2, 0, [])
    assert done.points == 7 + 7 + 7 + 1 + 1 + 40_000
    assert done.size == len(CONTENT)
    assert audit(*places[target]).faults == []
    with closing(places[target].open()) as store:
        assert held(store) == before
        with pytest.raises(RunGone):
            store.get_run("D" * 22)
        # A shipper sends again what it has no answer for, and what it has not sent yet.
        again = rows_of({"whole": WHOLE}, 0)
        assert store.add_metrics(run, again, Span("w" * 22, 0, 7)).stored == 0
        assert store.add_metrics(run, again, Span("w" * 22, 7, 14)).stored == 7
        assert store.writers(run)["w" * 22] == [(0, 14), (20, 27)]
        # Keys go on behind those that were copied: in every table there is room for one more.
        fresh = fill_more(store)
        assert store.get_run(fresh)["metrics"]["x"]["count"] == 1


def fill_more(store: Store) -> str:
    """Put one more into each table that numbers its rows."""
    run, _ = store.create_run({"folder": "/c", "tags": ["new"]}, "eve")
    store.add_metrics(run, rows_of({"x": [1.0]}, 0), Span("n" * 22, 0, 1))
    store.add_events(run, [Event(START, "info", "new")], None)
    store.create_alert(alert_of("user"), "eve", False)
    flags = {"is_default": False, "is_enabled": True, "is_tenant_useable": True}
    store.create_storage({"name": "new", "backend": "File", **flags}, "eve")
    upload(store, b"new", "new", run)
    grid = store.create_grid({"name": "h", "grid": [[1.0]], "labels": ["x"]}, "eve")
    one = np.ones(1)
    tensor = Tensor("h", grid, 0, 0.0, START, "<f8", one.shape, one.tobytes())
    store.add_tensors(run, [tensor], None)
    store.add_token("ef" * 32, Token("eve", "away", "write", 4e9))
    return run


def test_rows_in_packs_are_read_from_the_copy_alone(places: dict[str, Place], bucket: str) -> None:
    source = Place(places["postgres 1"].store, bucket)
    with closing(source.open()) as store:
        fill(store)
        before = held(store)
    with psycopg.connect(source.store) as connection:
        assert connection.execute("SELECT count(*) FROM pack").fetchone() == (1,)
    done = copied(source, places["sqlite 1"])
    assert (done.blobs, done.faults) == (3, [])
    with closing(places["sqlite 1"].open()) as store:
        assert held(store) == before
    # And back to a bucket.
    back = Place(
        places["postgres 2"].store, f"{bucket.partition('?')[0]}-2?{bucket.partition('?')[2]}"
    )
    assert copied(places["sqlite 1"], back).blobs == 3
    with closing(back.open()) as store:
        assert held(store) == before
    assert audit(*back).faults == []


def test_both_engines_have_the_same_tables_and_columns(
    places: dict[str, Place], database: str
) -> None:
    places["sqlite 1"].open().close()
    Place(database, "unused").open().close()
    with closing(sqlite3.connect(f"{places['sqlite 1'].store}/simvue.db")) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        embedded = {
            name: [
                (column, bool(needed) and not key)
                for _, column, _, needed, _, key in connection.execute(
                    f'PRAGMA table_info("{name}")'
                )
            ]
            for (name,) in names
        }
    with psycopg.connect(database) as connection:
        columns = connection.execute(
            "SELECT relname, attname, attnotnull AND NOT coalesce(indisprimary, FALSE) "
            "FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid "
            "LEFT JOIN pg_index ON indrelid = attrelid AND indisprimary AND attnum = ANY(indkey) "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND attnum > 0 "
            "ORDER BY relname, attnum"
        ).fetchall()
    large: dict[str, list[tuple[str, bool]]] = {}
    for table, column, needed in columns:
        large.setdefault(table, []).append((column, needed))
    assert large.pop("store") == [("version", True), ("secret", True)]
    assert large == embedded
    assert set(tables.names()) == set(embedded) - {"lease", "litter"}


# ---- What is deleted, and what is lost -----------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite 1", "postgres 1"])
def test_an_artifact_that_is_deleted_meanwhile_is_not_in_the_copy(
    places: dict[str, Place], kind: str
) -> None:
    with closing(places[kind].open()) as store:
        run = fill(store)
        with open_source(*places[kind]) as source, open_target(*places["sqlite 2"]) as target:
            for artifact in store.run_artifacts(run):
                if artifact["name"] != "empty":
                    assert store.delete_artifact(artifact["id"])
            done = copy(source, target)
        assert (done.blobs, done.dropped, done.faults) == (1, 1, [])
        after = held(store)
    with closing(places["sqlite 2"].open()) as store:
        assert held(store) == after
    assert audit(*places["sqlite 2"]).faults == []


def test_a_run_whose_rows_vanish_from_the_bucket_goes_from_the_copy(
    places: dict[str, Place], bucket: str
) -> None:
    origin = Place(places["postgres 1"].store, bucket)
    with closing(origin.open()) as store:
        fill(store)
        (folded,) = [
            run["id"] for run in store.list_runs(Query(), "ada")[1] if run["user"] == "bob"
        ]
        with open_source(*origin) as source, open_target(*places["sqlite 1"]) as target:
            store.delete_run(folded)
            done = copy(source, target)
        assert (done.runs, done.blobs, done.dropped, done.faults) == (1, 2, 1, [])
        after = held(store)
    with closing(places["sqlite 1"].open()) as store:
        assert held(store) == after
        with pytest.raises(RunGone):
            store.get_run(folded)


@pytest.mark.parametrize("trouble", ["gone", "cut"])
def test_what_the_source_has_lost_is_told_and_the_rest_copied(
    places: dict[str, Place], trouble: str
) -> None:
    origin, goal = places["postgres 1"], places["sqlite 1"]
    with closing(origin.open()) as store:
        run = fill(store)
    (file,) = Path(str(origin.blobs)).glob(f"*/{hashlib.sha256(CONTENT).hexdigest()}-*")
    if trouble == "gone":
        file.unlink()
    else:
        file.write_bytes(CONTENT[:-1])
    told = simvue("backup", goal.store, *origin.options, "--json")
    assert told.returncode == 1
    (fault,) = json.loads(told.stdout)["faults"]
    assert str(file) in fault
    assert fault in told.stderr
    with closing(goal.open()) as store:
        contents = {one["name"]: one["id"] for one in store.run_artifacts(run)}
        assert content_of(store, contents["empty"]) == b""
        with pytest.raises(KeyError):
            store.open_artifact(contents["one"])
    found = simvue("check", *goal.options)
    assert found.returncode == 1
    assert "is not there" in found.stderr
    refused = simvue("migrate", *goal.options, "--to", places["postgres 2"].store, "--blobs",
                     str(places["postgres 2"].blobs))  # fmt: skip
    assert refused.returncode == 1
    assert "--despite-faults" in refused.stderr
    with closing(places["postgres 2"].open()) as store:
        assert store.list_runs(Query(), "ada")[0] == 0


def test_bytes_that_changed_in_a_bucket_are_told_and_not_copied(
    places: dict[str, Place], bucket: str
) -> None:
    origin = Place(places["postgres 1"].store, bucket)
    with closing(origin.open()) as store:
        fill(store)
    with psycopg.connect(origin.store) as connection:
        row = connection.execute("SELECT place FROM blob WHERE size > 0").fetchone()
    assert row is not None
    draft = open_blobs(bucket).draft(row[0])
    draft.write(b"S" + CONTENT[1:])
    draft.seal()
    done = copied(origin, places["sqlite 1"])
    (fault,) = done.faults
    assert f"{row[0]}, {len(CONTENT)} bytes, is not whole" in fault
    assert [row[0] in fault for fault in audit(*places["sqlite 1"]).faults] == [True]


# ---- The commands --------------------------------------------------------------------------------


def simvue(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simvue", "server", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def send(server: Server, run: str, first: int, count: int) -> int:
    rows = [
        {
            "values": {"x": i, "y": i / 7},
            "time": i / 8,
            "timestamp": wire.format_timestamp(START + i),
            "step": i,
        }
        for i in range(first, first + count)
    ]
    stored: int = server.send_rows(run, rows, "w" * 22, first)["stored"]
    return stored


def test_a_backup_of_a_server_at_work_is_served_and_takes_up_where_it_was(
    fresh_server: Server, tmp_path: Path
) -> None:
    run = fresh_server.new_run()
    assert send(fresh_server, run, 0, 100) == 100
    dest = tmp_path / "backup"
    with subprocess.Popen(
        [sys.executable, "-m", "simvue", "server", "backup", str(dest), "--json",
         "--data", str(fresh_server.data)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    ) as taking:  # fmt: skip
        sent = 100
        while taking.poll() is None:
            sent += send(fresh_server, run, sent, 100)
        assert taking.stdout is not None
        told = json.load(taking.stdout)
    assert told["runs"] == 1
    assert told["points"] % 200 == 0, "whole bodies"
    assert 200 <= told["points"] <= 2 * sent
    for name in ("secret", "simvue.toml", "simvue.db"):
        assert stat.S_IMODE((dest / name).stat().st_mode) == 0o600, name
    assert not dest.with_name("backup.new").exists()
    checked = simvue("check", "--data", str(dest), "--json")
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["rows"] * 2 == told["points"]

    # The machine is gone: another one is given the backup, and shippers send again.
    fresh_server.kill()
    restored = tmp_path / "another" / "machine"
    assert simvue("restore", str(dest), "--data", str(restored)).returncode == 0
    server = Server(restored)
    try:
        assert server.token == fresh_server.token
        lost = sent - told["points"] // 2
        assert sum(send(server, run, first, 100) for first in range(0, sent, 100)) == lost
        assert server.get(f"/runs/{run}")["metrics"]["x"]["count"] == sent
    finally:
        assert server.stop() == 0


def test_a_copy_wants_an_empty_place(places: dict[str, Place], tmp_path: Path) -> None:
    origin = places["sqlite 1"]
    with closing(origin.open()) as store:
        fill(store)
    for goal in (places["sqlite 2"], places["postgres 2"]):
        copied(origin, goal)
        again = simvue("restore", origin.store, *goal.options)
        assert again.returncode == 1
        assert "empty" in again.stderr
        assert "postgres:" not in again.stderr, "no password"
        assert audit(*goal).runs == 2
    again = simvue("backup", places["sqlite 2"].store, *origin.options)
    assert again.returncode == 1
    assert "is not empty" in again.stderr
    nothing = simvue("restore", str(tmp_path), "--data", str(tmp_path / "x"))
    assert nothing.returncode == 1
    assert "it has no simvue.db" in nothing.stderr
    assert not (tmp_path / "x").exists()
    shared = Place(places["postgres 1"].store, f"{origin.store}/blobs")
    with pytest.raises(StoreError, match="cannot share their blobs"):
        copied(origin, shared)


def test_a_mounted_volume_is_filled_where_it_is(
    places: dict[str, Place], tmp_path: Path, disk: Disk
) -> None:
    """It cannot be replaced by a rename, and its files cannot be those of another disk."""
    with closing(places["sqlite 1"].open()) as store:
        fill(store)
        before = held(store)
    disk(tmp_path / "volume", 64)
    goal = Place(str(tmp_path / "volume"))
    assert copied(places["sqlite 1"], goal).blobs == 2
    with closing(goal.open()) as store:
        assert held(store) == before


def test_a_full_disk_is_told_and_nothing_is_left(
    places: dict[str, Place], tmp_path: Path, disk: Disk
) -> None:
    with closing(places["sqlite 1"].open()) as store:
        run = fill(store)
        upload(store, random.Random(1).randbytes(4 << 20), "large", run)
    disk(tmp_path / "volume", 3)
    full = simvue("backup", str(tmp_path / "volume" / "dest"), *places["sqlite 1"].options)
    assert full.returncode == 1
    assert "No space left on device" in full.stderr
    assert list((tmp_path / "volume").iterdir()) == []


def test_an_embedded_store_moves_and_says_where_it_went(
    places: dict[str, Place], fresh_server: Server
) -> None:
    run = fresh_server.new_run()
    send(fresh_server, run, 0, 100)
    goal = places["postgres 1"]
    command = ["migrate", "--data", str(fresh_server.data), "--to", goal.store]
    command += ["--blobs", str(goal.blobs)]
    refused = simvue(*command)
    assert refused.returncode == 1
    assert "in use by another server" in refused.stderr
    assert fresh_server.stop() == 0
    moved = simvue(*command)
    assert moved.returncode == 0, moved.stderr
    secret = goal.store.rpartition("@")[0].rpartition(":")[2]
    assert f":{secret}@" in goal.store
    assert f":{secret}@" not in moved.stdout

    # Habit opens the old one.
    process = run_server("--data", str(fresh_server.data), "--port", "0", log=fresh_server.log)
    assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 1
    said = fresh_server.log_text()
    assert f"has moved to {goal.store.replace(':' + secret, '')}" in said
    assert secret not in said
    assert simvue(*command).returncode == 1

    server = Server(fresh_server.data, *goal.options)
    try:
        assert server.token == fresh_server.token
        assert send(server, run, 50, 100) == 50
    finally:
        assert server.stop() == 0
    # And back, without what the other has got since.
    (fresh_server.data / "moved").unlink()
    fresh_server.restart()
    assert fresh_server.get(f"/runs/{run}")["metrics"]["x"]["count"] == 100


def test_a_command_knows_which_store_is_meant(
    places: dict[str, Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(places["sqlite 1"].open()) as store:
        fill(store)
    copied(places["sqlite 1"], places["postgres 1"])
    before = simvue("--data", places["sqlite 1"].store, "check")
    assert before.returncode == 2
    assert "options go behind check" in before.stderr
    both = simvue("check", "--data", places["sqlite 1"].store, "--store", "postgresql://x")
    assert both.returncode == 2
    assert "--data or --store" in both.stderr
    # As the units of deploy/ have it.
    monkeypatch.setenv("SIMVUE_SERVER_STORE", places["postgres 1"].store)
    monkeypatch.setenv("SIMVUE_SERVER_BLOBS", str(places["postgres 1"].blobs))
    assert simvue("check").stdout.startswith("2 runs, ")
    # Who names a directory means it.
    places["sqlite 2"].open().close()
    assert simvue("check", *places["sqlite 2"].options).stdout.startswith("0 runs, ")


SPOILT = {
    "DELETE FROM body": "rows are noted as stored and are not there",
    "DELETE FROM chunk": "has no chunk of metric x",
    "UPDATE chunk SET rows = substr(rows, 1, 40)": "fold 1, metric x: ",
    "UPDATE chunk SET rows = NULL": "metric x: it is neither in the database nor in a pack",
    "UPDATE fold SET axes = substr(axes, 1, 40)": "fold 1: ",
    'UPDATE span SET "end" = 26 WHERE first = 20': "1 rows are there and not noted",
    "INSERT INTO body SELECT 9999, shape, writer, first, rows, chunk FROM body "
    "ORDER BY key LIMIT 1": "rows are there twice",
    "DELETE FROM event WHERE key = 1": "1 events are noted and are not there",
    "UPDATE blob SET size = 7 WHERE size = 0": "has 0 bytes of 7",
}


@pytest.mark.parametrize("kind", ["sqlite 1", "postgres 1"])
def test_a_check_says_what_is_damaged_or_lacks(places: dict[str, Place], kind: str) -> None:
    place = places[kind]
    with closing(place.open()) as store:
        fill(store)
    whole = simvue("check", *place.options)
    assert (whole.returncode, whole.stderr) == (0, "")
    for number, (statement, fault) in enumerate(SPOILT.items()):
        copied(place, spoilt := places[f"{kind.partition(' ')[0]} spoilt {number}"])
        if place.blobs:
            with psycopg.connect(spoilt.store) as connection:
                connection.execute(statement.encode())
        else:
            with closing(sqlite3.connect(f"{spoilt.store}/simvue.db")) as embedded, embedded:
                embedded.execute(statement)
        faults = audit(*spoilt).faults
        assert any(fault in told for told in faults), (statement, faults)


def test_a_check_reads_the_rows_in_packs(places: dict[str, Place], bucket: str) -> None:
    place = Place(places["postgres 1"].store, bucket)
    with closing(place.open()) as store:
        fill(store)
    assert audit(*place).faults == []
    with psycopg.connect(place.store) as connection:
        row = connection.execute("SELECT place FROM pack").fetchone()
    assert row is not None
    open_blobs(bucket).remove(row[0])
    faults = audit(*place).faults
    assert any(told.endswith(f"{row[0]} is not there") for told in faults)
    assert any("rows among the blobs cannot be read" in told for told in faults)


# ---- kill -9 -------------------------------------------------------------------------------------


@contextmanager
def hung(url: str, lock: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command that comes to wait for *lock* in the database at *url*."""
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as watcher:
        holder.execute(lock)
        with subprocess.Popen(
            [sys.executable, "-m", "simvue", "server", *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            while not watcher.execute(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            ).fetchone():
                assert process.poll() is None, process.communicate()[0]
            yield process
            process.kill()
            process.communicate()


@pytest.mark.crash
def test_a_backup_that_is_killed_leaves_nothing_that_looks_complete(
    places: dict[str, Place], tmp_path: Path
) -> None:
    origin = places["postgres 1"]
    with closing(origin.open()) as store:
        fill(store)
        before = held(store)
    dest = tmp_path / "dest"
    command = ["backup", str(dest), *origin.options]
    # Of the tables, this one is read last.
    with hung(origin.store, "LOCK TABLE token IN ACCESS EXCLUSIVE MODE", *command):
        assert dest.with_name("dest.new").exists()
        second = simvue(*command)
        assert second.returncode == 1
        assert "another copy is being written" in second.stderr
    assert not dest.exists()
    assert simvue(*command).returncode == 0
    assert not dest.with_name("dest.new").exists()
    with closing(Place(str(dest)).open()) as store:
        assert held(store) == before


@pytest.mark.crash
def test_a_restore_that_is_killed_leaves_an_empty_database(places: dict[str, Place]) -> None:
    origin, goal = places["sqlite 1"], places["postgres 1"]
    with closing(origin.open()) as store:
        fill(store)
        before = held(store)
    goal.open().close()
    command = ["restore", origin.store, *goal.options]
    # It can be read, so it is empty; of the tables it is filled last.
    with hung(goal.store, "LOCK TABLE token IN SHARE MODE", *command):
        pass
    with psycopg.connect(goal.store) as connection:
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (0,)
    again = simvue(*command)
    assert again.returncode == 0, again.stderr
    with closing(goal.open()) as store:
        assert held(store) == before


@pytest.mark.crash
def test_a_backup_is_complete_or_absent_wherever_it_is_killed(
    places: dict[str, Place], tmp_path: Path, rng: random.Random
) -> None:
    origin = places["sqlite 1"]
    with closing(origin.open()) as store:
        run = fill(store)
        for number in range(50):
            upload(store, b"%d" % number, str(number), run)
    absent = 0
    for number in range(4):
        dest = tmp_path / f"dest {number}"
        process = subprocess.Popen(
            [sys.executable, "-m", "simvue", "server", "backup", str(dest), *origin.options],
            cwd=ROOT, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        staging = dest.with_name(f"{dest.name}.new")
        while not staging.exists() and process.poll() is None:
            pass
        try:
            # From its first moment to about its last.
            process.wait(rng.random() * 0.1)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        absent += not dest.exists()
        if dest.exists():
            found = audit(dest)
            assert (found.runs, found.blobs, found.faults) == (2, 52, [])
    assert absent, "none was killed in time"
