"""Events: what a run said in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ... import listing
from ...models import EventSet, simvue_timestamp
from .rows import Rows

if TYPE_CHECKING:
    from typing_extensions import Self


class Events(Rows):
    """Events of one run, to be sent by ``commit``; they can only be added."""

    _collection = "events"

    @classmethod
    def new(cls, *, run: str, events: Sequence[EventSet | dict[str, Any]], **settings: Any) -> Self:
        """Prepare events of the run with that identifier."""
        rows = [EventSet.model_validate(event).model_dump() for event in events]
        return cls._prepare(settings, run=run, events=rows)

    @classmethod
    def get(  # type: ignore[override]
        cls,
        run_id: str,
        *,
        count: int | None = None,
        offset: int | None = None,
        filters: Sequence[str] | None = None,
        **settings: Any,
    ) -> Iterator[EventSet]:
        """Return an iterator over the events of a run, oldest first."""
        asked = {"run": run_id, "filters": listing.array(filters) if filters else None}
        remote = cls._prepare(settings)._remote
        found = listing.entries(remote, "/events", asked, offset or 0, count)
        return (EventSet.model_validate(entry) for entry in found)

    def histogram(
        self,
        timestamp_begin: datetime,
        timestamp_end: datetime,
        window: int,
        filters: Sequence[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Return how many events of the run fell into each *window* of seconds."""
        asked = {
            "run": self._staged.get("run"),
            "timestamp_begin": simvue_timestamp(timestamp_begin),
            "timestamp_end": simvue_timestamp(timestamp_end),
            "window": window,
            "filters": list(filters) if filters else None,
        }
        return list(self._remote.get("/events/histogram", asked)["data"])
