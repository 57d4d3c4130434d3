"""Rows among the blobs: full folds leave the database for S3, and are read as if they had not."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from fix_store import Engine

from simvue._columns import Block, Rows
from simvue.exception import StoreError
from simvue.server.store import Span, fold, packs
from simvue.server.store.sql import SQLStore

START_US = 1_770_000_000_000_000


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full folds of a hundred rows."""
    monkeypatch.setattr(fold, "ROWS", 100)


def noise(first: int, end: int, run: str = "") -> Rows:
    words = np.random.default_rng(first).integers(0, 2**50, (5, end - first), np.uint64)
    words[0] = np.arange(first, end)
    words[1] = (np.arange(first, end) / 8).view(np.uint64)
    words[2] = START_US + np.arange(first, end)
    return Rows(run, end - first, [Block(("x", "n"), bytes([0, 1]), None, words)])


def filled(store: SQLStore, rows: int, status: str = "completed") -> str:
    """Make a run with so many rows, sent a fold at a time."""
    run, _ = store.create_run({"folder": "/", "status": status}, "ada")
    for first in range(0, rows, 100):
        store.add_metrics(run, noise(first, first + 100), Span("w", first, first + 100))
    return run


def fold_all(store: SQLStore) -> None:
    while store.fold() or store.pack():
        pass


def counted(store: SQLStore) -> tuple[int, int, int]:
    """Return how many packs there are, how many folds lie in one, and how many do not."""
    with store._reading() as connection:
        (found,) = connection.execute("SELECT count(*) FROM pack").fetchone()
        (packed,) = connection.execute(
            "SELECT count(*) FROM fold WHERE level = 0 AND pack IS NOT NULL AND axes IS NULL"
        ).fetchone()
        (loose,) = connection.execute(
            "SELECT count(*) FROM fold WHERE level = 0 AND axes IS NOT NULL"
        ).fetchone()
    return found, packed, loose


def places(store: SQLStore) -> list[str]:
    with store._reading() as connection:
        return [place for (place,) in connection.execute("SELECT place FROM pack").fetchall()]


def answers(store: SQLStore, run: str) -> list[bytes]:
    """Return all that can be read of the rows, as bytes."""
    found = []
    for series in store.series(run, ["x", "n"]).values():
        found += [
            column.tobytes()
            for column in (series.step, series.time, series.timestamp, series.values, series.kinds)
        ]
    for start, end in ((None, None), (250, 333), (0, 5)):
        for cut in store.cut(run, ["x", "n"], "step", 40, start, end).values():
            found += [np.asarray(column).tobytes() for column in (cut.count, cut.min, cut.last_x)]
    return found


@pytest.mark.usefixtures("small")
def test_full_folds_move_to_s3_and_every_answer_stays(engine: Engine, bucket: str) -> None:
    store = engine.open(blobs=bucket)
    run, plain = filled(store, 2000), engine.open("plain")
    oracle = filled(plain, 2000)
    while store._folding.step():
        pass
    assert counted(store) == (0, 0, 20)
    before = answers(store, run)
    fold_all(store)
    assert counted(store) == (3, 20, 0), "packs of 8, 8 and 4 folds"
    assert answers(store, run) == before
    assert answers(store, run)[:10] == answers(plain, oracle)[:10]


@pytest.mark.usefixtures("small")
def test_a_running_run_is_packed_when_it_has_a_packful(engine: Engine, bucket: str) -> None:
    store = engine.open(blobs=bucket)
    run = filled(store, 100 * (packs.FOLDS - 1), status="running")
    fold_all(store)
    assert counted(store)[0] == 0
    first = 100 * (packs.FOLDS - 1)
    store.add_metrics(run, noise(first, first + 100), Span("w", first, first + 100))
    fold_all(store)
    assert counted(store) == (1, packs.FOLDS, 0)


@pytest.mark.usefixtures("small")
def test_a_deleted_run_frees_its_packs(engine: Engine, bucket: str) -> None:
    store = engine.open(blobs=bucket)
    gone, stays = filled(store, 1600), filled(store, 800)
    fold_all(store)
    written = places(store)
    before = answers(store, stays)
    assert len(written) == 3
    store.delete_run(gone)
    (left,) = places(store)
    for place in written:
        if place == left:
            assert store._blobs.size(place) > 0
        else:
            with pytest.raises(FileNotFoundError):
                store._blobs.size(place)
    assert answers(store, stays) == before


@pytest.mark.usefixtures("small")
def test_in_a_folder_beside_the_database_nothing_moves(engine: Engine) -> None:
    store = engine.open()
    filled(store, 1000)
    fold_all(store)
    assert counted(store) == (0, 0, 10)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("moment", ["draft", "write", "seal"])
def test_a_pack_that_cannot_be_written_leaves_the_rows_where_they_are(
    engine: Engine, bucket: str, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    store = engine.open(blobs=bucket)
    run = filled(store, 800)
    while store._folding.step():
        pass
    before = answers(store, run)
    draft = store._blobs.draft

    def failing(place: str) -> Any:
        if moment == "draft":
            raise OSError("no such luck")
        opened = draft(place)

        def fail(*_: object) -> None:
            raise OSError("no such luck")

        monkeypatch.setattr(opened, moment, fail, raising=True)
        return opened

    monkeypatch.setattr(store._blobs, "draft", failing)
    with pytest.raises(StoreError, match="no such luck"):
        store.pack()
    assert counted(store) == (0, 0, 8)
    assert answers(store, run) == before
    monkeypatch.undo()
    monkeypatch.setattr(fold, "ROWS", 100)
    fold_all(store)
    assert counted(store) == (1, 8, 0)
    assert answers(store, run) == before


@pytest.mark.usefixtures("small")
def test_a_run_deleted_while_its_pack_is_written_leaves_nothing(
    engine: Engine, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = engine.open(blobs=bucket)
    run = filled(store, 800)
    while store._folding.step():
        pass
    draft, written = store._blobs.draft, []

    def slow(place: str) -> Any:
        written.append(place)
        store.delete_run(run)
        return draft(place)

    monkeypatch.setattr(store._blobs, "draft", slow)
    assert store.pack()
    monkeypatch.undo()
    assert counted(store) == (0, 0, 0)
    # What nobody needs goes at the next deletion.
    store.delete_run(filled(store, 0))
    with pytest.raises(FileNotFoundError):
        store._blobs.size(written[0])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_of_two_who_pack_one_does(engine: Engine, bucket: str) -> None:
    """A directory has one server only."""
    first, second = engine.open(blobs=bucket), engine.open(blobs=bucket)
    filled(first, 1600)
    while first._folding.step():
        pass
    assert first._packing.step()
    assert not second._packing.step()
    assert first._packing.step()
    assert counted(second) == (2, 16, 0)


# ---- Death ------------------------------------------------------------------------------------

VICTIM = """
import sys
from simvue.server.store import fold, open_store
fold.ROWS = 100
store = open_store(sys.argv[1], sys.argv[2])
while store.fold() or store.pack():
    print("step", flush=True)
"""


@pytest.mark.crash
@pytest.mark.usefixtures("small")
def test_kill_9_while_rows_move_loses_and_repeats_nothing(
    engine: Engine, bucket: str, rng: random.Random
) -> None:
    """Method: kill a moment after a random step, where every second step writes a pack."""
    store = engine.open(blobs=bucket)
    run = filled(store, 4000)
    before = answers(store, run)
    for _ in range(4):
        store.close()
        with subprocess.Popen(
            [sys.executable, "-c", VICTIM, engine.url(), bucket], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            for _ in range(rng.randint(1, 8)):
                child.stdout.readline()
            # Nobody's promise depends on how long: it is another moment each time.
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(rng.uniform(0, 0.03))
            child.kill()
        # By a clock at which the leases of the dead have ended.
        store = engine.open(blobs=bucket, clock=lambda: time.time() + 100_000)
        assert answers(store, run) == before
    fold_all(store)
    found, packed, loose = counted(store)
    # Up to seven bodies, of which nobody has counted more since the last death, stay as they are.
    assert 33 <= packed <= 40
    assert loose == 0
    assert found >= 5
    assert answers(store, run) == before
