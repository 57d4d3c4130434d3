"""Real MPI launchers: Open MPI's and MPICH's ``mpirun``, by the names Debian gives them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fix_node import PROLOGUE, Node

RANKS = 4
"""More than this machine has cores: the launchers are told that this is meant."""

RUN_S_MAX = 60
"""A launch takes one to three seconds; this is for a machine that is busy with everything else."""


@dataclass
class Mpi:
    """One MPI: its launcher, and how mpi4py finds its library."""

    name: str
    node: Node
    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def launcher(self) -> str:
        """What the launch calls itself in a run's metadata."""
        return {"openmpi": "openmpi", "mpich": "hydra"}[self.name]

    def run(self, source: str, ranks: int = RANKS, fails: bool = False, **env: str) -> str:
        """Run *source* in every rank, assert that mpirun *fails* or not, return the output."""
        script = self.node.directory / "rank.py"
        script.write_text(PROLOGUE + textwrap.dedent(source))
        done = subprocess.run(
            [f"mpirun.{self.name}", *self.arguments, "-n", str(ranks), sys.executable, str(script)],
            env={**self.node.env, **self.environment, **env},
            cwd=self.node.directory,
            stdin=subprocess.DEVNULL,
            # A pipe: whoever kept it open would keep us here.
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_S_MAX,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def runs(self, name: str) -> list[dict[str, Any]]:
        """Return the server's run objects of that name, by rank where they have one."""
        found = self.select(f"name == {name}")
        return sorted(found, key=lambda run: launch_of(run).get("rank", -1))

    def select(self, *filters: str) -> list[dict[str, Any]]:
        """Return the server's run objects that pass all *filters*."""
        query = {"filters": json.dumps(filters), "start": 0, "count": 100}
        found: list[dict[str, Any]] = self.node.server.get("/runs", **query)["data"]
        return found


def launch_of(run: dict[str, Any]) -> dict[str, Any]:
    """Return what a run object's metadata says of its launch."""
    launch: dict[str, Any] = run["metadata"].get("simvue", {}).get("launch", {})
    return launch


def _openmpi(node: Node) -> Mpi:
    arguments = ["--oversubscribe"]
    if os.geteuid() == 0:
        arguments.append("--allow-run-as-root")
    return Mpi("openmpi", node, arguments, {"MPI4PY_MPIABI": "openmpi"})


def _mpich(node: Node) -> Mpi:
    environment = {"MPI4PY_MPIABI": "mpich"}
    # Debian calls the library by another name than the ABI, and mpi4py, do.
    libraries = sorted(Path("/usr/lib").glob("*/libmpich.so.12"))
    if libraries:
        links = node.directory / "mpich"
        links.mkdir()
        (links / "libmpi.so.12").symlink_to(libraries[0])
        environment["LD_LIBRARY_PATH"] = str(links)
    return Mpi("mpich", node, [], environment)


@pytest.fixture(params=["openmpi", "mpich"])
def mpi(request: pytest.FixtureRequest, node: Node) -> Mpi:
    """Each of the two MPIs in turn, on a node of its own."""
    if shutil.which(f"mpirun.{request.param}") is None:
        package = {"openmpi": "openmpi-bin", "mpich": "mpich"}[request.param]
        message = f"there is no mpirun.{request.param}: install the Debian package {package}"
        # A run of the whole must not pass for want of a package.
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return {"openmpi": _openmpi, "mpich": _mpich}[request.param](node)
