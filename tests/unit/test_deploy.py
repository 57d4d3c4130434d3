"""What deploy/ says must exist: options, metrics, names, and files that parse."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import prometheus_client
import pytest
import yaml

from simvue.cli import simvue as command_line
from simvue.server import meters

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("simvue-*"))
METRIC = re.compile(r"\b(?:simvue|process)_[a-z_]+\b")


def check_command(arguments: list[str]) -> None:
    """Have click read *arguments* of ``simvue`` as it would; raises what it says of wrong ones."""
    with click.Context(command_line) as context:
        name, command, rest = command_line.resolve_command(context, arguments)
        assert command is not None
        # Subcommands read their own.
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            name, command, rest = command.resolve_command(context, rest)
            assert command is not None
        command.make_context(name, rest, parent=context)


def compose() -> dict[str, Any]:
    text = (DEPLOY / "compose.yaml").read_text()
    # What compose puts in for `${NAME:?message}`.
    return yaml.safe_load(re.sub(r"\$\{(\w+):\?[^}]*\}", r"a-\1", text))


def known_metrics() -> set[str]:
    """Every name that a scrape of the server may have."""
    assert meters.BUILD
    names = set()
    for family in prometheus_client.REGISTRY.collect():
        names |= {family.name, *(sample.name for sample in family.samples)}
        # Those with labels have no sample before something is counted.
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
        names |= {family.name + end for end in ends.get(family.type, ())}
    return names


def commands_of_units() -> list[list[str]]:
    return [
        shlex.split(line.partition("=")[2])
        for unit in UNITS
        for line in unit.read_text().splitlines()
        if line.startswith("ExecStart=")
    ]


def test_the_units_start_commands_that_there_are() -> None:
    commands = commands_of_units()
    assert len(commands) == 2
    for program, *arguments in commands:
        assert program.endswith("/simvue")
        check_command(arguments)


def test_the_nodes_of_compose_are_started_with_options_that_there_are() -> None:
    nodes = [compose()["services"][name] for name in ("node-1", "node-2")]
    for node in nodes:
        check_command(["server", *node["command"]])
    # They differ in their names and in what they keep for themselves, and in nothing else.
    own = {"hostname", "volumes"}
    rest = [{key: node[key] for key in node.keys() - own} for node in nodes]
    assert rest[0] == rest[1]
    assert [node["hostname"] for node in nodes] == ["node-1", "node-2"]


def test_the_image_starts_a_server() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    words = {
        key: json.loads(line.partition(" ")[2])
        for line in lines
        if (key := line.partition(" ")[0]) in ("ENTRYPOINT", "CMD")
    }
    program, *arguments = words["ENTRYPOINT"] + words["CMD"]
    assert program == "simvue"
    check_command(arguments)


def test_compose_names_only_what_it_has() -> None:
    found = compose()
    for name, service in found["services"].items():
        assert ("image" in service) != ("build" in service), name
        for other in service.get("depends_on", ()):
            assert other in found["services"]
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (DEPLOY / source).exists() or source in found["volumes"], volume
        if build := service.get("build"):
            assert (DEPLOY / build["context"] / build["dockerfile"]).exists()


def test_every_variable_of_compose_is_in_the_example() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    lines = (DEPLOY / "example.env").read_text().splitlines()
    assert asked == {line.partition("=")[0] for line in lines if not line.startswith("#")}


def test_the_balancer_asks_the_nodes_that_there_are() -> None:
    text = (DEPLOY / "Caddyfile").read_text()
    upstreams = re.findall(r"\b([\w-]+):7468\b", text)
    assert upstreams == [name for name in compose()["services"] if name.startswith("node-")]


@pytest.mark.parametrize("place", ["deploy/alerts.yaml", "docs/operating.md"])
def test_every_metric_that_is_named_is_one_that_the_server_has(place: str) -> None:
    named = set(METRIC.findall((ROOT / place).read_text()))
    assert named
    assert named - known_metrics() == set()


def test_every_metric_of_ours_is_explained() -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    families = {family.name for family in prometheus_client.REGISTRY.collect()}
    ours = {name for name in families if name.startswith("simvue_")}
    assert [name for name in sorted(ours) if f"`{name}" not in page] == []


def test_every_alert_is_explained() -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    groups = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"]
    for rule in groups[0]["rules"]:
        assert f"`{rule['alert']}`" in page
        assert rule["expr"]
        assert rule["annotations"]["summary"]


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd-analyze")
    for unit in UNITS:
        # The program is not installed here; that it takes its arguments is another test.
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.M)
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        [analyze, "verify", *(str(tmp_path / unit.name) for unit in UNITS)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # It only warns of a key that it does not know.
    assert "simvue-" not in done.stderr
