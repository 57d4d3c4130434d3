"""Moved: the mark in a data directory whose store was copied elsewhere for good.

What runs send goes to one of the two: a server that opened the old one again by habit would
take rows that the new one never sees.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from simvue.exception import StoreError

from .disk import sync

_NAME: Final = "moved"


def mark(directory: Path, where: str) -> None:
    """Note durably that the store in *directory* is at *where* from now on.  Raises StoreError."""
    try:
        with (directory / _NAME).open("w") as file:
            file.write(f"{where}\n")
            file.flush()
            os.fsync(file.fileno())
        sync(directory)
    except OSError as error:
        raise StoreError(
            f"the store is at {where} now, but {directory} cannot be marked as moved: "
            f"{error.strerror}; start no server on it"
        ) from error


def refuse(directory: Path) -> None:
    """Raise StoreError if the store in *directory* has moved."""
    file = directory / _NAME
    if file.exists():
        raise StoreError(
            f"the store in {directory} has moved to {file.read_text().strip()}: serve that one. "
            f"To take this one back, without what the other has got since, remove {file}"
        )
