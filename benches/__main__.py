"""Run every bench and print one table: what ``make bench`` does.

The exit status is 0 whatever the figures are, since a busy machine is not a fault; a wrong
answer, a row lost or a sum that differs, ends it with a traceback.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benches import (
    bench_charts,
    bench_engines,
    bench_import,
    bench_ingest,
    bench_latency,
    bench_log,
    bench_outage,
    bench_page,
    bench_path,
    bench_ranks,
    bench_ship,
    bench_store,
)
from benches.loops import dict_s

Figures = dict[str, float]


@dataclass(frozen=True)
class Line:
    """One line of the table; without a *limit* it is there to be known."""

    what: str
    measured: float
    unit: str = ""
    limit: float | None = None
    at_least: bool = False

    @property
    def target(self) -> str:
        """The limit in words."""
        if self.limit is None:
            return ""
        return f"{'>=' if self.at_least else '<='} {self.limit:g}{self.unit}"

    @property
    def met(self) -> str:
        """``yes`` or ``NO``; nothing where there is no limit."""
        if self.limit is None:
            return ""
        kept = self.measured >= self.limit if self.at_least else self.measured <= self.limit
        return "yes" if kept else "NO"

    @property
    def figure(self) -> str:
        """The measured number with three digits that mean something."""
        if math.isnan(self.measured):
            return "-"
        digits = max(0, 2 - math.floor(math.log10(abs(self.measured)))) if self.measured else 0
        return f"{self.measured:,.{min(digits, 3)}f}{self.unit}"


def log_lines(found: Figures) -> Iterator[Line]:
    """Yield the lines of bench_log."""
    call = "log_metrics({5 floats}, step=i)"
    yield Line(f"{call} / empty method, whole loop", found["log_metrics / empty"], "x", 1.5)
    yield Line("  the same loop", found["log_metrics ns"], " ns")
    yield Line("  the loop with the empty method", found["empty ns"], " ns")
    yield Line("  a C floor that only encodes / empty method", found["floor / empty"], "x")
    yield Line(
        "  the same / msgpack.packb of a row that is there", found["log_metrics / packb"], "x", 0.35
    )
    yield Line(
        "  the same / building the row and packb", found["log_metrics / build and packb"], "x"
    )
    yield Line("bound form / empty method with its dict", found["bound / empty"], "x", 0.75)
    yield Line("5 numpy.float64 / empty method with them", found["numpy / empty"], "x", 1.6)


def latency_lines(found: Figures) -> Iterator[Line]:
    """Yield the lines of bench_latency."""
    yield Line("one call, shipper at work / empty method's p50: p50", found["p50"], "x", 2)
    yield Line("  p99", found["p99"], "x", 5)
    yield Line("  p99.9", found["p999"], "x", 30)
    yield Line("  maximum", found["max_ms"], " ms")


def path_lines(found: Figures) -> Iterator[Line]:
    """Yield the lines of bench_path."""
    yield Line(
        "1M rows x 5, first call to all readable, best round, points/s",
        found["points_per_s"] / 1e6, "M", 4, at_least=True,
    )  # fmt: skip
    yield Line("  median round", found["points_per_s_median"] / 1e6, "M")
    yield Line("  the logging alone, best round", found["logged_points_per_s"] / 1e6, "M")


def ingest_lines(found: Figures) -> Iterator[Line]:
    """Yield the lines of bench_ingest."""
    yield Line(
        "ingest in-process, 5 metrics a row, points/s",
        found["points_per_s_5"] / 1e6, "M", 8, at_least=True,
    )  # fmt: skip
    yield Line("  1 metric a row", found["points_per_s_1"] / 1e6, "M")
    yield Line("  1,000 metrics a row", found["points_per_s_1000"] / 1e6, "M")
    yield Line(
        "  decode / msgpack.unpackb of the body",
        found["decode_ns_row"] / found["msgpack_ns_row"],
        "x",
    )
    yield Line("bytes on disk a point, smooth series", found["bytes_per_point"], "", 9.5)


def ship_lines(found: Figures) -> Iterator[Line]:
    """Yield the lines of bench_ship at both flush intervals."""
    yield Line(
        "8 ranks at 1 kHz x 5, flush 1 s: shipper, of a core", found["shipper"] * 100, " %", 5
    )
    yield Line("  server, of a core", found["server"] * 100, " %", 5)
    yield Line("  log to committed, p50", found["latency_p50_s"], " s")
    yield Line("  log to committed, p99", found["latency_p99_s"], " s", 1.2)
    yield Line("  flush 0.1 s: shipper, of a core", found["fast shipper"] * 100, " %")
    yield Line("  flush 0.1 s: server, of a core", found["fast server"] * 100, " %")
    yield Line("  flush 0.1 s: log to committed, p50", found["fast latency_p50_s"] * 1e3, " ms")
    yield Line(
        "  flush 0.1 s: log to committed, p99", found["fast latency_p99_s"] * 1e3, " ms", 150
    )
    yield Line("memory added to a rank beyond its segments", found["memory"] / 2**20, " MiB", 10)
    yield Line("  segments of a rank", found["segments"] / 2**20, " MiB", 1)
    yield Line("threads that poll in the simulation's process", found["polling"], "", 0)


def store_lines(found: Figures) -> Iterator[Line]:
    """Yield the lines of bench_store."""
    yield Line("1,000 pixels of 10^6 rows, in the server", found["million ms"], " ms", 10)
    yield Line(
        "  of the longest series / of 10^6 rows", found["largest ms"] / found["million ms"], "x", 2
    )
    yield Line("  of a tenth of the longest", found["largest zoomed ms"], " ms")
    yield Line("bytes a point folded, smooth mix", found["smooth bytes"], "", 2)
    yield Line("  noisy mix", found["noisy bytes"], "", 5.5)
    yield Line("folding, smooth mix, points/s", found["smooth points_per_s"] / 1e6, "M")
    yield Line(
        "ingest while it is folded, points/s", found["ingest folding"] / 1e6, "M", 3, at_least=True
    )
    yield Line("  without folding", found["ingest alone"] / 1e6, "M")
    yield Line("a small write beside folding, p50", found["write folding p50"], " ms")
    yield Line("  p99", found["write folding p99"], " ms")


def engines_lines(found: Figures) -> Iterator[Line]:
    """Yield the lines of bench_engines."""
    for kind, name, least in (("sqlite", "SQLite", 3), ("postgres", "PostgreSQL, 2 nodes", 2)):

        def figure(what: str, kind: str = kind) -> float:
            return found[f"{kind} {what}"]

        yield Line(
            f"{name}: ingest through HTTP while it folds, points/s",
            figure("points_per_s") / 1e6, "M", least, at_least=True,
        )  # fmt: skip
        yield Line("  1,000 pixels of 10^6 rows", figure("chart of million ms"), " ms", 10)
        yield Line(
            "  of the longest series / of 10^6 rows",
            figure("chart of largest ms") / figure("chart of million ms"), "x", 2,
        )  # fmt: skip
        embedded = kind == "sqlite"
        yield Line(
            "  last value of every metric of 1,000 runs",
            figure("last values ms"), " ms", 20 if embedded else None,
        )  # fmt: skip
        yield Line(
            "  filter and sort of 100,000 runs by 2 attributes",
            figure("filter and sort ms"), " ms", 5 if embedded else None,
        )  # fmt: skip
        yield Line("  a reader's p99 beside 2 writers / idle", figure("reader p99 / idle"), "x", 3)


def import_lines(found: Figures) -> Iterator[Line]:
    """Yield the lines of bench_import."""
    yield Line("import simvue, beside python -c pass", found["import_ms"], " ms", 50)
    yield Line("  from simvue import Run", found["run_ms"], " ms", 50)
    yield Line("  from simvue import Client", found["client_ms"], " ms")
    yield Line("Run.init with a shipper there", found["init_ms"], " ms", 20)
    yield Line("  the first run of a node", found["init_first_ms"], " ms", 500)


def ranks_lines(found: Figures) -> Iterator[Line]:
    """Yield the lines of bench_ranks."""
    yield Line("64 ranks at 100 Hz x 5: shippers", found["shippers"], "", 1)
    yield Line("  Run.init, median", found["init_median_s"] * 1e3, " ms", 20)
    yield Line("  Run.init, the slowest", found["init_max_s"] * 1e3, " ms")
    yield Line("  segments of a rank", found["segments"] / 2**20, " MiB", 1)
    yield Line("  memory added to a rank beyond them", found["memory"] / 2**20, " MiB", 10)


def outage_lines(found: Figures) -> Iterator[Line]:
    """Yield the lines of bench_outage."""
    yield Line("server down / up: p99 of one call, median of 5", found["p99_ratio"], "x", 1.5)
    yield Line(
        "  an hour of 1 kHz, drained, times real time", found["times_real"], "x", 10, at_least=True
    )
    yield Line("  rows/s meanwhile", found["rows_per_s"] / 1e6, "M")


def page_lines(found: Figures) -> Iterator[Line]:
    """Yield the lines of bench_page."""
    yield Line("first useful paint, table of 10,000 runs", found["table_ms"], " ms", 600)
    yield Line("  / an empty page of the server", found["table_ms"] / found["empty_ms"], "x", 4)


def charts_lines(found: Figures) -> Iterator[Line]:
    """Yield the lines of bench_charts."""
    yield Line("first charts of a run of 1,000 metrics", found["wide ms"], " ms", 800)
    yield Line("  / an empty page of the server", found["wide ms"] / found["empty ms"], "x", 4)
    yield Line("20 runs in each of 12 charts", found["overlay ms"], " ms", 1000)
    yield Line("  / an empty page", found["overlay ms"] / found["empty large ms"], "x", 4)
    yield Line("one chart of 10^6 rows, asked for until drawn", found["chart ms"], " ms", 200)
    yield Line("  of 10^8 / of 10^6", found["large ms"] / found["chart ms"], "x", 1.5)
    yield Line("12 charts live at 10 Hz / an empty page: p99 of frames",
               found["live p99"] / found["empty p99"], "x", 3)  # fmt: skip
    yield Line("  p99", found["live p99"], " ms")
    yield Line("  maximum", found["live max"], " ms")
    yield Line("  memory at the end / after a quarter", found["memory"], "x", 1.1)


def measure_ship(seconds: float) -> Figures:
    """Return bench_ship's figures at a flush of 1 s, and as ``fast ...`` at one of 100 ms."""
    found = bench_ship.measure(1.0, seconds)
    fast = bench_ship.measure(0.1, seconds)
    return found | {f"fast {name}": figure for name, figure in fast.items()}


def benches(quick: bool) -> Iterator[tuple[str, Callable[[], list[Line]]]]:
    """Yield the name of every bench and what runs it, in the order of the table."""
    if quick:
        yield "bench_log", lambda: list(log_lines(bench_log.measure(20)))
        yield "bench_latency", lambda: list(latency_lines(bench_latency.measure(100_000)))
        yield "bench_path", lambda: list(path_lines(bench_path.measure(100_000, 2)))
        yield "bench_ingest", lambda: list(ingest_lines(bench_ingest.measure(0.02)))
        yield "bench_store", lambda: list(store_lines(bench_store.measure(0.02)))
        yield "bench_ship", lambda: list(ship_lines(measure_ship(6.0)))
        yield "bench_ranks", lambda: list(ranks_lines(bench_ranks.measure(64, 5.0)))
        yield "bench_outage", lambda: list(outage_lines(bench_outage.measure(360_000, 0.0)))
        yield "bench_import", lambda: list(import_lines(bench_import.measure(3, 1)))
        yield "bench_page", lambda: list(page_lines(bench_page.measure(10_000, 3)))
        yield "bench_charts", lambda: list(charts_lines(bench_charts.measure(5.0, 3, 200_000)))
    else:
        yield "bench_log", lambda: list(log_lines(bench_log.measure()))
        yield "bench_latency", lambda: list(latency_lines(bench_latency.measure()))
        yield "bench_path", lambda: list(path_lines(bench_path.measure()))
        yield "bench_ingest", lambda: list(ingest_lines(bench_ingest.measure()))
        yield "bench_store", lambda: list(store_lines(bench_store.measure(0.1)))
        yield "bench_ship", lambda: list(ship_lines(measure_ship(bench_ship.SECONDS)))
        yield "bench_ranks", lambda: list(ranks_lines(bench_ranks.measure()))
        yield "bench_outage", lambda: list(outage_lines(bench_outage.measure()))
        yield "bench_import", lambda: list(import_lines(bench_import.measure()))
        yield "bench_page", lambda: list(page_lines(bench_page.measure()))
        yield "bench_charts", lambda: list(charts_lines(bench_charts.measure()))


def store_benches(quick: bool) -> Iterator[tuple[str, Callable[[], list[Line]]]]:
    """Yield what ``make bench-store`` runs: both engines, the longest series, real servers."""
    if quick:
        yield "bench_store", lambda: list(store_lines(bench_store.measure(0.02)))
        yield (
            "bench_engines",
            lambda: list(engines_lines(bench_engines.main(5.0, 2_000_000, 5_000))),
        )
    else:
        yield "bench_store", lambda: list(store_lines(bench_store.measure(1.0)))
        yield "bench_engines", lambda: list(engines_lines(bench_engines.main()))


def machine() -> str:
    """Return a line about where this runs: processors, load, and how fast a dict is built here."""
    return (
        f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, "
        f"Linux {platform.release()}, Python {platform.python_version()}; "
        f"a loop that only builds the dict: {dict_s() * 1e9:.0f} ns"
    )


def main() -> None:
    """Run all, and print the table at the end."""
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes instead of six; rough")
    parser.add_argument("--store", action="store_true", help="the store on both engines, at length")
    parser.add_argument("--only", help="one bench, such as bench_log")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    lines = []
    chosen = store_benches if arguments.store else benches
    for name, run in chosen(arguments.quick):
        if arguments.only in (None, name):
            begun = time.monotonic()
            lines += run()
            print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
    print(machine())
    print()
    rows = [("what", "target", "measured", "met"), ("", "", "", "")]
    rows += [(line.what, line.target, line.figure, line.met) for line in lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows[1] = ("-" * widths[0], "-" * widths[1], "-" * widths[2], "-" * widths[3])
    for what, target, measured, met in rows:
        print(
            f"| {what:{widths[0]}} | {target:>{widths[1]}} | {measured:>{widths[2]}} "
            f"| {met:{widths[3]}} |"
        )


if __name__ == "__main__":
    main()
