"""The spool: what was appended is what is read, whatever a crash or a disk did to the end."""

from __future__ import annotations

import json
import os
import random
import resource
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simvue import spool
from simvue.spool import (
    HEADER_SIZE,
    Record,
    RecordKind,
    Rejected,
    SpoolDamaged,
    SpoolFile,
    SpoolFull,
    find_created,
    list_files,
    read_record,
    read_records,
    walk,
)

RUN, WRITER = "R" * 22, "W" * 22
PREAMBLE_SIZE = 12
NO_ROOM = "File too large|a part of a record|not even a file"


def record(payload: bytes = b"payload", first: int = 0, count: int = 1) -> Record:
    return Record(RecordKind.METRICS, RUN, WRITER, first, first + count, payload)


RECORDS = [
    record(b"one body of rows", 0, 7),
    Record(RecordKind.EVENTS, RUN, "E" * 22, 2**40, 2**40 + 2**32 - 1, b""),
    Record(RecordKind.CALL, RUN, "C" * 22, 3, 4, b'{"call":"tags"}' * 9),
    record(bytes(range(256)) * 4, 7, 1),
]


def write(directory: Path, records: list[Record] = RECORDS) -> tuple[SpoolFile, list[int]]:
    """Append *records*; return the open file and where each begins."""
    file = SpoolFile(directory)
    offsets = [file.append(each)[0] for each in records]
    file.sync()
    return file, offsets


def read(path: Path) -> list[Record]:
    return [each for _, each in read_records(path)]


@pytest.fixture
def file_size_limit() -> Iterator[None]:
    """Put whatever limit a test sets on the size of files back: it stands for a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def limit_file_size(size: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


# ---- Writing and reading ----------------------------------------------------------------


def test_what_is_appended_is_read_back_in_order_and_by_its_place(tmp_path):
    file, offsets = write(tmp_path)
    assert read(file.path) == RECORDS
    assert [offset for offset, _ in read_records(file.path)] == offsets
    for offset, each in zip(offsets, RECORDS, strict=True):
        assert read_record(file.path, offset) == each
    with pytest.raises(SpoolDamaged, match="cut off"):
        read_record(file.path, file.path.stat().st_size)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda kind, payload, first, count: Record(
                kind, RUN, WRITER, first, first + count, payload
            ),
            st.sampled_from([RecordKind.METRICS, RecordKind.EVENTS, RecordKind.CALL]),
            st.binary(max_size=2000),
            st.integers(0, 2**63),
            st.integers(0, 2**32 - 1),
        ),
        max_size=5,
    )
)
def test_records_of_every_kind_and_size_come_back(tmp_path_factory, records):
    file, _ = write(tmp_path_factory.mktemp("spool"), [*RECORDS, *records])
    assert read(file.path) == [*RECORDS, *records]


def test_a_file_is_made_at_the_first_record_and_is_private(tmp_path):
    file = SpoolFile(tmp_path / "new" / "spool")
    assert file.path is None
    file.sync()
    file.finish(delivered=False)
    assert not (tmp_path / "new").exists()
    before = os.umask(0)
    try:
        file.append(record())
    finally:
        os.umask(before)
    assert file.path.parent == tmp_path / "new" / "spool"
    assert file.path.suffix == ".open"
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700


def test_two_shippers_write_two_files(tmp_path):
    first, _ = write(tmp_path)
    second, _ = write(tmp_path)
    assert first.path != second.path
    assert len(list_files(tmp_path)) == 2


def test_a_sealed_file_ends_with_its_end_and_is_renamed(tmp_path):
    file, _ = write(tmp_path)
    path = file.path
    file.finish(delivered=False)
    (done,) = list_files(tmp_path)
    assert done == path.with_suffix(".done")
    assert read(done) == RECORDS
    # Nothing is read behind the end.
    with open(done, "ab") as tail:
        tail.write(b"whatever")
    assert read(done) == RECORDS
    # The same object goes on in a new file.
    file.append(record())
    assert len(list_files(tmp_path)) == 2
    assert file.path.suffix == ".open"


def test_a_file_that_was_all_delivered_leaves_nothing(tmp_path):
    file, _ = write(tmp_path)
    file.finish(delivered=True)
    assert list(tmp_path.iterdir()) == []
    file.finish(delivered=True)


def test_files_are_listed_oldest_first(tmp_path):
    files = [write(tmp_path)[0] for _ in range(3)]
    for age, file in zip((3, 1, 2), files, strict=True):
        os.utime(file.path, (1e9 - age, 1e9 - age))
    assert list_files(tmp_path) == [files[0].path, files[2].path, files[1].path]


def test_rejected_records_lie_beside_their_answers(tmp_path):
    rejected = Rejected(tmp_path)
    rejected.add(RECORDS[0], "422 no such thing")
    rejected.add(RECORDS[2], "400 worse")
    rejected.finish()
    (done,) = list_files(tmp_path / "rejected")
    assert read(done) == [RECORDS[0], RECORDS[2]]
    first, second = done.with_suffix(".answers").read_text().splitlines()
    assert first == f"byte {PREAMBLE_SIZE}: metrics 0-7 of run {RUN}: 422 no such thing"
    assert second.endswith(f"call 3-4 of run {RUN}: 400 worse")


# ---- What a crash leaves ------------------------------------------------------------------


def test_a_torn_last_record_is_passed_over_wherever_it_was_torn(tmp_path):
    file, offsets = write(tmp_path)
    whole = file.path.read_bytes()
    torn = tmp_path / "torn.open"
    for size in range(offsets[-1], len(whole)):
        torn.write_bytes(whole[:size])
        assert read(torn) == RECORDS[:-1]
        with pytest.raises(SpoolDamaged, match="cut off"):
            read_record(torn, offsets[-1])
    for size in range(PREAMBLE_SIZE + 1):
        torn.write_bytes(whole[:size])
        assert read(torn) == []


def test_a_file_of_something_else_or_of_a_later_version_is_refused(tmp_path):
    path = tmp_path / "other.done"
    for start in (b"something else entirely", b"SIMVUESP\x02\0\0\0", bytes(200)):
        path.write_bytes(start)
        with pytest.raises(ValueError, match=r"other\.done is not a spool file"):
            read(path)


def flips(path: Path, begin: int, end: int) -> Iterator[int]:
    """Turn every bit from byte *begin* to *end* over, and back; yield which byte it is in."""
    whole = path.read_bytes()
    for place in range(begin, end):
        for bit in range(8):
            spoilt = bytearray(whole)
            spoilt[place] ^= 1 << bit
            path.write_bytes(spoilt)
            yield place
    path.write_bytes(whole)


def test_a_flipped_bit_of_a_record_is_noticed_behind_the_records_before(tmp_path):
    """All bits, its length included: taken for a torn end, it would hide the records behind it."""
    file, offsets = write(tmp_path)
    file.finish(delivered=False)
    (path,) = list_files(tmp_path)
    for _ in flips(path, offsets[1], offsets[2]):
        records = read_records(path)
        assert next(records) == (offsets[0], RECORDS[0])
        with pytest.raises(SpoolDamaged, match=f"byte {offsets[1]}"):
            next(records)
        with pytest.raises(SpoolDamaged, match=f"byte {offsets[1]}"):
            read_record(path, offsets[1])
    assert read(path) == RECORDS


@pytest.mark.parametrize(
    ("place", "content"),
    [
        (4, b"\x07"),  # a kind that there is not
        (6, b"\xff"),  # a writer that is not ASCII
        (HEADER_SIZE, b"no"),  # not deflated
    ],
)
def test_a_whole_record_that_says_nothing_known_is_damage(tmp_path, place, content):
    """Goal: with checksums that hold; behind it the file is read on."""
    file, offsets = write(tmp_path)
    file.finish(delivered=False)
    (path,) = list_files(tmp_path)
    whole = bytearray(path.read_bytes())
    at = offsets[1] + place
    whole[at : at + len(content)] = content
    path.write_bytes(checked(whole, offsets[1], offsets[2]))
    with pytest.raises(SpoolDamaged, match=f"byte {offsets[1]} is whole"):
        read_record(path, offsets[1])
    records = [content for _, _, content in walk(path) if isinstance(content, Record)]
    assert records[:-1] == [RECORDS[0], *RECORDS[2:]]


def test_a_length_beyond_the_file_takes_no_memory(tmp_path):
    """Goal: 4 GiB that a header of good checksum promises are not asked for."""
    file, offsets = write(tmp_path)
    file.finish(delivered=False)
    (path,) = list_files(tmp_path)
    whole = bytearray(path.read_bytes())
    whole[offsets[1] : offsets[1] + 4] = b"\xff" * 4
    path.write_bytes(checked(whole, offsets[1], offsets[2]))
    tracemalloc.start()
    try:
        assert read(path) == RECORDS[:1]
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def checked(file: bytearray, begin: int, end: int) -> bytes:
    """Give the record from byte *begin* to *end* the checksums that it should have."""
    payload = begin + HEADER_SIZE
    crcs = zlib.crc32(file[begin : payload - 8]), zlib.crc32(file[payload:end])
    file[payload - 8 : payload] = struct.pack("<II", *crcs)
    return bytes(file)


# ---- Limits -------------------------------------------------------------------------------


def test_a_full_spool_refuses_before_a_byte_is_written(tmp_path, monkeypatch):
    file, _ = write(tmp_path)
    other, _ = write(tmp_path)
    used = sum(path.stat().st_size for path in tmp_path.iterdir())
    # All files of the directory count, whoever writes them.
    monkeypatch.setattr(spool, "SIZE_MAX", used + HEADER_SIZE + 20)
    before = file.path.read_bytes()
    with pytest.raises(SpoolFull, match="simvue ship"):
        file.append(record(random.Random(1).randbytes(100)))
    assert file.path.read_bytes() == before
    file.append(record(b""))
    with pytest.raises(SpoolFull):
        other.append(record(b"more than nothing"))
    assert len(read(file.path)) == len(RECORDS) + 1


def test_the_last_part_of_a_disk_is_left_to_others(tmp_path, monkeypatch):
    file, _ = write(tmp_path)
    before = file.path.read_bytes()
    # No disk of a test is 95 % full, so the part that is kept is all of it.
    monkeypatch.setattr(spool, "DISK_SHARE_KEPT", 1.0)
    with pytest.raises(SpoolFull, match=r"disk .* is nearly full"):
        file.append(record())
    assert file.path.read_bytes() == before


@pytest.mark.usefixtures("file_size_limit")
@pytest.mark.parametrize("room", [0, 1, HEADER_SIZE - 1, HEADER_SIZE, HEADER_SIZE + 50])
def test_a_half_written_record_goes(tmp_path, room):
    """A limit on the size of files stands for a disk that fills up within a record."""
    file, _ = write(tmp_path)
    before = file.path.read_bytes()
    limit_file_size(len(before) + room)
    with pytest.raises(OSError, match=NO_ROOM) as caught:
        file.append(record(random.Random(1).randbytes(500)))
    assert not isinstance(caught.value, SpoolFull)
    assert file.path.read_bytes() == before
    limit_file_size(1 << 20)
    file.append(record(b"later"))
    assert read(file.path) == [*RECORDS, record(b"later")]


# ---- Where records would be lost ------------------------------------------------------------


@pytest.mark.usefixtures("file_size_limit")
def test_a_disk_that_takes_not_even_a_file_is_not_littered(tmp_path):
    """The shipper tries again and again: neither empty files nor descriptors may pile up."""
    file = SpoolFile(tmp_path)
    descriptors = len(os.listdir("/proc/self/fd"))
    limit_file_size(5)
    for _ in range(10):
        with pytest.raises(OSError, match=NO_ROOM):
            file.append(record())
    assert len(list(tmp_path.iterdir())) <= 1
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 1
    limit_file_size(1 << 20)
    file.append(record())
    assert read(file.path) == [record()]


def test_a_file_can_be_sealed_though_the_spool_is_full(tmp_path, monkeypatch):
    file, _ = write(tmp_path)
    monkeypatch.setattr(spool, "SIZE_MAX", 10)
    file.finish(delivered=False)
    (path,) = list_files(tmp_path)
    assert path.suffix == ".done"
    assert read(path) == RECORDS


def test_a_file_that_another_sender_removes_meanwhile_is_no_trouble(tmp_path):
    """Several may drain one directory; what is gone is a link to nothing here."""
    file, _ = write(tmp_path)
    (tmp_path / "gone.open").symlink_to("nothing")
    assert list_files(tmp_path) == [file.path]
    file.append(record())


# ---- Looking for a queued run -------------------------------------------------------------


def queued(run: str, name: str = "queued", url: str | None = None, **changed: str) -> Record:
    """An open call that creates a run, as it lies in a spool; *changed* are members of the run."""
    call = {
        "call": "open",
        "run": {"id": run, "name": name, "status": "created", **changed},
        "server": {"url": url} if url else None,
    }
    return Record(RecordKind.CALL, run, "0" * 22, 0, 1, json.dumps(call).encode())


def started(run: str) -> Record:
    """An open call that starts a run."""
    call = {"call": "open", "run": None, "changes": {"status": "running"}}
    return Record(RecordKind.CALL, run, "0" * 22, 0, 1, json.dumps(call).encode())


def test_a_queued_run_is_found_until_it_is_started_the_newest_first(tmp_path):
    runs = [letter * 22 for letter in "abcde"]
    write(tmp_path, [queued(runs[0]), *RECORDS, queued(runs[1])])
    write(tmp_path, [queued(runs[2], name="other"), queued(runs[3], status="running"), *RECORDS])
    for index, path in enumerate(list_files(tmp_path)):
        os.utime(path, (index, index))
    assert find_created(tmp_path, "queued", None, 60.0) == runs[1]
    write(tmp_path, [started(runs[1])])
    assert find_created(tmp_path, "queued", None, 60.0) == runs[0]
    write(tmp_path, [started(runs[0])])
    assert find_created(tmp_path, "queued", None, 60.0) is None
    assert find_created(tmp_path, "other", None, 60.0) == runs[2]
    assert find_created(tmp_path / "nowhere", "other", None, 60.0) is None


def test_a_queued_run_of_another_server_is_not_meant(tmp_path):
    write(tmp_path, [queued(RUN, url="https://one")])
    assert find_created(tmp_path, "queued", "https://two", 60.0) is None
    assert find_created(tmp_path, "queued", "https://one", 60.0) == RUN
    assert find_created(tmp_path, "queued", None, 60.0) == RUN
    write(tmp_path, [queued(WRITER)])
    assert find_created(tmp_path, "queued", "https://two", 60.0) == WRITER


def test_no_file_is_in_the_way_of_looking_for_a_queued_run(tmp_path):
    file, offsets = write(tmp_path, [queued(RUN), *RECORDS, queued(WRITER, name="behind")])
    whole = file.path.read_bytes()
    (tmp_path / "foreign.done").write_bytes(b"not a spool file at all")
    (tmp_path / "empty.open").write_bytes(b"")
    (tmp_path / "folder.done").mkdir()
    for size in range(0, len(whole), 7):
        file.path.write_bytes(whole[:size])
        found = find_created(tmp_path, "queued", None, 60.0)
        assert found == (RUN if size >= offsets[1] else None)
    file.path.write_bytes(whole[: offsets[1]] + bytes(HEADER_SIZE) + whole[offsets[1] :])
    assert find_created(tmp_path, "queued", None, 60.0) == RUN
    assert find_created(tmp_path, "behind", None, 60.0) is None


def test_looking_for_a_queued_run_ends_in_time(tmp_path):
    write(tmp_path, [queued(RUN)])
    assert find_created(tmp_path, "queued", None, 0.0) is None
