"""What crosses between processes: ids, headers and times, each read back as it was written."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import msgpack
import pytest
import reference
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simvue import wire

RUN = "R" * wire.ID_SIZE
quick = settings(max_examples=60, deadline=None)

FIRST_US = -62_135_596_800_000_000
LAST_US = 253_402_300_799_999_999
"""The years 1 to 9999, which is what a datetime holds."""


def test_ids_are_22_letters_and_digits_and_never_the_same():
    ids = {wire.new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(wire.is_id(text) and re.fullmatch("[A-Za-z0-9]{22}", text) for text in ids)
    # Every letter turns up: 22,000 of them leave one of 62 out once in 10**154 times.
    assert len(set("".join(ids))) == 62
    for text in ("", "a" * 21, "a" * 23, "a" * 21 + "-", "a" * 21 + "\u0661", "a" * 22 + "\n"):
        assert not wire.is_id(text)


# ---- Bodies -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["metrics", "events"])
@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535, 65_536])
def test_a_header_before_rows_makes_a_body_that_msgpack_reads(kind, count):
    body = wire.body_header(RUN, kind, count) + b"\xc0" * count
    assert msgpack.unpackb(body) == {"run": RUN, kind: [None] * count}
    # Always the long form, so that its length does not depend on the rows.
    assert len(wire.body_header(RUN, kind, count)) == len(wire.body_header(RUN, kind, 0))


@pytest.mark.parametrize("kind", ["metrics", "events"])
def test_the_run_of_a_body_can_be_replaced(kind):
    body = wire.body_header(RUN, kind, 1) + b"\x07"
    other = wire.new_id()
    assert wire.run_of_body(body) == RUN
    replaced = wire.replace_run(body, other)
    assert msgpack.unpackb(replaced) == {"run": other, kind: [7]}
    assert wire.replace_run(replaced, RUN) == body
    assert wire.replace_run(body, RUN) is body


@given(st.integers(0, wire.STEP_MAX), st.integers(0, wire.STEP_MAX))
@quick
def test_the_rows_header_is_read_back(one, other):
    first, end = sorted((one, other))
    assert wire.parse_rows_header(wire.rows_header(first, end)) == (first, end)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1-", "-1", "1-2-3", "2-1", "a-b", "1 - 2", "+1-2", "1.0-2", "0-9223372036854775808",
     "0-99999999999999999999", "1-2\n", " 1-2", "0x1-2"],
)  # fmt: skip
def test_a_malformed_rows_header_is_refused_with_a_reason(text):
    with pytest.raises(ValueError, match="Simvue-Rows"):
        wire.parse_rows_header(text)


# ---- Names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (wire.NAME_PATTERN, ["a", "a b", "a/b.c:d-e_f 9"], ["", "a*", "a+b", "ä", "a\0", "a(b)"]),
        (wire.FOLDER_PATTERN, ["/", "/a b/ä", "//", "/a\nb"], ["", "a", " /a"]),
        (wire.METRIC_NAME_PATTERN, ["a", "x=1><+()%"], ["", "a[0]", "a*", "ä", "\u0661"]),
    ],
    ids=["run", "folder", "metric"],
)
def test_names_are_what_they_are_said_to_be(pattern, good, bad):
    assert [name for name in good if not pattern.fullmatch(name)] == []
    assert [name for name in bad if pattern.fullmatch(name)] == []


# ---- Time ---------------------------------------------------------------------------------


@quick
@given(st.integers(wire.parse_timestamp("1000-01-01T00:00:00"), LAST_US))
@example(0)
@example(-1)
@example(LAST_US)
@example(951_782_399_999_999)
def test_a_timestamp_is_read_back_to_the_microsecond(microseconds):
    text = wire.format_timestamp(microseconds)
    assert text == reference.timestamp(microseconds)
    assert wire.parse_timestamp(text) == microseconds


@quick
@given(
    st.datetimes(timezones=st.timezones()).filter(lambda moment: 1 < moment.year < 9999),
    st.sampled_from(["T", " "]),
)
def test_every_form_of_a_moment_is_the_same_moment(moment, separator):
    offset = moment.utcoffset()
    assert offset is not None
    expected = (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
    assert wire.parse_timestamp(moment.isoformat(separator, "microseconds")) == expected
    utc = moment.astimezone(timezone.utc).replace(tzinfo=None)
    text = utc.isoformat(separator, "microseconds")
    assert wire.parse_timestamp(text) == expected
    assert wire.parse_timestamp(f" {text}Z\n") == expected


@pytest.mark.parametrize(
    "text", ["", "now", "2026-02-30T00:00:00", "2026-01-31T24:00:01", "2026-01-31T12:00:00+25:00"]
)
def test_what_is_no_timestamp_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="not a timestamp like 2026-01-31T12"):
        wire.parse_timestamp(text)


def test_years_before_1000_keep_their_four_digits():
    for microseconds in (FIRST_US, wire.parse_timestamp("0999-12-31T23:59:59.5")):
        assert wire.format_timestamp(microseconds) == reference.timestamp(microseconds)
        assert wire.parse_timestamp(wire.format_timestamp(microseconds)) == microseconds
