"""What every object of the server has in common: fetch, stage, commit, delete, list.

::

    Tag(identifier)          a copy fetched from the server, read-only until told otherwise
    Tag.new(name="best")     an object to be: what is set is staged, and sent by commit()
    Tag.get(count=20)        an iterator of (identifier, copy)

An object that may be written asks the server at each reading of what is not staged, because
others write, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from pydantic import BaseModel, ConfigDict

from ... import config, listing
from ...config.user import SimvueConfiguration
from ...exception import InvalidValueError, ServerError, SimvueRunError
from ...remote import Remote, route
from ..url import URL

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")


class Sort(BaseModel):
    """A column to sort by, and whether the greatest comes first; the server knows the columns."""

    column: str
    descending: bool = True

    def to_params(self) -> dict[str, str | bool]:
        """Return it as the wire has it."""
        return {"id": self.column, "desc": self.descending}


class ObjectBatchArgs(BaseModel):
    """What an object of a batch may carry; each kind says what."""

    model_config = ConfigDict(extra="forbid")


class VisibilityBatchArgs(ObjectBatchArgs):
    """Who sees the objects of a batch."""

    tenant: bool | None = None
    public: bool | None = None
    user: list[str] | None = None


class Part:
    """A member that is a table, as attributes: each change stages the table whole."""

    def __init__(self, owner: SimvueObject, name: str) -> None:
        self._owner = owner
        self._name = name

    def _read(self, key: str, missing: Any = None) -> Any:
        return (self._owner._get_attribute(self._name, None) or {}).get(key, missing)

    def _change(self, key: str, value: Any) -> None:
        table = self._owner._get_attribute(self._name, None) or {}
        self._owner._stage(self._name, {**table, key: value})


class Visibility(Part):
    """Who sees a run."""

    @property
    def users(self) -> list[str]:
        """The names of users who do."""
        return list(self._read("users", []))

    @users.setter
    def users(self, users: Sequence[str]) -> None:
        self._change("users", list(users))

    @property
    def tenant(self) -> bool:
        """Whether everybody of the tenant does."""
        return bool(self._read("tenant"))

    @tenant.setter
    def tenant(self, tenant: bool) -> None:
        self._change("tenant", tenant)

    @property
    def public(self) -> bool:
        """Whether everybody does."""
        return bool(self._read("public"))

    @public.setter
    def public(self, public: bool) -> None:
        self._change("public", public)


# ---- Members --------------------------------------------------------------------------------


def _same(value: Any) -> Any:
    return value


def as_list(value: Any) -> list[Any]:
    """Read a list of the wire, a copy to be changed; null is an empty one."""
    return list(value or ())


def as_dict(value: Any) -> dict[str, Any]:
    """Read a table of the wire, a copy to be changed; null is an empty one."""
    return dict(value or {})


class Member(Generic[T]):
    """One member of an object on the wire as an attribute: read from the copy, staged when set.

    *read* and *write* turn its form on the wire into Python's and back.  What the server does
    not have reads as *missing*.
    """

    def __init__(
        self,
        doc: str,
        *,
        read: Callable[[Any], T] = _same,
        write: Callable[[Any], Any] | None = _same,
        missing: Any = None,
    ) -> None:
        self.__doc__ = doc
        self._read = read
        self._write = write
        self._missing = missing

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: SimvueObject, owner: type) -> T: ...
    def __get__(self, instance: SimvueObject | None, owner: type) -> Self | T:
        if instance is None:
            return self
        return self._read(instance._get_attribute(self._name, self._missing))

    def __set__(self, instance: SimvueObject, value: T) -> None:
        if self._write is None:
            raise AttributeError(f"{self._name} is the server's to set")
        instance._stage(self._name, self._write(value))


_REQUIRED = object()
"""Tells `SimvueObject._get_attribute` that there is nothing to say instead."""


class SimvueObject:
    """One object of the server.  Use the class of its kind.

    With an *identifier* it is fetched at once: ObjectNotFoundError if there is none.  *server_url*
    and *server_token* beat the configuration.  ``read_only=False`` lets it be changed; setting a
    member of a read-only object is an AssertionError.
    """

    _collection: ClassVar[str] = "objects"

    def __init__(
        self,
        identifier: str | None = None,
        *,
        server_url: str | None = None,
        server_token: object = None,
        _read_only: bool | None = None,
        _local: bool = False,
        _offline: bool = False,
        _remote: Remote | None = None,
        **members: Any,
    ) -> None:
        if _offline or (identifier or "").startswith("offline_"):
            raise SimvueRunError(
                "objects are not kept offline; simvue.Run(mode='offline') records a whole run, "
                "and simvue ship sends it"
            )
        read_only = members.pop("read_only", _read_only)
        self._remote = _remote or open_remote(server_url, server_token)
        self._offline = False
        self._id = identifier or members.pop("id", None)
        self._staged: dict[str, Any] = {} if self._id else members
        self._members: dict[str, Any] = members if self._id else {}
        self._read_only = self._id is not None if read_only is None else bool(read_only)
        # An entry of a list is the whole object already.
        if identifier and not members and not _local:
            self.refresh()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SimvueObject) and self._id is not None and self._id == other._id

    def __hash__(self) -> int:
        return hash(self._id)

    # ---- What it is -------------------------------------------------------------------------

    @classmethod
    def label(cls) -> str:
        """Return what such an object is called, ``run`` say."""
        return cls.__name__.lower()

    @classmethod
    def endpoint(cls) -> str:
        """Return the part of the address that is common to such objects."""
        return cls._collection

    @property
    def id(self) -> str | None:
        """The identifier, None before the first commit."""
        return self._id

    @property
    def base_url(self) -> URL:
        """The address of the list of such objects."""
        return URL(f"{self._remote.url}/api") / self._collection

    @property
    def url(self) -> URL | None:
        """The object's address, None before the first commit."""
        return self.base_url / self._id if self._id else None

    @property
    def user_config(self) -> SimvueConfiguration:
        """The configuration as the official package has it."""
        return SimvueConfiguration.fetch(mode="online", server_url=self._remote.url)

    @property
    def is_read_only(self) -> bool:
        """Whether setting a member is refused."""
        return self._read_only

    def read_only(self, is_read_only: bool, *, clear_staged: bool = True) -> None:
        """Refuse or permit changes; what is staged is dropped on refusal unless told otherwise."""
        self._read_only = is_read_only
        if is_read_only and clear_staged:
            self._staged.clear()

    def to_dict(self) -> dict[str, Any]:
        """Return the members as they stand on the wire, what is staged among them."""
        if self._id and not self._read_only:
            self.refresh()
        return {**self._members, **self._staged}

    @property
    def staged(self) -> dict[str, Any]:
        """What the next commit sends."""
        return dict(self._staged)

    # ---- To and from the server ---------------------------------------------------------------

    def refresh(self) -> None:
        """Fetch the object's members anew; raises ObjectNotFoundError if it is gone."""
        if self._id:
            self._members = self._remote.get(route(self._collection, self._id))

    def commit(self) -> dict[str, Any] | None:
        """Create the object, or send what was changed since; return the server's answer.

        None if there was nothing to send.  Raises AttributeError if the object is read-only,
        InvalidValueError (a ValueError) if the server does not accept a member.
        """
        if self._read_only:
            raise AttributeError(f"this {self.label()} is read-only: call read_only(False) first")
        if self._id is None:
            answer = self._create()
            self._id = answer.get("id")
        elif self._staged:
            answer = self._remote.put(route(self._collection, self._id), self._staged)
        else:
            return None
        self._staged = {}
        return dict(answer or {})

    def delete(self) -> dict[str, Any]:
        """Delete the object from the server; what is staged is dropped."""
        answer = self._remote.delete(route(self._collection, self._require_id()))
        self._staged.clear()
        return dict(answer or {})

    def _create(self) -> dict[str, Any]:
        described = {key: value for key, value in self._staged.items() if value is not None}
        answer: dict[str, Any] = self._post(f"/{self._collection}", described)
        return answer

    def _post(self, path: str, json: Any, params: Mapping[str, Any] | None = None) -> Any:
        try:
            return self._remote.post(path, json, params)
        except ServerError as error:
            if error.status == 422:
                raise InvalidValueError(str(error)) from None
            raise

    def _require_id(self) -> str:
        if self._id is None:
            raise SimvueRunError(f"this {self.label()} is not on the server yet: commit() it first")
        return self._id

    # ---- Members ------------------------------------------------------------------------------

    def _get_attribute(self, name: str, default: Any = _REQUIRED) -> Any:
        """Return a member in its form on the wire; raises KeyError if there is no such member."""
        if name in self._staged:
            return self._staged[name]
        if self._id and (not self._read_only or not self._members):
            self.refresh()
        if name not in self._members and default is not _REQUIRED:
            return default
        return self._members[name]

    def _stage(self, name: str, value: Any) -> None:
        assert not self._read_only, f"this {self.label()} is read-only: call read_only(False) first"
        self._staged[name] = value

    # ---- Lists ----------------------------------------------------------------------------------

    @classmethod
    def _prepare(cls, settings: Mapping[str, Any], **members: Any) -> Self:
        """Prepare an object with those *members*, to be created by ``commit``.

        *settings* are ``server_url``, ``server_token``, ``offline``, and further members.
        """
        given = dict(settings)
        offline = given.pop("offline", False)
        server = {name: given.pop(name, None) for name in ("server_url", "server_token")}
        given |= members
        known = {name: value for name, value in given.items() if value is not None}
        return cls(_offline=offline, **server, **known)

    @classmethod
    def get(
        cls,
        *,
        count: int | None = None,
        offset: int | None = None,
        filters: str | Sequence[str] | None = None,
        sorting: Sequence[Mapping[str, Any] | Sort] | None = None,
        server_url: str | None = None,
        server_token: object = None,
        _remote: Remote | None = None,
        **params: Any,
    ) -> Iterator[tuple[str, Any]]:
        """Return an iterator of (identifier, object), *count* at most, each a read-only copy.

        *filters* is a list of texts such as ``name == best``; *sorting* a list of
        ``{"column": ..., "descending": ...}``.
        """
        remote = _remote or open_remote(server_url, server_token)
        asked = {**params, **_filtered(filters), "sorting": _sorted(sorting)}
        found = listing.entries(remote, f"/{cls._collection}", asked, offset or 0, count)
        return ((entry["id"], cls._kind(entry)(_remote=remote, **entry)) for entry in found)

    @classmethod
    def ids(cls, count: int | None = None, offset: int | None = None, **params: Any) -> Any:
        """Return an iterator of identifiers, as `get`."""
        return (identifier for identifier, _ in cls.get(count=count, offset=offset, **params))

    @classmethod
    def count(
        cls,
        *,
        filters: str | Sequence[str] | None = None,
        server_url: str | None = None,
        server_token: object = None,
        **params: Any,
    ) -> int:
        """Return how many such objects there are."""
        remote = open_remote(server_url, server_token)
        return listing.count(remote, f"/{cls._collection}", {**params, **_filtered(filters)})

    @classmethod
    def _kind(cls, members: Mapping[str, Any]) -> type[SimvueObject]:
        """Return the class of an object with those members."""
        return cls


class Picked(SimvueObject):
    """A collection of several kinds: what is fetched is of the class of its own kind."""

    def __new__(cls, identifier: str | None = None, **settings: Any) -> Any:
        """Fetch the object and return it as what it is."""
        remote = settings.get("_remote") or open_remote(
            settings.get("server_url"), settings.get("server_token")
        )
        if not identifier:
            raise InvalidValueError(f"name the {cls.label()} by its identifier")
        members = remote.get(route(cls._collection, identifier))
        read_only = settings.get("read_only", settings.get("_read_only"))
        return cls._kind(members)(
            _remote=remote, _read_only=read_only, **{**members, "id": identifier}
        )


def _filtered(filters: str | Sequence[str] | None) -> dict[str, str]:
    if filters is None:
        return {}
    return {"filters": filters if isinstance(filters, str) else json.dumps(list(filters))}


def _sorted(sorting: Sequence[Mapping[str, Any] | Sort] | None) -> str | None:
    columns = [Sort.model_validate(column).to_params() for column in sorting or ()]
    return json.dumps(columns) if columns else None


# ---- The server ---------------------------------------------------------------------------------


def open_remote(url: str | None, token: object) -> Remote:
    """Return the session with the server of the arguments, or else of the configuration."""
    settings = config.load(url=url, token=token)
    url, token = settings.require_server()
    return _remote_of(url, token, settings.token_source, settings.ca_file, settings.proxy)


@lru_cache(maxsize=16)
def _remote_of(
    url: str, token: str, token_source: str | None, ca_file: Path | None, proxy: config.Proxy
) -> Remote:
    # One session for all objects of a server: a list has thousands, and each may ask.
    return Remote(url, token, token_source=token_source, ca_file=ca_file, proxy=proxy)
