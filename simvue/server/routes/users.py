"""Users: who asks, and what there is in all."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, get

from ..forms import answer
from ..store import Filter, Query, Store


@get("/whoami", sync_to_thread=False)
def whoami(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer whom the token speaks for."""
    token = request.scope["user"]
    return answer({"user": token.user, "tenant": token.tenant, "is_admin": token.is_admin})


@get("/stats", sync_to_thread=True)
def stats(request: Request[Any, Any, Any], store: Store) -> Response[bytes]:
    """Answer how many runs there are, in all and by state."""
    owner = request.scope["user"].user

    def count(*filters: Filter) -> int:
        return store.list_runs(Query(filters=filters, count=0), owner)[0]

    running = count(Filter("status", "==", "running"))
    completed = count(Filter("status", "==", "completed"))
    total = count()
    runs = {"created": total, "running": running, "completed": completed, "data": total}
    return answer({"runs": runs})


HANDLERS: Final = [whoami, stats]
