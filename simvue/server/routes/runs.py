"""Runs: create, read, list, change, delete; signs of life; the wish to abort."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from litestar import Request, Response, delete, get, post, put

from .. import query
from ..forms import (
    Abort,
    NewRun,
    Refused,
    RunChanges,
    Star,
    answer,
    check_id,
    invalid,
    members,
    read_form,
    read_json,
    shape,
)
from ..store import RunGone, Store

# What official batches hold at most.
BATCH_MAX: Final = 20_000
# Runs of a batch that are created side by side: a commit costs about as much for one as
# for this many (chosen).
ABREAST: Final = 32


@post("/runs", sync_to_thread=True)
def create_runs(request: Request[Any, Any, Any], body: bytes, store: Store) -> Response[bytes]:
    """Create a run, or an array of them in order; the first bad one refuses all."""
    owner = request.scope["user"].user
    value = read_json(body, "body")
    if not isinstance(value, list):
        return answer(_create(_new_run(value), owner, store))
    if len(value) > BATCH_MAX:
        raise invalid(f"a batch holds at most {BATCH_MAX} runs; got {len(value)}", "body")
    batch = [_new_run(item, place) for place, item in enumerate(value)]
    # Side by side, so that one commit of the store serves many of them.
    with ThreadPoolExecutor(ABREAST) as threads:
        return answer(list(threads.map(lambda run: _create(run, owner, store), batch)))


def _new_run(value: Any, *loc: int) -> dict[str, Any]:
    run = members(shape(value, NewRun, *loc), *loc)
    if run.get("id") is not None:
        check_id(run["id"], "body", *loc, "id")
    return {"status": "created", **run}


def _create(run: dict[str, Any], owner: str, store: Store) -> dict[str, Any]:
    try:
        made, _ = store.create_run(run, owner)
    except RunGone:
        raise Refused(410, "the run was deleted") from None
    return {"id": made, "name": run.get("name") or store.get_run(made)["name"]}


@get("/runs", sync_to_thread=True)
def list_runs(request: Request[Any, Any, Any], store: Store) -> Response[bytes]:
    """Answer a page of runs, whole objects whatever `return_*` flags say."""
    wanted = query.listing(request.query_params)
    return answer(query.fetch(store.list_runs, wanted, request.scope["user"].user))


@get("/runs/{run:str}", sync_to_thread=True)
def get_run(run: str, store: Store) -> Response[bytes]:
    """Answer one run with the summaries of its metrics."""
    return answer(store.get_run(check_id(run, "path", "id")))


@put("/runs/{run:str}", sync_to_thread=True)
def update_run(run: str, body: bytes, store: Store) -> Response[bytes]:
    """Change what the body names: tags replace, metadata merges deeply."""
    store.update_run(check_id(run, "path", "id"), members(read_form(body, RunChanges)))
    return answer({"id": run})


@delete("/runs/{run:str}", status_code=200, sync_to_thread=True)
def delete_run(run: str, store: Store) -> Response[bytes]:
    """Delete a run and its rows; official clients want the body empty."""
    store.delete_run(check_id(run, "path", "id"))
    return answer({})


@put("/runs/{run:str}/starred", sync_to_thread=True)
def star_run(run: str, body: bytes, store: Store) -> Response[bytes]:
    """Star a run, or take its star away."""
    starred = read_form(body, Star).starred
    store.update_run(check_id(run, "path", "id"), {"starred": starred})
    return answer({"id": run, "starred": starred})


@put("/runs/{run:str}/heartbeat", sync_to_thread=True)
def beat(run: str, store: Store) -> Response[bytes]:
    """Note a sign of life, also of a run that has ended."""
    return answer({"abort": store.beat(check_id(run, "path", "id")).abort})


@get("/runs/{run:str}/abort", sync_to_thread=True)
def get_abort(run: str, store: Store) -> Response[bytes]:
    """Answer whether the run is asked to stop."""
    return answer({"status": bool(store.get_run(check_id(run, "path", "id")).get("abort"))})


@put("/runs/{run:str}/abort", sync_to_thread=True)
def set_abort(run: str, body: bytes, store: Store) -> Response[bytes]:
    """Ask a run to stop; its status changes only when it does."""
    reason = read_form(body, Abort).reason if body else ""
    store.set_abort(check_id(run, "path", "id"), reason)
    return answer({"id": run})


@get("/runs/{run:str}/writers", sync_to_thread=True)
def get_writers(run: str, store: Store) -> Response[bytes]:
    """Answer, a writer, the ranges of its rows that are stored."""
    return answer(store.writers(check_id(run, "path", "id")))


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
    get_writers,
]
