"""Artifacts of whatever kind they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ....exception import InvalidValueError
from ....remote import Remote, route
from ..base import Picked, SimvueObject, Sort, open_remote
from .base import Category
from .file import FileArtifact
from .object import ObjectArtifact


class ArtifactSort(Sort):
    """A column to sort artifacts by: name, created or ``metadata.<key>``."""


class Artifact(Picked):
    """Any artifact: ``Artifact(identifier)`` is of the class of its kind."""

    _collection = "artifacts"

    @classmethod
    def _kind(cls, members: Mapping[str, Any]) -> type[SimvueObject]:
        return FileArtifact if members.get("original_path") else ObjectArtifact

    @classmethod
    def from_run(
        cls,
        run_id: str,
        *,
        category: Category | None = None,
        server_url: str | None = None,
        server_token: object = None,
    ) -> Iterator[tuple[str, Any]]:
        """Return an iterator of (identifier, artifact) over those of a run."""
        remote = open_remote(server_url, server_token)
        return cls._of_run(remote, run_id, {"category": category})

    @classmethod
    def from_name(
        cls,
        run_id: str,
        name: str,
        *,
        server_url: str | None = None,
        server_token: object = None,
        **_: Any,
    ) -> Any:
        """Return the artifact of a run called *name*, None if there is none.

        Raises InvalidValueError (a RuntimeError) if several are called so.
        """
        remote = open_remote(server_url, server_token)
        found = list(cls._of_run(remote, run_id, {"name": name}))
        if len(found) > 1:
            raise InvalidValueError(f"{name!r} is the name of several artifacts of run {run_id}")
        return found[0][1] if found else None

    @classmethod
    def _of_run(
        cls, remote: Remote, run_id: str, params: Mapping[str, Any]
    ) -> Iterator[tuple[str, Any]]:
        for entry in remote.get(route("runs", run_id, "artifacts"), params):
            yield entry["id"], cls._kind(entry)(_remote=remote, **entry)
