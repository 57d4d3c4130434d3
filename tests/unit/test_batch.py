"""Rows as `_batch` writes them: byte for byte those of reference.py, or an error and no byte."""

from __future__ import annotations

import calendar
import enum
import gc
import math
import os
import re
import sys
import threading
import time as clock
import tracemalloc
import weakref
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import reference
from fix_queue import Tape
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from simvue import wire
from simvue._batch import SEGMENT_HEADER_SIZE, Segment, Stream, Writer
from simvue.exception import InvalidValueError, NotInitialisedError

quick = settings(max_examples=60, deadline=None)

STAMP = "2026-01-31T12:00:00.123456"
MOMENT = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=timezone.utc)

# ---- What metrics are made of ------------------------------------------------------------

EDGES = [
    edge + offset
    for width in (5, 7, 8, 15, 16, 31, 32, 53, 63, 64, 100)
    for edge in (-(2**width), 2**width)
    for offset in (-1, 0, 1)
]
FLOAT_EDGES = [
    0.0, -0.0, math.nan, -math.nan, math.inf, -math.inf, 5e-324, -5e-324, 2.2250738585072014e-308,
    sys.float_info.max, sys.float_info.epsilon, 0.1, 1e22, 2.0**53, 2.0**63, 2.0**64,
]  # fmt: skip


class Level(enum.IntEnum):
    LOW = -3


class Text(str):
    """A str of another type, as numpy and pandas have them."""


class Real:
    """Anything with ``__float__``."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


class Whole:
    """Anything with ``__index__``."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


def numpy_scalars() -> st.SearchStrategy[Any]:
    integers = [
        st.integers(np.iinfo(kind).min, np.iinfo(kind).max).map(kind)
        for kind in (
            np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
        )
    ]  # fmt: skip
    floats = [
        st.floats(width=16).map(np.float16),
        st.floats(width=32).map(np.float32),
        st.floats().map(np.float64),
        st.floats().map(np.longdouble),
        st.booleans().map(np.bool_),
        st.integers(-9, 9).map(np.array),
    ]
    return st.one_of(*integers, *floats)


values = st.one_of(
    st.sampled_from([*FLOAT_EDGES, *EDGES, Level.LOW]),
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    numpy_scalars(),
    st.decimals(allow_nan=False).filter(lambda x: math.isfinite(float(x))),
    st.fractions(),
    st.floats().map(repr),
    st.integers(-(10**9), 10**9).map(lambda x: f" {x} "),
    st.floats().map(Real),
    st.integers(-(2**70), 2**70).map(Whole),
)

ALLOWED = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_ /.:=><+()%\t\n\r\f\v"
names = st.one_of(
    st.text(ALLOWED, min_size=1, max_size=40),
    st.sampled_from([1, 31, 32, 33, 255, 256, 257, 1023, 1024]).map(lambda size: "n" * size),
    st.sampled_from(["loss", "val/loss", "residual (Ux)"]),
    st.text(ALLOWED, min_size=1, max_size=8).map(Text),
)
steps = st.one_of(
    st.sampled_from([edge for edge in EDGES if 0 <= edge < 2**63]), st.integers(0, 2**63 - 1)
)


def check(tape: Tape, given: Mapping[str, Any], step: int, time: float, **more: Any) -> None:
    """Log *given* and compare the row with the reference."""
    assert tape.writer.log_metrics(given, step, time, STAMP + "Z", **more) is True
    row = reference.metric_row(given, time, STAMP, step)
    assert tape.metrics.written.endswith(row)
    assert len(tape.metrics.written) == len(row)


# ---- One row ------------------------------------------------------------------------------


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(names, values, min_size=1, max_size=20), steps, st.floats())
def test_a_row_is_byte_for_byte_that_of_the_reference(given, step, time):
    check(Tape(), given, step, time)


@pytest.mark.parametrize("value", [*EDGES, *FLOAT_EDGES, True, False, Level.LOW], ids=repr)
def test_an_edge_of_a_number_is_encoded_as_msgpack_does(value):
    check(Tape(), {"edge": value}, 0, 0.0)


@pytest.mark.parametrize("count", [1, 15, 16, 17, 65_535, 65_536])
def test_a_row_of_so_many_metrics_has_the_right_map_header(count):
    check(Tape(), {f"m{i}": float(i) for i in range(count)}, 1, 0.5)


def test_every_allowed_character_is_allowed_and_no_other():
    for code in [*range(256), 0x2003, 0x661, 0x1F600]:
        tape = Tape()
        if chr(code) in ALLOWED:
            check(tape, {chr(code): 1.0}, 0, 0.0)
        else:
            with pytest.raises(InvalidValueError):
                tape.writer.log_metrics({f"a{chr(code)}": 1.0})
    # The server reads names by the same pattern.
    assert wire.METRIC_NAME_PATTERN.fullmatch(ALLOWED)


def test_an_equal_name_that_is_another_object_is_the_same_name(tape):
    name = "a name that is not interned"
    for _ in range(3):
        assert tape.writer.log_metrics({"".join(name): 1.0}, 0, 0.0)
        assert tape.writer.log_metrics({"".join(list(name)): 1.0}, 0, 0.0)
        assert tape.writer.log_metrics({Text(name): 1.0}, 0, 0.0)
    assert [list(row["values"]) for row in tape.metrics.rows] == [[name]] * 9


def test_names_are_told_apart_though_their_addresses_come_back(tape):
    """A str that dies leaves its address to the next, which must not be taken for it."""
    for i in range(5000):
        name = f"n{i}"
        tape.writer.log_metrics({name: float(i)})
        tape.writer.log_metrics({f"n{i}": float(i)})
        del name
    for i, row in enumerate(tape.metrics.rows):
        assert row["values"] == {f"n{i // 2}": float(i // 2)}


def test_more_names_than_the_cache_holds_start_it_again(tape):
    """The cache holds 65,536 names; a bound form keeps its own."""
    log = tape.writer.bind_metrics("kept")
    for start in range(0, 70_000, 100):
        tape.writer.log_metrics({f"name {i}": i for i in range(start, start + 100)})
        log(start)
    rows = tape.metrics.rows
    for start, row, bound in zip(range(0, 70_000, 100), rows[::2], rows[1::2], strict=True):
        assert row["values"] == {f"name {i}": i for i in range(start, start + 100)}
        assert bound["values"] == {"kept": start}
    tape.writer.log_metrics({f"other {i}": i for i in range(70_000)})
    assert len(tape.last()["values"]) == 70_000
    assert tape.last()["values"]["other 69999"] == 69_999


@pytest.mark.parametrize(
    "make",
    [
        dict, OrderedDict, MappingProxyType, lambda d: defaultdict(float, d),
    ],
)  # fmt: skip
def test_any_mapping_will_do(tape, make):
    check(tape, make({"a": 1.5, "b": 2}), 3, 0.25)


def test_a_segment_that_is_exactly_full_loses_nothing(tape):
    """Rows of every size meet the end of a small segment at every place."""
    tape = Tape(capacity=300)
    sent = [{"x" * size: 1.0} for size in range(1, 200)] * 2
    for row in sent:
        assert tape.writer.log_metrics(row)
    assert [row["values"] for row in tape.metrics.rows] == sent
    assert len(tape.metrics.segments) > 100


# ---- Steps --------------------------------------------------------------------------------


def test_the_automatic_step_counts_every_call_also_those_that_gave_one(tape):
    log = tape.writer.log_metrics
    log({"a": 1.0})
    log({"a": 1.0}, step=100)
    log({"a": 1.0})
    log({}, step=7)
    log({"a": 1.0})
    tape.writer.log_series({"a": [1.0, 2.0]})
    tape.writer.bind_metrics("a")(1.0)
    tape.writer.bind_metrics("a")(1.0, step=9)
    log({"a": 1.0})
    assert [row["step"] for row in tape.metrics.rows] == [0, 100, 2, 3, 4, 5, 6, 9, 8]


def test_an_empty_dict_writes_nothing_and_takes_no_step(tape):
    assert tape.writer.log_metrics({}) is True
    assert tape.metrics.segments == []
    tape.writer.log_metrics({"a": 1.0})
    assert tape.last()["step"] == 0


def test_attaching_again_begins_at_step_0(tape):
    tape.writer.log_metrics({"a": 1.0})
    tape.writer._attach(tape.metrics.stream, tape.events.stream)
    tape.writer.log_metrics({"a": 1.0})
    assert [row["step"] for row in tape.metrics.rows] == [0, 0]


@pytest.mark.parametrize(
    ("step", "number"),
    [
        (7, 7), ("7", 7), (" 7 ", 7), (7.0, 7), (np.int32(7), 7), (np.uint64(2**63 - 1), 2**63 - 1),
        (np.float64(7), 7), (Whole(7), 7), (True, 1), (Level.LOW + 4, 1), (0, 0), (-0.0, 0),
    ],
)  # fmt: skip
def test_a_step_may_be_anything_that_is_a_whole_number(tape, step, number):
    tape.writer.log_metrics({"a": 1.0}, step=step)
    assert tape.last()["step"] == number


# ---- Time ---------------------------------------------------------------------------------


@quick
@given(st.datetimes(timezones=st.sampled_from([timezone.utc, timezone(timedelta(hours=5.5))])))
@example(datetime(1, 1, 1, tzinfo=timezone.utc))
@example(datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc))
def test_a_datetime_with_a_zone_is_written_in_utc(moment):
    try:
        utc = moment.astimezone(timezone.utc)
    except OverflowError:
        assume(False)
    tape = Tape()
    expected = utc.replace(tzinfo=None).isoformat(timespec="microseconds")
    for form in (moment, moment.isoformat(), moment.isoformat(" ", "microseconds")):
        tape.writer.log_metrics({"a": 1.0}, timestamp=form)
        assert tape.last()["timestamp"] == expected


@pytest.mark.parametrize("year", [1, 4, 100, 400, 1583, 1900, 1970, 2000, 2024, 2100, 9996, 9999])
def test_every_month_of_a_year_ends_where_it_does(year):
    tape = Tape()
    moments = []
    for month in range(1, 13):
        last = datetime(year, month, calendar.monthrange(year, month)[1], 23, 59, 59, 999999)
        moments += [datetime(year, month, 1), datetime(year, month, 28, 0, 0, 0, 1), last]
    for moment in moments:
        tape.writer.log_metrics({"a": 1.0}, timestamp=moment.replace(tzinfo=timezone.utc))
    for moment, row in zip(moments, tape.metrics.rows, strict=True):
        assert row["timestamp"] == moment.isoformat(timespec="microseconds")


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00.123456Z", "2026-01-31 12:00:00.123456+00:00",
        "2026-01-31T17:30:00.123456+05:30", "2026-01-31T04:00:00.123456-08:00",
        " 2026-01-31T12:00:00.123456Z ", MOMENT, MOMENT.astimezone(timezone(timedelta(hours=9))),
    ],
)  # fmt: skip
def test_a_zone_is_obeyed(tape, text):
    tape.writer.log_metrics({"a": 1.0}, timestamp=text)
    tape.writer.log_event("a", text)
    assert tape.last()["timestamp"] == tape.events.rows[-1]["timestamp"] == STAMP


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    clock.tzset()
    yield
    monkeypatch.undo()
    clock.tzset()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-01-31T12:00:00.5", "2026-01-31T17:00:00.500000"),
        ("2026-07-31 12:00:00", "2026-07-31T16:00:00.000000"),
        ("2026-07-31", "2026-07-31T04:00:00.000000"),
        (datetime(2026, 7, 31, 12), "2026-07-31T16:00:00.000000"),
        # Clocks go back: the first of the two hours, unless fold says otherwise.
        (datetime(2026, 11, 1, 1, 30), "2026-11-01T05:30:00.000000"),
        (datetime(2026, 11, 1, 1, 30, fold=1), "2026-11-01T06:30:00.000000"),
    ],
)
@pytest.mark.usefixtures("new_york")
def test_a_time_without_a_zone_is_local(tape, given, expected):
    if sys.version_info < (3, 11) and given == "2026-01-31T12:00:00.5":
        given = "2026-01-31T12:00:00.500"
    tape.writer.log_metrics({"a": 1.0}, timestamp=given)
    assert tape.last()["timestamp"] == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "1970-01-01T00:00:00.000000"), (1.5, "1970-01-01T00:00:01.500000"),
        (-1, "1969-12-31T23:59:59.000000"), (-0.000001, "1969-12-31T23:59:59.999999"),
        (951_782_400, "2000-02-29T00:00:00.000000"), (np.int64(1), "1970-01-01T00:00:01.000000"),
        (np.float64(1.25), "1970-01-01T00:00:01.250000"),
    ],
)  # fmt: skip
def test_a_number_is_seconds_since_1970(tape, seconds, expected):
    tape.writer.log_metrics({"a": 1.0}, timestamp=seconds)
    assert tape.last()["timestamp"] == expected


@pytest.mark.parametrize("time", [0.25, "0.25", np.float32(0.25), Decimal("0.25"), Fraction(1, 4)])
def test_a_time_is_anything_that_is_a_number(tape, time):
    tape.writer.log_metrics({"a": 1.0}, time=time)
    assert tape.last()["time"] == 0.25


def test_now_is_now(tape):
    """The row's time and timestamp both lie between what the clocks say before and after."""
    begun = clock.monotonic()
    tape.writer._attach(tape.metrics.stream, tape.events.stream)
    for log in (
        lambda: tape.writer.log_metrics({"a": 1.0}),
        lambda: tape.writer.bind_metrics("a")(1.0),
        lambda: tape.writer.log_series({"a": [1.0]}),
    ):
        before = clock.time_ns() // 1000
        log()
        after = clock.time_ns() // 1000
        row = tape.last()
        assert 0 <= row["time"] <= clock.monotonic() - begun
        # A microsecond is cut off at the anchor and another at the row.
        assert before - 2 <= wire.parse_timestamp(row["timestamp"]) <= after


def test_times_of_one_writer_never_go_back_within_a_segment(tape):
    for _ in range(2000):
        tape.writer.log_metrics({"a": 1.0})
    rows = tape.metrics.rows
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    stamps = [row["timestamp"] for row in rows]
    assert stamps == sorted(stamps)


# ---- Bound forms and blocks ---------------------------------------------------------------


@quick
@given(st.dictionaries(names.map(str), values, min_size=1, max_size=8), steps)
def test_a_bound_form_writes_what_a_dict_writes(given, step):
    tape = Tape()
    log = tape.writer.bind_metrics(*given)
    assert log(*given.values(), step=step, time=0.5, timestamp=MOMENT) is True
    assert log(*given.values(), step=step, time=0.5, timestamp=MOMENT) is True
    assert tape.metrics.written == 2 * reference.metric_row(given, 0.5, STAMP, step)
    tape.writer.log_metrics(given, step)
    log(*given.values(), step=step)
    assert len({repr(row["values"]) for row in tape.metrics.rows}) == 1


def test_a_bound_form_has_a_name_and_words(tape):
    log = tape.writer.bind_metrics("a", "b")
    assert log.__name__ == "log"
    assert "step=None" in log.__text_signature__
    with pytest.raises(InvalidValueError, match="2 values, for a, b; got 1"):
        log(1.0)
    with pytest.raises(TypeError, match="'stop'"):
        log(1.0, 2.0, stop=3)
    for wrong in ((), ("a", "a"), ("a", "b*"), (1,), ("",)):
        with pytest.raises(InvalidValueError):
            tape.writer.bind_metrics(*wrong)
    assert tape.metrics.segments == []


def test_a_bound_form_follows_its_writer_to_other_streams(tape):
    log = tape.writer.bind_metrics("a")
    tape.writer._detach()
    with pytest.raises(NotInitialisedError):
        log(1.0)
    other = Tape(make=lambda: tape.writer)
    assert log(1.0) is True
    assert (len(other.metrics.rows), tape.metrics.segments) == (1, [])


def test_a_stream_that_is_closed_takes_no_row_of_a_call_under_way(tape):
    """A thread that waits for room while another closes the run is told so."""
    tape.metrics.before_roll = tape.writer._detach
    with pytest.raises(NotInitialisedError):
        tape.writer.log_metrics({"a": 1.0})
    assert tape.metrics.segments == []


def columns() -> st.SearchStrategy[Any]:
    return st.integers(0, 30).flatmap(
        lambda count: st.lists(
            st.one_of(
                st.lists(st.floats(), min_size=count, max_size=count),
                st.lists(st.floats(), min_size=count, max_size=count).map(np.array),
                st.lists(st.floats(width=32), min_size=count, max_size=count).map(
                    lambda x: np.array(x, np.float32)
                ),
                st.lists(st.integers(-(2**63), 2**63 - 1), min_size=count, max_size=count).map(
                    lambda x: np.array(x, np.int64)
                ),
                st.lists(st.integers(-(2**31), 2**31 - 1), min_size=count, max_size=count).map(
                    lambda x: np.array(x, np.int32)
                ),
                st.lists(st.integers(-(2**63), 2**63 - 1), min_size=count, max_size=count),
                st.lists(
                    st.integers(-(2**63), 2**63 - 1), min_size=2 * count, max_size=2 * count
                ).map(lambda x: np.array(x, np.int64)[::2]),
                st.lists(st.floats(), min_size=count, max_size=count).map(tuple),
                st.lists(st.floats(), min_size=count, max_size=count).map(lambda x: array("d", x)),
                st.lists(st.floats(), min_size=2 * count, max_size=2 * count).map(
                    lambda x: np.array(x)[::-2]
                ),
            ),
            min_size=1,
            max_size=4,
        )
    )


def without_moment(rows: list[dict[str, Any]]) -> list[str]:
    """Rows as text, where NaN equals NaN and 1 differs from 1.0; their timestamps are left out."""
    return [repr({**row, "timestamp": None}) for row in rows]


@quick
@given(columns(), st.booleans(), st.booleans())
def test_a_block_writes_what_a_loop_writes(columns, with_steps, with_times):
    series = {f"m{i}": column for i, column in enumerate(columns)}
    count = len(columns[0])
    given_steps = [i * 2**55 for i in range(count)] if with_steps else None
    times = [i * 0.25 for i in range(count)] if with_times else [0.0] * count
    block, loop = Tape(400), Tape(400)
    assert block.writer.log_series(series, given_steps, times) is True
    for i in range(count):
        row = {name: column[i] for name, column in series.items()}
        loop.writer.log_metrics(row, given_steps[i] if given_steps else None, times[i])
    assert without_moment(block.metrics.rows) == without_moment(loop.metrics.rows)
    assert len(block.metrics.segments) == len(loop.metrics.segments)


def test_a_block_with_times_is_stamped_with_those_moments(tape):
    tape.writer._attach(tape.metrics.stream, tape.events.stream)
    started = clock.time_ns() // 1000
    tape.writer.log_series({"a": [1.0, 2.0, 3.0]}, times=[-0.5, 0, 86_400])
    moments = [wire.parse_timestamp(row["timestamp"]) for row in tape.metrics.rows]
    assert [later - moments[0] for later in moments] == [0, 500_000, 86_400_500_000]
    # The start is the moment of _attach, a few microseconds before; a second is for a busy machine.
    assert started - 1_000_000 < moments[1] <= started


@pytest.mark.parametrize("time", [math.nan, math.inf, -math.inf, 1e300, -1e300])
def test_a_time_beyond_all_calendars_has_the_timestamp_of_the_start(tape, time):
    tape.writer.log_series({"a": [1.0, 2.0]}, times=[0.0, time])
    first, second = tape.metrics.rows
    assert first["timestamp"] == second["timestamp"]
    assert repr(second["time"]) == repr(time)


@pytest.mark.parametrize(
    "column",
    [
        range(2),
        (False, True),
        bytes(2),
        array("d", [1.5, 2.5]),
        np.array([1, 2], np.uint8),
        np.array([True, False]),
    ],
    ids=repr,
)
def test_a_block_takes_any_column_of_numbers(tape, column):
    assert tape.writer.log_series({"a": column}, steps=range(5, 7))
    assert [row["values"]["a"] for row in tape.metrics.rows] == list(column)
    assert [row["step"] for row in tape.metrics.rows] == [5, 6]


@pytest.mark.parametrize(
    "arguments",
    [
        ({"a": [1.0, 2.0], "b": [1.0]},),
        ({"a": [1.0, 2.0]}, [1]),
        ({"a": [1.0, 2.0]}, None, [1.0]),
        ({"a": [1.0, 2.0]}, [1, -1]),
        ({"a": [1.0, 2.0]}, [1, 1.5]),
        ({"a": [1.0, 2.0]}, [1, math.nan]),
        ({"a": [1.0, 2.0]}, [1, 1e300]),
        ({"a": [1.0, 2.0]}, "12"),
        ({"a": [1.0, 2.0]}, None, ["now", "then"]),
        ({"a": np.zeros((2, 2))},),
        ({"a": np.float64(1.0)},),
        ({"a": np.array(1.0)},),
        ({"a": 1.0},),
        ({"a": None},),
        ({"a": [None]},),
        ({"a": ["x"]},),
        ({"a": [10**400]},),
        ({"a*": [1.0]},),
        ({1: [1.0]},),
        ([1.0],),
    ],
)
def test_a_bad_block_writes_nothing(tape, arguments):
    tape.writer.log_metrics({"a": 1.0})
    before = tape.metrics.image
    with pytest.raises(InvalidValueError):
        tape.writer.log_series(*arguments)
    assert tape.metrics.image == before
    tape.writer.log_metrics({"a": 1.0})
    assert tape.last()["step"] == 1


def test_an_empty_block_is_nothing(tape):
    assert tape.writer.log_series({}) is True
    assert tape.writer.log_series({"a": [], "b": np.zeros(0)}) is True
    assert tape.metrics.segments == []


# ---- Events -------------------------------------------------------------------------------


@quick
@given(st.text(st.characters(), max_size=400), st.sampled_from([None, *wire.LOG_LEVELS]))
@example("", None)
@example("\0", "info")
@example("\ud83d\ude00", "error")
@example("a\ud800b\udfff", None)
@example("\ufeffmark", None)
def test_an_event_is_byte_for_byte_that_of_the_reference(message, level):
    tape = Tape()
    assert tape.writer.log_event(message, STAMP + "Z", level) is True
    # A pair of surrogates is a character; one alone has no place in UTF-8.
    paired = message.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert tape.events.written == reference.event_row(paired, STAMP, level)
    assert tape.metrics.segments == []


@pytest.mark.parametrize("size", [31, 32, 255, 256, 65_535, 65_536, 5_000_000])
def test_an_event_of_any_length_is_kept_whole(tape, size):
    tape.writer.log_event("é" * (size // 2) + "x" * (size % 2), MOMENT)
    (row,) = tape.events.rows
    assert len(row["message"].encode()) == size


def test_an_event_without_a_time_is_now(tape):
    before = clock.time_ns() // 1000
    tape.writer.log_event("now")
    (row,) = tape.events.rows
    assert before - 2 <= wire.parse_timestamp(row["timestamp"]) <= clock.time_ns() // 1000
    assert "log_level" not in row


# ---- What is refused ------------------------------------------------------------------------


def named(value):
    """Return an id that is the same in every process that collects it."""
    return re.sub(" at 0x[0-9a-f]+", "", repr(value))[:60]


BAD_VALUES = [
    None, "text", "", [1.0], (1.0,), {}, set(), b"1", bytearray(b"1"), object(), 1j, 10**400,
    np.array([1, 2]), np.zeros((2, 2)), np.array([]), np.datetime64("2026-01-31"), Decimal("sNaN"),
    float, Real, datetime(2026, 1, 31),
]  # fmt: skip
BAD_NAMES = [
    "", "a*b", "a[0]", "ä", "a\0", "n" * 1025, 1, 1.5, None, b"a", ("a",), "\ud800", "a\u00a0b",
]  # fmt: skip
BAD_STEPS = [
    -1, 1.5, "x", "1.5", "", math.nan, math.inf, 2**63, -(2**63) - 1, [1], b"1", 1j,
    Decimal(1), np.float64(0.5), object(), np.array([1, 2]),
]  # fmt: skip
BAD_TIMES = ["x", [1.0], object(), 1j, 10**400]
BAD_TIMESTAMPS = [
    "now", "", "2026-13-01T00:00:00", "2026-01-31T25:00:00", [2026], object(), date(2026, 1, 31),
    math.nan, math.inf, 1e300, b"2026-01-31",
    datetime.min.replace(tzinfo=timezone(timedelta(hours=12))),
]  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        *([{"good": 1.0, "bad": value, "later": 2.0}] for value in BAD_VALUES),
        *([{"good": 1.0, name: 2.0}] for name in BAD_NAMES),
        *([{"good": 1.0}, step] for step in BAD_STEPS),
        *([{"good": 1.0}, 1, time] for time in BAD_TIMES),
        *([{"good": 1.0}, 1, 1.0, timestamp] for timestamp in BAD_TIMESTAMPS),
        *([metrics] for metrics in (None, [("a", 1.0)], "a", 1.0, {"a"}, [])),
    ],
    ids=named,
)
def test_what_is_refused_leaves_no_byte_behind(tape, arguments):
    tape.writer.log_metrics({"a": 1.0})
    before = tape.metrics.image
    with pytest.raises(InvalidValueError) as caught:
        tape.writer.log_metrics(*arguments)
    assert len(str(caught.value)) < 300
    assert tape.metrics.image == before
    tape.writer.log_metrics({"a": 1.0})
    assert tape.last()["step"] == 1


@pytest.mark.parametrize("value", BAD_VALUES, ids=named)
def test_a_bound_form_refuses_the_same_values(tape, value):
    log = tape.writer.bind_metrics("good", "bad")
    log(1.0, 2.0)
    before = tape.metrics.image
    with pytest.raises(InvalidValueError, match="'bad'"):
        log(1.0, value)
    assert tape.metrics.image == before


@pytest.mark.parametrize(
    "arguments",
    [
        (1,), (None,), (b"text",), ("a", "never"), ("a", None, "loud"), ("a", None, "INFO"),
        ("a", None, 1), ("a", None, ["info"]),
    ],
)  # fmt: skip
def test_a_bad_event_writes_nothing(tape, arguments):
    tape.writer.log_event("a")
    before = tape.events.image
    with pytest.raises(InvalidValueError):
        tape.writer.log_event(*arguments)
    assert tape.events.image == before


def test_a_row_larger_than_a_segment_gets_one_of_its_size(tape):
    tape.writer.log_metrics({"small": 1.0})
    large = {f"{i:05d}" * 50: float(i) for i in range(1000)}
    tape.writer.log_metrics(large)
    tape.writer.log_metrics({"small": 2.0})
    assert [row["values"] for row in tape.metrics.rows] == [{"small": 1.0}, large, {"small": 2.0}]


def test_a_row_beyond_64_mib_is_refused_with_its_size(tape):
    tape.writer.log_event("a")
    before = tape.events.image
    size = wire.BODY_SIZE_MAX
    with pytest.raises(InvalidValueError, match=rf"{size + 96} bytes .* {size - 4096}; .* parts"):
        tape.writer.log_event("x" * size)
    assert tape.events.image == before
    assert tape.writer.log_event("x" * (size - 5000)) is True


def test_without_an_open_run_every_call_says_so():
    writer = Writer()
    log = writer.bind_metrics("a")
    calls: list[Callable[[], object]] = [
        lambda: writer.log_metrics({"a": 1.0}),
        lambda: writer.log_metrics({}),
        lambda: writer.log_event("a"),
        lambda: writer.log_series({"a": [1.0]}),
        lambda: log(1.0),
    ]
    for call in calls:
        with pytest.raises(NotInitialisedError, match=r"init\(\)"):
            call()
    tape = Tape(make=lambda: writer)
    assert all(call() for call in calls)
    writer._detach()
    for call in calls:
        with pytest.raises(NotInitialisedError):
            call()
    writer._silence()
    assert all(call() is True for call in calls)
    assert len(tape.metrics.rows) == 3


# ---- Strangers' code within a call ----------------------------------------------------------


def test_a_float_that_logs_itself_leaves_both_rows_whole(tape):
    class Nested:
        def __init__(self, depth: int) -> None:
            self.depth = depth

        def __float__(self) -> float:
            if self.depth:
                tape.writer.log_metrics(
                    {f"inner {i}": Nested(self.depth - 1) if i == 50 else 0.5 for i in range(99)}
                )
            return float(self.depth)

    tape.writer.log_metrics({"before": 1.0, "outer": Nested(3), "after": 2})
    rows = [row["values"] for row in tape.metrics.rows]
    assert [len(row) for row in rows] == [99, 99, 99, 3]
    assert [row["inner 50"] for row in rows[:3]] == [0.0, 1.0, 2.0]
    assert rows[3] == {"before": 1.0, "outer": 3.0, "after": 2}


def test_a_float_that_changes_its_dict_never_leaves_half_a_row(tape):
    metrics: dict[str, Any] = {}

    class Clearing:
        def __float__(self) -> float:
            metrics.clear()
            metrics.update({f"new {i}": 0.0 for i in range(1000)})
            return 1.0

    metrics.update({"a": Clearing(), "b": 2.0, "c": 3.0})
    try:
        tape.writer.log_metrics(metrics)
    except RuntimeError:
        assert tape.metrics.segments == []
    else:
        assert tape.last()["values"] == {"a": 1.0, "b": 2.0, "c": 3.0}


def test_an_error_of_a_strangers_code_comes_out_as_it_is(tape):
    class Failing:
        def __float__(self) -> float:
            raise ZeroDivisionError("of the user's own")

    with pytest.raises(ZeroDivisionError, match="the user's own"):
        tape.writer.log_metrics({"a": 1.0, "b": Failing()})
    with pytest.raises(ZeroDivisionError, match="the user's own"):
        tape.writer.bind_metrics("a", "b")(1.0, Failing())
    assert tape.metrics.segments == []


def test_a_step_that_logs_leaves_both_rows_whole(tape):
    class Step:
        def __index__(self) -> int:
            tape.writer.log_metrics({f"inner {i}": float(i) for i in range(200)}, step=1)
            return 2

    tape.writer.log_metrics({"outer": 1.0}, step=Step())
    inner, outer = tape.metrics.rows
    assert len(inner["values"]) == 200
    assert (outer["values"], outer["step"]) == ({"outer": 1.0}, 2)


def test_a_roll_that_logs_loses_no_row_and_doubles_none(tape):
    """As a signal handler does that logs while the queue is full."""
    logged = []

    def log_more() -> None:
        if len(logged) < 40:
            logged.append(len(logged))
            tape.writer.log_metrics({"inner": logged[-1]})

    tape = Tape(capacity=200)
    tape.metrics.before_roll = log_more
    for i in range(50):
        tape.writer.log_metrics({"outer": i})
    rows = [row["values"] for row in tape.metrics.rows]
    assert [row["outer"] for row in rows if "outer" in row] == list(range(50))
    assert sorted(row["inner"] for row in rows if "inner" in row) == logged


def test_threads_that_log_at_once_lose_no_row_and_keep_their_order():
    tape = Tape(capacity=1000)
    tape.metrics.before_roll = lambda: os.sched_yield()
    threads, rows_each = 8, 500
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def log(thread: int) -> None:
        bound = tape.writer.bind_metrics("thread", "bound")
        for i in range(rows_each):
            if i % 3 == 0:
                bound(thread, i, step=i)
            elif i % 3 == 1:
                tape.writer.log_metrics({"thread": np.int64(thread), f"t{thread}": i}, step=i)
            else:
                tape.writer.log_metrics({"thread": thread, f"t{thread}": float(i)}, step=i)

    try:
        workers = [threading.Thread(target=log, args=(thread,)) for thread in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)
    rows = tape.metrics.rows
    assert len(rows) == threads * rows_each
    for thread in range(threads):
        mine = [row for row in rows if row["values"]["thread"] == thread]
        assert [row["step"] for row in mine] == list(range(rows_each))
        for row in mine:
            (other,) = set(row["values"]) - {"thread"}
            assert other in ("bound", f"t{thread}")
            assert row["values"][other] == row["step"]
    # Rows of each segment are numbered on from the last one.
    first = 0
    for segment in tape.metrics.segments:
        assert segment.first_row == first
        first += segment.published[0]
    assert tape.metrics.stream.next_row == first == threads * rows_each


# ---- Subclasses -------------------------------------------------------------------------------


def test_a_subclass_overrides_and_super_works():
    class Doubling(Writer):
        def log_metrics(self, metrics: Any, *args: Any, **kwargs: Any) -> bool:
            return super().log_metrics({k: 2 * v for k, v in metrics.items()}, *args, **kwargs)

        def log_event(self, message: Any, *args: Any, **kwargs: Any) -> bool:
            return super().log_event(message.upper(), *args, **kwargs)

    tape = Tape(make=Doubling)
    assert tape.writer.log_metrics({"a": 1.5}, step=3)
    assert tape.writer.log_event("a")
    assert (tape.last()["values"], tape.last()["step"]) == ({"a": 3.0}, 3)
    assert tape.events.rows[0]["message"] == "A"


# ---- Memory -------------------------------------------------------------------------------------


def test_nothing_that_is_logged_is_kept(tape):
    """Values, names, steps and the dict have as many owners after 10,000 rows as before."""
    values = [1.5, 2**62, 2**64 - 1, "0.25", Fraction(1, 3), np.float32(0.5), Decimal(7)]
    names = [f"kept {i}" for i in range(len(values))]
    metrics = dict(zip(names, values, strict=True))
    step, moment, message = 2**60, MOMENT, "a message" * 9
    log = tape.writer.bind_metrics(*names)
    tape.writer.log_metrics(metrics)
    column = np.arange(10.0)
    owned = [*values, *names, metrics, step, moment, message, column]
    before = [sys.getrefcount(thing) for thing in owned]
    for _ in range(2_000):
        tape.writer.log_metrics(metrics, step, 0.5, moment)
        tape.writer.log_event(message, moment, "info")
        log(*values, step=step)
        tape.writer.log_series({"a": column})
        with pytest.raises(InvalidValueError):
            tape.writer.log_metrics({**metrics, "bad": None}, step)
        with pytest.raises(InvalidValueError):
            log(*values, step=-1)
    assert [sys.getrefcount(thing) for thing in owned] == before


def test_a_row_allocates_nothing_that_stays(tape):
    tape = Tape(capacity=64 << 20)
    log = tape.writer.bind_metrics("a", "b")

    def rows(count: int) -> None:
        for i in range(count):
            tape.writer.log_metrics({"a": 1.5, "b": i, "c": True}, step=i)
            log(1.5, i)

    rows(1000)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        rows(20_000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    # One byte a row would be 40,000.
    assert grown < 2_000


def test_a_writer_that_is_bound_to_itself_is_collected():
    class Mine(Writer):
        pass

    gone = []
    writer = Mine()
    writer.log = writer.bind_metrics("a")  # type: ignore[attr-defined]
    weakref.finalize(writer, gone.append, True)
    del writer
    gc.collect()
    assert gone == [True]


# ---- Segments -----------------------------------------------------------------------------


def test_a_segment_must_be_writable_and_longer_than_its_header():
    for size in (0, 1, SEGMENT_HEADER_SIZE):
        with pytest.raises(ValueError, match="too short"):
            Segment(bytearray(size), "s")
    with pytest.raises((BufferError, TypeError)):
        Segment(bytes(1000), "s")
    segment = Segment(bytearray(SEGMENT_HEADER_SIZE + 10), "s")
    assert not segment.is_whole
    segment.format()
    assert segment.is_whole
    assert (segment.capacity, segment.name) == (10, "s")


def test_a_copy_never_reaches_beyond_the_rows():
    segment = Segment(bytearray(SEGMENT_HEADER_SIZE + 10), "s")
    assert segment.copy(b"head", 2, 5) == b"head\0\0\0"
    assert segment.copy(b"", 10, 10) == b""
    for start, end in ((5, 4), (0, 11), (11, 11)):
        with pytest.raises(ValueError, match="segment s"):
            segment.copy(b"", start, end)


def test_a_stream_switches_only_from_the_current_segment_to_a_free_one():
    first, second = (Segment(bytearray(1000), name) for name in "ab")
    stream = Stream(lambda stream, size: False)
    assert stream.switch(second, first) is False
    assert stream.switch(None, first) is True
    assert stream.write(b"row") is True
    # The current one is not free, and a stale idea of what is current changes nothing.
    assert stream.switch(first, first) is False
    assert stream.switch(None, second) is False
    assert stream.switch(first, second) is True
    assert (second.first_row, second.number, stream.next_row) == (1, 2, 1)
    assert stream.switch(second, first) is False
    first.ship(1, 3)
    first.hand_back()
    assert first.is_free
    assert first.shipped == (0, 0)
    assert stream.switch(second, first) is True
    assert (first.first_row, first.number, first.published) == (1, 3, (0, 0))


def test_a_row_that_is_not_taken_is_counted_where_the_shipper_sees_it():
    segment = Segment(bytearray(SEGMENT_HEADER_SIZE + 100), "s")
    stream = Stream(lambda stream, size: stream.segment is None and stream.switch(None, segment))
    assert stream.write(b"x" * 90) is True
    for count in range(1, 4):
        assert stream.write(b"x" * 90) is False
        assert stream.dropped == segment.dropped == count
    assert stream.next_row == 1


# ---- Whoever interferes ------------------------------------------------------------------------


def test_automatic_steps_of_threads_are_all_different(tape):
    """A point for each call: two rows at one step are one point in a chart."""
    tape = Tape(capacity=200)
    tape.metrics.before_roll = os.sched_yield
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        workers = [
            threading.Thread(
                target=lambda: [tape.writer.log_metrics({"a": 1.0}) for _ in range(500)]
            )
            for _ in range(8)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)
    assert sorted(row["step"] for row in tape.metrics.rows) == list(range(4000))


def test_a_roll_that_logs_leaves_the_automatic_steps_different(tape):
    def log_more() -> None:
        tape.metrics.before_roll = lambda: None
        tape.writer.log_metrics({"inner": 1.0})

    tape.metrics.before_roll = log_more
    tape.writer.log_metrics({"outer": 1.0})
    tape.writer.log_metrics({"outer": 1.0})
    assert sorted(row["step"] for row in tape.metrics.rows) == [0, 1, 2]


def test_a_step_that_logs_by_the_same_bound_form_leaves_both_rows_whole(tape):
    log = tape.writer.bind_metrics("a")

    class Step:
        def __index__(self) -> int:
            log(99.0, step=1)
            return 2

    log(1.0, step=Step())
    assert [(row["values"]["a"], row["step"]) for row in tape.metrics.rows] == [(99.0, 1), (1.0, 2)]


def test_a_step_that_closes_the_run_is_told_so(tape):
    """In a child: where this is wrong, it writes through a pointer to nothing."""
    log = tape.writer.bind_metrics("a")

    class Step:
        def __index__(self) -> int:
            tape.writer._detach()
            return 2

    def log_once() -> bool:
        try:
            log(1.0, step=Step())
        except NotInitialisedError:
            return tape.metrics.segments == []
        return False

    assert in_a_child(log_once)


def test_a_finaliser_that_logs_leaves_both_rows_whole():
    """The collector runs at any allocation (to Python 3.11), so also while names are being learnt.

    In a child: where this is wrong, memory is overwritten.
    """

    class Late:
        def __init__(self, tape: Tape, round: int) -> None:
            self.me, self.tape, self.round = self, tape, round

        def __del__(self) -> None:
            self.tape.writer.log_metrics({f"late {self.round} {i}": 0.0 for i in range(300)})
            self.tape.writer.log_metrics({f"new {self.round} {i}": 0.0 for i in range(60)})

    def log_all() -> bool:
        gc.freeze()
        for round in range(20):
            tape = Tape()
            log = tape.writer.log_metrics
            log({"known": 1.0})
            new = {"known": 1.5, **{f"new {round} {i}": float(i) for i in range(60)}}
            gc.collect()
            gc.disable()
            Late(tape, round)
            # The later the collector begins, the further the row is.
            gc.set_threshold(gc.get_count()[0] + round)
            gc.enable()
            log(new)
            gc.disable()
            gc.set_threshold(700)
            gc.collect()
            if new not in [row["values"] for row in tape.metrics.rows]:
                return False
        return True

    assert in_a_child(log_all)


def in_a_child(test: Callable[[], bool]) -> bool:
    """Run *test* in a forked child; False also if that dies."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if test() else 1
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


def test_a_bound_form_is_not_a_call_of_an_overridden_method():
    """Which of its roads a row takes must not be seen."""

    class Doubling(Writer):
        def log_metrics(self, metrics: Any, *args: Any, **kwargs: Any) -> bool:
            return super().log_metrics({k: 2 * v for k, v in metrics.items()}, *args, **kwargs)

    tape = Tape(make=Doubling)
    log = tape.writer.bind_metrics("a")
    log(1.0)
    log(1.0)
    log(np.int64(1))
    log(1.0, time=0.5)
    assert len({row["values"]["a"] for row in tape.metrics.rows}) == 1


@pytest.mark.parametrize(
    "column",
    [
        np.ones(3, np.float16), np.ones(3, ">f8"), np.ones(3, ">i4"), np.ones(3, np.longdouble),
        np.array([1.0, 1, True], object),
    ],
    ids=lambda column: str(column.dtype),
)  # fmt: skip
def test_a_block_takes_arrays_of_every_kind_of_number(tape, column):
    assert tape.writer.log_series({"a": column}) is True
    assert [row["values"]["a"] for row in tape.metrics.rows] == [1, 1, 1]


@pytest.mark.parametrize(
    "series",
    [
        {"a": np.ones(3, complex)}, {"a": np.ones(3, "M8[s]")}, {"a": np.ones(3, "U3")},
        {"a": [], "b": [1.0]}, {"a": np.array([None])}, {"a": np.zeros(2, "f8,f8")},
    ],
    ids=repr,
)  # fmt: skip
def test_a_block_refuses_arrays_that_are_not_numbers(tape, series):
    with pytest.raises(InvalidValueError):
        tape.writer.log_series(series)
    assert tape.metrics.segments == []


def test_a_block_takes_steps_and_times_that_can_be_read_once(tape):
    tape.writer.log_series(
        {"a": [1.0, 2.0, 3.0]}, steps=(i for i in (7, 8, 9)), times=(t / 2 for t in range(3))
    )
    rows = tape.metrics.rows
    assert [(row["step"], row["time"]) for row in rows] == [(7, 0.0), (8, 0.5), (9, 1.0)]


def test_a_block_keeps_integers_beyond_int64_exact_as_a_loop_does(tape):
    tape.writer.log_series({"a": np.array([2**64 - 1], np.uint64)})
    assert tape.last()["values"] == {"a": 2**64 - 1}


@pytest.mark.parametrize("names", [(["a", "b"],), ({"a": 1},)], ids=repr)
def test_binding_a_list_is_refused_in_words(tape, names):
    with pytest.raises(InvalidValueError):
        tape.writer.bind_metrics(*names)


@pytest.mark.parametrize(
    "value", [memoryview(b"12"), array("B", b"12"), np.complex64(1 + 2j)], ids=named
)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_what_is_no_number_is_not_read_as_one(tape, value):
    with pytest.raises(InvalidValueError):
        tape.writer.log_metrics({"a": value})


def test_a_step_of_five_thousand_digits_is_refused(tape):
    with pytest.raises(InvalidValueError, match="step"):
        tape.writer.log_metrics({"a": 1.0}, step=10**5000)


def test_a_naive_timestamp_of_pandas_is_local(tape):
    pandas = pytest.importorskip("pandas")
    tape.writer.log_metrics({"a": 1.0}, timestamp=pandas.Timestamp("2026-01-31 12:00:00.123456"))
    tape.writer.log_metrics({"a": 1.0}, timestamp=datetime(2026, 1, 31, 12, 0, 0, 123456))
    first, second = tape.metrics.rows
    assert first["timestamp"] == second["timestamp"]
