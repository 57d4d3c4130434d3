"""Copies of artifacts on disk: whole, private, shared where they are equal, within the limits."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from simvue import spool, staging
from simvue.spool import ARTIFACTS, SpoolFull
from simvue.wire import new_id

DATA = os.urandom(3 << 20)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(DATA)
    return path


def lying(directory: Path) -> list[str]:
    """Return what lies in the folder of copies."""
    return sorted(path.name for path in (directory / ARTIFACTS).iterdir())


def test_a_copy_is_whole_private_and_named_by_its_content(tmp_path: Path, file: Path) -> None:
    artifact, checksum = new_id(), hashlib.sha256(DATA).hexdigest()
    content = staging.stage_file(tmp_path / "spool", artifact, file)
    assert content.path.read_bytes() == DATA
    assert (content.size, content.checksum, content.staged) == (len(DATA), checksum, True)
    assert content.path.name == f"{checksum}-{artifact}"
    assert content.path.stat().st_mode & 0o777 == 0o600
    assert content.path.parent.stat().st_mode & 0o777 == 0o700
    file.write_bytes(b"changed")
    assert content.path.read_bytes() == DATA
    assert lying(tmp_path / "spool") == [content.path.name], "nothing half made is left"


def test_equal_contents_lie_there_once_and_go_one_by_one(tmp_path: Path, file: Path) -> None:
    first = staging.stage_file(tmp_path, new_id(), file)
    second = staging.stage_bytes(tmp_path, new_id(), DATA)
    assert first.path != second.path
    assert os.path.samefile(first.path, second.path)
    staging.unstage(staging.located(tmp_path, first.as_members()))
    assert not first.path.exists()
    assert second.path.read_bytes() == DATA


def test_an_empty_file_and_one_whose_size_is_not_known_are_copied(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert staging.stage_file(tmp_path, new_id(), tmp_path / "empty").size == 0
    # The kernel says 0 of these, and has more.
    content = staging.stage_file(tmp_path, new_id(), Path("/proc/self/cmdline"))
    assert content.size > 0
    assert content.path.read_bytes() == Path("/proc/self/cmdline").read_bytes()


def test_by_reference_nothing_is_copied(tmp_path: Path, file: Path) -> None:
    content = staging.take_file(tmp_path / "spool", new_id(), file, snapshot=False)
    assert content.path == file
    assert content.checksum == hashlib.sha256(DATA).hexdigest()
    assert not (tmp_path / "spool").exists()
    staging.unstage(staging.located(tmp_path / "spool", content.as_members()))
    assert file.exists(), "it is the user's"


def test_without_room_for_a_copy_the_file_is_referred_to_and_that_is_said(
    tmp_path: Path,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(spool, "SIZE_MAX", 1 << 20)
    with pytest.raises(SpoolFull):
        staging.stage_bytes(tmp_path, new_id(), DATA)
    content = staging.take_file(tmp_path, new_id(), file, snapshot=True)
    assert (content.path, content.staged) == (file, False)
    assert "must not change until then" in caplog.text
    assert lying(tmp_path) == []


def test_copies_count_towards_the_limit_of_the_spool(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "SIZE_MAX", 7 << 20)
    staging.stage_file(tmp_path, new_id(), file)
    # Equal ones share their room.
    staging.stage_file(tmp_path, new_id(), file)
    staging.stage_bytes(tmp_path, new_id(), b"x" * (1 << 20))
    with pytest.raises(SpoolFull):
        staging.stage_bytes(tmp_path, new_id(), b"y" * (4 << 20))


def test_what_a_killed_process_left_half_made_is_removed_after_a_day(
    tmp_path: Path, file: Path
) -> None:
    folder = tmp_path / ARTIFACTS
    folder.mkdir()
    for name, age in (("old.part", 2 * 86400), ("young.part", 60)):
        (folder / name).write_bytes(b"half")
        moment = os.stat(file).st_mtime - age
        os.utime(folder / name, (moment, moment))
    content = staging.stage_file(tmp_path, new_id(), file)
    assert lying(tmp_path) == sorted([content.path.name, "young.part"])
