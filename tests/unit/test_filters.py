import pytest

from simvue.server.filters import parse, parse_all
from simvue.server.store import Filter

BUILT = [
    ("name == a run", Filter("name", "==", "a run")),
    ("name contains == in it", Filter("name", "contains", "== in it")),
    ("name != x contains y", Filter("name", "!=", "x contains y")),
    ("description contains slow", Filter("description", "contains", "slow")),
    ("description not contains slow", Filter("description", "not contains", "slow")),
    ("has tag.night run", Filter("tag", "has", "night run")),
    ("has not tag.draft", Filter("tag", "has not", "draft")),
    ("starred", Filter("starred", "is")),
    ("created < 3d", Filter("created", "<", "3d")),
    ("ended < 12h", Filter("ended", "<", "12h")),
    ("created > 1.5d", Filter("created", ">", "1.5d")),
    ("modified < 1y", Filter("modified", "<", "1y")),
    ("metadata.seed exists", Filter("metadata.seed", "exists")),
    ("metadata.seed not exists", Filter("metadata.seed", "not exists")),
    ("metadata.a key == 1.0", Filter("metadata.a key", "==", "1.0")),
    ("metadata.k == exists", Filter("metadata.k", "==", "exists")),
    ("metadata.k >= -1e3", Filter("metadata.k", ">=", "-1e3")),
    ("user == self", Filter("user", "==", "self")),
    ("status == running", Filter("status", "==", "running")),
    ("alert.status == critical", Filter("alert.status", "==", "critical")),
    ("folder.path contains /a b", Filter("folder.path", "contains", "/a b")),
    ("path == /", Filter("path", "==", "/")),
    ("system.cpu.arch != arm64", Filter("system.cpu.arch", "!=", "arm64")),
    ("system.gpu.processor == None", Filter("system.gpu.processor", "==", "None")),
    ("event.message contains a > b", Filter("event.message", "contains", "a > b")),
    ("beta > 2.0", Filter("metadata.beta", ">", "2.0")),
    ("folder.path within /a within b", Filter("folder.path", "within", "/a within b")),
    ("path within /", Filter("path", "within", "/")),
]


@pytest.mark.parametrize(("text", "condition"), BUILT, ids=[text for text, _ in BUILT])
def test_every_form_of_the_builders_is_read(text: str, condition: Filter) -> None:
    assert parse(text) == condition


@pytest.mark.parametrize(
    "text",
    [
        "",
        "beta",
        "== Linux",
        "system.platform.system !=",
        "system.platform.system != ",
        "name ==",
        "k > == 3",
        "has tag. == x",
        "has tag.",
        "has not tag.",
        "exists",
        "created < soon",
        "created < 9999999d",
        "created == 3d",
        "name=x",
        "name within /a",
        "path within a",
    ],
)
def test_a_malformed_string_says_what_is_wrong(text: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        parse(text)


def test_several_strings_are_read_in_order() -> None:
    assert parse_all(["starred", "status == lost"]) == [
        Filter("starred", "is"),
        Filter("status", "==", "lost"),
    ]
