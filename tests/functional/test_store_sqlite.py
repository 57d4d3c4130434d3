"""What the embedded engine promises beyond the contract: its directory, its log, its deaths."""

from __future__ import annotations

import hashlib
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simvue import wire
from simvue._columns import Block, Rows
from simvue.exception import StoreError
from simvue.server.store import Span, commits, log, open_store
from simvue.server.store.sql import SCHEMA
from simvue.server.store.sqlite import SQLiteStore

RUN = "R" * wire.ID_SIZE


def noise(first: int, end: int, seed: int = 0) -> Rows:
    """Make rows that no codec shrinks: row i has step i and five random values."""
    words = np.random.default_rng(seed).integers(0, 2**50, (8, end - first), np.uint64)
    words[0] = np.arange(first, end)
    return Rows(RUN, end - first, [Block(("a", "b", "c", "d", "e"), bytes([1] * 5), None, words)])


# ---- The directory ------------------------------------------------------------------------


def test_a_second_owner_is_refused_in_words(tmp_path: Path) -> None:
    with_store = f"from simvue.server.store import open_store; open_store({str(tmp_path)!r})"
    store = open_store(str(tmp_path))
    try:
        for path in (tmp_path, tmp_path / "." / ".." / tmp_path.name):
            with pytest.raises(StoreError, match="is in use by another server: stop it"):
                open_store(str(path))
        # Had that refusal cost us our lock, this one would get it.
        other = subprocess.run([sys.executable, "-c", with_store], capture_output=True, text=True)
        assert other.returncode == 1
        assert "is in use by another server: stop it" in other.stderr.splitlines()[-1]
    finally:
        store.close()
    store.close()
    for call in (store.beat, store.get_run):
        with pytest.raises(StoreError, match="the store is closed"):
            call(RUN)
    subprocess.run([sys.executable, "-c", with_store], check=True)
    open_store(str(tmp_path)).close()


def test_a_newer_store_is_refused_in_words(tmp_path: Path) -> None:
    open_store(str(tmp_path)).close()
    connection = sqlite3.connect(tmp_path / "simvue.db")
    connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    for _ in range(2):
        with pytest.raises(StoreError, match=f"newer than this program's {SCHEMA}: upgrade simvue"):
            open_store(str(tmp_path))


def test_a_place_that_cannot_be_written_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/store cannot be written: Not a directory"):
        open_store(str(tmp_path / "file" / "store"))
    with pytest.raises(StoreError, match=r"/proc/simvue cannot be written"):
        open_store("/proc/simvue")
    (tmp_path / "simvue.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="cannot be opened: file is not a database"):
        open_store(str(tmp_path))


def test_pages_are_large_and_commits_are_synced(tmp_path: Path) -> None:
    open_store(str(tmp_path)).close()
    connection = sqlite3.connect(tmp_path / "simvue.db")
    assert connection.execute("PRAGMA page_size").fetchone() == (16_384,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


# ---- The log ----------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0.0, 0.03], ids=["quick disk", "slow disk"])
def test_the_log_stays_bounded_while_others_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delay: float
) -> None:
    """Method: limits a hundred times smaller, and thirty times the log's limit written."""
    checkpoint = log.checkpoint

    def delayed(connection: sqlite3.Connection) -> None:
        checkpoint(connection)
        time.sleep(delay)  # as a disk that syncs more slowly than rows come

    monkeypatch.setattr(log, "checkpoint", delayed)
    monkeypatch.setattr(log, "CHECKPOINT_AT", 256 << 10)
    monkeypatch.setattr(log, "LOG_MAX", 1 << 20)
    store = SQLiteStore(str(tmp_path))
    try:
        store.create_run({"id": RUN, "folder": "/"}, "ada")

        def post(writer: int) -> None:
            for first in range(0, 100_000, 2000):
                span = Span(str(writer), first, first + 2000)
                store.add_metrics(RUN, noise(first, first + 2000), span)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(post, range(4)))
        assert (tmp_path / "simvue.db").stat().st_size > 12 << 20
        # What the writer counts is an estimate of what SQLite logs.
        assert (tmp_path / "simvue.db-wal").stat().st_size < 6 << 20
        assert len(store.series(RUN, ["a"])["a"].step) == 400_000
    finally:
        store.close()
    assert not (tmp_path / "simvue.db-wal").exists()


def test_a_full_disk_fails_the_write_and_nothing_else(tmp_path: Path) -> None:
    """Method: a database that may not grow past 30 pages, filled by eight threads."""

    database = sqlite3.connect(tmp_path / "full.db", isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL").fetchone()
    database.execute("PRAGMA max_page_count = 30").fetchone()
    database.execute("CREATE TABLE t (number UNIQUE, data)")

    @contextmanager
    def transaction(writes: int, size: int) -> Iterator[Any]:
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def insert(number: int, connection: Any) -> int:
        connection.execute("INSERT INTO t VALUES (?, ?)", (number, bytes(3000)))
        return number

    writer = commits.Commits(transaction, sqlite3.Error)

    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(writer.write, partial(insert, number)) for number in range(100)]
    told = {future.result() for future in sent if future.exception() is None}
    assert 10 < len(told) < 40
    for future in sent:
        error = future.exception()
        assert error is None or isinstance(error, StoreError)
        assert error is None or str(error).endswith("cannot be written: database or disk is full")
    there = writer.write(lambda connection: connection.execute("SELECT number FROM t").fetchall())
    assert {number for (number,) in there} == told
    writer.close()
    writer.close()
    database.close()


# ---- Death ------------------------------------------------------------------------------------

# Four threads post bodies of random sizes as fast as they can and say what was acknowledged.
INGEST = """
import random, sys, threading
import numpy as np
from simvue._columns import Block, Rows
from simvue.server.store import Span, log, open_store

directory, seed = sys.argv[1], int(sys.argv[2])
log.CHECKPOINT_AT, log.LOG_MAX = 1 << 20, 4 << 20
store = open_store(directory)
run, _ = store.create_run({"id": "R" * 22, "folder": "/"}, "ada")

def post(writer):
    generator = random.Random(seed * 10 + writer)
    first = 0
    while True:
        end = first + generator.choice([1, 10, 500, 5000])
        words = np.random.default_rng(first).integers(0, 2**50, (4, end - first), np.uint64)
        words[0] = words[3] = np.arange(first, end)
        rows = Rows(run, end - first, [Block(("x",), bytes([1]), None, words)])
        assert store.add_metrics(run, rows, Span(f"w{writer}", first, end)).stored == end - first
        sys.stdout.write(f"w{writer} {end}\\n")
        sys.stdout.flush()
        first = end

for writer in range(4):
    threading.Thread(target=post, args=(writer,)).start()
"""


@pytest.mark.crash
@pytest.mark.parametrize("attempt", range(4))
def test_what_was_acknowledged_survives_kill_9(
    tmp_path: Path, rng: random.Random, attempt: int
) -> None:
    """Method: kill at a random acknowledgement, reopen, and read all rows back."""
    seed = rng.randrange(2**16)
    acknowledged: dict[str, int] = {}
    with subprocess.Popen(
        [sys.executable, "-c", INGEST, str(tmp_path), str(seed)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        lines = rng.randint(1, 600)
        for number, line in enumerate(child.stdout):
            writer, end = line.split()
            acknowledged[writer] = int(end)
            if number == lines:
                child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    store = open_store(str(tmp_path))
    try:
        stored = store.writers(RUN)
        assert {writer: first for writer, ((first, _),) in stored.items()} == dict.fromkeys(
            stored, 0
        )
        ends = {writer: ranges[0][1] for writer, ranges in stored.items()}
        assert {
            writer: ends[writer] for writer in acknowledged if ends[writer] < acknowledged[writer]
        } == {}
        steps = store.series(RUN, ["x"])["x"].step
        assert len(steps) == sum(ends.values()) == store.get_run(RUN)["metrics"]["x"]["count"]
        # Writers follow each other, so the steps are the whole of each one's rows in turn.
        expected = np.concatenate([np.arange(end) for end in ends.values()])
        assert (steps == expected).all()
    finally:
        store.close()
    connection = sqlite3.connect(tmp_path / "simvue.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.parametrize("renamed", [False, True], ids=["being written", "not yet committed"])
def test_a_file_that_is_no_artifacts_is_removed_at_the_next_opening(
    tmp_path: Path, renamed: bool
) -> None:
    """As a death leaves it: begun, or whole and renamed just before its commit."""
    store = SQLiteStore(str(tmp_path))
    checksum = hashlib.sha256(b"content").hexdigest()
    form = {"name": "n", "size": 7, "checksum": checksum}
    artifacts = [store.create_artifact(form, owner)[0] for owner in ("ada", "eve")]
    kept, lost = (store.begin_upload(artifact) for artifact in artifacts)
    kept.write(b"content")
    kept.finish()
    lost.write(b"content")
    (draft,) = (tmp_path / "blobs").rglob("*.part")
    if renamed:
        draft.rename(draft.with_suffix(""))
    store.close()
    again = SQLiteStore(str(tmp_path))
    with pytest.raises(StoreError, match="closed"):
        lost.discard()
    assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 1
    file, size = again.open_artifact(artifacts[0])
    with file:
        assert (file.read(), size) == (b"content", 7)
    with pytest.raises(KeyError):
        again.open_artifact(artifacts[1])
    again.close()
