"""Storages in a folder of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import StorageBase

if TYPE_CHECKING:
    from typing_extensions import Self


class FileStorage(StorageBase):
    """A storage in a folder of the server."""

    @classmethod
    def new(
        cls,
        *,
        name: str,
        disable_check: bool = False,
        is_tenant_useable: bool = True,
        is_enabled: bool = True,
        is_default: bool = False,
        **settings: Any,
    ) -> Self:
        """Prepare a storage called *name*."""
        return cls._prepare(
            settings,
            name=name,
            backend="File",
            disable_check=disable_check,
            is_tenant_useable=is_tenant_useable,
            is_enabled=is_enabled,
            is_default=is_default,
        )
