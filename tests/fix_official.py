"""The official client, in an environment of its own that is made from the package index.

Nothing of it lies in this repository and nothing of ours in that environment: it speaks to
the server as the installations of its users do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest
from fix_server import ROOT, Server

VERSION = "2.6.2"
PACKAGE = f"simvue=={VERSION}"
# What its test suite needs beside it.
TEST_PACKAGES = ("pytest-cov", "pytest-mock", "pytest-timeout", "pytest-xdist", "jinja2")
# Kept between test runs: it takes most of a minute to make.
ENVIRONMENT = ROOT / ".venv-official"
# For a slow index; a minute is usual.
INSTALL_S_MAX = 600


class Unreachable(Exception):
    """No package index gives the official client."""


class Official:
    """An interpreter that has the official client."""

    def __init__(self, python: Path) -> None:
        self.python = python

    def run(self, server: Server, folder: Path, *arguments: str, limit: float) -> str:
        """Run the interpreter in *folder* with *server* as its server; return its output."""
        done = subprocess.run(
            [self.python, *arguments],
            cwd=folder,
            env=surroundings(server, folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout


class Addressed(Protocol):
    """Whatever has the address of a server and a token for it."""

    url: str
    token: str


def surroundings(server: Addressed, home: Path) -> Mapping[str, str]:
    """Make the environment variables of a user whose home is *home*."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SIMVUE_")}
    kept.pop("PYTHONPATH", None)
    return {
        **kept,
        "HOME": str(home),
        "MPLBACKEND": "agg",
        "SIMVUE_URL": server.url,
        "SIMVUE_TOKEN": server.token,
    }


def install() -> Official:
    """Make the environment, or find it made; raises Unreachable."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "installed"
    wanted = "\n".join([sys.version, f"simvue[plot]=={VERSION}", *TEST_PACKAGES])
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        pip(python, "install", f"simvue[plot]=={VERSION}", *TEST_PACKAGES)
        stamp.write_text(wanted)
    return Official(python)


def pip(python: Path, *arguments: str) -> None:
    """Run pip of *python*; raises Unreachable with the last thing it said."""
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments],
        capture_output=True,
        text=True,
        timeout=INSTALL_S_MAX,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing was said"]
        raise Unreachable(f"pip {arguments[0]} of the official client failed: {said[-1]}")


@pytest.fixture(scope="session")
def official() -> Official:
    """Hand out the official client; without a package index the test is skipped, in CI it fails."""
    try:
        return install()
    except Unreachable as error:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
