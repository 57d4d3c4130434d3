"""Ledger: every request as it is answered: counted, timed, and logged if there is a reason.

A request has an id: the one that a proxy gave it (``X-Request-Id``) or one of our own.  The
answer carries it, and so does every line of the log that the request caused.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from litestar.enums import ScopeType

from simvue import wire

from . import logs, meters

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("simvue.server.ledger")

# Told at level info: charts take milliseconds, and a body that waits for so long waits for a disk.
SLOW_S: Final = 2.0
# What is asked where there is no route, and what the door refuses, whatever its path.
NOWHERE: Final = "none"

_HEADER: Final = b"x-request-id"
_ID: Final = re.compile(rb"[\w.-]{1,64}", re.ASCII)


class Ledger:
    """ASGI application in front of *app* that writes down what each request was answered.

    A request takes the time from its head to the head of its answer: a stream that stays
    open for minutes is answered at once, and a download is not slow because its reader is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on the request, and note the head of its answer."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        request = _identify(scope)
        logs.REQUEST.set(request.decode("ascii"))

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (_HEADER, request)]
                _note(scope, message["status"], time.perf_counter() - begun)
            await send(message)

        await self._app(scope, receive, note)


def _identify(scope: Scope) -> bytes:
    given = next((value for name, value in scope["headers"] if name == _HEADER), b"")
    return given if _ID.fullmatch(given) else secrets.token_hex(8).encode("ascii")


def _note(scope: Any, status: int, seconds: float) -> None:
    # The parser knows the methods that there are, and only routes of ours have a template.
    method, route = scope["method"], scope.get("path_template", NOWHERE)
    meters.REQUESTS.labels(method, route, status).inc()
    meters.REQUEST_SECONDS.labels(method, route).observe(seconds)
    if status >= 500:
        level = logging.WARNING
    elif status >= 400 or seconds > SLOW_S:
        level = logging.INFO
    else:
        level = logging.DEBUG
    if logger.isEnabledFor(level):
        _log(level, scope, status, seconds)


def _log(level: int, scope: Any, status: int, seconds: float) -> None:
    # As it was sent, without the `?` and what follows: it may hold a token.
    path = scope["raw_path"].decode("ascii", "backslashreplace")[:200]
    user = scope.get("user")
    run = scope.get("path_params", {}).get("run", "")
    fields = {
        "method": scope["method"],
        "path": path,
        "status": status,
        "seconds": round(seconds, 6),
        "user": user.user if user else None,
        "run": run if wire.is_id(run) else None,
    }
    present = {name: value for name, value in fields.items() if value is not None}
    logger.log(level, "%s %s answered %d", scope["method"], path, status, extra={"fields": present})
