"""Schema: the wire as an OpenAPI document, made from the handlers themselves.

A handler says beside its path what it reads and what it answers, as types that msgspec
turns into JSON schemas::

    @post("/runs", body=NewRun | list[NewRun], answer=MadeRun | list[MadeRun])
    @get("/runs", query=Listing, answer=Page[Run])

``query`` is a Struct whose members are the parameters; lists travel as JSON text.  Bodies
and answers are JSON unless ``body_media`` or ``answer_media`` says otherwise.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from simvue import wire
from simvue.version import __version__

from .forms import JSON, answer
from .shapes import Refusal

OPENAPI: Final = "3.1.0"
# Where the wire begins; pages are for people.
_ROOT: Final = "/api/"
_REFERENCE: Final = "#/components/schemas/{name}"
_ID: Final = {"type": "string", "pattern": f"^{wire.ID_PATTERN.pattern}$"}


class _Operation(NamedTuple):
    """One handler: its path as OpenAPI writes it, its method, its path's parameters."""

    path: str
    method: str
    handler: HTTPRouteHandler
    segments: dict[str, type]

    def type_of(self, name: str) -> Any:
        return self.handler.opt.get(name)


@get("/schema/openapi.json")
async def document(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the OpenAPI document of this server."""
    return answer(describe(request.app))


HANDLERS: Final = [document]


def describe(app: Litestar) -> dict[str, Any]:
    """Describe every handler of *app* under ``/api`` as an OpenAPI document."""
    operations = list(_operations(app))
    types = [
        found
        for operation in operations
        for name in ("body", "query", "answer")
        if (found := operation.type_of(name)) is not None
    ]
    schemas, components = msgspec.json.schema_components([*types, Refusal], ref_template=_REFERENCE)
    # By identity: a union of types is not always hashable.
    by_type = {id(found): schema for found, schema in zip([*types, Refusal], schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _describe(operation, by_type, components)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": OPENAPI,
        "info": {"title": "Simvue", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operations(app: Litestar) -> Iterator[_Operation]:
    for route in app.routes:
        if not isinstance(route, HTTPRoute) or not route.path.startswith(_ROOT):
            continue
        segments = {name: one.type for name, one in route.path_parameters.items()}
        for method, (handler, _) in sorted(route.route_handler_map.items()):
            # Litestar answers OPTIONS by itself.
            if method != "OPTIONS":
                yield _Operation(route.path_format, method, handler, segments)


def _describe(
    operation: _Operation, schemas: dict[int, Any], components: dict[str, Any]
) -> dict[str, Any]:
    opt = operation.handler.opt
    summary, _, description = inspect.cleandoc(operation.handler.fn.__doc__ or "").partition("\n")
    good = schemas[id(opt["answer"])] if "answer" in opt else {}
    described: dict[str, Any] = {
        "operationId": operation.handler.fn.__name__,
        "tags": [operation.path.removeprefix(_ROOT).partition("/")[0]],
        "summary": summary,
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": _ID if kind is str else {"type": "string"},
            }
            for name, kind in operation.segments.items()
        ],
        "responses": {
            "200": {
                "description": "done",
                "content": {opt.get("answer_media", JSON): {"schema": good}},
            },
            "default": {
                "description": "refused",
                "content": {JSON: {"schema": schemas[id(Refusal)]}},
            },
        },
    }
    if description.strip():
        described["description"] = description.strip()
    if "query" in opt:
        described["parameters"] += _parameters(components[opt["query"].__name__])
    if "body" in opt:
        content = {opt.get("body_media", JSON): {"schema": schemas[id(opt["body"])]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _parameters(query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name, schema in query["properties"].items():
        found = {"name": name, "in": "query", "required": name in query["required"]}
        if schema.get("type") == "array":
            yield {**found, "content": {JSON: {"schema": schema}}}
        else:
            yield {**found, "schema": schema}
