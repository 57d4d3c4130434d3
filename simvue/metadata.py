"""What a run records of its surroundings, under the names of the official package."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .arguments import shell_variables
from .environment import describe_environment
from .repository import describe_repository

__all__ = ["environment", "git_info"]


def environment(
    *, repository: Path | None = None, env_var_glob_exprs: Iterable[str] | None = None
) -> dict[str, Any]:
    """Return the packages of the project around *repository*, by default the working directory.

    *env_var_glob_exprs* are names or globs of variables of the shell to add.
    """
    found = dict(describe_environment((repository or Path.cwd()).absolute()))
    if env_var_glob_exprs:
        found["shell"] = shell_variables(env_var_glob_exprs)
    return found


def git_info(repository: Path) -> dict[str, Any]:
    """Return what the git repository around *repository* says of itself; empty without one."""
    return describe_repository(repository.absolute())
