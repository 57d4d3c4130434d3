"""Runs as objects of the server; `simvue.Run` is what records one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ...models import simvue_timestamp
from ...records import duration, moment
from ...remote import route
from ...wire import RunStatus
from .base import (
    Member,
    ObjectBatchArgs,
    SimvueObject,
    Sort,
    Visibility,
    VisibilityBatchArgs,
    as_dict,
    as_list,
)
from .filter import RunsFilter

if TYPE_CHECKING:
    from typing_extensions import Self


class RunSort(Sort):
    """A column to sort runs by: name, created, started, endtime, modified, ``metadata.<key>``."""


class RunBatchArgs(ObjectBatchArgs):
    """One run of a batch."""

    name: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    folder: str | None = None
    system: dict[str, Any] | None = None
    status: RunStatus = "created"


def _state(notifications: dict[str, str] | None) -> str:
    return (notifications or {}).get("state", "none")


def _write_moment(moment: datetime | str | None) -> str | None:
    return simvue_timestamp(moment) if moment else None


class Run(SimvueObject):
    """A run on the server."""

    _collection = "runs"

    name = Member[str]("What it is called; names may repeat.")
    status = Member[str]("created, running, completed, failed, terminated or lost.")
    folder = Member[str]("The path of the folder that it lies in.")
    tags = Member[list[str]]("Its tags; setting replaces them.", read=as_list, write=list)
    metadata = Member[dict[str, Any]]("Its metadata; what is set is merged deeply.", read=as_dict)
    description = Member[str | None]("What it is about.")
    system = Member[dict[str, Any]]("Where it ran.", read=as_dict)
    user = Member[str | None]("Whose it is.", write=None)
    ttl = Member[int | None]("Seconds after which it is deleted, None for never.")
    heartbeat_timeout = Member[int | None]("Seconds of silence after which it is lost.")
    notifications = Member[str](
        "When its owner gets mail: none, all, error or lost.",
        read=_state,
        write=lambda state: {"state": state},
    )
    created = Member[datetime | None]("When it was made.", read=moment, write=None)
    started = Member[datetime | None]("When it began to run.", read=moment, write=_write_moment)
    endtime = Member[datetime | None]("When it ended.", read=moment, write=_write_moment)
    runtime = Member[timedelta | None]("How long it ran.", read=duration, write=None)

    @classmethod
    def new(
        cls,
        *,
        folder: str,
        system: dict[str, Any] | None = None,
        status: RunStatus = "created",
        **settings: Any,
    ) -> Self:
        """Prepare a run in *folder*; further members may be given, or set before ``commit``."""
        return cls._prepare(settings, folder=folder, system=system, status=status)

    @classmethod
    def batch_create(
        cls,
        entries: Iterable[RunBatchArgs],
        *,
        visibility: VisibilityBatchArgs | None = None,
        folder: str | None = None,
        metadata: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Iterator[str]:
        """Create a run for each of *entries* in one request; yield their identifiers in order.

        *folder* is for those that name none, *metadata* for all; at most 20,000.
        """
        seen_by = visibility.model_dump(exclude_none=True) if visibility else {}
        runs = []
        for entry in entries:
            run = entry.model_dump(exclude_none=True)
            run.setdefault("folder", folder or "/")
            run["metadata"] = {**(metadata or {}), **run.get("metadata", {})}
            runs.append({**run, **({"visibility": seen_by} if seen_by else {})})
        template = cls._prepare(settings)
        for made in template._post("/runs", runs):
            yield made["id"]

    @classmethod
    def filter(cls) -> RunsFilter:
        """Return a filter to be built, and then asked for what fulfils it."""
        return RunsFilter(cls)

    @property
    def visibility(self) -> Visibility:
        """Who sees it: ``users``, ``tenant``, ``public``."""
        return Visibility(self, "visibility")

    @property
    def star(self) -> bool:
        """Whether it is starred; setting it does so at once."""
        return bool(self._get_attribute("starred", False))

    @star.setter
    def star(self, starred: bool) -> None:
        self._remote.put(self._route("starred"), {"starred": starred})

    @property
    def alerts(self) -> list[str]:
        """The identifiers of its alerts; setting replaces them."""
        found = self._get_attribute("alerts", None) or []
        return [one if isinstance(one, str) else one["alert"]["id"] for one in found]

    @alerts.setter
    def alerts(self, alerts: Iterable[str]) -> None:
        self._stage("alerts", list(dict.fromkeys(alerts)))

    def get_alert_details(self) -> Iterator[dict[str, Any]]:
        """Yield each of its alerts as the server describes it."""
        self.refresh()
        for one in self._members.get("alerts") or []:
            yield one["alert"]

    @property
    def metrics(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Its metrics: name and summary (count, min, max, last, step, time, ...)."""
        return iter((self._get_attribute("metrics", None) or {}).items())

    @property
    def events(self) -> Iterator[tuple[str, Any]]:
        """What the server says of its events; `Events.get` has them."""
        return iter((self._get_attribute("events", None) or {}).items())

    @property
    def artifacts(self) -> list[dict[str, Any]]:
        """Its artifacts, as the server describes them, each with its category."""
        return list(self._remote.get(self._route("artifacts")))

    @property
    def grids(self) -> list[dict[str, Any]]:
        """The grids of its tensor metrics, as the server describes them."""
        return list(self._remote.get(self._route("grids")))

    @property
    def abort_trigger(self) -> bool:
        """Whether it is asked to stop."""
        return bool(self._remote.get(self._route("abort")).get("status", False))

    def abort(self, reason: str) -> dict[str, Any]:
        """Ask it to stop; it notices when it next hears from the server."""
        return dict(self._remote.put(self._route("abort"), {"reason": reason}))

    def send_heartbeat(self) -> dict[str, Any]:
        """Tell the server that it lives."""
        return dict(self._remote.put(self._route("heartbeat")) or {})

    def _route(self, part: str) -> str:
        return route("runs", self._require_id(), part)
