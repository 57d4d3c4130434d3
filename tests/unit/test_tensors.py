"""Bodies of arrays: what is read, what is refused, and that nothing else happens."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import msgpack
import numpy as np
import pytest

from simvue import wire
from simvue.server import tensors
from simvue.server.forms import Refused

GRID = "G" * wire.ID_SIZE


def row(**members: Any) -> dict[str, Any]:
    return {
        "time": 0.5,
        "timestamp": "2026-01-01T00:00:00.000001",
        "step": 3,
        "array": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
        "grid": GRID,
        "metric": "flow/u",
        **members,
    }


def decode(*rows: Any, strict: bool = True) -> tuple[list[Any], int]:
    return tensors.decode(msgpack.packb(list(rows)), strict)


def test_an_array_keeps_its_shape_its_type_and_its_bits() -> None:
    (one, two, three, four), refused = decode(
        row(),
        row(array=[1, -2, 2**53 + 1]),
        row(array=[2**64 - 1]),
        row(array=[float("nan"), float("-inf"), -0.0], time=1),
    )
    assert refused == 0
    assert (one.name, one.grid, one.step, one.time) == ("flow/u", GRID, 3, 0.5)
    assert one.timestamp == wire.parse_timestamp("2026-01-01T00:00:00.000001")
    assert (one.dtype, one.shape) == ("<f8", (2, 3))
    assert tensors.values(one) == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert tensors.values(two) == [1, -2, 2**53 + 1]
    assert tensors.values(three) == [2**64 - 1]
    assert four.values == np.array([np.nan, -np.inf, -0.0]).tobytes()


BAD: list[dict[str, Any]] = [
    {"array": []},
    {"array": [[]]},
    {"array": [[1.0], [1.0, 2.0]]},
    {"array": [[[1.0]]]},
    {"array": ["1.5"]},
    {"array": [1.0, "a"]},
    {"array": [None]},
    {"array": [b"1"]},
    {"array": [{}]},
    {"array": [msgpack.Timestamp(1)]},
    {"array": 1.0},
    {"array": [0] * (wire.TENSOR_SIZE_MAX + 1)},
    {"array": [0] * (wire.TENSOR_SIZE_MAX * 20)},
    {"grid": "short"},
    {"grid": GRID + "\n"},
    {"metric": ""},
    {"metric": "a\x00b"},
    {"metric": "m" * (wire.NAME_SIZE_MAX + 1)},
    {"step": -1},
    {"step": 2**63},
    {"step": 1.5},
    {"timestamp": "yesterday"},
    {"time": "0"},
    {"time": None},
]


@pytest.mark.parametrize("change", BAD, ids=lambda change: str(change)[:40])
def test_a_wrong_row_is_refused_with_its_place_or_left_out(change: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refusal:
        decode(row(), row(**change))
    assert refusal.value.status == 422
    assert refusal.value.detail[0]["loc"][:2] == ["body", 1]
    found, refused = decode(row(), row(**change), row(), strict=False)
    assert (len(found), refused) == (2, 1)


def test_a_row_of_the_largest_array_is_taken() -> None:
    lines = [[float(i)] for i in range(wire.TENSOR_SIZE_MAX)]
    (one,), _ = decode(row(array=lines, metric="m" * wire.NAME_SIZE_MAX))
    assert one.shape == (wire.TENSOR_SIZE_MAX, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc0",
        b"\x80",
        b"\xdd\xff\xff\xff\xff",
        b"\xdd\x00\x01\x00\x01" + b"\xc0" * 65_537,
        b"\x91" * 100_000,
        msgpack.packb([row()]) + b"\x00",
        msgpack.packb([row()])[:-1],
        b"\x91\x91" * 5_000,
    ],
    ids=range(9),
)
def test_a_body_that_is_no_array_of_rows_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        tensors.decode(body, strict=True)
    assert refusal.value.status == 422


def test_no_bytes_do_more_than_be_refused(rng: random.Random) -> None:
    """Bodies with a few bytes changed, cut or doubled: decoded, or refused."""
    whole = msgpack.packb([row(), row(array=[1, 2, 3])])
    for _ in range(3000):
        body = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(body))
            match rng.randrange(3):
                case 0:
                    body[place] = rng.randrange(256)
                case 1:
                    del body[place : place + rng.randint(1, 8)]
                case _:
                    body[place:place] = rng.randbytes(rng.randint(1, 8))
        with suppress(Refused):
            tensors.decode(bytes(body), strict=rng.random() < 0.5)
