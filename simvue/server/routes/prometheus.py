"""Prometheus: what the server counts of itself, as Prometheus asks for it (``meters.py``)."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, get

from .. import meters


@get("/metrics", sync_to_thread=True)
def show(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer every metric of this process to whoever has a token."""
    content, media_type = meters.page(request.headers.get("accept", ""))
    return Response(content, media_type=media_type, headers={"Cache-Control": "no-store"})


HANDLERS: Final = [show]
