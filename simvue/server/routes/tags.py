"""Tags: names that runs and folders wear; used ones appear without being posted."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, delete, get, post, put

from .. import query
from ..forms import NewTag, Refused, TagChanges, answer, check_id, members, read_form
from ..store import Store


@post("/tags", sync_to_thread=True)
def create_tag(body: bytes, store: Store) -> Response[bytes]:
    """Create a tag; 409 with its id if the name is there."""
    tag, created = store.create_tag(members(read_form(body, NewTag)))
    if not created:
        return answer({"id": tag, "detail": "there is a tag of that name"}, 409)
    return answer({"id": tag})


@get("/tags", sync_to_thread=True)
def list_tags(request: Request[Any, Any, Any], store: Store) -> Response[bytes]:
    """Answer a page of tags; official clients send no filters here, and none are read."""
    wanted = query.listing(request.query_params, filtered=False)
    return answer(query.fetch(store.list_tags, wanted))


@get("/tags/{tag:str}", sync_to_thread=True)
def get_tag(tag: str, store: Store) -> Response[bytes]:
    """Answer one tag."""
    found = store.get_tag(check_id(tag, "path", "id"))
    if found is None:
        raise _missing(tag)
    return answer(found)


@put("/tags/{tag:str}", sync_to_thread=True)
def update_tag(tag: str, body: bytes, store: Store) -> Response[bytes]:
    """Change what the body names."""
    changes = members(read_form(body, TagChanges))
    if not store.update_tag(check_id(tag, "path", "id"), changes):
        raise _missing(tag)
    return answer({"id": tag})


@delete("/tags/{tag:str}", status_code=200, sync_to_thread=True)
def delete_tag(tag: str, store: Store) -> Response[bytes]:
    """Delete a tag and take it off every run."""
    if not store.delete_tag(check_id(tag, "path", "id")):
        raise _missing(tag)
    return answer({})


def _missing(tag: str) -> Refused:
    return Refused(404, f"there is no tag {tag}")


HANDLERS: Final = [create_tag, list_tags, get_tag, update_tag, delete_tag]
