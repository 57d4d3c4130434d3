"""Runs, folders, tags, alerts and artifacts as the server had them when they were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from .wire import parse_timestamp


class Record(Mapping[str, Any]):
    """One object of the server: a mapping whose keys are attributes as well.

    ``record["created"]`` is what stands on the wire, a text; ``record.created`` is a datetime in
    UTC.  A copy: it neither follows the server nor changes it.
    """

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = dict(members)

    def __getitem__(self, key: str) -> Any:
        return self._members[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __getattr__(self, name: str) -> Any:
        # copy and pickle ask for underscore names before there are members.
        if not name.startswith("_") and name in self._members:
            return self._members[name]
        raise AttributeError(f"this {type(self).__name__} has no {name!r}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._members})

    def __repr__(self) -> str:
        shown = ("id", "name", "path", "status")
        members = ", ".join(
            f"{key}={self._members[key]!r}" for key in shown if key in self._members
        )
        return f"{type(self).__name__}({members})"

    def __reduce__(self) -> tuple[type[Record], tuple[dict[str, Any]]]:
        return type(self), (self._members,)

    def to_dict(self) -> dict[str, Any]:
        """Return the members as they stand on the wire."""
        return dict(self._members)

    @property
    def created(self) -> datetime | None:
        """When the object was made."""
        return self._moment("created")

    def _moment(self, key: str) -> datetime | None:
        return moment(self._members.get(key))


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def moment(text: str | None) -> datetime | None:
    """Read a timestamp of the wire; None for none."""
    return _EPOCH + timedelta(microseconds=parse_timestamp(text)) if text else None


def duration(text: str | None) -> timedelta | None:
    """Read how long a run ran, ``HH:MM:SS.ffffff`` on the wire; None for none."""
    if not text:
        return None
    hours, minutes, seconds = text.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))


class RunRecord(Record):
    """A run: name, status, folder, tags, metadata, metrics (a summary for each name), ..."""

    __slots__ = ()

    @property
    def started(self) -> datetime | None:
        """When the run first was ``running``."""
        return self._moment("started")

    @property
    def endtime(self) -> datetime | None:
        """When the run ended; None while it has not."""
        return self._moment("endtime")

    @property
    def modified(self) -> datetime | None:
        """When the run last changed."""
        return self._moment("modified")

    @property
    def runtime(self) -> timedelta | None:
        """How long the run ran, or has been running."""
        return duration(self._members.get("runtime"))


class FolderRecord(Record):
    """A folder: path, description, tags, metadata."""

    __slots__ = ()


class TagRecord(Record):
    """A tag: name, colour, description."""

    __slots__ = ()


class AlertRecord(Record):
    """An alert: name, source, notification, and as ``alert`` its rule."""

    __slots__ = ()


class ArtifactRecord(Record):
    """An artifact: name, size in bytes, mime_type, checksum, and its category in the run."""

    __slots__ = ()
