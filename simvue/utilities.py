"""What connectors and simvue-cli take from here; nothing of ours does."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from pydantic import ValidationError

from .config.files import find_file
from .exception import InvalidValueError
from .models import DATETIME_FORMAT, simvue_timestamp, validate_timestamp

__all__ = [
    "DATETIME_FORMAT",
    "find_first_instance_of_file",
    "parse_pydantic_error",
    "prettify_pydantic",
    "simvue_timestamp",
    "validate_timestamp",
]

P = ParamSpec("P")
T = TypeVar("T")


def find_first_instance_of_file(
    file_names: str | Sequence[str], *, check_user_space: bool = True
) -> Path | None:
    """Return the first such file from the working directory up, then in the home; else None."""
    names = [file_names] if isinstance(file_names, str) else file_names
    return find_file(names, in_home=check_user_space)


def parse_pydantic_error(error: ValidationError) -> str:
    """Return the faults of a ValidationError, a line each: where, and what is wrong there."""
    lines = [f"{error.title}:"]
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"]) or "value"
        lines.append(f"  {place}: {fault['msg']}")
    return "\n".join(lines)


def prettify_pydantic(func: Callable[P, T]) -> Callable[P, T]:
    """Wrap a function so that a ValidationError becomes an InvalidValueError (a RuntimeError)."""

    @functools.wraps(func)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return func(*args, **kwargs)
        except ValidationError as error:
            raise InvalidValueError(parse_pydantic_error(error)) from error

    return checked
