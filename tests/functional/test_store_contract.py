"""The contract of the store, kept by every engine: what server/store/__init__.py promises."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgpack
import numpy as np
import pytest
from fix_store import START, Clock, Engine

from simvue import wire
from simvue._columns import decode_metrics
from simvue.exception import StoreError
from simvue.server.store import (
    REPEAT_S,
    Busy,
    Event,
    Filter,
    IdTaken,
    NoSuchAlert,
    NoSuchRun,
    Query,
    RunGone,
    Span,
    Store,
    Tensor,
    Token,
    Watched,
    room,
)

Opener = Callable[[], Store]


@pytest.fixture
def open_store(engine: Engine, clock: Clock) -> Opener:
    return lambda: engine.open(clock=clock)


@pytest.fixture
def store(open_store: Opener) -> Store:
    return open_store()


def new_run(store: Store, owner: str = "ada", **members: Any) -> str:
    run, created = store.create_run({"folder": "/", **members}, owner)
    assert created
    return run


def rows_of(values: Sequence[dict[str, Any]], first: int = 0) -> Any:
    """Decode a body with these values; a row's step is its number, counted from *first*."""
    rows = [
        {
            "values": line,
            "time": (first + i) / 8,
            "timestamp": wire.format_timestamp(int(START * 1e6) + (first + i) * 1000),
            "step": first + i,
        }
        for i, line in enumerate(values)
    ]
    return decode_metrics(msgpack.packb({"run": "R" * wire.ID_SIZE, "metrics": rows}))


def post(store: Store, run: str, writer: str, first: int, end: int) -> int:
    """Send rows *first* to *end* of a writer whose row i logs x = i and, if i is even, y = 2 i."""
    values = [{"x": i, "y": 2 * i} if i % 2 == 0 else {"x": i} for i in range(first, end)]
    return store.add_metrics(run, rows_of(values, first), Span(writer, first, end)).stored


def values_of(store: Store, run: str, name: str) -> list[Any]:
    series = store.series(run, [name])[name]
    dtypes = {0: np.float64, 1: np.int64, 2: np.uint64, 3: np.uint64}
    return [
        word.view(dtypes[kind]).item()
        for word, kind in zip(series.values, series.kinds.tolist(), strict=True)
    ]


# ---- Processes that share a run ------------------------------------------------------------


class Sharing:
    """A run, and what processes of it say: ``say(rank, status)``, as a process of that rank."""

    def __init__(self, store: Store, size: int | None, launch: str = "job-1") -> None:
        self.store, self.size, self.launch = store, size, launch
        self.run = wire.new_id()
        self.members = {"id": self.run, "folder": "/", "status": "running"}

    def open(self, rank: int | None, process: str, **members: Any) -> str:
        found = self._process(rank, process, "running")
        run = {**self.members, **members, "process": found}
        assert self.store.create_run(run, "ada")[0] == self.run
        return self.status

    def end(self, rank: int | None, process: str, status: str = "completed") -> str:
        self.store.update_run(self.run, {"process": self._process(rank, process, status)})
        return self.status

    def _process(self, rank: int | None, process: str, status: str) -> dict[str, Any]:
        found = {"id": process, "launch": self.launch, "rank": rank, "size": self.size}
        return {**found, "status": status}

    @property
    def status(self) -> str:
        status: str = self.store.get_run(self.run)["status"]
        return status


def test_a_shared_run_is_completed_when_all_its_ranks_are(store: Store) -> None:
    """Also those that come when others have gone: the launch has three."""
    run = Sharing(store, size=3)
    assert run.open(0, "p0") == "running"
    assert run.end(0, "p0") == "running"
    run.open(1, "p1")
    run.open(2, "p2")
    assert run.end(2, "p2") == "running"
    assert run.end(1, "p1") == "completed"


def test_a_shared_run_fails_as_soon_as_one_rank_fails_and_stays_so(store: Store) -> None:
    run = Sharing(store, size=3)
    for rank in range(3):
        run.open(rank, f"p{rank}")
    assert run.end(1, "p1", "terminated") == "terminated"
    assert run.end(2, "p2", "failed") == "failed"
    assert run.end(0, "p0", "completed") == "failed"


def test_without_a_number_of_ranks_those_that_came_are_all(store: Store) -> None:
    run = Sharing(store, size=None)
    run.open(None, "p")
    run.open(None, "q")
    assert run.end(None, "p") == "running"
    assert run.end(None, "q") == "completed"


def test_saying_it_twice_changes_nothing(store: Store) -> None:
    """A registration that is sent again, after its answer was lost, does not begin anew."""
    run = Sharing(store, size=2)
    for _ in range(2):
        run.open(0, "p0")
        run.open(1, "p1")
    for _ in range(2):
        assert run.end(0, "p0") == "running"
    for _ in range(2):
        assert run.end(1, "p1") == "completed"
    assert run.open(0, "p0") == "completed"


@pytest.mark.parametrize("end", ["completed", "failed", "lost"])
def test_a_rank_in_another_process_begins_a_new_attempt(store: Store, end: str) -> None:
    """A job that was queued again: nothing of its first attempt counts from then on."""
    run = Sharing(store, size=2)
    run.open(0, "p0")
    run.open(1, "p1")
    run.end(1, "p1", end)
    assert run.open(0, "q0") == "running"
    run.open(1, "q1")
    assert run.end(0, "p0") == "running"
    assert run.end(0, "q0") == "running"
    assert run.end(1, "q1") == "completed"


def test_who_comes_after_all_have_ended_begins_a_new_attempt(store: Store) -> None:
    run = Sharing(store, size=2)
    for rank in range(2):
        run.open(rank, f"p{rank}")
    run.end(0, "p0", "failed")
    run.end(1, "p1", "lost")
    run.launch = "job-2"
    assert run.open(1, "q1") == "running"
    run.open(0, "q0")
    run.end(0, "q0")
    assert run.end(1, "q1") == "completed"


def test_who_comes_to_a_lost_run_begins_a_new_attempt(store: Store, clock: Clock) -> None:
    run = Sharing(store, size=1)
    run.open(0, "p0", heartbeat_timeout=60)
    clock.now += 100
    assert store.mark_lost(clock.now) == [run.run]
    run.launch = "job-2"
    assert run.open(0, "q0") == "running"
    assert run.end(0, "q0") == "completed"


def test_two_launches_at_once_share_a_run_until_both_have_ended(store: Store) -> None:
    """As coupled codes do: each launch has a rank 0 of its own."""
    run = Sharing(store, size=2)
    for launch in ("fluid", "solid"):
        run.launch = launch
        for rank in range(2):
            run.open(rank, f"{launch}{rank}")
    for launch in ("fluid", "solid"):
        run.launch = launch
        for rank in range(2):
            assert run.status == "running"
            run.end(rank, f"{launch}{rank}")
    assert run.status == "completed"


def test_who_joins_adds_its_metadata(store: Store) -> None:
    run = Sharing(store, size=2)
    run.open(0, "p0", metadata={"a": 1})
    run.open(1, "p1", metadata={"b": 2}, tags=["late"])
    found = store.get_run(run.run)
    assert (found["metadata"], found["tags"]) == ({"a": 1, "b": 2}, [])


def test_nobody_joins_a_run_of_somebody_else(store: Store) -> None:
    run = Sharing(store, size=2)
    run.open(0, "p0")
    process = {"id": "p1", "rank": 1, "size": 2, "status": "running"}
    with pytest.raises(IdTaken):
        store.create_run({**run.members, "process": process}, "bob")


# ---- Rows: sent twice, stored once --------------------------------------------------------


def test_a_body_sent_twice_is_stored_once(store: Store) -> None:
    run = new_run(store)
    assert post(store, run, "w", 0, 10) == 10
    assert post(store, run, "w", 0, 10) == 0
    assert values_of(store, run, "x") == list(range(10))
    assert store.writers(run) == {"w": [(0, 10)]}
    assert store.get_run(run)["metrics"]["x"]["count"] == 10


def test_any_cuts_in_any_order_store_each_row_once(store: Store, rng: random.Random) -> None:
    """Method: 200 random ranges of a writer's 1000 rows, then all of them, against a set."""
    run = new_run(store)
    there: set[int] = set()
    for _ in range(200):
        first = rng.randrange(1000)
        end = min(1000, first + rng.randrange(30))
        assert post(store, run, "w", first, end) == len(set(range(first, end)) - there)
        there |= set(range(first, end))
        known = {i for begin, stop in store.writers(run).get("w", ()) for i in range(begin, stop)}
        assert known == there
    assert post(store, run, "w", 0, 1000) == 1000 - len(there)
    assert store.writers(run) == {"w": [(0, 1000)]}
    assert values_of(store, run, "x") == list(range(1000))
    assert values_of(store, run, "y") == list(range(0, 2000, 4))
    summary = store.get_run(run)["metrics"]["y"]
    assert (summary["count"], summary["min"], summary["max"]) == (500, 0, 1996)
    assert (summary["last"], summary["step"], summary["average"]) == (1996, 998, 998)


def test_a_body_without_numbers_is_known_by_its_digest_for_ten_minutes(
    store: Store, clock: Clock
) -> None:
    run, other = new_run(store), new_run(store)
    body, said = rows_of([{"x": 1}] * 5), [Event(1, "info", "a")]
    assert store.add_metrics(run, body, None, b"m").stored == 5
    assert store.add_events(run, said, None, b"e").stored == 1
    clock.now += REPEAT_S - 1
    assert store.add_metrics(run, body, None, b"m").stored == 0
    assert store.add_events(run, said, None, b"e").stored == 0
    assert store.add_metrics(run, body, None, b"another").stored == 5
    assert store.add_metrics(other, body, None, b"m").stored == 5, "each run has its own"
    assert store.add_metrics(run, body, None).stored == 5, "as good as any other"
    store.set_abort(run, "enough")
    assert store.add_metrics(run, body, None, b"m").abort
    clock.now += 1
    store.tidy()
    assert store.add_events(run, said, None, b"e").stored == 1
    assert store.add_metrics(run, body, None, b"another").stored == 0
    assert values_of(store, run, "x") == [1] * 15
    store.delete_run(run)


def test_a_body_that_was_not_stored_is_no_repeat(store: Store) -> None:
    run = new_run(store)
    tensor = Tensor("field", "nowhere", 1, math.nan, 1, "<f8", (2,), bytes(16))
    for _ in range(2):
        with pytest.raises(ValueError, match="nowhere"):
            store.add_tensors(run, [tensor], None, b"t")


def test_one_body_sent_by_8_threads_at_once_is_stored_once(store: Store) -> None:
    run = new_run(store)
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda _: post(store, run, "w", 0, 500), range(8)))
        body = rows_of([{"z": i} for i in range(500)])
        again = list(pool.map(lambda _: store.add_metrics(run, body, None, b"z").stored, range(8)))
    assert sorted(stored) == sorted(again) == [0] * 7 + [500]
    assert values_of(store, run, "x") == values_of(store, run, "z") == list(range(500))


def test_8_threads_with_overlapping_bodies_lose_and_double_nothing(store: Store) -> None:
    run = new_run(store)

    def send(thread: int) -> int:
        generator = random.Random(thread)
        starts = list(range(0, 600, 20))
        generator.shuffle(starts)
        return sum(post(store, run, "w", at, at + 20 + thread) for at in starts)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, range(8))) == 607
    assert values_of(store, run, "x") == list(range(607))


def test_writers_follow_each_other_by_first_arrival(store: Store) -> None:
    run = new_run(store)
    post(store, run, "second", 5, 10)
    post(store, run, "first", 0, 3)
    post(store, run, "second", 0, 5)
    assert values_of(store, run, "x") == [*range(10), 0, 1, 2]
    assert list(store.writers(run)) == ["second", "first"]


def test_series_go_by_rank_and_then_by_writer(store: Store) -> None:
    run = new_run(store)
    facts = {"kind": "metrics", "dropped": 0}
    store.update_run(run, {"writers": {"b": {**facts, "rank": 1}, "a": {**facts, "rank": 0}}})
    assert store.writers(run) == {}
    # A fork of rank 0 is a writer that comes later, known by its rows first.
    for writer in ("b", "a", "fork", "none"):
        post(store, run, writer, 0, 3)
    store.update_run(run, {"writers": {"fork": {**facts, "rank": 0}}})
    series = store.series(run, ["x", "y"])
    for name, count in (("x", 3), ("y", 2)):
        rank = series[name].rank
        assert rank is not None
        assert rank.tolist() == [-1] * count + [0] * 2 * count + [1] * count
    assert values_of(store, run, "x") == [0, 1, 2] * 4
    assert store.get_run(run)["ranks"] == [0, 1]


def test_series_of_runs_that_nobody_shares_have_no_ranks(store: Store) -> None:
    run = new_run(store)
    post(store, run, "w", 0, 3)
    assert store.series(run, ["x"])["x"].rank is None
    assert store.get_run(run)["ranks"] == []


def test_dropped_rows_are_the_most_that_each_writer_ever_said(store: Store) -> None:
    run = new_run(store)
    for writer, dropped in (("a", 5), ("b", 2), ("a", 7), ("a", 5)):
        facts = {"kind": "metrics", "rank": None, "dropped": dropped}
        store.update_run(run, {"writers": {writer: facts}})
    assert store.get_run(run)["dropped"] == 9


def test_rows_without_a_writer_are_stored_as_often_as_sent(store: Store) -> None:
    run = new_run(store)
    for _ in range(2):
        assert store.add_metrics(run, rows_of([{"x": 1}, {"x": 2}]), None).stored == 2
    assert values_of(store, run, "x") == [1, 2, 1, 2]
    assert store.writers(run) == {}


def test_a_span_that_is_not_the_bodys_rows_is_refused(store: Store) -> None:
    run = new_run(store)
    with pytest.raises(ValueError, match="rows 0-3 are 3, but the body has 2"):
        store.add_metrics(run, rows_of([{"x": 1}, {"x": 2}]), Span("w", 0, 3))
    assert store.writers(run) == {}


def test_an_empty_body_is_stored(store: Store) -> None:
    run = new_run(store)
    assert store.add_metrics(run, rows_of([]), Span("w", 7, 7)).stored == 0
    assert store.add_metrics(run, rows_of([{}, {}]), Span("w", 0, 2)).stored == 2
    assert store.writers(run) == {"w": [(0, 2)]}
    assert store.metric_names([run]) == []


def test_values_come_back_exactly(store: Store) -> None:
    run = new_run(store)
    sent: list[Any] = [0.1, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308]
    sent += [0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, True, False]
    store.add_metrics(run, rows_of([{"x": value} for value in sent]), Span("w", 0, len(sent)))
    found = values_of(store, run, "x")
    assert [repr(value) for value in found[:-2]] == [repr(value) for value in sent[:-2]]
    assert found[-2:] == [1, 0]
    assert store.series(run, ["x"])["x"].kinds.tolist() == [0] * 7 + [1] * 5 + [2] * 2 + [3] * 2


def test_axes_come_back_exactly_in_any_order(store: Store) -> None:
    """Steps repeat and run backwards, times are negative: all is kept as it was logged."""
    run = new_run(store)
    rows = [
        {"values": {"x": 1.5}, "time": time, "timestamp": stamp, "step": step}
        for time, stamp, step in (
            (-3.25, "1999-12-31T23:59:59.999999", 9),
            (math.nan, "2026-01-01T00:00:00.000001", 2**63 - 1),
            (0.1, "1969-12-31T23:59:59.000000", 9),
        )
    ]
    body = msgpack.packb({"run": run, "metrics": rows})
    store.add_metrics(run, decode_metrics(body), Span("w", 0, 3))
    series = store.series(run, ["x"])["x"]
    assert series.step.tolist() == [9, 2**63 - 1, 9]
    assert repr(series.time.tolist()) == "[-3.25, nan, 0.1]"
    assert series.timestamp.tolist() == [946_684_799_999_999, 1_767_225_600_000_001, -1_000_000]


def test_runs_are_listed_by_their_ids_and_answer_only_what_is_wanted(store: Store) -> None:
    runs = [new_run(store, metadata={"n": n}, system={"os": "x"}) for n in range(4)]
    for run in runs:
        post(store, run, "w", 0, 2)
    chosen = Query(runs=[runs[2], runs[0], wire.new_id()], filters=[Filter("metadata.n", "<", "9")])
    total, found = store.list_runs(chosen, "ada")
    assert (total, [run["id"] for run in found]) == (2, [runs[2], runs[0]]), "newest first"
    assert found[0]["metadata"] == {"n": 2}
    unwanted = ("metrics", "metadata", "system")
    total, found = store.list_runs(Query(unwanted=unwanted), "ada")
    assert total == 4
    assert all((run["metrics"], run["metadata"], run["system"]) == ({}, {}, {}) for run in found)
    total, found = store.list_runs(Query(unwanted=("system",)), "ada")
    assert found[0]["metrics"].keys() == {"x", "y"}


def test_a_sum_may_be_larger_than_a_float(store: Store) -> None:
    run = new_run(store)
    for first in range(3):
        store.add_metrics(run, rows_of([{"x": 1.7e308}]), Span("w", first, first + 1))
    summary = store.get_run(run)["metrics"]["x"]
    assert (summary["count"], summary["max"], summary["last"]) == (3, 1.7e308, 1.7e308)
    assert summary["average"] >= 1.7e308 / 3


def test_summaries_are_not_poisoned(store: Store) -> None:
    run = new_run(store)
    for values in ([math.nan, 2.0, math.inf], [-math.inf, 4.0, math.nan]):
        store.add_metrics(run, rows_of([{"x": value, "n": math.nan} for value in values]), None)
    metrics = store.get_run(run)["metrics"]
    summary = metrics["x"]
    assert (summary["count"], summary["min"], summary["max"]) == (6, 2.0, 4.0)
    assert summary["average"] == 3.0
    assert math.isnan(summary["last"])
    assert (metrics["n"]["min"], metrics["n"]["max"], metrics["n"]["average"]) == (None,) * 3


def test_the_last_value_is_that_of_the_greatest_timestamp(store: Store) -> None:
    run = new_run(store)
    post(store, run, "w", 10, 20)
    post(store, run, "w", 0, 10)
    last = store.get_run(run)["metrics"]["x"]
    assert (last["last"], last["step"], last["time"]) == (19, 19, 19 / 8)
    store.add_metrics(run, rows_of([{"x": 2**64 - 1}], 19), None)
    assert store.get_run(run)["metrics"]["x"]["last"] == 2**64 - 1


def test_series_are_of_what_the_run_has(store: Store) -> None:
    run = new_run(store)
    post(store, run, "w", 0, 3)
    assert list(store.series(run, ["y", "nothing", "y"])) == ["y"]
    assert store.metric_names([run, "Z" * wire.ID_SIZE]) == ["x", "y"]
    with pytest.raises(NoSuchRun):
        store.series("Z" * wire.ID_SIZE, ["x"])


def test_a_thousand_metrics_a_row(store: Store) -> None:
    run = new_run(store)
    values = [{f"m{i}": i * 1000.0 + row for i in range(1000)} for row in range(30)]
    store.add_metrics(run, rows_of(values), Span("w", 0, 30))
    assert values_of(store, run, "m999") == [999_000.0 + row for row in range(30)]
    assert len(store.get_run(run)["metrics"]) == 1000


def test_waiting_bodies_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body larger than the bound still passes when it is alone."""
    monkeypatch.setattr(room, "WAITING_MAX", 1)
    run = new_run(store)
    assert post(store, run, "w", 0, 10) == 10
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(post, store, run, str(i), 0, 2000) for i in range(64)]
    refused = [future.exception() for future in sent if future.exception()]
    assert {type(error) for error in refused} <= {Busy}
    stored = [future.result() for future in sent if not future.exception()]
    assert stored == [2000] * (64 - len(refused))
    assert len(values_of(store, run, "x")) == 10 + sum(stored)


# ---- Events ----------------------------------------------------------------------------------


def test_events_are_stored_once_and_listed_oldest_first(store: Store) -> None:
    run = new_run(store)
    events = [Event(i * 1000, "info", f"event {i}") for i in range(10)]
    assert store.add_events(run, events[4:], Span("e", 4, 10)).stored == 6
    assert store.add_events(run, events[:7], Span("e", 0, 7)).stored == 4
    assert store.add_events(run, events, Span("e", 0, 10)).stored == 0
    assert store.list_events(run, [], 0, None) == (10, events)
    assert store.list_events(run, [], 8, 5) == (10, events[8:])
    assert store.list_events(run, ["event", "3"], 0, None) == (1, [events[3]])
    assert store.writers(run) == {"e": [(0, 10)]}


def test_events_are_listed_and_counted_by_level(store: Store) -> None:
    run = new_run(store)
    levels = ("debug", "error", "info", "error", "critical")
    events = [Event(i, level, f"event {i}") for i, level in enumerate(levels)]
    store.add_events(run, events, None)
    graver = ["error", "critical"]
    assert store.list_events(run, [], 0, None, graver) == (3, [events[i] for i in (1, 3, 4)])
    assert store.list_events(run, [], 1, 1, graver) == (3, [events[3]])
    assert store.list_events(run, ["3"], 0, None, graver) == (1, [events[3]])
    assert store.list_events(run, [], 0, None, []) == (0, [])
    assert store.count_events(run, [], 0, 3, 2, graver) == [1, 2]
    assert store.count_events(run, ["3"], 0, 3, 2, graver) == [0, 1]


def test_events_of_one_moment_keep_their_order(store: Store) -> None:
    run = new_run(store)
    events = [Event(5, "error", str(i)) for i in (2, 0, 1)]
    store.add_events(run, events, None)
    assert store.list_events(run, [], 0, None) == (3, events)


def test_a_writer_is_one_stream(store: Store) -> None:
    run = new_run(store)
    post(store, run, "w", 0, 2)
    with pytest.raises(ValueError, match="writer w sends metrics, not events"):
        store.add_events(run, [Event(0, "info", "x")], Span("w", 2, 3))


# ---- A run's life ------------------------------------------------------------------------------


def test_a_new_run_has_all_members(store: Store) -> None:
    run = new_run(store, name="first", folder="/a/b", tags=["t", "s"], metadata={"k": {"l": 1}})
    found = store.get_run(run)
    assert found["id"] == run
    assert (found["name"], found["folder"], found["status"]) == ("first", "/a/b", "created")
    assert found["created"] == "2026-02-02T02:40:00.000000"
    assert (found["started"], found["endtime"], found["runtime"]) == (None, None, None)
    assert (found["tags"], found["metadata"], found["user"]) == (["t", "s"], {"k": {"l": 1}}, "ada")
    assert found["visibility"] == {"users": [], "tenant": False, "public": False}
    assert (found["alerts"], found["metrics"], found["system"]) == ([], {}, {})
    assert found["notifications"] == {"state": "none"}
    assert (found["starred"], found["abort"], found["ttl"]) == (False, False, None)
    _, folders = store.list_folders(Query())
    assert [folder["path"] for folder in folders] == ["/a/b", "/a", "/"], "newest first"
    assert {tag["name"] for tag in store.list_tags(Query())[1]} == {"s", "t"}


def test_a_run_may_bring_its_id(store: Store) -> None:
    run = wire.new_id()
    body = {"id": run, "folder": "/", "metadata": {"x": math.nan}}
    assert store.create_run(body, "ada") == (run, True)
    assert store.create_run(dict(body), "ada") == (run, False)
    with pytest.raises(IdTaken):
        store.create_run(body, "bob")
    with pytest.raises(IdTaken):
        store.create_run({**body, "metadata": {}}, "ada")
    with pytest.raises(ValueError, match="not an id"):
        store.create_run({"id": "../etc", "folder": "/"}, "ada")


def test_statuses_stamp_their_moments(store: Store, clock: Clock) -> None:
    run = new_run(store)
    clock.now += 10
    store.update_run(run, {"status": "running"})
    assert store.get_run(run)["started"] == "2026-02-02T02:40:10.000000"
    clock.now += 3661.5
    assert store.get_run(run)["runtime"] == "01:01:01.500000"
    store.set_abort(run, "too slow")
    assert store.get_run(run)["abort"]
    store.update_run(run, {"status": "failed"})
    ended = store.get_run(run)
    assert (ended["endtime"], ended["runtime"]) == ("2026-02-02T03:41:11.500000", "01:01:01.500000")
    clock.now += 5
    store.update_run(run, {"status": "running"})
    again = store.get_run(run)
    assert (again["started"], again["endtime"]) == ("2026-02-02T02:40:10.000000", None)
    assert not again["abort"]
    store.update_run(run, {"status": "completed", "endtime": "2026-02-03T00:00:00.000001"})
    assert store.get_run(run)["endtime"] == "2026-02-03T00:00:00.000001"


@pytest.mark.parametrize("status", wire.STATUSES)
def test_rows_are_taken_in_any_state_and_change_only_lost(store: Store, status: str) -> None:
    run = new_run(store, status=status)
    assert post(store, run, "w", 0, 2) == 2
    store.add_events(run, [Event(0, "info", "x")], None)
    store.beat(run)
    assert store.get_run(run)["status"] == ("running" if status == "lost" else status)


def test_silent_runs_are_lost_and_come_back(store: Store, clock: Clock) -> None:
    silent = new_run(store, status="running", heartbeat_timeout=60)
    beating = new_run(store, status="running", heartbeat_timeout=60)
    ended = new_run(store, status="completed", heartbeat_timeout=60)
    patient = new_run(store, status="running")
    clock.now += 59
    store.beat(beating)
    assert store.mark_lost(clock.now) == []
    clock.now += 2
    assert store.mark_lost(clock.now) == [silent]
    assert store.mark_lost(clock.now) == []
    statuses = [store.get_run(run)["status"] for run in (silent, beating, ended, patient)]
    assert statuses == ["lost", "running", "completed", "running"]
    post(store, silent, "w", 0, 1)
    assert store.get_run(silent)["status"] == "running"
    assert store.mark_lost(clock.now) == []


def test_a_server_that_was_down_has_heard_nobody(open_store: Opener, clock: Clock) -> None:
    store = open_store()
    run = new_run(store, status="running", heartbeat_timeout=60)
    store.close()
    clock.now += 3600
    store = open_store()
    assert store.mark_lost(clock.now) == []
    clock.now += 61
    assert store.mark_lost(clock.now) == [run]


def test_a_batch_is_created_whole_or_not_at_all(store: Store) -> None:
    made = store.create_runs([{"folder": "/batch", "name": f"n{i}"} for i in range(300)], "ada")
    assert [store.get_run(run)["name"] for run, _ in made] == [f"n{i}" for i in range(300)]
    taken = {"id": made[0][0], "folder": "/"}
    with pytest.raises(IdTaken):
        store.create_runs([{"folder": "/other"}, taken, {"folder": "/other"}], "eve")
    assert store.list_folders(Query(filters=[Filter("path", "==", "/other")]))[0] == 0
    assert store.list_runs(Query(count=0), "eve")[0] == 300


def test_a_run_goes_when_its_ttl_is_over_unless_it_runs(store: Store, clock: Clock) -> None:
    ended = new_run(store, status="completed", ttl=60)
    planned = new_run(store, ttl=60)
    running = new_run(store, status="running", ttl=60)
    kept = new_run(store, status="completed")
    clock.now += 59
    assert store.delete_expired(clock.now) == []
    store.update_run(planned, {"description": "still wanted"})
    clock.now += 2
    assert store.delete_expired(clock.now) == [ended]
    with pytest.raises(RunGone):
        store.get_run(ended)
    clock.now += 3600
    assert store.delete_expired(clock.now) == [planned]
    store.update_run(running, {"status": "completed"})
    assert store.delete_expired(clock.now + 59) == []
    assert store.delete_expired(clock.now + 61) == [running]
    assert store.get_run(kept)["ttl"] is None


def test_a_lost_runs_ttl_begins_when_it_is_lost(open_store: Opener, clock: Clock) -> None:
    """A server that was down for longer than the ttl deletes nobody whom it has not heard yet."""
    store = open_store()
    run = new_run(store, status="running", heartbeat_timeout=10, ttl=60)
    store.close()
    clock.now += 3600
    store = open_store()
    clock.now += 11
    assert store.mark_lost(clock.now) == [run]
    assert store.delete_expired(clock.now + 59) == []
    assert store.delete_expired(clock.now + 61) == [run]


def test_the_extent_of_a_run_spans_all_its_rows(store: Store) -> None:
    run = new_run(store)
    assert store.extent(run) == {}
    for first, end in ((100, 200), (3, 50)):
        post(store, run, "w", first, end)
    start = int(START * 1e6)
    assert store.extent(run) == {
        "step": (3, 199),
        "time": (3 / 8, 199 / 8),
        "timestamp": (start + 3_000, start + 199_000),
    }


def test_events_are_counted_by_window(store: Store) -> None:
    run = new_run(store)
    store.add_events(run, [Event(t, "info", f"m{t}") for t in (-1, 0, 9, 10, 29, 30)], None)
    assert store.count_events(run, [], 0, 10, 3) == [2, 1, 1]
    assert store.count_events(run, ["9"], 0, 10, 3) == [1, 0, 1]
    with pytest.raises(NoSuchRun):
        store.count_events(wire.new_id(), [], 0, 10, 3)


def test_the_abort_flag_comes_with_every_answer(store: Store) -> None:
    run = new_run(store)
    assert not store.beat(run).abort
    store.set_abort(run, "")
    assert store.beat(run).abort
    assert store.add_metrics(run, rows_of([{"x": 1}]), Span("w", 0, 1)).abort
    assert store.add_metrics(run, rows_of([{"x": 1}]), Span("w", 0, 1)).abort
    assert store.add_events(run, [], None).abort


def test_updates_merge_metadata_and_replace_tags(store: Store) -> None:
    run = new_run(store, metadata={"a": {"b": 1, "c": [1]}, "keep": None}, tags=["old"])
    store.update_run(run, {"metadata": {"a": {"c": {"d": math.inf}, "e": 2}, "new": "x"}})
    store.update_run(run, {"tags": ["new", "newer", "new"], "system": None, "description": "d"})
    found = store.get_run(run)
    assert found["metadata"] == {
        "a": {"b": 1, "c": {"d": math.inf}, "e": 2},
        "keep": None,
        "new": "x",
    }
    assert (found["tags"], found["description"], found["system"]) == (["new", "newer"], "d", {})
    store.update_run(run, {"folder": "/elsewhere", "starred": True, "alerts": [], "name": "n"})
    moved = store.get_run(run)
    assert (moved["folder"], moved["starred"], moved["alerts"]) == ("/elsewhere", True, [])


def test_a_deleted_run_is_gone_for_good(store: Store) -> None:
    run, other = new_run(store, id=wire.new_id()), new_run(store)
    for one in (run, other):
        post(store, one, "w", 0, 200)
        store.add_events(one, [Event(0, "info", "x")], None)
    store.delete_run(run)
    for call in (
        lambda: store.get_run(run),
        lambda: store.delete_run(run),
        lambda: store.update_run(run, {}),
        lambda: store.beat(run),
        lambda: store.set_abort(run, "x"),
        lambda: post(store, run, "w", 200, 201),
        lambda: store.add_events(run, [], None),
        lambda: store.series(run, ["x"]),
        lambda: store.writers(run),
        lambda: store.list_events(run, [], 0, None),
        lambda: store.create_run({"id": run, "folder": "/"}, "ada"),
    ):
        with pytest.raises(RunGone):
            call()
    assert store.list_runs(Query(), "ada")[0] == 1
    assert store.metric_names([run]) == []
    assert values_of(store, other, "x") == list(range(200))


def test_unknown_runs_are_said_to_be_unknown(store: Store) -> None:
    run = wire.new_id()
    for call in (
        lambda: store.get_run(run),
        lambda: store.delete_run(run),
        lambda: store.beat(run),
        lambda: post(store, run, "w", 0, 1),
        lambda: store.add_events(run, [], None),
    ):
        with pytest.raises(NoSuchRun):
            call()


def test_what_was_written_is_there_after_reopening(open_store: Opener) -> None:
    store = open_store()
    run, gone = new_run(store, tags=["t"]), new_run(store, id=wire.new_id())
    post(store, run, "w", 0, 50)
    post(store, gone, "w", 0, 50)
    store.delete_run(gone)
    before = store.get_run(run)
    store.close()
    store = open_store()
    assert store.get_run(run) == before
    assert values_of(store, run, "x") == list(range(50))
    assert post(store, run, "w", 0, 60) == 10
    with pytest.raises(RunGone):
        store.beat(gone)


def test_one_failing_write_harms_no_other(store: Store) -> None:
    """Method: good and bad writes from 8 threads, so that they share transactions."""
    run = new_run(store)

    def send(i: int) -> int | None:
        if i % 3 == 0:
            with pytest.raises(NoSuchRun):
                post(store, "Z" * wire.ID_SIZE, "w", i, i + 1)
            return None
        return post(store, run, "w", i, i + 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(120)))
    assert values_of(store, run, "x") == [i for i in range(120) if i % 3]


# ---- Lists ---------------------------------------------------------------------------------------


@pytest.fixture
def zoo(store: Store, clock: Clock) -> Store:
    """Four runs, a day apart: a, b, c and d."""
    clock.now = START
    new_run(
        store,
        name="a",
        folder="/sweep",
        status="running",
        tags=["big", "night run"],
        metadata={"seed": 1, "mesh": {"kind": "hex"}, "ok": True},
        description="the first",
    )
    clock.now += 86_400
    new_run(
        store,
        owner="bob",
        name="b",
        folder="/sweep/deep",
        status="completed",
        tags=["big"],
        metadata={"seed": 2.5, "note": "100% x_y"},
        system={"hostname": "node7", "cpu": {"arch": "x86_64"}},
    )
    clock.now += 86_400
    new_run(store, name="c", metadata={"seed": "text", "mesh": {"kind": "tet"}}, starred=False)
    clock.now += 86_400
    run = new_run(store, name="d", metadata={"seed": math.nan, "null": None})
    store.update_run(run, {"starred": True})
    store.add_metrics(run, rows_of([{"loss": 0.5}]), None)
    return store


@pytest.mark.parametrize(
    ("key", "op", "value", "names"),
    [
        ("name", "==", "a", "a"),
        ("name", "!=", "a", "bcd"),
        ("name", "contains", "c", "c"),
        ("description", "contains", "first", "a"),
        ("description", "not contains", "first", "bcd"),
        ("tag", "has", "big", "ab"),
        ("tag", "has", "night run", "a"),
        ("tag", "has not", "big", "cd"),
        ("starred", "is", "", "d"),
        ("created", "<", "36h", "cd"),
        ("created", "<", "1d", "d"),
        ("created", "<", "1y", "abcd"),
        ("started", "<", "9d", "a"),
        ("ended", "<", "9d", "b"),
        ("modified", "<", "1h", "d"),
        ("metadata.seed", "exists", "", "abcd"),
        ("metadata.null", "exists", "", "d"),
        ("metadata.mesh", "exists", "", "ac"),
        ("metadata.mesh", "not exists", "", "bd"),
        ("metadata.seed", "==", "1.0", "a"),
        ("metadata.seed", "==", "2.5", "b"),
        ("metadata.seed", "==", "text", "c"),
        ("metadata.seed", "!=", "1", "bcd"),
        ("metadata.seed", ">", "1", "b"),
        ("metadata.seed", ">=", "1", "ab"),
        ("metadata.seed", "<", "2.5", "a"),
        ("metadata.seed", "<=", "1e99", "ab"),
        ("metadata.seed", "==", "NaN", "d"),
        ("metadata.ok", "==", "True", "a"),
        ("metadata.ok", "==", "1", "a"),
        ("metadata.mesh.kind", "==", "hex", "a"),
        ("metadata.note", "contains", "% x_", "b"),
        ("user", "==", "self", "acd"),
        ("user", "!=", "self", "b"),
        ("user", "==", "bob", "b"),
        ("status", "==", "running", "a"),
        ("folder.path", "==", "/sweep", "a"),
        ("folder.path", "contains", "/sweep", "ab"),
        ("folder.path", "!=", "/", "ab"),
        ("system.hostname", "==", "node7", "b"),
        ("system.cpu.arch", "!=", "x86_64", "acd"),
        ("system.gpu.processor", "==", "None", ""),
    ],
)
def test_filters(zoo: Store, key: str, op: str, value: str, names: str) -> None:
    query = Query([Filter(key, op, value)], [("name", False)])
    total, found = zoo.list_runs(query, "ada")
    assert "".join(run["name"] for run in found) == names
    assert total == len(names)


@pytest.mark.parametrize(
    ("key", "op", "value"),
    [
        ("alert.name", "contains", "x"),
        ("name", "<", "x"),
        ("name", "within", "/x"),
        ("created", "<", "soon"),
        ("created", "<", ""),
        ("created", "==", "3d"),
        ("metadata.x", "like", "3"),
        ("colour; DROP TABLE run", "==", "3"),
    ],
)
def test_filters_that_cannot_be_served_say_so(zoo: Store, key: str, op: str, value: str) -> None:
    with pytest.raises(ValueError, match=key.split(";")[0]):
        zoo.list_runs(Query([Filter(key, op, value)]), "ada")


def test_runs_are_found_by_their_alerts(zoo: Store) -> None:
    """A status that follows a name is that of this alert; alone it is that of any."""
    hot, wet = new_alert(zoo, name="hot"), new_alert(zoo, name="wet")
    runs = {run["name"]: run["id"] for run in zoo.list_runs(Query(), "ada")[1]}
    zoo.update_run(runs["a"], {"alerts": [hot, wet]})
    zoo.update_run(runs["b"], {"alerts": [hot]})
    zoo.set_alert_status(wet, runs["a"], "critical")
    zoo.set_alert_status(hot, runs["b"], "critical")
    zoo.set_alert_status(hot, runs["c"], "critical")

    def found(*filters: tuple[str, str, str]) -> str:
        query = Query([Filter(*item) for item in filters], [("name", False)])
        return "".join(run["name"] for run in zoo.list_runs(query, "ada")[1])

    named, critical = ("alert.name", "==", "hot"), ("alert.status", "==", "critical")
    assert found(named) == "ab", "c has a status without being watched"
    assert found(("alert.name", "!=", "hot")) == "cd"
    assert found(named, critical) == "b"
    assert found(critical) == "ab"
    assert found(critical, named) == "ab"


def test_within_a_folder_is_there_or_below_and_in_no_other(store: Store) -> None:
    """Others begin with its path, have it within theirs, or fit it as a pattern."""
    for path in ("/a_b", "/a_b/c", "/a_b/c/d", "/a_bx", "/a_b-", "/x/a_b/c", "/axb/c", "/A_B/c"):
        new_run(store, name=path, folder=path)

    def found(path: str) -> list[str]:
        query = Query([Filter("folder.path", "within", path)], [("name", False)])
        total, runs = store.list_runs(query, "ada")
        assert total == len(runs)
        return [run["name"] for run in runs]

    assert found("/a_b") == ["/a_b", "/a_b/c", "/a_b/c/d"]
    assert found("/a_b/") == found("/a_b"), "a path may end with a slash"
    assert found("/a_b/c") == ["/a_b/c", "/a_b/c/d"]
    assert found("/none") == []
    new_run(store, name="/", folder="/")
    assert len(found("/")) == 9


def test_filters_are_anded_and_pages_tell_the_total(zoo: Store) -> None:
    both = [Filter("tag", "has", "big"), Filter("metadata.seed", ">", "0")]
    assert zoo.list_runs(Query(both), "ada")[0] == 2
    total, page = zoo.list_runs(Query(start=1, count=2), "ada")
    assert total == 4
    assert [run["name"] for run in page] == ["c", "b"]


@pytest.mark.parametrize(
    ("column", "descending", "names"),
    [
        ("name", True, "dcba"),
        ("created", False, "abcd"),
        ("started", False, "adcb"),
        ("metadata.seed", False, "abdc"),
        ("metadata.mesh.kind", True, "cadb"),
        ("metrics.loss", False, "dcba"),
        ("metrics.loss.max", False, "dcba"),
    ],
)
def test_sorting_puts_what_lacks_the_column_last(
    zoo: Store, column: str, descending: bool, names: str
) -> None:
    _, found = zoo.list_runs(Query(sorting=[(column, descending)]), "ada")
    assert "".join(run["name"] for run in found) == names


def test_sorting_by_an_unknown_column_says_so(zoo: Store) -> None:
    with pytest.raises(ValueError, match="cannot be sorted by 'colour'"):
        zoo.list_runs(Query(sorting=[("colour", False)]), "ada")


# ---- Folders, tags, tokens ---------------------------------------------------------------------


def test_folders(store: Store) -> None:
    folder, created = store.create_folder(
        {"path": "/a/b", "description": "d", "tags": ["t"], "metadata": {"k": 1}}
    )
    assert created
    assert store.create_folder({"path": "/a/b", "description": "other"}) == (folder, False)
    found = store.get_folder(folder)
    assert found is not None
    assert (found["path"], found["description"], found["tags"]) == ("/a/b", "d", ["t"])
    assert found["created"] == "2026-02-02T02:40:00.000000"
    assert store.update_folder(folder, {"metadata": {"l": 2}, "starred": True, "ttl": 5})
    found = store.get_folder(folder)
    assert found is not None
    assert (found["metadata"], found["starred"], found["ttl"]) == ({"k": 1, "l": 2}, True, 5)
    for condition in (
        Filter("path", "==", "/a/b"),
        Filter("path", "contains", "/b"),
        Filter("tag", "has", "t"),
        Filter("starred", "is"),
        Filter("metadata.l", "==", "2.0"),
    ):
        total, folders = store.list_folders(Query([condition]))
        assert (total, [item["id"] for item in folders]) == (1, [folder])
    paths = [item["path"] for item in store.list_folders(Query(sorting=[("path", True)]))[1]]
    assert paths == ["/a/b", "/a", "/"]
    within = Query([Filter("path", "within", "/a")], [("path", False)])
    assert [item["path"] for item in store.list_folders(within)[1]] == ["/a", "/a/b"]
    assert store.get_folder(wire.new_id()) is None
    assert not store.update_folder(wire.new_id(), {})


def test_deleting_folders(store: Store) -> None:
    def runs_in(*paths: str) -> list[str]:
        return [new_run(store, folder=path) for path in paths]

    top, deep, beside = runs_in("/a", "/a/b", "/a0")
    ids = {item["path"]: item["id"] for item in store.list_folders(Query())[1]}
    with pytest.raises(ValueError, match="has sub-folders"):
        store.delete_folder(ids["/a"], recursive=False, runs=True, keep=False)
    with pytest.raises(ValueError, match="holds 2 runs"):
        store.delete_folder(ids["/a"], recursive=True, runs=False, keep=False)
    assert store.delete_folder(ids["/a"], recursive=False, runs=True, keep=True) == {
        "folders": [],
        "runs": [top],
    }
    assert store.delete_folder(ids["/a"], recursive=True, runs=True, keep=False) == {
        "folders": [ids["/a"], ids["/a/b"]],
        "runs": [deep],
    }
    assert store.get_run(beside)["folder"] == "/a0"
    with pytest.raises(KeyError):
        store.delete_folder(ids["/a"], recursive=True, runs=True, keep=False)
    with pytest.raises(RunGone):
        store.get_run(deep)
    assert store.delete_folder(ids["/"], recursive=True, runs=True, keep=False)["runs"] == [beside]
    assert store.list_folders(Query())[0] == 0


def test_tags(store: Store) -> None:
    run = new_run(store, tags=["implicit"])
    tag, created = store.create_tag({"name": "given", "colour": "#ff0000"})
    assert created
    assert store.create_tag({"name": "given"}) == (tag, False)
    assert [item["name"] for item in store.list_tags(Query())[1]] == ["given", "implicit"]
    assert store.update_tag(tag, {"description": "words"})
    found = store.get_tag(tag)
    assert found is not None
    assert (found["colour"], found["description"]) == ("#ff0000", "words")
    with pytest.raises(ValueError, match="another tag called 'implicit'"):
        store.update_tag(tag, {"name": "implicit"})
    implicit = store.list_tags(Query())[1][1]
    assert implicit["colour"]
    assert store.delete_tag(implicit["id"])
    assert store.get_run(run)["tags"] == []
    assert store.get_tag(implicit["id"]) is None
    assert not store.delete_tag(implicit["id"])
    assert not store.update_tag(implicit["id"], {})


def test_tokens(store: Store) -> None:
    token = Token("ada", "maths", "admin", START + 60, "laptop")
    store.add_token("00" * 32, token)
    assert store.find_token("00" * 32) == token
    assert store.find_token("11" * 32) is None
    other = Token("bob", "maths", "write", START + 60)
    store.add_token("11" * 32, other)
    total, (first, second) = store.list_tokens(Query(), None)
    assert (total, first["name"], second["user"]) == (2, "laptop", "bob")
    assert first["expires"] == "2026-02-02T02:41:00.000000"
    assert store.list_tokens(Query(), "bob") == (1, [second])
    assert not store.delete_token(token.id, "bob"), "it is not his"
    assert store.delete_token(token.id, "ada")
    assert store.find_token("00" * 32) is None
    assert not store.delete_token(token.id, None)
    assert store.delete_token(other.id, None)


# ---- Alerts --------------------------------------------------------------------------------


def alert_of(source: str = "user", **members: Any) -> dict[str, Any]:
    return {
        "name": "an alert",
        "description": None,
        "source": source,
        "alert": None,
        "notification": "none",
        "enabled": True,
        "abort": False,
        "auto": False,
        **members,
    }


def new_alert(store: Store, source: str = "user", **members: Any) -> str:
    alert, created = store.create_alert(alert_of(source, **members), "ada", False)
    assert created
    return alert


def test_alerts_are_created_changed_and_deleted(store: Store) -> None:
    rule = {"pattern": "x", "frequency": 2}
    alert = new_alert(store, "events", name="first", alert=rule, abort=True)
    found = store.get_alert(alert)
    assert found == {
        **alert_of("events", name="first", alert=rule, abort=True),
        "id": alert,
        "delay": 0,
        "run_tags": [],
        "created": "2026-02-02T02:40:00.000000",
    }
    second = new_alert(store, name="a second")
    total, listed = store.list_alerts(Query())
    assert (total, [item["id"] for item in listed]) == (2, [alert, second])
    total, listed = store.list_alerts(Query(sorting=[("name", False)], count=1))
    assert (total, [item["id"] for item in listed]) == (2, [second])
    changes = {"description": "d", "enabled": False, "alert": {**rule, "pattern": "y"}}
    assert store.update_alert(alert, changes)
    assert store.get_alert(alert) == {**found, **changes}
    assert store.delete_alert(alert)
    assert store.get_alert(alert) is None
    assert not store.delete_alert(alert)
    assert not store.update_alert(alert, {"name": "n"})


def test_an_alert_is_found_by_each_of_its_members(store: Store) -> None:
    rule = {"pattern": "x", "frequency": 2}
    alert = alert_of("events", alert=rule, description="d")
    first, created = store.create_alert(alert, "ada", True)
    assert created
    turned = {**alert, "alert": dict(reversed(rule.items()))}
    assert store.create_alert(turned, "bob", True) == (first, False)
    for change in (
        {"name": "other"},
        {"description": None},
        {"alert": {**rule, "frequency": 3}},
        {"notification": "email"},
        {"enabled": False},
        {"abort": True},
    ):
        assert store.create_alert({**alert, **change}, "ada", True)[1], change
    assert store.create_alert(alert, "ada", False)[1], "asked not to look"


def test_an_alert_keeps_the_id_that_it_came_with(store: Store) -> None:
    alert = alert_of(id=wire.new_id())
    assert store.create_alert(alert, "ada", False) == (alert["id"], True)
    assert store.create_alert(alert, "ada", True) == (alert["id"], False)
    assert store.create_alert(alert, "bob", True) == (alert["id"], False), "just like it"
    store.update_alert(alert["id"], {"name": "changed"})
    assert store.create_alert(alert, "ada", False) == (alert["id"], False), "a retry is one"
    with pytest.raises(IdTaken):
        store.create_alert(alert, "bob", False)
    with pytest.raises(IdTaken):
        store.create_alert({**alert, "name": "other"}, "ada", False)


def test_the_alerts_of_a_run(store: Store) -> None:
    first, second, third = (new_alert(store, name=name) for name in "abc")

    def attached() -> list[tuple[str, str | None]]:
        found = store.get_run(run)["alerts"]
        return [(item["alert"]["name"], item["status"]) for item in found]

    run = new_run(store, alerts=[second, first])
    assert attached() == [("b", None), ("a", None)]
    assert store.set_alert_status(second, run, "critical") is None, "it has no abort"
    store.update_run(run, {"alerts": [third, second, third]})
    assert attached() == [("c", None), ("b", "critical")]
    store.update_run(run, {"name": "n", "alerts": None})
    assert len(attached()) == 2, "null leaves them alone"
    assert store.list_runs(Query(), "ada")[1][0]["alerts"] == store.get_run(run)["alerts"]
    with pytest.raises(NoSuchAlert):
        store.update_run(run, {"alerts": [first, wire.new_id()]})
    assert attached() == [("c", None), ("b", "critical")], "nothing half done"
    assert store.delete_alert(third)
    assert attached() == [("b", "critical")]
    store.update_run(run, {"alerts": []})
    store.update_run(run, {"alerts": [second]})
    assert attached() == [("b", None)], "what is detached is forgotten"
    with pytest.raises(NoSuchAlert):
        store.create_run({"folder": "/", "alerts": [wire.new_id()]}, "ada")


def test_the_status_of_an_alert(store: Store) -> None:
    run, alert = new_run(store), new_alert(store)
    assert store.alert_status(alert, run) is None
    assert store.set_alert_status(alert, run, "critical") is None
    assert store.alert_status(alert, run) == "critical"
    assert store.get_run(run)["alerts"] == [], "not attached by that"
    store.update_run(run, {"alerts": [alert]})
    assert store.alert_status(alert, run) == "critical"
    store.set_alert_status(alert, run, "ok")
    assert store.alert_status(alert, run) == "ok"
    assert store.alert_status(alert, new_run(store)) is None
    unknown = wire.new_id()
    with pytest.raises(NoSuchAlert):
        store.alert_status(unknown, run)
    with pytest.raises(NoSuchAlert):
        store.set_alert_status(unknown, run, "ok")
    with pytest.raises(NoSuchRun):
        store.set_alert_status(alert, unknown, "ok")
    store.delete_run(run)
    with pytest.raises(RunGone):
        store.alert_status(alert, run)


@pytest.mark.parametrize(
    ("members", "attached", "status", "aborts"),
    [
        ({"abort": True}, True, "critical", True),
        ({"abort": True}, True, "ok", False),
        ({"abort": True}, False, "critical", False),
        ({"abort": True, "enabled": False}, True, "critical", False),
        ({}, True, "critical", False),
    ],
)
def test_which_alerts_abort_a_run(
    store: Store, members: dict[str, Any], attached: bool, status: Any, aborts: bool
) -> None:
    alert = new_alert(store, name="too hot", **members)
    run = new_run(store, alerts=[alert] if attached else [])
    reason = store.set_alert_status(alert, run, status)
    assert reason == ("alert too hot is critical" if aborts else None)
    assert store.get_run(run)["abort"] is aborts
    assert store.beat(run).abort is aborts


def test_what_the_server_is_to_judge(store: Store) -> None:
    rule = {"pattern": "x", "frequency": 1}
    judged = new_alert(store, "events", alert=rule)
    resting = new_alert(store, "events", alert=rule, enabled=False)
    run = new_run(store, alerts=[judged, resting, new_alert(store)], status="running")
    ended = new_run(store, alerts=[judged], status="completed")
    new_run(store)
    assert [item.run for item in store.watched_alerts(None)] == [run]
    assert {item.run for item in store.watched_alerts([run, ended])} == {run, ended}
    assert store.watched_alerts([]) == store.watched_alerts([wire.new_id()]) == []
    store.set_alert_status(judged, run, "ok")
    assert store.watched_alerts([run]) == [Watched(run, judged, "events", rule, "ok")]
    store.update_alert(judged, {"alert": {**rule, "pattern": "y"}})
    assert store.watched_alerts([run])[0].status is None, "another rule knows nothing"
    store.update_run(run, {"alerts": []})
    store.set_alert_status(judged, run, "critical")
    assert store.alert_status(judged, run) is None, "judged too late"


def test_recent_values_are_those_of_the_window(store: Store) -> None:
    """Method: rows a millisecond apart; windows against a list of the numbers within."""
    run = new_run(store)
    # Out of order, in two streams, every second row of another shape.
    for first in (30, 0, 20, 10):
        post(store, run, "w", first, first + 10)
    store.add_metrics(run, rows_of([{"x": 1000}], 39), None)
    for window, names, numbers in (
        (1000, ["x"], [39, 1000]),
        (5000, ["x"], [35, 36, 37, 38, 39, 1000]),
        (25_000, ["x"], [*range(15, 40), 1000]),
        (10**12, ["x"], [*range(40), 1000]),
    ):
        found = store.recent_values(run, names, window)
        assert sorted(found["x"].tolist()) == numbers, window
    found = store.recent_values(run, ["y", "x", "nothing"], 4000)
    assert sorted(found) == ["x", "y"]
    assert sorted(found["y"].tolist()) == [72, 76], "from its own newest, row 38"
    assert store.recent_values(new_run(store), ["x"], 1000) == {}
    with pytest.raises(NoSuchRun):
        store.recent_values(wire.new_id(), ["x"], 1)


def test_an_event_is_looked_for_once(store: Store) -> None:
    run, other = new_run(store), new_run(store)

    def say(run: str, *messages: str) -> None:
        store.add_events(run, [Event(int(START * 1e6), "info", text) for text in messages], None)

    assert store.find_event(run, "needle", 0) == (False, 0)
    say(run, "hay", "a needle in it")
    found, after = store.find_event(run, "needle", 0)
    assert found
    assert store.find_event(run, "needle", after) == (False, after)
    say(other, "a needle elsewhere")
    assert store.find_event(run, "needle", after) == (False, after)
    # What is behind is behind even if another run's events are deleted in between.
    store.delete_run(other)
    say(run, "needle, in lower case", "hay")
    assert store.find_event(run, "needle", after)[0]
    assert not store.find_event(run, "Needle", 0)[0]


# ---- Tenants and users -----------------------------------------------------------------------


def test_tenants_and_users(store: Store) -> None:
    store.add_token("00" * 32, Token("admin", "default", "admin", START + 60))
    _, (default,) = store.list_tenants(Query())
    assert (default["name"], default["is_enabled"], default["max_runs"]) == ("default", True, 0)
    _, (admin,) = store.list_users(Query())
    assert (admin["username"], admin["is_admin"]) == ("admin", True)
    assert (admin["tenant"], admin["is_deleted"]) == (default["id"], False)

    tenant = store.create_tenant({"name": "maths", "max_runs": 5})
    assert store.get_tenant(tenant) == {
        "id": tenant,
        "name": "maths",
        "is_enabled": True,
        "max_request_rate": 0,
        "max_runs": 5,
        "max_data_volume": 0,
        "created": "2026-02-02T02:40:00.000000",
    }
    with pytest.raises(ValueError, match="maths"):
        store.create_tenant({"name": "maths"})
    with pytest.raises(ValueError, match="default"):
        store.update_tenant(tenant, {"name": "default"})
    assert store.update_tenant(tenant, {"name": "physics", "max_runs": None})
    assert [item["name"] for item in store.list_tenants(Query(sorting=[("name", True)]))[1]] == [
        "physics",
        "default",
    ]
    user = store.create_user({"username": "ada", "email": "a@b.c", "tenant": tenant})
    with pytest.raises(ValueError, match="ada"):
        store.create_user({"username": "ada", "tenant": tenant})
    with pytest.raises(ValueError, match="no tenant"):
        store.create_user({"username": "bob", "tenant": wire.new_id()})
    assert store.update_user(user, {"fullname": "Ada L", "username": "ada"})
    with pytest.raises(ValueError, match="cannot change"):
        store.update_user(user, {"username": "eve"})
    found = store.get_user(user)
    assert found is not None
    assert (found["username"], found["fullname"], found["email"]) == ("ada", "Ada L", "a@b.c")
    assert store.delete_tenant(tenant)
    assert store.get_user(user) is None, "gone with its tenant"
    unknown = wire.new_id()
    assert store.get_tenant(unknown) is store.get_user(unknown) is None
    assert not store.delete_user(unknown)
    assert not store.delete_tenant(unknown)
    assert not store.update_user(unknown, {"is_admin": True})
    assert not store.update_tenant(unknown, {})


def test_somebody_can_always_administer(store: Store) -> None:
    store.add_token("00" * 32, Token("admin", "default", "admin", START + 60))
    _, (admin,) = store.list_users(Query())
    tenant = admin["tenant"]
    store.create_user({"username": "ada", "tenant": tenant})
    none_left = "no administrator would be left"
    for change in ({"is_admin": False}, {"is_enabled": False}, {"is_readonly": True}):
        with pytest.raises(ValueError, match=none_left):
            store.update_user(admin["id"], change)
    with pytest.raises(ValueError, match=none_left):
        store.update_tenant(tenant, {"is_enabled": False})
    with pytest.raises(ValueError, match=none_left):
        store.delete_user(admin["id"])
    with pytest.raises(ValueError, match=none_left):
        store.delete_tenant(tenant)
    assert store.get_user(admin["id"]) == admin
    store.create_user({"username": "eve", "is_admin": True, "tenant": tenant})
    assert store.delete_user(admin["id"])


def test_a_token_may_do_what_its_user_may_by_now(store: Store) -> None:
    store.add_token("00" * 32, Token("admin", "default", "admin", START + 60))
    store.add_token("11" * 32, Token("ada", "maths", "admin", START + 60))
    user = next(user for user in store.list_users(Query())[1] if user["username"] == "ada")

    def scope() -> str | None:
        found = store.find_token("11" * 32)
        return found.scope if found else None

    assert scope() == "admin"
    store.update_user(user["id"], {"is_admin": False})
    assert scope() == "write"
    store.update_user(user["id"], {"is_readonly": True})
    assert scope() == "read"
    store.update_user(user["id"], {"is_enabled": False})
    assert scope() is None
    store.update_user(user["id"], {"is_enabled": True})
    assert scope() == "read"
    store.update_tenant(user["tenant"], {"is_enabled": False})
    assert scope() is None
    store.delete_user(user["id"])
    assert store.list_tokens(Query(), None)[0] == 1, "its tokens went with it"


def test_usage_is_of_each_user(store: Store) -> None:
    store.add_token("00" * 32, Token("ada", "maths", "admin", START + 60))
    store.add_token("11" * 32, Token("bob", "physics", "write", START + 60))
    run = new_run(store, tags=["a", "b"])
    new_run(store, tags=["b"])
    post(store, run, "w", 0, 10)
    store.add_events(run, [Event(1, "info", "x")] * 3, None)
    new_alert(store)
    usage = store.usage(None)
    nothing = dict.fromkeys(usage["bob"], 0)
    assert usage["bob"] == nothing
    expected = {"runs": 2, "tags": 2, "metrics": 2, "events": 3, "alerts": 1}
    assert usage["ada"] == {**nothing, **expected}
    assert list(store.usage("physics")) == ["bob"]
    assert store.usage("nowhere") == {}


# ---- Artifacts and grids ----------------------------------------------------------------


def artifact_of(content: bytes, **members: Any) -> dict[str, Any]:
    checksum = hashlib.sha256(content).hexdigest()
    return {"name": "n", "size": len(content), "checksum": checksum, **members}


def upload(store: Store, content: bytes, owner: str = "ada", **members: Any) -> str:
    """Register an artifact and send its bytes, which nobody has sent before."""
    artifact, there = store.create_artifact(artifact_of(content, **members), owner)
    assert not there
    sending = store.begin_upload(artifact)
    sending.write(content)
    sending.finish()
    return artifact


def content_of(store: Store, artifact: str) -> bytes:
    file, size = store.open_artifact(artifact)
    with file:
        content = file.read()
    assert len(content) == size
    return content


def test_bytes_are_an_artifacts_when_all_are_there(open_store: Opener) -> None:
    store = open_store()
    artifact, _ = store.create_artifact(artifact_of(b"content"), "ada")
    sending = store.begin_upload(artifact)
    sending.write(b"cont")
    with pytest.raises(KeyError):
        store.open_artifact(artifact)
    with pytest.raises(ValueError, match="did not arrive"):
        store.update_artifact(artifact, {"uploaded": True})
    sending.write(b"ent")
    sending.finish()
    assert store.update_artifact(artifact, {"uploaded": True})
    store.close()
    again = open_store()
    assert content_of(again, artifact) == b"content"
    assert (again.get_artifact(artifact) or {})["uploaded"]


def test_what_was_cut_off_is_forgotten_and_may_be_sent_again(open_store: Opener) -> None:
    store = open_store()
    artifact, _ = store.create_artifact(artifact_of(b"content"), "ada")
    sending = store.begin_upload(artifact)
    sending.write(b"conte")
    store.close()
    # As after a death: nobody discards it.
    again = open_store()
    assert not (again.get_artifact(artifact) or {})["uploaded"]
    with pytest.raises(StoreError):
        sending.discard()
    sending = again.begin_upload(artifact)
    sending.write(b"content")
    sending.finish()
    assert content_of(again, artifact) == b"content"


def test_a_registration_that_nobody_follows_up_is_forgotten(
    open_store: Opener, clock: Clock
) -> None:
    store = open_store()
    run = new_run(store)
    forgotten, waiting = (store.create_artifact(artifact_of(b"x"), "ada")[0] for _ in range(2))
    store.attach_artifact(run, waiting, "output")
    sent = upload(store, b"content")
    store.close()
    clock.now += 31 * 86_400
    again = open_store()
    assert again.get_artifact(forgotten) is None
    assert again.get_artifact(waiting)
    assert again.get_artifact(sent)


def test_only_who_sent_bytes_before_need_not_send_them_again(store: Store) -> None:
    """A checksum is no proof: a stranger who knows it would be given the bytes."""
    first = upload(store, b"secret", "ada")
    second, there = store.create_artifact(artifact_of(b"secret"), "ada")
    assert there
    third = upload(store, b"secret", "eve")
    assert {content_of(store, one) for one in (first, second, third)} == {b"secret"}


def test_an_artifact_may_bring_its_id(store: Store) -> None:
    artifact = artifact_of(b"content", id=wire.new_id())
    assert store.create_artifact(artifact, "ada") == (artifact["id"], False)
    assert store.create_artifact(artifact, "ada") == (artifact["id"], False)
    for other, owner in (({**artifact, "name": "m"}, "ada"), (artifact, "eve")):
        with pytest.raises(IdTaken):
            store.create_artifact(other, owner)


def test_an_artifact_goes_with_its_last_run_and_its_bytes_with_the_last_artifact(
    store: Store,
) -> None:
    one, other = new_run(store), new_run(store)
    shared, alone = upload(store, b"shared"), upload(store, b"alone")
    twin, _ = store.create_artifact(artifact_of(b"alone"), "ada")
    for run, artifact in ((one, shared), (other, shared), (one, alone)):
        assert store.attach_artifact(run, artifact, "output")
    store.delete_run(one)
    assert store.get_artifact(alone) is None
    assert content_of(store, twin) == b"alone"
    assert [item["id"] for item in store.run_artifacts(other)] == [shared]
    assert store.delete_artifact(twin)
    assert not store.delete_artifact(twin)
    store.delete_run(other)
    assert store.list_artifacts(Query(), []) == (0, [])
    # Nothing of them is left to save an upload.
    upload(store, b"alone")
    with pytest.raises(RunGone):
        store.attach_artifact(one, shared, "output")


def test_an_upload_of_a_deleted_artifact_is_refused_and_forgotten(store: Store) -> None:
    artifact, _ = store.create_artifact(artifact_of(b"content"), "ada")
    sending = store.begin_upload(artifact)
    sending.write(b"content")
    store.delete_artifact(artifact)
    with pytest.raises(KeyError):
        sending.finish()
    sending.discard()
    with pytest.raises(KeyError):
        store.begin_upload(artifact)


def test_runs_are_found_by_the_bytes_that_they_have(store: Store) -> None:
    maker, user, _ = (new_run(store, name=name) for name in ("maker", "user", "stranger"))
    made = upload(store, b"mesh")
    used, _ = store.create_artifact(artifact_of(b"mesh"), "ada")
    store.attach_artifact(maker, made, "output")
    store.attach_artifact(user, used, "input")
    checksum = artifact_of(b"mesh")["checksum"]
    found = [(one.run, one.category, one.artifact) for one in store.lineage(checksum)]
    assert found == [(maker, "output", made), (user, "input", used)]
    assert store.artifact_category(user, used) == "input"
    assert store.artifact_category(user, made) is None
    wanted = Query(filters=[Filter("artifact.checksum", "==", checksum)])
    assert store.list_runs(wanted, "ada")[0] == 2
    wanted = Query(filters=[Filter("artifact.id", "==", made)])
    assert [run["id"] for run in store.list_runs(wanted, "ada")[1]] == [maker]


def test_the_secret_stays_the_same(open_store: Opener) -> None:
    store = open_store()
    secret = store.secret
    assert len(secret) >= 32
    store.close()
    assert open_store().secret == secret


def tensor(grid: str, step: int, *values: float) -> Tensor:
    array = np.array(values, "<f8")
    moment = int(START * 1e6) + step
    return Tensor("u", grid, step, float("nan"), moment, "<f8", array.shape, array.tobytes())


def test_arrays_are_stored_once_and_come_back_exactly(store: Store) -> None:
    run, writer = new_run(store), wire.new_id()
    grid = store.create_grid({"name": "g", "grid": [[1.0, 2.0]], "labels": ["x"]}, "ada")
    rows = [tensor(grid, step, step / 3, float("nan")) for step in range(4)]
    assert store.add_tensors(run, rows[:3], Span(writer, 0, 3)).stored == 3
    assert store.add_tensors(run, rows[1:], Span(writer, 1, 4)).stored == 1
    assert store.tensor_span(run, "u") == {
        "count": 4,
        "min_step": 0,
        "max_step": 3,
        "min_time": None,
        "max_time": None,
        "min_timestamp": int(START * 1e6),
        "max_timestamp": int(START * 1e6) + 3,
    }
    found = store.tensor(run, "u", 2)
    assert found is not None
    assert (found.values, found.shape, found.step) == (rows[2].values, (2,), 2)
    last = store.tensor(run, "u", None)
    assert last is not None
    assert last.step == 3
    assert store.tensor(run, "u", 9) is None
    assert store.tensor(run, "v", None) is None
    wrong = [tensor(grid, 5, 1.0, 2.0), tensor(grid, 6, 1.0)]
    with pytest.raises(ValueError, match="row 1: its array has the shape"):
        store.add_tensors(run, wrong, Span(writer, 4, 6))
    assert store.writers(run) == {writer: [(0, 4)]}
    store.delete_run(run)
    assert store.delete_grid(grid)
    with pytest.raises(RunGone):
        store.tensor(run, "u", None)
