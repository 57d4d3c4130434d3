"""Alerts that a user, or a simulation, raises by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ....remote import route
from .base import AlertBase, Notification, Status

if TYPE_CHECKING:
    from typing_extensions import Self


class UserAlert(AlertBase):
    """Raised by whoever calls ``set_status``."""

    @classmethod
    def new(
        cls,
        *,
        name: str,
        description: str | None = None,
        notification: Notification = "none",
        enabled: bool = True,
        **settings: Any,
    ) -> Self:
        """Prepare an alert called *name*."""
        return cls._prepare(
            settings,
            name=name,
            description=description,
            notification=notification,
            enabled=enabled,
            source="user",
        )

    def set_status(self, run_id: str, status: Status) -> None:
        """Set its state in a run, at once."""
        path = route("alerts", self._require_id(), "status", run_id)
        self._remote.put(path, {"status": status})
