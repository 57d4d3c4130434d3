"""What a server is asked to watch for, checked before it is asked."""

from __future__ import annotations

from typing import Any

import pytest

from simvue import alerts
from simvue.exception import InvalidValueError

COMMON = {"name": "a", "description": None, "notification": "none", "trigger_abort": False}


def threshold(**changes: Any) -> dict[str, Any]:
    """Return the definition of a threshold alert, as it is or refused."""
    members = {
        "metric": "x", "threshold": 1, "rule": "is above", "window": None, "frequency": 1,
        "aggregation": "average", **COMMON, **changes,
    }  # fmt: skip
    return alerts.threshold_alert(**members)


def test_equal_definitions_have_equal_ids_and_others_have_not() -> None:
    assert threshold() == threshold()
    ids = [
        threshold(**changes)["id"]
        for changes in ({}, {"threshold": 2}, {"rule": "is below"}, {"name": "b"}, {"window": 2})
    ]
    assert len({*ids}) == len(ids)
    assert all(len(alert) == 22 for alert in ids)


def test_times_are_whole_minutes_and_the_window_is_as_long_as_the_frequency() -> None:
    assert threshold(frequency=0.2)["alert"]["frequency"] == 1
    assert threshold(frequency=3)["alert"]["window"] == 3
    assert threshold(frequency=3, window=4.5)["alert"]["window"] == 5


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "a*"}, "allowed are letters"),
        ({"name": None}, "allowed are letters"),
        ({"metric": ""}, "metric is the name of one"),
        ({"rule": "above"}, "rule is one of is above, is below"),
        ({"threshold": "high"}, "threshold is a number"),
        ({"threshold": float("nan")}, "threshold is a finite number"),
        ({"threshold": True}, "threshold is a number"),
        ({"frequency": 0}, "frequency is a positive number of minutes"),
        ({"window": -1}, "window is a positive number of minutes"),
        ({"aggregation": "mean"}, "aggregation is one of average"),
        ({"notification": "sms"}, "notification is one of none, email"),
        ({"description": 1}, "description is a text"),
    ],
)
def test_what_cannot_be_watched_for_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidValueError, match=told):
        threshold(**changes)


def test_a_range_has_a_low_and_a_high_end() -> None:
    def define(low: Any, high: Any) -> dict[str, Any]:
        return alerts.range_alert(
            "x", low, high, "is inside range", None, 1, "sum", **COMMON
        )  # fmt: skip

    assert define(-1, 2)["alert"]["range_high"] == 2
    for low, high in ((1, 1), (2, 1)):
        with pytest.raises(ValueError, match="range_low is below range_high"):
            define(low, high)


def test_a_pattern_is_a_text() -> None:
    for pattern in ("", None, 3):
        with pytest.raises(InvalidValueError, match="pattern is a text"):
            alerts.event_alert(pattern, 1, **COMMON)  # type: ignore[arg-type]
