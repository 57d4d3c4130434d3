"""Artifacts that were objects of Python."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any, BinaryIO

from ....artifacts import decode, encode
from .base import ArtifactBase

if TYPE_CHECKING:
    from typing_extensions import Self


class ObjectArtifact(ArtifactBase):
    """An object of Python, as bytes that say what they are."""

    _content: bytes

    @classmethod
    def new(
        cls,
        *,
        name: str,
        obj: object,
        storage: str | None = None,
        metadata: dict[str, Any] | None = None,
        allow_pickling: bool = True,
        **settings: Any,
    ) -> Self:
        """Prepare *obj*, which is encoded now; raises InvalidValueError if nothing can hold it."""
        settings.pop("upload_timeout", None)
        content, mime_type = encode(obj, allow_pickling)
        prepared = cls._prepare(
            settings,
            name=name,
            storage=storage,
            mime_type=mime_type,
            metadata=metadata,
        )
        prepared._content = content
        return prepared

    def load(self, *, allow_pickle: bool = False) -> Any:
        """Download and return the object; a pickle only if told so, else its bytes."""
        return decode(b"".join(self.download_content()), self.mime_type, allow_pickle)

    def _describe(self) -> dict[str, Any]:
        checksum = hashlib.sha256(self._content).hexdigest()
        size = len(self._content)
        return {"original_path": "", **self._staged, "size": size, "checksum": checksum}

    def _open(self) -> BinaryIO:
        return io.BytesIO(self._content)
