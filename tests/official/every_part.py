"""Every part of the official client's API, against whatever server the environment names.

Run by an interpreter that has the official ``simvue``, never ours, in an empty directory.
Each part asserts what it sees; the last line printed is JSON: the parts that passed, and the
main run's id.
"""

import contextlib
import datetime
import json
import os
import pathlib
import sys
import tempfile
import time
import uuid

import numpy
import pandas

import simvue
import simvue.api.objects as objects
from simvue.api.objects.administrator import Tenant, User
from simvue.api.objects.run import RunBatchArgs
from simvue.exception import ObjectNotFoundError
from simvue.sender import Sender

TAG = uuid.uuid4().hex[:8]
FOLDER = f"/every/{TAG}"
# What is sent is there within the client's round of a second; this is for a busy machine.
WAIT_S_MAX = 60


def until(what):
    """Ask *what* until it answers something."""
    end = time.monotonic() + WAIT_S_MAX
    while not what():
        assert time.monotonic() < end, f"{what} never came"
        time.sleep(0.1)


def a_run(story):
    """One run that uses each method of Run once."""
    directory = pathlib.Path.cwd()
    (directory / "deck.txt").write_text("mesh 10\n")
    (directory / "solver.py").write_text("print('solved')\n")
    with simvue.Run() as run:
        run.config(
            suppress_errors=False, system_metrics_interval=1, disable_resources_metrics=False
        )
        run.init(
            f"every-{TAG}",
            metadata={"seed": 7, "mesh": {"kind": "hex"}, "nothing": float("nan")},
            tags=[f"every-{TAG}", "first"],
            description="each method once",
            folder=FOLDER,
            notification="error",
            retention_period="1 hour",
            timeout=120,
            visibility="tenant",
            no_color=True,
        )
        story["run"] = run.id
        for step in range(40):
            run.log_metrics(
                {"loss": 1 / (1 + step), "residual/u x": step}, step=step, time=step / 4
            )
        run.log_metrics({"flag": True, "late%": 3}, timestamp=datetime.datetime.now(datetime.UTC))
        run.set_metric_units("loss", units="m/s")
        for level in ("debug", "info", "warning", "error", "critical"):
            run.log_event(f"said at {level}", log_level=level)
        run.assign_metric_to_grid(
            metric_name="field",
            grid_name=f"grid-{TAG}",
            axes_ticks=[[0.0, 0.5, 1.0], [0.0, 1.0]],
            axes_labels=["x", "y"],
        )
        for step in range(3):
            run.log_metrics({"field": numpy.full((2, 3), float(step))}, step=step)
        run.update_metadata({"mesh": {"cells": 10}, "stage": "late"})
        run.update_tags(["second"])
        run.set_folder_details(metadata={"campaign": TAG}, tags=["folder"], description="all of it")
        run.save_file(directory / "deck.txt", category="input", name="deck")
        run.save_file(directory / "solver.py", category="code", name="code/solver.py")
        run.save_object({"answer": 42}, category="output", name="answer")
        run.save_object(numpy.arange(12.0).reshape(3, 4), category="output", name="array")
        run.save_object(pandas.DataFrame({"a": [1, 2]}), category="output", name="frame")
        story["alert"] = run.create_user_alert(f"user-{TAG}", description="by hand")
        run.create_event_alert(f"events-{TAG}", pattern="diverged", frequency=1)
        run.create_metric_threshold_alert(
            f"above-{TAG}", metric="loss", threshold=9, rule="is above", window=1, frequency=1
        )
        run.create_metric_range_alert(
            f"range-{TAG}", metric="loss", range_low=8, range_high=9, rule="is inside range"
        )
        run.log_alert(name=f"user-{TAG}", state="critical")
        run.add_process("hello", "-c", "print('hello')", executable=sys.executable)
        # Taken by a thread of its own, and the first of them with the first heartbeat.
        until(lambda: "resources/" in str(objects.Metrics(_read_only=True).names([run.id])))
    assert objects.Run(story["run"]).status == "completed"


def reading_back(story):
    """Client: each of its getters."""
    client, run = simvue.Client(), story["run"]
    assert client.get_run_id_from_name(f"every-{TAG}") == run
    assert client.get_run_name_from_id(run) == f"every-{TAG}"
    assert client.get_run(run).metadata["mesh"] == {"kind": "hex", "cells": 10}
    found = dict(client.get_runs([f"has tag.every-{TAG}"], metadata=True, output_format="objects"))
    assert list(found) == [run]
    frame = client.get_runs([f"folder.path == {FOLDER}"], output_format="dataframe")
    assert len(frame) == 1
    assert {"loss", "residual/u x", "flag", "late%"} <= set(client.get_metrics_names(run))
    values = client.get_metric_values(["loss"], "step", run_ids=[run])
    assert values["loss"][39, run] == 1 / 40
    frame = client.get_metric_values(["loss"], "time", run_ids=[run], output_format="dataframe")
    assert len(frame) == 40
    several = client.get_metric_values(
        ["loss"], "step", run_filters=[f"has tag.every-{TAG}"], aggregate=True, max_points=5
    )
    assert several
    assert client.plot_metrics([run], ["loss"], "step") is not None
    events = [event["message"] for event in client.get_events(run)]
    assert next(text for text in events if text.startswith("said")) == "said at debug"
    assert len(client.get_events(run, message_contains="said at w")) == 1
    assert set(client.get_alerts(run_id=run, critical_only=True)) == {f"user-{TAG}"}
    # The fifth is of the process that was added.
    assert len(list(client.get_alerts(run_id=run, critical_only=False))) == 4 + 1
    assert f"every-{TAG}" in {tag.name for _, tag in client.get_tags()}
    assert client.get_folder(FOLDER).description == "all of it"
    assert FOLDER in {
        folder.path for _, folder in client.get_folders(filters=[f"path == {FOLDER}"])
    }


def artifacts(story):
    """Files and objects come back as they went."""
    client, run = simvue.Client(), story["run"]
    assert {"deck", "code/solver.py", "answer", "array", "frame"} <= {
        artifact.name for _, artifact in client.list_artifacts(run)
    }
    assert client.get_artifact(run, "answer") == {"answer": 42}
    assert (client.get_artifact(run, "array") == numpy.arange(12.0).reshape(3, 4)).all()
    assert client.get_artifact(run, "frame")["a"].tolist() == [1, 2]
    with tempfile.TemporaryDirectory() as where:
        client.get_artifact_as_file(run, "deck", pathlib.Path(where))
        client.get_artifacts_as_files(run, category="code", output_dir=pathlib.Path(where))
        assert (pathlib.Path(where) / "deck").read_text() == "mesh 10\n"
        assert (pathlib.Path(where) / "code/solver.py").read_text() == "print('solved')\n"
    deck = objects.Artifact.from_name(run, "deck")
    assert deck.size == len("mesh 10\n")
    assert b"".join(deck.download_content()) == b"mesh 10\n"
    assert len(dict(objects.Artifact.from_run(run, category="output"))) >= 3
    lone = objects.ObjectArtifact.new(
        name=f"lone-{TAG}", obj=[1, 2], storage=None, metadata={"k": 1}
    )
    lone.attach_to_run(run, "input")
    assert lone.id in dict(objects.Artifact.from_run(run, category="input"))
    lone.delete()
    with contextlib.suppress(ObjectNotFoundError):
        objects.Artifact(lone.id).to_dict()
        raise AssertionError("a deleted artifact is still there")


def runs_as_objects(story):
    """Run: each property, filters, sorting, star, heartbeat, abort, batches."""
    objects.Folder.new(path=f"{FOLDER}/low").commit()
    run = objects.Run.new(folder=f"{FOLDER}/low")
    run.name, run.description, run.tags = f"low-{TAG}", "by hand", ["low"]
    run.metadata, run.ttl, run.heartbeat_timeout = {"depth": 3}, 3600, 60
    run.notifications, run.status = "all", "running"
    run.commit()
    assert run.status == "running"
    assert run.runtime is not None
    assert run.started is not None
    assert (run.ttl, run.heartbeat_timeout, run.notifications) == (3600, 60, "all")
    run.send_heartbeat()
    run.read_only(False)
    run.star = True
    run.commit()
    assert run.star
    assert not run.abort_trigger
    run.abort(reason="enough")
    assert run.abort_trigger
    assert run.get_visibility() == {"users": [], "tenant": False, "public": False}
    assert (list(run.metrics), list(run.artifacts), list(run.grids)) == ([], [], [])
    for found in (
        objects.Run.filter().has_name(f"low-{TAG}").starred(),
        objects.Run.filter().in_folder(f"{FOLDER}/low").owner(),
        objects.Run.filter()
        .has_tag("low")
        .has_metadata_value("depth", 3)
        .in_folder_containing(TAG),
        objects.Run.filter()
        .has_metadata_value_greater_than("depth", 2.5)
        .in_folder_containing(TAG),
        objects.Run.filter().is_running().created_within(hours=1).in_folder_containing(TAG),
    ):
        assert found.count() == 1, found.as_list()
    critical = objects.Run.filter().has_alert(f"user-{TAG}", is_critical=True)
    assert dict(critical.get()).keys() == {story["run"]}
    made = list(
        objects.Run.batch_create(
            [RunBatchArgs(name=f"batch-{TAG}-{i}", status="completed") for i in range(25)],
            folder=f"{FOLDER}/batch",
            metadata={"batch": TAG},
        )
    )
    assert len(made) == 25
    ordered = objects.Run.get(
        filters=json.dumps([f"metadata.batch == {TAG}"]),
        sorting=[{"column": "name", "descending": True}],
    )
    assert next(one.name for _, one in ordered) == f"batch-{TAG}-9"
    run.status = "terminated"
    run.commit()
    run.delete()
    with contextlib.suppress(ObjectNotFoundError):
        objects.Run(run.id).to_dict()
        raise AssertionError("a deleted run is still there")


def rows_as_objects(story):
    """Metrics, Events, GridMetrics by hand: written, named, spanned, counted."""
    run = objects.Run.new(folder=FOLDER)
    run.commit()
    now = datetime.datetime.now(datetime.UTC)
    stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%f")
    rows = [{"timestamp": stamp, "time": i - 1, "step": i, "values": {"a": i}} for i in range(5)]
    objects.Metrics.new(run=run.id, metrics=rows).commit()
    said = [{"timestamp": stamp, "message": f"m{i}"} for i in range(3)]
    events = objects.Events.new(run=run.id, events=said)
    events.commit()
    metrics = objects.Metrics(_read_only=True)
    assert metrics.names([run.id]) == ["a"]
    span = metrics.span([run.id])
    assert (span["min_step"], span["max_step"], span["min_time"]) == (0, 4, -1)
    assert [event.message for event in objects.Events.get(run.id)] == ["m0", "m1", "m2"]
    minute = datetime.timedelta(minutes=1)
    bars = events.histogram(now - minute, now + minute, 60, None)
    assert sum(bar["count"] for bar in bars) == 3
    grid = objects.Grid.new(name=f"line-{TAG}", grid=[[0.0, 1.0, 2.0]], labels=["x"])
    grid.commit()
    grid.attach_metric_for_run(run.id, "line")
    row = {"timestamp": stamp, "time": 0, "step": 0, "array": [1.0, 2.0, 3.0], "grid": grid.id}
    objects.GridMetrics.new(run=run.id, data=[{**row, "metric": "line"}]).commit()
    assert grid.get_run_metric_values(run_id=run.id, metric_name="line", step=0)["array"] == [
        1,
        2,
        3,
    ]
    assert grid.get_run_metric_span(run_id=run.id, metric_name="line")["max_timestamp"]
    run.delete()


def folders_and_tags(story):
    """Folder: tree, details, recursive deletion.  Tag: all of it."""
    for path in ("a", "a/b", "a/b/c"):
        objects.Folder.new(path=f"{FOLDER}/tree/{path}").commit()
    ((_, folder),) = objects.Folder.filter().has_path(f"{FOLDER}/tree/a").get()
    folder.read_only(False)
    folder.description, folder.tags, folder.metadata = "of trees", ["wood"], {"leaves": 3}
    folder.ttl, folder.star = 3600, True
    folder.commit()
    folder.refresh()
    assert (folder.description, folder.tags, folder.ttl) == ("of trees", ["wood"], 3600)
    assert folder.star
    assert folder.metadata["leaves"] == 3
    assert folder.tree
    assert objects.Folder.filter().has_path(f"{FOLDER}/tree/a").starred().count() == 1
    folder.delete(recursive=True, delete_runs=True)
    assert not list(objects.Folder.filter().has_path_containing(f"{FOLDER}/tree/a").get())
    tag = objects.Tag.new(name=f"tag-{TAG}")
    tag.commit()
    tag.colour, tag.description = "red", "a colour"
    tag.commit()
    assert simvue.Client().get_tag(tag.id).name == f"tag-{TAG}"
    simvue.Client().delete_tag(tag.id)


def alerts(story):
    """Alert: each kind by hand, its state for a run, its end."""
    common = {"description": "by hand", "notification": "none"}
    made = [
        objects.UserAlert.new(name=f"u-{TAG}", **common),
        objects.EventsAlert.new(name=f"e-{TAG}", pattern="x", frequency=1, **common),
        objects.MetricsThresholdAlert.new(
            name=f"t-{TAG}", metric="a", threshold=1.5, rule="is below", window=1, frequency=1,
            aggregation="average", **common,
        ),
        objects.MetricsRangeAlert.new(
            name=f"r-{TAG}", metric="a", range_low=1, range_high=2, rule="is outside range",
            window=1, frequency=1, aggregation="all", **common,
        ),
    ]  # fmt: skip
    for alert in made:
        alert.commit()
        assert objects.Alert(alert.id).name == alert.name
    made[0].set_status(story["run"], "ok")
    assert made[0].get_status(story["run"]) == "ok"
    made[0].read_only(False)
    made[0].description = "changed"
    made[0].commit()
    assert objects.Alert(made[0].id).description == "changed"
    assert made[2].alert.threshold == 1.5
    assert {alert.id for alert in made} <= {found for found, _ in objects.Alert.get()}
    for alert in made:
        simvue.Client().delete_alert(alert.id)


def administration(story):
    """Storages, tenants, users, statistics."""
    flags = {"is_tenant_useable": True, "is_enabled": False, "is_default": False}
    disk = objects.FileStorage.new(name=f"disk-{TAG}", disable_check=True, **flags)
    disk.commit()
    cloud = objects.S3Storage.new(
        name=f"cloud-{TAG}", disable_check=True, endpoint_url="https://objects.invalid/",
        region_name="here", access_key_id="key", secret_access_key="secret", bucket="bucket",
        **flags,
    )  # fmt: skip
    cloud.commit()
    found = dict(objects.Storage.get())
    assert {disk.id, cloud.id} <= set(found)
    assert objects.Storage(cloud.id).config.bucket == "bucket"
    disk.delete()
    cloud.delete()
    tenant = Tenant.new(name=f"tenant-{TAG}", max_runs=10)
    tenant.commit()
    user = User.new(
        username=f"user{TAG}", fullname="Some Body", email=f"{TAG}@example.com", is_manager=False,
        is_admin=False, is_readonly=True, welcome=False, tenant=tenant.id,
    )  # fmt: skip
    user.commit()
    assert User(user.id).is_readonly
    assert Tenant(tenant.id).max_runs == 10
    user.delete()
    tenant.delete()
    stats = objects.Stats()
    assert stats.runs.created > 0
    assert stats.whoami()["user"]
    assert stats.admin_stats()


def reconnecting(story):
    """A run made in advance, found again, asked to stop."""
    with simvue.Run() as run:
        run.config(disable_resources_metrics=True)
        run.init(f"later-{TAG}", folder=FOLDER, running=False)
        run.update_metadata({"planned": True})
        story["later"] = run.id
    with simvue.Run() as run:
        run.config(disable_resources_metrics=True)
        run.reconnect(story["later"])
        run.log_metrics({"a": 2})
        run.set_status("failed")
    assert objects.Run(story["later"]).status == "failed"


def offline(story):
    """A run without a server, sent afterwards."""
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SIMVUE_OFFLINE_DIRECTORY"] = cache
        try:
            with simvue.Run(mode="offline") as run:
                run.config(disable_resources_metrics=True)
                run.init(
                    f"offline-{TAG}", folder=f"{FOLDER}/offline", tags=["off"], metadata={"a": 1}
                )
                for step in range(10):
                    run.log_metrics({"a": step}, step=step)
                run.log_event("said offline")
                run.create_user_alert(f"off-{TAG}")
                run.save_object([1, 2, 3], category="output", name="list")
            sender = Sender(cache_directory=cache, throw_exceptions=True)
            sender.upload()
        finally:
            del os.environ["SIMVUE_OFFLINE_DIRECTORY"]
    client = simvue.Client()
    found = client.get_run_id_from_name(f"offline-{TAG}")
    assert dict(client.get_run(found).metrics)["a"]["count"] == 10
    assert [event["message"] for event in client.get_events(found)] == ["said offline"]
    assert client.get_artifact(found, "list") == [1, 2, 3]


def leaving(story):
    """What is deleted is gone."""
    client = simvue.Client()
    client.abort_run(story["later"], reason="the end")
    client.delete_run(story["later"])
    assert client.delete_runs(FOLDER)
    assert client.delete_folder(FOLDER, recursive=True, remove_runs=True)
    assert client.get_folder(FOLDER) is None


PARTS = (
    a_run, reading_back, artifacts, runs_as_objects, rows_as_objects, folders_and_tags, alerts,
    administration, reconnecting, offline, leaving,
)  # fmt: skip


if __name__ == "__main__":
    story = {}
    passed = []
    for part in PARTS:
        print(f"part {part.__name__}", flush=True)
        part(story)
        passed.append(part.__name__)
    print(json.dumps({"passed": passed, **story}))
