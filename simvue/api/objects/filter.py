"""Filters: what is asked for, built call by call.

Each call adds one condition and returns the filter: ``Run.filter().has_tag("best").get()``.
All of them have to hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

    from .base import SimvueObject


class RestAPIFilter:
    """The conditions that runs and folders have in common."""

    def __init__(self, kind: type[SimvueObject]) -> None:
        self._kind = kind
        self._conditions: list[str] = []

    def as_list(self) -> list[str]:
        """Return the conditions as the server reads them."""
        return list(self._conditions)

    def clear(self) -> None:
        """Forget all conditions."""
        self._conditions.clear()

    def get(
        self, count: int | None = None, offset: int | None = None, **settings: Any
    ) -> Iterator[tuple[str, Any]]:
        """Return an iterator of (identifier, object) over what fulfils all conditions."""
        return self._kind.get(count=count, offset=offset, filters=self._conditions, **settings)

    def count(self, **settings: Any) -> int:
        """Return how many fulfil all conditions."""
        return self._kind.count(filters=self._conditions, **settings)

    def _add(self, condition: str) -> Self:
        self._conditions.append(condition)
        return self

    def _within(self, moment: str, hours: int, days: int, years: int) -> Self:
        spans = [(hours, "h"), (days, "d"), (years, "y")]
        given = [(number, unit) for number, unit in spans if number]
        if len(given) != 1:
            raise ValueError("give one of hours, days and years")
        return self._add(f"{moment} < {given[0][0]}{given[0][1]}")

    def starred(self) -> Self:
        """Starred by the caller."""
        return self._add("starred")

    def has_tag(self, tag: str) -> Self:
        """With *tag*."""
        return self._add(f"has tag.{tag}")

    def exclude_tag(self, tag: str) -> Self:
        """Without *tag*."""
        return self._add(f"has not tag.{tag}")

    def has_description_containing(self, search_str: str) -> Self:
        """With a description that contains the text."""
        return self._add(f"description contains {search_str}")

    def exclude_description_containing(self, search_str: str) -> Self:
        """With a description that does not contain the text."""
        return self._add(f"description not contains {search_str}")

    def created_within(self, *, hours: int = 0, days: int = 0, years: int = 0) -> Self:
        """Made no longer ago than that."""
        return self._within("created", hours, days, years)

    def has_metadata_attribute(self, attribute: str) -> Self:
        """With metadata under that key."""
        return self._add(f"metadata.{attribute} exists")

    def exclude_metadata_attribute(self, attribute: str) -> Self:
        """Without metadata under that key."""
        return self._add(f"metadata.{attribute} not exists")

    def has_metadata_value(self, attribute: str, value: str | float) -> Self:
        """With that value under that key."""
        return self._add(f"metadata.{attribute} == {value}")

    def exclude_metadata_value(self, attribute: str, value: str | float) -> Self:
        """With another value under that key."""
        return self._add(f"metadata.{attribute} != {value}")

    def has_metadata_value_greater_than(self, attribute: str, value: float) -> Self:
        """With a greater value under that key."""
        return self._add(f"metadata.{attribute} > {value}")

    def has_metadata_value_less_than(self, attribute: str, value: float) -> Self:
        """With a smaller value under that key."""
        return self._add(f"metadata.{attribute} < {value}")

    def has_metadata_value_greater_than_or_equal_to(self, attribute: str, value: float) -> Self:
        """With at least that value under that key."""
        return self._add(f"metadata.{attribute} >= {value}")

    def has_metadata_value_less_than_or_equal_to(self, attribute: str, value: float) -> Self:
        """With at most that value under that key."""
        return self._add(f"metadata.{attribute} <= {value}")


class FoldersFilter(RestAPIFilter):
    """Conditions for folders."""

    def has_path(self, name: str) -> Self:
        """The folder at that path."""
        return self._add(f"path == {name}")

    def has_path_containing(self, name: str) -> Self:
        """Folders whose path contains the text."""
        return self._add(f"path contains {name}")


class RunsFilter(RestAPIFilter):
    """Conditions for runs."""

    def has_name(self, name: str) -> Self:
        """Called *name*."""
        return self._add(f"name == {name}")

    def has_name_containing(self, name: str) -> Self:
        """With a name that contains the text."""
        return self._add(f"name contains {name}")

    def exclude_name(self, name: str) -> Self:
        """Called something else."""
        return self._add(f"name != {name}")

    def started_within(self, *, hours: int = 0, days: int = 0, years: int = 0) -> Self:
        """Started no longer ago than that."""
        return self._within("started", hours, days, years)

    def modified_within(self, *, hours: int = 0, days: int = 0, years: int = 0) -> Self:
        """Changed no longer ago than that."""
        return self._within("modified", hours, days, years)

    def ended_within(self, *, hours: int = 0, days: int = 0, years: int = 0) -> Self:
        """Ended no longer ago than that."""
        return self._within("ended", hours, days, years)

    def owner(self, username: str = "self") -> Self:
        """Of that user; ``self`` is the caller."""
        return self._add(f"user == {username}")

    def exclude_owner(self, username: str = "self") -> Self:
        """Of another user."""
        return self._add(f"user != {username}")

    def has_status(self, status: str) -> Self:
        """In that state."""
        return self._add(f"status == {status}")

    def is_running(self) -> Self:
        """Running."""
        return self.has_status("running")

    def is_lost(self) -> Self:
        """Lost: not heard of for longer than agreed."""
        return self.has_status("lost")

    def has_completed(self) -> Self:
        """Completed."""
        return self.has_status("completed")

    def has_failed(self) -> Self:
        """Failed."""
        return self.has_status("failed")

    def has_alert(self, alert_name: str, *, is_critical: bool | None = None) -> Self:
        """With that alert, in that state if one is given."""
        self._add(f"alert.name == {alert_name}")
        if is_critical is None:
            return self
        return self._add(f"alert.status == {'critical' if is_critical else 'ok'}")

    def in_folder(self, folder_path: str) -> Self:
        """In that folder."""
        return self._add(f"folder.path == {folder_path}")

    def in_folder_containing(self, folder_path: str) -> Self:
        """In a folder whose path contains the text."""
        return self._add(f"folder.path contains {folder_path}")

    def exclude_in_folder(self, folder_path: str) -> Self:
        """In another folder."""
        return self._add(f"folder.path != {folder_path}")

    def has_working_directory(self, working_dir: str) -> Self:
        """Started in that directory."""
        return self._add(f"system.cwd == {working_dir}")

    def exclude_working_directory(self, working_dir: str) -> Self:
        """Started in another directory."""
        return self._add(f"system.cwd != {working_dir}")

    def has_hostname(self, hostname: str) -> Self:
        """On that host."""
        return self._add(f"system.hostname == {hostname}")

    def exclude_hostname(self, hostname: str) -> Self:
        """On another host."""
        return self._add(f"system.hostname != {hostname}")

    def has_python_version(self, python_version: str) -> Self:
        """With that version of Python."""
        return self._add(f"system.pythonversion == {python_version}")

    def exclude_python_version(self, python_version: str) -> Self:
        """With another version of Python."""
        return self._add(f"system.pythonversion != {python_version}")

    def has_cpu(self, *, architecture: str | None = None, processor: str | None = None) -> Self:
        """On such a processor."""
        return self._system("cpu", "==", arch=architecture, processor=processor)

    def exclude_cpu(self, *, architecture: str | None = None, processor: str | None = None) -> Self:
        """On another processor."""
        return self._system("cpu", "!=", arch=architecture, processor=processor)

    def has_gpu(self, *, name: str | None = None, processor: str | None = None) -> Self:
        """With such a GPU."""
        return self._system("gpu", "==", name=name, processor=processor)

    def exclude_gpu(self, *, name: str | None = None, processor: str | None = None) -> Self:
        """With another GPU."""
        return self._system("gpu", "!=", name=name, processor=processor)

    def has_platform(
        self, platform: str, *, release: str | None = None, version: str | None = None
    ) -> Self:
        """On that operating system."""
        return self._system("platform", "==", system=platform, release=release, version=version)

    def exclude_platform(
        self, platform: str, *, release: str | None = None, version: str | None = None
    ) -> Self:
        """On another operating system."""
        return self._system("platform", "!=", system=platform, release=release, version=version)

    def _system(self, part: str, operator: str, **values: str | None) -> Self:
        for key, value in values.items():
            if value is not None:
                self._add(f"system.{part}.{key} {operator} {value}")
        return self
