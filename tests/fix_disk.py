"""Small disks in memory, mounted where a test wants to have one fill; that takes root."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Disk = Callable[[Path, int], Callable[[int], None]]
"""Mounts a disk of so many MiB at a directory, and returns what changes its size."""


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Small disks for a test, unmounted behind it."""
    mounted: list[Path] = []

    def mount(directory: Path, mib: int) -> Callable[[int], None]:
        directory.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tmpfs", str(directory)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        mounted.append(directory)

        def resize(mib: int) -> None:
            options = f"remount,size={mib}m"
            subprocess.run(["mount", "-o", options, str(directory)], check=True)

        return resize

    yield mount
    for directory in mounted:
        # Lazily: a shipper may hold a file there until the node is closed.
        subprocess.run(["umount", "-l", str(directory)], check=True)
