"""The spool: what could not be sent, as records on disk, until somebody can.

One file a shipper, append-only::

    SIMVUESP  u32 version
    record    u32 payload bytes │ u8 kind │ u8 packing │ writer 22 │ run 22 │ u64 first row
              │ u32 rows │ u32 CRC-32 of all that │ u32 CRC-32 of the payload │ payload
    ...
    END       a record of kind 4: nothing follows

``<host>-<boot>-<random>.open`` while its shipper writes it, then renamed ``.done``.  A
payload is a body as it goes to the server, or one call in JSON, deflated.  A torn last
record is what a crash leaves; readers stop before it.  Behind a damaged one they can go on.
No token is ever written here.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import json
import os
import re
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from simvue.exception import SimvueRunError
from simvue.wire import new_id

MAGIC: Final = b"SIMVUESP"
VERSION: Final = 1
_PREAMBLE: Final = struct.Struct("<8sI")
_HEADER: Final = struct.Struct("<IBB22s22sQI")
_CRCS: Final = struct.Struct("<II")
"""The header has its own, so that a wrong length is not taken for a torn end."""
HEADER_SIZE: Final = _HEADER.size + _CRCS.size

SIZE_MAX: Final = 10 << 30
"""Bytes of all spool files under one directory; chosen: a day of one busy rank."""

ARTIFACTS: Final = "artifacts"
"""The folder beside the files for what they refer to (staging.py)."""

DISK_SHARE_KEPT: Final = 0.05
"""The part of a file system that is never filled: others have to log in to clean up."""

_HEADER_LIKE: Final = re.compile(rb"(?=.{4}[\x01-\x04]\x01\w{44})", re.DOTALL | re.ASCII)
"""What a header looks like before its checksum is looked at."""

_SEARCH_SIZE: Final = 1 << 20
"""Bytes searched at a time for the record behind a damaged one; chosen: memory is no matter."""

_DEFLATE_LEVEL: Final = 1
"""Measured: higher levels cost thrice the time for a tenth of the bytes."""


class RecordKind(enum.IntEnum):
    """What a record's payload is."""

    METRICS = 1
    EVENTS = 2
    CALL = 3
    END = 4


class SpoolFull(SimvueRunError):
    """The spool has reached its limit, or the disk has; nothing was written."""


class SpoolDamaged(SimvueRunError):
    """A record is not as it was written, or of no known kind; the records before it are good."""


@dataclass(frozen=True)
class Record:
    """One record: rows ``first`` <= number < ``end`` of a writer of a run, or one call."""

    kind: RecordKind
    run: str
    writer: str
    first: int
    end: int
    payload: bytes

    @property
    def call(self) -> dict[str, Any]:
        """The call that it holds; empty where it holds rows, or nothing that is understood."""
        if self.kind is not RecordKind.CALL:
            return {}
        try:
            content = json.loads(self.payload)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


class SpoolFile:
    """The file that this process appends to; made at the first record."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path: Path | None = None
        self._fd = -1
        self._size = 0
        self._unsynced = False

    def append(self, record: Record) -> tuple[int, int]:
        """Append *record* and return its (offset, size); safe only after ``sync``.

        Raises SpoolFull before anything is written, OSError as the disk gives it.
        """
        payload = zlib.compress(record.payload, _DEFLATE_LEVEL)
        header = _HEADER.pack(
            len(payload),
            record.kind,
            1,
            record.writer.encode("ascii"),
            record.run.encode("ascii"),
            record.first,
            record.end - record.first,
        )
        crcs = _CRCS.pack(zlib.crc32(header), zlib.crc32(payload))
        size = HEADER_SIZE + len(payload)
        if self.path is None:
            self._make()
        if record.kind is not RecordKind.END:
            check_room(self._fd, self.directory, size)
        offset = self._size
        try:
            written = os.writev(self._fd, [header, crcs, payload])
            if written != size:
                raise OSError(errno.ENOSPC, "the disk took only a part of a record")
        except OSError:
            # The half-written record goes: what follows must not stand behind it.
            os.ftruncate(self._fd, offset)
            os.lseek(self._fd, offset, os.SEEK_SET)
            raise
        self._size += size
        self._unsynced = True
        return offset, size

    def sync(self) -> None:
        """Have every record on disk; what was appended before is safe from here on."""
        if self._unsynced:
            os.fdatasync(self._fd)
            self._unsynced = False

    def finish(self, delivered: bool) -> None:
        """End the file: removed if all of it is *delivered*, else sealed as ``.done``."""
        if self.path is None:
            return
        if delivered:
            self.path.unlink(missing_ok=True)
        else:
            self.append(Record(RecordKind.END, "0" * 22, "0" * 22, 0, 0, b""))
            self.sync()
            self.path.rename(self.path.with_suffix(".done"))
        os.close(self._fd)
        self.path = None
        self._size = 0

    def _make(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        boot = _boot_id()[:8]
        path = self.directory / f"{os.uname().nodename}-{boot}-{new_id()}.open"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            preamble = _PREAMBLE.pack(MAGIC, VERSION)
            if os.write(self._fd, preamble) != len(preamble):
                raise OSError(errno.ENOSPC, "the disk takes not even a file")
            # The name is on disk before the first record counts as safe.
            directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError:
            os.close(self._fd)
            path.unlink()
            raise
        self._size = _PREAMBLE.size
        self.path = path


def check_room(descriptor: int, directory: Path, size: int) -> None:
    """Raise SpoolFull if *size* more bytes are too many for *directory*, or for the disk.

    *descriptor* is of a file on that disk.
    """
    disk = os.fstatvfs(descriptor)
    if disk.f_bavail * disk.f_frsize - size < DISK_SHARE_KEPT * disk.f_blocks * disk.f_frsize:
        raise SpoolFull(
            f"the disk of {directory} is nearly full; free some of it, or run "
            "'simvue ship' where the server can be reached"
        )
    if _total_size(directory) + size > SIZE_MAX:
        raise SpoolFull(
            f"{directory} holds {SIZE_MAX >> 30} GiB of unsent data; run 'simvue ship' "
            "where the server can be reached"
        )


class Rejected:
    """What the server does not take: a file of records, and beside it a line each with the answer.

    It is not sent again by itself; one file a program, however much is rejected.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "rejected"
        self._file = SpoolFile(self.directory)

    def add(self, record: Record, answer: str) -> None:
        """Keep *record*; raises as ``SpoolFile.append`` does."""
        offset, _ = self._file.append(record)
        assert self._file.path is not None
        self._file.sync()
        what = f"{record.kind.name.lower()} {record.first}-{record.end}"
        with open(self._file.path.with_suffix(".answers"), "a", encoding="utf-8") as answers:
            answers.write(f"byte {offset}: {what} of run {record.run}: {answer}\n")

    def finish(self) -> None:
        """Seal the file, if there is one."""
        self._file.finish(delivered=False)


def list_files(directory: Path) -> list[Path]:
    """Return the spool files of *directory*, oldest first."""
    found = []
    for path in (*directory.glob("*.open"), *directory.glob("*.done")):
        # Another sender may have delivered and removed it just now.
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found)]


def _total_size(directory: Path) -> int:
    total = 0
    for path in (*list_files(directory), *(directory / ARTIFACTS).glob("*")):
        with contextlib.suppress(FileNotFoundError):
            about = path.stat()
            # Contents that several artifacts share lie there once.
            total += about.st_size // max(about.st_nlink, 1)
    return total


@dataclass(frozen=True)
class Flaw:
    """A stretch of a file that is no whole record; ``torn`` if the file just ends within it."""

    reason: str
    torn: bool


def walk(path: Path, start: int = 0) -> Iterator[tuple[int, int, Record | Flaw]]:
    """Yield (offset, end, what stands there) for all of a file, from the record at *start* on.

    Behind a flaw it goes on with the next record that can be found.  The last one of a sealed
    file is its END record.  Raises ValueError if it is no spool file.
    """
    with open(path, "rb") as file:
        preamble = file.read(_PREAMBLE.size)
        if len(preamble) < _PREAMBLE.size:
            if preamble:
                yield 0, len(preamble), Flaw(f"{path} ends within its first bytes", torn=True)
            return
        _check_preamble(preamble, path)
        offset = file.seek(max(start, _PREAMBLE.size))
        while head := file.read(HEADER_SIZE):
            try:
                content: Record | Flaw = _read(head, file, path, offset) or Flaw(
                    f"{path}: the record at byte {offset} is cut off", torn=True
                )
            except SpoolDamaged as error:
                content = Flaw(str(error), torn=False)
            if isinstance(content, Flaw) and not content.torn:
                file.seek(_find_record(file, offset + 1))
            end = file.tell()
            yield offset, end, content
            if isinstance(content, Record) and content.kind is RecordKind.END:
                return
            offset = file.seek(end)


def read_records(path: Path) -> Iterator[tuple[int, Record]]:
    """Yield (offset, record) of every whole record of a file, END excluded.

    Raises SpoolDamaged where a checksum does not hold, ValueError if it is no spool file.
    """
    for offset, _, content in walk(path):
        if isinstance(content, Flaw):
            if content.torn:
                return
            raise SpoolDamaged(content.reason)
        if content.kind is RecordKind.END:
            return
        yield offset, content


def skim(path: Path) -> Iterator[Record | None]:
    """Yield the calls of a file up to its end or the first damage, and None for rows, unread.

    Raises OSError, and ValueError if it is no spool file.
    """
    with open(path, "rb") as file:
        preamble = file.read(_PREAMBLE.size)
        if len(preamble) < _PREAMBLE.size:
            return
        _check_preamble(preamble, path)
        while len(head := file.read(HEADER_SIZE)) == HEADER_SIZE and _is_header(head):
            size, kind, *_ = _HEADER.unpack_from(head)
            if kind == RecordKind.CALL:
                with contextlib.suppress(SpoolDamaged):
                    yield _read(head, file, path, file.tell() - HEADER_SIZE)
            else:
                file.seek(size, os.SEEK_CUR)
                yield None


def find_created(directory: Path, name: str, url: str | None, timeout_s: float) -> str | None:
    """Return the newest run of that *name* that was created here and waits to be started.

    Runs that were recorded for another server than *url* are not meant; None is any server.  None
    also where so much lies here that it cannot be looked through within *timeout_s*.
    """
    deadline = time.monotonic() + timeout_s
    created: dict[str, None] = {}
    started: set[str] = set()
    for path in list_files(directory):
        # A file that cannot be read is 'simvue ship's to report.
        with contextlib.suppress(OSError, ValueError):
            for record in skim(path):
                if time.monotonic() > deadline:
                    return None
                if record is None:
                    continue
                call = record.call
                run = call.get("run") or {}
                address = (call.get("server") or {}).get("url")
                if run.get("name") == name and run.get("status") == "created":
                    if None in (url, address) or url == address:
                        created[record.run] = None
                elif (call.get("changes") or {}).get("status"):
                    started.add(record.run)
    waiting = [run for run in created if run not in started]
    return waiting[-1] if waiting else None


def read_record(path: Path, offset: int) -> Record:
    """Return the record that stands at *offset*; raises SpoolDamaged if it is not whole."""
    with open(path, "rb") as file:
        file.seek(offset)
        record = _read(file.read(HEADER_SIZE), file, path, offset)
    if record is None:
        raise SpoolDamaged(f"{path}: the record at byte {offset} is cut off")
    return record


def copy_without(path: Path, run: str | None) -> Path | None:
    """Write the whole records of a file but for those of *run* into a new sealed file.

    Returns its path, or None where no record of another run is left.  Raises as ``read_records``
    and ``SpoolFile.append`` do; the old file is as it was, and is the caller's to remove.
    """
    rest = SpoolFile(path.parent)
    try:
        for _, record in read_records(path):
            if record.run != run:
                rest.append(record)
    except BaseException:
        rest.finish(delivered=True)
        raise
    done = rest.path.with_suffix(".done") if rest.path else None
    rest.finish(delivered=False)
    return done


def _find_record(file: BinaryIO, start: int) -> int:
    """Return where the next record with a whole header begins from *start* on, or the end."""
    while True:
        file.seek(start)
        block = file.read(_SEARCH_SIZE)
        for match in _HEADER_LIKE.finditer(block):
            at = match.start()
            head = block[at : at + HEADER_SIZE]
            if len(head) == HEADER_SIZE and _is_header(head):
                return start + at
        if len(block) < _SEARCH_SIZE:
            return start + len(block)
        start += len(block) - HEADER_SIZE + 1


def _check_preamble(preamble: bytes, path: Path) -> None:
    magic, version = _PREAMBLE.unpack(preamble)
    if magic != MAGIC or version > VERSION:
        raise ValueError(f"{path} is not a spool file of a version that this program reads")


def _is_header(head: bytes) -> bool:
    checksum: int = _CRCS.unpack_from(head, _HEADER.size)[0]
    return zlib.crc32(head[: _HEADER.size]) == checksum


def _read(head: bytes, file: BinaryIO, path: Path, offset: int) -> Record | None:
    """Decode one record; None at the end of the file or at a torn last record."""
    if len(head) < HEADER_SIZE:
        return None
    size, kind, packing, writer, run, first, count = _HEADER.unpack_from(head)
    if not _is_header(head) or packing != 1:
        raise SpoolDamaged(f"{path}: the header of the record at byte {offset} is damaged")
    # Python takes the memory for as much as it is asked to read before it reads.
    packed = file.read(min(size, os.fstat(file.fileno()).st_size))
    if len(packed) < size:
        return None
    if zlib.crc32(packed) != _CRCS.unpack_from(head, _HEADER.size)[1]:
        raise SpoolDamaged(f"{path}: the checksum of the record at byte {offset} does not hold")
    try:
        return Record(
            RecordKind(kind),
            run.decode("ascii"),
            writer.decode("ascii"),
            first,
            first + count,
            zlib.decompress(packed),
        )
    except (ValueError, zlib.error) as error:
        raise SpoolDamaged(
            f"{path}: the record at byte {offset} is whole, but none of this version: {error}"
        ) from None


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown-"
