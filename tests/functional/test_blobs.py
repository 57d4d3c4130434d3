"""Blobs in a folder and in a real S3 store: one contract, and what each does in trouble."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, quote, urlsplit

import boto3
import pytest
import requests
from fix_node import eventually
from fix_proxy import Proxy

from simvue.cli.demo.engines import SeaweedFS
from simvue.exception import StoreError
from simvue.server.store import ChecksumDiffers
from simvue.server.store.blobs import Blobs, Upload, new_place, open_blobs
from simvue.server.store.cache import Cache
from simvue.server.store.objects import PART, READ_AHEAD
from simvue.server.store.s3 import ATTEMPTS

ROOT = Path(__file__).parents[2]
MIB = 1 << 20


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where blobs may lie that nobody has used."""
    if request.param == "folder":
        return str(tmp_path / "blobs")
    return str(request.getfixturevalue("bucket"))


@pytest.fixture
def blobs(url: str) -> Blobs:
    return open_blobs(url)


@pytest.fixture
def left(url: str) -> Callable[[], list[str]]:
    """What the storage holds, drafts included: asked past our own code."""
    return lambda: _objects(url) if url.startswith("s3:") else _files(url)


@pytest.fixture
def left_in_bucket(bucket: str) -> Callable[[], list[str]]:
    return lambda: _objects(bucket)


def endpoint(url: str) -> str:
    """Return where the store of the bucket at *url* is."""
    return quote(parse_qs(urlsplit(url).query)["endpoint"][0], safe="")


def _files(url: str) -> list[str]:
    return [str(path) for path in Path(url).rglob("*") if path.is_file()]


def _objects(url: str) -> list[str]:
    parts = urlsplit(url)
    client = boto3.client(
        "s3", endpoint_url=parse_qs(parts.query)["endpoint"][0], region_name="us-east-1"
    )
    where = {"Bucket": parts.netloc, "Prefix": parts.path.strip("/")}
    found = client.list_objects_v2(**where).get("Contents", [])
    begun = client.list_multipart_uploads(**where).get("Uploads", [])
    client.close()
    return [one["Key"] for one in (*found, *begun)]


def checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(blobs: Blobs, content: bytes, piece: int = MIB) -> str:
    """Store *content*, which comes in pieces, as from the network; return its place."""
    place = new_place(checksum(content))
    draft = blobs.draft(place)
    for begin in range(0, len(content), piece):
        draft.write(content[begin : begin + piece])
    draft.seal()
    return place


def get(blobs: Blobs, place: str) -> bytes:
    with blobs.open(place) as file:
        return file.read()


# ---- The contract ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, PART, PART + 1, 20 * MIB + 7])
def test_what_goes_in_comes_out(blobs, rng, size):
    content = rng.randbytes(size)
    place = put(blobs, content)
    assert blobs.size(place) == size
    assert get(blobs, place) == content
    # As the server answers a download: a piece at a time.
    with blobs.open(place) as file:
        assert b"".join(iter(lambda: file.read(MIB), b"")) == content


def test_any_range_is_read(blobs, rng):
    content = rng.randbytes(2 * READ_AHEAD + 1000)
    place = put(blobs, content)
    size = len(content)
    ranges = [(0, 1), (size - 1, 1), (0, size), (READ_AHEAD - 1, 2), (17, 0), (size - 3, 100)]
    ranges += [(rng.randrange(size), rng.randrange(1, 1 << 17)) for _ in range(20)]
    for offset, length in ranges:
        assert blobs.read(place, offset, length) == content[offset : offset + length]
    assert blobs.read(place, size, 10) == b""
    with blobs.open(place) as file:
        for offset, length in ranges:
            file.seek(offset)
            assert file.read(length) == content[offset : offset + length]
        assert file.seek(-5, os.SEEK_END) == size - 5
        assert file.read() == content[-5:]


@pytest.mark.parametrize("size", [0, MIB, 20 * MIB])
def test_a_discarded_draft_leaves_nothing(blobs, left, size):
    place = new_place(checksum(b""))
    draft = blobs.draft(place)
    draft.write(bytes(size))
    draft.discard()
    assert left() == []
    with pytest.raises(FileNotFoundError):
        blobs.open(place)


@pytest.mark.parametrize("size", [1, 20 * MIB])
def test_a_sealed_draft_may_still_be_discarded(blobs, left, size):
    draft = blobs.draft(new_place(checksum(b"")))
    draft.write(bytes(size))
    draft.seal()
    assert len(left()) == 1
    draft.discard()
    assert left() == []


def test_nobody_sees_a_draft_before_it_is_sealed(blobs):
    place = new_place(checksum(b""))
    draft = blobs.draft(place)
    draft.write(bytes(20 * MIB))
    with pytest.raises(FileNotFoundError):
        blobs.read(place, 0, 1)
    draft.seal()
    assert blobs.read(place, 0, 1) == b"\0"


def test_two_drafts_of_the_same_content_do_not_meet(blobs, left):
    content = b"the same"
    first, second = (new_place(checksum(content)) for _ in range(2))
    drafts = [blobs.draft(first), blobs.draft(second)]
    for draft in drafts:
        draft.write(content)
    for draft in drafts:
        draft.seal()
    assert len(left()) == 2
    blobs.remove(first)
    assert get(blobs, second) == content
    with pytest.raises(FileNotFoundError):
        get(blobs, first)


def test_removing_is_done_any_number_of_times(blobs, left):
    place = put(blobs, b"once")
    other = put(blobs, b"stays")
    for _ in range(2):
        blobs.remove(place)
    blobs.remove(new_place(checksum(b"never there")))
    with pytest.raises(FileNotFoundError):
        blobs.size(place)
    assert len(left()) == 1
    assert get(blobs, other) == b"stays"


@pytest.mark.crash
def test_what_a_killed_process_was_writing_goes_with_its_place(url, blobs, left):
    place = new_place(checksum(b""))
    writer = (
        "import sys\n"
        "from simvue.server.store.blobs import open_blobs\n"
        "draft = open_blobs(sys.argv[1]).draft(sys.argv[2])\n"
        "draft.write(bytes(20 << 20))\n"
        "print('written', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", writer, url, place],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.send_signal(signal.SIGKILL)
    assert len(left()) == 1
    blobs.remove(place)
    assert left() == []


def test_an_upload_with_another_checksum_than_announced_leaves_nothing(blobs, left):
    kept, dropped = [], []
    upload = Upload(
        blobs,
        new_place(checksum(b"announced")),
        checksum(b"announced"),
        kept.append,
        lambda: dropped.append(True),
    )
    upload.write(b"something else")
    with pytest.raises(ChecksumDiffers):
        upload.finish()
    upload.discard()
    assert (kept, dropped, left()) == ([], [True], [])


# ---- S3 only -----------------------------------------------------------------------------


def test_a_client_may_send_and_fetch_bytes_past_the_server(bucket):
    blobs = open_blobs(f"{bucket}&direct={endpoint(bucket)}")
    assert blobs.direct is not None
    content = b"straight in"
    place = new_place(checksum(content))
    form = blobs.direct.upload_form(place, checksum(content))
    refused = requests.post(
        form.url, data=dict(form.fields), files={"file": b"other bytes"}, timeout=60
    )
    assert refused.status_code == 400
    with pytest.raises(FileNotFoundError):
        blobs.size(place)
    sent = requests.post(form.url, data=dict(form.fields), files={"file": content}, timeout=60)
    assert sent.status_code in (200, 204)
    assert get(blobs, place) == content

    url = blobs.direct.download_url(place, "text/plain", 'attachment; filename="it.txt"')
    found = requests.get(url, timeout=60)
    assert found.content == content
    assert found.headers["Content-Type"] == "text/plain"
    assert found.headers["Content-Disposition"] == 'attachment; filename="it.txt"'
    forged = url[:-1] + ("1" if url.endswith("0") else "0")
    assert requests.get(forged, timeout=60).status_code == 403

    blobs.direct.copy(place, "another")
    blobs.remove(place)
    assert get(blobs, "another") == content
    with pytest.raises(FileNotFoundError):
        blobs.direct.copy(place, "a third")


def test_bytes_go_by_the_server_unless_an_address_for_clients_is_given(bucket, tmp_path):
    assert open_blobs(str(tmp_path / "blobs")).direct is None
    assert open_blobs(bucket).direct is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda url: url.replace("s3://simvue/", "s3://elsewhere/"), "no bucket elsewhere"),
        (lambda url: f"{url}&colour=red", "no option colour"),
        (lambda url: f"{url}&timeout=soon", "no address of blobs"),
        (lambda url: url.replace("s3://simvue/", "s3:///"), "no address of blobs"),
        (lambda url: f"{url.partition('?')[0]}?endpoint=127.0.0.1:9", "no address of blobs"),
    ],
)
def test_a_wrong_address_is_refused_with_a_sentence(bucket, change, sentence):
    with pytest.raises(StoreError, match=sentence):
        open_blobs(change(bucket))


def test_wrong_credentials_are_refused_with_a_sentence(bucket, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreError, match=r"the bucket simvue cannot be used: .* answers 403"):
        open_blobs(bucket)
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name)
    # This machine may be one of Amazon's, and have a role there.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StoreError, match="credentials"):
        open_blobs(bucket)


@pytest.mark.crash
def test_one_volume_server_may_die(fresh_seaweed, rng):
    """Whatever was stored stays readable, and writing goes on: two copies of three servers."""
    blobs = open_blobs(fresh_seaweed.url_of("blobs"))
    before = {put(blobs, content): content for content in map(rng.randbytes, [1000, 20 * MIB])}
    fresh_seaweed.kill_volume(0)
    for place, content in before.items():
        assert get(blobs, place) == content
    after = {put(blobs, content): content for content in map(rng.randbytes, [1000, 20 * MIB])}
    fresh_seaweed.start_volume(0)
    for place, content in {**before, **after}.items():
        assert get(blobs, place) == content


@pytest.mark.crash
def test_a_store_that_is_deaf_for_a_while_costs_no_thread_for_long_and_no_blob(fresh_seaweed):
    blobs = open_blobs(fresh_seaweed.url_of("blobs") + "&timeout=0.5")
    place = put(blobs, b"there before")
    draft = blobs.draft(new_place(checksum(b"")))
    draft.write(bytes(PART - 1))
    fresh_seaweed.pause()
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="does not answer"):
        blobs.size(place)
    with pytest.raises(TimeoutError):
        draft.seal()
    # One finds out whether it is back, and the others do not wait for that.
    with ThreadPoolExecutor(8) as threads:
        refusals = [str(one) for one in threads.map(lambda _: _refusal(blobs, place), range(8))]
    assert sum("does not answer just now" in one for one in refusals) == 7
    # Three calls of three attempts, half a second each, with at most 1 + 2 s in between.
    assert time.monotonic() - began < 3 * (ATTEMPTS * 0.5 + 3) + 3
    fresh_seaweed.resume()
    assert get(blobs, place) == b"there before"
    # Whoever was refused may try again, or forget it.
    draft.seal()
    again = put(blobs, b"there after")
    assert get(blobs, again) == b"there after"


def _refusal(blobs: Blobs, place: str) -> OSError:
    with pytest.raises(TimeoutError) as caught:
        blobs.read(place, 0, 1)
    return caught.value


@pytest.mark.crash
def test_a_store_that_is_gone_is_said_and_found_again(fresh_seaweed):
    blobs = open_blobs(fresh_seaweed.url_of("blobs") + "&timeout=1")
    place = put(blobs, b"kept")
    fresh_seaweed.kill_gateway()
    with pytest.raises(TimeoutError, match="does not answer"):
        blobs.read(place, 0, 4)
    # And a server starts meanwhile.
    later = open_blobs(fresh_seaweed.url_of("blobs") + "&timeout=1")
    fresh_seaweed.start_gateway()
    eventually(lambda: _reads(later, place), "the gateway is back")
    assert blobs.read(place, 0, 4) == b"kept"


def _reads(blobs: Blobs, place: str) -> bool:
    try:
        return blobs.read(place, 0, 4) == b"kept"
    except OSError:
        return False


@pytest.fixture
def proxy(seaweed: SeaweedFS) -> Iterator[Proxy]:
    """Between us and the shared gateway; it misbehaves on demand."""
    made = Proxy(SimpleNamespace(port=int(seaweed.endpoint.rpartition(":")[2])))  # type: ignore[arg-type]
    made.only = "/simvue/"
    yield made
    made.close()


@pytest.fixture
def shaky(proxy: Proxy, seaweed: SeaweedFS, bucket: str) -> Blobs:
    """Blobs behind the proxy."""
    return open_blobs(bucket.replace(quote(seaweed.endpoint, safe=""), quote(proxy.url, safe="")))


def test_bytes_that_change_on_the_way_are_refused(proxy, shaky, left_in_bucket):
    draft = shaky.draft(new_place(checksum(b"")))
    draft.write(b"as they were")
    proxy.garble(1)
    with pytest.raises(OSError, match="answers 400, BadDigest"):
        draft.seal()
    draft.discard()
    place = new_place(checksum(b""))
    draft = shaky.draft(place)
    proxy.let_pass(1)
    proxy.garble(1)
    with pytest.raises(OSError, match="answers 400, BadDigest"):
        draft.write(bytes(PART + 1))
    draft.discard()
    assert proxy.is_done
    assert left_in_bucket() == []


def test_a_store_that_says_503_is_asked_again(proxy, shaky):
    place = put(shaky, b"busy")
    proxy.say(ATTEMPTS - 1, 503)
    assert shaky.read(place, 0, 4) == b"busy"
    proxy.say(ATTEMPTS, 503)
    with pytest.raises(OSError, match="answers 503") as caught:
        shaky.read(place, 1, 3)
    assert caught.value.errno == errno.EBUSY
    assert shaky.read(place, 1, 3) == b"usy"


def test_answers_that_are_lost_cost_nothing(proxy, shaky, left_in_bucket, rng):
    """Each request of an upload in parts is carried out twice."""
    content = rng.randbytes(PART + 1)
    for _ in range(4):
        proxy.lose_answers(1)
        proxy.let_pass(1)
    place = put(shaky, content)
    assert proxy.is_done
    assert get(shaky, place) == content
    shaky.remove(place)
    assert left_in_bucket() == []


# ---- The cache -----------------------------------------------------------------------------


def test_the_cache_answers_what_was_read_and_keeps_to_its_size(tmp_path, rng):
    folder = open_blobs(str(tmp_path / "blobs"))
    content = rng.randbytes(10_000)
    place = put(folder, content)
    cache = Cache(folder, size_max=3000)
    for offset in (0, 1000, 2000):
        assert cache.read(place, offset, 1000) == content[offset : offset + 1000]
    # The first is used once more, so of the four the second is the one to go.
    assert cache.read(place, 0, 1000) == content[:1000]
    assert cache.read(place, 3000, 1000) == content[3000:4000]
    assert cache.read(place, 0, 5000) == content[:5000]
    folder.remove(place)
    for offset in (0, 2000, 3000):
        assert cache.read(place, offset, 1000) == content[offset : offset + 1000]
    for offset, size in ((1000, 1000), (0, 5000)):
        with pytest.raises(FileNotFoundError):
            cache.read(place, offset, size)
