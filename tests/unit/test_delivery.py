"""What an answer means, and how a body is cut for a server that takes less at once."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simvue.delivery import Outcome, cut_rows, judge
from simvue.remote import Answer
from simvue.wire import body_header, new_id, replace_run, run_of_body

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=300)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=30,
)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.DONE), (204, Outcome.DONE), (409, Outcome.DONE),
        (401, Outcome.REFUSED), (403, Outcome.REFUSED),
        (404, Outcome.UNKNOWN_RUN), (410, Outcome.GONE), (413, Outcome.TOO_LARGE),
        (400, Outcome.REJECTED), (415, Outcome.REJECTED), (422, Outcome.REJECTED),
        (408, Outcome.LATER), (425, Outcome.LATER), (429, Outcome.LATER),
        (500, Outcome.LATER), (502, Outcome.LATER), (503, Outcome.LATER), (302, Outcome.LATER),
    ],
)  # fmt: skip
def test_every_status_has_one_meaning(status: int, outcome: Outcome) -> None:
    reply = judge(Answer(status, None, "words", 7.0))
    assert reply.outcome is outcome
    assert reply.retry_after == 7.0
    assert ("words" in reply.detail) == (outcome is not Outcome.DONE or status == 409)


@given(st.lists(ANYTHING, max_size=30), st.integers(1, 12), st.integers(1, 2000))
def test_cuts_fall_between_rows_and_keep_to_both_limits(
    rows: list[Any], rows_max: int, size_max: int
) -> None:
    """Any msgpack objects are rows here: the cutter only has to find where each ends."""
    encoded = [msgpack.packb(row) for row in rows]
    header = body_header(new_id(), "metrics", len(rows))
    cuts = cut_rows(header + b"".join(encoded), len(header), rows_max, size_max)
    assert sum(count for count, _ in cuts) == len(rows)
    start, done = len(header), 0
    for count, end in cuts:
        part = encoded[done : done + count]
        assert 1 <= count <= rows_max
        assert end - start == sum(map(len, part))
        assert end - start <= size_max or count == 1
        # The next row would not have fitted.
        left = encoded[done + count :]
        assert count == rows_max or not left or end - start + len(left[0]) > size_max
        start, done = end, done + count


def test_bytes_that_are_no_rows_are_refused_wherever_they_end() -> None:
    row = msgpack.packb({"a": [1.5, "x" * 300, b"y" * 70_000, {"k": list(range(20))}], "b": None})
    assert cut_rows(row, 0, 10, 10) == [(1, len(row))]
    for end in [*range(1, 400), *range(len(row) - 40, len(row))]:
        with pytest.raises(ValueError, match="no row at byte 0"):
            cut_rows(row[:end], 0, 10, 10)
    # A tag that is none, and lengths that would reach around the end of all memory.
    for head in (
        b"\xc1",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
    ):
        with pytest.raises(ValueError, match="no row"):
            cut_rows(head + bytes(50), 0, 10, 10)


def test_a_body_is_readdressed_to_the_run_that_a_server_made() -> None:
    ours, theirs = new_id(), new_id()
    body = body_header(ours, "events", 1) + msgpack.packb({"message": "m"})
    assert run_of_body(body) == ours
    moved = replace_run(body, theirs)
    assert msgpack.unpackb(moved) == {"run": theirs, "events": [{"message": "m"}]}
    assert replace_run(body, ours) is body
