"""Storages: where artifacts are kept; the path is singular, and the list a bare array."""

from __future__ import annotations

from typing import Final

import msgspec
from litestar import Response, delete, get, post, put

from .. import query
from ..forms import (
    Bucket,
    NewStorage,
    Refused,
    StorageChanges,
    answer,
    check_id,
    checked,
    invalid,
    members,
    read_form,
    shape,
)
from ..parameters import Slice
from ..shapes import Empty, Made, Storage
from ..store import Object
from . import Asked, threaded

# What is everybody's business, and so an administrator's to decide.
_FOR_ALL: Final = ("is_default", "is_tenant_useable")


@post("/storage", body=NewStorage, answer=Made)
@threaded
def create_storage(asked: Asked) -> Response[bytes]:
    """Register a storage; one that is to be the default replaces it."""
    form = read_form(asked.body, NewStorage)
    if form.backend == "S3":
        if form.config is None:
            raise invalid("an S3 storage needs a config with its bucket", "body", "config")
        if not form.disable_check:
            raise invalid(
                "this server cannot reach S3 stores, so it cannot check one: "
                "send disable_check as true",
                "body",
                "disable_check",
            )
    storage = members(form)
    if not asked.token.is_admin and any(storage[name] for name in _FOR_ALL):
        raise _not_yours()
    with checked("body", "is_default"):
        return answer({"id": asked.store.create_storage(storage, asked.owner)})


@get("/storage", query=Slice, answer=list[Storage])
@threaded
def list_storages(asked: Asked) -> Response[bytes]:
    """Answer all storages, a bare array; `start` and `count` cut it."""
    start = query.whole(asked.parameters, "start", query.START_MAX) or 0
    count = query.whole(asked.parameters, "count", query.START_MAX)
    found = asked.store.list_storages()[start:]
    return answer(found[:count] if count else found)


@get("/storage/{storage:str}", answer=Storage)
@threaded
def get_storage(asked: Asked, storage: str) -> Response[bytes]:
    """Answer one storage, without its secrets."""
    return answer(_find(asked, storage))


@put("/storage/{storage:str}", body=StorageChanges, answer=Made)
@threaded
def update_storage(asked: Asked, storage: str) -> Response[bytes]:
    """Change what the body names."""
    changes = members(read_form(asked.body, StorageChanges))
    _check_owner(asked, _find(asked, storage))
    if not asked.token.is_admin and any(changes.get(name) for name in _FOR_ALL):
        raise _not_yours()
    if changes.get("config") is not None:
        # What it becomes must still be a bucket's.
        given = {"bucket": "unchanged", **changes["config"]}
        shaped = msgspec.to_builtins(shape(given, Bucket, "config"))
        changes["config"] = {name: shaped[name] for name in changes["config"] if name in shaped}
    with checked("body"):
        known = asked.store.update_storage(storage, changes)
    if not known:
        raise _missing(storage)
    return answer({"id": storage})


@delete("/storage/{storage:str}", status_code=200, answer=Empty)
@threaded
def delete_storage(asked: Asked, storage: str) -> Response[bytes]:
    """Delete a storage that nothing is kept in and that is not the default."""
    _check_owner(asked, _find(asked, storage))
    try:
        known = asked.store.delete_storage(storage)
    except ValueError as error:
        raise Refused(409, str(error)) from None
    if not known:
        raise _missing(storage)
    return answer({})


def _find(asked: Asked, storage: str) -> Object:
    found = asked.store.get_storage(check_id(storage, "path", "id"))
    if found is None:
        raise _missing(storage)
    return found


def _check_owner(asked: Asked, storage: Object) -> None:
    if not asked.token.is_admin and storage["user"] != asked.owner:
        raise _not_yours()


def _not_yours() -> Refused:
    return Refused(403, "only an administrator may change a storage that others use")


def _missing(storage: str) -> Refused:
    return Refused(404, f"there is no storage {storage}")


HANDLERS: Final = [create_storage, list_storages, get_storage, update_storage, delete_storage]
