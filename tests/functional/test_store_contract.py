"""The contract of the store, kept by every engine: what server/store/__init__.py promises."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from simvue import wire
from simvue._columns import decode_metrics
from simvue.server.store import (
    Busy,
    Event,
    Filter,
    IdTaken,
    NoSuchRun,
    Query,
    RunGone,
    Span,
    Store,
    Token,
    commits,
)
from simvue.server.store.sqlite import SQLiteStore

START = 1_770_000_000.0
"""When the clock that stores are handed begins: 2026-02-02T02:40:00."""


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


Opener = Callable[[], Store]


def _sqlite(directory: Path, clock: Clock) -> Store:
    return SQLiteStore(str(directory / "store"), clock)


# One line an engine: how to open its store, the same again for the same directory.
ENGINES: dict[str, Callable[[Path, Clock], Store]] = {
    "sqlite": _sqlite,
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=ENGINES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Opener]:
    opened: list[Store] = []

    def opener() -> Store:
        opened.append(ENGINES[request.param](tmp_path, clock))
        return opened[-1]

    yield opener
    for store in opened:
        store.close()


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


def test_one_body_sent_by_8_threads_at_once_is_stored_once(store: Store) -> None:
    run = new_run(store)
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda _: post(store, run, "w", 0, 500), range(8)))
    assert sorted(stored) == [0] * 7 + [500]
    assert values_of(store, run, "x") == list(range(500))


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
    monkeypatch.setattr(commits, "WAITING_MAX", 1)
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
    assert [folder["path"] for folder in folders] == ["/", "/a", "/a/b"]
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
    store.update_run(run, {"folder": "/elsewhere", "starred": True, "alerts": ["x"], "name": "n"})
    moved = store.get_run(run)
    assert (moved["folder"], moved["starred"], moved["alerts"]) == ("/elsewhere", True, ["x"])


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
        ("alert.name", "==", "x"),
        ("name", "<", "x"),
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
    token = Token("ada", "maths", True, START + 60, {"name": "laptop"})
    store.add_token("00" * 32, token)
    assert store.find_token("00" * 32) == token
    assert store.find_token("11" * 32) is None
