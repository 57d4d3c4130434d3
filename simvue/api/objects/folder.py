"""Folders: the tree in which runs lie."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...exception import ObjectNotFoundError
from ...records import moment
from ...remote import route
from .base import Member, SimvueObject, Sort, as_dict, as_list
from .filter import FoldersFilter

if TYPE_CHECKING:
    from typing_extensions import Self


class FolderSort(Sort):
    """A column to sort folders by: created, modified, path or ``metadata.<key>``."""


class Folder(SimvueObject):
    """A folder, found by its path."""

    _collection = "folders"

    path = Member[str]("Where it lies.", write=None)
    name = Member[str | None]("What it is called beside its path.")
    description = Member[str | None]("What it is for.")
    tags = Member[list[str]]("Its tags; setting replaces them.", read=as_list, write=list)
    metadata = Member[dict[str, Any]]("Its metadata; what is set is merged.", read=as_dict)
    ttl = Member[int | None]("Seconds after which it is deleted, None for never.")
    created = Member[datetime | None]("When it was made.", read=moment, write=None)

    @classmethod
    def new(cls, *, path: str, **settings: Any) -> Self:
        """Prepare the folder at *path*, with its parents; if there is one, ``commit`` finds it."""
        return cls._prepare(settings, path=path)

    @classmethod
    def filter(cls) -> FoldersFilter:
        """Return a filter to be built, and then asked for what fulfils it."""
        return FoldersFilter(cls)

    @property
    def star(self) -> bool:
        """Whether it is starred; setting it does so at once."""
        return bool(self._get_attribute("starred", False))

    @star.setter
    def star(self, starred: bool) -> None:
        self._remote.put(route("folders", self._require_id(), "starred"), {"starred": starred})

    @property
    def tree(self) -> dict[str, Any]:
        """The folders under this one, as nested dicts keyed by their names."""
        tree: dict[str, Any] = {}
        prefix = self.path.rstrip("/")
        for _, folder in Folder.get(filters=[f"path contains {self.path}"], _remote=self._remote):
            if not folder.path.startswith(f"{prefix}/"):
                continue
            place = tree
            for name in filter(None, folder.path[len(prefix) :].split("/")):
                place = place.setdefault(name, {})
        return tree

    def delete(
        self,
        *,
        recursive: bool | None = False,
        delete_runs: bool | None = False,
        runs_only: bool | None = False,
    ) -> dict[str, Any]:
        """Delete the folder, with the folders or the runs in it if told so, or only the runs.

        Returns the identifiers of the ``folders`` and ``runs`` deleted.
        """
        flags = {
            "recursive": bool(recursive),
            "runs": bool(delete_runs or runs_only),
            "runs_only": bool(runs_only),
        }
        return dict(self._remote.delete(route("folders", self._require_id()), flags))


def get_folder_from_path(path: str, **settings: Any) -> Folder:
    """Return the folder at *path*; raises ObjectNotFoundError if there is none."""
    for _, folder in Folder.get(filters=[f"path == {path}"], count=1, **settings):
        return folder  # type: ignore[no-any-return]
    raise ObjectNotFoundError("Folder", path)
