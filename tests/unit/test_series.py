import math
import struct

import pytest

from simvue.exception import ServerError
from simvue.series import decode_buckets, decode_series


def columns(formats: str, values: list, kinds: str | bytes) -> dict:
    """What the server sends for rows of *values*, each packed as its letter in *formats* says."""
    rows = len(values)
    return {
        "step": struct.pack(f"<{rows}q", *range(rows)),
        "time": struct.pack(f"<{rows}d", *(k / 4 for k in range(rows))),
        "timestamp": struct.pack(f"<{rows}q", *(10**15 + k for k in range(rows))),
        "values": b"".join(
            struct.pack(f"<{letter}", value) for letter, value in zip(formats, values, strict=True)
        ),
        "kinds": kinds,
    }


@pytest.mark.parametrize(
    ("formats", "values", "kinds"),
    [
        ("ddd", [0.5, -0.0, math.inf], "f"),
        ("qq", [-(2**63), 2**63 - 1], "i"),
        ("QQ", [0, 2**64 - 1], "u"),
        ("QQ", [True, False], "b"),
        ("dqQQ", [0.5, -1, 2**64 - 1, True], bytes([0, 1, 2, 3])),
        ("qqd", [1, 2, 3.0], bytes([1, 1, 0])),
        ("", [], "f"),
        ("", [], b""),
    ],
)
def test_every_kind_of_value_comes_back_with_its_type(formats, values, kinds):
    series = decode_series("m", columns(formats, values, kinds))
    assert len(series) == len(values)
    assert list(series.values) == values
    assert [type(value) for value in series.values] == [type(value) for value in values]
    assert list(series.step) == list(range(len(values)))
    assert list(series.time) == [k / 4 for k in range(len(values))]


def test_a_million_rows_do_not_fill_the_screen():
    assert repr(decode_series("m", columns("d" * 1000, [0.5] * 1000, "f"))) == (
        "Series('m', 1,000 rows)"
    )


def test_arrays_share_their_memory_with_numpy():
    np = pytest.importorskip("numpy")
    series = decode_series("m", columns("dd", [0.5, 1.5], "f"))
    assert np.shares_memory(series.to_numpy()["values"], np.asarray(series.values))
    assert series.to_numpy()["values"].tolist() == [0.5, 1.5]


@pytest.mark.parametrize(
    ("formats", "values", "kinds", "dtype"),
    [
        ("d", [0.5], "f", "float64"),
        ("q", [1], "i", "int64"),
        ("Q", [1], "u", "uint64"),
        ("Q", [True], "b", "bool"),
        ("dQ", [0.5, True], bytes([0, 3]), "float64"),
        ("qQ", [-1, 2**64 - 1], bytes([1, 2]), "float64"),
    ],
)
def test_numpy_gets_the_kind_of_the_values(formats, values, kinds, dtype):
    pytest.importorskip("numpy")
    assert decode_series("m", columns(formats, values, kinds)).to_numpy()["values"].dtype == dtype


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"step": bytes(7)}, "step"),
        ({"step": bytes(8)}, "lengths"),
        ({"time": None}, "time"),
        ({"values": "text"}, "values"),
        ({"kinds": "x"}, "kinds"),
        ({"kinds": "fi"}, "kinds"),
        ({"kinds": b"\x00"}, "kinds"),
        ({"kinds": b"\x00\x04"}, "kinds"),
        ({"kinds": None}, "kinds"),
    ],
)
def test_an_answer_that_is_no_series_is_the_servers_fault(changed, what):
    with pytest.raises(ServerError, match=f"'m' is malformed .{what}"):
        decode_series("m", columns("dd", [0.5, 1.5], "f") | changed)


@pytest.mark.parametrize("decode", [decode_series, decode_buckets])
@pytest.mark.parametrize("answer", [None, 7, "text", [b"", b""]])
def test_an_answer_without_columns_is_the_servers_fault(decode, answer):
    with pytest.raises(ServerError, match="'m' is malformed"):
        decode("m", answer)


NAMES = ("first", "last", "min", "max", "x_first", "x_last", "x_min", "x_max")


def test_buckets_are_columns_of_equal_length():
    sent = {name: struct.pack("<2d", k, k + 0.5) for k, name in enumerate(NAMES)}
    sent |= {"count": struct.pack("<2q", 3, 4), "nonfinite": struct.pack("<2q", 0, 1)}
    buckets = decode_buckets("m", sent)
    assert len(buckets) == 2
    assert list(buckets.count) == [3, 4]
    assert list(buckets.nonfinite) == [0, 1]
    for k, name in enumerate(NAMES):
        assert list(getattr(buckets, name)) == [k, k + 0.5]
    assert repr(buckets) == "Buckets('m', 2 of 7 rows)"
    with pytest.raises(ServerError, match="lengths"):
        decode_buckets("m", sent | {"count": struct.pack("<q", 3)})
    with pytest.raises(ServerError, match="x_max"):
        decode_buckets("m", {name: sent[name] for name in sent if name != "x_max"})
