"""The packages that a simulation is made of, as lock files and directories tell it.

Read by patterns and not by parsers: a lock file of a thousand packages costs some milliseconds,
and a TOML parser a hundred times as much.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

from simvue.repository import find_repository

Packages = dict[str, str]
"""Versions by name."""

_SIZE_MAX: Final = 16 << 20
"""Bytes of a lock file that is read; chosen: no real one is as large."""

_LOCKED: Final = re.compile(
    r'^\[\[package\]\]\s+name = "([^"]+)"\s+version = "([^"]+)"', re.MULTILINE
)
_JULIA: Final = re.compile(
    r'^\[\[(?:deps\.)?([\w-]+)\]\]\n(?:(?!\[\[).*\n)*?version = "([^"]+)"', re.MULTILINE
)
_CONDA: Final = re.compile(r"^\s*-\s*([\w.-]+)\s*={1,2}\s*([\w.!+-]+)", re.MULTILINE)
_INSTALLED: Final = re.compile(r"(.+)-([^-]+)\.(?:dist|egg)-info")


@functools.cache
def describe_environment(directory: Path) -> dict[str, Any]:
    """Return, by language, the project and the packages around *directory*.

    Each has ``project`` (name and version) and ``environment`` (versions by name) where they are
    known.  Files are looked for up to the top of the repository.  Read once a process.
    """
    top = find_repository(directory)
    folders = [directory, *directory.parents] if top else [directory]
    folders = folders[: folders.index(top) + 1] if top else folders
    languages = {
        "python": (_project(folders, "pyproject.toml", "project", "tool.poetry"), _python(folders)),
        "rust": (_project(folders, "Cargo.toml", "package"), _locked(folders, "Cargo.lock")),
        "julia": (_project(folders, "Project.toml", ""), _julia(folders)),
        "javascript": _javascript(folders),
    }
    described = {}
    for language, (project, packages) in languages.items():
        if project or packages:
            found = {"project": project, "environment": packages}
            described[language] = {name: value for name, value in found.items() if value}
    return described


def _read(folders: list[Path], name: str) -> str:
    """Return the nearest file of that *name*; empty if there is none that can be read."""
    for folder in folders:
        with contextlib.suppress(OSError):
            if (folder / name).stat().st_size <= _SIZE_MAX:
                return (folder / name).read_text(encoding="utf-8", errors="replace")
    return ""


def _project(folders: list[Path], name: str, *tables: str) -> dict[str, str]:
    """Return name and version out of a TOML file's first of *tables* that is there."""
    text = _read(folders, name)
    for table in tables:
        begin = re.search(rf"^\[{re.escape(table)}\]\s*$", text, re.MULTILINE) if table else None
        if table and begin is None:
            continue
        section = re.split(r"^\[", text[begin.end() if begin else 0 :], maxsplit=1, flags=re.M)[0]
        found = re.findall(r"""^(name|version)\s*=\s*["']([^"']*)["']""", section, re.MULTILINE)
        if found:
            return dict(found)
    return {}


def _locked(folders: list[Path], name: str) -> Packages:
    return dict(_LOCKED.findall(_read(folders, name)))


def _python(folders: list[Path]) -> Packages:
    locked = _locked(folders, "poetry.lock") or _locked(folders, "uv.lock")
    return locked or dict(_CONDA.findall(_read(folders, "environment.yml"))) or _installed()


def _installed() -> Packages:
    """Return what this interpreter could import, by the names of the directories of each."""
    found: Packages = {}
    for place in sys.path:
        with contextlib.suppress(OSError):
            for name in os.listdir(place or "."):
                if match := _INSTALLED.fullmatch(name):
                    # What comes first in the path hides what comes later.
                    found.setdefault(match[1], match[2])
    return dict(sorted(found.items()))


def _julia(folders: list[Path]) -> Packages:
    return dict(_JULIA.findall(_read(folders, "Manifest.toml")))


def _javascript(folders: list[Path]) -> tuple[dict[str, str], Packages]:
    try:
        lock = json.loads(_read(folders, "package-lock.json") or "{}")
        project = {name: str(lock[name]) for name in ("name", "version") if name in lock}
        packages = {
            path.removeprefix("node_modules/"): str(entry.get("version", ""))
            for path, entry in (lock.get("packages") or lock.get("dependencies") or {}).items()
            if path
        }
    except (ValueError, AttributeError, TypeError):
        return {}, {}
    return project, packages
