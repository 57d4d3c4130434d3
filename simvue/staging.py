"""Staging: artifacts on disk before they are sent, as they were when they were saved.

::

    spool/artifacts/<SHA-256>-<artifact's id>   a copy, synced, that never changes
    spool/artifacts/<artifact's id>.part        a copy that is being made

A simulation goes on to change its files, or dies; what it saved is safe when ``save_file``
returns.  A copy costs no room where the file system can share blocks (reflink), and equal
contents are one file under several names.  Whoever has sent an artifact removes its name.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from simvue.spool import ARTIFACTS, SpoolFull, check_room

_logger = logging.getLogger("simvue")

_FICLONE: Final = 0x40049409
"""The kernel's request that has one file share the blocks of another."""

_BLOCK_SIZE: Final = 1 << 20
"""Bytes read at a time; chosen: larger ones gain nothing."""

_ABANDONED_S: Final = 86400.0
"""A copy that is older than this and not finished has lost its process."""


@dataclass(frozen=True)
class Content:
    """Where the bytes of an artifact lie: ``staged`` as a copy of ours, or where the user put them.

    ``checksum`` is their SHA-256 in hexadecimal.
    """

    path: Path
    size: int
    checksum: str
    staged: bool

    def as_members(self) -> dict[str, Any]:
        """Return what an artifact's call says of it.

        Of a copy only its name: the spool directory may be moved, or have another path elsewhere.
        """
        return {"file": self.path.name if self.staged else str(self.path), "staged": self.staged}


def refer(path: Path) -> Content:
    """Read *path* for its checksum, and leave it where it is.  Raises OSError."""
    with open(path, "rb") as file:
        return Content(path, os.fstat(file.fileno()).st_size, digest(file.fileno()), staged=False)


def take_file(spool: Path, artifact: str, path: Path, snapshot: bool) -> Content:
    """Copy *path*, or with ``snapshot=False`` or where there is no room for a copy, refer to it.

    Raises OSError for a file that cannot be read.
    """
    if not snapshot:
        return refer(path)
    try:
        return stage_file(spool, artifact, path)
    except (SpoolFull, OSError) as error:
        content = refer(path)
        _logger.warning(
            "%s is not copied (%s); it is sent from where it lies, and must not change until then",
            path, error,
        )  # fmt: skip
        return content


def stage_file(spool: Path, artifact: str, path: Path) -> Content:
    """Copy *path* into the directory *spool* for the artifact of that id.

    Blocks for as long as the disk takes.  Raises OSError, or SpoolFull before a byte is written;
    nothing is left there then.
    """
    with open(path, "rb") as source:
        size = os.fstat(source.fileno()).st_size
        return _stage(spool, artifact, size, lambda target: _copy(source.fileno(), target))


def stage_bytes(spool: Path, artifact: str, content: bytes) -> Content:
    """Write *content* as ``stage_file`` copies a file; raises as it does."""

    def write(target: int) -> None:
        with open(target, "wb", closefd=False) as file:
            file.write(content)

    return _stage(spool, artifact, len(content), write)


def located(spool: Path, call: dict[str, Any]) -> dict[str, Any]:
    """Return a call that lies in the directory *spool* with the whole path of what it refers to."""
    if not call.get("staged"):
        return call
    return {**call, "file": str(spool / ARTIFACTS / call["file"])}


def unstage(call: Mapping[str, Any]) -> None:
    """Remove the copy of an artifact whose located call is done with; nothing for other calls."""
    if call.get("staged"):
        Path(call["file"]).unlink(missing_ok=True)


def digest(descriptor: int) -> str:
    """Return the SHA-256 of all of a file, in hexadecimal."""
    import hashlib  # OpenSSL is behind it: only who saves something pays for that

    found = hashlib.sha256()
    offset = 0
    while block := os.pread(descriptor, _BLOCK_SIZE, offset):
        found.update(block)
        offset += len(block)
    return found.hexdigest()


def _stage(spool: Path, artifact: str, size: int, fill: Callable[[int], None]) -> Content:
    directory = spool / ARTIFACTS
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_abandoned(directory)
    part = directory / f"{artifact}.part"
    target = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        check_room(target, spool, size)
        fill(target)
        checksum = digest(target)
        staged = directory / f"{checksum}-{artifact}"
        if not _link_to_equal(directory, checksum, staged):
            os.fsync(target)
            part.rename(staged)
        _sync(directory)
        return Content(staged, os.fstat(target).st_size, checksum, staged=True)
    finally:
        os.close(target)
        part.unlink(missing_ok=True)


def _link_to_equal(directory: Path, checksum: str, staged: Path) -> bool:
    """Give a file of the same content, if one lies there, one more name."""
    for other in directory.glob(f"{checksum}-*"):
        # It may just have been sent and removed; and not every file system has links.
        with contextlib.suppress(OSError):
            os.link(other, staged)
            return True
    return False


def _copy(source: int, target: int) -> None:
    """Copy one file to another, by the kernel as far as it can."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(target, _FICLONE, source)
        return
    with contextlib.suppress(OSError):
        while os.copy_file_range(source, target, 1 << 30):
            pass
    # Not between these two file systems, or not of this kind of file: from here on by hand.
    while block := os.read(source, _BLOCK_SIZE):
        view = memoryview(block)
        while view:
            view = view[os.write(target, view) :]


def _sync(directory: Path) -> None:
    """Have the names in *directory* on disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(directory: Path) -> None:
    """Remove unfinished copies of processes that died over them."""
    for part in directory.glob("*.part"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                part.unlink()
