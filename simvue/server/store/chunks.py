"""Columns <-> compressed bytes.

A chunk holds one block of a body: the axes and the values of rows of one shape::

     0  version   u8, 1
     1  flags     u8, 1: the last frame holds the places of the rows in their body
     2            two zero bytes
     4  rows      u32
     8  metrics   u32
    12  span      u32, columns in each frame but the last
    16  kinds     one byte a metric: 0 float64, 1 int64, 2 uint64, 3 bool
        ends      u32 a frame: where it ends, counted from the first frame
        frames    zstd with a checksum, each of `span` columns packed together

The columns are step, time, timestamp and then the metrics, so the first frame holds the
axes.  Packed (simvue._columns.pack) means: each word minus the one before, low bytes first;
*measured*, a random walk then takes 5.6 bytes a value at zstd's level 1, against 6.0 without
the difference, a sine 4.9 against 5.8, and both some 5 nanoseconds of a core.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import zstandard

from simvue._columns import Block, pack, unpack
from simvue.exception import StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEADER = struct.Struct("<BBHIII")
_VERSION = 1
_HAS_PLACES = 1
_AXES = 3

FRAME_SIZE = 64 << 10
"""Bytes of columns in one frame: enough for zstd to find what repeats (chosen), little
enough that one metric of a thousand is read without unpacking the others."""


class Columns(NamedTuple):
    """What decode returns: the axes, and of each metric asked for its values and kind."""

    places: NDArray[np.uint32] | None
    step: NDArray[np.int64]
    time: NDArray[np.float64]
    timestamp: NDArray[np.int64]
    values: list[NDArray[np.uint64]]
    kinds: list[int]


class _Zstd(threading.local):
    """One compressor and one decompressor a thread: their state is not to be shared."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=1, write_checksum=True).compress
        self.decompress = zstandard.ZstdDecompressor().decompress


_zstd = _Zstd()


def _compress(planes: NDArray[np.uint8]) -> bytes:
    return _zstd.compress(planes.data)


def encode(block: Block) -> bytes:
    """Write *block* as a chunk; most of it without the GIL."""
    words = block.words
    columns, rows = words.shape
    span = max(1, FRAME_SIZE // (8 * rows))
    frames = [_compress(pack(words[first : first + span])) for first in range(0, columns, span)]
    flags = 0
    if block.rows is not None:
        flags = _HAS_PLACES
        frames.append(_compress(pack(block.rows.astype(np.uint64).reshape(1, rows))))
    ends = np.cumsum([len(frame) for frame in frames], dtype="<u4")
    header = _HEADER.pack(_VERSION, flags, 0, rows, columns - _AXES, span)
    return b"".join([header, block.kinds, ends.tobytes(), *frames])


def decode(chunk: bytes, metrics: Sequence[int]) -> Columns:
    """Read the axes of *chunk* and the metrics with the given indexes, and unpack nothing else.

    Raises StoreError if the chunk is damaged or newer than this program.
    """
    try:
        return _decode(memoryview(chunk), metrics)
    except (struct.error, zstandard.ZstdError, ValueError, IndexError) as error:
        raise StoreError(f"a chunk of the store is damaged: {error}") from error


def _decode(chunk: memoryview, metrics: Sequence[int]) -> Columns:
    version, flags, _, rows, count, span = _HEADER.unpack_from(chunk)
    if version != _VERSION:
        raise StoreError(
            f"a chunk of the store has format {version}, newer than this program; upgrade simvue"
        )
    columns = _AXES + count
    kinds = chunk[_HEADER.size : _HEADER.size + count]
    frame_count = -(-columns // span) + (flags & _HAS_PLACES)
    ends = np.frombuffer(chunk, "<u4", frame_count, _HEADER.size + count).tolist()
    frames = chunk[_HEADER.size + count + 4 * frame_count :]
    unpacked: dict[int, NDArray[np.uint64]] = {}

    def column(number: int) -> NDArray[np.uint64]:
        frame, place = divmod(number, span)
        if frame not in unpacked:
            unpacked[frame] = matrix(frame, min(span, columns - frame * span))
        words: NDArray[np.uint64] = unpacked[frame][place]
        return words

    def matrix(frame: int, width: int) -> NDArray[np.uint64]:
        data = frames[ends[frame - 1] if frame else 0 : ends[frame]]
        # Before zstd believes a damaged size and asks the machine for all of it.
        if zstandard.frame_content_size(data) != width * rows * 8:
            raise ValueError(f"frame {frame} is not {width} columns of {rows} words")
        planes: bytes = _zstd.decompress(data)
        return unpack(planes, width, rows)

    places = matrix(frame_count - 1, 1)[0].astype(np.uint32) if flags & _HAS_PLACES else None
    return Columns(
        places,
        column(0).view(np.int64),
        column(1).view(np.float64),
        column(2).view(np.int64),
        [column(_AXES + metric) for metric in metrics],
        [kinds[metric] for metric in metrics],
    )
