"""Folding changes no answer: what is read of bodies and of folds is the same, at every moment."""

from __future__ import annotations

import math
import random
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from fix_node import eventually
from fix_server import Server
from fix_store import Clock, Engine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simvue import wire
from simvue._columns import Block, Rows, decode_metrics
from simvue.exception import StoreError
from simvue.server.store import (
    NoSuchRun,
    RunGone,
    Series,
    Span,
    buckets,
    cells,
    fold,
    folding,
    leases,
    pairs,
)
from simvue.server.store.audit import audit
from simvue.server.store.buckets import Axis, Buckets, MetricAxis
from simvue.server.store.sql import SQLStore
from simvue.server.store.sqlite import SQLiteStore

START_US = 1_770_000_000_000_000
AXES: tuple[Axis, ...] = ("step", "time", "timestamp")
# A signalling NaN with a payload: what a chart never shows is kept to the last bit as well.
ODD_NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF4_DEAD_BEEF_0001))[0]


@pytest.fixture
def store(engine: Engine, clock: Clock) -> SQLStore:
    return engine.open(clock=clock)


@pytest.fixture
def embedded(tmp_path: Path, clock: Clock) -> Iterator[SQLStore]:
    """What decides when to fold is the same for all engines, and SQLite is quick."""
    opened = SQLiteStore(str(tmp_path / "embedded"), clock)
    yield opened
    opened.close()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[SQLStore]:
    """An embedded store that nobody folds: the oracle for all engines."""
    opened = SQLiteStore(str(tmp_path / "plain"))
    yield opened
    opened.close()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits so small that a few rows have folds above folds above folds."""
    monkeypatch.setattr(fold, "ROWS", 16)
    monkeypatch.setattr(folding, "BODIES", 2)
    monkeypatch.setattr(fold, "SLICE", 3)
    monkeypatch.setattr(folding, "IDLE_S", 0.0)
    monkeypatch.setattr(folding, "_SMALL_BODIES", 1)
    monkeypatch.setattr(cells, "CELL", 4)
    monkeypatch.setattr(cells, "FAN", 2)


def walk(first: int, end: int, names: tuple[str, ...] = ("x",), run: str = "") -> Rows:
    """Make rows *first* to *end* of random walks, one a millisecond; a row's step is its number."""
    numbers = np.arange(first, end)
    moments = numbers * 1000
    generator = np.random.default_rng(first)
    values = np.cumsum(generator.normal(size=(len(names), end - first)), axis=1)
    words = np.empty((3 + len(names), end - first), np.uint64)
    words[0], words[1] = numbers, (moments / 1e6).view(np.uint64)
    words[2], words[3:] = moments + START_US, values.view(np.uint64)
    return Rows(run, end - first, [Block(names, bytes(len(names)), None, words)])


def new_run(store: SQLStore, **members: Any) -> str:
    return store.create_run({"folder": "/", "status": "running", **members}, "ada")[0]


def fold_all(store: SQLStore) -> int:
    steps = 0
    while store.fold():
        steps += 1
    return steps


def counted(store: SQLStore) -> dict[str, int]:
    """Return how many bodies there are, and folds by level."""
    with store._reading() as connection:
        found = {"bodies": connection.execute("SELECT count(*) FROM body").fetchone()[0]}
        found |= {
            f"level {level}": count
            for level, count in connection.execute(
                "SELECT level, count(*) FROM fold GROUP BY level"
            )
        }
        return found


def same_series(one: dict[str, Series], other: dict[str, Series]) -> None:
    assert one.keys() == other.keys()
    for name, left in one.items():
        right = other[name]
        for column in ("step", "timestamp", "values", "kinds", "rank"):
            a, b = getattr(left, column), getattr(right, column)
            assert (a is None) == (b is None), column
            assert a is None or (a.dtype == b.dtype and a.tolist() == b.tolist()), column
        assert left.time.view(np.uint64).tolist() == right.time.view(np.uint64).tolist()


def same_buckets(one: Buckets, other: Buckets) -> None:
    for a, b in zip(buckets.columns(one), buckets.columns(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def check_cut(found: Buckets, series: Series, axis: Axis, most: int, **range_: Any) -> None:
    """Hold buckets against the rows: each row in one, each sum of its own rows, all nearly equal.

    For a series that ascends along *axis*: its rows are handed out by the buckets' counts.
    """
    x, y = getattr(series, axis), buckets.floats(series.values, series.kinds)
    log = range_.get("log", False)
    taken = np.isfinite(x) & (x >= range_.get("start", -math.inf))
    taken &= (x <= range_.get("end", math.inf)) & ((x > 0) | (not log))
    x, y = x[taken], y[taken]
    assert len(found.count) <= most
    assert found.count.sum() == len(x)
    if not len(x):
        return
    starts = np.concatenate([[0], np.cumsum(found.count)[:-1]])
    same_buckets(found, buckets.summed([x], y, starts)[0])
    if len(x) <= most:
        assert len(found.count) == len(x)
        return
    low, high = range_.get("start", x[0].item()), range_.get("end", x[-1].item())
    # A bucket ends a third of its width behind its edge, at most.
    if log:
        width = math.log(high / low) / most
        assert np.log(found.last_x / found.first_x).max() <= width * 4 / 3 + 1e-9
    else:
        width = (high - low) / most
        assert (found.last_x - found.first_x).max() <= width * 4 / 3 + (axis != "time")


# ---- Any bodies, any moment ---------------------------------------------------------------

odd_values = st.sampled_from(
    [
        *(0, 1, -1, 2**53 + 1, -(2**63), 2**63, 2**64 - 1, True, False),
        *(0.0, -0.0, 0.1, 1e300, math.inf, -math.inf, math.nan, ODD_NAN, 5e-324),
    ]
)
plans = st.lists(
    st.tuples(
        st.integers(0, 2),  # the writer
        st.integers(1, 12),  # rows of the body
        st.integers(0, 3),  # how many bodies come before it is sent, which it overtakes
        st.booleans(),  # whether somebody folds a step behind it
    ),
    min_size=1,
    max_size=15,
)


def rows_of(generator: random.Random, first: int, count: int, orderly: bool, values: Any) -> Rows:
    lines = []
    for number in range(first, first + count):
        line = {"a": next(values)} if generator.random() < 0.8 else {}
        if generator.random() < 0.5 or not line:
            line["b"] = next(values)
        step = number if orderly else generator.randrange(20)
        lines.append(
            {
                "values": line,
                "time": step / 8
                if orderly
                else generator.choice([0.5, 1e300, math.nan, -math.inf]),
                "timestamp": wire.format_timestamp(START_US + step * 1001),
                "step": step,
            }
        )
    return decode_metrics(msgpack.packb({"run": "R" * wire.ID_SIZE, "metrics": lines}))


_ANY = (
    plans,
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32),
    st.lists(odd_values, min_size=1),
)
_EVERY_EXAMPLE: Any = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@settings(max_examples=25, **_EVERY_EXAMPLE)
@given(*_ANY)
def test_any_bodies_folded_at_any_moment_read_as_if_they_were_not(
    store: SQLStore, plain: SQLStore, plan: Any, orderly: bool, ranked: bool, seed: int, odd: Any
) -> None:
    """Method: the same bodies to two stores, of which one folds meanwhile."""
    _fold_any(store, plain, plan, orderly, ranked, seed, odd)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
@settings(max_examples=6, **_EVERY_EXAMPLE)
@given(*_ANY)
def test_any_bodies_folded_on_postgresql_read_as_on_the_embedded_store(
    store: SQLStore, plain: SQLStore, plan: Any, orderly: bool, ranked: bool, seed: int, odd: Any
) -> None:
    """A few of the same: the statements are, and each takes twenty times as long."""
    _fold_any(store, plain, plan, orderly, ranked, seed, odd)


def _fold_any(
    store: SQLStore,
    plain: SQLStore,
    plan: list[tuple[int, int, int, bool]],
    orderly: bool,
    ranked: bool,
    seed: int,
    odd: list[Any],
) -> None:
    generator = random.Random(seed)
    values = iter(
        lambda: generator.choice(odd) if generator.random() < 0.4 else generator.random(), 2
    )
    run = wire.new_id()
    for each in (store, plain):
        each.create_run({"id": run, "folder": "/", "status": "running"}, "ada")
        if ranked:
            each.update_run(
                run,
                {"writers": {f"w{i}": {"kind": "metrics", "rank": 2 - i} for i in range(3)}},
            )
    ends = [0, 0, 0]
    bodies = []
    for place, (writer, count, late, folds) in enumerate(plan):
        rows = rows_of(generator, ends[writer], count, orderly, values)
        bodies.append(
            (
                place + late * 1.5,
                Span(f"w{writer}", ends[writer], ends[writer] + count),
                rows,
                folds,
            )
        )
        ends[writer] += count
    for _, span, rows, folds in sorted(bodies, key=lambda body: body[0]):
        for each in (store, plain):
            assert each.add_metrics(run, rows, span).stored == rows.count
        if folds:
            store.fold()
            same_series(store.series(run, ["a", "b"]), plain.series(run, ["a", "b"]))
    while True:
        found = plain.series(run, ["a", "b"])
        same_series(store.series(run, ["a", "b"]), found)
        assert store.extent(run) == plain.extent(run)
        assert store.get_run(run)["metrics"].keys() == plain.get_run(run)["metrics"].keys()
        # An alert looks back until a body is too old: that asks for time that goes on.
        for window in (10**6, 5000) if orderly else ():
            one, other = (each.recent_values(run, ["a", "b"], window) for each in (store, plain))
            assert {name: len(recent) for name, recent in one.items()} == {
                name: len(recent) for name, recent in other.items()
            }
        for axis in AXES:
            for name, series in found.items():
                # As many buckets as rows: no cell is narrow enough to stand for its rows.
                for most, ends_ in ((1000, (None, None)), (1000, (3, 11))):
                    (cut,) = store.cut(run, [name], axis, most, *ends_).values()
                    same_buckets(cut, buckets.cut(series, axis, most, *ends_))
                cut = store.cut(run, [name], axis, 3)[name]
                assert cut.count.sum() == np.isfinite(getattr(series, axis)).sum()
        if not store.fold():
            break
    assert counted(store)["bodies"] == 0


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("axis", AXES)
def test_a_cut_of_a_folded_series_is_exact_but_for_where_its_buckets_part(
    store: SQLStore, axis: Axis
) -> None:
    run = new_run(store)
    for first in range(0, 3000, 30):
        store.add_metrics(run, walk(first, first + 30), Span("w", first, first + 30))
    fold_all(store)
    assert counted(store)["level 4"] >= 1
    store.add_metrics(run, walk(3000, 3010), Span("w", 3000, 3010))
    series = store.series(run, ["x"])["x"]
    x = getattr(series, axis)
    for most in (1, 2, 7, 30, 100, 500, 2999, 3010, 5000):
        check_cut(store.cut(run, ["x"], axis, most)["x"], series, axis, most)
        for low, high in ((0, 100), (17, 2903), (1000, 1001), (2990, 3009)):
            ends = {"start": x[low].item(), "end": x[high].item()}
            check_cut(store.cut(run, ["x"], axis, most, **ends)["x"], series, axis, most, **ends)
    for most in (1, 7, 100, 3010):
        for asked in ({}, {"start": x[17].item()}, {"end": x[2903].item()}):
            log = {"log": True, **asked}
            cut = store.cut(run, ["x"], axis, most, **log)["x"]
            check_cut(cut, series, axis, most, **log)
            # The first row is at step 0 and at time 0.
            assert cut.left_out == int(axis != "timestamp" and not asked)


@pytest.mark.usefixtures("small")
def test_a_series_that_is_partly_below_zero_is_cut_above_it(store: SQLStore) -> None:
    run = new_run(store)
    for first in range(0, 1200, 30):
        rows = walk(first, first + 30)
        rows.blocks[0].words[1] = ((np.arange(first, first + 30) - 500) / 8).view(np.uint64)
        store.add_metrics(run, rows, Span("w", first, first + 30))
    fold_all(store)
    series = store.series(run, ["x"])["x"]
    for most in (5, 40, 2000):
        cut = store.cut(run, ["x"], "time", most, log=True)["x"]
        check_cut(cut, series, "time", most, log=True)
        assert cut.left_out == 501
    assert len(store.cut(run, ["x"], "time", 5, end=-1.0, log=True)["x"].count) == 0


# ---- Along another metric ----------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_a_series_along_another_metric_is_cut_as_its_rows_are(
    store: SQLStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paired row by row, whether folded or not; the oracle pairs two whole series."""
    monkeypatch.setattr(pairs, "_WAITING_MAX", 64)
    run = new_run(store)
    for first in range(0, 600, 30):
        rows = walk(first, first + 30, ("x", "y"))
        x, y = rows.blocks[0].words[3:].view(np.float64)
        y[first % 7], y[first % 5], x[first % 11] = math.nan, -math.inf, math.inf
        store.add_metrics(run, rows, Span("w", first, first + 30))
    fold_all(store)
    store.add_metrics(run, walk(600, 610, ("x", "y")), Span("w", 600, 610))
    store.add_metrics(run, walk(610, 625, ("x",)), Span("w", 610, 625))
    found = store.series(run, ["x", "y"])
    x, y = (found[name].values.view(np.float64) for name in ("y", "x"))
    y = y[: len(x)]
    for most in (1, 10, 200, 5000):
        for ends in ((None, None), (-1.0, 2.0), (0.5, None), (None, -1.0), (90.0, 91.0)):
            for log in (False, True):
                cut = store.cut(run, ["x"], MetricAxis("y"), most, *ends, log=log)["x"]
                window = buckets.Window(most, *ends, log)
                same_buckets(cut, buckets.cut_rows(x, y, window))
                placed = np.isfinite(x) & ((x > 0) | (not log))
                assert cut.left_out == (15 + (~placed).sum() if ends == (None, None) else 0)


@pytest.mark.usefixtures("small")
def test_ranks_are_paired_each_with_itself(store: SQLStore) -> None:
    run = new_run(store)
    store.update_run(run, {"writers": {f"w{i}": {"kind": "metrics", "rank": i} for i in range(2)}})
    for first in range(0, 120, 20):
        for writer in ("w0", "w1"):
            rows = walk(first, first + 20, ("x", "y"))
            rows.blocks[0].words[4] = (np.arange(first, first + 20) + 0.5).view(np.uint64)
            store.add_metrics(run, rows, Span(writer, first, first + 20))
    fold_all(store)
    assert store.cut(run, ["x"], MetricAxis("y"), 60)["x"].count.tolist() == [4] * 60
    alone = store.cut(run, ["x"], MetricAxis("y"), 60, rank=1)["x"]
    assert alone.count.tolist() == [2] * 60
    assert len(store.cut(run, ["x"], MetricAxis("y"), 60, rank=7)["x"].count) == 0
    assert store.cut(run, ["x"], MetricAxis("none"), 60)["x"].left_out == 240
    assert store.cut(run, ["none"], MetricAxis("y"), 60) == {}


@pytest.mark.usefixtures("small")
def test_too_many_rows_along_another_metric_are_refused_but_not_a_part_of_them(
    store: SQLStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(store)
    for first in range(0, 300, 30):
        rows = walk(first, first + 30, ("x", "y"))
        rows.blocks[0].words[4] = np.arange(first, first + 30, dtype=np.float64).view(np.uint64)
        store.add_metrics(run, rows, Span("w", first, first + 30))
    fold_all(store)
    monkeypatch.setattr(pairs, "ROWS_MAX", 100)
    with pytest.raises(ValueError, match="ask for a narrower range of y"):
        store.cut(run, ["x"], MetricAxis("y"), 10)
    assert store.cut(run, ["x"], MetricAxis("y"), 10, 100, 139)["x"].count.tolist() == [4] * 10


@pytest.mark.usefixtures("small")
def test_ranks_of_a_shared_run_are_cut_together_and_alone(store: SQLStore) -> None:
    run = new_run(store)
    facts = {f"w{rank}": {"kind": "metrics", "rank": rank} for rank in range(3)}
    store.update_run(run, {"writers": facts})
    for first in range(0, 600, 20):
        for writer in facts:
            store.add_metrics(run, walk(first, first + 20), Span(writer, first, first + 20))
    fold_all(store)
    together = store.cut(run, ["x"], "step", 20)["x"]
    assert together.count.sum() == 1800
    # 30 steps of three ranks, and a third of them more or less on either side.
    assert 60 <= together.count.min() <= together.count.max() <= 120
    series = store.series(run, ["x"])["x"]
    y = buckets.floats(series.values, series.kinds)
    assert together.min.min() == y.min()
    assert together.max.max() == y.max()
    alone = store.cut(run, ["x"], "step", 20, rank=1)["x"]
    assert series.rank is not None
    check_cut(alone, series.take(series.rank == 1), "step", 20)
    assert len(store.cut(run, ["x"], "step", 20, rank=7)["x"].count) == 0


def test_what_is_asked_of_a_run_that_is_not_there(store: SQLStore) -> None:
    run = new_run(store)
    assert store.cut(run, ["x"], "step", 10) == {}
    with pytest.raises(ValueError, match="cannot be cut into 0 buckets"):
        store.cut(run, ["x"], "step", 0)
    with pytest.raises(NoSuchRun):
        store.cut("N" * wire.ID_SIZE, ["x"], "step", 10)
    store.delete_run(run)
    with pytest.raises(RunGone):
        store.cut(run, ["x"], "step", 10)


# ---- What is folded, and when -----------------------------------------------------------------


def test_few_rows_of_a_run_that_goes_on_stay_until_it_rests(store: SQLStore, clock: Clock) -> None:
    run = new_run(store)
    for first in range(0, 5000, 500):
        store.add_metrics(run, walk(first, first + 500), Span("w", first, first + 500))
    assert fold_all(store) == 0
    clock.now += folding.IDLE_S - 1
    store.add_metrics(run, walk(5000, 5001), Span("w", 5000, 5001))
    assert fold_all(store) == 0
    clock.now += folding.IDLE_S
    fold_all(store)
    assert counted(store) == {"bodies": 0, "level 0": 1}


def test_a_run_that_ended_is_folded_at_once(store: SQLStore) -> None:
    run = new_run(store)
    for first in range(0, 5000, 500):
        store.add_metrics(run, walk(first, first + 500), Span("w", first, first + 500))
    store.update_run(run, {"status": "completed"})
    fold_all(store)
    assert counted(store) == {"bodies": 0, "level 0": 1}


def test_one_row_a_second_for_a_day_is_a_handful_of_folds(
    embedded: SQLStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Method: a sixteenth of the limit, a hundredth of the rows; each body has one."""
    store = embedded
    monkeypatch.setattr(folding, "BODIES", 16)
    written = []
    replace = fold.replace

    def counting(connection: Any, found: Any, folded: Any) -> None:
        written.extend(one.columns[5] for one in folded)
        replace(connection, found, folded)

    monkeypatch.setattr(fold, "replace", counting)
    run = new_run(store)
    for number in range(864):
        store.add_metrics(run, walk(number, number + 1), Span("w", number, number + 1))
        store.fold()
    fold_all(store)
    found = counted(store)
    assert found["bodies"] < 16
    # Each row once for each doubling of its fold, and a fold of each size: log2(864 / 16) < 6.
    assert found["level 0"] <= 6
    assert sum(written) < 6 * 864


def test_full_folds_have_about_64k_rows_and_wide_ones_a_million_points(store: SQLStore) -> None:
    assert fold.full_rows(1) == fold.full_rows(16) == 65_536
    assert fold.full_rows(1000) == 1048
    run = new_run(store)
    for first in range(0, 260_000, 26_000):
        rows = walk(first, first + 26_000, ("x", "y"))
        store.add_metrics(run, rows, Span("w", first, first + 26_000))
    fold_all(store)
    with store._reading() as connection:
        sizes = [rows for (rows,) in connection.execute("SELECT rows FROM fold ORDER BY first")]
    assert sum(sizes) == 234_000
    assert all(50_000 < size < 100_000 for size in sizes)
    series = store.series(run, ["x", "y"])
    assert (series["y"].step == np.arange(260_000)).all()


def test_metrics_logged_together_share_their_axes(store: SQLStore) -> None:
    """Fifty metrics of a row cost less than two and a half times as much as ten do."""
    sizes = {}
    for metrics in (1, 21):
        run = new_run(store)
        rows = walk(0, 65_536, tuple(f"m{i}" for i in range(metrics)))
        store.add_metrics(run, rows, Span("w", 0, rows.count))
        fold_all(store)
        with store._reading() as connection:
            (axes,) = connection.execute(
                "SELECT sum(length(axes)) FROM fold JOIN shape ON shape.key = shape "
                "JOIN run ON run.key = run WHERE run.id = ?",
                (run,),
            ).fetchone()
        sizes[metrics] = axes / 65_536
    # Step and timestamp are progressions, the time all but one.
    assert sizes[21] < 1.1 * sizes[1] < 2.2


def test_folds_of_smooth_series_take_much_less_room_than_bodies(store: SQLStore) -> None:
    run = new_run(store)
    rows = walk(0, 65_536, ("x",))
    rows.blocks[0].words[3] = np.sin(np.arange(65_536) * 1e-3).view(np.uint64)
    store.add_metrics(run, rows, Span("w", 0, rows.count))
    with store._reading() as connection:
        (before,) = connection.execute("SELECT sum(length(chunk)) FROM body").fetchone()
    fold_all(store)
    with store._reading() as connection:
        (chunks, summed) = connection.execute(
            "SELECT sum(length(rows)), sum(length(cells)) FROM chunk"
        ).fetchone()
    assert chunks + summed < before / 2
    # Cells of 128 rows with first, last, min and max, and where these lie.
    assert summed < 0.3 * 65_536


# ---- One owner ------------------------------------------------------------------------------


def test_of_two_folders_one_folds_until_it_falls_silent(store: SQLStore, clock: Clock) -> None:
    run = new_run(store, status="completed")
    for first in range(0, 4000, 500):
        store.add_metrics(run, walk(first, first + 500), Span("w", first, first + 500))

    def folder() -> folding.Folding:
        return folding.Folding(store._reading, store._write, clock)

    first_one, second_one = folder(), folder()
    assert first_one.step()
    store.add_metrics(run, walk(4000, 6000), Span("w", 4000, 6000))
    assert not second_one.step()
    clock.now += leases.LEASE_S + 1
    assert second_one.step()
    # The first slept meanwhile; whatever it thought it had is another's now.
    store.add_metrics(run, walk(6000, 8000), Span("w", 6000, 8000))
    assert not first_one.step()
    assert (store.series(run, ["x"])["x"].step == np.arange(8000)).all()


def test_a_run_deleted_under_a_fold_leaves_nothing(
    store: SQLStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Method: another run takes every key of the deleted one before its fold commits."""
    run = new_run(store, status="completed")
    store.add_metrics(run, walk(0, 5000), Span("w", 0, 5000))
    encode = fold.encode
    other = []

    def slow(found: Any) -> Any:
        folded = encode(found)
        store.delete_run(run)
        other.append(new_run(store, status="completed"))
        store.add_metrics(other[0], walk(100, 5100), Span("w", 0, 5000))
        return folded

    monkeypatch.setattr(fold, "encode", slow)
    store.fold()
    monkeypatch.undo()
    assert counted(store) == {"bodies": 1}
    fold_all(store)
    assert (store.series(other[0], ["x"])["x"].step == np.arange(100, 5100)).all()


def test_a_deleted_run_frees_its_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL frees its room by itself."""
    monkeypatch.setattr("simvue.server.store.sqlite._FREE_MIN", 1 << 20)
    store = SQLiteStore(str(tmp_path))
    run = new_run(store)
    for first in range(0, 600_000, 60_000):
        rows = walk(first, first + 60_000, ("x", "y"))
        store.add_metrics(run, rows, Span("w", first, first + 60_000))
    fold_all(store)
    store.delete_run(run)
    assert counted(store) == {"bodies": 0}
    fold_all(store)
    with store._reading() as connection:
        pages, free = (
            connection.execute(f"PRAGMA {count}").fetchone()[0]
            for count in ("page_count", "freelist_count")
        )
    store.close()
    # 9 MB were there; less than one is unused now.
    assert pages * 16_384 < 3 << 20
    assert free * 16_384 < 1 << 20


# ---- The server -----------------------------------------------------------------------------


def test_the_server_folds_what_came_and_answers_the_same(server: Server) -> None:
    run = server.new_run()
    rows = [
        {
            "values": {"x": math.sin(step)},
            "time": step / 1000,
            "timestamp": wire.format_timestamp(START_US + step * 1000),
            "step": step,
        }
        for step in range(3000)
    ]
    for first in range(0, 3000, 500):
        server.send_rows(run, rows[first : first + 500], "W" * wire.ID_SIZE, first)

    def ask() -> list[bytes]:
        asked = [{"metrics": '["x"]', "xaxis": "time", "max_points": most} for most in (0, 100)]
        path = f"/runs/{run}/series"
        return [server.ask("GET", path, params=parameters).content for parameters in asked]

    before = ask()
    assert msgpack.unpackb(before[0])["x"]["values"] == struct.pack(
        "<3000d", *(math.sin(step) for step in range(3000))
    )
    server.put(f"/runs/{run}", {"status": "completed"})

    def folds() -> int:
        with closing(
            sqlite3.connect(f"file:{server.data / 'simvue.db'}?mode=ro", uri=True)
        ) as database:
            return int(
                database.execute(
                    "SELECT count(*) FROM fold JOIN shape ON shape.key = shape "
                    "JOIN run ON run.key = run WHERE run.id = ?",
                    (run,),
                ).fetchone()[0]
            )

    eventually(lambda: folds() == 1, "its fold")
    assert ask() == before
    assert server.get("/metrics/span", runs=f'["{run}"]')["max_step"] == 2999


# ---- Damage ---------------------------------------------------------------------------------


def test_an_audit_counts_folded_rows_and_finds_what_lacks(tmp_path: Path) -> None:
    store = SQLiteStore(str(tmp_path))
    run = new_run(store, status="completed")
    for first in range(0, 6000, 2000):
        store.add_metrics(
            run, walk(first, first + 2000, ("x", "y")), Span("w", first, first + 2000)
        )
    fold_all(store)
    store.close()
    found = audit(tmp_path)
    assert (found.rows, found.faults) == (6000, [])
    _spoil(tmp_path, "UPDATE chunk SET rows = zeroblob(length(rows)) WHERE metric = 1")
    assert any("fold 1, metric y: " in fault for fault in audit(tmp_path).faults)
    _spoil(tmp_path, "DELETE FROM chunk WHERE metric = 1")
    assert audit(tmp_path).faults == ["fold 1 has no chunk of metric y"]
    _spoil(tmp_path, "DELETE FROM fold")
    (fault,) = audit(tmp_path).faults
    assert fault == f"writer w of run {run}: 6000 rows are noted as stored and are not there"


def test_a_damaged_fold_is_told_from_a_whole_one(tmp_path: Path) -> None:
    store = SQLiteStore(str(tmp_path))
    run = new_run(store, status="completed")
    store.add_metrics(run, walk(0, 3000), Span("w", 0, 3000))
    fold_all(store)
    store.close()
    _spoil(
        tmp_path,
        "UPDATE chunk SET rows = "
        "CAST(substr(rows, 1, 500) || x'5555' || substr(rows, 503) AS BLOB)",
    )
    store = SQLiteStore(str(tmp_path))
    try:
        with pytest.raises(StoreError, match="are damaged"):
            store.series(run, ["x"])
    finally:
        store.close()


def test_a_damaged_body_keeps_nobody_elses_from_being_folded(tmp_path: Path) -> None:
    store = SQLiteStore(str(tmp_path))
    runs = [new_run(store, status="completed") for _ in range(3)]
    for run in runs:
        store.add_metrics(run, walk(0, 3000), Span("w", 0, 3000))
    store.close()
    _spoil(tmp_path, "UPDATE body SET chunk = substr(chunk, 1, 100) WHERE key = 1")
    store = SQLiteStore(str(tmp_path))
    try:
        with pytest.raises(StoreError, match="damaged"):
            fold_all(store)
        fold_all(store)
        assert counted(store) == {"bodies": 1, "level 0": 2}
    finally:
        store.close()


def _spoil(directory: Path, sql: str) -> None:
    connection = sqlite3.connect(directory / "simvue.db")
    with connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(sql)
    connection.close()
