"""``simvue demo``: what a newcomer runs first, and what tells anybody that the whole road works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fix_server import Server

from simvue import Client
from simvue.cli.demo import on_paper
from simvue.cli.demo.comparison import Comparison
from simvue.cli.demo.engines import room
from simvue.cli.demo.paper import Paper

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

# A row of the table: name, logged, stored, rows/s, p99, exact, page.
ROW = re.compile(r"^(\w+) +([\d,]+) +([\d,]+) +([\d,]+) +([\d.]+) us  (yes|no) +(http\S+)$", re.M)


@pytest.mark.parametrize(
    ("options", "engines"),
    [([], []), (["--store", "postgresql", "--blobs", "s3"], ["postgres", "seaweed"])],
    ids=["alone", "engines"],
)
def test_every_number_of_every_example_comes_back(
    options: list[str], engines: list[str], request: pytest.FixtureRequest
) -> None:
    for engine in engines:
        # Skips where it is not installed; the demo starts its own.
        request.getfixturevalue(engine)
    with room() as place:
        check_demo(["--data", str(place / "data"), *options])
        # The embedded store did not do the work of the other one.
        assert (place / "data" / "simvue.db").exists() is not bool(engines)
        assert (place / "data" / "postgresql").exists() is bool(engines)


def check_demo(options: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "simvue", "demo", "--once", *options],
        cwd=ROOT,
        # Settings of whoever runs it must not reach the examples.
        env={**os.environ, "SIMVUE_URL": "http://127.0.0.1:1", "SIMVUE_TOKEN": "wrong"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = {row[0]: row[1:] for row in ROW.findall(done.stdout)}
    assert sorted(table) == [example.stem for example in EXAMPLES]
    for logged, stored, _, _, exact, _ in table.values():
        assert stored == logged
        assert exact == "yes"
    assert table["lorenz96"][0] == "200,000"


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_on_paper_an_example_says_the_same_twice(script: Path) -> None:
    """The demo's oracle is a second run of the script: it must not depend on chance or time."""
    said = [repr(on_paper(script, [("--steps", "7")]).sheets) for _ in range(2)]
    assert said[0] == said[1]
    assert "values=[" in said[0]


def test_lorenz96_reports_its_own_speed() -> None:
    code = (
        "import runpy, sys, simvue\n"
        "from simvue.cli.demo.paper import Paper\n"
        "vars(simvue)['Run'] = Paper().Run\n"
        "sys.argv = ['lorenz96.py', '--steps', '1000']\n"
        "runpy.run_path('examples/lorenz96.py', run_name='__main__')\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    report = json.loads(said.stdout.splitlines()[-1])
    assert report["rows"] == 1000
    assert report["rows_per_s"] > 0
    assert report["p99_us"] > 0


# What is said on paper, and what is sent in its place: each difference is found, alone.
ROW_SENT = {
    "step": 3,
    "time": 0.5,
    "timestamp": "2026-01-31T12:00:00.000000",
    "values": {"x": 1.0},
}
SAID = {"metrics": {"x": 1.0}, "step": 3, "time": 0.5, "timestamp": ROW_SENT["timestamp"]}


def compare(
    server: Server, row: dict[str, object], said: dict[str, object], times: int = 1, **run: object
) -> tuple[int, list[str]]:
    """Send *row* so many times, say *said* once; return the rows stored and what differs."""
    members = {"tags": ["a"], "metadata": {"k": 1}, **run}
    identifier = server.new_run(name="held-against-paper", status="completed", **members)
    server.send_rows(identifier, [row] * times)
    event = {"message": "m", "timestamp": ROW_SENT["timestamp"], "log_level": "info"}
    assert server.send("/events", {"run": identifier, "events": [event]}).status_code == 200
    paper = Paper().Run()
    paper.init("held-against-paper", {"k": 1}, ["a"], None, "/tests")
    paper.log_metrics(**said)
    paper.log_event("m", ROW_SENT["timestamp"])
    paper.close()
    with Client(server_url=server.url, server_token=server.token) as client:
        found = Comparison(client, identifier, paper.sheet, (0.0, 2.0e9))
    return found.rows, list(found.differences())


def test_what_came_back_exactly_differs_in_nothing(server: Server) -> None:
    assert compare(server, ROW_SENT, SAID) == (1, [])


@pytest.mark.parametrize(
    ("row", "said", "word"),
    [
        ({"values": {"x": 1.0000000000000002}}, {}, "value"),
        ({"values": {"x": 1}}, {}, "value"),
        ({"values": {"x": -0.0}}, {"metrics": {"x": 0.0}}, "value"),
        ({"values": {"x": True}}, {"metrics": {"x": 1}}, "value"),
        ({"values": {"x": 2**53}}, {"metrics": {"x": 2**53 + 1}}, "value"),
        ({"values": {"x": 0.0}}, {"metrics": {"x": float("nan")}}, "value"),
        ({"values": {"y": 1.0}}, {"metrics": {"y": 1.0, "x": 1.0}}, "missing"),
        ({"values": {"x": 1.0, "y": 1.0}}, {}, "never logged"),
        ({"step": 4}, {}, "step"),
        ({"time": 0.25}, {}, "time"),
        ({"timestamp": "2026-01-31T12:00:00.000001"}, {}, "timestamp"),
        ({"time": -1.0}, {"time": None}, "time"),
        ({"timestamp": "2050-01-31T12:00:00.000000"}, {"timestamp": None}, "timestamp"),
    ],
    ids=str,
)
def test_the_comparison_sees_a_row_that_differs(
    server: Server, row: dict[str, object], said: dict[str, object], word: str
) -> None:
    _, differences = compare(server, {**ROW_SENT, **row}, {**SAID, **said})
    assert len(differences) == 1
    assert word in differences[0]


def test_the_comparison_sees_a_row_that_is_there_twice(server: Server) -> None:
    rows, differences = compare(server, ROW_SENT, SAID, times=2)
    assert rows == 2
    assert len(differences) == 1
    assert "2" in differences[0]


@pytest.mark.parametrize(
    "run",
    [
        {"tags": ["a", "b"]},
        {"metadata": {"k": 1.0}},
        {"metadata": {}},
        {"description": "another"},
        {"folder": "/elsewhere"},
    ],
    ids=str,
)
def test_the_comparison_sees_a_run_that_differs(server: Server, run: dict[str, object]) -> None:
    _, differences = compare(server, ROW_SENT, SAID, **run)
    assert len(differences) == 1
    assert next(iter(run)) in differences[0]
