"""Artifacts: files and objects that runs have, registered here; their bytes go by files.py."""

from __future__ import annotations

from typing import Final

from litestar import Response, delete, get, post, put

from .. import query, shapes
from ..forms import (
    ArtifactChanges,
    Category,
    NewArtifact,
    Refused,
    answer,
    check_id,
    checked,
    members,
    read_form,
)
from ..ingest import gone
from ..parameters import OfArtifacts, OfRun
from ..shapes import Artifact, AttachedArtifact, Empty, Lineage, Made, MadeArtifact, Page
from ..store import ChecksumDiffers, Object, RunGone
from . import Asked, threaded
from .files import DIFFERENT


@post("/artifacts", body=NewArtifact, answer=MadeArtifact)
@threaded
def create_artifact(asked: Asked) -> Response[bytes]:
    """Register an artifact and answer where to send its bytes; null if they are here already.

    By PUT, or with ``fields`` as a form of these and then the ``file``, to the storage itself.
    With ``id``, the same again is answered alike, so that whoever was cut off begins anew.
    """
    artifact = members(read_form(asked.body, NewArtifact))
    if artifact.get("id") is not None:
        check_id(artifact["id"], "body", "id")
    artifact["checksum"] = artifact["checksum"].lower()
    with checked("body"):
        made, there = asked.store.create_artifact(artifact, asked.owner)
    if there:
        return answer({"id": made, "url": None})
    form = asked.store.upload_form(made)
    if form is not None:
        return answer({"id": made, "url": form.url, "fields": form.fields})
    return answer({"id": made, "url": asked.links.make(asked.base, made, "put")})


@get("/artifacts", query=OfArtifacts, answer=Page[Artifact])
@threaded
def list_artifacts(asked: Asked) -> Response[bytes]:
    """Answer artifacts, of some runs or of all; without `count` all of them."""
    wanted = query.listing(asked.parameters, paged=False)
    found = query.fetch(asked.store.list_artifacts, wanted, query.texts(asked.parameters, "runs"))
    return answer({**found, "data": [_object(asked, artifact) for artifact in found["data"]]})


@get("/artifacts/{artifact:str}", answer=Artifact)
@threaded
def get_artifact(asked: Asked, artifact: str) -> Response[bytes]:
    """Answer one artifact with the URL of its bytes."""
    return answer(_object(asked, _find(asked, artifact)))


@get("/artifacts/{artifact:str}/lineage", answer=Lineage)
@threaded
def get_lineage(asked: Asked, artifact: str) -> Response[bytes]:
    """Answer every run that has the same bytes, by category: who made them, who used them."""
    checksum = _find(asked, artifact)["checksum"]
    found: dict[str, list[Object]] = {"output": [], "input": [], "code": []}
    for one in asked.store.lineage(checksum):
        found[one.category].append(
            {
                "run": {"id": one.run, "name": one.run_name},
                "artifact": {"id": one.artifact, "name": one.name},
            }
        )
    return answer({"checksum": checksum, **found})


@put("/artifacts/{artifact:str}", body=ArtifactChanges, answer=Made)
@threaded
def update_artifact(asked: Asked, artifact: str) -> Response[bytes]:
    """Change what the body names; `uploaded` is confirmed, or refused if the bytes lack."""
    changes = members(read_form(asked.body, ArtifactChanges))
    check_id(artifact, "path", "id")
    with checked("body", "uploaded"):
        try:
            known = asked.store.update_artifact(artifact, changes)
        except ChecksumDiffers:
            raise Refused(400, DIFFERENT) from None
    if not known:
        raise _missing(artifact)
    return answer({"id": artifact})


@delete("/artifacts/{artifact:str}", status_code=200, answer=Empty)
@threaded
def delete_artifact(asked: Asked, artifact: str) -> Response[bytes]:
    """Delete an artifact from all runs, and its bytes unless another has the same."""
    if not asked.store.delete_artifact(check_id(artifact, "path", "id")):
        raise _missing(artifact)
    return answer({})


# ---- Of a run ---------------------------------------------------------------------------


@get("/runs/{run:str}/artifacts", query=OfRun, answer=list[Artifact])
@threaded
def list_run_artifacts(asked: Asked, run: str) -> Response[bytes]:
    """Answer the uploaded artifacts of a run, a bare array; of one category or name if asked."""
    category, name = asked.parameters.get("category"), asked.parameters.get("name")
    found = asked.store.run_artifacts(check_id(run, "path", "id"))
    return answer(
        [
            _object(asked, artifact)
            for artifact in found
            if category in (None, "", artifact["category"]) and name in (None, artifact["name"])
        ]
    )


@get("/runs/{run:str}/artifacts/{artifact:str}", answer=shapes.Category)
@threaded
def get_category(asked: Asked, run: str, artifact: str) -> Response[bytes]:
    """Answer what an artifact is to a run."""
    check_id(artifact, "path", "artifact")
    category = asked.store.artifact_category(check_id(run, "path", "id"), artifact)
    if category is None:
        raise Refused(404, f"the run has no artifact {artifact}")
    return answer({"category": category})


@put(
    "/runs/{run:str}/artifacts/{artifact:str}",
    exception_handlers={RunGone: gone},
    body=Category,
    answer=AttachedArtifact,
)
@threaded
def attach_artifact(asked: Asked, run: str, artifact: str) -> Response[bytes]:
    """Attach an artifact to a run, or change what it is to it."""
    category = read_form(asked.body, Category).category
    check_id(run, "path", "id")
    if not asked.store.attach_artifact(run, check_id(artifact, "path", "artifact"), category):
        raise _missing(artifact)
    return answer({"id": artifact, "category": category})


def _find(asked: Asked, artifact: str) -> Object:
    found = asked.store.get_artifact(check_id(artifact, "path", "id"))
    if found is None:
        raise _missing(artifact)
    return found


def _object(asked: Asked, artifact: Object) -> Object:
    """Return *artifact* as the wire has it, with a link to its bytes."""
    url = asked.links.make(asked.base, artifact["id"], "get") if artifact["uploaded"] else None
    return {**artifact, "url": url}


def _missing(artifact: str) -> Refused:
    return Refused(404, f"there is no artifact {artifact}")


HANDLERS: Final = [
    create_artifact,
    list_artifacts,
    get_artifact,
    get_lineage,
    update_artifact,
    delete_artifact,
    list_run_artifacts,
    get_category,
    attach_artifact,
]
