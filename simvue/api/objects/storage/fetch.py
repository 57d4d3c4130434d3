"""Storages of whatever kind they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base import Picked, SimvueObject
from .file import FileStorage
from .s3 import S3Storage


class Storage(Picked):
    """Any storage: ``Storage(identifier)`` is of the class of its kind."""

    _collection = "storage"

    @classmethod
    def _kind(cls, members: Mapping[str, Any]) -> type[SimvueObject]:
        return S3Storage if members.get("backend") == "S3" else FileStorage
