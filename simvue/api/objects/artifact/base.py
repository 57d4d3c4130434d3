"""What files and objects have in common: a description, an upload, a download."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO, Literal
from urllib.parse import urlsplit

from ....exception import ServerError, SimvueRunError
from ....records import moment
from ....remote import route
from ..base import Member, SimvueObject

Category = Literal["code", "input", "output"]


class ArtifactBase(SimvueObject):
    """An artifact; what was uploaded never changes."""

    _collection = "artifacts"

    name = Member[str]("What it is called.", write=None)
    original_path = Member[str]("Where the file was; empty for an object.", write=None, missing="")
    size = Member[int]("Its bytes, counted by whoever made it.", write=None)
    mime_type = Member[str]("What the bytes mean.", write=None)
    checksum = Member[str]("The SHA-256 of the bytes.", write=None)
    storage_id = Member[str | None]("The storage that has the bytes.", write=None)
    uploaded = Member[bool]("Whether the bytes have arrived.")
    metadata = Member[dict[str, Any] | None]("What was said about it.", write=None)
    created = Member[datetime | None]("When it was made.", read=moment, write=None)

    @classmethod
    def label(cls) -> str:
        """Return what such an object is called."""
        return "artifact"

    @property
    def download_url(self) -> str | None:
        """The signed address of the bytes."""
        url: str | None = self._get_attribute("url", None)
        return url

    @property
    def storage_url(self) -> str | None:
        """The address of the store without the signature."""
        url = self.download_url
        return urlsplit(url)._replace(query="", fragment="").geturl() if url else None

    @property
    def runs(self) -> Iterator[str]:
        """The identifiers of the runs that have it."""
        from ..run import Run

        return Run.ids(filters=[f"artifact.id == {self._require_id()}"], _remote=self._remote)  # type: ignore[no-any-return]

    def commit(self) -> dict[str, Any] | None:
        """Describe the artifact to the server and upload its bytes.

        Raises ServerError if the store does not take them; nothing refers to them then.
        """
        if self._id is not None:
            return super().commit()
        described = self._describe()
        answer = self._post("/artifacts", described)
        self._id, url = answer["id"], answer.get("url")
        self._staged = {}
        # Without an address the server has these bytes already.
        if url:
            with self._open() as content:
                sent = self._remote.upload(url, content, described["size"], answer.get("fields"))
            if not sent.ok:
                raise ServerError(f"the store refuses {described['name']!r}: {sent.detail}")
            self._remote.put(route("artifacts", self._id), {"uploaded": True})
        return dict(answer)

    def attach_to_run(self, run_id: str, category: Category) -> dict[str, Any]:
        """Give the artifact to a run as code, input or output."""
        path = route("runs", run_id, "artifacts", self._require_id())
        return dict(self._remote.put(path, {"category": category}))

    def get_category(self, run_id: str) -> Category:
        """Return what it is to a run: code, input or output."""
        path = route("runs", run_id, "artifacts", self._require_id())
        category: Category = self._remote.get(path)["category"]
        return category

    def download_content(self) -> Iterator[bytes]:
        """Yield the bytes as they come; raises ServerError if they do not come whole."""
        url = self.download_url
        if not url:
            raise SimvueRunError(f"artifact {self.name!r} has no bytes on the server yet")
        return self._remote.download(url)

    @abstractmethod
    def _describe(self) -> dict[str, Any]:
        """Return what the server is told before the upload."""

    @abstractmethod
    def _open(self) -> BinaryIO:
        """Open the bytes to upload."""
