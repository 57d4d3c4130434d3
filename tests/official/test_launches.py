"""The published connectors follow solvers for our package, and all of it is on our server.

OpenFOAM is Debian's where it is installed; of the other solvers, and of OpenFOAM where it is not,
``solvers/`` has what writes their output.
"""

from __future__ import annotations

import shutil
import subprocess
import time
import zipfile
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from fix_connectors import Connectors
from fix_node import Node

from simvue.records import RunRecord

SCRIPT = Path(__file__).with_name("launches.py")
LAUNCH_S_MAX = 100

# Making the environment comes on top the first time.
pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]


class Launches:
    """Programs that users of connectors write, on a node of their own."""

    def __init__(self, connectors: Connectors, node: Node) -> None:
        self.python = connectors.python
        self.node = node
        node.env |= {"HOME": str(node.directory), "MPLBACKEND": "agg"}

    def start(self, name: str) -> subprocess.Popen[str]:
        """Start a launch; its stdout is a pipe."""
        return subprocess.Popen(
            [self.python, SCRIPT, name],
            cwd=self.node.directory,
            env=self.node.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, name: str) -> RunRecord:
        """Launch, wait for the end, and return the run as it then is."""
        process = self.start(name)
        try:
            output, _ = process.communicate(timeout=LAUNCH_S_MAX)
        finally:
            process.kill()
        assert process.returncode == 0, output
        return self.node.client.get_run(output.split()[-1])

    def artifacts(self, run: RunRecord) -> dict[str, str]:
        """Return the category of each artifact by its name."""
        return {one.name: one.category for one in self.node.client.list_artifacts(run.id)}

    def events(self, run: RunRecord) -> list[str]:
        """Return the messages of the run's events."""
        return [event["message"] for event in self.node.client.get_events(run.id)]

    def values(self, run: RunRecord, metric: str) -> list[tuple[float, float]]:
        """Return time and value of each row."""
        series = self.node.client.get_series(run.id, metric)
        return list(zip(series.time.tolist(), series.values.tolist(), strict=True))

    def grids(self, run: RunRecord) -> dict[str, list[list[float]]]:
        """Return the ticks of the grid of each metric that has one."""
        found = self.node.server.get(f"/runs/{run.id}/grids")
        return {grid["metric"]: grid["grid"] for grid in found}


@pytest.fixture
def launches(connectors: Connectors, node: Node) -> Launches:
    return Launches(connectors, node)


def follows(events: list[str], expected: Iterable[str]) -> bool:
    """Say whether the messages *expected* are among *events*, in that order."""
    rest = iter(events)
    return all(message in rest for message in expected)


@pytest.mark.parametrize("name", ["openfoam", "openfoam-stand-in"])
def test_a_case_of_openfoam_is_followed(launches: Launches, name: str) -> None:
    if name == "openfoam" and shutil.which("icoFoam") is None:
        pytest.skip("OpenFOAM is not installed: apt-get install openfoam")
    run = launches.run(name)
    assert (run.status, run.tags) == ("completed", ["openfoam"])
    assert run.metadata["openfoam"]["nprocs"] == "1"
    # A row for each of the 20 steps, of strings that the connector cut out of the log.  It loses a
    # step in whose midst it finds the end of the log: then nothing is logged, and none missing.
    steps = launches.node.steps(run.id, "residuals.final.p")
    assert steps == list(range(len(steps)))
    assert 17 <= len(steps) <= 20
    for field in ("Ux", "Uy", "p"):
        # What the case asks for.
        assert launches.values(run, f"residuals.final.{field}")[-1][1] < 1e-5
    started = ["Starting new execution...", "[icoFoam]: Reading field U", "Simulation Complete!"]
    assert follows(launches.events(run), started)
    kept = {"Allrun": "code", "inputs.zip": "input", "results.zip": "output"}
    assert launches.artifacts(run).items() >= kept.items()
    # The connector removed both archives as soon as it had saved them.
    where = launches.node.directory
    archive = launches.node.client.get_artifact_as_file(run.id, "results.zip", where)
    with zipfile.ZipFile(archive) as results:
        assert {"0.1/p", "0.2/p"} <= set(results.namelist())


def test_a_fire_is_followed_and_loaded_once_more_afterwards(launches: Launches) -> None:
    run = launches.run("fds")
    assert run.status == "completed"
    assert run.metadata["fds"]["revision"].startswith("FDS-6.9.1")
    assert run.metadata["input_file"]["head"] == {"chid": "room", "title": "A room"}
    assert run.metadata["sprinkler"] is True
    assert run.metadata["sprinkler_activation_time"] == 55.0
    expected = [(5.0 * step, 10.0 * step) for step in range(1, 13)]
    assert launches.values(run, "HRR") == expected
    assert launches.values(run, "total_heat_release_rate.mesh.1") == expected
    assert launches.values(run, "ceiling")[-1] == (60.0, 80.0)
    assert launches.grids(run) == {"plume": [[0.0, 1.0, 2.0, 3.0]]}
    steps = [f"Time Step: {step}, Simulation Time: {5 * step:.2f} s" for step in range(1, 13)]
    said = launches.events(run)
    assert follows(said, ["Starting FDS simulation", *steps, "Simulation Complete!"])
    assert any(message.startswith("DEVC 'sprinkler' has been set to 'True'") for message in said)
    kept = {"room.fds": "input", "room.out": "output", "room_hrr.csv": "output"}
    assert launches.artifacts(run).items() >= kept.items()

    again = launches.run("fds-afterwards")
    assert again.status == "completed"
    # The hours of the log, whose clock is this machine's: set by the connector after the end.
    begun = datetime(2026, 11, 23, 10, 0, 1).astimezone(timezone.utc)
    assert (again.started, again.endtime) == (begun, begun + timedelta(seconds=11))
    assert launches.values(again, "HRR") == expected


def test_heat_in_a_bar_is_followed_step_by_step(launches: Launches) -> None:
    run = launches.run("moose")
    assert run.status == "completed"
    assert run.metadata["moose"]["mesh"] == {"spatial_dimension": 1, "nodes": 4}
    assert run.metadata["input_file"]["Executioner"]["end_time"] == 6
    assert launches.values(run, "hottest") == [(step, 100 * step) for step in range(1, 7)]
    assert [value for _, value in launches.values(run, "total_linear_iterations")] == [1] * 6
    assert launches.grids(run) == {"along.T": [[0.0, 1.0, 2.0, 3.0]]}
    steps = [f"Time Step {step}, time = {step}, dt = 1" for step in range(1, 7)]
    began = "Beginning MOOSE simulation..."
    assert follows(launches.events(run), [began, *steps, "Simulation Complete!"])
    kept = {"bar.i": "input", "bar.csv": "output", "bar_along_0006.csv": "output"}
    assert launches.artifacts(run).items() >= kept.items()
    alerts = launches.node.client.get_alerts(run.id, critical_only=False)
    assert set(alerts) == {"step_not_converged", "moose_simulation_exit_status"}


def test_a_connector_of_ones_own_follows_its_solver(launches: Launches) -> None:
    run = launches.run("pendulum")
    assert run.status == "completed"
    assert [time for time, _ in launches.values(run, "angle")] == [k / 10 for k in range(10)]
    assert launches.events(run) == ["Simulation Complete!"]
    kept = {"pendulum.py": "code", "pendulum_pendulum.out": "output"}
    assert launches.artifacts(run) == kept


def test_an_abort_ends_the_solver_and_the_connector_finishes_its_work(launches: Launches) -> None:
    """The connector says ``ignore`` of aborts, by assignment, and ends what it has started."""
    process = launches.start("endless-pendulum")
    assert process.stdout is not None
    try:
        lines = iter(process.stdout.readline, "")
        run = next(line.strip() for line in lines if len(line.strip()) == 22)
        deadline = time.monotonic() + LAUNCH_S_MAX
        # Not before there is something to stop.
        while "angle" not in launches.node.client.get_metrics_names(run):
            assert time.monotonic() < deadline
        launches.node.client.abort_run(run, "enough seen")
        output, _ = process.communicate(timeout=LAUNCH_S_MAX)
    finally:
        process.kill()
    assert process.returncode == 0, output
    assert "[simvue] Run was aborted." in output
    ended = launches.node.client.get_run(run)
    assert ended.status == "terminated"
    assert launches.events(ended) == ["Simulation aborted due to an alert being triggered."]


def test_a_training_is_followed_alone_and_within_a_framework(launches: Launches) -> None:
    within = launches.run("tensorflow")
    assert (within.status, set(within.tags)) == ("completed", {"found", "training"})
    client = launches.node.client
    runs = dict(client.get_runs(["folder.path == /connectors/net"]))
    found = {run.name: run for run in runs.values()}
    assert {run.status for run in found.values()} == {"completed"}
    assert set(found) == {"net_simulation", "net_epoch_1", "net_epoch_2", "net_evaluation"}
    training = found["net_simulation"]
    assert [value for _, value in launches.values(training, "accuracy")] == [0.5, 0.75]
    assert len(launches.values(found["net_epoch_2"], "loss")) == 10
    assert found["net_evaluation"].metadata["final_accuracy"] == 0.75
    assert client.get_alerts(training.id, critical_only=False) == ["lost"]
    kept = {"launches.py": "code", "model_config": "input", "final_model.keras": "output"}
    assert launches.artifacts(training) == kept
    assert client.get_artifact(training.id, "model_config")["name"] == "stand-in"
    # The plug-in finds the folder and the tags of a run that it did not open.
    [trial] = dict(client.get_runs(["folder.path == /connectors/search/trial_7"])).values()
    assert set(trial.tags) == {"found", "epoch", "training"}
