"""Folders: the tree in which runs lie, addressed by id and found by path."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, delete, get, post, put

from .. import query
from ..forms import FolderChanges, NewFolder, Refused, Star, answer, check_id, members, read_form
from ..store import Store


@post("/folders", sync_to_thread=True)
def create_folder(body: bytes, store: Store) -> Response[bytes]:
    """Create a folder and its parents; 409 with its id, and no change, if the path is there."""
    folder, created = store.create_folder(members(read_form(body, NewFolder)))
    if not created:
        return answer({"id": folder, "detail": "there is a folder at that path"}, 409)
    return answer({"id": folder})


@get("/folders", sync_to_thread=True)
def list_folders(request: Request[Any, Any, Any], store: Store) -> Response[bytes]:
    """Answer a page of folders."""
    return answer(query.fetch(store.list_folders, query.listing(request.query_params)))


@get("/folders/{folder:str}", sync_to_thread=True)
def get_folder(folder: str, store: Store) -> Response[bytes]:
    """Answer one folder."""
    found = store.get_folder(check_id(folder, "path", "id"))
    if found is None:
        raise _missing(folder)
    return answer(found)


@put("/folders/{folder:str}", sync_to_thread=True)
def update_folder(folder: str, body: bytes, store: Store) -> Response[bytes]:
    """Change what the body names: tags replace, metadata merges."""
    return _update(folder, members(read_form(body, FolderChanges)), store)


@put("/folders/{folder:str}/starred", sync_to_thread=True)
def star_folder(folder: str, body: bytes, store: Store) -> Response[bytes]:
    """Star a folder, or take its star away."""
    return _update(folder, {"starred": read_form(body, Star).starred}, store)


@delete("/folders/{folder:str}", status_code=200, sync_to_thread=True)
def delete_folder(request: Request[Any, Any, Any], folder: str, store: Store) -> Response[bytes]:
    """Delete a folder; flags say whether what lies in it goes too, or goes alone."""
    flags = request.query_params
    check_id(folder, "path", "id")
    try:
        deleted = store.delete_folder(
            folder,
            recursive=query.flag(flags, "recursive"),
            runs=query.flag(flags, "runs"),
            keep=query.flag(flags, "runs_only"),
        )
    except KeyError:
        raise _missing(folder) from None
    except ValueError as error:
        raise Refused(409, str(error)) from None
    return answer(deleted)


def _update(folder: str, changes: dict[str, Any], store: Store) -> Response[bytes]:
    if not store.update_folder(check_id(folder, "path", "id"), changes):
        raise _missing(folder)
    return answer({"id": folder})


def _missing(folder: str) -> Refused:
    return Refused(404, f"there is no folder {folder}")


HANDLERS: Final = [
    create_folder,
    list_folders,
    get_folder,
    update_folder,
    star_folder,
    delete_folder,
]
