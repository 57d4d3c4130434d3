"""Patterns and models under the names of the official package; for scripts, not for us."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from .wire import (
    FOLDER_PATTERN,
    ID_PATTERN,
    METRIC_NAME_PATTERN,
    NAME_PATTERN,
    TIMESTAMP_FORMAT,
    format_timestamp,
    parse_timestamp,
)

FOLDER_REGEX: Final = f"^{FOLDER_PATTERN.pattern}"
NAME_REGEX: Final = f"^{NAME_PATTERN.pattern}$"
METRIC_KEY_REGEX: Final = f"^{METRIC_NAME_PATTERN.pattern}$"
OBJECT_ID: Final = f"^{ID_PATTERN.pattern}$"
DATETIME_FORMAT: Final = TIMESTAMP_FORMAT

_WORDS: Final = r"^[\w\-\s\.]+$"

MetadataKeyString: TypeAlias = Annotated[str, StringConstraints(pattern=_WORDS)]
TagString: TypeAlias = Annotated[str, StringConstraints(pattern=_WORDS)]
MetricKeyString: TypeAlias = Annotated[str, StringConstraints(pattern=METRIC_KEY_REGEX)]
ObjectID: TypeAlias = Annotated[str, StringConstraints(pattern=OBJECT_ID)]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]


def validate_timestamp(timestamp: str, *, raise_except: bool = True) -> bool:
    """Tell whether *timestamp* can be read; raises ValueError instead of False if told so."""
    try:
        parse_timestamp(timestamp)
    except ValueError:
        if raise_except:
            raise
        return False
    return True


def simvue_timestamp(date_time: datetime | str | None = None) -> str:
    """Return a moment as the wire has it, in UTC; now if there is none.

    A datetime without a zone is local time, a text without one is UTC already.
    """
    if date_time is None:
        date_time = datetime.now(timezone.utc)
    if isinstance(date_time, datetime):
        date_time = date_time.astimezone().isoformat()
    return format_timestamp(parse_timestamp(date_time))


Timestamp: TypeAlias = Annotated[str, BeforeValidator(simvue_timestamp)]


def _to_list(array: Any) -> Any:
    return array.tolist() if hasattr(array, "tolist") else array


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RunInput(_Model):
    """What a run may be called and carry."""

    name: Annotated[str, StringConstraints(pattern=NAME_REGEX)] | None = None
    metadata: dict[MetadataKeyString, str | int | float | None] | None = None
    tags: list[TagString] | None = None
    description: str | None = None
    folder: Annotated[str, StringConstraints(pattern=FOLDER_REGEX)]
    status: str | None = None


class MetricSet(_Model):
    """One row of metrics."""

    time: float | int = 0
    timestamp: Timestamp = Field(default_factory=simvue_timestamp)
    step: Annotated[int, Field(ge=0)] = 0
    values: dict[str, int | float | bool]


class GridMetricSet(_Model):
    """One array on a grid."""

    time: float | int = 0
    timestamp: Timestamp = Field(default_factory=simvue_timestamp)
    step: Annotated[int, Field(ge=0)] = 0
    array: Annotated[list[float] | list[list[float]], BeforeValidator(_to_list)]
    grid: str
    metric: str


class EventSet(_Model):
    """One event."""

    message: str
    log_level: LogLevel | None = None
    timestamp: Timestamp = Field(default_factory=simvue_timestamp)
