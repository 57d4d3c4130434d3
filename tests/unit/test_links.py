"""Links work for what they say, for an hour, and for the server that made them."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from litestar.datastructures import MultiDict

from simvue import wire
from simvue.server.links import LIFETIME_S, Links, Purpose

ARTIFACT = wire.new_id()


class Clock:
    def __init__(self) -> None:
        self.now = 1_770_000_000.0

    def __call__(self) -> float:
        return self.now


def allowed(links: Links, url: str, purpose: Purpose = "put", artifact: str = ARTIFACT) -> bool:
    return links.allow(artifact, purpose, MultiDict(parse_qsl(urlsplit(url).query)))


def test_a_link_ends_after_its_hour() -> None:
    clock = Clock()
    links = Links(b"secret", clock)
    url = links.make("http://host:1", ARTIFACT, "put")
    assert url.startswith(f"http://host:1/api/files/{ARTIFACT}?")
    assert allowed(links, url)
    clock.now += LIFETIME_S
    assert allowed(links, url)
    clock.now += 1
    assert not allowed(links, url)


def test_a_link_is_good_for_nothing_else() -> None:
    links = Links(b"secret")
    url = links.make("", ARTIFACT, "put")
    assert not allowed(links, url, purpose="get")
    assert not allowed(links, url, artifact=wire.new_id())
    assert not allowed(Links(b"another"), url)


def test_nonsense_is_no_link() -> None:
    links = Links(b"secret")
    for query in (
        "",
        "until=1",
        "until=x&signature=y",
        "until=٣&signature=\udcff",
        "until=" + "9" * 99,
    ):
        assert not links.allow(
            ARTIFACT, "put", MultiDict(parse_qsl(query, errors="surrogateescape"))
        )
