"""Stats: how much there is, in all and of each user."""

from __future__ import annotations

from typing import Final

from litestar import Response, get

from .. import query
from ..forms import answer
from ..parameters import StatsOf
from ..store import Filter, Query
from . import Asked, check_administrator, threaded


@get("/stats", query=StatsOf, answer=dict[str, dict[str, int]])
@threaded
def stats(asked: Asked) -> Response[bytes]:
    """Answer how many runs there are by state; not ``single``, what each user has."""
    if "single" in asked.parameters and not query.flag(asked.parameters, "single"):
        check_administrator(asked)
        return answer(asked.store.usage(asked.parameters.get("tenant") or None))

    def count(*filters: Filter) -> int:
        return asked.store.list_runs(Query(filters=filters, count=0), asked.owner)[0]

    running = count(Filter("status", "==", "running"))
    completed = count(Filter("status", "==", "completed"))
    total = count()
    runs = {"created": total, "running": running, "completed": completed, "data": total}
    return answer({"runs": runs})


HANDLERS: Final = [stats]
