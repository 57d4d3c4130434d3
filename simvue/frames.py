"""Answers of the server as dicts and pandas frames; only a frame asks for pandas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Values = dict[str, dict[tuple[Any, str], Any]]
"""metric -> (x, run or kind of aggregate) -> value"""

Row = tuple[Any, Any, str, str]
"""x, value, name of the run, metric"""


def by_run(answer: Mapping[str, Any], xaxis: str, labels: Mapping[str, str]) -> Values:
    """Turn ``{run: {metric: [{x, value}]}}`` into metric -> (x, run) -> value, x ascending.

    *labels* has another word for a run's id.  A run has no entry at an x that it did not log.
    """
    values: Values = {}
    for run, metrics in answer.items():
        label = labels.get(run, run)
        for metric, points in metrics.items():
            column = values.setdefault(metric, {})
            column.update(((point[xaxis], label), point["value"]) for point in points)
    if len(answer) > 1:
        # One run comes in order; several are interleaved by x.  Python's sort is stable.
        return {
            metric: dict(sorted(column.items(), key=lambda entry: entry[0][0]))
            for metric, column in values.items()
        }
    return values


def by_aggregate(answer: Mapping[str, Any], xaxis: str) -> Values:
    """Turn ``{metric: [{x, average, min, max}]}`` into metric -> (x, kind) -> value."""
    return {
        metric: {
            (point[xaxis], kind): value
            for point in points
            for kind, value in point.items()
            if kind != xaxis
        }
        for metric, points in answer.items()
    }


def values_frame(values: Values, xaxis: str) -> pd.DataFrame:
    """Make a frame of what `by_run` returns: a row for each (x, run), a column for each metric."""
    pd = _pandas()
    columns = {}
    for metric, column in values.items():
        index = pd.MultiIndex.from_tuples(column, names=(xaxis, "run"))
        columns[metric] = pd.Series(list(column.values()), index=index)
    return pd.DataFrame(columns).sort_index()


def aggregates_frame(values: Values, xaxis: str) -> pd.DataFrame:
    """Make a frame of what `by_aggregate` returns: a row for each x, columns (metric, kind)."""
    pd = _pandas()
    columns: dict[tuple[str, str], dict[Any, Any]] = {}
    for metric, column in values.items():
        for (x, kind), value in column.items():
            columns.setdefault((metric, kind), {})[x] = value
    frame = pd.DataFrame(columns).sort_index()
    frame.index.name = xaxis
    return frame


def metric_frame(rows: Iterable[Row], xaxis: str, metric: str) -> pd.DataFrame:
    """Make a frame of one metric in one run: a column for x and one with the metric's name."""
    return _pandas().DataFrame([row[:2] for row in rows], columns=[xaxis, metric])


def metrics_frame(rows: Iterable[Row], xaxis: str) -> pd.DataFrame:
    """Make a frame with columns (run, metric, x) and (run, metric, ``value``), padded with NaN."""
    pd = _pandas()
    columns: dict[tuple[str, str, str], list[Any]] = {}
    for x, value, run, metric in rows:
        columns.setdefault((run, metric, xaxis), []).append(x)
        columns.setdefault((run, metric, "value"), []).append(value)
    return pd.DataFrame({key: pd.Series(column) for key, column in columns.items()})


def runs_frame(runs: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Make a frame with one row a run; a nested member becomes columns like ``metadata.beta``."""
    return _pandas().DataFrame([_flat(run, "") for run in runs])


def series_frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Make a frame of equally long arrays; ``timestamp`` in microseconds becomes a time in UTC."""
    pd = _pandas()
    frame = pd.DataFrame(dict(columns))
    if "timestamp" in frame:
        frame["timestamp"] = pd.to_datetime(frame["timestamp"], unit="us", utc=True)
    return frame


def _flat(members: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in members.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ImportError(
            "a dataframe needs pandas: pip install 'simvue[dataframe]'", name="pandas"
        ) from None
    return pandas
