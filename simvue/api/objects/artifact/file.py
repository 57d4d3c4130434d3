"""Artifacts that were files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ....artifacts import check_file, check_mime_type
from .base import ArtifactBase

if TYPE_CHECKING:
    from typing_extensions import Self


class FileArtifact(ArtifactBase):
    """A file."""

    @classmethod
    def new(
        cls,
        *,
        name: str,
        file_path: Path | str,
        storage: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        """Prepare the file at *file_path*, which is read by ``commit``."""
        # Nothing can be kept for later, so there is nothing to take a copy for.
        for unused in ("snapshot", "upload_timeout"):
            settings.pop(unused, None)
        path = check_file(file_path)
        return cls._prepare(
            settings,
            name=name,
            storage=storage,
            original_path=str(path),
            mime_type=check_mime_type(mime_type, path),
            metadata=metadata,
        )

    def _describe(self) -> dict[str, Any]:
        self._path = Path(self._staged["original_path"])
        digest, size = hashlib.sha256(), 0
        with self._path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                size += len(block)
        return {**self._staged, "size": size, "checksum": digest.hexdigest()}

    def _open(self) -> BinaryIO:
        return self._path.open("rb")
