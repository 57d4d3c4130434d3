"""The model of scale: its arithmetic against cases done by hand, and what the document says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benches import scale_model
from benches.scale_model import Costs, Load, Prices, Sizes, demand, plan

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "design" / "scale.md"

# A run a second of 5,000 points in 100 s: a thousand rows, ten of them in each of 100 bodies.
SMALL = Load(86_400, 5_000, run_s=100, peak=1)


def test_rates_are_those_of_a_hand_computed_load() -> None:
    found = demand(SMALL, Costs(), Sizes())
    assert found.points == found.points_mean == 5_000
    assert found.bodies == pytest.approx(100)
    assert found.metadata == pytest.approx(8 + 100 / 60)
    assert found.queries == pytest.approx(50)
    # 86.4 million runs of 5 kpoints at 2.3 bytes.
    assert found.s3_bytes == pytest.approx(86_400 * 1000 * 5000 * 2.3)
    # A run, 20 attributes, 5 metrics; one fold of six chunks.
    assert found.pg_rows == pytest.approx(86.4e6 * (26 + 6))
    # Half of the queries are charts of four ranges each: 100 a second.
    assert found.s3_gets_month == pytest.approx(100 * 30 * 86_400)
    assert found.s3_puts_month == pytest.approx(5000 * 2.3 / (8 << 20) * 30 * 86_400)


def test_the_peak_is_of_rates_and_not_of_what_is_kept_or_folded() -> None:
    mean, peak = (demand(Load(86_400, 5_000, 100, peak=n), Costs(), Sizes()) for n in (1, 3))
    assert peak.bodies == 3 * mean.bodies
    assert peak.points == 3 * mean.points
    assert peak.s3_bytes == mean.s3_bytes
    assert peak.fold_cores == mean.fold_cores


@pytest.mark.parametrize(
    ("points", "bodies"),
    [(50, 10), (5_000_000, 3600), (42_000 * 10_000, 10_000)],
    ids=["ten rows", "a flush a second", "full bodies"],
)
def test_a_run_sends_bodies_as_the_shipper_does(points: float, bodies: float) -> None:
    assert Load(1, points).bodies_per_run == bodies


def test_shares_are_demand_over_capacity() -> None:
    costs, sizes = Costs(), Sizes()
    shares = scale_model.scaled_shares(demand(SMALL, costs, sizes), costs, sizes)
    assert shares["bodies"] == pytest.approx(100 * costs.pg_body_s / sizes.pg_cores)
    assert shares["folding"] == pytest.approx(5_000 / costs.fold_points_s)
    assert shares["metadata lock"] == pytest.approx((8 + 100 / 60) * costs.metadata_s)
    assert shares["log"] == pytest.approx(5_000 * 7.1 * 2 / 500e6)


def test_one_core_of_folding_is_full_at_the_load_that_the_page_names() -> None:
    """0.7 of 5.6 million points a second, all day, is 3.4 * 10^11 points."""
    a_day = scale_model.FULL * Costs().fold_points_s * 86_400
    assert a_day == pytest.approx(3.4e11, rel=0.01)
    assert "3.4 * 10^11 points a day" in PAGE.read_text()
    for factor, processes in ((0.99, 1), (1.01, 2)):
        cores = demand(Load(1000, factor * a_day / 1000), Costs(), Sizes()).fold_cores
        assert -(-cores // scale_model.FULL) == processes


def test_the_engine_changes_where_the_embedded_one_is_full() -> None:
    disk = 0.7 * Sizes().embedded_disk
    points = disk / Costs().l1_bytes / (1000 * 1000)
    assert plan(Load(1000, points * 0.9)).engine == "embedded"
    assert plan(Load(1000, points * 1.1)).engine == "PG + S3"


@pytest.mark.parametrize(
    ("load", "first", "then"),
    [
        (Load(1e3, 1e6), "one disk", "PostgreSQL and S3"),
        (Load(1e6, 1e6), "bodies", "JetStream as ingest log"),
        (Load(1e3, 1e9), "folding", "a lease per range of runs"),
        (Load(1e6, 1e2), "size", "distributed PostgreSQL"),
    ],
    ids=repr,
)
def test_what_is_full_first_is_what_the_page_says(load: Load, first: str, then: str) -> None:
    found = plan(load)
    assert (found.first, found.next) == (first, then)


def test_every_engine_that_takes_over_is_on_the_page() -> None:
    page = PAGE.read_text()
    for engine in {*scale_model.EMBEDDED.values(), *scale_model.SCALED.values()}:
        assert engine in page
    assert f"{scale_model.ranks_max(Costs()):.0f} ranks" in page


def test_money_is_machines_disks_and_requests() -> None:
    found = plan(Load(1e3, 1e3)).dollars_month
    stored = 1e6 * 1e3 * 2.3 + plan(Load(1e3, 1e3)).found.pg_bytes
    assert found == pytest.approx(290 + stored / 1e9 * 0.08)
    large = plan(Load(1e4, 1e6))
    prices = Prices(0, 0, 0, 0, s3_gb_month=1, s3_put=0, s3_get=0)
    assert plan(Load(1e4, 1e6), prices=prices).dollars_month == pytest.approx(23_000)
    assert (large.nodes, large.primaries) == (3, 1)


def test_the_tables_of_the_page_are_those_that_the_program_prints() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "benches.scale_model"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert printed.strip() in PAGE.read_text()


def test_figures_of_the_benches_take_the_place_of_those_written_down(tmp_path: Path) -> None:
    figures = {"smooth bytes": 1.0, "noisy bytes": 3.0, "largest ms": 4.0, "another": 5.0}
    costs = scale_model.measured(Costs(), figures)
    assert (costs.l1_bytes, costs.chart_s) == (2.0, 0.004)
    assert costs.fold_points_s == Costs().fold_points_s
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(figures))
    printed = subprocess.run(
        [sys.executable, "-m", "benches.scale_model", "--costs", str(path)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "l1_bytes           2 " in printed


def test_every_input_names_its_source() -> None:
    lines = list(scale_model.inputs(Costs(), Sizes(), Prices()))
    assert all(len(line.split(maxsplit=2)) == 3 for line in lines)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.5, "0.5"), (6.94, "6.9"), (125, "125"), (9_960, "10k"), (999_900, "1M"), (2.3e15, "2.3P")],
)
def test_numbers_are_short(number: float, text: str) -> None:
    assert scale_model.short(number) == text
