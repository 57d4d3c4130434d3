"""Two servers on one PostgreSQL and one S3: whichever is asked, the answer is that of the store."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import requests
from fix_node import Node, eventually
from fix_nodes import Nodes, Sender, Starter, compare, differences, rows
from fix_server import Server, good
from fix_store import Clock, Engine

from simvue import wire
from simvue._columns import Block, Rows
from simvue.cli.demo.engines import Postgres
from simvue.client import Client
from simvue.remote import Remote
from simvue.server.store import Span, folding
from simvue.server.store import rows as row_sql
from simvue.server.store.blobs import Upload

NEWS_S_MAX = 5.0
"""What news take between two nodes: a fraction of a second on an idle machine."""


def listen(server: Server, **parameters: str) -> Iterator[tuple[str, Any]]:
    """Open a stream and return the events that follow its ``hello``."""
    events = Remote(server.url, server.token).listen("/live", parameters)
    assert next(events) == ("hello", {})
    return events


def meter(server: Server, name: str) -> float:
    """Return a figure of the server's own."""
    answer = requests.get(
        f"{server.url}/metrics", headers={"Authorization": f"Bearer {server.token}"}, timeout=30
    )
    found = re.search(rf"^{name} (\S+)$", answer.text, re.MULTILINE)
    return float(found[1]) if found else 0.0


# ---- Rows ------------------------------------------------------------------------------------


def test_rows_of_one_writer_sent_to_both_are_stored_once_and_read_whole_at_either(
    nodes: Nodes, rng: random.Random
) -> None:
    """Method: pieces that overlap, in any order, eight at a time, some to both at once."""
    run, writer, count = nodes[0].new_run(), wire.new_id(), 6000
    pieces = [(first, min(count, first + rng.randint(100, 400))) for first in range(0, count, 100)]
    pieces += [(rng.randrange(count - 100), 0) for _ in range(40)]
    pieces = [(first, end or first + 100) for first, end in pieces]
    whole = list(itertools.product(pieces, nodes))
    rng.shuffle(whole)

    def send(one: tuple[tuple[int, int], Server]) -> int:
        (first, end), node = one
        stored: int = node.send_rows(run, rows(first, end), writer, first)["stored"]
        return stored

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(send, whole)) == count
    for node in nodes:
        assert node.get(f"/runs/{run}/writers") == {writer: [[0, count]]}
        with Client(server_url=node.url, server_token=node.token) as client:
            for name, factor in (("x", 1), ("y", 7)):
                series = client.get_series(run, name)
                assert list(series.step) == list(range(count))
                assert list(series.values) == [factor * number for number in range(count)]
        assert node.get(f"/runs/{run}")["metrics"]["x"]["count"] == count


def test_an_official_clients_body_that_comes_to_both_at_once_is_stored_once(nodes: Nodes) -> None:
    """It numbers no rows; its retry may be sent another way while the first is under way."""
    run = nodes[0].new_run()
    said = [{"message": "m", "log_level": "info", "timestamp": "2026-01-01T00:00:00.000001"}]
    bodies = [{"run": run, "metrics": rows(first, first + 20)} for first in range(1, 400, 20)]

    def send(one: tuple[dict[str, Any], Server]) -> int:
        body, node = one
        stored: int = good(node.send("/metrics", body))["stored"]
        return stored

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(send, itertools.product(bodies, [*nodes, *nodes]))) == 400
    assert [
        good(node.send("/events", {"run": run, "events": said}))["stored"] for node in nodes
    ] == [1, 0]


def test_a_reader_never_sees_half_a_body(engine: Engine, rng: random.Random) -> None:
    """Two write and one folds meanwhile; each body has 50 rows of x and of y."""
    writing = [engine.open() for _ in range(1 if engine.kind == "sqlite" else 2)]
    store = writing[-1]
    run, _ = store.create_run({"folder": "/", "status": "running"}, "ada")
    over = threading.Event()

    def write(number: int) -> None:
        for first in range(0, 3000, 50):
            words = np.zeros((5, 50), np.uint64)
            words[0] = words[3] = np.arange(first, first + 50)
            words[4] = 7 * words[3]
            body = Rows(run, 50, [Block(("x", "y"), bytes([1, 1]), None, words)])
            writing[number % len(writing)].add_metrics(
                run, body, Span(f"w{number}", first, first + 50)
            )

    def fold() -> None:
        while not over.is_set():
            store.fold()

    looks = 0
    with ThreadPoolExecutor(3) as threads:
        folder = threads.submit(fold)
        writers = [threads.submit(write, number) for number in range(2)]
        try:
            while not all(one.done() for one in writers):
                found = store.series(run, ["x", "y"])
                looks += 1
                if found:
                    assert (found["x"].step == found["y"].step).all()
                    assert (7 * found["x"].values == found["y"].values).all()
                    assert len(found["x"].step) % 50 == 0
        finally:
            over.set()
        folder.result()
        for one in writers:
            one.result()
    assert looks > 3
    assert len(store.series(run, ["x"])["x"].step) == 6000


def test_what_the_faults_are_looked_for_with_finds_what_is_lost_or_doubled(nodes: Nodes) -> None:
    """Rows 70 to 79 are never sent, and 50 to 59 by two writers."""
    run = nodes[0].new_run()
    for writer, first, end in (("a", 0, 70), ("a", 80, 100), ("b", 50, 60)):
        nodes[0].send_rows(run, rows(first, end), writer * 22, first)
    lost, doubled = differences(nodes[1], run, 100)
    assert (lost.tolist(), doubled.tolist()) == (list(range(70, 80)), list(range(50, 60)))
    assert differences(nodes[1], run, 60)[0].tolist() == []


# ---- Runs and news ---------------------------------------------------------------------------


def test_a_run_made_at_one_is_seen_changed_and_deleted_at_the_other(nodes: Nodes) -> None:
    one, other = nodes
    run = one.new_run(metadata={"mesh": 3})
    other.put(f"/runs/{run}", {"metadata": {"solver": "cg"}, "status": "completed"})
    found = one.get(f"/runs/{run}")
    assert (found["status"], found["metadata"]) == ("completed", {"mesh": 3, "solver": "cg"})
    other.delete(f"/runs/{run}")
    assert one.ask("GET", f"/runs/{run}").status_code == 404
    late = one.send("/metrics", {"run": run, "metrics": rows(0, 1)})
    assert late.status_code == 410


def test_news_of_rows_runs_and_aborts_reach_who_listens_at_the_other(nodes: Nodes) -> None:
    one, other = nodes
    run = one.new_run()
    events = listen(other, runs=run)
    one.send_rows(run, rows(0, 10))
    # Behind that of its creation, perhaps.
    assert ("rows", {"run": run}) in itertools.islice(events, 2)
    one.put(f"/runs/{run}", {"description": "changed"})
    assert next(events) == ("run", {"run": run})
    begun = time.monotonic()
    one.put(f"/runs/{run}/abort", {"reason": "enough"})
    both = sorted(itertools.islice(events, 2))
    assert both == [("abort", {"run": run, "reason": "enough"}), ("run", {"run": run})]
    assert time.monotonic() - begun < NEWS_S_MAX


def test_an_abort_at_one_reaches_a_simulation_whose_shipper_speaks_to_the_other(
    nodes: Nodes, tmp_path: Path
) -> None:
    node = Node(tmp_path, nodes[1])
    try:
        process = node.start("""
            run = Run(abort_callback=lambda run: print("> aborted", flush=True))
            run.config(abort_on_alert="ignore")
            run.init("idle")
            print(">", run.id, flush=True)
            sys.stdin.readline()
            run.close()
        """)
        assert process.stdout is not None
        said = (line[2:].strip() for line in process.stdout if line.startswith("> "))
        run = next(said)
        begun = time.monotonic()
        nodes[0].put(f"/runs/{run}/abort", {"reason": "enough"})
        assert next(said) == "aborted"
        assert time.monotonic() - begun < NEWS_S_MAX
        process.communicate("\n", timeout=60)
    finally:
        node.close()


def test_a_token_of_one_works_at_the_other(nodes: Nodes) -> None:
    one, other = nodes
    assert one.token != other.token
    for asked, token in ((one, other.token), (other, one.token)):
        answer = asked.ask("GET", "/whoami", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, answer.text


def test_an_artifact_sent_to_one_is_fetched_at_the_other(nodes: Nodes) -> None:
    one, other = nodes
    content = os.urandom(3 << 20)
    made = one.post(
        "/artifacts",
        {
            "name": "field",
            "size": len(content),
            "checksum": hashlib.sha256(content).hexdigest(),
            "mime_type": "application/octet-stream",
        },
    )
    # The link of one is as good at the other.
    link = made["url"].replace(one.url, other.url)
    assert requests.put(link, data=content, timeout=60).status_code == 200
    for node in nodes:
        found = node.get(f"/artifacts/{made['id']}")
        assert found["uploaded"]
        assert requests.get(found["url"], timeout=60).content == content


def test_who_is_silent_becomes_lost_once(nodes: Nodes) -> None:
    before = sum(meter(node, "simvue_runs_lost_total") for node in nodes)
    silent = [node.new_run(heartbeat_timeout=1) for node in nodes for _ in range(5)]
    for run in silent:
        eventually(lambda run=run: nodes[0].get(f"/runs/{run}")["status"] == "lost", "its loss")
    for node in nodes:
        assert {node.get(f"/runs/{run}")["status"] for run in silent} == {"lost"}
    assert sum(meter(node, "simvue_runs_lost_total") for node in nodes) - before == len(silent)


@pytest.mark.timeout(300)
def test_ten_thousand_runs_made_at_once_are_all_there(nodes: Nodes) -> None:
    """Two thousand by themselves from 32 threads, the others in batches of five hundred."""
    folder = f"/at-once/{wire.new_id()}"

    def ask(node: Server, session: requests.Session, value: Any) -> Any:
        while True:
            answer = session.post(
                f"{node.url}/api/runs",
                json=value,
                headers={"Authorization": f"Bearer {node.token}"},
                timeout=60,
            )
            if answer.status_code != 503:
                return good(answer)
            assert answer.headers["Retry-After"]
            time.sleep(0.1)  # the server asked for it

    def singly(number: int) -> list[str]:
        with requests.Session() as session:
            node, made = nodes[number % 2], []
            for i in range(2000 // 32 + (number < 2000 % 32)):
                run = {"folder": folder, "name": f"single-{number}-{i}"}
                # With an id of its own, as ours come, or without one.
                run |= {"id": wire.new_id()} if i % 2 else {}
                made.append(ask(node, session, run)["id"])
            return made

    def batched(number: int) -> list[str]:
        with requests.Session() as session:
            batch = [{"folder": folder, "name": f"batch-{number}-{i}"} for i in range(500)]
            return [run["id"] for run in ask(nodes[number % 2], session, batch)]

    with ThreadPoolExecutor(48) as threads:
        found = [
            *threads.map(singly, range(32)),
            *threads.map(batched, range(16)),
        ]
    made = [run for some in found for run in some]
    assert len(made) == len(set(made)) == 10_000
    for node in nodes:
        listed = node.get("/runs", filters=json.dumps([f"folder.path == {folder}"]), count=1)
        assert listed["count"] == 10_000


# ---- One of them folds -----------------------------------------------------------------------

SMALL = """
from simvue.server import lifecycle
from simvue.server.store import fold, leases
fold.ROWS, leases.LEASE_S, lifecycle.FOLD_PAUSE_S = 200, 2.0, 1.0
"""


@pytest.mark.crash
@pytest.mark.parametrize("trouble", [signal.SIGKILL, signal.SIGSTOP])
def test_one_folds_and_if_it_dies_or_hangs_the_other(
    fresh_nodes: Starter, fresh_database: str, bucket: str, trouble: signal.Signals
) -> None:
    nodes = fresh_nodes(fresh_database, bucket, SMALL)

    def folds() -> list[float]:
        return [meter(node, "simvue_fold_seconds_count") for node in nodes]

    def fold_some(at: Server) -> str:
        run = at.new_run()
        for first in range(0, 1000, 100):
            at.send_rows(run, rows(first, first + 100), "w" * 22, first)
        at.put(f"/runs/{run}", {"status": "completed"})
        with psycopg.connect(fresh_database, autocommit=True) as database:
            eventually(
                lambda: database.execute(
                    "SELECT 1 WHERE NOT EXISTS (SELECT FROM body) AND NOT EXISTS "
                    "(SELECT FROM fold WHERE level = 0 AND sealed AND pack IS NULL)"
                ).fetchone(),
                "all is folded and packed",
            )
        return run

    runs = [fold_some(nodes[0])]
    (busy,) = np.flatnonzero(folds())
    busy, other = nodes[busy], nodes[1 - busy]
    busy.process.send_signal(trouble)
    runs.append(fold_some(other))
    assert meter(other, "simvue_fold_seconds_count") > 0
    if trouble == signal.SIGSTOP:
        busy.process.send_signal(signal.SIGCONT)
    else:
        busy.wait()
        busy.restart()
    # It finds that another folds, and both answer.
    runs.append(fold_some(busy))
    for node in nodes:
        with Client(server_url=node.url, server_token=node.token) as client:
            for run in runs:
                assert list(client.get_series(run, "x").values) == list(range(1000))


def whole(run: str, first: int, end: int) -> Rows:
    words = np.zeros((4, end - first), np.uint64)
    words[0] = words[3] = np.arange(first, end)
    return Rows(run, end - first, [Block(("x",), bytes([1]), None, words)])


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_a_body_that_is_committed_behind_later_ones_is_folded_all_the_same(engine: Engine) -> None:
    """Keys are given out before the commit: of two bodies the second may be seen first."""
    clock = Clock(time.time())
    store = engine.open(clock=clock)
    late, quick = (store.create_run({"folder": "/", "status": "running"}, "ada")[0] for _ in "ab")
    with store._begun("BEGIN") as connection:
        row_sql.add_metrics(
            connection, late, row_sql.encode(whole(late, 0, 2000)), 2000,
            Span("w", 0, 2000), [(0, 2000)], None, int(clock() * 1e6),
        )  # fmt: skip
        store.add_metrics(quick, whole(quick, 0, 2000), Span("w", 0, 2000))
        store.fold()
        connection.execute("COMMIT")
    store.update_run(late, {"status": "completed"})
    clock.now += 2 * folding.LATE_S
    while store.fold():
        pass
    with store._reading() as connection:
        assert connection.execute("SELECT count(*) FROM body").fetchone()[0] == 0
    assert store.series(late, ["x"])["x"].step.tolist() == list(range(2000))


def test_what_a_dead_node_began_to_write_is_removed_after_a_day_while_the_others_run(
    engine: Engine, tmp_path: Path
) -> None:
    """Nobody knows that it is dead: what is slow has the day to end."""
    clock = Clock(time.time())
    store = engine.open(clock=clock)
    content = b"some bytes"

    def begin() -> Upload:
        registered = {"name": "a", "size": 10, "checksum": hashlib.sha256(content).hexdigest()}
        upload = store.begin_upload(store.create_artifact(registered, "ada")[0])
        upload.write(content)
        return upload

    def files() -> int:
        return sum(path.is_file() for path in (tmp_path / "store" / "blobs").rglob("*"))

    dead = begin()
    clock.now += 86_000
    slow = begin()
    store.tidy()
    assert files() == 2
    clock.now += 1000
    store.tidy()
    assert files() == 1, "that of the dead is gone"
    slow.finish()
    dead.discard()
    assert files() == 1


# ---- A node that hangs, a database that goes away --------------------------------------------

HANGS = """
import sys, time
from simvue.server.store import open_store, postgres
postgres._SETTINGS = postgres._SETTINGS.replace(
    f"timeout={postgres._IDLE_MAX_MS}", "timeout=2000"
)
store = open_store(sys.argv[1], sys.argv[2])
run = sys.argv[3]

def work(connection):
    connection.execute("UPDATE run SET name = 'torn' WHERE id = ?", (run,))
    print("in", flush=True)
    sys.stdin.readline()

try:
    store._write(work)
except Exception as error:
    print(type(error).__name__, flush=True)
else:
    print("written", flush=True)
"""


@pytest.mark.crash
@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
def test_a_node_that_hangs_in_its_turn_holds_up_the_others_for_a_while_only(
    engine: Engine, tmp_path: Path
) -> None:
    """A minute as delivered, two seconds here; what it had begun is taken back."""
    store = engine.open()
    run, _ = store.create_run({"folder": "/", "name": "whole", "status": "running"}, "ada")
    with subprocess.Popen(
        [sys.executable, "-c", HANGS, engine.url(), str(tmp_path / "blobs"), run],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "in\n"
        child.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        store.create_run({"folder": "/", "status": "running"}, "ada")
        # The turn and the run: both were held.
        store.add_metrics(run, whole(run, 0, 10), Span("w", 0, 10))
        assert time.monotonic() - begun < 20
        child.send_signal(signal.SIGCONT)
        child.communicate("\n")
    assert store.get_run(run)["name"] == "whole"


@pytest.mark.crash
@pytest.mark.timeout(240)
def test_while_the_database_restarts_nodes_say_so_and_go_on_behind_it(
    fresh_postgres: Postgres, fresh_nodes: Starter, tmp_path: Path
) -> None:
    """It is away for longer than a run may be silent, which is no fault of the run's."""
    nodes = fresh_nodes(fresh_postgres.url, str(tmp_path / "blobs"))
    idle = nodes[0].new_run(heartbeat_timeout=8)
    events = listen(nodes[1], runs=idle, topics="run,abort")
    senders = [Sender(nodes, number).start() for number in range(4)]
    eventually(lambda: all(sender.acknowledged > 500 for sender in senders), "rows flow")
    fresh_postgres.stop()
    away = time.monotonic()
    for node in nodes:
        answer = node.ask("GET", "/runs")
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
    time.sleep(max(0.0, away + 11 - time.monotonic()))  # the silence is what is tested
    fresh_postgres.start()
    # Each finds out by itself.
    taken = [sender.acknowledged for sender in senders]
    for node in nodes:
        eventually(lambda node=node: node.ask("GET", "/runs").status_code == 200, "it answers")
    eventually(
        lambda: all(s.acknowledged > n for s, n in zip(senders, taken, strict=True)), "rows flow"
    )
    assert nodes[0].get(f"/runs/{idle}")["status"] == "running"
    # News as well: what was missed is said in one word, and then they come as ever.
    nodes[0].put(f"/runs/{idle}/heartbeat")
    # Behind the birth of the run, if that was told after the stream had begun.
    assert ("hello", {}) in itertools.islice(events, 2)
    nodes[0].put(f"/runs/{idle}/abort", {"reason": "enough"})
    # Behind another hello, from who could not tell, and behind the change of the run.
    assert ("abort", {"run": idle, "reason": "enough"}) in itertools.islice(events, 3)
    for sender in senders:
        sender.finish()
        assert sender.refusals == []
    assert compare(nodes[0], senders) == compare(nodes[1], senders) == (0, 0)
