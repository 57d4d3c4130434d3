"""Routes: what the wire's paths mean, one file a resource; each lists its HANDLERS.

A handler is a plain function that a thread runs: it reads the request's form, calls the
store, and words the answer.  Success is always 200 with a JSON body, because official
clients take 201 and 204 for failures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from litestar import Request, Response

from ..query import Parameters
from ..store import Store, Token


@dataclass(frozen=True)
class Asked:
    """One request as a handler sees it: who asks what of which store."""

    store: Store
    token: Token
    parameters: Parameters
    body: bytes

    @property
    def owner(self) -> str:
        """Name whoever asks."""
        return self.token.user


def threaded(
    handler: Callable[..., Response[bytes]],
) -> Callable[[Request[Any, Any, Any]], Awaitable[Response[bytes]]]:
    """Make what Litestar calls of *handler*, which gets an Asked and the path's parameters."""

    async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        asked = Asked(
            request.app.state.store,
            request.scope["user"],
            request.query_params,
            await request.body(),
        )
        return await asyncio.to_thread(handler, asked, **request.path_params)

    handle.__name__, handle.__doc__ = handler.__name__, handler.__doc__
    return handle
