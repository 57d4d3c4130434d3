"""A list of the server, read as it is asked for: filters, sorting, pages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from .exception import InvalidValueError, ServerError
from .remote import Remote

Sorting = Sequence[tuple[str, bool]]
"""Columns to sort by, the first first, and whether each is descending."""

PAGE: Final = 100
"""Entries of a list in one request: the most that the wire allows."""

_WHOLE: Final = frozenset({"/alerts", "/artifacts", "/storage"})
"""Lists that come in one answer; a number of entries is sent only to cut them."""


def entries(
    remote: Remote,
    path: str,
    params: Mapping[str, Any],
    start: int = 0,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Return an iterator over the entries of a list, *limit* at most; None means all.

    Asks for a page when it is read that far.  Raises InvalidValueError at once for a limit
    below 1, ServerError if the server's answer is not a list.
    """
    check_positive("the number of entries", limit)
    if path in _WHOLE:
        return _whole(remote, path, params, start, limit)
    return _pages(remote, path, params, start, limit)


def count(remote: Remote, path: str, params: Mapping[str, Any]) -> int:
    """Return how many entries a list has in all."""
    if path in _WHOLE:
        return len(_data(path, remote.get(path, params)))
    answer = remote.get(path, {**params, "start": 0, "count": 1})
    return max(int(answer.get("count", 0)), len(_data(path, answer)))


def _whole(
    remote: Remote, path: str, params: Mapping[str, Any], start: int, limit: int | None
) -> Iterator[dict[str, Any]]:
    asked = {**params, "start": start or None, "count": limit}
    data = _data(path, remote.get(path, asked))
    # A server may know no such numbers here and answer everything.
    if limit is not None and len(data) > limit:
        data = data[start : start + limit]
    yield from data


def _pages(
    remote: Remote, path: str, params: Mapping[str, Any], start: int, limit: int | None
) -> Iterator[dict[str, Any]]:
    # What is made while we read moves the entries down, so that a page repeats some.
    seen: set[str] = set()
    given = 0
    while limit is None or given < limit:
        size = PAGE if limit is None else min(PAGE, limit - given)
        answer = remote.get(path, {**params, "start": start, "count": size})
        data = _data(path, answer)
        for entry in data:
            # Events alone have no id, and a place that does not move.
            if entry.get("id") not in seen or "id" not in entry:
                seen.add(entry.get("id", ""))
                given += 1
                yield entry
        start += len(data)
        if not data or start >= answer.get("count", 0):
            return


def _data(path: str, answer: Any) -> list[dict[str, Any]]:
    data = answer.get("data") if isinstance(answer, dict) else answer
    # Of all lists only /storage is a bare array.
    if not isinstance(data, list) or (path not in _WHOLE and not isinstance(answer, dict)):
        raise ServerError(f"the server's answer for {path} is not a list")
    return data


# ---- Parameters ---------------------------------------------------------------------------------


def array(texts: Iterable[str]) -> str:
    """Write texts as a parameter of the wire has them."""
    return json.dumps(list(texts))


def sorted_by(columns: Sorting | None) -> str | None:
    """Write the columns to sort by as the wire has them; None for none."""
    if not columns:
        return None
    return json.dumps([{"id": column, "desc": descending} for column, descending in columns])


def check_texts(name: str, texts: Sequence[str] | None) -> list[str]:
    """Check a list of texts; None is an empty one."""
    # A single text is a sequence of texts as well, and never what was meant.
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts or ()):
        raise InvalidValueError(f"{name} must be a list of texts, not {texts!r}")
    return list(texts or ())


def check_among(name: str, value: str, words: Sequence[str]) -> None:
    """Check that *value* is one of *words*."""
    if value not in words:
        raise InvalidValueError(f"{name} must be one of {', '.join(words)}, not {value!r}")


def check_positive(name: str, value: int | None) -> None:
    """Check a number that may be left out."""
    if value is not None and value < 1:
        raise InvalidValueError(f"{name} must be 1 or more, not {value!r}")
