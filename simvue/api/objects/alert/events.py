"""Alerts that watch events for a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import AlertBase, Definition, Notification

if TYPE_CHECKING:
    from typing_extensions import Self


class EventsDefinition(Definition):
    """What an event has to contain."""

    @property
    def pattern(self) -> str:
        """The text that is looked for."""
        return str(self._read("pattern"))


class EventsAlert(AlertBase):
    """Raised by an event that contains a text."""

    @property
    def alert(self) -> EventsDefinition:
        """Its rule."""
        return EventsDefinition(self, "alert")

    @classmethod
    def new(
        cls,
        *,
        name: str,
        pattern: str,
        frequency: int = 1,
        description: str | None = None,
        notification: Notification = "none",
        enabled: bool = True,
        **settings: Any,
    ) -> Self:
        """Prepare an alert for events that contain *pattern*; *frequency* is in minutes."""
        return cls._prepare(
            settings,
            name=name,
            description=description,
            notification=notification,
            enabled=enabled,
            source="events",
            alert={"pattern": pattern, "frequency": frequency},
        )
