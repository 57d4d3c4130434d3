"""Forms: what bodies must look like, how a refusal is worded, how an answer is written.

JSON here is Python's own module: the wire carries the bare tokens ``NaN`` and
``Infinity``, which faster parsers refuse to read and write as null.  The shape is then
checked by msgspec.  Text is cleaned once, at this border: U+0000 and lone surrogates,
which no store can keep, become U+FFFD, and integers beyond 64 bits become floats.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import msgspec
from litestar import Response
from msgspec import UNSET, Meta, Struct, UnsetType

from simvue import wire

if TYPE_CHECKING:
    from litestar.types import Send

Form = TypeVar("Form")

# Deeper metadata than a person can follow; Python's own parser gives up near a thousand.
DEPTH_MAX: Final = 100
JSON: Final = "application/json"

# ---- Refusals -------------------------------------------------------------------------


class Refused(Exception):
    """A request that is answered with an error: its status, ``detail`` and headers."""

    def __init__(self, status: int, detail: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


def invalid(message: str, *loc: str | int) -> Refused:
    """Make the 422 that official clients turn into a ValueError; *loc* says where."""
    return Refused(422, [{"type": "value_error", "loc": list(loc), "msg": message}])


@contextmanager
def checked(*loc: str | int) -> Iterator[None]:
    """Turn a ValueError of what is done inside into the 422 that says where."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        raise invalid(str(error), *loc) from None


def check_id(text: str, *loc: str | int) -> str:
    """Return *text* if it has the form of an identifier; refuse it (422) otherwise."""
    if not wire.is_id(text):
        raise invalid(
            f"{text[:60]!r} is not an identifier of {wire.ID_SIZE} letters and digits", *loc
        )
    return text


# ---- JSON in and out --------------------------------------------------------------------

_UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")


def read_json(raw: bytes | str, *loc: str | int) -> Any:
    """Read JSON, cleaned; refuses (422) what is not JSON or is nested too deeply."""
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        return _clean(json.loads(text), DEPTH_MAX)
    except RecursionError:
        raise invalid(f"this is nested deeper than {DEPTH_MAX} levels", *loc) from None
    except ValueError as error:
        raise invalid(f"this is not JSON: {error}", *loc) from None


def clean_text(text: str) -> str:
    """Replace the characters that no store can keep."""
    return _UNKEEPABLE.sub("\ufffd", text)


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict | list):
        if depth == 0:
            raise RecursionError
        if isinstance(value, list):
            return [_clean(item, depth - 1) for item in value]
        return {clean_text(key): _clean(item, depth - 1) for key, item in value.items()}
    if type(value) is int and not -(2**63) <= value < 2**64:
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    return value


def read_form(body: bytes, form: type[Form]) -> Form:
    """Read *body* as JSON of the shape *form*; refuses (422) with the place that is wrong."""
    return shape(read_json(body, "body"), form)


def shape(value: Any, form: type[Form], *loc: str | int) -> Form:
    """Check decoded JSON against *form*; refuses (422) with the place that is wrong."""
    try:
        return msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        steps = re.findall(r"\.(\w+)|\[(\d+)\]", path)
        place = [name or int(number) for name, number in steps]
        raise invalid(message, "body", *loc, *place) from None


def to_json(value: Any) -> bytes:
    """Write *value* as the wire's JSON, with bare NaN and Infinity."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response[bytes]:
    """Make the answer that carries *value* as JSON."""
    return Response(to_json(value), status_code=status, media_type=JSON, headers=headers)


async def send_refusal(send: Send, refused: Refused) -> None:
    """Send *refused* as the whole answer to a request."""
    body = to_json({"detail": refused.detail})
    headers = {
        "content-type": JSON,
        "content-length": str(len(body)),
        **{name.lower(): value for name, value in refused.headers.items()},
    }
    await send(
        {
            "type": "http.response.start",
            "status": refused.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})


# ---- Bodies -------------------------------------------------------------------------------

Name = Annotated[str, Meta(min_length=1, max_length=1024)]
Path = Annotated[str, Meta(pattern="^/", max_length=4096)]
# Seconds of a timeout or of retention: at most 68 years, far from overflowing a date.
Seconds = Annotated[int, Meta(ge=0, lt=2**31)]
Tags = list[Annotated[str, Meta(max_length=1024)]]
Metadata = dict[str, Any]
AlertSource = Literal["metrics", "events", "user"]
Maximum = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Visibility(Struct):
    """Who else sees a run; unknown usernames are kept as they came."""

    tenant: bool = False
    public: bool = False
    users: list[str] = []
    # Batches spell it so.
    user: list[str] | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.user is not UNSET:
            self.users = self.users or self.user
            self.user = UNSET


class Notifications(Struct):
    """When the owner of a run is told about it."""

    state: str = "none"


# The lengths, because of all dialects only Python's lets "$" stand before a newline.
Id = Annotated[str, Meta(pattern=f"^{wire.ID_PATTERN.pattern}$", max_length=wire.ID_SIZE)]
# What MPI has room for.
Rank = Annotated[int, Meta(ge=0, lt=2**31)]


class Process(Struct, kw_only=True):
    """One of the processes that share a run, and how it is with it."""

    id: Id
    status: Literal["running", "completed", "failed", "terminated", "lost"]
    launch: Annotated[str, Meta(max_length=1024)] = ""
    rank: Rank | None = None
    size: Annotated[int, Meta(ge=1, lt=2**31)] | None = None


class Writer(Struct, kw_only=True):
    """What is to be known of one writer of a run."""

    kind: wire.Kind
    rank: Rank | None = None
    dropped: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class RunChanges(Struct, kw_only=True):
    """A partial update of a run: members left out stay; what null means is for the store."""

    name: Name | UnsetType | None = UNSET
    folder: Path | UnsetType | None = UNSET
    status: wire.RunStatus | UnsetType | None = UNSET
    system: dict[str, Any] | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    visibility: Visibility | UnsetType | None = UNSET
    ttl: Seconds | UnsetType | None = UNSET
    heartbeat_timeout: Seconds | UnsetType | None = UNSET
    notifications: Notifications | UnsetType | None = UNSET
    alerts: list[Id] | UnsetType | None = UNSET
    started: str | UnsetType | None = UNSET
    endtime: str | UnsetType | None = UNSET
    process: Process | UnsetType | None = UNSET
    writers: dict[Id, Writer] | UnsetType | None = UNSET


class NewRun(RunChanges, kw_only=True):
    """A run to create."""

    folder: Path
    id: str | UnsetType | None = UNSET


class FolderChanges(Struct, kw_only=True):
    """A partial update of a folder."""

    name: str | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    ttl: Seconds | UnsetType | None = UNSET


class NewFolder(FolderChanges, kw_only=True):
    """A folder to create."""

    path: Path


class TagChanges(Struct, kw_only=True):
    """A partial update of a tag."""

    name: Name | UnsetType | None = UNSET
    colour: str | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET


class NewTag(TagChanges, kw_only=True):
    """A tag to create."""

    name: Name


class AlertChanges(Struct, kw_only=True):
    """A partial update of an alert; what ``alert`` holds depends on its source (alerts.py)."""

    name: Name | UnsetType | None = UNSET
    description: str | UnsetType | None = UNSET
    source: AlertSource | UnsetType | None = UNSET
    alert: dict[str, Any] | UnsetType | None = UNSET
    notification: Literal["none", "email"] | UnsetType | None = UNSET
    enabled: bool | UnsetType | None = UNSET
    abort: bool | UnsetType | None = UNSET
    auto: bool | UnsetType | None = UNSET


class NewAlert(AlertChanges, kw_only=True):
    """An alert to create."""

    name: Name
    source: AlertSource
    id: Id | UnsetType | None = UNSET
    # Where clients before 1.0 say what others say in ``alert``.
    frequency: int | UnsetType | None = UNSET


class AlertState(Struct):
    """How an alert stands on a run."""

    status: Literal["ok", "critical"]


class TenantChanges(Struct, kw_only=True):
    """A partial update of a tenant; a maximum of 0 is none."""

    name: Name | UnsetType | None = UNSET
    is_enabled: bool | UnsetType | None = UNSET
    max_request_rate: Maximum | UnsetType | None = UNSET
    max_runs: Maximum | UnsetType | None = UNSET
    max_data_volume: Maximum | UnsetType | None = UNSET


class NewTenant(TenantChanges, kw_only=True):
    """A tenant to create."""

    name: Name


class UserChanges(Struct, kw_only=True):
    """A partial update of a user."""

    username: Name | UnsetType | None = UNSET
    fullname: str | UnsetType | None = UNSET
    email: str | UnsetType | None = UNSET
    is_manager: bool | UnsetType | None = UNSET
    is_admin: bool | UnsetType | None = UNSET
    is_readonly: bool | UnsetType | None = UNSET
    is_enabled: bool | UnsetType | None = UNSET


class UserMembers(UserChanges, kw_only=True):
    """The members of a user to create."""

    username: Name


class NewUser(Struct, kw_only=True):
    """A user to create; official clients repeat its members beside it, which are not read."""

    user: UserMembers
    tenant: Id


class NewToken(Struct, kw_only=True):
    """A token to make: for whom, by default for who asks, and for how many seconds."""

    name: Annotated[str, Meta(max_length=1024)] = ""
    user: Id | None = None
    scope: Literal["read", "write", "admin"] = "write"
    # A year, by default: long enough for a thesis, and somebody looks at it again (chosen).
    lifetime: Annotated[int, Meta(ge=1, lt=2**31)] = 365 * 86_400


class Star(Struct):
    """Whether something is starred."""

    starred: bool


class Abort(Struct):
    """Why a run is asked to stop."""

    reason: str = ""


# What a file may hold: beyond it, a petabyte, is a mistake and not a file.
Size = Annotated[int, Meta(ge=0, le=2**50)]


class ArtifactChanges(Struct, kw_only=True):
    """A partial update of an artifact; ``uploaded`` asks whether its bytes are here."""

    name: Name | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    uploaded: bool | UnsetType | None = UNSET


class NewArtifact(Struct, kw_only=True):
    """An artifact to register, its bytes to follow."""

    name: Name
    size: Size
    checksum: Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$", max_length=64)]
    original_path: Annotated[str, Meta(max_length=4096)] | UnsetType | None = UNSET
    mime_type: Annotated[str, Meta(max_length=256)] | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET
    id: Id | UnsetType | None = UNSET


class Category(Struct):
    """What an artifact is to a run."""

    category: Literal["code", "input", "output"]


class StorageChanges(Struct, kw_only=True):
    """A partial update of a storage."""

    name: Name | UnsetType | None = UNSET
    config: dict[str, Any] | UnsetType | None = UNSET
    is_default: bool | UnsetType | None = UNSET
    is_enabled: bool | UnsetType | None = UNSET
    is_tenant_useable: bool | UnsetType | None = UNSET


class Bucket(Struct, kw_only=True):
    """Where an S3 storage lies, and as whom it is entered; more members are kept."""

    bucket: Annotated[str, Meta(min_length=1, max_length=255)]
    endpoint_url: str | None = None
    region_name: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    ca_cert: str | None = None


class NewStorage(Struct, kw_only=True):
    """A storage to create."""

    name: Name
    backend: Literal["File", "S3"]
    config: Bucket | None = None
    disable_check: bool = False
    is_default: bool = False
    is_enabled: bool = True
    is_tenant_useable: bool = False


# As long an axis as an array may be.
Axis = Annotated[list[float], Meta(min_length=1, max_length=wire.TENSOR_SIZE_MAX)]


class NewGrid(Struct, kw_only=True):
    """A grid to create: the ticks of one or two axes, and their labels."""

    name: Name
    grid: Annotated[list[Axis], Meta(min_length=1, max_length=2)]
    labels: list[Annotated[str, Meta(max_length=1024)]]

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.grid):
            raise ValueError(f"{len(self.grid)} axes need as many labels; got {len(self.labels)}")
        for axis in self.grid:
            if not all(a <= b for a, b in pairwise(axis)):
                raise ValueError("the ticks of an axis ascend")


class GridMetric(Struct):
    """Which metric of a run is logged on a grid."""

    metric: Annotated[str, Meta(min_length=1, max_length=wire.NAME_SIZE_MAX)]


def members(form: Struct, *loc: str | int) -> dict[str, Any]:
    """Return what *form* sets, as the store takes it; refuses (422) a timestamp that is none."""
    found: dict[str, Any] = msgspec.to_builtins(form)
    for name in ("started", "endtime"):
        if found.get(name) is not None:
            with checked("body", *loc, name):
                found[name] = wire.format_timestamp(wire.parse_timestamp(found[name]))
    return found
