"""Folders: the tree in which runs lie, addressed by id and found by path."""

from __future__ import annotations

from typing import Any, Final

from litestar import Response, delete, get, post, put

from .. import query
from ..forms import FolderChanges, NewFolder, Refused, Star, answer, check_id, members, read_form
from ..parameters import Deletion, Listing
from ..shapes import Deleted, Folder, Made, Page
from ..store import Store
from . import Asked, threaded


@post("/folders", body=NewFolder, answer=Made)
@threaded
def create_folder(asked: Asked) -> Response[bytes]:
    """Create a folder and its parents; 409 with its id, and no change, if the path is there."""
    folder, created = asked.store.create_folder(members(read_form(asked.body, NewFolder)))
    if not created:
        return answer({"id": folder, "detail": "there is a folder at that path"}, 409)
    return answer({"id": folder})


@get("/folders", query=Listing, answer=Page[Folder])
@threaded
def list_folders(asked: Asked) -> Response[bytes]:
    """Answer a page of folders."""
    return answer(query.fetch(asked.store.list_folders, query.listing(asked.parameters)))


@get("/folders/{folder:str}", answer=Folder)
@threaded
def get_folder(asked: Asked, folder: str) -> Response[bytes]:
    """Answer one folder."""
    found = asked.store.get_folder(check_id(folder, "path", "id"))
    if found is None:
        raise _missing(folder)
    return answer(found)


@put("/folders/{folder:str}", body=FolderChanges, answer=Made)
@threaded
def update_folder(asked: Asked, folder: str) -> Response[bytes]:
    """Change what the body names: tags replace, metadata merges."""
    return _update(folder, members(read_form(asked.body, FolderChanges)), asked.store)


@put("/folders/{folder:str}/starred", body=Star, answer=Made)
@threaded
def star_folder(asked: Asked, folder: str) -> Response[bytes]:
    """Star a folder, or take its star away."""
    return _update(folder, {"starred": read_form(asked.body, Star).starred}, asked.store)


@delete("/folders/{folder:str}", status_code=200, query=Deletion, answer=Deleted)
@threaded
def delete_folder(asked: Asked, folder: str) -> Response[bytes]:
    """Delete a folder; flags say whether what lies in it goes too, or goes alone."""
    flags = asked.parameters
    check_id(folder, "path", "id")
    try:
        deleted = asked.store.delete_folder(
            folder,
            recursive=query.flag(flags, "recursive"),
            runs=query.flag(flags, "runs"),
            keep=query.flag(flags, "runs_only"),
        )
    except KeyError:
        raise _missing(folder) from None
    except ValueError as error:
        raise Refused(409, str(error)) from None
    for run in deleted["runs"]:
        asked.live.publish("run", run)
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
