"""The sender under the name of the official package: ``simvue ship`` from a script."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from .exception import ServerError

__all__ = ["UPLOAD_ORDER", "Sender"]

_logger = logging.getLogger("simvue")

UPLOAD_ORDER: Final = (
    "tenants",
    "users",
    "storage",
    "folders",
    "tags",
    "alerts",
    "runs",
    "grids",
    "artifacts",
    "metrics",
    "grid_metrics",
    "events",
    "heartbeat",
    "co2_intensity",
    "version",
)
"""What the official sender is told to send; ours sends everything, in the order of its making."""


class Sender:
    """Sends what was recorded offline, or during an outage.

    *cache_directory* is where the data lies, by default where runs put it.  With
    *retry_failed_uploads* what a server did not take before is sent again.  The other settings
    of the official sender have no effect: there is nothing to tune.
    """

    def __init__(
        self,
        *,
        cache_directory: Path | str | None = None,
        throw_exceptions: bool = False,
        retry_failed_uploads: bool = False,
        **_: Any,
    ) -> None:
        self._throw_exceptions = throw_exceptions
        self._arguments = ["ship"]
        if cache_directory is not None:
            self._arguments += ["--cache", str(cache_directory)]
        if retry_failed_uploads:
            self._arguments.append("--retry-rejected")

    def upload(self, objects_to_upload: Sequence[str] | None = None) -> None:
        """Send everything, once; *objects_to_upload* has no effect, as there are no parts.

        What could not be sent stays where it is, and a warning says why; or with
        ``throw_exceptions`` a ServerError.
        """
        done = subprocess.run(
            [sys.executable, "-m", "simvue", *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return
        if self._throw_exceptions:
            raise ServerError(done.stdout.strip())
        _logger.warning("%s", done.stdout.strip())
