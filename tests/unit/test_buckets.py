"""Buckets and points, against what a loop in plain Python says."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simvue.server.store import Series
from simvue.server.store.buckets import Axis, Buckets, cut, numbers, points

Line = tuple[int, float, int, Any]
"""Step, time, timestamp and value of a row."""


def series_of(lines: list[Line]) -> Series:
    words, kinds = [], []
    for *_, value in lines:
        if isinstance(value, float):
            words.append(struct.unpack("<Q", struct.pack("<d", value))[0])
            kinds.append(0)
        else:
            words.append(value % 2**64)
            kinds.append(3 if isinstance(value, bool) else 2 if value >= 2**63 else 1)
    return Series(
        np.array([line[0] for line in lines], np.int64),
        np.array([line[1] for line in lines], np.float64),
        np.array([line[2] for line in lines], np.int64),
        np.array(words, np.uint64),
        np.array(kinds, np.uint8),
    )


values = st.one_of(st.floats(width=32), st.integers(-(2**63), 2**64 - 1), st.booleans())
steps = st.one_of(st.integers(0, 20), st.integers(0, 2**63 - 1))
lines = st.lists(
    st.tuples(steps, st.floats(width=16), st.integers(-(2**50), 2**50), values), max_size=60
)
axes = st.sampled_from(("step", "time", "timestamp"))


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def x_of(line: Line, axis: Axis) -> float:
    return line[("step", "time", "timestamp").index(axis)]


@settings(deadline=None)
@given(lines, axes, st.integers(1, 80))
def test_buckets_hold_every_row_and_its_extremes(rows: list[Line], axis: Axis, most: int) -> None:
    """Method: hand the sorted rows to the buckets by their counts, and sum up by hand."""
    found = cut(series_of(rows), axis, most)
    rows = sorted(
        (row for row in rows if math.isfinite(x_of(row, axis))), key=lambda row: x_of(row, axis)
    )
    assert len(found.count) <= most
    assert found.count.sum() == len(rows)
    assert (found.count > 0).all()
    if len(rows) <= most:
        assert len(found.count) == len(rows)
    at = 0
    for i, count in enumerate(found.count.tolist()):
        part = [(x_of(row, axis), float(row[3])) for row in rows[at : at + count]]
        finite = [(x, y) for x, y in part if math.isfinite(y)]
        at += count
        assert found.nonfinite[i] == len(part) - len(finite)
        assert (found.first_x[i], found.last_x[i]) == (part[0][0], part[-1][0])
        assert same(found.first[i], part[0][1])
        assert same(found.last[i], part[-1][1])
        if finite:
            assert found.min[i] == min(y for _, y in finite)
            assert found.max[i] == max(y for _, y in finite)
            assert (found.min_x[i], found.min[i]) in finite
            assert (found.max_x[i], found.max[i]) in finite
        else:
            assert math.isnan(found.min[i])
            assert math.isnan(found.max[i])


def ramp(count: int, offset: int = 0) -> Series:
    return series_of([(offset + i, i / 2, 1000 * i, float(i)) for i in range(count)])


def test_buckets_are_of_equal_width() -> None:
    found = cut(ramp(1000), "step", 10)
    assert found.count.tolist() == [100] * 10
    assert found.first_x.tolist() == list(range(0, 1000, 100))
    assert found.min.tolist() == [float(x) for x in range(0, 1000, 100)]
    assert found.max.tolist() == [float(x) for x in range(99, 1000, 100)]


def test_empty_buckets_are_left_out() -> None:
    rows = [(step, 0.0, 0, 1.0) for step in (0, 1, 2, 97, 98, 99, 100)]
    assert cut(series_of(rows), "step", 5).count.tolist() == [3, 4]


def test_steps_at_the_end_of_64_bits_are_told_apart() -> None:
    found = cut(ramp(1000, 2**63 - 1000), "step", 10)
    assert found.count.tolist() == [100] * 10
    whole = [(step, 0.0, 0, 1.0) for step in (0, 1, 2**62, 2**63 - 2, 2**63 - 1)]
    assert cut(series_of(whole), "step", 2).count.tolist() == [2, 3]


def test_times_at_both_ends_of_the_floats() -> None:
    huge = 1.7e308
    rows = [(0, time, 0, 1.0) for time in (-huge, -huge, 0.0, huge, huge)]
    assert cut(series_of(rows), "time", 4).count.sum() == 5


def test_a_zoom_divides_the_range_asked_for() -> None:
    found = cut(ramp(1000), "step", 10, 200, 399)
    assert found.count.tolist() == [20] * 10
    assert cut(ramp(1000), "time", 10, 100.0, 100.5).first.tolist() == [200.0, 201.0]
    assert cut(ramp(10), "step", 10, 50).count.tolist() == []
    assert cut(ramp(1000), "step", 4, -2000, 1999).count.tolist() == [1000]
    assert cut(ramp(1000), "step", 4, 0.5, 400.25).count.tolist() == [100] * 4


def test_a_peak_between_a_million_rows_is_seen() -> None:
    count = 1_000_000
    y = np.sin(np.arange(count) / 1000.0)
    y[123_456] = 99.0
    series = Series(
        np.arange(count),
        np.arange(count) / 10,
        np.arange(count),
        y.view(np.uint64),
        np.zeros(count, np.uint8),
    )
    found = cut(series, "time", 900)
    assert len(found.count) == 900
    peak = int(np.argmax(found.max))
    assert (found.max[peak], found.max_x[peak]) == (99.0, 12_345.6)
    x, values = points(series, "step", 900)
    assert len(x) <= 900
    assert 99.0 in values
    assert x[values.index(99.0)] == 123_456


def test_nothing_cuts_into_no_buckets() -> None:
    empty = series_of([])
    found = cut(empty, "step", 5)
    assert [len(getattr(found, name)) for name in Buckets.__dataclass_fields__] == [0] * 10
    x, values = points(empty, "time")
    assert (x.tolist(), values) == ([], [])
    for refuse in (lambda: cut(empty, "step", 0), lambda: points(ramp(3), "step", 0)):
        with pytest.raises(ValueError, match="cannot be cut"):
            refuse()


@settings(deadline=None)
@given(lines, axes)
def test_points_are_ascending_unique_and_the_last_write_wins(rows: list[Line], axis: Axis) -> None:
    winners: dict[float, Line] = {}
    for row in rows:
        x = x_of(row, axis)
        if math.isfinite(x) and (x not in winners or row[2] >= winners[x][2]):
            winners[x] = row
    found, values = points(series_of(rows), axis)
    assert found.tolist() == sorted(winners)
    expected = [winners[place][3] for place in sorted(winners)]
    assert [repr(value) for value in values] == [
        repr(int(value) if isinstance(value, bool) else value) for value in expected
    ]


@settings(deadline=None)
@given(lines, axes, st.integers(1, 30))
def test_few_enough_points_are_all_there_and_more_are_thinned(
    rows: list[Line], axis: Axis, most: int
) -> None:
    all_x, all_values = points(series_of(rows), axis)
    x, values = points(series_of(rows), axis, most)
    if len(all_x) <= most:
        assert (x.tolist(), repr(values)) == (all_x.tolist(), repr(all_values))
    else:
        assert 1 <= len(x) <= most
        assert (x[1:] > x[:-1]).all()
        there = {
            place: repr(value) for place, value in zip(all_x.tolist(), all_values, strict=True)
        }
        assert all(
            there[place] == repr(value) for place, value in zip(x.tolist(), values, strict=True)
        )


def test_numbers_are_exact() -> None:
    sent = [2**63 - 1, 2**64 - 1, -(2**63), 0.1, True, False, 7]
    assert numbers(series_of([(0, 0.0, 0, value) for value in sent])) == [*sent[:4], 1, 0, 7]
