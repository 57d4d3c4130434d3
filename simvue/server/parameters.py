"""Parameters: what a URL may ask, for the OpenAPI document (schema.py).

A Struct's members are the parameters of one or more routes; query.py reads them, one by one
and more leniently.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from .forms import Id, Rank
from .shapes import Whole


class Column(Struct):
    """A column to sort by."""

    id: str
    desc: bool = False


class Slice(Struct, kw_only=True):
    """Which part of a list: an offset and the most to answer."""

    start: Whole = 0
    count: Whole = 100


class Sorted(Slice, kw_only=True):
    """A slice of a list in an order."""

    sorting: list[Column] = []


class Listing(Sorted, kw_only=True):
    """A slice of what meets every filter, in an order."""

    filters: list[str] = []


class RunListing(Listing, kw_only=True):
    """Runs, all or some by their ids, without those members that are said to be unwanted."""

    runs: list[str] = []
    unwanted: list[Literal["metrics", "metadata", "system"]] = []


class OfRuns(Struct, kw_only=True):
    """Runs by their ids."""

    runs: list[str]


class Listening(Struct, kw_only=True):
    """What to hear of; several are separated by commas, and none stands for all."""

    topics: str = ""
    runs: str = ""


class Points(OfRuns, kw_only=True):
    """Points of metrics of runs."""

    metrics: list[str]
    xaxis: Literal["step", "time", "timestamp"] = "step"
    aggregate: bool = False
    max_points: Whole | None = None


class Along(Struct, kw_only=True):
    """Metrics along an axis: ``metric:NAME`` is one too."""

    metrics: list[str]
    xaxis: Annotated[str, Meta(pattern="^(step|time|timestamp|metric:.*)$")] = "step"
    xscale: Literal["linear", "log"] = "linear"
    end: float | None = None


class Columns(Along, kw_only=True):
    """Columns of metrics of one run, between two places of an axis."""

    max_points: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    start: float | None = None
    rank: Rank | None = None


class Source(Struct, array_like=True):
    """A run, or one rank of it, and from where on: ``[run, rank, start]``."""

    run: Id
    rank: Rank | None = None
    start: int | float | None = None


class OfSources(Along, kw_only=True):
    """Buckets of metrics of several runs or ranks."""

    sources: list[Source]
    max_points: Annotated[int, Meta(ge=1, le=1_000_000)]


class OfEvents(Slice, kw_only=True):
    """Events of a run."""

    run: Id
    filters: list[str] = []


class Windows(Struct, kw_only=True):
    """Windows of seconds in which to count the events of a run."""

    run: Id
    window: Annotated[int, Meta(ge=1, le=2**31)]
    timestamp_begin: str
    timestamp_end: str
    filters: list[str] = []


class Deduplication(Struct, kw_only=True):
    """Whether an alert just like it is good enough."""

    deduplicate: bool = False


class StatsOf(Struct, kw_only=True):
    """What to count: runs by state, or what each user has, of one tenant (id or name) or all."""

    single: bool = True
    tenant: str | None = None


class Deletion(Struct, kw_only=True):
    """What goes with a folder, or instead of it."""

    recursive: bool = False
    runs: bool = False
    runs_only: bool = False


class OfArtifacts(Listing, kw_only=True):
    """Artifacts of some runs, or of all; without a count all of them."""

    runs: list[str] = []


class OfRun(Struct, kw_only=True):
    """Artifacts of one category, or of one name."""

    category: Literal["code", "input", "output"] | None = None
    name: str | None = None


class Link(Struct, kw_only=True):
    """What makes a link to a file valid, as the server wrote it into its URL."""

    purpose: Literal["get", "put"] = field(name="for")
    until: Whole
    signature: str


class AtStep(Struct, kw_only=True):
    """Which array of a metric; without a step the last."""

    step: Whole | None = None
