"""Runs: create, read, list, change, delete; signs of life; the wish to abort."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from litestar import Response, delete, get, post, put

from .. import query
from ..forms import (
    Abort,
    NewRun,
    Refused,
    RunChanges,
    Star,
    answer,
    check_id,
    checked,
    invalid,
    members,
    read_form,
    read_json,
    shape,
)
from ..ingest import faulty
from ..parameters import RunListing
from ..shapes import Aborted, Alive, Empty, Made, MadeRun, Page, Process, Run, Starred
from ..store import RunGone
from . import Asked, threaded

# What official batches hold at most.
BATCH_MAX: Final = 20_000


@post("/runs", body=NewRun | list[NewRun], answer=MadeRun | list[MadeRun])
@threaded
def create_runs(asked: Asked) -> Response[bytes]:
    """Create a run, or an array of them in order: all, or none if one is refused."""
    value = read_json(asked.body, "body")
    try:
        if not isinstance(value, list):
            run = _new_run(value)
            return answer(_made(asked, run, asked.store.create_run(run, asked.owner)[0]))
        if len(value) > BATCH_MAX:
            raise invalid(f"a batch holds at most {BATCH_MAX} runs; got {len(value)}", "body")
        batch = [_new_run(item, place) for place, item in enumerate(value)]
        made = asked.store.create_runs(batch, asked.owner)
    except RunGone:
        raise Refused(410, "the run was deleted") from None
    return answer(
        [_made(asked, run, made_id) for run, (made_id, _) in zip(batch, made, strict=True)]
    )


def _new_run(value: Any, *loc: int) -> dict[str, Any]:
    run = members(shape(value, NewRun, *loc), *loc)
    if run.get("id") is not None:
        check_id(run["id"], "body", *loc, "id")
    return {"status": "created", **run}


def _made(asked: Asked, run: dict[str, Any], made: str) -> dict[str, Any]:
    asked.live.publish("run", made)
    return {"id": made, "name": run.get("name") or asked.store.get_run(made)["name"]}


@get("/runs", query=RunListing, answer=Page[Run])
@threaded
def list_runs(asked: Asked) -> Response[bytes]:
    """Answer a page of runs: whole objects whatever `return_*` flags say, but for `unwanted`.

    Scripts rely on more than they ask for: the closed server answers it, too.
    """
    runs = query.texts(asked.parameters, "runs")
    unwanted = query.texts(asked.parameters, "unwanted")
    wanted = replace(query.listing(asked.parameters), runs=runs, unwanted=unwanted)
    return answer(query.fetch(asked.store.list_runs, wanted, asked.owner))


@get("/runs/{run:str}", answer=Run)
@threaded
def get_run(asked: Asked, run: str) -> Response[bytes]:
    """Answer one run with the summaries of its metrics."""
    return answer(asked.store.get_run(check_id(run, "path", "id")))


@put("/runs/{run:str}", body=RunChanges, answer=Made)
@threaded
def update_run(asked: Asked, run: str) -> Response[bytes]:
    """Change what the body names: tags replace, metadata merges deeply."""
    changes = members(read_form(asked.body, RunChanges))
    check_id(run, "path", "id")
    with checked("body"):
        asked.store.update_run(run, changes)
    asked.live.publish("run", run)
    return answer({"id": run})


@delete("/runs/{run:str}", status_code=200, answer=Empty)
@threaded
def delete_run(asked: Asked, run: str) -> Response[bytes]:
    """Delete a run and its rows; official clients want the body empty."""
    asked.store.delete_run(check_id(run, "path", "id"))
    asked.live.publish("run", run)
    return answer({})


@put("/runs/{run:str}/starred", body=Star, answer=Starred)
@threaded
def star_run(asked: Asked, run: str) -> Response[bytes]:
    """Star a run, or take its star away."""
    starred = read_form(asked.body, Star).starred
    asked.store.update_run(check_id(run, "path", "id"), {"starred": starred})
    asked.live.publish("run", run)
    return answer({"id": run, "starred": starred})


@put("/runs/{run:str}/heartbeat", exception_handlers={Exception: faulty}, answer=Alive)
@threaded
def beat(asked: Asked, run: str) -> Response[bytes]:
    """Note a sign of life, also of a run that has ended."""
    return answer({"abort": asked.store.beat(check_id(run, "path", "id")).abort})


@get("/runs/{run:str}/abort", exception_handlers={Exception: faulty}, answer=Aborted)
@threaded
def get_abort(asked: Asked, run: str) -> Response[bytes]:
    """Answer whether the run is asked to stop."""
    return answer({"status": bool(asked.store.get_run(check_id(run, "path", "id")).get("abort"))})


@put("/runs/{run:str}/abort", body=Abort, answer=Made)
@threaded
def set_abort(asked: Asked, run: str) -> Response[bytes]:
    """Ask a run to stop; its status changes only when it does."""
    reason = read_form(asked.body, Abort).reason if asked.body else ""
    asked.store.set_abort(check_id(run, "path", "id"), reason)
    asked.live.publish("abort", run, owner=asked.store.get_run(run)["user"], reason=reason)
    asked.live.publish("run", run)
    return answer({"id": run})


# Of pairs, which as tuples are what readers of OpenAPI stumble over.
@get("/runs/{run:str}/processes", answer=list[Process])
@threaded
def get_processes(asked: Asked, run: str) -> Response[bytes]:
    """Answer the processes that shared a run, by attempt and rank; none of a run of one."""
    return answer(asked.store.processes(check_id(run, "path", "id")))


@get("/runs/{run:str}/writers", answer=dict[str, list[list[int]]])
@threaded
def get_writers(asked: Asked, run: str) -> Response[bytes]:
    """Answer, a writer, the ranges of its rows that are stored."""
    return answer(asked.store.writers(check_id(run, "path", "id")))


HANDLERS: Final = [
    create_runs,
    list_runs,
    get_run,
    update_run,
    delete_run,
    star_run,
    beat,
    get_abort,
    set_abort,
    get_processes,
    get_writers,
]
