"""Metrics as rows that are sent, and points that are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ... import listing
from ...models import MetricSet
from .rows import Rows

if TYPE_CHECKING:
    from typing_extensions import Self


class Metrics(Rows):
    """Rows of one run, to be sent by ``commit``; they can only be added."""

    _collection = "metrics"

    @classmethod
    def new(
        cls, *, run: str, metrics: Sequence[MetricSet | dict[str, Any]], **settings: Any
    ) -> Self:
        """Prepare rows of the run with that identifier."""
        rows = [MetricSet.model_validate(row).model_dump() for row in metrics]
        return cls._prepare(settings, run=run, metrics=rows)

    @classmethod
    def get(  # type: ignore[override]
        cls,
        metrics: Sequence[str],
        xaxis: Literal["timestamp", "step", "time"],
        runs: Sequence[str],
        *,
        count: int | None = None,
        offset: int | None = None,
        **settings: Any,
    ) -> Iterator[dict[str, dict[str, list[dict[str, Any]]]]]:
        """Yield ``{run: {metric: [{xaxis: x, "value": value}]}}``, x ascending."""
        asked = {
            "runs": listing.array(runs),
            "metrics": listing.array(metrics),
            "xaxis": xaxis,
            "count": count,
            "start": offset,
        }
        yield cls._prepare(settings)._remote.get("/metrics", asked)

    def names(self, run_ids: Sequence[str]) -> list[str]:
        """Return the names of the metrics of those runs."""
        return list(self._remote.get("/metrics/names", {"runs": listing.array(run_ids)}))

    def span(self, run_ids: Sequence[str]) -> dict[str, float]:
        """Return the least and greatest step, time and timestamp of those runs."""
        return dict(self._remote.get("/metrics/span", json=list(run_ids)))
