"""Nodes, PostgreSQL and S3 die or fall silent under load: nothing acknowledged is lost or doubled.

Method: senders post numbered rows to any node, again until they are taken, as shippers do; what
was acknowledged is held, row by row and value by value, against what each node answers.
"""

from __future__ import annotations

import hashlib
import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import requests
from fix_disk import Disk
from fix_kill import KILLS, Killer
from fix_node import Node, eventually
from fix_nodes import Balancer, Nodes, Sender, Starter, compare
from fix_server import Server

from simvue.cli.demo.engines import Postgres, SeaweedFS

# Folds and packs come all the time, and what a death left is taken up at once.
SMALL = """
from simvue.server import lifecycle
from simvue.server.store import fold, folding, leases, packs
fold.ROWS, folding.BODIES, packs.FOLDS, leases.LEASE_S = 2000, 4, 2, 2.0
lifecycle.FOLD_PAUSE_S = 1.0
"""

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300 + 20 * KILLS)]


@contextmanager
def sending(nodes: Nodes, rng: random.Random, count: int = 4) -> Iterator[list[Sender]]:
    """Have *count* senders at work; behind it, hold what they sent against what each node has."""
    senders = [Sender(nodes, rng.randrange(2**32)).start() for _ in range(count)]
    try:
        flow(senders)
        yield senders
    except BaseException:
        for sender in senders:
            sender.abandon()
        raise
    for sender in senders:
        sender.finish()
    for sender in senders:
        assert sender.refusals == []
        assert sender.acknowledged > 0
    for node in nodes:
        assert compare(node, senders) == (0, 0), "(lost, doubled)"


def flow(senders: list[Sender], at_least: int = 300) -> None:
    """Wait until each of *senders* had so many more rows acknowledged."""
    wanted = [sender.acknowledged + at_least for sender in senders]
    eventually(
        lambda: all(s.acknowledged >= n for s, n in zip(senders, wanted, strict=True)), "rows flow"
    )


def counted(database: str, table: str) -> int:
    """Return how many rows there are of a *table*, with a condition behind it, perhaps."""
    with psycopg.connect(database, autocommit=True) as connection:
        (found,) = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() or (0,)
    return int(found)


# ---- Nodes -----------------------------------------------------------------------------------


def test_killing_a_node_loses_nothing_that_a_shipper_sends_on_by_the_other(
    fresh_nodes: Starter, fresh_database: str, bucket: str, tmp_path: Path, rng: random.Random
) -> None:
    """Mid-request and mid-commit, by chance; the shipper speaks to whichever node is up."""
    nodes = fresh_nodes(fresh_database, bucket, SMALL)
    balancer = Balancer(nodes)
    node = Node(tmp_path, nodes[0])
    node.env["SIMVUE_URL"] = balancer.url
    killer = Killer(node, rng)
    try:
        for _ in killer.tries("node", max(2, KILLS // 4)):
            victim = killer.start(rows=2_500_000)
            for _ in range(5):
                killer.wait_for_rows(victim)
                killer.note(victim)
                dying = rng.randrange(2)
                node.server = nodes[1 - dying]
                nodes[dying].kill()
                acknowledged = killer.stored(victim)
                # The other has it to itself for a moment.
                killer.wait_for_rows(victim)
                nodes[dying].restart()
                assert killer.stored(victim) >= acknowledged
            output, _ = victim.process.communicate(timeout=90)
            assert "closed True" in output, output
            eventually(lambda v=victim: killer.stored(v) >= v.returned, "what was returned")
            for server in nodes:
                node.server = server
                killer.check(victim)
    finally:
        node.close()
        balancer.close()
    assert killer.toll.lost == killer.toll.doubled == 0


# ---- PostgreSQL ------------------------------------------------------------------------------


def test_killing_postgresql_loses_nothing_acknowledged_and_repeats_nothing(
    fresh_postgres: Postgres, fresh_nodes: Starter, tmp_path: Path, rng: random.Random
) -> None:
    """Mid-commit, by chance: all commit all the time; each body is sent again until it is taken."""
    nodes = fresh_nodes(fresh_postgres.url, str(tmp_path / "blobs"), SMALL)
    with sending(nodes, rng) as senders:
        for _ in range(max(3, KILLS // 2)):
            flow(senders, rng.randint(1, 2000))
            fresh_postgres.kill()
            fresh_postgres.start()
        flow(senders)
    eventually(lambda: counted(fresh_postgres.url, "fold"), "somebody folds again")


# ---- S3 --------------------------------------------------------------------------------------


def upload(node: Server, content: bytes) -> str:
    """Register and send an artifact, again until it is taken; return its id."""
    while True:
        try:
            made = node.ask(
                "POST",
                "/artifacts",
                json={
                    "name": "field",
                    "size": len(content),
                    "checksum": hashlib.sha256(content).hexdigest(),
                    "mime_type": "application/octet-stream",
                },
            )
            status = made.status_code
            if status == 200:
                url = made.json()["url"]
                status = requests.put(url, data=content, timeout=90).status_code if url else 200
            if status == 200:
                return str(made.json()["id"])
        except requests.RequestException:
            continue
        assert status == 503, made.text
        time.sleep(0.1)  # shorter than it asks for


def download(node: Server, artifact: str) -> bytes:
    return requests.get(node.get(f"/artifacts/{artifact}")["url"], timeout=90).content


def test_killing_a_volume_server_loses_neither_artifacts_nor_packs(
    fresh_seaweed: SeaweedFS,
    fresh_nodes: Starter,
    fresh_database: str,
    rng: random.Random,
) -> None:
    """Everything has two copies: what was taken is read from the other, and writing goes on."""
    nodes = fresh_nodes(fresh_database, f"{fresh_seaweed.url}&timeout=3", SMALL)
    kept: dict[str, bytes] = {}
    over = threading.Event()

    def uploads(node: Server) -> None:
        while not over.is_set():
            content = rng.randbytes(rng.choice([100, 1 << 16, 9 << 20]))
            kept[upload(node, content)] = content

    with ThreadPoolExecutor(2) as threads:
        uploading = [threads.submit(uploads, node) for node in nodes]
        try:
            with sending(nodes, rng) as senders:
                for number in range(min(3, max(2, KILLS // 20))):
                    before = (len(kept), counted(fresh_database, "pack"))
                    eventually(lambda b=before: len(kept) > b[0], "artifacts are taken")
                    fresh_seaweed.kill_volume(number)
                    flow(senders)
                    there = len(kept)
                    eventually(lambda n=there: len(kept) > n + 2, "artifacts are taken without it")
                    eventually(
                        lambda b=before: counted(fresh_database, "pack") > b[1], "packs are written"
                    )
                    for artifact, content in list(kept.items()):
                        assert download(rng.choice(nodes), artifact) == content
                    fresh_seaweed.start_volume(number)
                over.set()
                for one in uploading:
                    one.result()
        finally:
            over.set()
    for node in nodes:
        for artifact, content in kept.items():
            assert download(node, artifact) == content


def test_while_s3_answers_nothing_rows_are_taken_and_are_folded_and_packed_behind_it(
    fresh_seaweed: SeaweedFS,
    fresh_nodes: Starter,
    fresh_database: str,
    rng: random.Random,
) -> None:
    """64 readers wait for packs meanwhile, which is more than a node has threads for."""
    nodes = fresh_nodes(fresh_database, f"{fresh_seaweed.url}&timeout=2", SMALL)
    with sending(nodes, rng) as senders:
        eventually(lambda: counted(fresh_database, "pack") > 2, "packs are written")
        # Their caches hold what they wrote; a node that starts anew has to ask.
        for node in nodes:
            node.kill()
            node.restart()
        fresh_seaweed.pause()
        try:
            packs = counted(fresh_database, "pack")
            run = senders[0].run

            def read(number: int) -> int:
                query = {"runs": f'["{run}"]', "metrics": '["x"]', "xaxis": "step"}
                return nodes[number % 2].ask("GET", "/metrics", params=query).status_code

            with ThreadPoolExecutor(64) as readers:
                answers = readers.map(read, range(64))
                for sender in senders:
                    sender.latency_s = 0.0
                flow(senders, 2000)
                # Two seconds for each of three attempts, with pauses; rows do not wait for it.
                assert max(sender.latency_s for sender in senders) < 5
                assert set(answers) <= {200, 503}
            refused = nodes[0].ask(
                "POST",
                "/artifacts",
                json={"name": "a", "size": 1, "checksum": hashlib.sha256(b"a").hexdigest()},
            )
            answer = requests.put(refused.json()["url"], data=b"a", timeout=90)
            assert answer.status_code == 503
            assert answer.headers["Retry-After"]
        finally:
            fresh_seaweed.resume()
        eventually(lambda: counted(fresh_database, "pack") > packs, "packs are written")
        upload(nodes[0], os.urandom(1000))
    for sender in senders:
        nodes[0].put(f"/runs/{sender.run}", {"status": "completed"})
    loose = "fold WHERE level = 0 AND sealed AND pack IS NULL"
    eventually(
        lambda: counted(fresh_database, "body") == counted(fresh_database, loose) == 0,
        "all is folded and packed",
    )
    for node in nodes:
        assert compare(node, senders) == (0, 0)


def test_a_gateway_that_dies_and_comes_back_loses_nothing(
    fresh_seaweed: SeaweedFS, fresh_nodes: Starter, fresh_database: str, rng: random.Random
) -> None:
    """Connections to it are refused, or cut off in the middle of a pack."""
    nodes = fresh_nodes(fresh_database, f"{fresh_seaweed.url}&timeout=2", SMALL)
    with sending(nodes, rng) as senders:
        for _ in range(2):
            packs = counted(fresh_database, "pack")
            eventually(lambda n=packs: counted(fresh_database, "pack") > n, "packs are written")
            fresh_seaweed.kill_gateway()
            flow(senders, 1000)
            fresh_seaweed.start_gateway()
        packs = counted(fresh_database, "pack")
        eventually(lambda: counted(fresh_database, "pack") > packs, "packs are written again")


# ---- The embedded store ----------------------------------------------------------------------


def test_a_full_data_directory_answers_503_keeps_what_it_took_and_goes_on_when_there_is_room(
    tmp_path: Path, disk: Disk, rng: random.Random
) -> None:
    resize = disk(tmp_path / "small", 12)
    server = Server(tmp_path / "small" / "data")
    statuses: list[int] = []
    try:
        with sending([server], rng) as senders:

            def is_full() -> bool:
                answer = server.ask("POST", "/runs", json={"folder": "/", "name": "one more"})
                statuses.append(answer.status_code)
                return answer.status_code == 503 and bool(answer.headers["Retry-After"])

            with pytest.raises(OSError, match="No space"):
                (tmp_path / "small" / "filler").write_bytes(bytes(12 << 20))
            eventually(is_full, "it is full")
            # What is there is read as ever.
            assert server.get(f"/runs/{senders[0].run}")["metrics"]["x"]["count"] > 0
            resize(512)
            flow(senders)
        assert set(statuses) <= {200, 503}
        assert server.stop() == 0
        server.restart()
        assert compare(server, senders) == (0, 0)
    finally:
        server.kill()
