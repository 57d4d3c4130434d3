"""Lifecycle: the server's own look at its runs: who fell silent, whose time is over.

A running run that gave no sign of life for longer than its ``heartbeat_timeout`` is
``lost``; its next sign of life makes it ``running`` again.  Only the server's clock
counts, and a server that was down has heard nobody: opening the store is a sign of life
of every run.

A run with a ``ttl`` is deleted that many seconds after its end, or after the last that was
heard of it if it has none; a running run never is.

What came is folded meanwhile, so that long series are read as fast as short ones, and what the
dead left behind is removed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from simvue.exception import StoreError

from . import meters
from .live import Live
from .store import Busy, Store

# How often the runs are looked at: a small part of the default timeout of 180 s.
INTERVAL_S: Final = 3.0
# How often is looked for what is due to be folded: a second of the fastest ingest is a few folds.
FOLD_INTERVAL_S: Final = 1.0
# Between two tries where folding fails: each says so in the log.
FOLD_PAUSE_S: Final = 60.0

# What is removed there has lain for a day, and looking for it keeps writes waiting for a moment.
TIDY_INTERVAL_S: Final = 6 * 3600.0

logger = logging.getLogger("simvue.server")


async def watch(
    store: Store,
    live: Live,
    interval: float = INTERVAL_S,
    clock: Callable[[], float] = time.time,
) -> None:
    """Mark silent runs as lost, delete expired ones, every *interval* seconds until cancelled."""
    while True:
        await asyncio.sleep(interval)
        try:
            for run in await asyncio.to_thread(store.mark_lost, clock()):
                meters.RUNS_LOST.inc()
                live.publish("run", run)
            for run in await asyncio.to_thread(store.delete_expired, clock()):
                live.publish("run", run)
        except (Busy, StoreError):
            # The disk is slow or full, which every request is told; who is silent or
            # expired now will still be so at the next look.
            continue


async def fold(store: Store, interval: float = FOLD_INTERVAL_S) -> None:
    """Fold what is due, a step after the other, until cancelled."""

    def step() -> bool:
        begun = time.perf_counter()
        folded = store.fold()
        if folded:
            meters.FOLD_SECONDS.observe(time.perf_counter() - begun)
        return folded

    # The disk is full, say: what came stays as it is, and is read all the same.
    await _repeat(step, "rows are not folded: %s", interval)


async def pack(store: Store, interval: float = FOLD_INTERVAL_S) -> None:
    """Move what was folded to the blobs, a pack after the other, until cancelled.

    Beside folding: neither has to wait while the other has much to do, or fails.
    """
    # The storage does not answer, say: rows stay in the database until it does.
    await _repeat(store.pack, "rows are not moved to the blobs: %s", interval)


async def _repeat(step: Callable[[], bool], trouble: str, interval: float) -> None:
    """Call *step* in a thread, at once again while it has something to do; log its *trouble*."""
    while True:
        try:
            if await asyncio.to_thread(step):
                continue
        except (Busy, StoreError) as error:
            logger.warning(trouble, error)
            meters.FOLD_FAILURES.inc()
            await asyncio.sleep(FOLD_PAUSE_S)
        await asyncio.sleep(interval)


async def tidy(store: Store, interval: float = TIDY_INTERVAL_S) -> None:
    """Remove what is left behind, every *interval* seconds until cancelled."""
    while True:
        await asyncio.sleep(interval)
        with suppress(Busy, StoreError):
            await asyncio.to_thread(store.tidy)
