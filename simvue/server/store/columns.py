"""Columns that last <-> bytes: each read by itself, none without its checksum.

A bundle holds columns of one length, or of several::

     0  version   u8, 1
     1  columns   u8
     2            two zero bytes
     4  ends      u32 a column: where it ends, counted from the first
        columns   form u8, 0: a progression, 1: pcodec; three zero bytes; rows u32; CRC-32 of
                  the rest, which is (first, stride) as two u64, or pcodec's own

Words are eight bytes each, whatever they mean: pcodec is told what they are because it finds
more in numbers than in bits, and gives every bit back, those of a NaN too.  Steps and row
numbers are mostly progressions, which cost nothing to keep and nearly nothing to read.
*Measured*: 64k values of a random walk are encoded in 3 ms and decoded in 0.2, without the GIL.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pcodec import ChunkConfig, standalone

from simvue.exception import StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VERSION: Final = 1
_BUNDLE: Final = struct.Struct("<BBH")
_COLUMN: Final = struct.Struct("<BBHII")
_PROGRESSION: Final = struct.Struct("<QQ")
_FORM_PROGRESSION, _FORM_PCODEC = range(2)
# pcodec's own default: a tenth of the bytes less than level 4 on smooth series, for a quarter
# more time (measured).
_CONFIG: Final = ChunkConfig(compression_level=8)


def encode(columns: Sequence[NDArray[Any]]) -> bytes:
    """Write *columns* of int64, uint64 or float64 as one bundle."""
    parts = [_encode(column) for column in columns]
    ends = np.cumsum([len(part) for part in parts], dtype="<u4")
    return b"".join([_BUNDLE.pack(_VERSION, len(parts), 0), ends.tobytes(), *parts])


def decode(bundle: bytes, wanted: Sequence[int]) -> list[NDArray[np.uint64]]:
    """Read the columns of *bundle* at the places *wanted*, as words; the others cost nothing.

    Raises StoreError if they are damaged or newer than this program.
    """
    try:
        version, count, _ = _BUNDLE.unpack_from(bundle)
        if version != _VERSION:
            raise StoreError(
                f"columns of the store have format {version}, newer than this program; "
                "upgrade simvue"
            )
        ends = [0, *struct.unpack_from(f"<{count}I", bundle, _BUNDLE.size)]
        columns = memoryview(bundle)[_BUNDLE.size + 4 * count :]
        return [_decode(columns[ends[place] : ends[place + 1]]) for place in wanted]
    except (struct.error, ValueError, IndexError, RuntimeError) as error:
        raise StoreError(f"columns of the store are damaged: {error}") from error


def _encode(column: NDArray[Any]) -> bytes:
    words = column.view(np.uint64)
    first, second = [*words[:2].tolist(), 0, 0][:2]
    stride = (second - first) % 2**64
    if (words == _progression(first, stride, len(words))).all():
        form, data = _FORM_PROGRESSION, _PROGRESSION.pack(first, stride)
    else:
        form = _FORM_PCODEC
        data = standalone.simple_compress(np.ascontiguousarray(column), _CONFIG)
    return _COLUMN.pack(form, 0, 0, len(words), zlib.crc32(data)) + data


def _decode(column: memoryview) -> NDArray[np.uint64]:
    form, _, _, rows, checksum = _COLUMN.unpack_from(column)
    data = bytes(column[_COLUMN.size :])
    if zlib.crc32(data) != checksum:
        raise ValueError("the checksum of a column differs")
    if form == _FORM_PROGRESSION:
        first, stride = _PROGRESSION.unpack(data)
        return _progression(first, stride, rows)
    words: NDArray[np.uint64] = standalone.simple_decompress(data).view(np.uint64)
    if len(words) != rows:
        raise ValueError(f"a column has {len(words)} rows of {rows}")
    return words


def _progression(first: int, stride: int, rows: int) -> NDArray[np.uint64]:
    # Modulo 2**64, so that it holds for words of any sign.
    words = np.arange(rows, dtype=np.uint64)
    words *= np.uint64(stride)
    words += np.uint64(first)
    return words
