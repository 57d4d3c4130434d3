"""simvue-cli and the published connectors, unchanged, on our package and with our server."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fix_connectors import Connectors
from fix_server import Server

SCRIPT = Path(__file__).with_name("cli_story.py")


@pytest.mark.timeout(900)
def test_every_connector_is_imported(
    connectors: Connectors, server: Server, tmp_path: Path
) -> None:
    modules = (
        "simvue_cli.cli, simvue_connector.connector, simvue_fds.connector, simvue_moose.connector, "
        "simvue_openfoam.connector, simvue_tensorflow.extras.create_alerts"
    )
    code = f"import {modules}, simvue; print(simvue.__file__)"
    ours = Path(__file__).parents[2] / "simvue" / "__init__.py"
    assert connectors.run(server, tmp_path, "-c", code).strip() == str(ours)


CONNECTOR = """
import simvue
from simvue_connector.connector import WrappedRun
from simvue_tensorflow.extras.create_alerts import create_alerts

# A connector hands on its token as a pydantic.SecretStr, and sets attributes of its own first.
run = WrappedRun(server_token="secret", server_url="http://127.0.0.1:9")
assert run._user_config.server.token.get_secret_value() == "secret"
assert run._user_config.nosim_version is None

# The plug-in for TensorFlow checks alerts with a run that is disabled, before any server.
limits = {"metric": "loss", "window": 1, "frequency": 1}
with simvue.Run(mode="disabled") as run:
    assert run._user_config.run.mode == "disabled"
    for definition in (
        {"source": "user"},
        {"source": "events", "pattern": "diverged"},
        {"source": "metrics", "rule": "is above", "threshold": 1.5, **limits},
        {"source": "metrics", "rule": "is inside range", "range_low": 0, "range_high": 1, **limits},
    ):
        create_alerts("mine", definition, run)
print("content")
"""


@pytest.mark.timeout(900)
def test_a_connector_finds_in_a_run_what_it_reads(
    connectors: Connectors, server: Server, tmp_path: Path
) -> None:
    assert connectors.run(server, tmp_path, "-c", CONNECTOR).splitlines()[-1] == "content"


@pytest.mark.timeout(900)
def test_the_commands_of_simvue_cli_work(
    connectors: Connectors, fresh_server: Server, tmp_path: Path
) -> None:
    """Some fifty commands; each asserts what it sees."""
    home = tmp_path / "home"
    home.mkdir()
    # It reads the file at home whatever the environment says.
    shutil.copy(fresh_server.data / "simvue.toml", home / ".simvue.toml")
    said = connectors.run(fresh_server, home, str(SCRIPT))
    assert said.splitlines()[-1] == "all said"
    assert "Traceback" not in fresh_server.log_text(), fresh_server.log_text()
