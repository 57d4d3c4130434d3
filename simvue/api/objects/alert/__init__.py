"""Alerts: rules over metrics, patterns in events, and those that a user raises."""

from .base import AlertBase
from .events import EventsAlert
from .fetch import Alert
from .metrics import MetricsRangeAlert, MetricsThresholdAlert
from .user import UserAlert

__all__ = [
    "Alert",
    "AlertBase",
    "EventsAlert",
    "MetricsRangeAlert",
    "MetricsThresholdAlert",
    "UserAlert",
]
