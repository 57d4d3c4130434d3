"""Tags: names that runs and folders wear; used ones appear without being posted."""

from __future__ import annotations

from typing import Final

from litestar import Response, delete, get, post, put

from .. import query
from ..forms import NewTag, Refused, TagChanges, answer, check_id, checked, members, read_form
from ..parameters import Sorted
from ..shapes import Empty, Made, Page, Tag
from . import Asked, threaded


@post("/tags", body=NewTag, answer=Made)
@threaded
def create_tag(asked: Asked) -> Response[bytes]:
    """Create a tag; 409 with its id if the name is there."""
    tag, created = asked.store.create_tag(members(read_form(asked.body, NewTag)))
    if not created:
        return answer({"id": tag, "detail": "there is a tag of that name"}, 409)
    return answer({"id": tag})


@get("/tags", query=Sorted, answer=Page[Tag])
@threaded
def list_tags(asked: Asked) -> Response[bytes]:
    """Answer a page of tags; official clients send no filters here, and none are read."""
    wanted = query.listing(asked.parameters, filtered=False)
    return answer(query.fetch(asked.store.list_tags, wanted))


@get("/tags/{tag:str}", answer=Tag)
@threaded
def get_tag(asked: Asked, tag: str) -> Response[bytes]:
    """Answer one tag."""
    found = asked.store.get_tag(check_id(tag, "path", "id"))
    if found is None:
        raise _missing(tag)
    return answer(found)


@put("/tags/{tag:str}", body=TagChanges, answer=Made)
@threaded
def update_tag(asked: Asked, tag: str) -> Response[bytes]:
    """Change what the body names."""
    changes = members(read_form(asked.body, TagChanges))
    check_id(tag, "path", "id")
    # Not a 409 if the name is another tag's: official clients take that for success.
    with checked("body", "name"):
        known = asked.store.update_tag(tag, changes)
    if not known:
        raise _missing(tag)
    return answer({"id": tag})


@delete("/tags/{tag:str}", status_code=200, answer=Empty)
@threaded
def delete_tag(asked: Asked, tag: str) -> Response[bytes]:
    """Delete a tag and take it off every run."""
    if not asked.store.delete_tag(check_id(tag, "path", "id")):
        raise _missing(tag)
    return answer({})


def _missing(tag: str) -> Refused:
    return Refused(404, f"there is no tag {tag}")


HANDLERS: Final = [create_tag, list_tags, get_tag, update_tag, delete_tag]
