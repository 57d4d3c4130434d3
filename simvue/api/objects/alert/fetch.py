"""Alerts of whatever kind they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from ..base import Picked, SimvueObject, Sort
from .base import AlertBase
from .events import EventsAlert
from .metrics import MetricsRangeAlert, MetricsThresholdAlert
from .user import UserAlert

AlertType: TypeAlias = EventsAlert | UserAlert | MetricsThresholdAlert | MetricsRangeAlert


class AlertSort(Sort):
    """A column to sort alerts by: name or created."""


class Alert(Picked):
    """Any alert: ``Alert(identifier)`` is of the class of its kind, and so is what ``get`` has."""

    _collection = "alerts"

    @classmethod
    def _kind(cls, members: Mapping[str, Any]) -> type[SimvueObject]:
        source, rule = members.get("source"), members.get("alert") or {}
        if source == "events":
            return EventsAlert
        if source == "user":
            return UserAlert
        if source == "metrics":
            return MetricsRangeAlert if "range_low" in rule else MetricsThresholdAlert
        return AlertBase
