"""What alerts of every kind have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from ....records import moment
from ....remote import route
from ..base import Member, Part, SimvueObject, as_list

Notification = Literal["none", "email"]
Aggregation = Literal["average", "sum", "at least one", "all"]
Status = Literal["ok", "critical"]


class Definition(Part):
    """The rule of an alert."""

    @property
    def frequency(self) -> int:
        """Minutes between two looks."""
        return int(self._read("frequency"))

    @frequency.setter
    def frequency(self, frequency: int) -> None:
        self._change("frequency", frequency)


class AlertBase(SimvueObject):
    """An alert.  Two are equal if they would be raised for the same thing."""

    _collection = "alerts"

    name = Member[str]("What it is called.")
    description = Member[str | None]("What it means.")
    notification = Member[Notification]("Who is told: none, or email to the owner.")
    source = Member[str]("What it watches: metrics, events or user.", write=None)
    enabled = Member[bool]("Whether it watches.")
    abort = Member[bool]("Whether it asks the run to stop.", missing=False)
    auto = Member[bool]("Whether runs with its tags get it by themselves.", missing=False)
    run_tags = Member[list[str]]("The tags for that.", read=as_list, write=None)
    delay = Member[int]("Minutes of a run before it watches.", write=None, missing=0)
    created = Member[datetime | None]("When it was made.", read=moment, write=None)

    @classmethod
    def label(cls) -> str:
        """Return what such an object is called."""
        return "alert"

    def get_alert(self) -> dict[str, Any]:
        """Return the rule as the server describes it."""
        return dict(self._get_attribute("alert", None) or {})

    def compare(self, other: AlertBase) -> bool:
        """Tell whether *other* has the same name, rule and consequences."""
        if type(self) is not type(other):
            return False
        own, others = self.to_dict(), other.to_dict()
        compared = ("name", "description", "source", "notification", "abort", "alert")
        return all((own.get(key) or None) == (others.get(key) or None) for key in compared)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AlertBase) and (super().__eq__(other) or self.compare(other))

    __hash__ = SimvueObject.__hash__

    def get_status(self, run_id: str) -> Status | None:
        """Return its state in a run, None while it has none."""
        answer = self._remote.get(route("alerts", self._require_id(), "status", run_id))
        status: Status | None = answer.get("status")
        return status

    def _create(self) -> dict[str, Any]:
        described = {key: value for key, value in self._staged.items() if value is not None}
        # One of the same definition is used again, not made twice.
        answer: dict[str, Any] = self._post("/alerts", described, {"deduplicate": True})
        return answer
