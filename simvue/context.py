"""What a run records unasked about where it runs and what launched it.

Read from files and the environment; no process is started.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from simvue.launch import Launch


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
