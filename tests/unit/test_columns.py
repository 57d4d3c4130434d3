"""decode_metrics against msgpack.unpackb, and against whatever a stranger may send."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference import Flat, flattened, read_metrics

from simvue import wire
from simvue._columns import decode_metrics, pack, unpack

RUN = "R" * wire.ID_SIZE
STAMP = "2026-01-31T12:00:00.123456"

Row = dict[str, Any]


def row(values: Row, step: int = 0, time: float = 0.0, timestamp: str = STAMP) -> Row:
    return {"values": values, "time": time, "timestamp": timestamp, "step": step}


def body(*rows: Any, run: Any = RUN) -> bytes:
    packed: bytes = msgpack.packb({"run": run, "metrics": list(rows)})
    return packed


def expected(encoded: bytes) -> list[Flat]:
    read = read_metrics(encoded)
    assert read is not None
    return [flat for flat in read[1] if flat[0]]


# ---- What is right -----------------------------------------------------------------

names = st.text("abcXYZ019-_/.:=><+()% \t", min_size=1, max_size=40)
values = st.one_of(
    st.floats(),
    st.floats(width=32),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([0, -1, 127, 128, 255, 256, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1]),
)
timestamps = st.datetimes().map(lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S.%f").zfill(26))
valid_rows = st.builds(
    row,
    st.dictionaries(names, values, max_size=5),
    st.integers(0, 2**63 - 1),
    st.one_of(st.floats(), st.integers(-(2**63), 2**64 - 1)),
    timestamps,
)


@settings(deadline=None)
@given(st.lists(valid_rows, max_size=8), st.booleans())
def test_decodes_what_msgpack_decodes(rows: list[Row], single: bool) -> None:
    encoded = msgpack.packb({"run": RUN, "metrics": rows}, use_single_float=False)
    decoded = decode_metrics(encoded)
    assert decoded.run == RUN
    assert decoded.count == len(rows)
    assert flattened(decoded) == expected(encoded)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["ab", "ba", "a", "abc"]), min_size=1, max_size=300))
def test_rows_of_many_shapes_in_any_sequence_keep_their_places(shapes: list[str]) -> None:
    """Goal: guessing the next shape never puts a row into the wrong one."""
    rows = [row({name: float(i) for name in shape}, step=i) for i, shape in enumerate(shapes)]
    encoded = body(*rows)
    decoded = decode_metrics(encoded)
    assert flattened(decoded) == expected(encoded)
    assert len(decoded.blocks) == len(set(shapes))


def test_float32_becomes_float64() -> None:
    encoded = msgpack.packb(
        {"run": RUN, "metrics": [row({"a": 0.1}, time=0.5)]}, use_single_float=True
    )
    (block,) = decode_metrics(encoded).blocks
    assert block.values.view(np.float64).tolist() == [[float(np.float32(0.1))]]
    assert block.time.tolist() == [0.5]


def test_every_width_of_every_header_is_read() -> None:
    """Method: a body by hand, with no header in its shortest form."""
    encoded = (
        b"\xdf\x00\x00\x00\x02"
        + (b"\xdb\x00\x00\x00\x07metrics" + b"\xdc\x00\x01")
        + (b"\xde\x00\x04" + b"\xd9\x04step" + b"\xcf" + bytes(7) + b"\x05")
        + (b"\xda\x00\x09timestamp" + b"\xd9\x1a" + STAMP.encode())
        + (b"\xd9\x04time" + b"\xd3" + b"\xff" * 8)
        + (b"\xd9\x06values" + b"\xdf\x00\x00\x00\x02")
        + (b"\xda\x00\x01a" + b"\xd1\xff\x00" + b"\xdb\x00\x00\x00\x01b" + b"\xcd\x01\x00")
        + (b"\xd9\x03run" + b"\xda\x00\x16" + RUN.encode())
    )
    decoded = decode_metrics(encoded)
    assert decoded.run == RUN
    assert flattened(decoded) == expected(encoded)


def test_a_name_in_two_encodings_is_one_metric() -> None:
    encoded = body(row({"a": 1.0}), row({"a": 2.0}))
    second = encoded.rindex(b"\xa1a")
    (block,) = decode_metrics(encoded[:second] + b"\xd9\x01a" + encoded[second + 2 :]).blocks
    assert block.values.view(np.float64).tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T00:00:00", 0),
        ("1970-01-01 00:00:00.5", 500_000),
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:00:00.00001Z", 10),
        ("1970-01-01T00:00:00.123456789", 123_456),
        ("1969-12-31T23:59:59.999999", -1),
        ("2000-02-29T00:00:00.000000", 951_782_400_000_000),
        ("0001-01-01T00:00:00.000000", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999", 253_402_300_799_999_999),
    ],
)
def test_timestamps(text: str, moment: int) -> None:
    (block,) = decode_metrics(body(row({"a": 1.0}, timestamp=text))).blocks
    assert block.timestamp.tolist() == [moment]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T12:00:00.",
        "2026-01-31T12:00:00.12345x",
        "2026-01-31T12:00:00.1234567890",
        "2026-01-31T12:00:00+01:00",
        "2026-01-31T12:00:00.123456+00:00",
        "2026-02-29T12:00:00.123456",
        "1900-02-29T12:00:00.123456",
        "2026-04-31T12:00:00.123456",
        "2026-13-01T12:00:00.123456",
        "2026-00-01T12:00:00.123456",
        "2026-01-00T12:00:00.123456",
        "2026-01-31T24:00:00.123456",
        "2026-01-31T12:60:00.123456",
        "2026-01-31T12:00:60.123456",
        "0000-01-31T12:00:00.123456",
        "-001-01-31T12:00:00.123456",
        "2026-01-31_12:00:00.123456",
        "2026-01-31T12:00:00,123456",
        "2026-01-31T1٢:00:00.123456",
    ],
)
def test_what_is_no_timestamp_is_refused(text: str) -> None:
    """Also behind a good row, whose second the decoder remembers."""
    for encoded in (
        body(row({"a": 1.0}, timestamp=text)),
        body(row({"a": 1.0}), row({"a": 1.0}, timestamp=text)),
    ):
        with pytest.raises(ValueError, match=r"row \d: 'timestamp'"):
            decode_metrics(encoded)


def test_names_are_checked_as_the_wire_says() -> None:
    """Method: every character below 256, alone in a name."""
    for code in range(256):
        encoded = body(row({chr(code): 1.0}))
        if wire.METRIC_NAME_PATTERN.fullmatch(chr(code)):
            assert decode_metrics(encoded).blocks[0].names == (chr(code),)
        else:
            with pytest.raises(ValueError, match="row 0: metric name"):
                decode_metrics(encoded)
    longest = "n" * wire.NAME_SIZE_MAX
    assert decode_metrics(body(row({longest: 1.0}))).blocks[0].names == (longest,)
    for name in ("", longest + "n"):
        with pytest.raises(ValueError, match="row 0: a metric's name must have 1 to 1024"):
            decode_metrics(body(row({name: 1.0})))


def test_a_row_without_values_counts_and_has_no_block() -> None:
    decoded = decode_metrics(body(row({}), row({"a": 1.0}, step=3)))
    assert decoded.count == 2
    (block,) = decoded.blocks
    assert block.rows is not None
    assert block.rows.tolist() == [1]
    assert decode_metrics(body()).blocks == ()


def test_keep_leaves_the_rows_of_the_ranges() -> None:
    rows = [row({"a": float(i)} if i % 3 else {"b": i}, step=i) for i in range(100)]
    whole = flattened(decode_metrics(body(*rows)))
    kept = decode_metrics(body(*rows)).keep([(0, 10), (50, 51), (99, 100)])
    assert kept.count == 100
    assert flattened(kept) == [*whole[:10], whole[50], whole[99]]
    assert decode_metrics(body(*rows)).keep([]).blocks == ()
    one = decode_metrics(body(*[row({"a": 1.0}, step=i) for i in range(9)])).keep([(2, 4)])
    assert one.blocks[0].step.tolist() == [2, 3]
    assert one.blocks[0].words.flags.c_contiguous


def test_many_rows_and_many_metrics() -> None:
    """Goal: every growth of every buffer and table is walked through."""
    generator = random.Random(7)
    names = [f"metric {i}" for i in range(3000)]
    rows = [row({n: generator.random() for n in names}, step=i) for i in range(3)]
    rows += [row({names[i % 700]: float(i)}, step=i) for i in range(5000)]
    rows += [row({"x": float(i), "y": 1}, step=i) for i in range(20_000)]
    encoded = body(*rows)
    assert flattened(decode_metrics(encoded)) == expected(encoded)


# ---- What is wrong -------------------------------------------------------------------

GOOD = row({"loss": 0.5, "n": 3, "ok": True})


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"", "the body is empty"),
        (b"\xc0", "the body is not a map of two members"),
        (msgpack.packb([1]), "the body is not a map of two members"),
        (msgpack.packb({"run": RUN}), "the body is not a map of two members"),
        (msgpack.packb({"run": RUN, "events": []}), "members other than"),
        (msgpack.packb({"run": 7, "metrics": []}), "'run' is cut short or not a str"),
        (msgpack.packb({"run": RUN, "metrics": {}}), "'metrics' is cut short or not an array"),
        (body() + b"\x00", "bytes follow the end"),
        (body(GOOD, 7), "row 1: it is cut short or not a map"),
        (body(GOOD, {}), "row 1: it lacks one of"),
        (body({**GOOD, "step": -1}), "row 0: 'step'"),
        (body({**GOOD, "step": 2**63}), "row 0: 'step'"),
        (body({**GOOD, "step": 1.0}), "row 0: 'step'"),
        (body({**GOOD, "step": True}), "row 0: 'step'"),
        (body({**GOOD, "step": None}), "row 0: 'step'"),
        (body({**GOOD, "time": None}), "row 0: 'time'"),
        (body({**GOOD, "time": True}), "row 0: 'time'"),
        (body({**GOOD, "time": "1"}), "row 0: 'time'"),
        (body({**GOOD, "timestamp": 0}), "row 0: 'timestamp'"),
        (body({**GOOD, "values": []}), "row 0: 'values'"),
        (body({**GOOD, "colour": 1}), "row 0: member 'colour' is unknown"),
        (body(row({"a": 1.0}), row({"b": "x"})), "row 1: the value of 'b'"),
        (body(row({"a": None})), "row 0: the value of 'a'"),
        (body(row({"a": [1.0]})), "row 0: the value of 'a'"),
        (body({**GOOD, 7: 1}), "row 0: a member's name"),
        (body({**GOOD, "values": {7: 1}}), "row 0: a metric's name"),
    ],
)
def test_what_is_wrong_is_named(encoded: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_metrics(encoded)


def test_a_metric_twice_in_a_row_is_refused() -> None:
    encoded = body(row({"a": 1.0, "b": 2.0})).replace(b"\xa1b", b"\xa1a")
    with pytest.raises(ValueError, match="row 0: metric 'a' is there twice"):
        decode_metrics(encoded)
    with pytest.raises(ValueError, match="row 0: member 'step' is unknown or there twice"):
        decode_metrics(body({**GOOD, "time": 1}).replace(b"\xa4time", b"\xa4step"))


def test_a_claimed_count_allocates_nothing() -> None:
    """Headers that promise four thousand million entries, with nothing behind them."""
    huge = b"\xff\xff\xff\xff"
    begin = b"\x82\xa3run\xa1R\xa7metrics\xdd" + huge
    for encoded in (
        begin,
        begin + b"\x84\xa6values\xdf" + huge,
        begin + b"\x84\xa6values\x81\xdb" + huge,
        begin + b"\xdf" + huge,
    ):
        with pytest.raises(ValueError, match="row 0"):
            decode_metrics(encoded)


def test_more_than_65536_metrics_are_refused() -> None:
    values = {f"m{i}": 1.0 for i in range(65_537)}
    with pytest.raises(ValueError, match="more than 65,536 metrics"):
        decode_metrics(body(row(values)))
    halves = [dict(list(values.items())[:40_000]), dict(list(values.items())[40_000:])]
    with pytest.raises(ValueError, match="more than 65,536 metric names"):
        decode_metrics(body(*[row(half) for half in halves]))


def test_every_way_to_cut_a_body_short_is_refused() -> None:
    encoded = body(GOOD, row({"loss": 1}), GOOD)
    for size in range(len(encoded)):
        # A copy of its own, so that a read past the end is a read past an allocation.
        with pytest.raises(ValueError):  # noqa: PT011 - which reason depends on the place
            decode_metrics(bytearray(encoded[:size]))


def survives(encoded: bytes) -> None:
    """Decode; a body that is taken must be what msgpack says it is."""
    try:
        decoded = decode_metrics(encoded)
    except ValueError:
        return
    assert flattened(decoded) == expected(encoded)


@settings(deadline=None)
@given(st.binary(max_size=200))
@example(b"\x82" + b"\x91" * 1000)
def test_random_bytes_never_crash(encoded: bytes) -> None:
    survives(encoded)


def mutations(generator: random.Random, encoded: bytes) -> Iterator[bytes]:
    mutated = bytearray(encoded)
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(mutated))
        match generator.randrange(4):
            case 0:
                mutated[place] = generator.randrange(256)
            case 1:
                mutated[place] ^= 1 << generator.randrange(8)
            case 2:
                del mutated[place : place + generator.randint(1, 9)]
            case _:
                other = generator.randrange(len(mutated))
                mutated[place:place] = mutated[other : other + generator.randint(1, 40)]
        if not mutated:
            return
        yield bytes(mutated)


@settings(max_examples=200, deadline=None)
@given(st.lists(valid_rows, min_size=1, max_size=4), st.integers(0, 2**32))
def test_mutated_bodies_never_crash(rows: list[Row], seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(20):
        for encoded in mutations(generator, body(*rows)):
            survives(encoded)


# ---- Words and planes -----------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 60), st.integers(0, 2**32))
def test_unpack_undoes_pack(columns: int, rows: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    words = generator.integers(0, 2**64, (columns, rows), np.uint64, endpoint=False)
    packed = pack(words)
    assert packed.size == words.size * 8
    assert (unpack(packed, columns, rows) == words).all()


def test_pack_crosses_its_tiles() -> None:
    words = np.arange(3 * 5000, dtype=np.uint64).reshape(3, 5000) ** np.uint64(3)
    assert (unpack(pack(words).tobytes(), 3, 5000) == words).all()


@pytest.mark.parametrize(("columns", "rows"), [(-1, -2), (1, 3), (2, 2), (2**62, 2)])
def test_unpack_refuses_what_does_not_fit(columns: int, rows: int) -> None:
    with pytest.raises(ValueError, match="16 bytes are not"):
        unpack(bytes(16), columns, rows)
