"""Rules of alerts as pure functions, and when the server looks at what arrived."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from simvue import wire
from simvue._columns import decode_metrics
from simvue.exception import StoreError
from simvue.server.alerts import MINUTE_S, Alerts, judge, read_rule
from simvue.server.forms import Refused
from simvue.server.live import Live
from simvue.server.store import Event, Store, open_store

START = 1_770_000_000
NAN, INF = math.nan, math.inf


def above(threshold: float, **members: Any) -> dict[str, Any]:
    return {
        "metric": "loss",
        "rule": "is above",
        "threshold": threshold,
        "aggregation": "at least one",
        "window": 5,
        "frequency": 1,
        **members,
    }


class TestRules:
    @pytest.mark.parametrize(
        ("rule", "aggregation", "values", "critical"),
        [
            ("is above", "average", [1, 4], True),  # 2.5 > 2
            ("is above", "average", [0, 4], False),  # 2 is not above 2
            ("is above", "sum", [1, 1.5], True),
            ("is above", "sum", [3, -1], False),
            ("is above", "at least one", [0, 3], True),
            ("is above", "at least one", [0, 2], False),
            ("is above", "all", [3, 3], True),
            ("is above", "all", [3, 2], False),
            ("is below", "average", [1, 2], True),
            ("is below", "average", [1, 3], False),
            ("is below", "sum", [1, 2], False),
            ("is below", "at least one", [5, 1], True),
            ("is below", "all", [5, 1], False),
            ("is above", "at least one", [NAN, 3], True),
            ("is above", "all", [NAN, 3], True),
            ("is above", "average", [NAN, 3], True),
            ("is above", "average", [INF, 0], True),
            ("is above", "average", [INF, -INF], False),
            ("is below", "sum", [-1e308, -1e308], True),
        ],
    )
    def test_a_threshold_of_2(
        self, rule: str, aggregation: str, values: list[float], critical: bool
    ) -> None:
        found = read_rule("metrics", above(2, rule=rule, aggregation=aggregation))
        status = judge(found, np.array(values, float))  # type: ignore[arg-type]
        assert status == ("critical" if critical else "ok")

    @pytest.mark.parametrize(
        ("rule", "aggregation", "values", "critical"),
        [
            ("is inside range", "all", [1, 3], True),  # both ends are inside
            ("is outside range", "at least one", [1, 3], False),
            ("is outside range", "at least one", [1, 3.5], True),
            ("is outside range", "average", [0, 4], False),  # 2 is inside
            ("is inside range", "average", [0, 4], True),
            ("is outside range", "sum", [2, 2], True),
            ("is outside range", "all", [0, 2], False),
            ("is outside range", "average", [INF, -INF], False),
        ],
    )
    def test_a_range_from_1_to_3(
        self, rule: str, aggregation: str, values: list[float], critical: bool
    ) -> None:
        definition = above(0, rule=rule, aggregation=aggregation, range_low=1, range_high=3)
        del definition["threshold"]
        status = judge(read_rule("metrics", definition), np.array(values, float))  # type: ignore[arg-type]
        assert status == ("critical" if critical else "ok")

    @pytest.mark.parametrize("values", [[], [NAN], [NAN, NAN]])
    def test_nothing_is_neither_ok_nor_critical(self, values: list[float]) -> None:
        for aggregation in ("average", "sum", "at least one", "all"):
            rule = read_rule("metrics", above(2, aggregation=aggregation))
            assert judge(rule, np.array(values, float)) is None  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("source", "definition", "loc"),
        [
            ("events", {}, []),
            ("events", None, []),
            ("events", {"pattern": ""}, ["pattern"]),
            ("events", {"pattern": "x", "frequency": 0}, ["frequency"]),
            ("events", {"pattern": "x", "frequency": 10**9}, ["frequency"]),
            ("metrics", {}, []),
            ("metrics", [], []),
            ("metrics", above(NAN), []),
            ("metrics", above(INF), []),
            ("metrics", above(1, rule="is inside range"), ["rule"]),
            ("metrics", above(1, aggregation="some"), ["aggregation"]),
            ("metrics", above(1, window=0), ["window"]),
            ("metrics", above(1, metric=""), ["metric"]),
            ("metrics", {"metric": "m", "rule": "is inside range", "range_low": 1}, []),
            (
                "metrics",
                {"metric": "m", "rule": "is inside range", "range_low": 2, "range_high": 1},
                [],
            ),
        ],
    )
    def test_what_is_no_rule_is_refused(self, source: str, definition: Any, loc: list[str]) -> None:
        with pytest.raises(Refused) as caught:
            read_rule(source, definition)
        assert caught.value.status == 422
        assert caught.value.detail[0]["loc"] == ["body", "alert", *loc]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watch:
    """Alerts over a store of their own, and a run on which something arrives now and then."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = Clock()
        self.alerts = Alerts(store, Live(), self.clock)
        self.run = self.new_run()
        self.attached: list[str] = []
        self.step = 0

    def new_run(self) -> str:
        return self.store.create_run({"folder": "/", "status": "running"}, "ada")[0]

    def attach(self, source: str, definition: dict[str, Any], **members: Any) -> str:
        """Attach a new alert to the run; return its id."""
        alert = {
            "name": "an alert",
            "description": None,
            "source": source,
            "alert": definition,
            "notification": "none",
            "enabled": True,
            "abort": False,
            "auto": False,
            **members,
        }
        self.attached.append(self.store.create_alert(alert, "ada", False)[0])
        self.store.update_run(self.run, {"alerts": self.attached})
        return self.attached[-1]

    def log(self, name: str, *values: float, minutes: float = 0) -> None:
        """Store rows a microsecond apart, their timestamps *minutes* after the start."""
        base = int((START + minutes * 60) * 1e6)
        rows = []
        for value in values:
            self.step += 1
            rows.append(
                {
                    "values": {name: value},
                    "time": 0.0,
                    "timestamp": wire.format_timestamp(base + self.step),
                    "step": self.step,
                }
            )
        body = msgpack.packb({"run": self.run, "metrics": rows})
        self.store.add_metrics(self.run, decode_metrics(body), None)
        self.alerts.hear(self.run)

    def say(self, message: str) -> None:
        self.store.add_events(self.run, [Event(START * 1_000_000, "info", message)], None)
        self.alerts.hear(self.run)

    def status_after(self, minutes: float, alert: str) -> str | None:
        """Look once after *minutes*; return how *alert* stands then."""
        self.clock.now += minutes * MINUTE_S
        self.alerts.look()
        return self.store.alert_status(alert, self.run)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    store = open_store(str(tmp_path))
    yield Watch(store)
    store.close()


def test_the_first_rows_are_judged_at_the_next_look(watch: Watch) -> None:
    alert = watch.attach("metrics", above(2))
    assert watch.status_after(0, alert) is None, "nothing arrived"
    watch.log("accuracy", 9)
    assert watch.status_after(0, alert) is None, "of another metric"
    watch.log("loss", 1, 3)
    assert watch.status_after(0, alert) == "critical"


def test_an_alert_is_judged_once_in_its_frequency_and_never_forgotten(watch: Watch) -> None:
    alert = watch.attach("metrics", above(2, frequency=2, window=1))
    watch.log("loss", 1)
    assert watch.status_after(0, alert) == "ok"
    watch.log("loss", 3, minutes=0.1)
    assert watch.status_after(0.5, alert) == "ok"
    assert watch.status_after(1.0, alert) == "ok", "a minute and a half after the first"
    assert watch.status_after(0.6, alert) == "critical", "though nothing else has arrived"


def test_the_window_ends_at_the_newest_row(watch: Watch) -> None:
    alert = watch.attach("metrics", above(2, window=5))
    watch.log("loss", 3)
    assert watch.status_after(0, alert) == "critical"
    watch.log("loss", 1, minutes=4)
    assert watch.status_after(1, alert) == "critical", "four minutes ago is inside"
    watch.log("loss", 1, minutes=6)
    assert watch.status_after(1, alert) == "ok"


def test_a_pattern_stands_for_every_metric_that_it_matches(watch: Watch) -> None:
    alert = watch.attach("metrics", above(2, metric="loss.*", aggregation="all"))
    watch.log("loss.a", 1)
    watch.log("lossy", 9)
    assert watch.status_after(0, alert) == "ok"
    watch.log("loss.b", 3)
    assert watch.status_after(1, alert) == "critical"


def test_an_event_that_was_found_stays_found(watch: Watch) -> None:
    alert = watch.attach("events", {"pattern": "diverged", "frequency": 1})
    watch.say("step 1")
    assert watch.status_after(0, alert) == "ok"
    watch.say("solver diverged at step 2")
    watch.say("step 3")
    assert watch.status_after(1, alert) == "critical"
    watch.say("step 4")
    assert watch.status_after(1, alert) == "critical"
    watch.store.update_alert(alert, {"alert": {"pattern": "step 1", "frequency": 1}})
    watch.say("step 5")
    assert watch.status_after(1, alert) == "critical", "another pattern looks at all of them"


def test_only_a_change_asks_a_run_to_abort(watch: Watch) -> None:
    alert = watch.attach("metrics", above(2, window=1), abort=True)
    watch.log("loss", 3)
    assert watch.status_after(0, alert) == "critical"
    assert watch.store.beat(watch.run).abort
    watch.store.update_run(watch.run, {"status": "running"})
    watch.log("loss", 3)
    assert watch.status_after(1, alert) == "critical"
    assert not watch.store.beat(watch.run).abort, "started again, it goes on"
    watch.log("loss", 1, minutes=2)
    assert watch.status_after(1, alert) == "ok"
    watch.log("loss", 3, minutes=4)
    assert watch.status_after(1, alert) == "critical"
    assert watch.store.beat(watch.run).abort


def test_nothing_is_asked_of_the_store_if_nothing_arrived(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.attach("metrics", above(2))
    watch.log("loss", 1)
    watch.alerts.look()
    asked: list[Any] = []
    monkeypatch.setattr(watch.store, "watched_alerts", asked.append)
    watch.clock.now += 100 * MINUTE_S
    watch.alerts.look()
    assert asked == []


def test_a_store_that_fails_is_asked_again(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    alert = watch.attach("metrics", above(2))
    watch.log("loss", 3)

    def fail(*_: Any) -> Any:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(watch.store, "set_alert_status", fail)
        assert watch.status_after(0, alert) is None
    with monkeypatch.context() as patched:
        patched.setattr(watch.store, "watched_alerts", fail)
        assert watch.status_after(1, alert) is None
    assert watch.status_after(0, alert) == "critical"


def test_runs_and_alerts_that_go_do_no_harm(watch: Watch) -> None:
    alert = watch.attach("metrics", above(2))
    watch.log("loss", 3)
    watch.store.delete_run(watch.run)
    watch.alerts.look()
    watch.run = watch.new_run()
    watch.store.update_run(watch.run, {"alerts": [alert]})
    watch.log("loss", 3)
    watch.store.delete_alert(alert)
    watch.alerts.look()
    assert watch.store.get_run(watch.run)["alerts"] == []
