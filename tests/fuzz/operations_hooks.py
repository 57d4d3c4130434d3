"""What schemathesis has to know of our wire: msgpack, and objects that there are.

Loaded by its command line (``SCHEMATHESIS_HOOKS``), in a process of its own.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from typing import Any

import msgpack
import schemathesis

KNOWN: dict[str, list[str]] = json.loads(os.environ["SIMVUE_FUZZ_KNOWN"])
"""By the name that parameters and members have: the ids of such objects."""
OWN: list[str] = json.loads(os.environ["SIMVUE_FUZZ_OWN"])
"""Who asks, its tenant and its token, without which nothing more is asked; and the root."""

_ID = re.compile(r"[A-Za-z0-9]{22}")


@schemathesis.serializer("application/msgpack")
def pack(_: Any, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return bytes(msgpack.packb(value, unicode_errors="surrogatepass"))
    except OverflowError:
        # JSON knows integers that msgpack has no form for: their text is a wrong body too.
        return repr(value).encode()


@schemathesis.deserializer("application/msgpack")
def unpack(_: Any, response: Any) -> Any:
    return msgpack.unpackb(response.content)


@schemathesis.hook
def before_call(_: Any, case: Any, **__: Any) -> None:
    """Have every second id that was made up be that of an object that there is."""
    for found in (case.path_parameters, case.query, case.body):
        if isinstance(found, dict):
            for name, value in found.items():
                found[name] = _exchanged(name, value, case.method == "DELETE")


def _exchanged(name: str, value: Any, deleted: bool) -> Any:
    known = KNOWN.get(name.removesuffix("s"), [])
    if value in OWN or (deleted and value in known):
        # What is there from the start stays as it is: backwards it is the id of nothing.
        return value[::-1]
    number = zlib.crc32(repr(value).encode())
    if deleted or not known or number & 1:
        return value
    if name == "runs":
        # A list in a query is text.
        return json.dumps(known)
    made_up = isinstance(value, str) and _ID.fullmatch(value)
    return known[number % len(known)] if made_up else value
