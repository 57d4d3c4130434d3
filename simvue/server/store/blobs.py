"""Blobs: what is too big for a database, each content once, under names that are never reused.

::

    DIR/blobs/9f/9f86d0...0a08-Zq3...    sealed: written, synced, renamed; never changes
    DIR/blobs/9f/9f86d0...0a08-Zq3....part     being written

A file counts only if the database names its place.  The place is noted there as litter
before the file is begun, and again when its blob is deleted; so whatever is interrupted,
the next opening finds every file that nothing needs.  Because a new blob of the same content
gets another place, removing a file never races with storing its content anew.

Where several nodes serve one database, blobs are objects of an S3 store (objects.py), under
the same places.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Final

from simvue import wire
from simvue.exception import StoreError

from . import ChecksumDiffers, NoSpace
from .disk import sync

RESERVE: Final = 256 << 20
"""Bytes of the disk that artifacts leave free: rows of running simulations come first, and
the database's log alone may take as much (log.LOG_MAX)."""

SYNC_EVERY: Final = 32 << 20
"""Bytes of a blob that may wait to be on the disk: commits of rows wait behind them there, at
most a third of a second on a slow one (chosen)."""

# Bytes that are read and hashed at a time (chosen).
_PIECE: Final = 1 << 20


class Draft(ABC):
    """A blob being written, which nobody sees before it is sealed."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Append *data*.  Raises OSError."""

    @abstractmethod
    def seal(self) -> None:
        """Make what was written durable under its place.  Raises OSError."""

    @abstractmethod
    def discard(self) -> None:
        """Forget what was written."""


@dataclass(frozen=True)
class Form:
    """Where and how a client sends bytes past the server: a form, the file as its last part."""

    url: str
    fields: Mapping[str, str]


class Blobs(ABC):
    """Where blobs lie.  Calls block, but not for ever; they may come from any thread.

    OSErrors have a ``strerror`` that says what is wrong in words.
    """

    remote = False
    """Whether they lie in a storage of their own, made for what is big."""

    direct: Direct | None = None
    """How clients send and fetch blobs themselves; None: by the server."""

    @abstractmethod
    def draft(self, place: str) -> Draft:
        """Begin the blob at *place*, which is new.  Raises OSError."""

    @abstractmethod
    def open(self, place: str) -> BinaryIO:
        """Open the blob at *place* to read from any offset.

        Raises FileNotFoundError if there is none, OSError.
        """

    @abstractmethod
    def read(self, place: str, offset: int, size: int) -> bytes:
        """Return *size* bytes of the blob at *place* from *offset*, fewer only at its end.

        Raises FileNotFoundError if there is none, OSError.
        """

    @abstractmethod
    def size(self, place: str) -> int:
        """Return the size of the blob at *place*.  Raises FileNotFoundError, OSError."""

    @abstractmethod
    def remove(self, place: str) -> None:
        """Remove the blob, or the draft of one, at *place*, if it is there.  Raises OSError."""

    @abstractmethod
    def free(self) -> int:
        """Return how many bytes there is room for."""


class Direct(ABC):
    """The way between clients and the storage past the server, by signed addresses."""

    size_max: int
    """Bytes that a form takes."""

    lifetime_s: int
    """How long an address works."""

    @abstractmethod
    def upload_form(self, place: str, checksum: str) -> Form:
        """Return how a client may send bytes of this *checksum* to *place*.  Raises OSError.

        Storages that know checksums refuse other bytes; older ones take them, and do not say so.
        """

    @abstractmethod
    def download_url(self, place: str, media_type: str, disposition: str) -> str:
        """Return where a client may fetch the blob, with these headers.  Raises OSError."""

    @abstractmethod
    def copy(self, sent: str, place: str) -> None:
        """Make the blob at *place*, which is new, of what a client sent to the place *sent*.

        Raises FileNotFoundError if nothing came there, OSError.
        """


def new_place(checksum: str) -> str:
    """Return a place that was never used, for content with this *checksum*."""
    return f"{checksum[:2]}/{checksum}-{wire.new_id()}"


def open_blobs(url: str) -> Blobs:
    """Open the blobs at *url*: a directory, made when it is first written to, or an S3 bucket.

    ``s3://BUCKET/PREFIX?endpoint=URL&region=NAME&ca=FILE&timeout=SECONDS&direct=URL``, all but
    the bucket as need be.  Raises StoreError if it cannot work.
    """
    if url.startswith("s3:"):
        try:
            from .objects import open_bucket
        except ModuleNotFoundError as error:
            raise StoreError(
                f"blobs in S3 need the package {error.name}: `pip install simvue[scale]`"
            ) from None
        return open_bucket(url)
    return FolderBlobs(Path(url))


# ---- In a folder -----------------------------------------------------------------------


class FolderBlobs(Blobs):
    """Blobs as files of a *directory*."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def draft(self, place: str) -> Draft:
        """See Blobs."""
        path = self._directory / place
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self._directory.parent, self._directory):
                sync(folder)
        return _FileDraft(path)

    def open(self, place: str) -> BinaryIO:
        """See Blobs."""
        return (self._directory / place).open("rb")

    def read(self, place: str, offset: int, size: int) -> bytes:
        """See Blobs."""
        with self.open(place) as file:
            file.seek(offset)
            return file.read(size)

    def size(self, place: str) -> int:
        """See Blobs."""
        return (self._directory / place).stat().st_size

    def remove(self, place: str) -> None:
        """See Blobs."""
        path = self._directory / place
        _part(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)

    def free(self) -> int:
        """See Blobs."""
        return shutil.disk_usage(self._directory.parent).free


class _FileDraft(Draft):
    def __init__(self, path: Path) -> None:
        self._path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = os.fdopen(os.open(_part(path), flags, 0o600), "wb", buffering=0)
        self._waiting = 0

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._waiting += len(data)
        if self._waiting >= SYNC_EVERY:
            os.fdatasync(self._file.fileno())
            self._waiting = 0

    def seal(self) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
        _part(self._path).rename(self._path)
        sync(self._path.parent)

    def discard(self) -> None:
        self._file.close()
        for path in (_part(self._path), self._path):
            path.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


# ---- On the way in -----------------------------------------------------------------------


class Upload:
    """The bytes of one artifact on their way in; see Store.begin_upload.

    *keep* is called with the size once the bytes are durable, *drop* after they were
    forgotten.  Calls block, and may come from several threads, one after the other.
    """

    def __init__(
        self,
        blobs: Blobs,
        place: str,
        checksum: str,
        keep: Callable[[int], None],
        drop: Callable[[], None],
    ) -> None:
        self._blobs = blobs
        self._checksum = checksum
        self._keep = keep
        self._drop = drop
        self._hash = hashlib.sha256()
        self._size = 0
        # A request is cancelled while a thread still writes for it.
        self._lock = Lock()
        self._over = False
        try:
            self._draft = blobs.draft(place)
        except OSError as error:
            drop()
            raise _failed(error) from error

    def reserve(self, size: int) -> None:
        """Raise NoSpace unless there is room for *size* more bytes."""
        free = self._blobs.free() - RESERVE
        if size > free:
            raise NoSpace(
                f"the server has room for {max(0, free) >> 20} MiB of artifacts; make room on "
                "its disk, or delete runs that nobody needs, and send again"
            )

    def write(self, data: bytes) -> None:
        """Append *data*.  Raises NoSpace, StoreError."""
        with self._lock:
            if self._over:
                return
            self.reserve(len(data))
            self._hash.update(data)
            try:
                self._draft.write(data)
            except OSError as error:
                raise _failed(error) from error
            self._size += len(data)

    def finish(self) -> None:
        """Make the bytes durable, then the artifact's.

        Raises ChecksumDiffers, StoreError, KeyError if the artifact was deleted meanwhile;
        then nothing is kept.
        """
        with self._lock:
            if self._hash.hexdigest() != self._checksum:
                raise ChecksumDiffers(self._hash.hexdigest())
            try:
                self._draft.seal()
            except OSError as error:
                raise _failed(error) from error
            self._keep(self._size)
            self._over = True

    def discard(self) -> None:
        """Forget the bytes, unless they were kept."""
        with self._lock:
            if self._over:
                return
            self._over = True
            try:
                self._draft.discard()
            except OSError:
                # It stays noted as litter, which the next opening of the store removes.
                return
            self._drop()


def take_sent(blobs: Blobs, direct: Direct, sent: str, place: str, checksum: str) -> int:
    """Make the blob at *place* of what a client sent to the place *sent*; return its size.

    Reads it once.  Raises FileNotFoundError if nothing came, ChecksumDiffers, StoreError; then
    there may be something at *place* that nobody needs.
    """
    digest, size = hashlib.sha256(), 0
    try:
        direct.copy(sent, place)
        with blobs.open(place) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                size += len(piece)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _failed(error) from error
    if digest.hexdigest() != checksum:
        raise ChecksumDiffers(digest.hexdigest())
    return size


def _failed(error: OSError) -> StoreError:
    return StoreError(f"the artifact cannot be written: {error.strerror or error}")
