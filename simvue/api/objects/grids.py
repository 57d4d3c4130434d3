"""Grids, and the metrics that have a value at each of their points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...exception import InvalidValueError, ObjectNotFoundError
from ...models import GridMetricSet
from ...remote import route
from ..url import URL
from .base import Member, SimvueObject
from .rows import Rows

if TYPE_CHECKING:
    from typing_extensions import Self


class Grid(SimvueObject):
    """One or two axes of ascending ticks."""

    _collection = "grids"

    name = Member[str]("What it is called.", write=None)
    grid = Member[list[list[float]]]("The ticks of each axis.", write=None)
    labels = Member[list[str]]("What each axis is called.", write=None)

    @classmethod
    def new(
        cls, *, name: str, grid: Sequence[Sequence[float]], labels: Sequence[str], **settings: Any
    ) -> Self:
        """Prepare a grid: the ascending ticks of each axis, and a label for each."""
        ticks = [[float(tick) for tick in axis] for axis in grid]
        if not 1 <= len(ticks) <= 2 or len(labels) != len(ticks):
            raise InvalidValueError("a grid has one or two axes, and a label for each")
        for axis in ticks:
            if not axis or axis != sorted(axis):
                raise InvalidValueError("the ticks of an axis are numbers that ascend")
        return cls._prepare(settings, name=name, grid=ticks, labels=list(labels))

    @property
    def dimensions(self) -> tuple[int, ...]:
        """The number of ticks of each axis."""
        return tuple(len(axis) for axis in self.grid)

    def attach_metric_for_run(self, run_id: str, metric_name: str) -> None:
        """Say that the values of a metric of a run lie on this grid."""
        path = route("runs", run_id, "grids", self._require_id())
        self._remote.put(path, {"metric": metric_name})

    def run_data_url(self, run_id: str) -> URL:
        """Return the address of the arrays of a run."""
        return URL(f"{self._remote.url}/api") / "runs" / run_id / "metrics"

    def run_metric_url(self, run_id: str, metric_name: str) -> URL:
        """Return the address of the arrays of one metric of a run."""
        return self.run_data_url(run_id) / metric_name

    def get_run_metric_values(self, *, run_id: str, metric_name: str, step: int) -> dict[str, Any]:
        """Return what the server has of a metric at *step*, its values as ``array``."""
        path = route("runs", run_id, "metrics", metric_name, "values")
        return dict(self._remote.get(path, {"step": step}))

    def get_run_metric_span(self, *, run_id: str, metric_name: str) -> dict[str, Any]:
        """Return the least and greatest step, time and timestamp of a metric."""
        spans = self._remote.get(route("runs", run_id, "metrics", metric_name, "span"))
        if not spans:
            raise ObjectNotFoundError("Metric", metric_name, f"run {run_id} has no arrays of it")
        return dict(spans[0])


class GridMetrics(Rows):
    """Arrays of one run, to be sent by ``commit``; they can only be added."""

    _collection = "metrics"

    @classmethod
    def new(
        cls, *, run: str, data: Sequence[GridMetricSet | dict[str, Any]], **settings: Any
    ) -> Self:
        """Prepare arrays of the run with that identifier."""
        rows = [GridMetricSet.model_validate(row).model_dump() for row in data]
        return cls._prepare(settings, run=run, data=rows)

    def commit(self) -> dict[str, Any] | None:
        """Send the arrays; returns the server's answer, None if there are none."""
        rows = self._staged.pop("data", [])
        return self._send(route("runs", self._staged["run"], "metrics"), rows) if rows else None

    @classmethod
    def get(  # type: ignore[override]
        cls, *, runs: Sequence[str], metrics: Sequence[str], step: int, **settings: Any
    ) -> Iterator[dict[str, dict[str, Any]]]:
        """Yield ``{run: {metric: {"array": ...}}}``, one run and metric at a time."""
        spans = settings.pop("spans", False)
        for paging in ("count", "offset"):
            settings.pop(paging, None)
        remote = cls._prepare(settings)._remote
        for run in runs:
            for metric in metrics:
                path = route("runs", run, "metrics", metric, "span" if spans else "values")
                found = remote.get(path, None if spans else {"step": step})
                yield {run: {metric: found}}
