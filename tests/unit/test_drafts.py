"""Drafts: what was not finished leaves nothing, and a full disk is said before it is full."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from simvue.exception import StoreError
from simvue.server.store import ChecksumDiffers, NoSpace
from simvue.server.store.blobs import RESERVE, Blobs, Draft, FolderBlobs, Upload, new_place

CONTENT = b"the bytes of an artifact"
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


class Small(FolderBlobs):
    """A folder on a disk with as much room as the test says."""

    def __init__(self, directory: Path, room: int) -> None:
        super().__init__(directory)
        self.room = room

    def free(self) -> int:
        return RESERVE + self.room


class Record:
    """What an upload told its store."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self.dropped = 0

    def drop(self) -> None:
        self.dropped += 1


def begin(blobs: Blobs, place: str, record: Record) -> Upload:
    return Upload(blobs, place, CHECKSUM, record.kept.append, record.drop)


def files(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob("*") if path.is_file()]


@pytest.fixture
def place() -> str:
    return new_place(CHECKSUM)


def test_a_blob_lies_under_its_checksum_and_is_complete(tmp_path: Path, place: str) -> None:
    blobs, record = FolderBlobs(tmp_path / "blobs"), Record()
    upload = begin(blobs, place, record)
    upload.write(CONTENT[:5])
    upload.write(CONTENT[5:])
    assert files(tmp_path)[0].endswith(".part")
    with pytest.raises(FileNotFoundError):
        blobs.open(place)
    upload.finish()
    upload.discard()
    assert (record.kept, record.dropped) == ([len(CONTENT)], 0)
    with blobs.open(place) as file:
        assert file.read() == CONTENT
    assert (tmp_path / "blobs" / CHECKSUM[:2]).is_dir()
    assert [name.partition("-")[0] for name in files(tmp_path)] == [CHECKSUM]
    blobs.remove(place)
    blobs.remove(place)
    assert files(tmp_path) == []


def test_a_place_is_never_the_same_twice() -> None:
    assert len({new_place(CHECKSUM) for _ in range(100)}) == 100


def test_other_bytes_leave_nothing(tmp_path: Path, place: str) -> None:
    record = Record()
    upload = begin(FolderBlobs(tmp_path / "blobs"), place, record)
    upload.write(CONTENT + b"!")
    with pytest.raises(ChecksumDiffers):
        upload.finish()
    upload.discard()
    upload.discard()
    assert (record.kept, record.dropped, files(tmp_path)) == ([], 1, [])


def test_a_store_that_cannot_keep_them_leaves_nothing(tmp_path: Path, place: str) -> None:
    def refuse(size: int) -> None:
        raise KeyError("deleted meanwhile")

    record = Record()
    upload = Upload(FolderBlobs(tmp_path / "blobs"), place, CHECKSUM, refuse, record.drop)
    upload.write(CONTENT)
    with pytest.raises(KeyError):
        upload.finish()
    upload.discard()
    assert (record.dropped, files(tmp_path)) == (1, [])


def test_the_last_bytes_of_a_disk_are_left_for_rows(tmp_path: Path, place: str) -> None:
    blobs, record = Small(tmp_path / "blobs", room=len(CONTENT)), Record()
    upload = begin(blobs, place, record)
    upload.reserve(len(CONTENT))
    with pytest.raises(NoSpace, match="make room on its disk"):
        upload.reserve(len(CONTENT) + 1)
    upload.write(CONTENT[:5])
    blobs.room = -1
    with pytest.raises(NoSpace, match="room for 0 MiB"):
        upload.write(CONTENT[5:])
    upload.discard()
    assert files(tmp_path) == []


def test_a_discarded_upload_takes_no_more(tmp_path: Path, place: str) -> None:
    """A request is cancelled while a thread still has a piece in its hands."""
    upload = begin(FolderBlobs(tmp_path / "blobs"), place, Record())
    upload.discard()
    upload.write(CONTENT)
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_said_in_words(tmp_path: Path, place: str) -> None:
    (tmp_path / "blobs").write_text("in the way")
    record = Record()
    with pytest.raises(StoreError, match="the artifact cannot be written"):
        begin(FolderBlobs(tmp_path / "blobs"), place, record)
    assert record.dropped == 1


class _Failing(Draft):
    """A draft on a disk that breaks at one of its calls."""

    def __init__(self, at: str) -> None:
        self.at = at

    def _do(self, name: str) -> None:
        if name == self.at:
            raise OSError(5, "Input/output error")

    def write(self, data: bytes) -> None:
        self._do("write")

    def seal(self) -> None:
        self._do("seal")

    def discard(self) -> None:
        self._do("discard")


class _Broken(Small):
    def __init__(self, at: str) -> None:
        super().__init__(Path(), 1 << 40)
        self.at = at

    def draft(self, place: str) -> Draft:
        return _Failing(self.at)


def _send(upload: Upload) -> None:
    upload.write(CONTENT)
    upload.finish()


@pytest.mark.parametrize("at", ["write", "seal"])
def test_a_disk_that_breaks_is_the_servers_fault(at: str, place: str) -> None:
    record = Record()
    upload = begin(_Broken(at), place, record)
    with pytest.raises(StoreError, match="Input/output error"):
        _send(upload)
    upload.discard()
    assert (record.kept, record.dropped) == ([], 1)


def test_a_file_that_will_not_go_stays_noted(place: str) -> None:
    record = Record()
    begin(_Broken("discard"), place, record).discard()
    assert record.dropped == 0
