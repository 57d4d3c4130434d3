"""What scripts of releases before 1.0 ask, and look for, is answered still."""

from __future__ import annotations

import re

import pytest
from fix_node import Node

from simvue.exception import InvalidValueError, ObjectNotFoundError
from simvue.wire import new_id

pytestmark = pytest.mark.server


@pytest.fixture
def name(node: Node) -> str:
    """The name of a run of three rows, which no other test's has."""
    name = f"heritage-{new_id()}"
    node.simulate(
        f"""
        with Run() as run:
            run.init("{name}", folder="/{name}", tags=["early"], no_color=True)
            for step in range(3):
                run.log_metrics({{"a": step / 2}}, step=step)
            run.log_metrics({{"b": 1}}, step=7)
            run.log_event("first")
            run.log_event("second")
            run.save_object([1], "input", name="one")
        """
    )
    return name


def test_what_client_answered_before_1_0_it_answers_still(node: Node, name: str) -> None:
    client = node.client
    for filters in ([f"/{name}", "early"], [f"folder.path == /{name}", "has tag.early"]):
        [run] = client.get_runs(filters, system=True, tags=True, metadata=True)
        assert (run["name"], run["tags"]) == (name, ["early"])
    assert client.get_runs([f"/{name}", "late"], format="dict") == []
    assert client.get_run(name, tags=True)["tags"] == ["early"]
    rows = [(0, 0.0, name, "a"), (1, 0.5, name, "a"), (2, 1.0, name, "a")]
    assert client.get_metrics(name, "a", "step") == rows
    assert client.get_metrics(name, "a", "step", 0) == rows
    assert client.get_metrics_multiple([name], ["a", "b"], "step") == [*rows, (7, 1, name, "b")]
    assert client.get_metrics(name, "nobody logged it", "step") == []
    summary = client.get_metrics_summaries(name, "a")
    assert (summary["min"], summary["max"], summary["last"]) == (0.0, 1.0, 1.0)
    with pytest.raises(ObjectNotFoundError, match="nobody"):
        client.get_metrics_summaries(name, "nobody")
    with pytest.raises(InvalidValueError, match="dataframe"):
        client.get_metrics(name, "a", "step", format="table")  # type: ignore[arg-type]
    assert [e["message"] for e in client.get_events(name, filter="sec")] == ["second"]
    assert [e["message"] for e in client.get_events(name, start=1, num=5)] == ["second"]
    assert [one.name for one in client.list_artifacts(name, "input")] == ["one"]
    assert list(client.list_artifacts(name, "output")) == []
    assert client.get_alerts(name) == []
    assert len(client.delete_folder(f"/{name}", runs=True) or []) == 1


def test_frames_have_the_columns_that_they_had_before_1_0(node: Node, name: str) -> None:
    pytest.importorskip("pandas")
    one = node.client.get_metrics(name, "a", "step", format="dataframe")
    assert list(one.columns) == ["step", "a"]
    assert one["a"].tolist() == [0.0, 0.5, 1.0]
    many = node.client.get_metrics_multiple([name], ["a", "b"], "step", format="dataframe")
    assert many[(name, "a", "value")].tolist() == [0.0, 0.5, 1.0]
    # Columns are as long as the longest; the rest of a shorter one is nothing.
    assert many[(name, "b", "step")].dropna().tolist() == [7]


def test_what_init_prints_is_what_scripts_look_for(node: Node) -> None:
    said = node.simulate('with Run() as run: run.init("printed")').splitlines()
    lines = [line for line in said if line.startswith("[simvue]")]
    assert len(lines) == 2
    assert "printed" in lines[0]
    address = re.search(r"http\S+/dashboard/runs/run/\w{22}$", lines[1])
    assert address is not None
    path = address.group().removeprefix(node.server.url)
    assert node.server.ask("GET", f"/..{path}").status_code == 200
