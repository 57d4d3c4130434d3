"""The server's secret: 32 random bytes in a file of the data directory, made at its first start."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from simvue.exception import StoreError

# As much as HMAC-SHA-256 can use.
_SIZE: Final = 32


def load(path: Path) -> bytes:
    """Return the secret kept at *path*, which is made (0600) if it lacks.

    Only the owner of the directory calls.  Raises StoreError.
    """
    try:
        if path.exists():
            found = path.read_bytes()
            if len(found) == _SIZE:
                return found
        made = secrets.token_bytes(_SIZE)
        keep(path, made)
    except OSError as error:
        raise StoreError(f"cannot keep the server's secret in {path}: {error.strerror}") from error
    return made


def keep(path: Path, secret: bytes) -> None:
    """Make *secret* the one at *path*, durably.  Raises OSError."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
