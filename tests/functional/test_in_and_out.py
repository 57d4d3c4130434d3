"""``simvue import`` and ``simvue export``: files of other programs in, tables for them out."""

from __future__ import annotations

import csv
import io
import json
import math
import struct
from pathlib import Path

import pyarrow.parquet
import pytest
from fix_server import Server
from tensorboardX import SummaryWriter
from test_commands import Shell, folder

from simvue.client import Client


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(tmp_path, server)


@pytest.fixture
def client(server: Server) -> Client:
    return Client(server_url=server.url, server_token=server.token)


def log(directory: Path, steps: range, suffix: str = "") -> None:
    """Write two scalars a step, as a training does."""
    with SummaryWriter(str(directory), write_to_disk=True, filename_suffix=suffix) as writer:
        for step in steps:
            writer.add_scalar("loss/train", 1 / (step + 1), step, walltime=1.7e9 + step)
            writer.add_scalar("lr", 0.5, step, walltime=1.7e9 + step)


def single(value: float) -> float:
    """Round to the 32 bits that an event file has."""
    return struct.unpack("f", struct.pack("f", value))[0]


# ---- In ------------------------------------------------------------------------------------------


def test_an_event_file_is_a_run_and_stays_one_while_it_grows(shell: Shell, client: Client):
    place = folder()
    log(shell.directory / "logs" / "train", range(60))
    (path,) = (shell.directory / "logs" / "train").glob("*")
    whole = path.read_bytes()
    # As it lay on the disk a while before, its last record half written.
    path.write_bytes(whole[: len(whole) // 2])
    (made,) = shell.json(f"import logs --folder {place} --tag tb")
    known = made["rows"]
    assert 40 < known < 80
    assert (made["name"], made["new"]) == ("train", known)
    run = client.get_run(made["run"])
    assert (run["status"], run["folder"], run["tags"]) == ("completed", place, ["tb"])
    assert run["started"].startswith("2023-11-14T22:13:20")
    # Twice the same: nothing is doubled.
    (again,) = shell.json(f"import logs --folder {place}")
    assert (again["run"], again["rows"], again["new"]) == (made["run"], known, 0)
    path.write_bytes(whole)
    (more,) = shell.json("import logs")
    assert (more["run"], more["rows"], more["new"]) == (made["run"], 120, 120 - known)
    series = client.get_series(made["run"], "loss/train")
    assert list(series.step) == list(range(60))
    assert list(series.values) == [single(1 / (n + 1)) for n in range(60)]
    assert list(series.time) == [float(n) for n in range(60)]
    assert client.get_metrics_names(made["run"]) == ["loss/train", "lr"]
    # A copy elsewhere is the same training.
    (shell.directory / "logs").rename(shell.directory / "moved")
    (moved,) = shell.json("import moved")
    assert (moved["run"], moved["new"]) == (made["run"], 0)
    assert shell.run(f"run list -F folder={place}").split() == [made["run"]]


def test_each_directory_of_event_files_is_a_run_with_all_its_files(shell: Shell, client: Client):
    top = shell.directory / "logs"
    log(top / "a", range(10))
    log(top / "a", range(10, 15), ".later")
    log(top / "deep" / "b", range(5))
    made = {one["name"]: one for one in shell.json("import logs")}
    assert {name: one["rows"] for name, one in made.items()} == {"a": 30, "deep/b": 10}
    series = client.get_series(made["a"]["run"], "loss/train")
    assert list(series.step) == list(range(15))
    # The second file goes on where the first ended: a run has one start.
    assert list(series.time) == [float(n) for n in range(15)]
    assert shell.run("import logs --name x", status=2)


def test_a_damaged_event_file_brings_what_is_whole_and_says_so(shell: Shell):
    log(shell.directory / "logs", range(20))
    (path,) = (shell.directory / "logs").glob("*")
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    (made,) = shell.json("import logs")
    assert 0 < made["rows"] < 40
    assert "is damaged; what stands before it is imported" in made["notes"][0]


def test_an_import_that_was_cut_off_goes_on_the_next_time(shell: Shell, client: Client):
    log(shell.directory / "logs", range(10))
    (made,) = shell.json("import logs")
    # As a server that went away between two requests leaves it: made, and without an end.
    shell.server.put(f"/runs/{made['run']}", {"status": "running"})
    shell.json("import logs")
    run = client.get_run(made["run"])
    assert (run["status"], run["metrics"]["lr"]["count"]) == ("completed", 10)
    shell.server.delete(f"/runs/{made['run']}")
    refused = shell.run("import logs", status=1)
    assert "was deleted; --key makes another" in refused
    (other,) = shell.json("import logs --key again")
    assert other["new"] == 20


def test_a_directory_without_numbers_keeps_no_other_out(shell: Shell):
    log(shell.directory / "logs" / "good", range(3))
    with SummaryWriter(str(shell.directory / "logs" / "bad"), write_to_disk=True) as writer:
        writer.add_text("note", "hello", 0)
    told = shell.run("import logs", status=1)
    assert "holds no numbers" in told
    assert shell.run("run list -n --count 5").count("good") == 1


TABLE = """step,time,loss,n,comment
0,0.0,1.5,7,begun
5,0.5,nan,9007199254740993,
10,1.0,0.1,,ended
"""


def test_a_table_is_a_run_with_its_numbers_exactly(shell: Shell, client: Client):
    (shell.directory / "wing.csv").write_text(TABLE)
    (made,) = shell.json("import wing.csv")
    assert (made["name"], made["rows"], made["new"]) == ("wing", 3, 3)
    assert made["notes"] == ["no numbers, and left out: comment"]
    loss = client.get_series(made["run"], "loss")
    assert list(loss.step) == [0, 5, 10]
    assert list(loss.time) == [0.0, 0.5, 1.0]
    assert loss.values[0] == 1.5
    assert math.isnan(loss.values[1])
    assert list(client.get_series(made["run"], "n").values) == [7, 9007199254740993]
    (again,) = shell.json("import wing.csv")
    assert (again["run"], again["new"]) == (made["run"], 0)
    # Another table of that name, though it begins alike, is another run.
    (shell.directory / "wing.csv").write_text(TABLE + "15,1.5,0.05,1,\n")
    (other,) = shell.json("import wing.csv")
    assert (other["run"] != made["run"], other["new"]) == (True, 4)


def test_a_large_table_goes_in_several_requests(shell: Shell, client: Client):
    header = ",".join(f"m{n}" for n in range(50))
    lines = [",".join([str(row)] * 50) for row in range(4000)]
    (shell.directory / "large.csv").write_text("\n".join([header, *lines, ""]))
    (made,) = shell.json("import large.csv")
    assert made["new"] == 4000
    assert list(client.get_series(made["run"], "m49").values) == list(range(4000))
    assert len(shell.server.get(f"/runs/{made['run']}/writers")) == 1


def test_under_one_key_a_table_that_grows_stays_one_run(shell: Shell, client: Client):
    path = shell.directory / "live.csv"
    path.write_text("time;T (K)\n0;300\n1;310\n2;3")
    line = "import live.csv --key job-17 --delimiter ;"
    (made,) = shell.json(line)
    assert made["new"] == 2
    path.write_text("time;T (K)\n0;300\n1;310\n2;320\n3;330\n")
    (more,) = shell.json(line)
    assert (more["run"], more["new"]) == (made["run"], 2)
    assert list(client.get_series(made["run"], "T (K)").values) == [300, 310, 320, 330]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.csv", "step,loss\nfirst,1\n", "x.csv, line 2: step is 'first', which is no number"),
        ("x.csv", "loss,loss\n1,2\n", "two columns have the same name"),
        ("x.csv", b"\xff\xfe\x00", "can't decode"),
        ("x.tfevents", "nonsense is no event file", "is no event file"),
    ],
)
def test_what_cannot_be_imported_is_said_and_makes_no_run(shell: Shell, name, content, told):
    place = folder()
    data = content if isinstance(content, bytes) else content.encode()
    (shell.directory / name).write_bytes(data)
    assert told in shell.run(f"import {name} --folder {place}", status=1)
    assert shell.run(f"run list -F folder={place}") == ""


# ---- Out -----------------------------------------------------------------------------------------


ROWS = [
    {"values": {"loss": 0.1, "n": 2**53 + 1}, "time": 0.1, "step": 0,
     "timestamp": "2026-01-01T00:00:00.000001"},
    {"values": {"loss": float("inf")}, "time": 0.2, "step": 3,
     "timestamp": "2026-01-01T00:00:01.000000"},
]  # fmt: skip


@pytest.fixture
def run(server: Server) -> str:
    made = server.new_run(name="wing, left", metadata={"mesh": {"cells": 5}}, status="completed")
    server.send_rows(made, ROWS)
    return made


def test_series_go_out_as_csv_exactly(shell: Shell, run: str):
    printed = shell.run("export series", run, "-m", "loss", "-m", "n")
    assert list(csv.reader(io.StringIO(printed))) == [
        ["run", "metric", "step", "time", "timestamp", "value", "rank"],
        [run, "loss", "0", "0.1", "2026-01-01T00:00:00.000001", "0.1", ""],
        [run, "loss", "3", "0.2", "2026-01-01T00:00:01.000000", "inf", ""],
        [run, "n", "0", "0.1", "2026-01-01T00:00:00.000001", str(2**53 + 1), ""],
    ]


def test_series_go_out_as_parquet(shell: Shell, run: str):
    assert shell.run("export series -o out.parquet", stdin=run) == "out.parquet: 3 rows"
    table = pyarrow.parquet.read_table(shell.directory / "out.parquet")
    assert table.column("metric").to_pylist() == ["loss", "loss", "n"]
    assert set(table.column("run").to_pylist()) == {run}
    assert table.column("step").to_pylist() == [0, 3, 0]
    assert table.column("value").to_pylist() == [0.1, float("inf"), float(2**53 + 1)]
    assert str(table.schema.field("timestamp").type) == "timestamp[us, tz=UTC]"
    assert table.column("timestamp")[0].value == 1767225600_000001
    assert table.column("rank").null_count == 3


def test_runs_go_out_as_csv_and_parquet(shell: Shell, server: Server):
    place = folder()
    first = server.new_run(folder=place, name="a, b", metadata={"k": 1, "deep": {"x": True}})
    second = server.new_run(folder=place, name="c", metadata={"k": 2.5, "t": "text"}, tags=["q"])
    server.send_rows(first, ROWS[:1])
    condition = f"-F folder={place}"
    rows = {
        row["id"]: row for row in csv.DictReader(io.StringIO(shell.run(f"export runs {condition}")))
    }
    assert rows[first]["name"] == "a, b"
    assert (rows[first]["metadata.k"], rows[second]["metadata.k"]) == ("1", "2.5")
    assert rows[first]["metrics.loss"] == "0.1"
    assert json.loads(rows[second]["tags"]) == ["q"]
    told = shell.json(f"export runs {condition} -o runs.parquet")
    assert told == {"file": "runs.parquet", "format": "parquet", "rows": 2}
    table = pyarrow.parquet.read_table(shell.directory / "runs.parquet").to_pylist()
    found = {row["id"]: row for row in table}
    assert found[first]["metadata.k"] == 1.0
    assert found[first]["metadata.deep.x"] is True
    assert found[second]["metadata.deep.x"] is None
    assert found[second]["metadata.t"] == "text"


def test_a_file_is_there_only_when_it_is_whole(shell: Shell, run: str):
    shell.run("export series -o out.csv", run, "0" * 22, status=1)
    assert list(shell.directory.iterdir()) == []
    assert "named after no format" in shell.run("export runs -o out.xls", status=1)
    assert "name a file with --output" in shell.run("export runs --format parquet", status=1)


def test_what_goes_out_comes_in_again(shell: Shell, run: str, client: Client):
    """One metric of the long form is a table that import reads."""
    shell.run("export series -o out.csv -m loss", run)
    (made,) = shell.json("import out.csv")
    value = client.get_series(made["run"], "value")
    assert list(value.values) == [0.1, float("inf")]
    assert list(value.step) == [0, 3]
    assert list(value.timestamp) == list(client.get_series(run, "loss").timestamp)
