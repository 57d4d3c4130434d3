"""Metadata: how updates merge, and what filters see of it.

Metadata is any JSON.  It is kept as text; beside it every member becomes a typed
attribute, so that a filter is an index search and never parses JSON::

    {"seed": 7, "mesh": {"kind": "hex", "refined": true}}

    metadata.seed           num 7
    metadata.mesh
    metadata.mesh.kind                  txt hex
    metadata.mesh.refined   num 1       txt true
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

TEXT_SIZE_MAX: Final = 512
"""Characters of a text that filters see; chosen: indexes are for names, not for documents, and
PostgreSQL's take 2,700 bytes."""

_NAME_SIZE_MAX: Final = 600
"""Bytes of a name that filters can ask for, in an index beside such a text."""

Attribute = tuple[str, float | None, str | None]


def attributes(name: str, value: Any) -> list[Attribute]:
    """Return what filters see of *value*, called *name*: of each of its members one attribute.

    Of two called the same, as in ``{"a.b": 1, "a": {"b": 2}}``, the last.
    """
    found = {one[0]: one for one in _flat(name, value)}
    return [one for one in found.values() if len(one[0].encode()) <= _NAME_SIZE_MAX]


def merged(old: Any, new: Any) -> Any:
    """Return *old* with *new* laid over it: objects merge member by member, the rest replaces."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    result = dict(old)
    for key, value in new.items():
        result[key] = merged(old[key], value) if key in old else value
    return result


def _flat(name: str, value: Any) -> Iterator[Attribute]:
    """Yield (name, number, text) of *value*, called *name*, and of all its members."""
    if isinstance(value, bool):
        yield name, int(value), "true" if value else "false"
    elif isinstance(value, int) and -(2**63) <= value < 2**63:
        yield name, value, None
    elif isinstance(value, int | float):
        # SQL has no NaN; as a text it can at least be asked for.
        yield (name, None, "NaN") if math.isnan(value) else (name, float(value), None)
    elif isinstance(value, str):
        yield name, None, value[:TEXT_SIZE_MAX]
    else:
        yield name, None, None
        if isinstance(value, dict):
            for key, member in value.items():
                yield from _flat(f"{name}.{key}", member)
