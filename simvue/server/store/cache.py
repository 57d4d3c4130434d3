"""A cache of ranged reads: what is sealed never changes, so what was read once is still true.

For blobs that are a round trip away.  Those in a folder are in the kernel's cache already.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import BinaryIO, Final

from .blobs import Blobs, Draft

SIZE_MAX: Final = 256 << 20
"""Bytes that stay: of folded chunks of 65,536 rows about a thousand, which is what the charts of
some dozens of people show (chosen)."""

# So that a handful of large ones does not drive out all others (chosen).
_PIECE_MAX: Final = SIZE_MAX // 16

Range = tuple[str, int, int]


class Cache(Blobs):
    """*blobs*, the latest ranges of which stay in memory, in at most *size_max* bytes."""

    remote = True

    def __init__(self, blobs: Blobs, size_max: int = SIZE_MAX) -> None:
        self._blobs = blobs
        self.direct = blobs.direct
        self._size_max = size_max
        self._size = 0
        # The latest used are last.
        self._kept: OrderedDict[Range, bytes] = OrderedDict()
        self._lock = Lock()

    def read(self, place: str, offset: int, size: int) -> bytes:
        """See Blobs; what is removed may be read for a while from here."""
        wanted = (place, offset, size)
        with self._lock:
            known = self._kept.get(wanted)
            if known is not None:
                self._kept.move_to_end(wanted)
                return known
        # Two who miss at once both ask: rare, and neither waits for the other's trouble.
        found = self._blobs.read(place, offset, size)
        if len(found) <= min(_PIECE_MAX, self._size_max):
            self._keep(wanted, found)
        return found

    def _keep(self, wanted: Range, found: bytes) -> None:
        with self._lock:
            if wanted in self._kept:
                return
            self._kept[wanted] = found
            self._size += len(found)
            while self._size > self._size_max:
                self._size -= len(self._kept.popitem(last=False)[1])

    def draft(self, place: str) -> Draft:
        """See Blobs."""
        return self._blobs.draft(place)

    def open(self, place: str) -> BinaryIO:
        """See Blobs."""
        return self._blobs.open(place)

    def size(self, place: str) -> int:
        """See Blobs."""
        return self._blobs.size(place)

    def remove(self, place: str) -> None:
        """See Blobs."""
        self._blobs.remove(place)

    def free(self) -> int:
        """See Blobs."""
        return self._blobs.free()
