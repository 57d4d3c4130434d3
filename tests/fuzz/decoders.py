"""The decoders of bytes that others wrote, and what must hold of each whatever the bytes are.

A check raises AssertionError where a promise is broken, and lets through whatever a decoder
raises beyond what it documents; either ends a fuzzer that calls it.
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import reference

from simvue import series, spool, wire
from simvue._columns import decode_metrics
from simvue.exception import ServerError
from simvue.server import events, tensors
from simvue.server.forms import Refused
from simvue.spool import Flaw, Record, RecordKind, SpoolDamaged, SpoolFile

RUN = "R" * wire.ID_SIZE
STAMP = "2026-01-31T12:00:00.123456"


class Decoder(NamedTuple):
    """*check* takes any bytes; *seeds* are some that the decoder takes."""

    check: Callable[[bytes], None]
    seeds: list[bytes]


def unpacked(data: bytes) -> Any:
    """Read msgpack in plain Python; None if it is none."""
    with suppress(ValueError, TypeError, RecursionError, msgpack.UnpackException):
        return msgpack.unpackb(data, strict_map_key=False)


# ---- Rows of metrics ---------------------------------------------------------------------------


def check_metrics(data: bytes) -> None:
    """What the reference takes is taken and read alike, anything else is refused."""
    expected = reference.read_metrics(data)
    try:
        decoded = decode_metrics(data)
    except ValueError:
        assert expected is None, "a body is refused that is none to refuse"
        return
    assert expected is not None, "a body is taken that is none"
    run, rows = expected
    assert (decoded.run, decoded.count) == (run, len(rows))
    assert reference.flattened(decoded) == [row for row in rows if row[0]]


def metrics_body(*rows: tuple[dict[str, Any], Any, str]) -> bytes:
    encoded = [
        {"values": values, "time": time, "timestamp": stamp, "step": step}
        for step, (values, time, stamp) in enumerate(rows)
    ]
    return bytes(msgpack.packb({"run": RUN, "metrics": encoded}))


METRICS = Decoder(
    check_metrics,
    [
        metrics_body(),
        metrics_body(({"loss": 0.5, "n": 3}, 0.25, STAMP), ({"loss": 1e300, "n": -3}, 7, STAMP)),
        metrics_body(
            ({"a": True, "b": 2**64 - 1}, 1, "2026-01-31 12:00:00.5Z"),
            ({"b": -(2**40), "a": float("nan")}, 2**63, "2000-02-29T00:00:00"),
            ({}, -1, "0001-01-01T00:00:00.123456789"),
            ({"a": 1}, -0.0, "1969-12-31T23:59:59.99999Z"),
        ),
        bytes(msgpack.packb({"metrics": [], "run": "r" * 300}, use_bin_type=False)),
    ],
)

# ---- Events ------------------------------------------------------------------------------------


def check_events(data: bytes) -> None:
    """Every event that is taken has the text and the level that were sent."""
    try:
        run, found = events.decode(data)
    except Refused:
        return
    assert wire.is_id(run)
    body = unpacked(data)
    # What no member reads may be anything, even what another reader stumbles over.
    sent = body["events"] if isinstance(body, dict) else [None] * len(found)
    assert len(found) == len(sent)
    for event, row in zip(found, sent, strict=True):
        assert event.log_level in wire.LOG_LEVELS
        assert "\0" not in event.message
        if row is not None:
            assert event.message == row["message"].replace("\0", "\ufffd")
            assert event.log_level == (row.get("log_level") or "info").lower()
            if row.get("timestamp") is not None:
                assert event.timestamp == wire.parse_timestamp(row["timestamp"])


def events_body(*rows: Any) -> bytes:
    return bytes(msgpack.packb({"run": RUN, "events": rows}))


EVENTS = Decoder(
    check_events,
    [
        events_body(),
        events_body({"message": "m", "timestamp": STAMP, "log_level": "ERROR"}, {"message": "é\0"}),
        events_body({"message": "", "timestamp": "2026-01-31", "log_level": None, "more": [1]}),
    ],
)

# ---- Tensors -----------------------------------------------------------------------------------


def check_tensors(data: bytes) -> None:
    """What is taken has the numbers that were sent; what is wrong is refused or left out."""
    try:
        found, refused = tensors.decode(data, strict=False)
    except Refused:
        return
    assert len(found) + refused == _length(data)
    with suppress(Refused):
        # As text: a time that is no number is not equal to itself.
        assert repr(tensors.decode(data, strict=True)) == repr((found, 0))
        assert refused == 0
    for tensor in found:
        assert 0 < len(tensor.values) <= 8 * wire.TENSOR_SIZE_MAX
        assert len(tensors.values(tensor)) == tensor.shape[0]
    rows = unpacked(data)
    if not refused and isinstance(rows, list):
        for tensor, row in zip(found, rows, strict=True):
            sent, kept = flat(row["array"]), flat(tensors.values(tensor))
            assert (row["step"], float(row["time"])) == (tensor.step, tensor.time) or (
                tensor.time != tensor.time
            )
            same = [a == b or a != a or float(a) == b for a, b in zip(sent, kept, strict=True)]
            assert all(same), (sent, kept)


def _length(data: bytes) -> int:
    """Read how many items the msgpack array that *data* is has."""
    if data[0] & 0xF0 == 0x90:
        return data[0] & 0x0F
    return int.from_bytes(data[1 : 3 if data[0] == 0xDC else 5], "big")


def flat(array: list[Any]) -> list[Any]:
    return [x for row in array for x in row] if isinstance(array[0], list) else array


def tensors_body(*arrays: list[Any]) -> bytes:
    return bytes(
        msgpack.packb(
            [
                {
                    "time": 0.5,
                    "timestamp": STAMP,
                    "step": step,
                    "array": array,
                    "grid": RUN,
                    "metric": "flow/u",
                }
                for step, array in enumerate(arrays)
            ]
        )
    )


TENSORS = Decoder(
    check_tensors,
    [
        tensors_body(),
        tensors_body([1.0, 2.0], [[1, 2], [-3, 2**63 - 1]]),
        tensors_body([2**64 - 1], [True, False], [0.5, 7], []),
    ],
)

# ---- Files of the spool ------------------------------------------------------------------------

_PREAMBLE_SIZE = len(spool.MAGIC) + 4
_FIELDS_SIZE = spool.HEADER_SIZE - 8


def check_spool(data: bytes) -> None:
    """Damage costs what is damaged; so it does where every checksum fits what was damaged."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "file.done")
        for content in (data, with_checksums(data)):
            path.write_bytes(content)
            check_spool_file(path, len(content))


def check_spool_file(path: Path, size: int) -> None:
    try:
        found = list(spool.walk(path))
    except ValueError:
        for read in (spool.skim, spool.read_records):
            with suppress(ValueError):
                assert not list(read(path)), "what walk takes for no spool file"
        return
    ends = [0, *(end for _, end, _ in found)]
    for before, (offset, end, content) in zip(ends, found, strict=False):
        assert before <= offset < end <= size
        assert offset in (before, _PREAMBLE_SIZE), "a stretch belongs to no record and no flaw"
        if isinstance(content, Record):
            assert spool.read_record(path, offset) == content
            assert isinstance(content.call, dict)
        else:
            assert content.reason
    ended = found and isinstance(found[-1][2], Record) and found[-1][2].kind is RecordKind.END
    assert ended or not found or ends[-1] == size, "the end of the file was not looked at"
    whole = []
    for _, _, content in found:
        if isinstance(content, Flaw) or content.kind is RecordKind.END:
            break
        whole.append(content)
    read = []
    try:
        read.extend(record for _, record in spool.read_records(path))
    except SpoolDamaged:
        assert any(isinstance(content, Flaw) and not content.torn for *_, content in found)
    assert read in (whole, [])
    calls = [content for content in whole if content.kind is RecordKind.CALL]
    assert [record for record in spool.skim(path) if record][: len(calls)] == calls


def with_checksums(data: bytes) -> bytes:
    """Give every record that the lengths in *data* lead to the checksums that it should have."""
    file = bytearray(data)
    at = _PREAMBLE_SIZE
    while len(file) - at >= spool.HEADER_SIZE:
        (size,) = struct.unpack_from("<I", file, at)
        payload = at + spool.HEADER_SIZE
        crcs = zlib.crc32(file[at : at + _FIELDS_SIZE]), zlib.crc32(file[payload : payload + size])
        struct.pack_into("<II", file, at + _FIELDS_SIZE, *crcs)
        at = payload + size
    return bytes(file)


def spool_file(*records: tuple[RecordKind, bytes]) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        file = SpoolFile(Path(directory))
        for number, (kind, payload) in enumerate(records):
            file.append(Record(kind, RUN, "W" * wire.ID_SIZE, number, number + 1, payload))
        file.finish(delivered=False)
        (path,) = spool.list_files(Path(directory))
        return path.read_bytes()


SPOOL = Decoder(
    check_spool,
    [
        spool_file((RecordKind.METRICS, b"rows" * 9)),
        spool_file(
            (RecordKind.CALL, b'{"run": {"name": "n", "status": "created"}}'),
            (RecordKind.EVENTS, bytes(40)),
            (RecordKind.CALL, b"[]"),
        ),
    ],
)

# ---- What the server answers to a client ---------------------------------------------------------


def check_series(data: bytes) -> None:
    """An answer is a series, or it is the server's fault, in the words for that."""
    answer = unpacked(data)
    if not isinstance(answer, dict):
        return
    for columns in answer.values():
        with suppress(ServerError):
            one = series.decode_series("loss", columns)
            assert len(one) == len(one.time) == len(one.timestamp) == len(one.values)
            assert one.step.tobytes() == columns["step"]
            assert one.time.tobytes() == columns["time"]
            repr(one)
        with suppress(ServerError):
            cut = series.decode_buckets("loss", columns)
            assert len(cut) == len(cut.first) == len(cut.x_max)
            assert cut.min.tobytes() == columns["min"]


_WORDS = struct.pack("<2d", 1.5, -0.0)
_SERIES = dict.fromkeys(["step", "time", "timestamp", "values"], _WORDS)
_BUCKETS = dict.fromkeys([field.name for field in fields(series.Buckets)], _WORDS)

SERIES = Decoder(
    check_series,
    [
        bytes(msgpack.packb({"loss": {**_SERIES, "kinds": "f"}})),
        bytes(msgpack.packb({"a": {**_SERIES, "kinds": b"\1\3", "rank": bytes(8)}})),
        bytes(msgpack.packb({"a": _BUCKETS})),
    ],
)

DECODERS = {
    "metrics": METRICS,
    "events": EVENTS,
    "tensors": TENSORS,
    "spool": SPOOL,
    "series": SERIES,
}
