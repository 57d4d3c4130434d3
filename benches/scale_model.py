"""Scale on paper: what a load asks of each part of the server, and which part is full first.

::

    Load ──> Demand ──> shares of the parts that cannot simply be doubled ──> the first to be full
      │        │
      │        └──────> nodes, requests and bytes of S3, rows of PostgreSQL ──> Prices ──> money
    Costs: what one of each costs, measured

``python -m benches.scale_model`` prints the tables of ``docs/design/scale.md``.  Files that it is
given are what ``python -m benches.bench_store`` and ``bench_ingest`` print: their figures take the
place of those written down here.  ``--costs`` prints every input and where it comes from.

It is arithmetic of means and one factor for peaks.  What it leaves out stands in the document.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

DAY_S: Final = 86_400
MONTH_S: Final = 30 * DAY_S
FULL: Final = 0.7
"""The share of a part's capacity at which it counts as full: beyond it, queues grow (chosen)."""


def _input(value: float, source: str) -> Any:
    return field(default=value, metadata={"source": source})


@dataclass(frozen=True)
class Costs:
    """What one of each thing costs."""

    request_s: float = _input(0.5e-3, "event loop, docs/design/server.md, 2 cores, 2026-11")
    point_s: float = _input(0.11e-6, "550 ns a row of 5, docs/design/server.md, 2 cores, 2026-11")
    chart_s: float = _input(2e-3, "1,000 pixels of any series, docs/design/store.md, 2026-11")
    l0_bytes: float = _input(7.1, "a point before folding, docs/design/store.md, 2026-11")
    l1_bytes: float = _input(
        2.3, "a point folded, mean of two mixes, docs/design/store.md, 2026-11"
    )
    fold_points_s: float = _input(5.6e6, "points a second a core, first measurements, 2026-11")
    embedded_points_s: float = _input(7.6e6, "the whole road, README.md, 2 cores, 2026-11")
    run_bytes: float = _input(
        6e3, "3.8 kB embedded with 20 attributes, 2026-11; half again: estimate"
    )
    chunk_bytes: float = _input(150, "a row of the catalogue with its index: estimate")
    metadata_s: float = _input(0.4e-3, "a run of 20 attributes in a group, embedded, 2026-11")
    pg_body_s: float = _input(
        0.45e-3, "of a core: 4,500 such transactions/s, PG 15, 2 cores, 2026-11"
    )
    pg_commit_s: float = _input(1.0e-3, "one such transaction alone, the same run")
    pg_query_s: float = _input(3.7e-3, "filter of 100k runs, PG 15, first measurements, 2026-11")
    pg_write_factor: float = _input(2, "bytes of log and of table for a byte of body: estimate")


@dataclass(frozen=True)
class Sizes:
    """What the parts are; chosen, the largest that one buys without asking anybody."""

    node_cores: float = _input(8, "a node that answers, or one that folds")
    embedded_disk: float = _input(4e12, "one NVMe disk")
    pg_cores: float = _input(16, "a PostgreSQL primary")
    pg_disk: float = _input(4e12, "what is still restored within a working day")
    pg_log_bytes_s: float = _input(500e6, "a fast volume's sequential writes")
    object_bytes: float = _input(8 << 20, "an object of sealed chunks")
    full_fold_rows: float = _input(65_536, "docs/design/store.md")
    bodies_folded: float = _input(
        256, "bodies that wait to be folded at most, docs/design/store.md"
    )


@dataclass(frozen=True)
class Prices:
    """Dollars: list prices of a large cloud in 2025, from memory; put your own here."""

    node_month: float = _input(290, "8 cores, 32 GB")
    pg_month: float = _input(1_400, "16 cores, 128 GB, managed")
    pg_gb_month: float = _input(0.115, "a gigabyte of its disk")
    disk_gb_month: float = _input(0.08, "a gigabyte of an embedded store's disk")
    s3_gb_month: float = _input(0.021, "a gigabyte stored, beyond the first steps")
    s3_put: float = _input(0.005 / 1000, "one PUT")
    s3_get: float = _input(0.0004 / 1000, "one GET")


@dataclass(frozen=True)
class Load:
    """What is asked of the server; the runs of a day are alike."""

    runs_per_day: float
    points_per_run: float
    run_s: float = 3600
    metrics_per_row: float = 5
    flush_s: float = 1
    body_points_max: float = 42_000
    """A mebibyte of 25 bytes a point: such a body goes without waiting for its flush."""
    beat_s: float = 60
    writes_per_run: float = 8
    """Registration, start, tags, metadata, end."""
    queries_per_run: float = 50
    """Pages and clients that look at it or list it; half of them draw a chart."""
    gets_per_chart: float = 4
    kept_days: float = 1000
    peak: float = 3
    """The busiest hour against the mean."""

    @property
    def runs_kept(self) -> float:
        """Runs that are stored when none is older than it may be."""
        return self.runs_per_day * self.kept_days

    @property
    def points_kept(self) -> float:
        """Points that are stored then."""
        return self.runs_kept * self.points_per_run

    @property
    def bodies_per_run(self) -> float:
        """Bodies that a run sends: one a flush while there are rows, more if they are many."""
        flushes = min(self.run_s / self.flush_s, self.points_per_run / self.metrics_per_row)
        return max(flushes, self.points_per_run / self.body_points_max)

    def per_second(self, per_run: float) -> float:
        """Return the mean rate of what each run does *per_run* times."""
        return self.runs_per_day * per_run / DAY_S


class Demand(NamedTuple):
    """What a load comes to: rates at the peak if nothing else is said."""

    points: float
    points_mean: float
    bodies: float
    metadata: float
    queries: float
    api_cores: float
    fold_cores: float
    pg_rows: float
    pg_bytes: float
    s3_bytes: float
    s3_puts_month: float
    s3_gets_month: float


def demand(load: Load, costs: Costs, sizes: Sizes) -> Demand:
    """Return what *load* asks for."""
    points_mean = load.per_second(load.points_per_run)
    bodies = load.per_second(load.bodies_per_run) * load.peak
    metadata = load.per_second(load.writes_per_run + load.run_s / load.beat_s) * load.peak
    queries = load.per_second(load.queries_per_run) * load.peak
    rows_per_run = load.points_per_run / load.metrics_per_row
    # Of each fold a row of the catalogue for its axes and one for each metric.
    chunks = math.ceil(rows_per_run / sizes.full_fold_rows) * (1 + load.metrics_per_row)
    # Attributes and sums of metrics are rows of their own.
    rows_of_run = 1 + 20 + load.metrics_per_row
    # What waits to be folded, of the runs that are running at the peak.
    running = load.per_second(load.run_s) * load.peak
    waiting = min(
        sizes.full_fold_rows * load.metrics_per_row,
        load.points_per_run,
        sizes.bodies_folded * load.points_per_run / load.bodies_per_run,
    )
    s3_bytes = load.points_kept * costs.l1_bytes
    return Demand(
        points=points_mean * load.peak,
        points_mean=points_mean,
        bodies=bodies,
        metadata=metadata,
        queries=queries,
        api_cores=(bodies + metadata + queries) * costs.request_s
        + points_mean * load.peak * costs.point_s
        + queries * costs.chart_s / 2,
        # What is not folded in a busy hour is folded in a quiet one.
        fold_cores=points_mean / costs.fold_points_s,
        pg_rows=load.runs_kept * (rows_of_run + chunks),
        pg_bytes=load.runs_kept * (costs.run_bytes + chunks * costs.chunk_bytes)
        + running * waiting * costs.l0_bytes,
        s3_bytes=s3_bytes,
        s3_puts_month=points_mean * costs.l1_bytes / sizes.object_bytes * MONTH_S,
        s3_gets_month=load.per_second(load.queries_per_run / 2 * load.gets_per_chart) * MONTH_S,
    )


# ---- What is full first -----------------------------------------------------------------------

EMBEDDED: Final = {
    "one event loop": "PostgreSQL and more nodes",
    "one writer": "PostgreSQL and more nodes",
    "one disk": "PostgreSQL and S3",
    "one core of folding": "PostgreSQL and more nodes",
}
"""The parts of the embedded store that cannot be doubled, and what takes over."""

SCALED: Final = {
    "folding": "a lease per range of runs",
    "bodies": "JetStream as ingest log",
    "log": "JetStream as ingest log",
    "metadata lock": "distributed PostgreSQL, a lock per shard",
    "reads": "read replicas",
    "size": "distributed PostgreSQL",
}
"""The same of nodes before one PostgreSQL primary and S3."""


def embedded_shares(found: Demand, costs: Costs, sizes: Sizes) -> dict[str, float]:
    """Return what share of each part of one embedded server *found* takes."""
    requests = found.bodies + found.metadata + found.queries
    shares = (
        requests * costs.request_s,
        found.points / costs.embedded_points_s,
        (found.s3_bytes + found.pg_bytes) / sizes.embedded_disk,
        found.fold_cores,
    )
    return dict(zip(EMBEDDED, shares, strict=True))


def scaled_shares(found: Demand, costs: Costs, sizes: Sizes) -> dict[str, float]:
    """Return what share of each part of the scale-out server *found* takes."""
    shares = (
        found.fold_cores,
        found.bodies * costs.pg_body_s / sizes.pg_cores,
        found.points * costs.l0_bytes * costs.pg_write_factor / sizes.pg_log_bytes_s,
        found.metadata * costs.metadata_s,
        found.queries * costs.pg_query_s / sizes.pg_cores,
        found.pg_bytes / sizes.pg_disk,
    )
    return dict(zip(SCALED, shares, strict=True))


class Plan(NamedTuple):
    """How *load* is served: on which engine, by how many machines, for how much a month."""

    load: Load
    found: Demand
    engine: str
    shares: dict[str, float]
    nodes: int
    primaries: int
    dollars_month: float

    @property
    def first(self) -> str:
        """The part that is full first."""
        return max(self.shares, key=lambda part: self.shares[part])

    @property
    def next(self) -> str:
        """What takes over there."""
        return (EMBEDDED if self.engine == "embedded" else SCALED)[self.first]


def plan(
    load: Load, costs: Costs | None = None, sizes: Sizes | None = None, prices: Prices | None = None
) -> Plan:
    """Choose the smallest engine that serves *load*, count its machines and their price."""
    costs, sizes, prices = costs or Costs(), sizes or Sizes(), prices or Prices()
    found = demand(load, costs, sizes)
    shares = embedded_shares(found, costs, sizes)
    if max(shares.values()) <= FULL:
        disk = (found.s3_bytes + found.pg_bytes) / 1e9 * prices.disk_gb_month
        return Plan(load, found, "embedded", shares, 1, 0, prices.node_month + disk)
    shares = scaled_shares(found, costs, sizes)
    # Two at least, so that one may die; those that fold are beside them.
    nodes = max(2, _machines(found.api_cores / sizes.node_cores))
    nodes += _machines(found.fold_cores / sizes.node_cores)
    of_primary = [share for part, share in shares.items() if part != "folding"]
    primaries = _machines(max(of_primary))
    dollars = (
        nodes * prices.node_month
        # Each with a standby and its disk.
        + 2 * primaries * prices.pg_month
        + 2 * found.pg_bytes / 1e9 * prices.pg_gb_month
        + found.s3_bytes / 1e9 * prices.s3_gb_month
        + found.s3_puts_month * prices.s3_put
        + found.s3_gets_month * prices.s3_get
    )
    return Plan(load, found, "PG + S3", shares, nodes, primaries, dollars)


def _machines(share: float) -> int:
    return max(1, math.ceil(share / FULL))


# ---- Costs from the benches --------------------------------------------------------------------

_FIGURES: Final = {
    "l0_bytes": ("bytes_per_point",),
    "l1_bytes": ("smooth bytes", "noisy bytes"),
    "fold_points_s": ("smooth points_per_s", "noisy points_per_s"),
}
"""Which figures of the benches a cost is the mean of."""


def measured(costs: Costs, figures: dict[str, float]) -> Costs:
    """Return *costs* with those replaced of which *figures* has all that it takes."""
    found = {
        cost: sum(figures[name] for name in names) / len(names)
        for cost, names in _FIGURES.items()
        if all(name in figures for name in names)
    }
    if "largest ms" in figures:
        found["chart_s"] = figures["largest ms"] / 1e3
    return replace(costs, **found)


# ---- Tables ------------------------------------------------------------------------------------

RUNS: Final = tuple(10.0**n for n in range(2, 7))
POINTS: Final = tuple(10.0**n for n in range(9, 16))


def more_runs() -> list[Load]:
    """Return loads of ever more runs of a million points."""
    return [Load(runs, 1e6) for runs in RUNS]


def more_points() -> list[Load]:
    """Return loads of a thousand runs a day, ever larger ones."""
    return [_load(1e3, points) for points in POINTS]


def _load(runs_per_day: float, points_kept: float) -> Load:
    return Load(runs_per_day, points_kept / (runs_per_day * Load.kept_days))


_HEADINGS: Final = (
    "runs a day", "points kept", "points/s", "bodies/s", "engine", "nodes", "primaries",
    "rows in PG", "PG", "chunks", "PUTs a month", "$ a month", "first to be full", "at", "then",
)  # fmt: skip


def table(plans: Iterable[Plan]) -> Iterator[str]:
    """Yield the lines of a table in Markdown, a row for each of *plans*."""
    yield f"| {' | '.join(_HEADINGS)} |"
    yield f"|{'---|' * len(_HEADINGS)}"
    for one in plans:
        found = one.found
        scaled = one.engine != "embedded"
        cells = (
            short(one.load.runs_per_day),
            short(one.load.points_kept),
            short(found.points),
            short(found.bodies),
            one.engine,
            str(one.nodes),
            str(one.primaries) if scaled else "",
            short(found.pg_rows) if scaled else "",
            f"{short(found.pg_bytes)}B" if scaled else "",
            f"{short(found.s3_bytes)}B",
            short(found.s3_puts_month) if scaled else "",
            f"{one.dollars_month:,.0f}",
            one.first,
            f"{one.shares[one.first]:.0%}",
            one.next,
        )
        yield f"| {' | '.join(cells)} |"


def short(number: float) -> str:
    """Write *number* with two digits that mean something and a letter for its thousands."""
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size * 0.9995:
            return _two_digits(number / size) + letter
    return _two_digits(number)


def _two_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 9.95 else f"{number:.2g}"


def grid(costs: Costs) -> Iterator[str]:
    """Yield the lines of a table of what is full first: runs a day by points kept."""
    yield f"| runs a day | {' | '.join(f'{short(points)} points' for points in POINTS)} |"
    yield f"|{'---|' * (1 + len(POINTS))}"
    for runs in RUNS:
        plans = [plan(_load(runs, points), costs) for points in POINTS]
        cells = [f"{one.first} {one.shares[one.first]:.0%}" for one in plans]
        yield f"| {short(runs)} | {' | '.join(cells)} |"


def ranks_max(costs: Costs, flush_s: float = Load.flush_s) -> float:
    """Return how many ranks may share a run: their bodies take turns under the run's lock."""
    return FULL * flush_s / costs.pg_commit_s


def document(costs: Costs) -> Iterator[str]:
    """Yield the lines of all tables."""
    yield "### More runs: a million points each"
    yield ""
    yield from table(plan(load, costs) for load in more_runs())
    yield ""
    yield "### More points: a thousand runs a day"
    yield ""
    yield from table(plan(load, costs) for load in more_points())
    yield ""
    yield "### The first to be full"
    yield ""
    yield from grid(costs)


def inputs(*groups: Any) -> Iterator[str]:
    """Yield a line for each input: its name, its value, its source."""
    for group in groups:
        values = asdict(group)
        declared: tuple[Field[Any], ...] = fields(group)
        for one in declared:
            yield f"{one.name:18} {values[one.name]:<12g} {one.metadata['source']}"


def main() -> None:
    """Print the tables, with the figures of the files that are named."""
    parser = argparse.ArgumentParser(
        prog="python -m benches.scale_model", description="What a load asks of the server."
    )
    parser.add_argument("figures", nargs="*", type=Path, help="JSON that a bench printed")
    parser.add_argument("--costs", action="store_true", help="print the inputs and their sources")
    arguments = parser.parse_args()
    costs = Costs()
    for path in arguments.figures:
        costs = measured(costs, json.loads(path.read_text()))
    if arguments.costs:
        print("\n".join(inputs(costs, Sizes(), Prices())))
        return
    print("\n".join(document(costs)))


if __name__ == "__main__":
    main()
