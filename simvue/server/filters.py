"""Filters: the strings that clients send to narrow a list, as conditions for the store.

One string is one condition (wire.md section 7), ``<key> <operator> <value>`` with single
spaces, the value unquoted and running to the end::

    status == running           Filter("status", "==", "running")
    has tag.night run           Filter("tag", "has", "night run")
    has not tag.draft           Filter("tag", "has not", "draft")
    starred                     Filter("starred", "is")
    metadata.seed exists        Filter("metadata.seed", "exists")
    metadata.seed not exists    Filter("metadata.seed", "not exists")
    created < 3d                Filter("created", "<", "3d")     younger than three days
    beta > 2.0                  Filter("metadata.beta", ">", "2.0")
    folder.path within /sweep   Filter("folder.path", "within", "/sweep")    there or below

A key that is no column of a run or folder is a metadata key: people type them bare.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .store import Filter

AGES: Final = frozenset({"created", "started", "modified", "ended"})
COLUMNS: Final = frozenset(
    {
        "name",
        "description",
        "user",
        "status",
        "path",
        "folder.path",
        "artifact.id",
        "artifact.checksum",
        "event.message",
    }
)
# Families of columns; what follows the dot is the store's business.
FAMILIES: Final = ("metadata.", "system.", "alert.", "event.")

_HAS = re.compile(r"has( not)? tag\.(.+)", re.DOTALL)
_WITHIN = re.compile(r"((?:folder\.)?path) within (/.*)", re.DOTALL)
_EXISTS = re.compile(r"(\S.*?) (not exists|exists)")
# The key is the shortest text before an operator, so a value may hold operators, and
# "not contains" is met before the "contains" inside it.
_COMPARISON = re.compile(r"(\S.*?) (==|!=|>=|<=|>|<|not contains|contains) (.+)", re.DOTALL)
_OPERATOR = re.compile(r"(==|!=|>=|<=|>|<)( |$)")
# Five digits: in years they still fit the microseconds that stores count in.
_AGE = re.compile(r"\d{1,5}(\.\d{1,6})?[hdy]")


def parse(text: str) -> Filter:
    """Read one condition; raise ValueError that says what is wrong with it."""
    text = text.strip()
    if text == "starred":
        return Filter("starred", "is")
    if match := _HAS.fullmatch(text):
        if _OPERATOR.match(match[2].strip()):
            raise ValueError(f"filter {text[:200]!r} is malformed: has tag. takes a name alone")
        return Filter("tag", "has not" if match[1] else "has", match[2])
    if match := _WITHIN.fullmatch(text):
        return Filter(match[1], "within", match[2])
    if match := _COMPARISON.fullmatch(text):
        return _comparison(text, match[1], match[2], match[3])
    if match := _EXISTS.fullmatch(text):
        return Filter(_qualified(match[1]), match[2])
    raise ValueError(
        f"filter {text[:200]!r} is malformed: write <key> <operator> <value>, "
        "for instance status == running"
    )


def parse_all(texts: Iterable[str]) -> list[Filter]:
    """Read several conditions, all of which must hold; raises ValueError at the first bad one."""
    return [parse(text) for text in texts]


def _comparison(text: str, key: str, op: str, value: str) -> Filter:
    # Clients have built strings like "== Linux" and "k > == 3": an operator where a key or
    # value should be is such an accident, and matching nothing would hide it.
    if _OPERATOR.match(key) or ("contains" not in op and _OPERATOR.match(value)):
        raise ValueError(f"filter {text[:200]!r} is malformed: two operators follow each other")
    if key in AGES:
        if op not in ("<", ">") or not _AGE.fullmatch(value):
            raise ValueError(
                f"filter {text[:200]!r} is malformed: an age reads {key} < N (younger) or > N "
                f"(older), N followed by h, d or y; for instance {key} < 3d"
            )
        return Filter(key, op, value)
    return Filter(_qualified(key), op, value)


def _qualified(key: str) -> str:
    if key in COLUMNS or key.startswith(FAMILIES):
        return key
    return f"metadata.{key}"
