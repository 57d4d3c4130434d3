"""The calls of the official documentation's tutorials do on our package and server what they say.

``tutorials/`` has programs of our own that make the same calls in the same forms, many of them of
earlier releases.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fix_connectors import Connectors
from fix_node import Node

TUTORIALS = Path(__file__).with_name("tutorials")
TUTORIAL_S_MAX = 100

# Making the environment of the connectors comes on top the first time.
pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]


def follow(node: Node, python: Path | str, program: str, *arguments: str) -> str:
    """Run a program as a reader of the tutorials does, with a ``simvue.ini``; return its output."""
    settings = node.directory / "simvue.ini"
    settings.write_text(f"[server]\nurl = {node.server.url}\ntoken = {node.server.token}\n")
    settings.chmod(0o600)
    own = {"SIMVUE_URL", "SIMVUE_TOKEN"}
    done = subprocess.run(
        [python, TUTORIALS / program, *arguments],
        cwd=node.directory,
        env={key: value for key, value in node.env.items() if key not in own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TUTORIAL_S_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_calls_of_the_basic_tutorial_work(fresh_node: Node) -> None:
    """The second program asserts what the first has recorded; the server knows nothing else."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")
    node = fresh_node
    follow(node, sys.executable, "dice.py", "30")
    [(run_id, run)] = node.client.get_runs(["folder.path == /dice"])
    assert (run.status, run.metadata["fair"]) == ("completed", True)
    assert node.steps(run_id, "number") == list(range(30))
    kept = {one.name: one.category for one in node.client.list_artifacts(run_id)}
    output = dict.fromkeys(["result.json", "shown", "changes"], "output")
    assert kept == {"dice.py": "code", **output}
    assert set(node.client.get_alerts(run_id, critical_only=False)) == {"biased", "a six"}
    folder = node.client.get_folder("/dice")
    assert folder is not None
    assert (folder.metadata, folder.tags) == ({"table": "green"}, ["dice"])
    said = follow(node, sys.executable, "dice_read_back.py", "30")
    assert said.splitlines()[-1] == "all read"


def watch(node: Node, connectors: Connectors, lost: str, *limit: str) -> str:
    (node.directory / "rod.i").write_text(lost)
    return follow(node, connectors.python, "rod_watched.py", "rod.i", *limit).split()[-1]


def test_the_advanced_tutorial_follows_a_solver_to_its_end(
    node: Node, connectors: Connectors
) -> None:
    run = node.client.get_run(watch(node, connectors, ""))
    assert (run.status, run.tags) == ("completed", ["complete"])
    assert run.metadata["petsc_version"] == "3.20.3"
    # The connector reads its files in threads, which may log two steps in the other order.
    assert sorted(node.steps(run.id, "temperature.3")) == list(range(1, 21))
    said = [event["message"] for event in node.client.get_events(run.id)]
    assert said.count(" Solve Converged!") == 20


def test_the_advanced_tutorial_stops_a_solver_that_does_not_converge(
    node: Node, connectors: Connectors
) -> None:
    run = node.client.get_run(watch(node, connectors, "12"))
    assert (run.status, run.tags) == ("failed", ["lost"])
    kept = {one.name: one.category for one in node.client.list_artifacts(run.id)}
    assert kept["rod.e"] == "output"
    # It was stopped within a second or two, long before its 200 steps.
    assert max(node.steps(run.id, "temperature.3")) < 100


def test_the_advanced_tutorial_stops_a_solver_by_an_alert(
    node: Node, connectors: Connectors
) -> None:
    """A second program, itself a process of the run, asks for the alert and tells by a file.

    The rod is too hot from its first step on: later it would be judged a minute after that.
    """
    run = node.client.get_run(watch(node, connectors, "none", "10"))
    assert (run.status, run.tags) == ("failed", ["too hot"])
    assert "too hot" in node.client.get_alerts(run.id)
