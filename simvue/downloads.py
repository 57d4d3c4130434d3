"""Artifacts of a run brought back: found, their bytes checked, and written as files.

A file stands under its name only when it is whole: it is written beside, checked, and renamed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, Final

from .exception import InvalidValueError, ObjectNotFoundError, ServerError
from .listing import Sorting
from .records import ArtifactRecord
from .remote import Remote, route

_ABREAST: Final = 8
"""Downloads at once: the connections that a session keeps."""

_BLOCK: Final = 1 << 20
"""Bytes of a file that are hashed at once (chosen)."""


def of_run(
    remote: Remote, run: str, category: str | None = None, sorting: Sorting | None = None
) -> list[ArtifactRecord]:
    """Return the artifacts of the run with that id, of one category or all."""
    found = _entries(remote, run, {"category": category})
    # Here, as the server sorts artifacts only where it does not tell their category.
    for column, descending in reversed(sorting or ()):
        found.sort(key=_key_of(column), reverse=descending)
    return found


def find(remote: Remote, run: str, name: str) -> ArtifactRecord:
    """Return the artifact of a run called *name*.

    Raises ObjectNotFoundError if there is none, InvalidValueError if several are called so.
    """
    found = [one for one in _entries(remote, run, {"name": name}) if one["name"] == name]
    if len(found) > 1:
        raise InvalidValueError(
            f"{name!r} is the name of {len(found)} artifacts of run {run}; "
            "get_artifacts_as_files has them all"
        )
    if not found:
        raise ObjectNotFoundError("Artifact", name, f"run {run} has none of that name")
    return found[0]


def fetch(remote: Remote, artifact: ArtifactRecord) -> bytes:
    """Return the artifact's bytes; raises ServerError if they are not what was uploaded."""
    return b"".join(_checked(remote, artifact))


def save(remote: Remote, artifact: ArtifactRecord, path: Path) -> Path:
    """Write the artifact's bytes to *path*, unless they are there; make its directories.

    Raises ServerError if they are not what was uploaded; what stood at *path* stays then.
    """
    if _has(path, artifact):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.writelines(_checked(remote, artifact))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def save_all(remote: Remote, artifacts: Iterable[ArtifactRecord], directory: Path) -> list[Path]:
    """Write artifacts into *directory*, some at once; return their paths, in order.

    A ``/`` in a name makes a directory.  The second of one name is called ``name_1``, and so on.
    """
    found = list(artifacts)
    paths = list(_places(found, directory))
    with ThreadPoolExecutor(_ABREAST) as threads:
        return list(threads.map(lambda artifact, path: save(remote, artifact, path), found, paths))


def place(artifact: ArtifactRecord, directory: Path) -> Path:
    """Return where an artifact belongs in *directory*.

    Raises InvalidValueError for a name that leads out of it: whoever uploaded it chose it.
    """
    name = PurePosixPath(artifact["name"])
    if name.is_absolute() or ".." in name.parts or not name.parts:
        raise InvalidValueError(
            f"artifact {artifact['name']!r} would be written outside {directory}; "
            "take its bytes with get_artifact"
        )
    return directory.joinpath(*name.parts)


def _entries(remote: Remote, run: str, params: Mapping[str, Any]) -> list[ArtifactRecord]:
    found = remote.get(route("runs", run, "artifacts"), params)
    if not isinstance(found, list):
        raise ServerError(f"the server's answer for the artifacts of run {run} is not a list")
    return [ArtifactRecord(entry) for entry in found]


def _key_of(column: str) -> Callable[[ArtifactRecord], tuple[bool, Any]]:
    """Return what to sort artifacts by *column* with; those that lack it come last."""
    table, _, key = column.partition(".")

    def key_of(artifact: ArtifactRecord) -> tuple[bool, Any]:
        found = artifact.get(table)
        value = (found or {}).get(key) if key else found
        return value is None, value

    return key_of


def _places(artifacts: Iterable[ArtifactRecord], directory: Path) -> Iterator[Path]:
    taken: set[Path] = set()
    for artifact in artifacts:
        first = path = place(artifact, directory)
        number = 0
        while path in taken:
            number += 1
            path = first.with_name(f"{first.stem}_{number}{first.suffix}")
        taken.add(path)
        yield path


def _checked(remote: Remote, artifact: ArtifactRecord) -> Iterator[bytes]:
    url = artifact.get("url")
    if not url:
        raise ObjectNotFoundError("Artifact", artifact["name"], "its bytes were never uploaded")
    digest = hashlib.sha256()
    for block in remote.download(url):
        digest.update(block)
        yield block
    if digest.hexdigest() != str(artifact["checksum"]).lower():
        raise ServerError(f"the bytes of artifact {artifact['name']!r} are not those uploaded")


def _has(path: Path, artifact: ArtifactRecord) -> bool:
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:
        return False
    return digest.hexdigest() == str(artifact["checksum"]).lower()
