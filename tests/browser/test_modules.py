"""The page's modules on their own, run where they run: in the browser."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgpack
import pytest
from fix_browser import Browser

DECODE = """
const bytes = Uint8Array.from(atob(rest[0]), (letter) => letter.charCodeAt(0));
return JSON.stringify(it.decode(bytes.buffer), (key, value) => (
  value instanceof Uint8Array ? { bin: Array.from(value) } : value));
"""


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        *(2**bits - 1 for bits in (0, 7, 8, 16, 32, 53)),
        *(-(2**bits) for bits in (0, 5, 7, 15, 31, 53)),
        0.1,
        "",
        "Größe 日本語 🚀",
        "x" * 40,
        "x" * 300,
        "x" * 70_000,
        [],
        list(range(20)),
        [0] * 70_000,
        {},
        {"__proto__": 1, "nested": {"list": [1, [2]]}},
        {str(i): i for i in range(20)},
        {str(i): i for i in range(70_000)},
    ],
    ids=lambda value: repr(value)[:24],
)
def test_msgpack_reads_what_the_server_writes(bench: Browser, value: Any) -> None:
    text = base64.b64encode(msgpack.packb(value)).decode()
    assert json.loads(bench.run_module("msgpack.js", DECODE, text)) == value


@pytest.mark.parametrize("size", [0, 8, 300, 70_000])
def test_msgpack_reads_columns(bench: Browser, size: int) -> None:
    value = bytes(i % 256 for i in range(size))
    text = base64.b64encode(msgpack.packb(value)).decode()
    assert json.loads(bench.run_module("msgpack.js", DECODE, text)) == {"bin": list(value)}


@pytest.mark.parametrize(
    ("values", "step", "labels"),
    [
        ([0, 2.5, 5], 2.5, ["0.0", "2.5", "5.0"]),
        ([0, 50_000], 50_000, ["0", "50,000"]),
        ([1.25, 1.5], 0.25, ["1.25", "1.50"]),
        ([0, 1e-7, 2e-7], 1e-7, ["0", "1e-7", "2e-7"]),
        ([1.05e9, 1.1e9], 5e7, ["1.05e+9", "1.10e+9"]),
        ([1e20, 1.25e20], 2.5e19, ["1.00e+20", "1.25e+20"]),
    ],
)
def test_neighbouring_ticks_never_read_the_same(
    bench: Browser, values: list[float], step: float, labels: list[str]
) -> None:
    assert bench.run_module("format.js", "return it.ticks(...rest)", values, step) == labels


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-0.5, "0 ms"),
        (0.04, "40 ms"),
        (9.94, "9.9 s"),
        (59.9, "59 s"),
        (61, "1 m 01 s"),
        (3_725, "1 h 02 m"),
        (93_600, "1 d 02 h"),
    ],
)
def test_durations_read_with_their_two_largest_units(
    bench: Browser, seconds: float, text: str
) -> None:
    assert bench.run_module("format.js", "return it.duration(rest[0])", seconds) == text
