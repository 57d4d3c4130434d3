"""Objects: blobs in a bucket of an S3 store, whoever runs it.

::

    s3://BUCKET/PREFIX      PREFIX/9f/9f86d0...0a08-Zq3...    one object a place
                            its parts, while it is being written

An object is there at once or not at all, when its one PUT or the completion of its parts is
answered; parts that nobody completes are aborted with their place.

With ``direct=URL``, the address by which clients reach the store, they fetch objects from there,
and send them to ``PREFIX/incoming``; from where they are copied, so that a form that still works
changes nothing that somebody refers to.
"""

from __future__ import annotations

import base64
import errno
import io
from typing import Any, BinaryIO, Final
from urllib.parse import parse_qsl, urlsplit

from simvue.exception import StoreError

from .blobs import Blobs, Direct, Draft, Form
from .cache import Cache
from .s3 import ANSWER_S, FORM_MAX, LINK_S, Bucket

PART: Final = 8 << 20
"""Bytes of a part: a request's 10 ms are little beside it, and each upload holds one."""

# A store takes 10,000 parts of one object.  With parts of at least this fraction of what went
# before, these are 860 GiB, and up to 16 GiB they are of one size.
_PART_OF_SENT: Final = 2000

READ_AHEAD: Final = 4 << 20
"""Bytes that a reader fetches at a time: at 25 ms a request 160 MB/s, and a hundred downloads
hold 400 MB (chosen)."""

# No store tells.
_ROOM: Final = 1 << 62


def open_bucket(url: str) -> Blobs:
    """Open the blobs at *url*, as open_blobs says.

    Raises StoreError if the URL is none, or the store says that it cannot work; one that says
    nothing, or is in trouble, may come back.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - {"endpoint", "region", "ca", "timeout", "direct"})
    if parts.scheme != "s3" or not parts.netloc or parts.fragment or unknown:
        what = f"has no option {unknown[0]}" if unknown else "is no address of blobs"
        raise StoreError(
            f"{url} {what}: s3://BUCKET/PREFIX?endpoint=URL&region=NAME&ca=FILE&timeout=SECONDS"
            "&direct=URL, all but the bucket as need be"
        )
    try:
        bucket = Bucket(
            parts.netloc,
            endpoint=options.get("endpoint"),
            region=options.get("region"),
            ca=options.get("ca"),
            answer_s=float(options.get("timeout", ANSWER_S)),
            public=options.get("direct"),
        )
    except ValueError as error:
        raise StoreError(f"{url} is no address of blobs: {error}") from error
    try:
        bucket.check()
    except OSError as error:
        # What passes is no reason not to take rows meanwhile; each call for a blob will say so.
        if error.errno not in (errno.ETIMEDOUT, errno.EBUSY):
            raise StoreError(str(error.strerror)) from error
    prefix = parts.path.strip("/")
    return Cache(S3Blobs(bucket, f"{prefix}/" if prefix else ""))


class S3Blobs(Blobs):
    """Blobs as objects of *bucket* whose names begin with *prefix*.

    The key has to allow objects to be put, got, deleted and listed, and uploads to be listed and
    aborted.
    """

    remote = True

    def __init__(self, bucket: Bucket, prefix: str = "") -> None:
        self._bucket = bucket
        self._prefix = prefix
        self.direct = S3Direct(bucket, prefix) if bucket.public else None

    def draft(self, place: str) -> Draft:
        """See Blobs."""
        return _ObjectDraft(self._bucket, self._prefix + place)

    def open(self, place: str) -> BinaryIO:
        """See Blobs."""
        return io.BufferedReader(
            _ObjectReader(self._bucket, self._prefix + place, self.size(place)), READ_AHEAD
        )

    def read(self, place: str, offset: int, size: int) -> bytes:
        """See Blobs."""
        return self._bucket.get(self._prefix + place, offset, size)

    def size(self, place: str) -> int:
        """See Blobs."""
        return self._bucket.size(self._prefix + place)

    def remove(self, place: str) -> None:
        """See Blobs."""
        _remove(self._bucket, self._prefix + place)

    def free(self) -> int:
        """See Blobs; how full a store is, whoever runs it watches."""
        return _ROOM


class S3Direct(Direct):
    """The way to the same objects by the public address of *bucket*."""

    size_max = FORM_MAX
    lifetime_s = LINK_S

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    def upload_form(self, place: str, checksum: str) -> Form:
        """See Direct."""
        url, fields = self._bucket.form(
            self._prefix + place,
            {
                "x-amz-checksum-algorithm": "SHA256",
                "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(checksum)).decode(),
            },
        )
        return Form(url, fields)

    def download_url(self, place: str, media_type: str, disposition: str) -> str:
        """See Direct."""
        return self._bucket.link(self._prefix + place, media_type, disposition)

    def copy(self, sent: str, place: str) -> None:
        """See Direct."""
        self._bucket.copy(self._prefix + sent, self._prefix + place)


def _remove(bucket: Bucket, key: str) -> None:
    bucket.abort(key)
    bucket.delete(key)


class _ObjectDraft(Draft):
    """One PUT if it is small, else parts, of which at most one is here."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket = bucket
        self._key = key
        self._here = bytearray()
        self._sent = 0
        self._upload: str | None = None
        self._tags: list[str] = []
        self._begun = False

    def write(self, data: bytes) -> None:
        self._here += data
        while len(self._here) > (size := max(PART, self._sent // _PART_OF_SENT)):
            self._send(size)

    def seal(self) -> None:
        self._begun = True
        if self._upload is None:
            self._bucket.put(self._key, bytes(self._here))
        else:
            self._send(len(self._here))
            self._bucket.complete(self._key, self._upload, self._tags, self._sent)

    def discard(self) -> None:
        self._here.clear()
        if self._begun:
            _remove(self._bucket, self._key)

    def _send(self, size: int) -> None:
        self._begun = True
        if self._upload is None:
            self._upload = self._bucket.begin(self._key)
        with memoryview(self._here) as here:
            part = bytes(here[:size])
        self._tags.append(self._bucket.put_part(self._key, self._upload, len(self._tags) + 1, part))
        del self._here[:size]
        self._sent += size


class _ObjectReader(io.RawIOBase):
    """An object as a file, each read of which is a request."""

    def __init__(self, bucket: Bucket, key: str, size: int) -> None:
        self._bucket = bucket
        self._key = key
        self._size = size
        self._next = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._next, io.SEEK_END: self._size}[whence]
        self._next = max(0, base + offset)
        return self._next

    def readinto(self, buffer: Any) -> int:
        found = self._get(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def readall(self) -> bytes:
        return self._get(self._size)

    def _get(self, size: int) -> bytes:
        size = min(size, self._size - self._next)
        if size <= 0:
            return b""
        found = self._bucket.get(self._key, self._next, size)
        self._next += len(found)
        return found
