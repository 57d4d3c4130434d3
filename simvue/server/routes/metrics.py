"""Metrics: rows in; values, names and spans out, as JSON for official clients and as columns."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Request, Response, get, post

from ..ingest import Ingest, gone
from ..store import RunGone


@post("/metrics", exception_handlers={RunGone: gone})
async def add_metrics(request: Request[Any, Any, Any], ingest: Ingest) -> Response[bytes]:
    """Store a body of metric rows."""
    return await ingest.add_metrics(request)


HANDLERS: Final = [add_metrics]
