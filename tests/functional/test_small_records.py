"""Small records of a spool go to the server in few requests, and arrive as if each went alone.

Measured before: a day of one row a second was 86,400 requests and took over three minutes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgpack
import pytest
from fix_node import Node, eventually
from fix_proxy import Proxy
from fix_server import Server

from simvue import spool
from simvue.backlog import Backlog
from simvue.delivery import Outcome
from simvue.destination import Destination
from simvue.spool import Flaw, Record, RecordKind, SpoolFile, list_files, read_records, walk
from simvue.wire import body_header, format_timestamp, new_id

PARCEL_ROWS = 4_000
"""One-row records that are in a body at least, if only one writer's lie there: 900 kB of them."""


X = msgpack.packb("x") + b"\xcb"
"""What stands in each row of ours: the metric, and that a float follows."""


class Spooled:
    """A run that is written into a spool file record by record."""

    def __init__(self, file: SpoolFile, name: str, url: str = "") -> None:
        self.run, self.writer, self.rows = new_id(), new_id(), 0
        self._file = file
        run = {"id": self.run, "name": name, "folder": "/", "status": "running"}
        server = {"url": url} if url else None
        self.call({"call": "open", "run": run, "created": False, "server": server})

    def call(self, call: dict[str, object]) -> None:
        payload = json.dumps(call).encode()
        self._file.append(Record(RecordKind.CALL, self.run, "0" * 22, 0, 1, payload))

    def row(self, row: bytes = b"") -> None:
        """Write a record of one row, by default one whose step is its number."""
        number = self.rows
        self.rows += 1
        whole = row or msgpack.packb(
            {
                "values": {"x": number * 0.5},
                "time": float(number),
                "timestamp": format_timestamp(1_700_000_000_000_000 + number * 1_000_000),
                "step": number,
            }
        )
        body = body_header(self.run, "metrics", 1) + whole
        self._file.append(
            Record(RecordKind.METRICS, self.run, self.writer, number, number + 1, body)
        )

    def close(self) -> None:
        self.call({"call": "update", "changes": {"status": "completed"}})


def check(node: Node, run: Spooled, missing: Sequence[int] = ()) -> None:
    """Assert that the server has every row of *run* once, but for the *missing*."""
    series = node.client.get_series(run.run, "x")
    there = [number for number in range(run.rows) if number not in missing]
    assert list(series.step) == there
    assert list(series.values) == [number * 0.5 for number in there]
    assert node.status(run.run) == "completed"


def bodies(proxy: Proxy, since: int = 0) -> list[bytes]:
    """Return the bodies of rows that came to the proxy, but for what shippers add of their own."""
    return [
        request.body
        for request in proxy.requests[since:]
        if request.path.startswith("/api/metrics") and X in request.body
    ]


def damage(path: Path, row: int) -> None:
    """Flip a bit of the record of that row."""
    end = next(
        end for _, end, content in walk(path) if not isinstance(content, Flaw)
        and (content.kind, content.first) == (RecordKind.METRICS, row)
    )  # fmt: skip
    content = bytearray(path.read_bytes())
    content[end - 1] ^= 1
    path.write_bytes(content)


def ship(node: Node, *arguments: str) -> subprocess.Popen[str]:
    """Start ``simvue ship``."""
    return subprocess.Popen(
        [sys.executable, "-m", "simvue", "ship", *arguments],
        env=node.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.fixture
def file(proxied: tuple[Node, Proxy], monkeypatch: pytest.MonkeyPatch) -> SpoolFile:
    """The file of a spool, which is to be sealed by ``finish``."""
    # To look for room before each of 86,400 records takes longer than all else here.
    monkeypatch.setattr(spool, "check_room", lambda *_: None)
    return SpoolFile(proxied[0].cache / "spool")


# ---- simvue ship -------------------------------------------------------------------------------


def test_a_day_of_a_row_a_second_is_a_few_requests_and_there_once(
    proxied: tuple[Node, Proxy], file: SpoolFile
) -> None:
    node, proxy = proxied
    run = Spooled(file, "a day")
    for _ in range(86_400):
        run.row()
    run.close()
    file.finish(delivered=False)
    told = node.command("ship")
    assert "86400 rows sent, 0 known before; delivered" in told
    check(node, run)
    assert len(bodies(proxy)) <= 86_400 / PARCEL_ROWS
    assert max(map(len, bodies(proxy))) < 1_000_000, "what a proxy lets through by default"
    assert not list_files(node.cache / "spool")


def test_writers_that_take_turns_in_a_file_have_bodies_of_many_rows(
    proxied: tuple[Node, Proxy], file: SpoolFile
) -> None:
    """64 ranks; all that is read ahead holds 8 MiB, in which each has more than 100 rows."""
    node, proxy = proxied
    runs = [Spooled(file, f"rank {rank}") for rank in range(64)]
    for _ in range(400):
        for run in runs:
            run.row()
    for run in runs:
        run.close()
    file.finish(delivered=False)
    node.command("ship")
    for run in runs:
        check(node, run)
    assert len(bodies(proxy)) <= 64 * 400 / 100


def test_calls_keep_their_place_among_the_rows_of_their_run(
    proxied: tuple[Node, Proxy], file: SpoolFile
) -> None:
    node, proxy = proxied
    run, other = Spooled(file, "called"), Spooled(file, "beside it")
    for day in range(3):
        for _ in range(20):
            run.row()
            other.row()
        run.call({"call": "update", "changes": {"metadata": {"day": day}}})
    run.close()
    other.close()
    file.finish(delivered=False)
    node.command("ship")
    check(node, run)
    check(node, other)
    said = [
        request.body[29 + 13 :].count(b"step") if request.method == "POST" else request.method
        for request in proxy.requests
        if run.run.encode() in request.path.encode() + request.body
        and request.method in ("POST", "PUT")
    ]
    assert said == [0, 20, "PUT", 20, "PUT", 20, "PUT", "PUT"]
    assert len([body for body in bodies(proxy) if other.run.encode() in body]) == 1


def test_one_bad_record_in_a_thousand_is_set_aside_alone(
    proxied: tuple[Node, Proxy], file: SpoolFile
) -> None:
    node, proxy = proxied
    run = Spooled(file, "one is bad")
    for number in range(1000):
        run.row(b"\xc1" if number == 500 else b"")
    run.close()
    file.finish(delivered=False)
    process = ship(node)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "999 rows sent, 0 known before, 1 records set aside" in told
    check(node, run, missing=[500])
    (rejected,) = list_files(node.cache / "spool" / "rejected")
    assert [(r.first, r.end) for _, r in read_records(rejected)] == [(500, 501)]
    assert "metrics 500-501" in rejected.with_suffix(".answers").read_text()
    # Two for each halving of a thousand, and the first.
    assert len(bodies(proxy)) <= 2 * 10 + 1


def test_a_damaged_record_among_many_costs_its_rows(
    proxied: tuple[Node, Proxy], file: SpoolFile
) -> None:
    node, proxy = proxied
    run = Spooled(file, "one is damaged")
    for _ in range(1000):
        run.row()
    run.close()
    file.finish(delivered=False)
    (path,) = list_files(node.cache / "spool")
    damage(path, 700)
    process = ship(node)
    process.communicate(timeout=60)
    assert process.returncode == 1
    check(node, run, missing=[700])
    assert len(bodies(proxy)) == 2


def test_a_killed_ship_and_the_next_one_store_every_row_once(
    proxied: tuple[Node, Proxy], file: SpoolFile
) -> None:
    node, proxy = proxied
    run = Spooled(file, "killed")
    for _ in range(8 * PARCEL_ROWS):
        run.row()
    run.close()
    file.finish(delivered=False)
    proxy.only = "/api/metrics"
    proxy.let_pass(2)
    let_go = proxy.hold(1)
    process = ship(node)
    try:
        eventually(lambda: len(bodies(proxy)) == 3, "the third body is on its way")
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    finally:
        let_go.set()
    stored = sum(e - f for r in node.server.get(f"/runs/{run.run}/writers").values() for f, e in r)
    assert 2 * PARCEL_ROWS <= stored < run.rows
    told = node.command("ship")
    assert "0 rows sent" not in told
    check(node, run)
    (ranges,) = node.server.get(f"/runs/{run.run}/writers").values()
    assert ranges == [[0, run.rows]]
    assert not list_files(node.cache / "spool")


def test_ship_for_a_while_begins_no_request_when_the_time_is_up(
    proxied: tuple[Node, Proxy], file: SpoolFile
) -> None:
    node, proxy = proxied
    run = Spooled(file, "hurried")
    for _ in range(3 * PARCEL_ROWS):
        run.row()
    run.close()
    file.finish(delivered=False)
    proxy.only = "/api/metrics"
    let_go = proxy.hold(1)
    # It has two seconds at least, however short the time.
    process = ship(node, "--for", "0.1s")
    eventually(lambda: len(bodies(proxy)) == 1, "the first body is on its way")
    begin = time.monotonic()
    eventually(lambda: time.monotonic() - begin > 2.1, "the time is up")
    let_go.set()
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "stopped (the time is up)" in told
    assert len(bodies(proxy)) == 1
    node.command("ship")
    check(node, run)


# ---- The shipper, after an outage --------------------------------------------------------------


@pytest.fixture
def outage(fresh_server: Server, tmp_path: Path) -> Iterator[tuple[Node, Proxy]]:
    """A node whose server is behind a proxy that answers everything with 503."""
    node, proxy = Node(tmp_path, fresh_server), Proxy(fresh_server)
    node.env["SIMVUE_URL"] = proxy.url
    proxy.say(1 << 30, 503)
    yield node, proxy
    node.close()
    proxy.close()


def test_an_outage_of_sixteen_writers_is_made_up_for_in_few_requests(
    outage: tuple[Node, Proxy],
) -> None:
    node, proxy = outage
    process = node.start(
        """
        runs = [Run() for _ in range(16)]
        for number, run in enumerate(runs):
            run.init(f"writer {number}", timeout=None)
        print(*[run.id for run in runs], flush=True)
        for step in range(100):
            for run in runs:
                run.log_metrics({"x": step * 0.5}, step=step)
            time.sleep(0.06)
        print("logged", flush=True)
        sys.stdin.readline()
        print(*[run.close() for run in runs], flush=True)
        """,
        SIMVUE_FLUSH_INTERVAL="0.01",
        SIMVUE_INIT_TIMEOUT="0.1",
    )
    assert process.stdout is not None
    ids = next(line.split() for line in process.stdout if line.count(" ") == 15)
    assert next(line for line in process.stdout if line == "logged\n")

    def spooled() -> list[Record]:
        return [
            record
            for path in list_files(node.cache / "spool")
            for _, record in read_records(path)
            if record.kind is RecordKind.METRICS and X in record.payload
        ]

    eventually(
        lambda: len({(r.run, n) for r in spooled() for n in range(r.first, r.end)}) == 1600,
        "every row is on disk",
    )
    assert len(spooled()) > 4 * 16, "a record a second and run; there is something to gather"
    since = len(proxy.requests)
    proxy.behave()
    eventually(lambda: not list_files(node.cache / "spool"), "the spool is drained")
    assert len(bodies(proxy, since)) == 16
    output, _ = process.communicate("\n", timeout=60)
    assert output.split()[-16:] == ["True"] * 16
    for run in ids:
        assert node.steps(run) == list(range(100))
        (ranges,) = node.server.get(f"/runs/{run}/writers").values()
        assert ranges == [[0, 100]]


def test_one_bad_record_of_an_outage_is_set_aside_alone(outage: tuple[Node, Proxy]) -> None:
    """What a shipper before left is adopted by this one; a record of it is not understood."""
    node, proxy = outage
    file = SpoolFile(node.cache / "spool")
    run = Spooled(file, "left behind", proxy.url)
    for number in range(200):
        run.row(b"\xc1" if number == 77 else b"")
    run.close()
    file.finish(delivered=False)
    (path,) = list_files(node.cache / "spool")
    proxy.behave()
    process = node.start("""
        run = Run()
        run.init("the next one")
        print(run.id, flush=True)
        sys.stdin.readline()
        run.close()
    """)
    eventually(lambda: not path.exists(), "all of it went")
    check(node, run, missing=[77])
    process.communicate("\n", timeout=60)
    for shipper in node.shippers():
        os.kill(shipper, signal.SIGTERM)
    eventually(lambda: list((node.cache / "spool/rejected").glob("*.done")), "it is sealed")
    (rejected,) = list_files(node.cache / "spool" / "rejected")
    assert [(r.first, r.end) for _, r in read_records(rejected)] == [(77, 78)]


def test_a_record_that_is_damaged_before_it_went_costs_its_rows_and_its_file_is_kept(
    proxied: tuple[Node, Proxy], file: SpoolFile
) -> None:
    node, proxy = proxied
    run = Spooled(file, "rotten", proxy.url)
    for _ in range(200):
        run.row()
    run.close()
    file.finish(delivered=False)
    (path,) = list_files(node.cache / "spool")
    destination = Destination({"url": proxy.url, "token": node.server.token}, lambda: None)
    told: list[Outcome] = []
    backlog = Backlog(
        node.cache / "spool",
        keep=False,
        arrived=lambda run, remote, reply: told.append(reply.outcome),
    )
    backlog.adopt(destination)
    damage(path, 120)

    def drained() -> bool:
        backlog.drain(time.monotonic())
        destination.collect(time.monotonic())
        return backlog.is_drained

    eventually(drained, "what is whole")
    check(node, run, missing=[120])
    assert told.count(Outcome.REJECTED) == 1
    assert list_files(node.cache / "spool") == [path]
    process = ship(node)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert [kept.name for kept in (node.cache / "spool" / "damaged").iterdir()] == [path.name]
