"""Artifacts past the server: between clients and a real S3 store, by addresses that it signs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
import pytest
import requests
from fix_node import Node
from fix_official import Official
from fix_server import Server

from simvue import Client
from simvue.cli.demo.engines import SeaweedFS

# What moves bytes through the server is broken there: whoever arrives has gone past it.
NOTHING_BY_THE_SERVER = """
from simvue.server.routes import files
from simvue.server.store.blobs import Upload
files._open = Upload.write = None
"""

OFFICIAL = """
import json, pathlib, sys
import simvue
with simvue.Run() as run:
    run.init("past-the-server", folder="/direct", retention_period="1 hour")
    pathlib.Path("mesh.dat").write_bytes(bytes(range(256)) * 40_000)
    run.save_file("mesh.dat", category="input", name="mesh/fine.dat")
    run.save_object({"answer": 42}, category="output", name="answer")
    identifier = run.id
client = simvue.Client()
assert client.get_artifact(identifier, "answer") == {"answer": 42}
pathlib.Path("back").mkdir()
client.get_artifact_as_file(identifier, "mesh/fine.dat", pathlib.Path("back"))
assert pathlib.Path("back/mesh/fine.dat").read_bytes() == bytes(range(256)) * 40_000
print(identifier)
"""


def with_direct(bucket: str, seaweed: SeaweedFS) -> str:
    """Return the address of *bucket* that has clients go there themselves."""
    return f"{bucket}&direct={quote(seaweed.endpoint, safe='')}"


@pytest.fixture
def server(bucket: str, seaweed: SeaweedFS, tmp_path: Path) -> Iterator[Server]:
    """A server whose clients send to S3, and fetch from there."""
    running = Server(tmp_path / "data", "--blobs", with_direct(bucket, seaweed))
    yield running
    assert running.stop() == 0, running.log_text()
    assert "Traceback" not in running.log_text(), running.log_text()


@pytest.fixture
def past(bucket: str, seaweed: SeaweedFS, tmp_path: Path) -> Iterator[Server]:
    """Such a server that cannot take or give bytes itself."""
    running = Server(
        tmp_path / "data", "--blobs", with_direct(bucket, seaweed), before=NOTHING_BY_THE_SERVER
    )
    yield running
    assert running.stop() == 0, running.log_text()
    assert "Traceback" not in running.log_text(), running.log_text()


@pytest.fixture
def content() -> bytes:
    """Bytes that nobody else has uploaded."""
    return os.urandom(1000)


def register(server: Server, content: bytes, **members: Any) -> dict[str, Any]:
    made: dict[str, Any] = server.post(
        "/artifacts",
        {
            "name": "results/a file.txt",
            "original_path": "a file.txt",
            "size": len(content),
            "mime_type": "text/plain",
            "checksum": hashlib.sha256(content).hexdigest(),
            "metadata": None,
            **members,
        },
    )
    return made


def send(made: dict[str, Any], content: bytes) -> int:
    """Send the form; return the status."""
    return requests.post(
        made["url"], data=made["fields"], files={"file": content}, timeout=60
    ).status_code


def confirm(server: Server, artifact: str) -> requests.Response:
    return server.ask("PUT", f"/artifacts/{artifact}", json={"uploaded": True})


class Objects:
    """The bucket past all code of ours."""

    def __init__(self, url: str, seaweed: SeaweedFS) -> None:
        self.name, _, self.prefix = (urlsplit(url).netloc + urlsplit(url).path).partition("/")
        self.client = boto3.client("s3", endpoint_url=seaweed.endpoint, region_name="us-east-1")

    def keys(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.name, Prefix=self.prefix)
        return [one["Key"].removeprefix(f"{self.prefix}/") for one in found.get("Contents", [])]

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content)


@pytest.fixture
def objects(bucket: str, seaweed: SeaweedFS) -> Iterator[Objects]:
    found = Objects(bucket, seaweed)
    yield found
    found.client.close()


def test_bytes_go_to_the_storage_and_come_from_it(
    server: Server, seaweed: SeaweedFS, objects: Objects, content: bytes
) -> None:
    made = register(server, content)
    assert made["url"].startswith(seaweed.endpoint)
    assert send(made, content) in (200, 204)
    # Nobody sees them before they are read and found right.
    assert server.get(f"/artifacts/{made['id']}")["uploaded"] is False
    assert confirm(server, made["id"]).status_code == 200
    assert confirm(server, made["id"]).status_code == 200
    found = server.get(f"/artifacts/{made['id']}")
    assert found["uploaded"] is True
    (key,) = objects.keys()
    assert not key.startswith("incoming/")

    away = requests.get(found["url"], timeout=60, allow_redirects=False)
    assert away.status_code == 307
    assert away.headers["Location"].startswith(seaweed.endpoint)
    assert away.headers["Cache-Control"] == "no-store"
    answer = requests.get(found["url"], timeout=60)
    assert answer.content == content
    assert answer.headers["Content-Type"] == "text/plain"
    assert 'filename="a file.txt"' in answer.headers["Content-Disposition"]
    part = requests.get(found["url"], headers={"Range": "bytes=100-199"}, timeout=60)
    assert (part.status_code, part.content) == (206, content[100:200])

    # A page of ours may read only what comes from here.
    here = requests.get(found["url"], headers={"Sec-Fetch-Mode": "cors"}, timeout=60)
    assert (here.status_code, here.content, here.history) == (200, content, [])


def test_an_empty_file_is_a_file(server: Server) -> None:
    made = register(server, b"")
    assert send(made, b"") in (200, 204)
    assert confirm(server, made["id"]).status_code == 200
    found = server.get(f"/artifacts/{made['id']}")
    assert requests.get(found["url"], timeout=60).content == b""


def test_equal_bytes_are_sent_once(server: Server, objects: Objects, content: bytes) -> None:
    first = register(server, content)
    again = register(server, content)
    for made in (first, again):
        assert send(made, content) in (200, 204)
        assert confirm(server, made["id"]).status_code == 200
    assert len(objects.keys()) == 1
    assert register(server, content)["url"] is None


def test_what_was_not_sent_is_not_there_and_may_be_sent_later(
    server: Server, content: bytes
) -> None:
    made = register(server, content)
    refused = confirm(server, made["id"])
    assert refused.status_code == 422
    assert "did not arrive" in refused.text
    assert server.get(f"/artifacts/{made['id']}")["url"] is None
    assert send(made, content) in (200, 204)
    assert confirm(server, made["id"]).status_code == 200


def test_other_bytes_than_announced_are_refused_by_the_storage_and_by_the_server(
    server: Server, objects: Objects, content: bytes
) -> None:
    made = register(server, content)
    other = bytes(1000)
    assert send(made, other) == 400
    assert objects.keys() == []
    # As in a storage that compares no checksums.
    objects.put(made["fields"]["key"], other)
    refused = confirm(server, made["id"])
    assert refused.status_code == 400
    sentence = "The SHA256 you specified did not match the calculated checksum."
    assert refused.json()["detail"] == sentence
    assert objects.keys() == []
    assert server.get(f"/artifacts/{made['id']}")["uploaded"] is False


def test_a_form_that_still_works_changes_nothing_that_was_found_right(
    server: Server, objects: Objects, content: bytes
) -> None:
    made = register(server, content)
    assert send(made, content) in (200, 204)
    assert confirm(server, made["id"]).status_code == 200
    objects.put(made["fields"]["key"], bytes(1000))
    found = server.get(f"/artifacts/{made['id']}")
    assert requests.get(found["url"], timeout=60).content == content


def test_more_than_a_form_takes_goes_by_the_server(server: Server) -> None:
    made = register(server, b"as if it were large", size=6 << 30)
    assert made["url"].startswith(server.url)
    assert "fields" not in made


def test_what_is_being_sent_outlives_a_restart_of_the_server(
    server: Server, content: bytes
) -> None:
    made = register(server, content)
    assert send(made, content) in (200, 204)
    server.kill()
    server.restart()
    assert confirm(server, made["id"]).status_code == 200


def test_our_client_goes_past_the_server(past: Server, tmp_path: Path) -> None:
    node = Node(tmp_path, past)
    try:
        (tmp_path / "mesh.dat").write_bytes(data := os.urandom(3 << 20))
        said = node.simulate(
            'run = Run()\nrun.init("past", timeout=None)\n'
            'run.save_file("mesh.dat", "input")\n'
            'run.save_object({"a": 1}, "output", name="small")\n'
            "run.close()\nprint(run.id)\n"
        )
    finally:
        node.close()
    run = said.split()[-1]
    with Client(server_url=past.url, server_token=past.token) as client:
        path = client.get_artifact_as_file(run, "mesh.dat", tmp_path / "back")
        assert Path(path).read_bytes() == data
        assert client.get_artifact(run, "small") == {"a": 1}


@pytest.mark.timeout(900)
def test_the_official_client_goes_past_the_server(
    official: Official, past: Server, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    run = official.run(past, home, "-c", OFFICIAL, limit=120).split()[-1]
    found = past.get(f"/runs/{run}/artifacts")
    assert json.dumps(sorted(one["name"] for one in found)) == '["answer", "mesh/fine.dat"]'
