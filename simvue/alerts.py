"""Alerts: what a server watches for in a run, checked before it is told (wire.md 8.6).

Each function returns the members of an alert, or raises InvalidValueError.  The id is made of the
other members, so that equal alerts are one, whoever defines them and wherever.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, Literal

from simvue.exception import InvalidValueError
from simvue.wire import NAME_PATTERN, derived_id

ThresholdRule = Literal["is above", "is below"]
RangeRule = Literal["is inside range", "is outside range"]
Aggregation = Literal["average", "sum", "at least one", "all"]
Notification = Literal["none", "email"]
State = Literal["ok", "critical"]

_AGGREGATIONS: Final = ("average", "sum", "at least one", "all")
_THRESHOLD_RULES: Final = ("is above", "is below")
_RANGE_RULES: Final = ("is inside range", "is outside range")


def threshold_alert(
    metric: str,
    threshold: float,
    rule: str,
    window: float | None,
    frequency: float,
    aggregation: str,
    **common: Any,
) -> dict[str, Any]:
    """Return an alert on a metric that is above or below *threshold*; times are in minutes."""
    definition = {
        **_watch(metric, rule, _THRESHOLD_RULES, window, frequency, aggregation),
        "threshold": _number("threshold", threshold),
    }
    return _alert("metrics", definition, **common)


def range_alert(
    metric: str,
    range_low: float,
    range_high: float,
    rule: str,
    window: float | None,
    frequency: float,
    aggregation: str,
    **common: Any,
) -> dict[str, Any]:
    """Return an alert on a metric that is inside or outside of a range; times are in minutes."""
    low, high = _number("range_low", range_low), _number("range_high", range_high)
    if low >= high:
        raise InvalidValueError(f"range_low is below range_high; got {low} and {high}")
    definition = {
        **_watch(metric, rule, _RANGE_RULES, window, frequency, aggregation),
        "range_low": low,
        "range_high": high,
    }
    return _alert("metrics", definition, **common)


def event_alert(pattern: str, frequency: float, **common: Any) -> dict[str, Any]:
    """Return an alert on events that hold the text *pattern*."""
    if not isinstance(pattern, str) or not pattern:
        raise InvalidValueError(
            f"pattern is a text that is part of a message; got {pattern!r:.100}"
        )
    definition = {"pattern": pattern, "frequency": _minutes("frequency", frequency)}
    return _alert("events", definition, **common)


def user_alert(**common: Any) -> dict[str, Any]:
    """Return an alert that the run itself sets."""
    return _alert("user", None, **common)


def check_state(state: object) -> str:
    """Check the state that a run gives an alert."""
    return _among("state", state, ("ok", "critical"))


def _alert(
    source: str,
    definition: dict[str, Any] | None,
    name: str,
    description: str | None,
    notification: str,
    trigger_abort: bool,
) -> dict[str, Any]:
    if not isinstance(name, str) or NAME_PATTERN.fullmatch(name) is None:
        raise InvalidValueError(
            f"alert name {name!r:.100}: allowed are letters, digits, spaces and - _ / . :"
        )
    if description is not None and not isinstance(description, str):
        raise InvalidValueError(f"the description is a text, not {type(description).__name__}")
    alert: dict[str, Any] = {
        "name": name,
        "description": description,
        "notification": _among("notification", notification, ("none", "email")),
        "enabled": True,
        "abort": bool(trigger_abort),
        "source": source,
    }
    if definition is not None:
        alert["alert"] = definition
    return {"id": derived_id("alert", json.dumps(alert, sort_keys=True)), **alert}


def _watch(
    metric: str,
    rule: str,
    rules: tuple[str, ...],
    window: float | None,
    frequency: float,
    aggregation: str,
) -> dict[str, Any]:
    if not isinstance(metric, str) or not metric:
        raise InvalidValueError(f"metric is the name of one, or a glob; got {metric!r:.100}")
    minutes = _minutes("frequency", frequency)
    return {
        "metric": metric,
        "rule": _among("rule", rule, rules),
        "frequency": minutes,
        "window": minutes if window is None else _minutes("window", window),
        "aggregation": _among("aggregation", aggregation, _AGGREGATIONS),
    }


def _minutes(what: str, value: object) -> int:
    """Return a whole number of minutes, rounded up as the official documentation says."""
    minutes = _number(what, value)
    if minutes <= 0:
        raise InvalidValueError(f"{what} is a positive number of minutes; got {value!r}")
    return math.ceil(minutes)


def _number(what: str, value: object) -> float:
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise InvalidValueError(f"{what} is a number; got {value!r:.100}")
    number = float(value)
    if not math.isfinite(number):
        raise InvalidValueError(f"{what} is a finite number; got {value!r}")
    return number


def _among(what: str, value: object, words: tuple[str, ...]) -> str:
    if value not in words:
        raise InvalidValueError(f"{what} is one of {', '.join(words)}; got {value!r:.100}")
    return str(value)
