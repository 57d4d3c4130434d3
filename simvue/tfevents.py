"""TensorBoard's event files, as far as they hold numbers: read, and checked.

A file is records, each an Event of Google's protocol buffers::

    u64 length | u32 checksum of the length | Event | u32 checksum of the Event

    Event     1: seconds since the epoch   2: step   5: Summary
    Summary   1: Value ...
    Value     1: tag   2: float   8: Tensor   9: { 1: { 1: name of the plugin } }
    Tensor    1: type   4: bytes   5: floats   6: doubles

TensorFlow 1, PyTorch and tensorboardX write a number as a float, TensorFlow 2 as a tensor of the
plugin ``scalars``.  The packages that read these files bring gRPC, or TensorFlow itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

FILE_PATTERN: Final = "*tfevents*"

_RECORD_SIZE_MAX: Final = 1 << 30
"""Bytes of an Event beyond which a length is damage: more than protocol buffers allow is 2 GiB."""

_FLOAT, _DOUBLE = 1, 2
"""Types of a Tensor that a scalar has."""


@dataclass(frozen=True)
class Scalars:
    """The numbers of one Event: by tag, with the step and the microseconds since the epoch."""

    step: int
    timestamp: int
    values: dict[str, float]


@dataclass
class EventFile:
    """One event file.  ``left_out`` and ``damage`` are filled while it is read."""

    path: Path
    left_out: set[str] = field(default_factory=set)
    """Tags of images, histograms and whatever else is no number."""
    damage: str | None = None
    """Where and why reading ended before the file did; None where it is whole so far."""

    def read_identity(self) -> bytes:
        """Return what this file has in common with its copies, however far each has grown.

        That is its first record, which says when it was begun, to a fraction of a microsecond.
        """
        with self.path.open("rb") as file:
            for record in self._records(file):
                return record
        raise ValueError(f"{self.path} is no event file: {self.damage or 'it is empty'}")

    def read(self) -> Iterator[Scalars]:
        """Yield the numbers, an Event at a time, as far as the file is whole.

        A record that is cut off at the end is one that is being written, and no damage.
        """
        scalar_tags: set[str] = set()
        with self.path.open("rb") as file:
            for record in self._records(file):
                try:
                    found = self._decode(record, scalar_tags)
                except (ValueError, IndexError, struct.error):
                    self.damage = f"the record before byte {file.tell()} cannot be decoded"
                    return
                if found.values:
                    yield found

    def _records(self, file: BinaryIO) -> Iterator[bytes]:
        while True:
            begin = file.tell()
            head = file.read(12)
            if len(head) < 12:
                return
            length, check = struct.unpack("<QI", head)
            if checksum(head[:8]) != check or length > _RECORD_SIZE_MAX:
                self.damage = f"the record at byte {begin} is damaged"
                return
            record, tail = file.read(length), file.read(4)
            if len(record) < length or len(tail) < 4:
                return
            if checksum(record) != struct.unpack("<I", tail)[0]:
                self.damage = f"the record at byte {begin} is damaged"
                return
            yield record

    def _decode(self, record: bytes, scalar_tags: set[str]) -> Scalars:
        step, seconds = 0, 0.0
        values: dict[str, float] = {}
        for number, value in _fields(record):
            if number == 1:
                seconds = struct.unpack("<d", _message(value))[0]
            elif number == 2 and isinstance(value, int):
                step = value
            elif number == 5:
                for _, one in _fields(_message(value)):
                    values.update(self._value(_message(one), scalar_tags))
        # A step below 0 is a huge number here; nobody can have meant it.
        return Scalars(step if step < 1 << 63 else 0, round(seconds * 1e6), values)

    def _value(self, message: bytes, scalar_tags: set[str]) -> Iterator[tuple[str, float]]:
        members = dict(_fields(message))
        name = _message(members.get(1, b"")).decode("utf-8", "replace")
        if 9 in members:
            # Only a tag's first value says whose it is.
            plugin = dict(_fields(_message(members[9]))).get(1, b"")
            if dict(_fields(_message(plugin))).get(1) == b"scalars":
                scalar_tags.add(name)
        if 2 in members:
            yield name, struct.unpack("<f", _message(members[2]))[0]
        elif 8 in members and name in scalar_tags:
            yield name, _scalar(_message(members[8]))
        else:
            self.left_out.add(name)


def _scalar(tensor: bytes) -> float:
    members = dict(_fields(tensor))
    for kind, letter, place in ((_FLOAT, "f", 5), (_DOUBLE, "d", 6)):
        if members.get(1) == kind:
            content = _message(members.get(4) or members.get(place, b""))
            number: float = struct.unpack(f"<{letter}", content)[0]
            return number
    raise ValueError(f"a scalar of type {members.get(1)!r}")


# ---- As much of protocol buffers as that needs --------------------------------------------------


def _message(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where bytes should be")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and the value of each field: an int, or the bytes of anything else."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}.get(kind, -1)
        if size < 0 or at + size > len(message):
            raise ValueError(f"a field of kind {kind} at byte {at}")
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC: Final = _table()
"""Of CRC-32C, which neither zlib nor hashlib has; a number's record is 60 bytes: some 5 us."""


def checksum(data: bytes) -> int:
    """Return the CRC-32C of *data*, masked as in these files."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
