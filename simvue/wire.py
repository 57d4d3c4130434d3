"""What crosses between processes: names, headers, fields and limits; no I/O.

A body is a msgpack map of two entries, the second an array of rows that lie in it as
the simulation encoded them::

    82                                      map of two
       A3 "run"      D9/B6 <22 characters>  the run's id
       A7 "metrics"  DD <u32 count>         array header, always the 32-bit form
          <row> <row> <row> ...

so the shipper writes the first lines and copies the rows behind them, unopened.
"""

from __future__ import annotations

import random
import re
import string
from datetime import datetime, timezone
from functools import lru_cache
from typing import Final, Literal

# ---- Limits ---------------------------------------------------------------------

BODY_SIZE_MAX: Final = 64 << 20
"""Bytes of one request body: the largest segment, which is the largest body."""

NAME_SIZE_MAX: Final = 1024
"""Bytes of one metric name; chosen: ten times the longest name seen in the field."""

STEP_MAX: Final = 2**63 - 1

TENSOR_SIZE_MAX: Final = 50_000
"""Elements of one array logged on a grid: what official clients allow."""

# ---- Identifiers and names --------------------------------------------------------

ID_SIZE: Final = 22
_ALPHABET: Final = string.ascii_letters + string.digits
# The system's randomness, as secrets has it, without the OpenSSL that secrets loads; it has
# no state that a fork would copy.
_RANDOM: Final = random.SystemRandom()
ID_PATTERN: Final = re.compile(r"[A-Za-z0-9]{22}")
NAME_PATTERN: Final = re.compile(r"[a-zA-Z0-9\-_\s/.:]+")
FOLDER_PATTERN: Final = re.compile(r"/.*", re.DOTALL)
METRIC_NAME_PATTERN: Final = re.compile(r"[a-zA-Z0-9\-_\s/.:=><+()%]+", re.ASCII)

RunStatus = Literal["created", "running", "completed", "failed", "terminated", "lost"]
STATUSES: Final = ("created", "running", "completed", "failed", "terminated", "lost")
TERMINAL: Final = frozenset({"completed", "failed", "terminated"})
"""States that rows never change; ``lost`` is not among them: it is left when data resumes."""

LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")


def new_id() -> str:
    """Make an identifier of 22 random letters and digits (131 bits)."""
    return "".join(_RANDOM.choices(_ALPHABET, k=ID_SIZE))


def derived_id(*parts: str | int | None) -> str:
    """Make the identifier that everybody makes of the same *parts*: 131 bits of their SHA-256."""
    number = int.from_bytes(sha256_of(*parts), "big")
    letters = []
    for _ in range(ID_SIZE):
        number, digit = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[digit])
    return "".join(letters)


def sha256_of(*parts: str | int | None) -> bytes:
    """Return the SHA-256 of *parts* and where they end."""
    import hashlib  # OpenSSL is behind it: only those who share something pay for that

    return hashlib.sha256("\0".join(map(str, parts)).encode()).digest()


def is_id(text: str) -> bool:
    """Tell whether *text* has the form of an identifier."""
    return ID_PATTERN.fullmatch(text) is not None


# ---- HTTP -------------------------------------------------------------------------

WRITER_HEADER: Final = "Simvue-Writer"
ROWS_HEADER: Final = "Simvue-Rows"
MSGPACK: Final = "application/msgpack"
FEATURES: Final = (
    *("run-id", "rows", "abort", "series", "ranks", "live", "artifact-id", "alert-id"),
    # Series along another metric, and on logarithmic axes.
    "axes",
)
"""Additions to the v1 wire that our server lists in ``GET /version``."""
EVENT_STREAM: Final = "text/event-stream"
KEEP_ALIVE_S: Final = 15.0
"""The longest silence of an event stream: proxies cut connections after 30 to 60 s of it."""

Kind = Literal["metrics", "events"]


def body_header(run: str, kind: Kind, count: int) -> bytes:
    """Encode all of a body that stands in front of its *count* rows."""
    return (
        b"\x82\xa3run"
        + bytes([0xA0 | len(run)])
        + run.encode("ascii")
        + bytes([0xA0 | len(kind)])
        + kind.encode("ascii")
        + b"\xdd"
        + count.to_bytes(4, "big")
    )


def run_of_body(body: bytes) -> str:
    """Return the run that a body of ours is for."""
    return body[6 : 6 + ID_SIZE].decode("ascii")


def replace_run(body: bytes, run: str) -> bytes:
    """Return a body of ours with the id of *run*, for a server that names runs itself."""
    return body if run_of_body(body) == run else body[:6] + run.encode("ascii") + body[28:]


def rows_header(first: int, end: int) -> str:
    """Encode the numbers of a body's rows, *end* exclusive, as ``Simvue-Rows`` carries them."""
    return f"{first}-{end}"


def parse_rows_header(text: str) -> tuple[int, int]:
    """Decode ``Simvue-Rows``; raise ValueError with a reason if it is malformed."""
    match = re.fullmatch(r"(\d{1,19})-(\d{1,19})", text)
    if not match:
        raise ValueError(f"{ROWS_HEADER} must read <first>-<end>, two integers; got {text[:60]!r}")
    first, end = int(match[1]), int(match[2])
    if end < first or end > STEP_MAX:
        raise ValueError(f"{ROWS_HEADER}: {first}-{end} is not a range of row numbers")
    return first, end


# ---- Time ---------------------------------------------------------------------------

TIMESTAMP_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%f"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


def format_timestamp(microseconds: int) -> str:
    """Write microseconds since the epoch as the wire has them: UTC, no zone, six digits."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{_format_second(seconds)}.{fraction:06d}"


# What is listed together often happened together.
@lru_cache(maxsize=1024)
def _format_second(seconds: int) -> str:
    # Not by strftime, whose years before 1000 have fewer digits on Linux.
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None).isoformat()


def parse_timestamp(text: str) -> int:
    """Read a timestamp as microseconds since the epoch; no zone means UTC.

    Accepts ``T`` or a space, a fraction or none, ``Z`` or an offset.  Raises ValueError.
    """
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        raise ValueError(
            f"{text[:60]!r} is not a timestamp like 2026-01-31T12:00:00.000000"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
