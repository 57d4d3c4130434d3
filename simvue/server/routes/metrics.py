"""Metrics: rows in; points for official clients, columns for our own, names and spans out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec
from litestar import Request, Response, get, post

from simvue import wire

from .. import query, series
from ..forms import JSON, answer, check_id, checked, invalid, read_json, shape
from ..ingest import faulty, gone
from ..parameters import Columns, OfRuns, OfSources, Points, Source
from ..shapes import Extent, MetricRows, Stored
from ..store import NoSuchRun, RunGone, Series, Store, buckets
from . import Asked, threaded

# Buckets of one series: sixty of the widest screens.
BUCKETS_MAX: Final = 1_000_000
# In front of the name of a metric that is the axis; any other text is an axis of its own.
_METRIC: Final = "metric:"
# What MPI has room for.
RANK_MAX: Final = 2**31 - 1


@post(
    "/metrics",
    exception_handlers={RunGone: gone, Exception: faulty},
    body=MetricRows,
    body_media=wire.MSGPACK,
    answer=Stored,
)
async def add_metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Store a body of metric rows."""
    return await request.app.state.ingest.add_metrics(request)  # type: ignore[no-any-return]


@get("/metrics", query=Points, answer=dict[str, Any])
@threaded
def get_values(asked: Asked) -> Response[bytes]:
    """Answer points, by run and metric, or by metric alone if aggregated over the runs.

    Runs and metrics without data are left out.
    """
    parameters = asked.parameters
    runs = query.texts(parameters, "runs")
    names = query.texts(parameters, "metrics")
    axis = _axis(parameters)
    most = query.whole(parameters, "max_points", query.START_MAX) or None
    if query.flag(parameters, "aggregate"):
        if axis == "timestamp":
            raise invalid("timestamps of several runs are never equal", "query", "aggregate")
        return _text(_aggregated(asked.store, runs, names, axis, most))
    found = []
    for run, by_name in _series(asked.store, runs, names):
        metrics = [(name, series.points(by_name[name], axis, most)) for name in by_name]
        found.append((run, _object(metrics)))
    return _text(_object(found))


def _aggregated(
    store: Store, runs: list[str], names: list[str], axis: buckets.Axis, most: int | None
) -> str:
    by_name: dict[str, list[Series]] = {}
    for _, found in _series(store, runs, names):
        for name, one in found.items():
            by_name.setdefault(name, []).append(one)
    return _object(
        [(name, series.aggregate(several, axis, most)) for name, several in by_name.items()]
    )


def _series(
    store: Store, runs: list[str], names: list[str]
) -> Iterator[tuple[str, dict[str, Series]]]:
    """Return the series that there are of each run that there is, one run at a time."""
    for run in dict.fromkeys(runs):
        try:
            found = store.series(run, names)
        except (NoSuchRun, RunGone):
            continue
        if found:
            yield run, found


def _object(members: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in members) + "}"


def _text(text: str) -> Response[bytes]:
    return Response(text.encode("ascii"), media_type=JSON)


@get("/metrics/names", query=OfRuns, answer=list[str])
@threaded
def get_names(asked: Asked) -> Response[bytes]:
    """Answer the names of the metrics of several runs; unknown runs have none."""
    return answer(asked.store.metric_names(query.texts(asked.parameters, "runs")))


@get("/metrics/span", query=OfRuns, answer=Extent)
@threaded
def get_span(asked: Asked) -> Response[bytes]:
    """Answer least and greatest step, time and timestamp; official clients send a body here."""
    if asked.body:
        runs = shape(read_json(asked.body, "body"), list[str])
    else:
        runs = query.texts(asked.parameters, "runs")
    extents = []
    for run in dict.fromkeys(runs):
        with suppress(NoSuchRun, RunGone):
            extents.append(asked.store.extent(run))
    span: dict[str, float] = {}
    for axis in series.AXES:
        ends = [extent[axis] for extent in extents if axis in extent]
        if ends:
            scale = 1e-6 if axis == "timestamp" else 1
            span[f"min_{axis}"] = min(low for low, _ in ends) * scale
            span[f"max_{axis}"] = max(high for _, high in ends) * scale
    return answer(span)


@get("/runs/{run:str}/series", query=Columns, answer=dict[str, Any], answer_media=wire.MSGPACK)
@threaded
def get_series(asked: Asked, run: str) -> Response[bytes]:
    """Answer series as columns in msgpack, every row of them or cut into buckets.

    With ``rank`` only what that rank logged into a run that several share.  Buckets may lie along
    another metric, ``xaxis=metric:NAME``, and on a logarithmic axis, ``xscale=log``; beside them
    stands how many rows of the whole series have no place on such an axis.
    """
    parameters = asked.parameters
    names = query.texts(parameters, "metrics")
    axis = _axis_or_metric(parameters)
    log = _is_log(parameters)
    most = query.whole(parameters, "max_points", BUCKETS_MAX) or None
    start, end = query.number(parameters, "start"), query.number(parameters, "end")
    rank = query.whole(parameters, "rank", RANK_MAX)
    run = check_id(run, "path", "id")
    if most is not None:
        with checked("query"):
            cut = asked.store.cut(run, names, axis, most, start, end, rank, log)
        answers = {name: series.pixels(one) for name, one in cut.items()}
    elif isinstance(axis, buckets.MetricAxis):
        raise invalid("along a metric there are buckets only", "query", "max_points")
    else:
        found = asked.store.series(run, names)
        if rank is not None:
            found = {name: series.of_rank(one, rank) for name, one in found.items()}
        answers = {
            name: series.columns(series.between(one, axis, start, end))
            for name, one in found.items()
        }
    return Response(msgspec.msgpack.encode(answers), media_type=wire.MSGPACK)


@get("/metrics/buckets", query=OfSources, answer=list[Any], answer_media=wire.MSGPACK)
@threaded
def get_buckets(asked: Asked) -> Response[bytes]:
    """Answer buckets of the same metrics of many runs or ranks: what a page of charts asks.

    Of each of ``sources``, in their order, stands what a chart draws of each metric (series.py);
    null for a run that is not there, and a sentence where its rows cannot be cut so.
    """
    parameters = asked.parameters
    names = query.texts(parameters, "metrics")
    axis = _axis_or_metric(parameters)
    log = _is_log(parameters)
    most = query.whole(parameters, "max_points", BUCKETS_MAX)
    if not most:
        raise invalid("how many buckets at most, it has to say", "query", "max_points")
    end = query.number(parameters, "end")

    def told(source: Source) -> dict[str, Any] | str | None:
        try:
            cut = asked.store.cut(
                source.run, names, axis, most, source.start, end, source.rank, log
            )
        except (NoSuchRun, RunGone):
            return None
        except (ValueError, OverflowError) as error:
            return str(error)
        return {name: series.drawn(one) for name, one in cut.items()}

    found = [told(source) for source in query.sources(parameters)]
    return Response(msgspec.msgpack.encode(found), media_type=wire.MSGPACK)


def _axis(parameters: query.Parameters) -> buckets.Axis:
    text = parameters.get("xaxis") or "step"
    for axis in series.AXES:
        if text == axis:
            return axis
    raise invalid(f"xaxis is one of {', '.join(series.AXES)}; got {text[:40]!r}", "query", "xaxis")


def _axis_or_metric(parameters: query.Parameters) -> buckets.Axis | buckets.MetricAxis:
    text = parameters.get("xaxis") or ""
    if text.startswith(_METRIC):
        return buckets.MetricAxis(text.removeprefix(_METRIC))
    return _axis(parameters)


def _is_log(parameters: query.Parameters) -> bool:
    text = parameters.get("xscale") or "linear"
    if text not in ("linear", "log"):
        raise invalid(f"xscale is linear or log; got {text[:40]!r}", "query", "xscale")
    return bool(text == "log")


HANDLERS: Final = [add_metrics, get_values, get_names, get_span, get_series, get_buckets]
