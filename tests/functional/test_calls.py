"""What a run does beside logging: alerts, its folder, units, grids and the arrays on them."""

from __future__ import annotations

from typing import Any

from fix_node import Node
from fix_server import Server

from simvue.calls import deliver_call
from simvue.delivery import Outcome
from simvue.remote import Remote
from simvue.wire import new_id

BEGIN = """
run = Run()
run.init({name!r}, folder="/calls/{name}", timeout=None)
print(run.id, flush=True)
"""


def attached(node: Node, run: str) -> list[dict[str, Any]]:
    """Return the alerts of a run, as the server has them, by name."""
    ids = [entry["alert"]["id"] for entry in node.server.get(f"/runs/{run}")["alerts"]]
    found = [{**node.server.get(f"/alerts/{alert}"), "id": alert} for alert in ids]
    return sorted(found, key=lambda alert: str(alert["name"]))


def run_of(output: str) -> str:
    """Return the id that the simulation printed."""
    return next(line for line in output.splitlines() if line.isalnum() and len(line) == 22)


# ---- Alerts --------------------------------------------------------------------------------------


def test_each_kind_of_alert_reaches_the_server_under_the_id_that_was_returned(node: Node) -> None:
    output = node.simulate(
        BEGIN.format(name="four")
        + """
ids = [
    run.create_metric_threshold_alert("a-hot", "temperature", 350.5, "is above", window=3),
    run.create_metric_range_alert("b-band", "p*", -1, 1, "is outside range", frequency=2,
                                  aggregation="all", notification="email", trigger_abort=True),
    run.create_event_alert("c-nan", "NaN", description="it diverged"),
    run.create_user_alert("d-mine"),
]
run.create_user_alert("e-elsewhere", attach_to_run=False)
run.log_alert(ids[3], state="ok")
run.close()
print(*ids)
"""
    )
    ids = output.split()[-4:]
    run = run_of(output)
    hot, band, nan, mine = attached(node, run)
    assert [hot["id"], band["id"], nan["id"], mine["id"]] == ids
    assert hot["alert"] == {
        "metric": "temperature", "threshold": 350.5, "rule": "is above",
        "window": 3, "frequency": 1, "aggregation": "average",
    }  # fmt: skip
    assert (band["alert"]["window"], band["abort"], band["notification"]) == (2, True, "email")
    assert (nan["source"], nan["description"]) == ("events", "it diverged")
    assert nan["alert"]["pattern"] == "NaN"
    assert mine["source"] == "user"
    assert node.server.get(f"/alerts/{ids[3]}/status/{run}")["status"] == "ok"


def test_equal_alerts_of_two_runs_are_one_on_the_server(node: Node) -> None:
    runs = [
        run_of(node.simulate(BEGIN.format(name=name) + """
run.create_metric_threshold_alert("shared", "x", 1, "is below")
run.create_metric_threshold_alert("shared", "x", 1, "is below")
run.close()
"""))
        for name in ("one", "two")
    ]  # fmt: skip
    first, second = (attached(node, run) for run in runs)
    assert len(first) == 1
    assert [alert["id"] for alert in first] == [alert["id"] for alert in second]


def test_an_alert_that_the_server_has_under_another_id_is_taken(node: Node) -> None:
    """Somebody made an equal one with another client; what the run does goes to that."""
    theirs = node.server.post(
        "/alerts?deduplicate=True",
        {
            "name": "theirs",
            "description": None,
            "notification": "none",
            "enabled": True,
            "abort": False,
            "source": "user",
        },
    )["id"]
    run = run_of(node.simulate(BEGIN.format(name="meets") + """
run.log_alert(run.create_user_alert("theirs"), state="critical")
run.close()
"""))  # fmt: skip
    assert [alert["id"] for alert in attached(node, run)] == [theirs]
    assert node.server.get(f"/alerts/{theirs}/status/{run}")["status"] == "critical"


def test_alerts_are_attached_and_set_by_name_also_from_offline(node: Node) -> None:
    made = node.server.post(
        "/alerts", {"name": "by-name", "notification": "none", "source": "user", "enabled": True}
    )["id"]
    output = node.simulate("""
run = Run(mode="offline")
run.init("named")
run.add_alerts(names=["by-name"])
run.log_alert(name="by-name", state="critical")
print(run.id)
run.close()
""")
    run = run_of(output)
    node.command("ship")
    assert [alert["id"] for alert in attached(node, run)] == [made]
    assert node.server.get(f"/alerts/{made}/status/{run}")["status"] == "critical"


def test_a_name_that_no_alert_has_is_told_and_holds_up_nothing(node: Node) -> None:
    output = node.simulate(
        BEGIN.format(name="lonely")
        + """
run.add_alerts(names=["no such alert"])
run.update_metadata({"after": 1})
print("closed", run.close())
"""
    )
    assert "no alert is named 'no such alert'" in output
    assert "closed True" in output
    assert node.server.get(f"/runs/{run_of(output)}")["metadata"]["after"] == 1


# ---- Folder and units ---------------------------------------------------------------------------


def test_the_folder_is_described_by_either_generation_of_arguments(node: Node) -> None:
    output = node.simulate(
        BEGIN.format(name="folder")
        + """
run.set_folder_details(metadata={"a": 1}, tags=["t"], description="of the run")
run.set_folder_details("/calls/elsewhere", {"b": 2}, ["s"], "by position")
run.set_folder_details({"c": 3})
run.close()
"""
    )
    assert run_of(output)
    folders = {
        path: node.server.get("/folders", filters=f'["path == {path}"]', count=10, start=0)["data"]
        for path in ("/calls/folder", "/calls/elsewhere")
    }
    (own,), (other,) = folders.values()
    assert (own["metadata"], own["tags"], own["description"]) == (
        {"a": 1, "c": 3},
        ["t"],
        "of the run",
    )
    assert (other["metadata"], other["tags"], other["description"]) == (
        {"b": 2},
        ["s"],
        "by position",
    )


def test_units_are_metadata_said_before_init_or_later(node: Node) -> None:
    output = node.simulate("""
run = Run()
run.set_metric_units("u", units="km/h", mks_unit="m/s", mks_conversion=0.2778)
run.init("units")
run.set_metric_units("p", units="Pa")
run.close()
print(run.id)
""")
    metrics = node.server.get(f"/runs/{run_of(output)}")["metadata"]["simvue"]["metrics"]
    assert metrics == {
        "u": {"units": "km/h", "mks_units": "m/s", "mks_conversion": 0.2778},
        "p": {"units": "Pa", "mks_units": None, "mks_conversion": None},
    }


# ---- Grids ------------------------------------------------------------------------------------


def test_arrays_lie_on_their_grid_beside_the_numbers_of_the_same_step(node: Node) -> None:
    output = node.simulate(
        BEGIN.format(name="grids")
        + """
import numpy as np
run.assign_metric_to_grid(metric_name="T", grid_name="plate",
                          axes_ticks=[[0, 1, 2], np.array([0.0, 0.5])], axes_labels=["x", "y"])
run.assign_metric_to_grid(metric_name="p", grid_name="plate")
for step in range(3):
    T = np.arange(6.0).reshape(2, 3) + step
    print(run.log_metrics({"T": T, "p": -T, "x": float(step)}, step=10 * step, time=0.5 * step))
run.log_metrics({"x": 3.0})
print("grids", *run._grids)
print("closed", run.close())
"""
    )
    assert output.count("True") == 4, output
    run = run_of(output)
    assert "grids T p" in output
    assert "closed True" in output
    assert node.steps(run) == [0, 10, 20, 3]
    values = node.server.get(f"/runs/{run}/metrics/T/values", step=20)
    assert values["array"] == [[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]]
    assert node.server.get(f"/runs/{run}/metrics/p/values", step=0)["array"][1][2] == -5.0
    (span,) = node.server.get(f"/runs/{run}/metrics/T/span")
    assert (span["min_step"], span["max_step"], span["max_time"]) == (0, 20, 1.0)


def test_an_array_without_a_grid_is_given_one_and_the_step_goes_on(node: Node) -> None:
    output = node.simulate(
        BEGIN.format(name="default")
        + """
import numpy as np
for _ in range(2):
    run.log_metrics({"field": np.array([1, 2, 3])})
run.log_metrics({"x": 1.0})
for bad in ({"field": np.zeros(4)}, {"field": np.zeros(3), "y": "text"}, {"z": [1.0]}):
    try:
        run.log_metrics(bad)
    except ValueError as error:
        print("refused:", error)
print(run.log_metrics({"huge": np.zeros((300, 300))}))
run.close()
"""
    )
    run = run_of(output)
    assert output.count("metric field is an array without a grid") == 1
    assert output.count("refused:") == 3
    assert "an array of 90000 elements is not recorded; 50000 are allowed" in output
    assert node.steps(run) == [2]
    for step in range(2):
        values = node.server.get(f"/runs/{run}/metrics/field/values", step=step)
        assert values["array"] == [1.0, 2.0, 3.0]
    (span,) = node.server.get(f"/runs/{run}/metrics/field/span")
    assert span["max_step"] == 1


def test_a_call_of_a_newer_version_is_set_aside_and_holds_up_nothing(server: Server) -> None:
    """A spool may be sent by an older program than wrote it."""
    reply = deliver_call(Remote(server.url, server.token), new_id(), {"call": "teleport"})
    assert reply.outcome is Outcome.REJECTED
    assert "newer simvue" in reply.detail
    assert "teleport" in reply.detail
