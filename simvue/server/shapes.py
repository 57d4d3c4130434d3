"""Shapes: what answers and bodies of rows look like, for the OpenAPI document (schema.py).

Other bodies are checked by their forms (forms.py); answers are made by the store, so nothing
at run time goes through these types.  A test holds every answer against its shape, which
allows no member that it does not name.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from .forms import Id

T = TypeVar("T")

Whole = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Timestamp = Annotated[
    str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$", description="UTC, without zone")
]
Number = int | float
Anything = dict[str, Any]

# ---- Bodies that are not JSON -----------------------------------------------------------


class MetricRow(Struct, kw_only=True):
    """One row of metrics; time in seconds since the run's start."""

    values: dict[str, int | float | bool]
    time: Number
    timestamp: str
    step: Whole


class MetricRows(Struct):
    """Rows of metrics of one run."""

    run: Id
    metrics: list[MetricRow]


class EventRow(Struct, kw_only=True):
    """One event; without a level it is info."""

    message: str
    timestamp: str | None = None
    log_level: Literal["debug", "info", "warning", "error", "critical"] | None = None


class EventRows(Struct):
    """Events of one run."""

    run: Id
    events: list[EventRow]


class TensorRow(Struct, kw_only=True):
    """One array of one or two axes on a grid, as numbers or lines of numbers."""

    array: list[Any]
    grid: Id
    metric: str
    step: Whole
    time: Number
    timestamp: str


# ---- Answers ------------------------------------------------------------------------------


class Answer(Struct, kw_only=True, forbid_unknown_fields=True):
    """Answers name all of their members."""


class Page(Answer, Generic[T], kw_only=True):
    """A page of a list; *count* is how many there are in all."""

    count: int
    data: list[T]


class Made(Answer, kw_only=True):
    """The id of what was made, changed or found."""

    id: Id
    detail: str | UnsetType = UNSET


class MadeRun(Answer, kw_only=True):
    """A run that was made."""

    id: Id
    name: str


class Empty(Answer):
    """Done, and nothing to say."""


class Starred(Answer, kw_only=True):
    """What was starred, or is no longer."""

    id: Id
    starred: bool = True


class Place(Struct):
    """What is wrong, and where."""

    type: str
    loc: list[str | int]
    msg: str


class Refusal(Struct):
    """Why a request was refused."""

    detail: str | list[Place]


class Version(Answer, kw_only=True):
    """The version of the wire, and what this server adds to it."""

    version: str
    features: list[str] | UnsetType = UNSET


class Visibility(Answer, kw_only=True):
    """Who else sees a run."""

    users: list[str]
    tenant: bool
    public: bool


class Notifications(Answer, kw_only=True):
    """When the owner of a run is told about it."""

    state: str


class Summary(Answer, kw_only=True):
    """What a metric came to; min, max and average are of its finite values."""

    count: int
    min: Number | None
    max: Number | None
    average: Number | None
    last: Number | None
    step: int
    time: Number | None
    timestamp: Timestamp


class Alert(Answer, kw_only=True):
    """An alert; *alert* is what its source asks for, null if that is the user."""

    id: Id
    name: str
    description: str | None
    source: Literal["metrics", "events", "user"]
    alert: Anything | None
    notification: Literal["none", "email"]
    enabled: bool
    abort: bool
    auto: bool
    delay: int
    run_tags: list[str]
    created: Timestamp


class AlertStatus(Answer, kw_only=True):
    """How an alert stands on a run; null until somebody has said."""

    status: Literal["ok", "critical"] | None


class Attached(Answer, kw_only=True):
    """An alert of a run, and how it stands."""

    alert: Alert
    status: Literal["ok", "critical"] | None


class Run(Answer, kw_only=True):
    """A run; runtime as HH:MM:SS.ffffff, ttl and heartbeat_timeout in seconds."""

    id: Id
    name: str
    folder: str
    status: Literal["created", "running", "completed", "failed", "terminated", "lost"]
    description: str | None
    created: Timestamp
    started: Timestamp | None
    endtime: Timestamp | None
    modified: Timestamp
    runtime: str | None
    user: str
    ttl: int | None
    heartbeat_timeout: Number | None
    starred: bool
    abort: bool
    tags: list[str]
    metadata: Anything
    system: Anything
    visibility: Visibility
    notifications: Notifications
    alerts: list[Attached]
    metrics: dict[str, Summary]
    dropped: int
    ranks: list[int]


class Process(Answer, kw_only=True):
    """One of the processes that share a run; an attempt begins anew when a rank comes back."""

    attempt: int
    launch: str
    rank: int | None
    size: int | None
    status: str


class Alive(Answer, kw_only=True):
    """The answer to a sign of life: whether the run is asked to stop."""

    abort: bool


class Aborted(Answer, kw_only=True):
    """Whether a run is asked to stop."""

    status: bool


class Stored(Answer, kw_only=True):
    """Rows newly stored, whether the run is asked to stop, rows that cannot be stored."""

    stored: int
    abort: bool
    refused: int | UnsetType = UNSET


class Extent(Answer, kw_only=True):
    """Where the rows of runs begin and end; timestamps in seconds since 1970."""

    min_step: Number | UnsetType = UNSET
    max_step: Number | UnsetType = UNSET
    min_time: Number | UnsetType = UNSET
    max_time: Number | UnsetType = UNSET
    min_timestamp: Number | UnsetType = UNSET
    max_timestamp: Number | UnsetType = UNSET


class Event(Answer, kw_only=True):
    """One event."""

    message: str
    timestamp: Timestamp
    log_level: str


class Bar(Answer, kw_only=True):
    """How many events fell into the window that begins at *timestamp*."""

    timestamp: Timestamp
    count: int


class Histogram(Answer, kw_only=True):
    """How many events fell into each window."""

    data: list[Bar]


class Folder(Answer, kw_only=True):
    """A folder; *runs* counts those in it, not those below."""

    id: Id
    path: str
    name: str | None
    description: str | None
    created: Timestamp
    modified: Timestamp
    ttl: int | None
    starred: bool
    tags: list[str]
    metadata: Anything
    runs: int


class Deleted(Answer, kw_only=True):
    """The ids of what was deleted with a folder."""

    folders: list[str]
    runs: list[str]


class Tag(Answer, kw_only=True):
    """A tag."""

    id: Id
    name: str
    colour: str
    description: str
    created: Timestamp


class Tenant(Answer, kw_only=True):
    """A tenant; a maximum of 0 is none."""

    id: Id
    name: str
    is_enabled: bool
    max_request_rate: int
    max_runs: int
    max_data_volume: int
    created: Timestamp


class User(Answer, kw_only=True):
    """A user of the *tenant* with that id."""

    id: Id
    username: str
    fullname: str
    email: str
    is_manager: bool
    is_admin: bool
    is_readonly: bool
    is_enabled: bool
    is_deleted: bool
    tenant: Id
    created: Timestamp


class Whoami(Answer, kw_only=True):
    """Whom a token speaks for, what it may do, and until when."""

    user: str
    tenant: str
    is_admin: bool
    scope: Literal["read", "write", "admin"]
    expires: Timestamp


class MadeToken(Answer, kw_only=True):
    """A token that was made; its text is told this once."""

    id: Id
    token: str
    expires: Timestamp


class Token(Answer, kw_only=True):
    """A token, without its text."""

    id: Id
    name: str
    user: str
    tenant: str
    scope: Literal["read", "write", "admin"]
    created: Timestamp
    expires: Timestamp


# ---- Artifacts, storages, grids -------------------------------------------------------------


class MadeArtifact(Answer, kw_only=True):
    """An artifact that was registered, and where to send its bytes; null if they are here."""

    id: Id
    url: str | None
    fields: dict[str, str] = {}


class Artifact(Answer, kw_only=True):
    """An artifact; *category* is what it is to the run that was asked for."""

    id: Id
    name: str
    original_path: str
    size: int
    mime_type: str
    checksum: str
    metadata: Anything
    created: Timestamp
    uploaded: bool
    storage_id: Id
    user: str
    runs: list[str]
    url: str | None
    category: str | UnsetType = UNSET


class Category(Answer, kw_only=True):
    """What an artifact is to a run."""

    category: Literal["code", "input", "output"]


class AttachedArtifact(Category, kw_only=True):
    """The artifact that was attached, and what it is to the run."""

    id: Id


class Named(Answer, kw_only=True):
    """Something by its id and its name."""

    id: Id
    name: str


class Use(Answer, kw_only=True):
    """A run, and under which artifact it has the bytes."""

    run: Named
    artifact: Named


class Lineage(Answer, kw_only=True):
    """Every run that has the same bytes: who made them, who used them."""

    checksum: str
    output: list[Use]
    input: list[Use]
    code: list[Use]


class Storage(Answer, kw_only=True):
    """A storage; *usage* in bytes, *config* without its secrets."""

    id: Id
    name: str
    backend: Literal["File", "S3"]
    is_default: bool
    is_enabled: bool
    is_tenant_useable: bool
    created: Timestamp
    user: str
    usage: int
    status: Anything
    config: Anything | UnsetType = UNSET


class Grid(Answer, kw_only=True):
    """A grid; *metric* is what the run that was asked for logs on it."""

    id: Id
    name: str
    grid: list[list[float]]
    labels: list[str]
    created: Timestamp
    user: str
    metric: str | UnsetType = UNSET


class Tensor(Answer, kw_only=True):
    """An array as it was logged."""

    array: list[Any]
    grid: Id
    step: int
    time: Number | None
    timestamp: Timestamp


class TensorSpan(Answer, kw_only=True):
    """Where the arrays of a metric begin and end."""

    count: int
    min_step: int
    max_step: int
    min_time: Number | None
    max_time: Number | None
    min_timestamp: Timestamp
    max_timestamp: Timestamp
