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

from ..auth import Tokens
from ..forms import Refused
from ..links import Links, base_url
from ..live import Live
from ..query import Parameters
from ..store import Store, Token


@dataclass(frozen=True)
class Asked:
    """One request as a handler sees it: who asks what of which store."""

    store: Store
    live: Live
    tokens: Tokens
    links: Links
    token: Token
    base: str
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
            request.app.state.live,
            request.app.state.tokens,
            request.app.state.links,
            request.scope["user"],
            base_url(request),
            request.query_params,
            await request.body(),
        )
        return await asyncio.to_thread(handler, asked, **request.path_params)

    handle.__name__, handle.__doc__ = handler.__name__, handler.__doc__
    return handle


def administered(
    handler: Callable[..., Response[bytes]],
) -> Callable[[Request[Any, Any, Any]], Awaitable[Response[bytes]]]:
    """Make what Litestar calls of a *handler* that is for administrators only.

    What it does to users may take something from their tokens, which counts at once.
    """

    def handle(asked: Asked, **path: str) -> Response[bytes]:
        check_administrator(asked)
        response = handler(asked, **path)
        asked.tokens.forget()
        return response

    handle.__name__, handle.__doc__ = handler.__name__, handler.__doc__
    return threaded(handle)


def check_administrator(asked: Asked) -> None:
    """Refuse (403) a token that is not an administrator's."""
    if not asked.token.is_admin:
        raise Refused(403, "this is for administrators")
