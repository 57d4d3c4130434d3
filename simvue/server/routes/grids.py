"""Grids: where arrays are logged, and the arrays: in by row, out by step."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, delete, get, post, put

from simvue import wire

from .. import query, tensors
from ..forms import GridMetric, NewGrid, Refused, answer, check_id, members, read_form
from ..ingest import faulty, gone
from ..parameters import AtStep, Slice
from ..shapes import Empty, Grid, Made, Page, Stored, Tensor, TensorRow, TensorSpan
from ..store import Object, RunGone
from . import Asked, threaded


@post("/grids", body=NewGrid, answer=Made)
@threaded
def create_grid(asked: Asked) -> Response[bytes]:
    """Create a grid; many may have the same name."""
    return answer(
        {"id": asked.store.create_grid(members(read_form(asked.body, NewGrid)), asked.owner)}
    )


@get("/grids", query=Slice, answer=Page[Grid])
@threaded
def list_grids(asked: Asked) -> Response[bytes]:
    """Answer a page of grids, newest first."""
    wanted = query.listing(asked.parameters, filtered=False)
    total, found = asked.store.list_grids(wanted.start, wanted.count or query.PAGE)
    return answer(query.page(total, found))


@get("/grids/{grid:str}", answer=Grid)
@threaded
def get_grid(asked: Asked, grid: str) -> Response[bytes]:
    """Answer one grid."""
    found = asked.store.get_grid(check_id(grid, "path", "id"))
    if found is None:
        raise _missing(grid)
    return answer(found)


@delete("/grids/{grid:str}", status_code=200, answer=Empty)
@threaded
def delete_grid(asked: Asked, grid: str) -> Response[bytes]:
    """Delete a grid that no run uses."""
    try:
        known = asked.store.delete_grid(check_id(grid, "path", "id"))
    except ValueError as error:
        raise Refused(409, str(error)) from None
    if not known:
        raise _missing(grid)
    return answer({})


@get("/runs/{run:str}/grids", answer=list[Grid])
@threaded
def list_run_grids(asked: Asked, run: str) -> Response[bytes]:
    """Answer the grids of a run and the metric logged on each, a bare array."""
    return answer(asked.store.run_grids(check_id(run, "path", "id")))


@put(
    "/runs/{run:str}/grids/{grid:str}",
    exception_handlers={RunGone: gone},
    body=GridMetric,
    answer=Made,
)
@threaded
def attach_grid(asked: Asked, run: str, grid: str) -> Response[bytes]:
    """Say that a metric of a run is logged on a grid."""
    name = read_form(asked.body, GridMetric).metric
    check_id(run, "path", "id")
    if not asked.store.attach_grid(run, check_id(grid, "path", "grid"), name):
        raise _missing(grid)
    return answer({"id": grid})


@post(
    "/runs/{run:str}/metrics",
    exception_handlers={RunGone: gone, Exception: faulty},
    body=list[TensorRow],
    body_media=wire.MSGPACK,
    answer=Stored,
)
async def add_tensors(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Store a body of arrays."""
    return await request.app.state.ingest.add_tensors(request)  # type: ignore[no-any-return]


@get("/runs/{run:str}/metrics/{rest:path}", query=AtStep, answer=Tensor | list[TensorSpan])
@threaded
def get_tensors(asked: Asked, run: str, rest: str) -> Response[bytes]:
    """Answer `.../values`, the array of a metric at `step` or its last, or `.../span`.

    The metric's name may hold slashes; what comes after the last one says which.
    """
    check_id(run, "path", "id")
    name, _, wanted = str(rest).strip("/").rpartition("/")
    if wanted == "span":
        found = asked.store.tensor_span(run, name)
        return answer([] if found is None else [_span(found)])
    if wanted != "values":
        raise Refused(404, "arrays are at .../values, their ends at .../span")
    step = query.whole(asked.parameters, "step", wire.STEP_MAX)
    tensor = asked.store.tensor(run, name, step)
    if tensor is None:
        at = "" if step is None else f" at step {step}"
        raise Refused(404, f"the run has no array of {name[:200]!r}{at}")
    return answer(
        {
            "array": tensors.values(tensor),
            "grid": tensor.grid,
            "step": tensor.step,
            "time": tensor.time,
            "timestamp": wire.format_timestamp(tensor.timestamp),
        }
    )


def _span(found: Object) -> Object:
    for name in ("min_timestamp", "max_timestamp"):
        found[name] = wire.format_timestamp(found[name])
    return found


def _missing(grid: str) -> Refused:
    return Refused(404, f"there is no grid {grid}")


HANDLERS: Final = [
    create_grid,
    list_grids,
    get_grid,
    delete_grid,
    list_run_grids,
    attach_grid,
    add_tensors,
    get_tensors,
]
