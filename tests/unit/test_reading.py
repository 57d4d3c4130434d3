"""A reading goes on where the one before ended, and yields what is not done: all of it, once."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from simvue import spool
from simvue.reading import Found, Reading
from simvue.spool import Record, RecordKind, SpoolFile
from simvue.wire import body_header

RUNS = ["A" * 22, "B" * 22]


def row(run: str, number: int, size: int = 50) -> Record:
    body = body_header(run, "metrics", 1) + bytes(size)
    return Record(RecordKind.METRICS, run, "W" * 22, number, number + 1, body)


def call(run: str, **members: object) -> Record:
    return Record(RecordKind.CALL, run, "0" * 22, 0, 1, json.dumps(members).encode())


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpoolFile:
    # To look for room before each of many records takes longer than all else here.
    monkeypatch.setattr(spool, "check_room", lambda *_: None)
    return SpoolFile(tmp_path)


def read(reading: Reading, file: SpoolFile) -> tuple[list[list[Found]], int]:
    """Return the parcels of one pass, and the bytes that were passed over beside them."""
    sizes: list[int] = []
    assert file.path is not None
    parcels = list(reading.gather(file.path, lambda size, rows: sizes.append(size)))
    return parcels, sum(sizes)


def test_what_waits_is_yielded_again_with_what_was_written_since(file):
    for number in range(3):
        for run in RUNS:
            file.append(row(run, number))
    reading = Reading()
    (waiting, done), skipped = read(reading, file)
    assert [found.record.run for found in (waiting[0], done[0])] == RUNS
    size = file.path.stat().st_size
    assert sum(found.size for found in [*waiting, *done]) + skipped == size
    for found in done:
        reading.settle(found.offset)
    # The first record waits, so the file is read from there on the next time.
    assert reading.offset == waiting[0].offset
    file.append(row(RUNS[1], 3))
    (again, new), skipped = read(reading, file)
    assert [found.offset for found in again] == [found.offset for found in waiting]
    assert [found.record.first for found in new] == [3]
    assert skipped == sum(found.size for found in done)
    for found in [*new, *again]:
        reading.settle(found.offset)
    assert reading.offset == file.path.stat().st_size
    assert not reading.undone
    assert not reading.done
    assert read(reading, file) == ([], 0)
    file.finish(delivered=True)


def test_a_reading_that_was_broken_off_goes_on_with_what_it_had_ready(file):
    for number in range(3):
        for run in RUNS:
            file.append(row(run, number))
    reading = Reading()
    first = next(reading.gather(file.path, lambda size, rows: None))
    for found in first:
        reading.settle(found.offset)
    ((rest,), _) = read(reading, file)
    assert {found.record.run for found in rest} == {RUNS[1]}
    assert [found.record.first for found in rest] == [0, 1, 2]
    file.finish(delivered=True)


def test_artifacts_come_behind_all_else(file):
    file.append(call(RUNS[0], call="artifact", artifact={"id": "I" * 22}))
    file.append(row(RUNS[0], 0))
    file.append(call(RUNS[0], call="tags", tags=["t"]))
    parcels, _ = read(Reading(), file)
    kinds = [parcel[0].record.call.get("call", "rows") for parcel in parcels]
    assert kinds == ["rows", "tags", "artifact"]
    file.finish(delivered=True)


@pytest.mark.parametrize("size", [50, 1000])
def test_no_more_is_read_ahead_than_the_memory_that_is_meant_for_it(file, size):
    """That is 8 MiB, with what Python adds to each record; twice and more lies there."""
    writers = [f"{rank:022}" for rank in range(64)]
    for number in range(320 if size == 50 else 160):
        for writer in writers:
            file.append(row(writer, number, size))
    reading = Reading()
    rows = 0
    tracemalloc.start()
    try:
        for parcel in reading.gather(file.path, lambda size, rows: None):
            rows += len(parcel)
            for found in parcel:
                reading.settle(found.offset)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 64 * (number + 1)
    assert peak < 12 << 20
    file.finish(delivered=True)
