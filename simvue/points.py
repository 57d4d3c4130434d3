"""The points of metrics of several runs, asked for in requests that every proxy takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from . import frames
from .exception import ServerError
from .listing import array
from .remote import Remote

_RUNS_MAX: Final = 100
"""Runs in one request for metrics: their ids make some 3 kB of address, of 8 kB that every
proxy takes."""


def read_points(
    remote: Remote,
    runs: Sequence[str],
    metrics: Sequence[str],
    xaxis: str,
    max_points: int | None,
    labels: Mapping[str, str],
) -> frames.Values:
    """Return metric -> (x, run) -> value; *labels* has another word for a run's id."""
    params = {"metrics": array(metrics), "xaxis": xaxis, "max_points": max_points}
    answer: dict[str, Any] = {}
    for first in range(0, len(runs), _RUNS_MAX):
        answer.update(_ask(remote, runs[first : first + _RUNS_MAX], params))
    return frames.by_run(answer, xaxis, labels)


def read_aggregate(
    remote: Remote,
    runs: Sequence[str],
    metrics: Sequence[str],
    xaxis: str,
    max_points: int | None,
) -> frames.Values:
    """Return metric -> (x, ``average`` | ``min`` | ``max``) -> value over all *runs*.

    In one request, as only the server can take them together.
    """
    params = {"metrics": array(metrics), "xaxis": xaxis, "max_points": max_points}
    answer = _ask(remote, runs, {**params, "aggregate": True}) if runs else {}
    return frames.by_aggregate(answer, xaxis)


def _ask(remote: Remote, runs: Sequence[str], params: Mapping[str, Any]) -> dict[str, Any]:
    answer = remote.get("/metrics", {**params, "runs": array(runs)})
    if not isinstance(answer, dict):
        raise ServerError("the server's answer for /metrics is not a table of runs")
    return answer
