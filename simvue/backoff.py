"""Backoff: how long to leave a server alone that did not answer, longer with each failure."""

from __future__ import annotations

import random
from typing import Final

BACKOFF_S_FIRST: Final = 0.5
BACKOFF_S_MAX: Final = 60.0
"""A server that restarts is back within seconds; one that is down for a day is asked 1,440
times."""


def backoff_s(failures: int, first_s: float = BACKOFF_S_FIRST) -> float:
    """Return the seconds to wait after *failures* in a row, of which 0 may wait *first_s*.

    Full jitter, so that the nodes of a cluster do not come back as one.
    """
    return random.uniform(0, min(BACKOFF_S_MAX, first_s * 2 ** min(failures, 10)))
