"""Parcels: many small records go in few bodies, each once, and no call leaves its place."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simvue.delivery import PART_ROWS_MAX, PART_SIZE_MAX
from simvue.parcels import Parcels, merge
from simvue.spool import Record, RecordKind
from simvue.wire import body_header

RUNS = ["A" * 22, "B" * 22, "C" * 22]
WRITERS = ["V" * 22, "W" * 22]
METRICS, EVENTS, CALL = RecordKind.METRICS, RecordKind.EVENTS, RecordKind.CALL

PAYLOADS = {size: bytes(size) for size in (50, PART_SIZE_MAX // 2, PART_SIZE_MAX + 1)}

steps = st.one_of(
    st.tuples(
        st.just("add"),
        st.sampled_from(RUNS),
        st.sampled_from([METRICS, METRICS, METRICS, EVENTS, CALL]),
        st.sampled_from(WRITERS),
        st.sampled_from([1, 1, 1, 7, PART_ROWS_MAX]),  # rows
        st.sampled_from([0, 0, 0, 3]),  # rows that are missing before it
        st.sampled_from([50, 50, 50, *PAYLOADS]),
    ),
    st.tuples(st.sampled_from(["take", "put back", "halve"])),
    st.tuples(st.just("hold"), st.sampled_from(RUNS)),
)


def rows_of(first: int, end: int, run: str = RUNS[0], kind: RecordKind = METRICS) -> Record:
    """Return a record of rows that say their numbers."""
    name = "metrics" if kind is METRICS else "events"
    rows = b"".join(msgpack.packb({"step": number}) for number in range(first, end))
    body = body_header(run, name, end - first) + rows
    return Record(kind, run, WRITERS[0], first, end, body)


def call_of(run: str = RUNS[0]) -> Record:
    return Record(CALL, run, "0" * 22, 0, 1, b"{}")


def in_parcels(records: list[Record]) -> list[list[Record]]:
    parcels: Parcels[Record] = Parcels()
    for record in records:
        parcels.add(record, record)
    return [parcels.take() for _ in range(len(parcels))]


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=60))
def test_every_record_is_in_one_parcel_and_no_call_leaves_its_place(script):
    parcels: Parcels[int] = Parcels()
    records: list[Record] = []
    out: list[list[int]] = []
    ends: dict[tuple[str, RecordKind, str], int] = {}
    for step, *details in script:
        if step == "add":
            run, kind, writer, rows, gap, size = details
            first = ends.get((run, kind, writer), 0) + gap
            ends[run, kind, writer] = first + rows
            record = Record(kind, run, writer, first, first + rows, PAYLOADS[size])
            parcels.add(len(records), record)
            records.append(record)
        elif step == "hold":
            held = parcels.split(details[0])
            assert not parcels.split(details[0])
            parcels.extend(held)
        elif parcels:
            run, parcel = records[parcels.first[0]].run, parcels.take()
            if step == "take":
                out.append(parcel)
                continue
            middle = len(parcel) // 2 if step == "halve" else 0
            for part in (parcel[middle:], parcel[:middle]):
                if part:
                    parcels.put_back(run, part)
    while parcels:
        out.append(parcels.take())
    assert parcels.size == 0
    order = [index for parcel in out for index in parcel]
    assert sorted(order) == list(range(len(records)))
    for parcel in out:
        first, *others = [records[index] for index in parcel]
        assert not (others and first.kind is CALL)
        for before, behind in zip([first, *others], others, strict=False):
            assert (behind.run, behind.kind, behind.writer) == (
                before.run,
                before.kind,
                before.writer,
            )
            assert behind.first == before.end
        if others:
            assert sum(len(records[index].payload) for index in parcel) <= PART_SIZE_MAX
            assert sum(records[i].end - records[i].first for i in parcel) <= PART_ROWS_MAX
    place = {index: position for position, index in enumerate(order)}
    for i, one in enumerate(records):
        for j in range(i + 1, len(records)):
            other = records[j]
            ordered = CALL in (one.kind, other.kind) or (one.kind, one.writer) == (
                other.kind,
                other.writer,
            )
            if one.run == other.run and ordered:
                assert place[i] < place[j]


def test_writers_that_take_turns_have_a_parcel_each():
    records = [rows_of(n, n + 1, run) for n in range(50) for run in RUNS]
    parcels = in_parcels(records)
    assert [len(parcel) for parcel in parcels] == [50, 50, 50]
    assert [parcel[0].run for parcel in parcels] == RUNS


def test_a_call_parts_the_rows_of_its_run_and_no_other_ones():
    a, b = RUNS[:2]
    parcels = in_parcels(
        [rows_of(0, 1, a), rows_of(0, 1, b), call_of(a), rows_of(1, 2, a), rows_of(1, 2, b)]
    )
    assert [(parcel[0].run, parcel[0].kind, len(parcel)) for parcel in parcels] == [
        (a, METRICS, 1),
        (b, METRICS, 2),
        (a, CALL, 1),
        (a, METRICS, 1),
    ]


@pytest.mark.parametrize("kind", [METRICS, EVENTS])
def test_a_parcel_is_a_body_of_all_its_rows(kind):
    records = [rows_of(3, 4, kind=kind), rows_of(4, 9, kind=kind), rows_of(9, 10, kind=kind)]
    merged = merge(records)
    assert merged == rows_of(3, 10, kind=kind)
    assert merge(records[:1]) is records[0]


def test_a_parcel_that_is_on_its_way_does_not_grow():
    parcels: Parcels[Record] = Parcels()
    parcels.add(rows_of(0, 1), rows_of(0, 1))
    taken = parcels.take()
    parcels.add(rows_of(1, 2), rows_of(1, 2))
    parcels.put_back(RUNS[0], taken)
    parcels.add(rows_of(2, 3), rows_of(2, 3))
    assert len(taken) == 1
    assert [len(parcels.take()) for _ in range(len(parcels))] == [1, 2]
