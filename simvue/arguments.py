"""What a run is told, checked before anything is written.

Each function returns its argument in the form of the wire (wire.md 8.1), or raises
InvalidValueError that says what was wrong with it.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from simvue.exception import InvalidValueError
from simvue.wire import FOLDER_PATTERN, NAME_PATTERN

_TIME_SPAN: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(second|minute|hour|day|week|year)s?\s*")
_SECONDS: Final = {
    "second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800, "year": 31_536_000,
}  # fmt: skip

NOTIFICATIONS: Final = ("none", "all", "error", "lost")

DEPTH_MAX: Final = 100
"""Levels of nested metadata; what our server reads."""


def check_name(name: object) -> str | None:
    """Check a run's name; None stays None."""
    if name is None:
        return None
    if not isinstance(name, str) or NAME_PATTERN.fullmatch(name) is None:
        raise InvalidValueError(
            f"run name {name!r:.100}: allowed are letters, digits, spaces and - _ / . :"
        )
    return name


def check_folder(folder: object) -> str:
    """Check a folder's path."""
    if not isinstance(folder, str) or FOLDER_PATTERN.fullmatch(folder) is None:
        raise InvalidValueError(f"folder {folder!r:.100} does not start with /")
    return folder


def check_tags(tags: object) -> list[str]:
    """Check tags, any iterable of texts but a text."""
    return check_texts("tag", tags)


def check_text(what: str, text: object) -> str | None:
    """Check a text that may be left out."""
    if text is not None and not isinstance(text, str):
        raise InvalidValueError(f"the {what} is a text, not {type(text).__name__}")
    return text


def check_metadata(metadata: object) -> dict[str, Any]:
    """Check metadata: text keys, values that JSON can hold, numpy's included."""
    if not isinstance(metadata, Mapping):
        raise InvalidValueError(f"metadata are given as a dict, not {type(metadata).__name__}")
    checked = dict(metadata)
    for key in checked:
        if not isinstance(key, str):
            raise InvalidValueError(f"metadata key {key!r:.100} is not a text")
    try:
        text = json.dumps(checked, default=plain)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"metadata cannot be written as JSON: {error}") from None
    except RecursionError:
        text = "[" * (DEPTH_MAX + 1)
    if _depth(text) > DEPTH_MAX:
        raise InvalidValueError(f"metadata are nested deeper than {DEPTH_MAX} levels")
    return checked


def plain(value: object) -> object:
    """Turn numpy scalars and arrays into what JSON can hold; raise TypeError for all else."""
    for method in ("item", "tolist"):
        convert = getattr(value, method, None)
        if callable(convert) and (method == "tolist" or getattr(value, "ndim", 0) == 0):
            return convert()
    raise TypeError(f"{type(value).__name__} is not a number, text, list or dict")


def check_pid(pid: object) -> int:
    """Check the number of a process that is there."""
    if isinstance(pid, bool) or not isinstance(pid, int) or not os.path.exists(f"/proc/{pid}"):
        raise InvalidValueError(f"pid is the number of a process that runs here; got {pid!r:.100}")
    return pid


def wanted_resources(
    before: Mapping[str, Any],
    interval: object,
    disabled: bool | None,
    emissions: bool | None,
) -> dict[str, Any]:
    """Add to *before* what a run is told of how its use of the machine is measured."""
    wanted = dict(before)
    if interval is not None:
        if disabled:
            raise InvalidValueError("an interval is of no use where resource metrics are disabled")
        number = interval if isinstance(interval, (int, float)) else math.nan
        if isinstance(interval, bool) or not 0 < number < math.inf:
            raise InvalidValueError(
                f"system_metrics_interval is seconds, more than 0; got {interval!r:.100}"
            )
        wanted["resources_interval"] = float(number)
    if disabled is not None:
        wanted["resources"] = not disabled
    if emissions is not None:
        if before.get("emissions") and not emissions:
            raise InvalidValueError("emission metrics cannot be switched off again")
        wanted["emissions"] = emissions
    if wanted.get("emissions") and not wanted.get("resources", True):
        raise InvalidValueError("emission metrics are made of resource metrics: enable these, too")
    return wanted


def check_timeout(timeout: object) -> int | None:
    """Check the silence after which a run is lost, in seconds; None for never."""
    if timeout is None:
        return None
    if (
        isinstance(timeout, bool)
        or not isinstance(timeout, (int, float))
        or not 0 < timeout < math.inf
    ):
        raise InvalidValueError(f"timeout is a positive number of seconds or None; got {timeout!r}")
    return int(timeout) or 1


def check_notification(notification: object) -> str:
    """Check when mail is sent at the end of a run."""
    if not isinstance(notification, str) or notification not in NOTIFICATIONS:
        raise InvalidValueError(
            f"notification is one of {', '.join(NOTIFICATIONS)}; got {notification!r:.100}"
        )
    return notification


def parse_span(text: object) -> int | None:
    """Return the seconds of a span like ``'1 hour'``; None for None."""
    if text is None:
        return None
    match = _TIME_SPAN.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidValueError(f"{text!r:.100} is not a time span like '1 hour' or '5 days'")
    return int(float(match[1]) * _SECONDS[match[2]])


def parse_visibility(visibility: object) -> dict[str, Any]:
    """Return who may see the run, as the wire has it."""
    if isinstance(visibility, list):
        users = check_texts("user", visibility)
    elif visibility in (None, "public", "tenant"):
        users = []
    else:
        raise InvalidValueError(
            f"visibility is 'public', 'tenant' or a list of user names; got {visibility!r:.100}"
        )
    return {"users": users, "tenant": visibility == "tenant", "public": visibility == "public"}


def shell_variables(patterns: object) -> dict[str, str]:
    """Return the environment's variables that match one of *patterns*, names or globs."""
    import fnmatch

    wanted = check_texts("variable", patterns)
    return {
        name: value
        for name, value in os.environ.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted)
    }


def check_texts(what: str, texts: object) -> list[str]:
    """Check a list of texts, each of which is a *what*."""
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise InvalidValueError(f"{what}s are given as a list of texts; got {texts!r:.100}")
    checked = list(texts)
    for text in checked:
        if not isinstance(text, str):
            raise InvalidValueError(f"{what} {text!r:.100} is not a text")
    return checked


def _depth(text: str) -> int:
    """Count how deep JSON is nested, brackets in its texts aside."""
    depth = deepest = 0
    for bracket in re.sub(r'"(?:[^"\\]|\\.)*"', "", text):
        if bracket in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif bracket in "]}":
            depth -= 1
    return deepest
