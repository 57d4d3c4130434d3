"""App: the whole of the server behind its socket, put together.

::

    Ledger ── Door (auth) ── Inflow ── Litestar ──┬── pages           the browser's files
                                                  └── /api ── routes  one file a resource

Handlers of routes are plain functions that Litestar runs in a pool of threads, so the
event loop never waits for the store.  Three are exceptions: those of rows have a pool of
their own, those of files change threads for each piece, and the stream of events never asks
the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from litestar import Litestar, Request, Response, Router
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from simvue.exception import StoreError

from . import figures, lifecycle, meters, pages, schema
from .alerts import Alerts
from .auth import Door, Hosts, Tokens
from .forms import Refused, answer
from .inflow import BODY_MAX, Inflow
from .ingest import Ingest
from .ledger import Ledger
from .links import Links
from .live import Live
from .routes import (
    alerts,
    artifacts,
    events,
    files,
    folders,
    grids,
    jobs,
    metrics,
    prometheus,
    runs,
    stats,
    storages,
    streams,
    tags,
    tenants,
    users,
    versions,
)
from .store import Busy, IdTaken, NoSuchAlert, NoSuchRun, RunGone, Store

if TYPE_CHECKING:
    from litestar.types import ASGIApp

logger = logging.getLogger("simvue.server")

# Readers at a time; each may hold the arrays of a chart (chosen).
READERS: Final = 16


def make_app(
    store: Store, live: Live, hosts: Hosts, cookie: str, interval: float = lifecycle.INTERVAL_S
) -> ASGIApp:
    """Make the ASGI application over *store*, which stays open when it ends.

    *live* is to be closed by who stops it, before it waits for requests in flight: streams
    do not end by themselves.  *cookie* is the name under which browsers keep their token;
    *interval* the seconds between two looks for silent runs.
    """
    tokens = Tokens(store)
    watch = Alerts(store, live)
    ingest = Ingest(store, live, watch)
    links = Links(store.secret)

    @asynccontextmanager
    async def life(_: Litestar) -> AsyncIterator[None]:
        readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        asyncio.get_running_loop().set_default_executor(readers)
        watchers = [
            asyncio.create_task(lifecycle.watch(store, live, interval)),
            asyncio.create_task(lifecycle.fold(store)),
            asyncio.create_task(lifecycle.pack(store)),
            asyncio.create_task(lifecycle.tidy(store)),
            asyncio.create_task(watch.watch()),
        ]
        try:
            yield
        finally:
            for watcher in watchers:
                watcher.cancel()
                with suppress(asyncio.CancelledError):
                    await watcher
            await asyncio.to_thread(ingest.close)
            await asyncio.to_thread(tokens.close)

    api = Router(
        "/api",
        route_handlers=[
            *versions.HANDLERS,
            *users.HANDLERS,
            *tenants.HANDLERS,
            *stats.HANDLERS,
            *runs.HANDLERS,
            *metrics.HANDLERS,
            *jobs.HANDLERS,
            *events.HANDLERS,
            *folders.HANDLERS,
            *tags.HANDLERS,
            *alerts.HANDLERS,
            *artifacts.HANDLERS,
            *files.HANDLERS,
            *grids.HANDLERS,
            *storages.HANDLERS,
            *streams.HANDLERS,
        ],
    )
    app = Litestar(
        [
            api,
            *schema.HANDLERS,
            *prometheus.HANDLERS,
            *figures.HANDLERS,
            *pages.routes(pages.read_pages(), tokens, cookie),
        ],
        state=State(
            {"store": store, "ingest": ingest, "live": live, "tokens": tokens, "links": links}
        ),
        lifespan=[life],
        exception_handlers={
            Refused: _refused,
            NoSuchRun: _no_such_run,
            RunGone: _no_such_run,
            IdTaken: _id_taken,
            NoSuchAlert: _no_such_alert,
            Busy: _busy,
            StoreError: _store_failed,
            HTTPException: _http,
            Exception: _broken,
        },
        request_max_body_size=BODY_MAX,
        logging_config=None,
        # Bodies are read by hand (bare NaN); schema.py describes what handlers say of them.
        openapi_config=None,
    )
    inflow = Inflow(app)
    # Asked when somebody reads them, so that they cost a body nothing.
    meters.INFLOW_BYTES.set_function(lambda: inflow.waiting)
    meters.LISTENERS.set_function(lambda: live.listeners)
    return Ledger(Door(inflow, tokens, hosts, cookie))


def _refused(_: Request[Any, Any, Any], error: Refused) -> Response[bytes]:
    return answer({"detail": error.detail}, error.status, error.headers)


def _no_such_run(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return answer(
        {"detail": f"there is no run {error}" if str(error) else "there is no such run"}, 404
    )


def _id_taken(_: Request[Any, Any, Any], error: IdTaken) -> Response[bytes]:
    # Worded like a malformed id, so that nobody learns which ids others have.
    detail = {"type": "value_error", "loc": ["body", "id"], "msg": "this id cannot be used"}
    return answer({"detail": [detail]}, 422)


def _no_such_alert(_: Request[Any, Any, Any], error: NoSuchAlert) -> Response[bytes]:
    detail = {"type": "value_error", "loc": ["body", "alerts"], "msg": f"there is no alert {error}"}
    return answer({"detail": [detail]}, 422)


def _busy(_: Request[Any, Any, Any], error: Busy) -> Response[bytes]:
    return answer({"detail": "the store is busy; send again"}, 503, {"Retry-After": "1"})


def _store_failed(_: Request[Any, Any, Any], error: StoreError) -> Response[bytes]:
    # A full disk, say: nothing is wrong with the request, so it is worth sending again.
    logger.error("%s", error)
    return answer({"detail": str(error)}, 503, {"Retry-After": "10"})


def _http(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    return answer({"detail": error.detail}, error.status_code)


def _broken(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    # A process border: one request fails, the log says why, the server goes on.
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return answer({"detail": "the server failed; its log says why"}, 500)
