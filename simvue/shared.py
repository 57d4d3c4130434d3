"""One run for all ranks of a job: an id on which they agree without a word.

Every rank makes the same id from what all of them know, and registers under it; the server
takes the first registration as the run's and the others as processes that join it.  It hears
from each of them when it ends, and so knows when all have.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from simvue.exception import InvalidValueError
from simvue.launch import Launch
from simvue.names import ADJECTIVES, NOUNS
from simvue.runtime import this_process
from simvue.wire import derived_id, is_id, sha256_of

_ordinals: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
"""How many shared runs this process has opened, by what they are shared under."""


def shared_run_id(shared: bool | str | None, launch: Launch, url: str | None) -> str | None:
    """Return the id of the run that this process shares with others; None for one of its own.

    *shared* is True for the ranks of *launch*, a text for whoever gives the same one, None to
    share under ``SIMVUE_RUN_ID`` if that is set.  The n-th call of a process goes with the n-th
    of the others.  Raises InvalidValueError if nothing unique is known to all ranks.
    """
    given = shared if isinstance(shared, str) else os.environ.get("SIMVUE_RUN_ID", "")
    if shared is False or (shared is None and not given):
        return None
    if isinstance(shared, str) and not shared.strip():
        raise InvalidValueError("shared is True, or a text that is not empty")
    if given:
        ordinal = next(_ordinals[given])
        # An id can be chosen as it is to be; a second run in the process needs another.
        return given if is_id(given) and not ordinal else derived_id("id", given, url, ordinal)
    if launch.group is None:
        raise InvalidValueError(
            "shared=True: the environment holds nothing that all ranks of this job, and no "
            "others, know; give them a name of your own with shared='some-id' or the variable "
            "SIMVUE_RUN_ID"
        )
    ordinal = next(_ordinals[launch.group])
    return derived_id("launch", launch.group, launch.attempt, os.getuid(), url, ordinal)


def sharing(shared: bool | str | None, launch: Launch) -> dict[str, Any]:
    """Say which of those that share a run this process is.

    With ``size``, the server waits for so many ranks of the launch; only ``shared=True``
    promises that all of them take part.
    """
    return {
        "id": this_process().id,
        "launch": launch.group or "",
        "rank": launch.rank,
        "size": launch.size if shared is True else None,
    }


def shared_name(run: str) -> str:
    """Return the name that all ranks give to the *run* that was not given one."""
    digest = sha256_of("name", run)
    return f"{ADJECTIVES[digest[0] & 127]}-{NOUNS[digest[1] & 127]}"
