"""What a run records unasked about where it runs, what runs, and what launched it.

Read from files and the environment; no process is started.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from simvue.config import RunDefaults
from simvue.environment import describe_environment
from simvue.launch import Launch
from simvue.repository import describe_repository


def system() -> dict[str, Any]:
    """Return the ``system`` block of a run (wire.md 8.1): host, platform, Python and processor."""
    uname = os.uname()
    return {
        "cwd": _working_directory(),
        "hostname": uname.nodename,
        "pythonversion": ".".join(map(str, sys.version_info[:3])),
        "platform": {
            "system": uname.sysname,
            "release": uname.release,
            "version": uname.version,
        },
        "cpu": {"arch": uname.machine, "processor": _processor()},
        "gpu": {},
    }


def surroundings(config: RunDefaults) -> dict[str, Any]:
    """Return what the metadata of a run say of the code that runs, as far as *config* wants it.

    ``git`` is the repository around the working directory; ``python``, ``rust``, ``julia`` and
    ``javascript`` have the packages.
    """
    directory = Path(_working_directory())
    found: dict[str, Any] = {}
    if config.environment:
        found |= describe_environment(directory)
    if config.git and (repository := describe_repository(directory)):
        found["git"] = repository
    return found


def launched_by(launch: Launch) -> dict[str, Any]:
    """Return what the metadata of a run says of its launch, ``simvue.launch.*`` in filters.

    Empty for a process that somebody just started.
    """
    attributes = launch.attributes()
    return {"simvue": {"launch": attributes}} if attributes else {}


def _working_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # the directory was deleted under us
        return ""


def _processor() -> str:
    """Return the processor's name as the kernel gives it; platform.processor() starts a process."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith(("model name", "Processor")):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""
