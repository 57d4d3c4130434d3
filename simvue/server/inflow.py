"""Inflow: bodies on their way in, and what bounds the memory they hold.

Counted on the event loop, in front of everything that reads a body, so that a full house
is said before a body is read::

    announced  ── larger than any body may be: 413
               ── no room beside those inside: 503, to be sent again
    received   ── nothing for half a minute: 408, and the room is free
    answered   ── the room is free
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from litestar.enums import ScopeType

from simvue import wire

from . import links
from .forms import Refused, send_refusal

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

# What may wait in memory in all: four of the largest bodies, and a third of what the
# smallest machine we think of (1 GiB) can spare.
WAITING_MAX: Final = 256 << 20
# A body is a segment plus its header, and JSON bodies obey the same limit.
BODY_MAX: Final = wire.BODY_SIZE_MAX + 4096
# A sender that is silent for this long has lost its network; it will send again, and its
# place is needed: four of the largest bodies are all that fit.
SILENCE_S: Final = 30.0


class Inflow:
    """ASGI application in front of *app* that bounds what bodies on their way in may hold.

    Files are not counted: they go to the disk as they come.

    All together hold at most *waiting_max* bytes of memory, from the announcement of a
    body to the answer.  A sender that says nothing for *silence* seconds gives its place up.
    """

    def __init__(
        self, app: ASGIApp, waiting_max: int = WAITING_MAX, silence: float = SILENCE_S
    ) -> None:
        self._app = app
        self._waiting_max = waiting_max
        self._silence = silence
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413, 503 or 408 to a body that does not fit or come; hand on every other."""
        length = _announced_length(scope) if scope["type"] == ScopeType.HTTP else 0
        if length == 0:
            await self._app(scope, receive, send)
            return
        streamed = scope["path"].startswith(links.PATH)
        body = _Body(self, receive, counted=length is None and not streamed)
        try:
            if length is not None and not streamed:
                body.hold(length)
            await self._app(scope, body.receive, send)
        except Refused as refused:
            await send_refusal(send, refused)
        except asyncio.CancelledError:
            if not body.silent:
                raise
            detail = f"the rest of the body did not come for {self._silence:.0f} s"
            await send_refusal(send, Refused(408, detail, {"Connection": "close"}))
        finally:
            body.release()

    def take(self, size: int) -> None:
        """Take room for *size* bytes; refuses (503) if there is none."""
        if self._waiting + size > self._waiting_max:
            raise Refused(
                503, "too many bodies wait to be stored; send again", {"Retry-After": "1"}
            )
        self._waiting += size

    def give_back(self, size: int) -> None:
        """Give back room that was taken."""
        self._waiting -= size

    @property
    def waiting(self) -> int:
        """Bytes that all bodies inside hold together."""
        return self._waiting

    @property
    def silence(self) -> float:
        """Seconds after which a sender that says nothing gives its place up."""
        return self._silence


class _Body:
    """One body on its way in: the room it holds, and when it was last heard of."""

    def __init__(self, inflow: Inflow, receive: Receive, counted: bool) -> None:
        self.silent = False
        self._inflow = inflow
        self._receive = receive
        # Sent in chunks of unknown number: counted as they come.
        self._counted = counted
        self._held = 0
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._heard = self._loop.time()
        # One timer for the whole body: a timeout around each receive costs a task a chunk.
        self._timer = self._loop.call_later(inflow.silence, self._look)

    def hold(self, size: int) -> None:
        if self._held + size > BODY_MAX:
            raise Refused(413, f"a body may have at most {wire.BODY_SIZE_MAX} bytes")
        self._inflow.take(size)
        self._held += size

    def release(self) -> None:
        self._timer.cancel()
        self._inflow.give_back(self._held)
        self._held = 0

    async def receive(self) -> Any:
        message: Any = await self._receive()
        self._heard = self._loop.time()
        if self._counted:
            self.hold(len(message.get("body", b"")))
        if not message.get("more_body", False):
            self._timer.cancel()
        return message

    def _look(self) -> None:
        remaining = self._heard + self._inflow.silence - self._loop.time()
        if remaining > 0:
            self._timer = self._loop.call_later(remaining, self._look)
        elif self._task is not None:
            self.silent = True
            self._task.cancel()


def _announced_length(scope: Scope) -> int | None:
    chunked = False
    for name, value in scope["headers"]:
        if name == b"content-length":
            # The HTTP parser has refused anything but digits.
            return int(value)
        chunked = chunked or name == b"transfer-encoding"
    return None if chunked else 0
