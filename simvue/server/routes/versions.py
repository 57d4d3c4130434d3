"""Versions: what this server is, as clients ask before anything else."""

from __future__ import annotations

from typing import Final

from litestar import Response, get

from simvue import wire

from ..forms import answer
from ..shapes import Version

# Official clients talk to servers from 1.1.0 to below 2.0.0, and send the level of an
# event from 1.2.16 on.
WIRE_VERSION: Final = "1.2.16"


@get("/version", answer=Version)
async def version() -> Response[bytes]:
    """Answer the version of the wire, and what we add to it."""
    return answer({"version": WIRE_VERSION, "features": wire.FEATURES})


@get("/nosim/version", answer=Version)
async def nosim_version() -> Response[bytes]:
    """Answer a version: clients that find none poison their own cache with the word None."""
    return answer({"version": WIRE_VERSION})


HANDLERS: Final = [version, nosim_version]
