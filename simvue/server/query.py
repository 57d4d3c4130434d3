"""Query: what readers ask for, from the parameters of a URL to the store and back.

Parameters are read leniently where the wire is: booleans are Python's ``True`` and
``False``, unknown ones are ignored.  What cannot be meant is a 422 that names it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from litestar.datastructures import MultiDict

from . import filters
from .forms import checked, invalid, read_json
from .parameters import Column, Source
from .store import Filter, Query

# Objects of one page.  Official clients ask for a hundred; our page of runs for more.
PAGE: Final = 100
PAGE_MAX: Final = 1000
# The largest offset SQL can take.
START_MAX: Final = 2**63 - 1

Parameters = MultiDict[Any]
"""The parameters of a URL; one name may come several times."""


def flag(parameters: Parameters, name: str) -> bool:
    """Read a boolean as Python or JavaScript writes it; absent means False."""
    text = (parameters.get(name) or "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise invalid(f"{name} is True or False; got {text[:40]!r}", "query", name)
    return text in ("true", "1")


def whole(parameters: Parameters, name: str, most: int) -> int | None:
    """Read an integer from 0 to *most*; absent or empty means None."""
    text = parameters.get(name)
    if text is None or text in ("", "None"):
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most):
        raise invalid(f"{name} is an integer from 0 to {most}; got {text[:40]!r}", "query", name)
    return int(text)


def number(parameters: Parameters, name: str) -> float | None:
    """Read a finite number, exactly if it is an integer; absent or empty means None."""
    text = parameters.get(name)
    if text is None or text == "":
        return None
    try:
        value = float(text)
        if math.isfinite(value):
            # Steps and microseconds need every digit.
            return int(text) if text.lstrip("-").isdecimal() else value
    except ValueError:
        pass
    raise invalid(f"{name} is a number; got {text[:40]!r}", "query", name)


def texts(parameters: Parameters, name: str) -> list[str]:
    """Read a JSON array of strings; absent or empty means none."""
    return _strings(parameters.get(name) or "[]", name)


def sources(parameters: Parameters) -> list[Source]:
    """Read ``sources``, of which there is at least one."""
    value = read_json(parameters.get("sources") or "[]", "query", "sources")
    try:
        found = msgspec.convert(value, list[Source])
    except msgspec.ValidationError as error:
        raise invalid(
            f"sources is a JSON array of [run, rank or null, start or null]: {error}",
            "query",
            "sources",
        ) from None
    if not found or not all(math.isfinite(source.start or 0) for source in found):
        raise invalid("sources are one at least, each with a finite start", "query", "sources")
    return found


def conditions(parameters: Parameters) -> list[Filter]:
    """Read ``filters`` in any of its forms: a JSON array, raw strings repeated, nothing."""
    found: list[str] = []
    for text in parameters.getall("filters", []):
        if text.startswith("["):
            found += _strings(text, "filters")
        elif text.strip():
            found.append(text)
    with checked("query", "filters"):
        return filters.parse_all(found)


def _strings(text: str, name: str) -> list[str]:
    value = read_json(text, "query", name)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise invalid(f"{name} is a JSON array of strings; got {text[:80]!r}", "query", name)
    return value


def listing(parameters: Parameters, filtered: bool = True, paged: bool = True) -> Query:
    """Read a list request; what may be filtered and sorted by is for the store to say.

    A list that is not *paged* is all of it unless a number is asked for.
    """
    count = whole(parameters, "count", START_MAX)
    if paged:
        count = PAGE if count is None else min(count or PAGE_MAX, PAGE_MAX)
    return Query(
        filters=conditions(parameters) if filtered else [],
        sorting=_sorting(parameters),
        start=whole(parameters, "start", START_MAX) or 0,
        count=count or None,
    )


def _sorting(parameters: Parameters) -> list[tuple[str, bool]]:
    value = read_json(parameters.get("sorting") or "[]", "query", "sorting")
    try:
        columns = msgspec.convert(value, list[Column])
    except msgspec.ValidationError:
        raise invalid(
            'sorting is a JSON array of {"id": column, "desc": true or false}', "query", "sorting"
        ) from None
    return [(column.id, column.desc) for column in columns]


def fetch(ask: Callable[..., tuple[int, list[Any]]], query: Query, *rest: Any) -> dict[str, Any]:
    """Ask the store for a page, and word the answer: the total before paging, the objects."""
    with checked("query"):
        total, objects = ask(query, *rest)
    return page(total, objects)


def page(total: int, objects: Sequence[Any]) -> dict[str, Any]:
    """Make the answer of a list: the total before paging, and the objects of the page."""
    return {"count": total, "data": list(objects)}
