"""Users: who asks, and what there is in all."""

from __future__ import annotations

from typing import Final

from litestar import Response, get

from ..forms import answer
from ..store import Filter, Query
from . import Asked, threaded


@get("/whoami")
@threaded
def whoami(asked: Asked) -> Response[bytes]:
    """Answer whom the token speaks for."""
    token = asked.token
    return answer({"user": token.user, "tenant": token.tenant, "is_admin": token.is_admin})


@get("/stats")
@threaded
def stats(asked: Asked) -> Response[bytes]:
    """Answer how many runs there are, in all and by state."""

    def count(*filters: Filter) -> int:
        return asked.store.list_runs(Query(filters=filters, count=0), asked.owner)[0]

    running = count(Filter("status", "==", "running"))
    completed = count(Filter("status", "==", "completed"))
    total = count()
    runs = {"created": total, "running": running, "completed": completed, "data": total}
    return answer({"runs": runs})


HANDLERS: Final = [whoami, stats]
