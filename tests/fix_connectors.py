"""simvue-cli and the connectors from the package index on OUR package, an environment of theirs.

Made as a user makes it: our package is installed first, and what they require of ``simvue`` has
to be content with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import pytest
from fix_official import Unreachable, pip, surroundings
from fix_server import ROOT, Server

PACKAGES = (
    "simvue-cli==1.4.0",
    "simvue-connector==1.1.2",
    "simvue-fds==2.1.3",
    "simvue-moose==1.1.0",
    "simvue-openfoam==1.1.0",
)
# Without what it requires: tensorflow is 600 MB, and it is imported only when it trains.
BARE = "simvue-tensorflow==1.0.0"
# Kept between test runs: it takes two minutes to make.
ENVIRONMENT = ROOT / ".venv-connectors"
SOURCES = ("simvue", "examples", "pyproject.toml", "setup.py", "README.md", "LICENSE")


class Connectors:
    """An interpreter that has the connectors, and this checkout in the place of our package."""

    python = ENVIRONMENT / "bin" / "python"

    def run(self, server: Server, folder: Path, *arguments: str, limit: float = 200) -> str:
        """Run the interpreter in *folder* with *server* as its server; return its output."""
        done = subprocess.run(
            [self.python, *arguments],
            cwd=folder,
            # The package that is installed may be older than what is to be tested.
            env={**surroundings(server, folder), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout


def install() -> Connectors:
    """Make the environment, or find it made; raises Unreachable."""
    stamp = ENVIRONMENT / "installed"
    # What is installed with our package; not the tools of its tests.
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*ours["dependencies"], *ours["optional-dependencies"]["connectors"]]
    wanted = "\n".join([sys.version, *PACKAGES, BARE, *needed])
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        with tempfile.TemporaryDirectory() as copy:
            # Not in the checkout, whose extensions are in use.
            for name in SOURCES:
                source = ROOT / name
                if source.is_dir():
                    ignored = shutil.ignore_patterns("*.so", "__pycache__")
                    shutil.copytree(source, Path(copy, name), ignore=ignored)
                elif source.exists():
                    shutil.copy(source, copy)
            pip(Connectors.python, "install", f"{copy}[connectors]")
        pip(Connectors.python, "install", *PACKAGES)
        pip(Connectors.python, "install", "--no-deps", BARE)
        stamp.write_text(wanted)
    return Connectors()


@pytest.fixture(scope="session")
def connectors() -> Connectors:
    """Hand out the environment; without a package index the test is skipped, in CI it fails."""
    try:
        return install()
    except Unreachable as error:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
