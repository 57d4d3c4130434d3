"""Meters: what this process counts of itself, for Prometheus; docs/operating.md says what to watch.

One set a process, as Prometheus has it.  A count costs half a microsecond and a duration one and
a half, so they are taken once a request, a body or a commit, never once a row.  Labels have few
values, whatever is asked: the routes that there are, the kinds of bodies.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Final, NamedTuple

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder

from simvue.version import __version__

# When a counter began is the start of the process, which has a metric of its own.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

# From a look-up in memory to what no person waits for; a bucket is a series for each route.
_REQUEST_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)
# From a quick disk's fsync to a disk that is in trouble.
_COMMIT_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
# A step of folding is some milliseconds to some seconds of one core.
_FOLD_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

BUILD: Final = Info("simvue_build", "What this server is.")
BUILD.info({"version": __version__, "python": platform.python_version()})

# ---- Requests ---------------------------------------------------------------------------------

REQUESTS: Final = Counter(
    "simvue_requests", "Requests that were answered.", ["method", "route", "status"]
)
REQUEST_SECONDS: Final = Histogram(
    "simvue_request_seconds",
    "From a request's head to the head of its answer.",
    ["method", "route"],
    buckets=_REQUEST_BUCKETS,
)
INFLOW_BYTES: Final = Gauge(
    "simvue_inflow_bytes", "Bytes of bodies inside, from their announcement to the answer."
)
LISTENERS: Final = Gauge("simvue_live_listeners", "Streams of /api/live that are open.")

# ---- Ingest -----------------------------------------------------------------------------------

_BODIES: Final = Counter("simvue_ingest_bodies", "Bodies of rows that were stored.", ["kind"])
_BYTES: Final = Counter("simvue_ingest_bytes", "Bytes of these bodies, as sent.", ["kind"])
_ROWS: Final = Counter("simvue_ingest_rows", "Rows that were stored.", ["kind"])
_REPEATED: Final = Counter(
    "simvue_ingest_repeated_rows", "Rows that came again and were there already.", ["kind"]
)
_REFUSED: Final = Counter(
    "simvue_ingest_refused_rows", "Rows left out of bodies whose other rows were stored.", ["kind"]
)
_SECONDS: Final = Histogram(
    "simvue_ingest_seconds",
    "From the last byte of a body to its commit.",
    ["kind"],
    buckets=_COMMIT_BUCKETS,
)


class BodyMeters(NamedTuple):
    """What is counted of the bodies of one kind, found once: a look-up costs as much as a count."""

    bodies: Counter
    bytes: Counter
    rows: Counter
    repeated: Counter
    refused: Counter
    seconds: Histogram

    def add(self, size: int, stored: int, repeated: int, refused: int, seconds: float) -> None:
        """Count one body of *size* bytes, what became of its rows, and the *seconds* it took."""
        self.bodies.inc()
        self.bytes.inc(size)
        self.rows.inc(stored)
        self.repeated.inc(repeated)
        self.refused.inc(refused)
        self.seconds.observe(seconds)

    @classmethod
    def of(cls, kind: str) -> BodyMeters:
        """Return the meters of bodies of *kind*."""
        return cls(
            _BODIES.labels(kind),
            _BYTES.labels(kind),
            _ROWS.labels(kind),
            _REPEATED.labels(kind),
            _REFUSED.labels(kind),
            _SECONDS.labels(kind),
        )


METRICS: Final = BodyMeters.of("metrics")
EVENTS: Final = BodyMeters.of("events")
ARRAYS: Final = BodyMeters.of("arrays")

# ---- The store --------------------------------------------------------------------------------

COMMIT_SECONDS: Final = Histogram(
    "simvue_commit_seconds", "A transaction of the store, its sync included.",
    buckets=_COMMIT_BUCKETS,
)  # fmt: skip
WRITES: Final = Counter("simvue_writes", "Writes that were committed, many in a transaction.")
WRITES_WAITING: Final = Gauge("simvue_writes_waiting", "Writes that wait for their transaction.")
FOLD_SECONDS: Final = Histogram(
    "simvue_fold_seconds", "A step of folding that found something to do.", buckets=_FOLD_BUCKETS
)
FOLD_FAILURES: Final = Counter("simvue_fold_failures", "Steps of folding, and packs, that failed.")
RUNS_LOST: Final = Counter("simvue_runs_lost", "Runs that fell silent and were marked as lost.")


def page(accept: str) -> tuple[bytes, str]:
    """Return everything counted, in the form that *accept* asks for, and its media type.

    Reads files under ``/proc``, so not on the event loop; under a millisecond.
    """
    encode: Callable[..., bytes]
    encode, media_type = choose_encoder(accept)
    return encode(prometheus_client.REGISTRY), media_type
