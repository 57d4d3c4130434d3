"""Alerts: rules over what arrives, judged by the server in the background.

::

    ingest ── hear(run) ──> Alerts ── look, every second ──> judge ──> ok | critical
    (any thread)              │        runs heard of, each          │
                              │        at most once a minute        └─ to the store if it differs:
                              └─ nothing heard: nothing is done        the run may be told to abort

Rows set off a look at their run and nothing more, so that no body waits for a rule.  An
alert is judged at its first look, then every ``frequency`` minutes, if anything arrived since.
Its window ends at the newest row of its metric, not at the server's time: rows out of a spool,
and clocks that differ, are judged alike.  A run without rows keeps the status that it had.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
from msgspec import Meta, Struct

from simvue.exception import StoreError

from .forms import Refused, shape
from .live import Live
from .store import AlertStatus, Busy, NoSuchAlert, NoSuchRun, RunGone, Store, Watched

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger("simvue.server")

# How soon a first row is judged (chosen): the pace at which shippers send.
INTERVAL_S: Final = 1.0
# The unit of frequencies and windows, and so the shortest time between two looks at a run.
MINUTE_S: Final = 60.0

# ---- Rules ----------------------------------------------------------------------------

# At most a year, so that no moment overflows.
Minutes = Annotated[int, Meta(ge=1, le=366 * 1440)]
Aggregation = Literal["average", "sum", "at least one", "all"]


class Threshold(Struct, kw_only=True):
    """A metric, or all that a pattern like ``loss.*`` matches, above or below a threshold."""

    metric: Annotated[str, Meta(min_length=1, max_length=1024)]
    rule: Literal["is above", "is below"]
    threshold: float
    aggregation: Aggregation = "average"
    window: Minutes = 5
    frequency: Minutes = 5

    def __post_init__(self) -> None:
        _check_finite(self.threshold)

    def holds(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell of each value whether it is beyond the threshold, which itself is not."""
        return values > self.threshold if self.rule == "is above" else values < self.threshold


class Range(Struct, kw_only=True):
    """A metric, or all that a pattern matches, inside or outside a range with both its ends."""

    metric: Annotated[str, Meta(min_length=1, max_length=1024)]
    rule: Literal["is inside range", "is outside range"]
    range_low: float
    range_high: float
    aggregation: Aggregation = "average"
    window: Minutes = 5
    frequency: Minutes = 5

    def __post_init__(self) -> None:
        _check_finite(self.range_low, self.range_high)
        if self.range_low > self.range_high:
            raise ValueError(f"the range begins at {self.range_low}, behind {self.range_high}")

    def holds(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell of each value whether it is where the rule says."""
        if self.rule == "is inside range":
            return (values >= self.range_low) & (values <= self.range_high)
        return (values < self.range_low) | (values > self.range_high)


class Pattern(Struct, kw_only=True):
    """A text that is part of the message of an event."""

    pattern: Annotated[str, Meta(min_length=1, max_length=4096)]
    frequency: Minutes = 5


def _check_finite(*values: float) -> None:
    if not all(map(np.isfinite, values)):
        raise ValueError("a limit is a finite number")


def read_rule(source: str, definition: Any) -> Threshold | Range | Pattern | None:
    """Read what the wire calls ``alert``; refuses (422) with the place that is wrong.

    None for alerts of users, which have none.
    """
    if source == "user":
        return None
    if source == "events":
        return shape(definition, Pattern, "alert")
    if isinstance(definition, dict) and "threshold" in definition:
        return shape(definition, Threshold, "alert")
    return shape(definition, Range, "alert")


def judge(rule: Threshold | Range, values: NDArray[np.float64]) -> AlertStatus | None:
    """Tell how *rule* stands with the *values* v1 .. vn of one metric in its window.

    ::

        average         critical where  holds((v1 + .. + vn) / n)
        sum                             holds(v1 + .. + vn)
        at least one                    holds(v1) or .. or holds(vn)
        all                             holds(v1) and .. and holds(vn)

    NaN is no value, infinities are.  Without any value: None.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    # A sum may overflow, and one of both infinities is NaN, for which no rule holds.
    with np.errstate(over="ignore", invalid="ignore"):
        if rule.aggregation == "average":
            values = values.mean(keepdims=True)
        elif rule.aggregation == "sum":
            values = values.sum(keepdims=True)
    held = rule.holds(values)
    return "critical" if (held.all() if rule.aggregation == "all" else held.any()) else "ok"


def worst(statuses: Collection[AlertStatus | None]) -> AlertStatus | None:
    """Return the status of an alert from those of all metrics that it matches."""
    return "critical" if "critical" in statuses else "ok" if "ok" in statuses else None


# ---- The look at what arrived -----------------------------------------------------------


class Alerts:
    """What has arrived and is to be judged; *clock* tells seconds that never go back.

    Kept in memory: after a restart, runs that have not ended are looked at as if heard.
    """

    def __init__(
        self, store: Store, live: Live, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._live = live
        self._clock = clock
        self._closed = False
        self._lock = threading.Lock()
        self._heard: set[str] = set()
        # When a run may be looked at again, and when an alert is to be judged again on it.
        self._rest: dict[str, float] = {}
        self._due: dict[tuple[str, str], float] = {}
        # Up to where the events of a run are known not to contain an alert's pattern.
        self._searched: dict[tuple[str, str], int] = {}

    def hear(self, run: str) -> None:
        """Note, from any thread, that rows of *run* were stored."""
        with self._lock:
            self._heard.add(run)

    async def watch(self, interval: float = INTERVAL_S) -> None:
        """Look every *interval* seconds, until cancelled."""
        try:
            with suppress(StoreError):
                for item in await asyncio.to_thread(self._store.watched_alerts, None):
                    self.hear(item.run)
            while True:
                await asyncio.sleep(interval)
                if self._heard:
                    await asyncio.to_thread(self.look)
        finally:
            # A look that is under way, which cannot be cancelled, ends after this alert.
            self._closed = True

    def look(self) -> None:
        """Judge what is due on the runs that were heard; blocks."""
        now = self._clock()
        with self._lock:
            runs = {run for run in self._heard if self._rest.get(run, now) <= now}
            self._heard -= runs
        if not runs:
            return
        try:
            again = self._look_at(runs, now)
        except StoreError as error:
            logger.warning("alerts cannot be judged, and will be later: %s", error)
            again = runs
        with self._lock:
            self._heard |= again
        self._rest = {run: end for run, end in self._rest.items() if end > now}
        self._due = {key: when for key, when in self._due.items() if when > now}
        self._searched = {key: at for key, at in self._searched.items() if key in self._due}

    def _look_at(self, runs: Collection[str], now: float) -> set[str]:
        """Judge what is due on *runs*; return those on which something is not due yet."""
        again = set()
        rest: dict[str, float] = {}
        for item in self._store.watched_alerts(runs):
            if self._closed:
                break
            key = (item.run, item.alert)
            if self._due.get(key, now) > now:
                again.add(item.run)
            else:
                try:
                    self._due[key] = now + self._judge(item) * MINUTE_S
                except (NoSuchRun, RunGone, NoSuchAlert):
                    continue
                except (Busy, StoreError, Refused) as error:
                    # The disk is full, or this run's rows are damaged: others are judged.
                    logger.warning("alert %s cannot be judged: %s", item.alert, error)
                    again.add(item.run)
            # At most a minute: by then another alert may be attached.
            ends = rest.get(item.run, now + MINUTE_S)
            rest[item.run] = min(ends, self._due.get(key, ends))
        self._rest |= rest
        return again

    def _judge(self, item: Watched) -> int:
        """Judge one alert on one run and note how it stands; return the minutes until the next.

        None at all if it found nothing to judge: its first row is not to wait for rows of others.
        """
        rule = read_rule(item.source, item.definition)
        assert rule is not None
        status: AlertStatus | None
        if isinstance(rule, Pattern):
            status = self._search(item, rule)
        else:
            names = self._store.metric_names([item.run])
            matching = [name for name in names if fnmatchcase(name, rule.metric)]
            window = int(rule.window * MINUTE_S * 1e6)
            found = self._store.recent_values(item.run, matching, window)
            status = worst([judge(rule, values) for values in found.values()])
        if status is None:
            return 0
        if status != item.status:
            note(self._store, self._live, item.alert, item.run, status)
        return rule.frequency

    def _search(self, item: Watched, rule: Pattern) -> AlertStatus:
        """Look for a pattern in the events that came since; what was said once stays said."""
        if item.status == "critical":
            return "critical"
        key = (item.run, item.alert)
        # Another pattern has left the alert without a status, and all events are searched.
        after = 0 if item.status is None else self._searched.get(key, 0)
        found, self._searched[key] = self._store.find_event(item.run, rule.pattern, after)
        return "critical" if found else "ok"


def note(store: Store, live: Live, alert: str, run: str, status: AlertStatus) -> None:
    """Store how *alert* stands on *run* and tell those who listen.

    Raises NoSuchAlert, NoSuchRun, RunGone.
    """
    reason = store.set_alert_status(alert, run, status)
    if reason is not None:
        live.publish("abort", run, owner=store.get_run(run)["user"], reason=reason)
    live.publish("run", run)
