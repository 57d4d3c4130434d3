"""The names of the official package that connectors and simvue-cli import, without a server."""

import json
import logging
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pydantic
import pytest

import simvue
from simvue.config.user import CONFIG_FILE_NAMES, ServerSpecifications, SimvueConfiguration
from simvue.exception import ConfigurationError, InvalidValueError

ROOT = Path(__file__).parents[2]

IMPORTED = {
    "simvue": ["Client", "Handler", "Run", "RunInput"],
    "simvue.api.objects": [
        "Alert", "Artifact", "Events", "EventsAlert", "FileArtifact", "Folder", "Metrics",
        "MetricsRangeAlert", "MetricsThresholdAlert", "Run", "S3Storage", "Stats", "Storage", "Tag",
        "UserAlert",
    ],
    "simvue.api.objects.administrator": ["Tenant", "User"],
    "simvue.api.objects.alert.base": ["AlertBase"],
    "simvue.api.objects.alert.fetch": ["AlertType"],
    "simvue.api.objects.base": ["ObjectBatchArgs", "SimvueObject", "VisibilityBatchArgs"],
    "simvue.api.objects.run": ["RunBatchArgs"],
    "simvue.api.objects.storage.base": ["SimvueObject"],
    "simvue.api.objects.storage.file": ["FileStorage"],
    "simvue.api.request": ["delete", "get", "get_json_from_response", "get_paginated", "post"],
    "simvue.client": ["Client", "ObjectNotFoundError"],
    "simvue.config.files": ["CONFIG_FILE_NAMES"],
    "simvue.config.user": ["CONFIG_FILE_NAMES", "ServerSpecifications", "SimvueConfiguration"],
    "simvue.exception": ["ObjectNotFoundError", "ObjectDispatchError", "SimvueRunError"],
    "simvue.executor": ["Executor"],
    "simvue.metadata": ["environment", "git_info"],
    "simvue.models": [
        "DATETIME_FORMAT", "FOLDER_REGEX", "MetadataKeyString", "MetricKeyString", "MetricSet",
        "NAME_REGEX",
    ],
    "simvue.run": ["FOLDER_REGEX", "SimvueRunError", "get_system"],
    "simvue.sender": ["Sender", "UPLOAD_ORDER"],
    "simvue.utilities": ["find_first_instance_of_file", "prettify_pydantic"],
    "simvue.version": ["__version__"],
}  # fmt: skip
"""What simvue-cli 1.4.0 and the published connectors import, by the module they import it from."""


@pytest.mark.parametrize("module", IMPORTED)
def test_what_others_import_is_there(module):
    found = __import__(module, fromlist=["_"])
    assert [name for name in IMPORTED[module] if not hasattr(found, name)] == []


def test_modules_are_reached_after_import_simvue_alone():
    """Connectors decorate with ``simvue.utilities.prettify_pydantic`` and import only simvue."""
    code = "import simvue; simvue.utilities.prettify_pydantic; simvue.api; simvue.models.RunInput"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# ---- Models --------------------------------------------------------------------------------


def test_patterns_are_those_of_the_wire():
    from simvue import models, wire

    assert (models.FOLDER_REGEX, models.DATETIME_FORMAT) == ("^/.*", wire.TIMESTAMP_FORMAT)
    name = pydantic.TypeAdapter(models.MetricKeyString)
    assert name.validate_python("a/b = 3 (%)") == "a/b = 3 (%)"
    with pytest.raises(pydantic.ValidationError):
        name.validate_python("a[1]")


def test_rows_are_filled_and_checked():
    row = simvue.models.MetricSet(values={"x": 1}, timestamp="2026-01-31 12:00:00")
    assert row.model_dump() == {
        "time": 0,
        "timestamp": "2026-01-31T12:00:00.000000",
        "step": 0,
        "values": {"x": 1},
    }
    now = datetime.now(timezone.utc)
    stamp = datetime.fromisoformat(simvue.models.MetricSet(values={}).timestamp + "+00:00")
    assert abs((stamp - now).total_seconds()) < 60
    for wrong in ({"step": -1}, {"timestamp": "noon"}, {"extra": 1}):
        with pytest.raises(pydantic.ValidationError):
            simvue.models.MetricSet(values={}, **wrong)


def test_an_array_of_numpy_is_a_list():
    np = pytest.importorskip("numpy")
    row = simvue.models.GridMetricSet(array=np.eye(2), grid="g", metric="m")
    assert row.model_dump()["array"] == [[1.0, 0.0], [0.0, 1.0]]


def test_timestamps_without_a_zone_are_local_as_datetime_and_utc_as_text():
    moment = datetime(2026, 1, 31, 12, 0, 0, 7)
    expected = moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
    assert simvue.models.simvue_timestamp(moment) == expected
    assert simvue.models.simvue_timestamp("2026-01-31T12:00:00+01:00") == (
        "2026-01-31T11:00:00.000000"
    )
    assert simvue.models.validate_timestamp("never", raise_except=False) is False
    with pytest.raises(ValueError, match="timestamp"):
        simvue.models.validate_timestamp("never")


# ---- Utilities -------------------------------------------------------------------------------


def test_prettify_pydantic_says_what_was_wrong_in_a_runtime_error():
    @simvue.utilities.prettify_pydantic
    @pydantic.validate_call
    def launch(steps: pydantic.PositiveInt) -> int:
        return steps

    assert launch(steps=3) == 3
    assert launch.__name__ == "launch"
    with pytest.raises(RuntimeError, match=r"steps: .*greater than 0"):
        launch(steps=-1)


def test_a_file_is_found_from_the_working_directory_up_and_at_home(tmp_path, monkeypatch):
    find = simvue.utilities.find_first_instance_of_file
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "a" / "b")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert find("simvue-test.toml") is None
    (tmp_path / "home" / "simvue-test.toml").touch()
    assert find("simvue-test.toml") == tmp_path / "home" / "simvue-test.toml"
    assert find(["simvue-test.toml"], check_user_space=False) is None
    (tmp_path / "simvue-test.toml").touch()
    assert find(["none.toml", "simvue-test.toml"]) == tmp_path / "simvue-test.toml"


# ---- Configuration ---------------------------------------------------------------------------


def test_the_configuration_has_sections_profiles_and_a_hidden_token(tmp_path, monkeypatch):
    file = tmp_path / "simvue.toml"
    file.write_text(
        '[server]\nurl = "https://a.example.org/"\ntoken = "secret-a"\n'
        '[profiles.b]\nurl = "https://b.example.org/api"\ntoken = "secret-b"\n'
        '[run]\ntags = ["t"]\n[run.metadata.custom]\nk = 1\n'
    )
    file.chmod(0o600)
    monkeypatch.chdir(tmp_path)
    found = SimvueConfiguration.fetch(mode="offline")
    assert found.server.url == "https://a.example.org/api"
    assert found.server.token.get_secret_value() == "secret-a"
    assert found.profiles["b"].url == "https://b.example.org/api"
    assert (found.run.tags, found.run.mode) == (["t"], "offline")
    assert found.config_file() == file
    assert found.headers == {"Authorization": "Bearer secret-a"}
    assert found.nosim_version is None
    dumped = json.dumps(found.model_dump(warnings="none", mode="json"))
    assert "secret" not in dumped + repr(found)
    assert json.loads(dumped)["run"]["metadata"]["custom"] == {"k": 1}
    other = SimvueConfiguration.fetch(profile="b")
    assert other.server.url == "https://b.example.org/api"
    assert CONFIG_FILE_NAMES[0] == "simvue.toml"


def test_the_configuration_is_made_of_a_file_as_simvue_cli_does():
    made = SimvueConfiguration(
        server={"url": "https://a.example.org"}, offline={"cache": "/tmp/x"}, unknown={"k": 1}
    )
    assert made.server == ServerSpecifications(url="https://a.example.org/api")
    assert made.profiles == {}


def test_without_a_server_only_offline_has_a_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert SimvueConfiguration.fetch(mode="offline").server.url is None
    with pytest.raises(ConfigurationError, match="SIMVUE_URL"):
        SimvueConfiguration.fetch()
    with pytest.raises(FileNotFoundError):
        SimvueConfiguration.config_file()


# ---- Handler ---------------------------------------------------------------------------------


class Heard:
    """In the place of a run: what `log_event` was called with."""

    def __init__(self):
        self.events = []

    def log_event(self, message, timestamp=None, log_level=None):
        if "refused" in message:
            raise InvalidValueError("no")
        self.events.append((message, timestamp, log_level))


@pytest.fixture
def logger():
    return logging.Logger("solver", level=1)


def test_a_record_becomes_an_event_with_its_time_and_level(logger):
    heard = Heard()
    logger.addHandler(simvue.Handler(heard))
    before = datetime.now(timezone.utc)
    logger.warning("residual %g", 0.5)
    logger.log(5, "trace")
    logger.log(45, "between")
    assert [(message, level) for message, _, level in heard.events] == [
        ("residual 0.5", "warning"),
        ("trace", "debug"),
        ("between", "error"),
    ]
    assert before <= heard.events[0][1] <= datetime.now(timezone.utc)


def test_the_run_may_be_called_client_and_a_formatter_is_used(logger):
    heard = Heard()
    handler = simvue.Handler(client=heard)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.error("up")
    assert heard.events[0][0] == "solver: up"
    with pytest.raises(TypeError, match="the run"):
        simvue.Handler()


def test_our_own_records_are_left_out():
    """A warning about an event would become the next event, without end."""
    heard = Heard()
    handler = simvue.Handler(heard)
    for name in ("simvue", "simvue.run"):
        handler.handle(logging.LogRecord(name, logging.ERROR, "f", 1, "m", (), None))
    assert heard.events == []
    handler.handle(logging.LogRecord("simvuelike", logging.ERROR, "f", 1, "m", (), None))
    assert len(heard.events) == 1


def test_what_goes_wrong_does_not_reach_the_program(logger, monkeypatch, capsys):
    logger.addHandler(simvue.Handler(Heard()))
    logger.error("refused")
    assert "InvalidValueError" in capsys.readouterr().err
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger.error("refused")
    assert capsys.readouterr().err == ""


# ---- Addresses ---------------------------------------------------------------------------------


def test_an_address_grows_by_slashes():
    from simvue.api.url import URL

    url = URL("https://host:8443/api/") / "runs" / "a b"
    assert str(url) == "https://host:8443/api/runs/a b"
    assert url == "https://host:8443/api/runs/a b"
    assert (url.scheme, url.hostname, url.port, url.path) == (
        "https",
        "host",
        8443,
        "/api/runs/a b",
    )
