"""Alerts that watch a metric: against a threshold, or a range."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from ....exception import InvalidValueError
from .base import Aggregation, AlertBase, Definition, Notification

if TYPE_CHECKING:
    from typing_extensions import Self


class MetricsDefinition(Definition):
    """Which metric is watched, and how its values of a window are taken together."""

    @property
    def metric(self) -> str:
        """The metric's name, or a pattern with ``*``."""
        return str(self._read("metric"))

    @property
    def aggregation(self) -> Aggregation:
        """How the values are taken together."""
        aggregation: Aggregation = self._read("aggregation")
        return aggregation

    @property
    def rule(self) -> str:
        """When it is raised, ``is above`` say."""
        return str(self._read("rule"))

    @property
    def window(self) -> int:
        """The minutes of values that are taken together."""
        return int(self._read("window"))


class ThresholdDefinition(MetricsDefinition):
    """A rule with one limit."""

    @property
    def threshold(self) -> float:
        """The limit."""
        return float(self._read("threshold"))


class RangeDefinition(MetricsDefinition):
    """A rule with two limits."""

    @property
    def range_low(self) -> float:
        """The lower limit."""
        return float(self._read("range_low"))

    @property
    def range_high(self) -> float:
        """The upper limit."""
        return float(self._read("range_high"))


class MetricsThresholdAlert(AlertBase):
    """Raised by a metric above or below a limit."""

    @property
    def alert(self) -> ThresholdDefinition:
        """Its rule."""
        return ThresholdDefinition(self, "alert")

    @classmethod
    def new(
        cls,
        *,
        name: str,
        metric: str,
        threshold: float,
        rule: Literal["is above", "is below"],
        aggregation: Aggregation = "average",
        window: int = 1,
        frequency: int = 1,
        description: str | None = None,
        notification: Notification = "none",
        enabled: bool = True,
        **settings: Any,
    ) -> Self:
        """Prepare an alert for *metric* against *threshold*; *window*, *frequency* in minutes."""
        return cls._prepare(
            settings,
            name=name,
            description=description,
            notification=notification,
            enabled=enabled,
            source="metrics",
            alert={
                "metric": metric,
                "rule": rule,
                "threshold": threshold,
                "aggregation": aggregation,
                "window": window,
                "frequency": frequency,
            },
        )


class MetricsRangeAlert(AlertBase):
    """Raised by a metric inside or outside a range."""

    @property
    def alert(self) -> RangeDefinition:
        """Its rule."""
        return RangeDefinition(self, "alert")

    @classmethod
    def new(
        cls,
        *,
        name: str,
        metric: str,
        range_low: float,
        range_high: float,
        rule: Literal["is inside range", "is outside range"],
        aggregation: Aggregation = "average",
        window: int = 1,
        frequency: int = 1,
        description: str | None = None,
        notification: Notification = "none",
        enabled: bool = True,
        **settings: Any,
    ) -> Self:
        """Prepare an alert for *metric* against a range; *window*, *frequency* in minutes."""
        if range_low >= range_high:
            raise InvalidValueError(f"range_low {range_low} is not below range_high {range_high}")
        return cls._prepare(
            settings,
            name=name,
            description=description,
            notification=notification,
            enabled=enabled,
            source="metrics",
            alert={
                "metric": metric,
                "rule": rule,
                "range_low": range_low,
                "range_high": range_high,
                "aggregation": aggregation,
                "window": window,
                "frequency": frequency,
            },
        )
