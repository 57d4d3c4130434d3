"""Tenants: who share a server without seeing each other."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ....records import moment
from ..base import Member, SimvueObject

if TYPE_CHECKING:
    from typing_extensions import Self


class Tenant(SimvueObject):
    """A tenant; of its limits 0 means none."""

    _collection = "tenants"

    name = Member[str]("What it is called.")
    is_enabled = Member[bool]("Whether its users may work.")
    max_request_rate = Member[int]("Requests a minute that it may make.")
    max_runs = Member[int]("Runs that it may have.")
    max_data_volume = Member[int]("Bytes that it may store.")
    created = Member[datetime | None]("When it was made.", read=moment, write=None)

    @classmethod
    def new(
        cls,
        *,
        name: str,
        is_enabled: bool = True,
        max_request_rate: int = 0,
        max_runs: int = 0,
        max_data_volume: int = 0,
        **settings: Any,
    ) -> Self:
        """Prepare a tenant called *name*."""
        return cls._prepare(
            settings,
            name=name,
            is_enabled=is_enabled,
            max_request_rate=max_request_rate,
            max_runs=max_runs,
            max_data_volume=max_data_volume,
        )
