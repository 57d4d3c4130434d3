"""Artifacts and storages over HTTP, as the official clients speak (wire.md 8.7 and 8.8)."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from fix_node import eventually
from fix_server import Server, good

from simvue import wire
from simvue.server.store.blobs import RESERVE


def registration(content: bytes, **members: Any) -> dict[str, Any]:
    return {
        "name": "results/a file.txt",
        "original_path": "/home/me/results/a file.txt",
        "size": len(content),
        "mime_type": "text/plain",
        "checksum": hashlib.sha256(content).hexdigest(),
        "metadata": None,
        **members,
    }


def put(url: str, content: Any) -> requests.Response:
    """Send bytes to a link as clients do: without a token."""
    return requests.put(url, data=content, timeout=60)


def upload(server: Server, content: bytes, run: str | None = None, **members: Any) -> str:
    """Register, send, confirm and attach, as official clients do; return the id."""
    category = members.pop("category", "output")
    made = server.post("/artifacts", registration(content, **members))
    artifact: str = made["id"]
    if made["url"]:
        assert put(made["url"], content).status_code == 200
        server.put(f"/artifacts/{artifact}", {"uploaded": True})
    if run:
        server.put(f"/runs/{run}/artifacts/{artifact}", {"category": category})
    return artifact


def download(server: Server, artifact: str) -> bytes:
    return requests.get(server.get(f"/artifacts/{artifact}")["url"], timeout=60).content


def blobs(server: Server) -> list[Path]:
    """Return every file that the server keeps of artifacts, finished or not."""
    return [path for path in (server.data / "blobs").rglob("*") if path.is_file()]


@pytest.fixture
def content() -> bytes:
    """Bytes that nobody else has uploaded."""
    return os.urandom(1000)


class TestUpload:
    def test_bytes_come_back_as_they_were_sent(self, server: Server, content: bytes) -> None:
        run = server.new_run()
        artifact = upload(server, content, run, metadata={"kind": "mesh"})
        found = server.get(f"/artifacts/{artifact}")
        for key in ("checksum", "name", "original_path", "size", "mime_type", "metadata"):
            assert found[key] == registration(content, metadata={"kind": "mesh"})[key], key
        assert found["uploaded"] is True
        assert found["storage_id"] in [storage["id"] for storage in server.get("/storage")]
        assert wire.parse_timestamp(found["created"])
        assert found["runs"] == [run]
        answer = requests.get(found["url"], timeout=60)
        assert answer.content == content
        assert answer.headers["Content-Length"] == "1000"
        assert answer.headers["Content-Type"].startswith("text/plain")

    def test_a_form_is_taken_too(self, server: Server, content: bytes) -> None:
        """Official clients before 2.5.4 know nothing else; fields may stand beside the file."""
        made = server.post("/artifacts", registration(content))
        form = {"file": ("any name", content), "key": (None, b"a field" * 100)}
        assert requests.post(made["url"], files=form, timeout=60).status_code == 200
        assert download(server, made["id"]) == content

    def test_an_empty_file_is_a_file(self, server: Server) -> None:
        made = server.post("/artifacts", registration(b"", name=wire.new_id()))
        if made["url"]:
            # Sent in chunks without a length, as official clients send an empty file.
            assert put(made["url"], iter([])).status_code == 200
        found = server.get(f"/artifacts/{made['id']}")
        assert found["uploaded"]
        assert requests.get(found["url"], timeout=60).content == b""

    def test_other_bytes_than_announced_are_refused_and_forgotten(
        self, server: Server, content: bytes
    ) -> None:
        made = server.post("/artifacts", registration(content))
        answer = put(made["url"], content[:-1] + b"?")
        assert answer.status_code == 400
        sentence = "The SHA256 you specified did not match the calculated checksum."
        assert answer.json()["detail"] == sentence
        assert server.get(f"/artifacts/{made['id']}")["uploaded"] is False
        assert not [path for path in blobs(server) if made["id"] in path.name]
        # A retry with the right ones succeeds.
        assert put(made["url"], content).status_code == 200
        assert download(server, made["id"]) == content

    def test_uploaded_is_refused_while_the_bytes_lack(self, server: Server, content: bytes) -> None:
        made = server.post("/artifacts", registration(content))
        answer = server.ask("PUT", f"/artifacts/{made['id']}", json={"uploaded": True})
        assert answer.status_code == 422
        assert server.get(f"/artifacts/{made['id']}")["url"] is None
        link = f"{server.url}/api/files/{made['id']}"
        assert requests.get(link, timeout=60).status_code == 403

    def test_the_announced_size_is_not_enforced(self, server: Server, content: bytes) -> None:
        """That of an object is the size of the Python object, about 33 bytes more."""
        made = server.post("/artifacts", registration(content, size=1033))
        assert put(made["url"], content).status_code == 200
        assert download(server, made["id"]) == content

    def test_more_than_the_disk_holds_is_refused_in_words(
        self, server: Server, content: bytes
    ) -> None:
        made = server.post("/artifacts", registration(content))
        parts = urlsplit(made["url"])
        connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
        with closing(connection):
            connection.putrequest("PUT", f"{parts.path}?{parts.query}")
            connection.putheader("Content-Length", str(2**50))
            connection.endheaders(b"begin")
            answer = connection.getresponse()
            assert answer.status == 507
            assert "the server has room for" in json.load(answer)["detail"]

    @pytest.mark.parametrize(
        "change",
        [
            {"checksum": "0" * 63},
            {"checksum": f"{'0' * 64}\n"},
            {"checksum": f"../../{'0' * 58}"},
            {"size": -1},
            {"size": 2**51},
            {"name": ""},
            {"id": "short"},
            {"id": f"{'a' * 22}\n"},
            {"metadata": []},
        ],
    )
    def test_a_registration_that_cannot_be_meant_is_refused(
        self, server: Server, content: bytes, change: Any
    ) -> None:
        answer = server.ask("POST", "/artifacts", json=registration(content, **change))
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][:2] == ["body", next(iter(change))]


class TestLinks:
    def test_a_link_is_for_one_artifact_one_purpose_and_not_for_long(
        self, server: Server, content: bytes
    ) -> None:
        made = server.post("/artifacts", registration(content))
        other = upload(server, content[:500])
        url = made["url"]
        got = server.get(f"/artifacts/{other}")["url"]
        forged = [
            url.replace(made["id"], other),
            url.replace("until=", "until=9"),
            url[:-1] + ("0" if url[-1] != "0" else "1"),
            url.partition("?")[0],
            got,
        ]
        for link in forged:
            assert put(link, content).status_code == 403, link
        assert requests.get(url, timeout=60).status_code == 403
        assert requests.get(got.replace("until=", "until=x"), timeout=60).status_code == 403
        assert put(url, content).status_code == 200

    def test_a_link_names_the_host_that_was_asked_and_the_scheme_of_a_proxy(
        self, server: Server, content: bytes
    ) -> None:
        headers = {"Host": "localhost:81", "X-Forwarded-Proto": "https"}
        answer = server.ask("POST", "/artifacts", json=registration(content), headers=headers)
        assert good(answer)["url"].startswith("https://localhost:81/api/files/")
        answer = server.ask("POST", "/artifacts", json=registration(content), headers={"Host": "x"})
        assert answer.status_code == 421

    def test_links_outlive_a_restart(self, fresh_server: Server, content: bytes) -> None:
        made = fresh_server.post("/artifacts", registration(content))
        fresh_server.kill()
        assert ((fresh_server.data / "secret").stat().st_mode & 0o777) == 0o600
        fresh_server.restart()
        assert put(made["url"], content).status_code == 200


class TestOnce:
    def test_equal_bytes_are_stored_once_and_stay_two_artifacts(
        self, server: Server, content: bytes
    ) -> None:
        run = server.new_run()
        before = len(blobs(server))
        first = upload(server, content, run)
        second = upload(server, content, run)
        assert first != second
        assert len(blobs(server)) == before + 1
        assert [item["id"] for item in server.get(f"/runs/{run}/artifacts")] == [first, second]
        server.delete(f"/artifacts/{first}")
        assert download(server, second) == content
        server.delete(f"/artifacts/{second}")
        assert len(blobs(server)) == before

    def test_bytes_that_are_here_are_not_asked_for_again(
        self, server: Server, content: bytes
    ) -> None:
        upload(server, content)
        again = server.post("/artifacts", registration(content, name="another"))
        assert again["url"] is None
        assert server.get(f"/artifacts/{again['id']}")["uploaded"] is True
        assert download(server, again["id"]) == content

    def test_uploads_of_the_same_bytes_at_once_all_succeed(
        self, server: Server, content: bytes
    ) -> None:
        before = len(blobs(server))
        made = [server.post("/artifacts", registration(content)) for _ in range(8)]
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda one: put(one["url"], content), made))
        assert [answer.status_code for answer in answers] == [200] * 8
        assert len(blobs(server)) == before + 1
        assert {download(server, one["id"]) for one in made} == {content}

    def test_a_registration_with_an_id_may_be_repeated(
        self, server: Server, content: bytes
    ) -> None:
        assert "artifact-id" in server.get("/version")["features"]
        body = registration(content, id=wire.new_id())
        first, second = server.post("/artifacts", body), server.post("/artifacts", body)
        assert first["id"] == second["id"] == body["id"]
        assert put(second["url"], content).status_code == 200
        assert server.post("/artifacts", body) == {"id": body["id"], "url": None}
        answer = server.ask("POST", "/artifacts", json={**body, "name": "another"})
        assert answer.status_code == 422
        assert len(server.get("/artifacts", filters=f"artifact.id == {body['id']}")["data"]) == 1


class TestRuns:
    def test_a_run_lists_its_artifacts_by_category_and_name(
        self, server: Server, content: bytes
    ) -> None:
        run = server.new_run()
        code = upload(server, content, run, category="code", name="main.py")
        result = upload(server, content[1:], run, name="out/result.dat")
        path = f"/runs/{run}/artifacts"
        assert [one["id"] for one in server.get(path)] == [code, result]
        assert [one["category"] for one in server.get(path)] == ["code", "output"]
        assert [one["id"] for one in server.get(path, category="code")] == [code]
        assert [one["id"] for one in server.get(path, name="out/result.dat")] == [result]
        assert server.get(path, category="input") == []
        assert server.get(f"{path}/{code}") == {"category": "code"}
        server.put(f"{path}/{code}", {"category": "input"})
        assert server.get(f"{path}/{code}") == {"category": "input"}
        assert "run" not in server.get(path)[0]

    def test_an_artifact_without_bytes_is_not_listed(self, server: Server, content: bytes) -> None:
        """Official clients would try to download it."""
        run = server.new_run()
        made = server.post("/artifacts", registration(content))
        server.put(f"/runs/{run}/artifacts/{made['id']}", {"category": "output"})
        assert server.get(f"/runs/{run}/artifacts") == []
        put(made["url"], content)
        assert len(server.get(f"/runs/{run}/artifacts")) == 1

    def test_what_is_not_there_answers_404(self, server: Server, content: bytes) -> None:
        run, absent = server.new_run(), wire.new_id()
        artifact = upload(server, content)
        for method, path, body in [
            ("GET", f"/artifacts/{absent}", None),
            ("GET", f"/artifacts/{absent}/lineage", None),
            ("PUT", f"/artifacts/{absent}", {"uploaded": True}),
            ("DELETE", f"/artifacts/{absent}", None),
            ("GET", f"/runs/{absent}/artifacts", None),
            ("GET", f"/runs/{run}/artifacts/{artifact}", None),
            ("PUT", f"/runs/{run}/artifacts/{absent}", {"category": "code"}),
            ("PUT", f"/runs/{absent}/artifacts/{artifact}", {"category": "code"}),
        ]:
            assert server.ask(method, path, json=body).status_code == 404, path
        answer = server.ask("PUT", f"/runs/{run}/artifacts/{artifact}", json={"category": "x"})
        assert answer.status_code == 422

    def test_a_deleted_run_frees_what_no_other_has(self, server: Server, content: bytes) -> None:
        before = len(blobs(server))
        one, other = server.new_run(), server.new_run()
        alone = upload(server, content, one)
        shared = upload(server, content[1:], one)
        server.put(f"/runs/{other}/artifacts/{shared}", {"category": "input"})
        server.delete(f"/runs/{one}")
        assert server.ask("GET", f"/artifacts/{alone}").status_code == 404
        assert download(server, shared) == content[1:]
        assert len(blobs(server)) == before + 1
        server.delete(f"/runs/{other}")
        assert len(blobs(server)) == before
        answer = server.ask("PUT", f"/runs/{other}/artifacts/{shared}", json={"category": "code"})
        assert answer.status_code == 410

    def test_a_deleted_folder_frees_the_artifacts_of_its_runs(
        self, server: Server, content: bytes
    ) -> None:
        before = len(blobs(server))
        path = f"/tests/{wire.new_id()}"
        upload(server, content, server.new_run(folder=path))
        folder = server.get("/folders", filters=json.dumps([f"path == {path}"]))["data"][0]["id"]
        server.delete(f"/folders/{folder}", recursive="True", runs="True", runs_only="False")
        assert len(blobs(server)) == before

    def test_equal_bytes_tell_who_made_and_who_used_them(
        self, server: Server, content: bytes
    ) -> None:
        maker, user = server.new_run(name="maker"), server.new_run(name="user")
        made = upload(server, content, maker, name="mesh.vtk")
        used = upload(server, content, user, name="input.vtk", category="input")
        found = server.get(f"/artifacts/{used}/lineage")
        assert [one["run"]["id"] for one in found["output"]] == [maker]
        assert [one["artifact"]["id"] for one in found["input"]] == [used]
        assert found["checksum"] == hashlib.sha256(content).hexdigest()
        filters = json.dumps([f"artifact.checksum == {found['checksum']}"])
        assert {run["id"] for run in server.get("/runs", filters=filters)["data"]} == {maker, user}
        filters = f"artifact.id == {made}"
        assert [run["id"] for run in server.get("/runs", filters=filters)["data"]] == [maker]


class TestList:
    def test_a_list_is_whole_unless_a_number_is_asked_for(self, server: Server) -> None:
        run = server.new_run()
        ids = [
            upload(server, run.encode(), run, name=f"n{i:03}", metadata={"i": i})
            for i in range(105)
        ]
        runs = json.dumps([run])
        whole = server.get("/artifacts", runs=runs)
        assert whole["count"] == 105
        assert [one["id"] for one in whole["data"]] == ids[::-1]
        page = server.get("/artifacts", runs=runs, start=100, count=2)
        assert (page["count"], len(page["data"])) == (105, 2)
        for column in ("name", "metadata.i", "created"):
            sorting = json.dumps([{"id": column, "desc": False}])
            found = server.get("/artifacts", runs=runs, sorting=sorting, count=3)["data"]
            assert [one["id"] for one in found] == ids[:3], column
        filters = json.dumps(["metadata.i >= 103"])
        assert server.get("/artifacts", runs=runs, filters=filters)["count"] == 2
        assert server.get("/artifacts", runs=json.dumps([wire.new_id()]))["count"] == 0

    @pytest.mark.parametrize(
        "filters", ["starred", "has tag.x", "status == running", "system.cwd == x", "= = ="]
    )
    def test_what_artifacts_cannot_be_filtered_by_is_refused(
        self, server: Server, filters: str
    ) -> None:
        assert server.ask("GET", "/artifacts", params={"filters": filters}).status_code == 422


class TestDownload:
    @pytest.mark.parametrize(
        ("name", "plain"),
        [
            ("../../etc/passwd", "passwd"),
            ("..", ".."),
            ("/", "artifact"),
            ('a"b\r\nSet-Cookie: x', "a_b__Set-Cookie_ x"),
            ("größe µ.dat", "gr__e _.dat"),
            ("C:\\temp\\x.txt", "x.txt"),
            ("\x00\x1b", "__"),
        ],
    )
    def test_odd_names_reach_neither_headers_nor_the_disk(
        self, server: Server, content: bytes, name: str, plain: str
    ) -> None:
        artifact = upload(server, content, name=name)
        found = server.get(f"/artifacts/{artifact}")
        assert found["name"] == name.replace("\x00", "\ufffd")
        answer = requests.get(found["url"], timeout=60)
        disposition = answer.headers["Content-Disposition"]
        assert disposition.startswith(f"attachment; filename=\"{plain}\"; filename*=UTF-8''")
        assert "Set-Cookie" not in answer.headers
        checksum = found["checksum"]
        assert [path.parent.name for path in blobs(server) if checksum in path.name] == [
            checksum[:2]
        ]

    def test_a_browser_runs_nothing_that_was_uploaded(self, server: Server, content: bytes) -> None:
        for mime_type, sent in [("text/html", "text/html"), ("x\r\ny", "application/octet-stream")]:
            artifact = upload(server, content, mime_type=mime_type)
            headers = requests.get(server.get(f"/artifacts/{artifact}")["url"], timeout=60).headers
            assert headers["Content-Type"].partition(";")[0] == sent
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Content-Security-Policy"].startswith("sandbox")
            assert headers["Content-Disposition"].startswith("attachment")

    @pytest.mark.parametrize(
        ("asked", "status", "first", "end"),
        [
            ("bytes=0-9", 206, 0, 10),
            ("bytes=990-", 206, 990, 1000),
            ("bytes=-5", 206, 995, 1000),
            ("bytes=900-5000", 206, 900, 1000),
            ("bytes=0-1,5-6", 200, 0, 1000),
            ("lines=1-2", 200, 0, 1000),
            ("bytes=-", 200, 0, 1000),
        ],
    )
    def test_a_download_can_be_taken_up_where_it_stopped(
        self, server: Server, content: bytes, asked: str, status: int, first: int, end: int
    ) -> None:
        url = server.get(f"/artifacts/{upload(server, content)}")["url"]
        answer = requests.get(url, headers={"Range": asked}, timeout=60)
        assert (answer.status_code, answer.content) == (status, content[first:end])
        if status == 206:
            assert answer.headers["Content-Range"] == f"bytes {first}-{end - 1}/1000"

    def test_a_range_beyond_the_end_is_refused(self, server: Server, content: bytes) -> None:
        url = server.get(f"/artifacts/{upload(server, content)}")["url"]
        for asked in ("bytes=1000-", "bytes=5-4", "bytes=-0"):
            answer = requests.get(url, headers={"Range": asked}, timeout=60)
            assert answer.status_code == 416, asked
            assert answer.headers["Content-Range"] == "bytes */1000"
        # Of another file than the one begun with, all is sent.
        headers = {"Range": "bytes=5-", "If-Range": '"another"'}
        assert requests.get(url, headers=headers, timeout=60).content == content

    def test_a_head_says_the_size_and_sends_nothing(self, server: Server, content: bytes) -> None:
        url = server.get(f"/artifacts/{upload(server, content)}")["url"]
        answer = requests.head(url, timeout=60)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Content-Length"] == "1000"


# ---- Large, and cut off --------------------------------------------------------------------


def memory(server: Server) -> int:
    """Return the bytes that the server's process has ever held at most."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


class TestLarge:
    SIZE = 200 << 20
    PIECE = os.urandom(1 << 20)

    def pieces(self) -> Iterator[bytes]:
        for _ in range(self.SIZE >> 20):
            yield self.PIECE

    def test_a_large_file_does_not_pass_through_memory(self, fresh_server: Server) -> None:
        """200 MiB in, as PUT and as a form, and out, while the server grows by a tenth of it."""
        upload(fresh_server, b"warm")
        before = memory(fresh_server)
        checksum = hashlib.sha256()
        for piece in self.pieces():
            checksum.update(piece)
        body = registration(b"", checksum=checksum.hexdigest(), size=self.SIZE)
        made = fresh_server.post("/artifacts", body)
        form = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'

        def framed() -> Iterator[bytes]:
            yield form
            yield from self.pieces()
            yield b"\r\n--cut--\r\n"

        headers = {"Content-Type": "multipart/form-data; boundary=cut"}
        answer = requests.post(made["url"], data=framed(), headers=headers, timeout=120)
        assert answer.status_code == 200, answer.text
        assert put(made["url"], self.pieces()).status_code == 200
        url = fresh_server.get(f"/artifacts/{made['id']}")["url"]
        came = hashlib.sha256()
        with requests.get(url, stream=True, timeout=120) as response:
            for piece in response.iter_content(1 << 20):
                came.update(piece)
        assert came.digest() == checksum.digest()
        assert memory(fresh_server) - before < self.SIZE / 10
        assert len(blobs(fresh_server)) == 2

    def test_others_are_answered_while_a_file_comes_slowly(
        self, server: Server, content: bytes
    ) -> None:
        made = server.post("/artifacts", registration(content))
        half, rest = threading.Event(), threading.Event()

        def slowly() -> Iterator[bytes]:
            yield content[:500]
            half.set()
            assert rest.wait(60)
            yield content[500:]

        with ThreadPoolExecutor(1) as threads:
            sending = threads.submit(put, made["url"], slowly())
            assert half.wait(60)
            assert server.get(f"/artifacts/{made['id']}")["uploaded"] is False
            rest.set()
            assert sending.result().status_code == 200
        assert download(server, made["id"]) == content


def begin(server: Server, url: str, content: bytes, announced: int) -> socket.socket:
    """Send the beginning of an upload, and return when the server has it on its disk."""
    before = len(blobs(server))
    parts = urlsplit(url)
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    head = f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    connection.sendall(f"{head}Content-Length: {announced}\r\n\r\n".encode() + content)
    eventually(
        lambda: len(blobs(server)) > before and all(path.stat().st_size for path in blobs(server)),
        "the beginning of the upload is on the disk",
    )
    return connection


def test_a_server_killed_within_an_upload_forgets_it_and_takes_it_again(
    fresh_server: Server,
) -> None:
    content = os.urandom(3 << 20)
    body = registration(content, id=wire.new_id())
    made = fresh_server.post("/artifacts", body)
    with begin(fresh_server, made["url"], content[: 2 << 20], len(content)):
        assert [path.suffix for path in blobs(fresh_server)] == [".part"]
        fresh_server.kill()
    fresh_server.restart()
    assert blobs(fresh_server) == []
    assert fresh_server.get(f"/artifacts/{made['id']}")["uploaded"] is False
    again = fresh_server.post("/artifacts", body)
    assert again["id"] == made["id"]
    assert put(again["url"], content).status_code == 200
    assert download(fresh_server, made["id"]) == content
    assert len(blobs(fresh_server)) == 1


def test_a_server_killed_between_file_and_commit_keeps_no_orphan(
    fresh_server: Server,
) -> None:
    """Killed at moments around the end of an upload: the file is an artifact's, or gone."""
    for turn in range(5):
        content = os.urandom(100_000)
        body = registration(content, id=wire.new_id())
        url = fresh_server.post("/artifacts", body)["url"]
        late = threading.Timer(0.002 * turn, fresh_server.kill)
        late.start()
        try:
            put(url, content)
        except requests.RequestException:
            pass
        late.join()
        fresh_server.restart()
        uploaded = fresh_server.get(f"/artifacts/{body['id']}")["uploaded"]
        checksum = body["checksum"]
        files = [path for path in blobs(fresh_server) if checksum in path.name]
        assert len(files) == (1 if uploaded else 0)
        if uploaded:
            assert files[0].read_bytes() == content
        else:
            assert put(fresh_server.post("/artifacts", body)["url"], content).ok


def test_a_client_that_hangs_up_leaves_nothing(fresh_server: Server) -> None:
    content = os.urandom(3 << 20)
    made = fresh_server.post("/artifacts", registration(content))
    begin(fresh_server, made["url"], content[: 2 << 20], len(content)).close()
    eventually(lambda: not blobs(fresh_server), "what came of the upload is removed")
    assert put(made["url"], content).status_code == 200
    assert "Traceback" not in fresh_server.log_text()


# ---- Storages -------------------------------------------------------------------------------

S3 = {
    "name": "bucket.store",
    "backend": "S3",
    "disable_check": True,
    "is_tenant_useable": False,
    "is_default": False,
    "is_enabled": False,
    "config": {
        "bucket": "a-bucket",
        "endpoint_url": "https://example.com/",
        "region_name": "eu-west-1",
        "access_key_id": "key",
        "secret_access_key": "do not tell",
    },
}


class TestStorages:
    def test_a_default_storage_is_there_from_the_start(self, server: Server) -> None:
        found = server.get("/storage")
        assert isinstance(found, list)
        assert [one["backend"] for one in found if one["is_default"]] == ["File"]

    def test_an_s3_storage_comes_back_without_its_secret(self, server: Server) -> None:
        storage = server.post("/storage", S3)["id"]
        found = server.get(f"/storage/{storage}")
        for key in ("name", "backend", "is_default", "is_tenant_useable", "is_enabled"):
            assert found[key] == S3[key], key
        assert found["config"]["endpoint_url"] == "https://example.com/"
        assert "do not tell" not in server.ask("GET", "/storage").text
        server.put(f"/storage/{storage}", {"name": "renamed", "config": {"bucket": "other"}})
        found = server.get(f"/storage/{storage}")
        assert (found["name"], found["config"]["bucket"]) == ("renamed", "other")
        assert found["config"]["region_name"] == "eu-west-1"
        server.delete(f"/storage/{storage}")
        assert server.ask("GET", f"/storage/{storage}").status_code == 404

    @pytest.mark.parametrize(
        "change",
        [
            {"backend": "Tape"},
            {"config": None},
            {"config": {"bucket": ""}},
            {"disable_check": False},
            {"is_default": True},
        ],
    )
    def test_a_storage_that_cannot_be_is_refused(self, server: Server, change: Any) -> None:
        assert server.ask("POST", "/storage", json={**S3, **change}).status_code == 422

    def test_the_default_moves_and_what_is_used_stays(self, fresh_server: Server) -> None:
        server = fresh_server
        first = server.get("/storage")[0]["id"]
        artifact = upload(server, b"kept in the first")
        second = server.post("/storage", {"name": "second", "backend": "File", "is_default": True})
        flags = {one["id"]: one["is_default"] for one in server.get("/storage")}
        assert flags == {first: False, second["id"]: True}
        assert server.get(f"/storage/{first}")["usage"] == len(b"kept in the first")
        for storage in (first, second["id"]):
            assert server.ask("DELETE", f"/storage/{storage}").status_code == 409
        server.delete(f"/artifacts/{artifact}")
        server.delete(f"/storage/{first}")
        answer = server.ask("PUT", f"/storage/{second['id']}", json={"is_default": False})
        assert answer.status_code == 422
        server.put(f"/storage/{second['id']}", {"is_enabled": False})
        answer = server.ask("POST", "/artifacts", json=registration(b"x"))
        assert answer.status_code == 422
        assert "no storage takes artifacts" in answer.text


def test_the_reserve_is_more_than_the_log_of_the_database() -> None:
    from simvue.server.store.log import LOG_MAX

    assert RESERVE >= LOG_MAX
