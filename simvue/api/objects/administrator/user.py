"""Users: who may ask the server."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ....records import moment
from ..base import Member, SimvueObject

if TYPE_CHECKING:
    from typing_extensions import Self


class User(SimvueObject):
    """A user of one tenant."""

    _collection = "users"

    username = Member[str]("The name to log in with.")
    fullname = Member[str]("The name to be called by.")
    email = Member[str]("Where mail goes.")
    is_manager = Member[bool]("Whether they manage their tenant.")
    is_admin = Member[bool]("Whether they administer the server.")
    is_readonly = Member[bool]("Whether they may only look.")
    is_enabled = Member[bool]("Whether they may ask at all.")
    is_deleted = Member[bool]("Whether they are deleted.", write=None, missing=False)
    created = Member[datetime | None]("When they were made.", read=moment, write=None)

    @property
    def enabled(self) -> bool:
        """Whether they may ask at all."""
        return self.is_enabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        self.is_enabled = enabled

    @property
    def deleted(self) -> bool:
        """Whether they are deleted."""
        return self.is_deleted

    @classmethod
    def new(
        cls,
        *,
        username: str,
        fullname: str,
        email: str,
        tenant: str,
        is_manager: bool = False,
        is_admin: bool = False,
        is_readonly: bool = False,
        welcome: bool = False,
        enabled: bool = True,
        **settings: Any,
    ) -> Self:
        """Prepare a user of the tenant with that identifier; *welcome* sends them a mail."""
        return cls._prepare(
            settings,
            username=username,
            fullname=fullname,
            email=email,
            is_manager=is_manager,
            is_admin=is_admin,
            is_readonly=is_readonly,
            is_enabled=enabled,
            welcome=welcome,
            tenant=tenant,
        )

    def _create(self) -> dict[str, Any]:
        # The wire has the user in a member of its own beside the tenant.
        user = {key: value for key, value in self._staged.items() if key != "tenant"}
        described = {"user": user, "tenant": self._staged.get("tenant")}
        answer: dict[str, Any] = self._post("/users", described)
        return answer
