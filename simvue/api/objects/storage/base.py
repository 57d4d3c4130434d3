"""What storages of every kind have in common."""

from __future__ import annotations

from datetime import datetime

from ....records import moment
from ..base import Member, SimvueObject

__all__ = ["SimvueObject", "StorageBase"]


class StorageBase(SimvueObject):
    """A storage."""

    _collection = "storage"

    name = Member[str]("What it is called.")
    backend = Member[str]("What it is: File or S3.", write=None)
    is_default = Member[bool]("Whether artifacts go there unless told otherwise.")
    is_tenant_useable = Member[bool]("Whether everybody of the tenant may use it.")
    is_enabled = Member[bool]("Whether it is in use.")
    created = Member[datetime | None]("When it was made.", read=moment, write=None)

    @classmethod
    def label(cls) -> str:
        """Return what such an object is called."""
        return "storage"

    @property
    def type(self) -> str:
        """What it is: File or S3."""
        return self.backend
