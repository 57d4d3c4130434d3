"""The low-level objects against the real server: made, read, changed, listed and deleted."""

import hashlib
from datetime import datetime, timedelta, timezone

import pytest
from fix_proxy import Proxy

from simvue import wire
from simvue.api import request
from simvue.api.objects import (
    Alert,
    Artifact,
    Events,
    EventsAlert,
    FileArtifact,
    FileStorage,
    Folder,
    Grid,
    GridMetrics,
    Metrics,
    MetricsRangeAlert,
    MetricsThresholdAlert,
    ObjectArtifact,
    Run,
    S3Storage,
    Stats,
    Storage,
    Tag,
    Tenant,
    User,
    UserAlert,
    get_folder_from_path,
)
from simvue.api.objects.base import SimvueObject, VisibilityBatchArgs
from simvue.api.objects.run import RunBatchArgs
from simvue.api.url import URL
from simvue.exception import InvalidValueError, ObjectNotFoundError, ServerError, SimvueRunError
from simvue.models import MetricSet

pytestmark = pytest.mark.server


@pytest.fixture(autouse=True)
def configured(server, monkeypatch):
    monkeypatch.setenv("SIMVUE_URL", server.url)
    monkeypatch.setenv("SIMVUE_TOKEN", server.token)


@pytest.fixture
def folder():
    """A folder that no other test has."""
    return f"/objects/{wire.new_id()}"


@pytest.fixture
def run(folder):
    """A run that is running."""
    run = Run.new(folder=folder, status="running", name="objects")
    run.commit()
    return run


# ---- What all objects have ----------------------------------------


def test_what_is_set_is_staged_until_it_is_committed(folder):
    run = Run.new(folder=folder)
    run.name = "staged"
    run.tags = ["a"]
    run.metadata = {"in": {"x": 1}}
    assert run.id is None
    assert run.staged["tags"] == ["a"]
    run.commit()
    assert wire.is_id(run.id)
    assert run.staged == {}
    assert run.commit() is None

    run.metadata = {"in": {"y": 2}}
    assert Run(run.id).metadata == {"in": {"x": 1}}
    run.commit()
    read = Run(identifier=run.id)
    assert read.metadata == {"in": {"x": 1, "y": 2}}
    assert (read.name, read.tags, read.status, read.folder) == ("staged", ["a"], "created", folder)
    assert abs(read.created - datetime.now(timezone.utc)) < timedelta(minutes=1)
    assert read.to_dict()["name"] == "staged"
    assert str(read.url) == f"{read.base_url}/{run.id}"
    assert (Run.label(), Run.endpoint()) == ("run", "runs")
    assert read == run
    assert read._get_attribute("name") == "staged"
    with pytest.raises(KeyError):
        read._get_attribute("nonsense")


def test_a_fetched_object_is_read_only_until_told_otherwise(run):
    read = Run(run.id)
    assert read.is_read_only
    with pytest.raises(AssertionError, match="read_only"):
        read.name = "other"
    with pytest.raises(AttributeError, match="read-only"):
        read.commit()
    read.read_only(False)
    read.description = "now"
    read.commit()
    assert Run(run.id).description == "now"
    with pytest.raises(AttributeError, match="server's"):
        read.created = datetime.now()


def test_a_copy_stays_as_it_was_read_and_a_writable_object_follows(run):
    copy = Run(run.id)
    other = Run(run.id, _read_only=False)
    run.status = "completed"
    run.commit()
    assert copy.status == "running"
    assert other.status == "completed"
    copy.refresh()
    assert copy.status == "completed"


def test_what_does_not_exist_is_not_found_and_what_is_refused_is_a_value_error():
    for kind in (Run, Folder, Tag, Alert, Artifact, Storage, Tenant, User):
        with pytest.raises(ObjectNotFoundError):
            kind(identifier="z" * 22)
    with pytest.raises(ValueError, match="folder"):
        Run.new(folder="no slash").commit()
    with pytest.raises(InvalidValueError):
        Metrics.new(run="invalid_run_id", metrics=[{"values": {"x": 1}}]).commit()


def test_objects_are_not_kept_offline(folder):
    with pytest.raises(SimvueRunError, match="mode='offline'"):
        Run.new(folder=folder, offline=True)


def test_lists_are_filtered_sorted_and_cut(folder):
    names = [f"n{k}" for k in range(105)]
    entries = [RunBatchArgs(name=name, metadata={"k": k}) for k, name in enumerate(names)]
    ids = list(
        Run.batch_create(
            entries,
            folder=folder,
            metadata={"common": True},
            visibility=VisibilityBatchArgs(tenant=True, user=["user01"]),
        )
    )
    assert len(ids) == 105
    inside = [f"folder.path == {folder}"]
    assert set(Run.ids(filters=inside)) == set(ids)
    assert Run.count(filters=inside) == 105
    sorting = [{"column": "name", "descending": True}]
    found = list(Run.get(filters=inside, sorting=sorting, count=3, offset=1))
    assert [run.name for _, run in found] == ["n98", "n97", "n96"]
    assert [identifier for identifier, _ in found] == [ids[98], ids[97], ids[96]]
    one = Run(ids[7])
    assert one.metadata == {"common": True, "k": 7}
    assert (one.visibility.users, one.visibility.tenant, one.visibility.public) == (
        ["user01"],
        True,
        False,
    )
    # As simvue-cli gives them.
    text = f'["folder.path == {folder}", "name == n7"]'
    assert [identifier for identifier, _ in Run.get(filters=text)] == [ids[7]]


def test_a_filter_is_built_call_by_call(folder):
    for name, status in (("a", "running"), ("b", "failed")):
        Run.new(folder=folder, name=name, status=status, metadata={"k": 2}).commit()
    runs = (
        Run.filter()
        .in_folder(folder)
        .has_metadata_value_greater_than("k", 1)
        .created_within(hours=1)
    )
    assert runs.count() == 2
    assert [run.name for _, run in runs.has_failed().get()] == ["b"]
    assert runs.as_list() == [
        f"folder.path == {folder}",
        "metadata.k > 1",
        "created < 1h",
        "status == failed",
    ]
    runs.clear()
    assert runs.as_list() == []
    assert Folder.filter().has_path(folder).count() == 1
    with pytest.raises(ValueError, match="one of hours"):
        runs.created_within()


# ---- Runs, folders, tags ----------------------------------------


def test_a_run_is_aborted_starred_and_seen(run):
    assert run.abort_trigger is False
    run.abort("enough")
    assert run.abort_trigger is True
    run.star = True
    assert Run(run.id).star is True
    run.send_heartbeat()
    run.visibility.public = True
    run.visibility.users = ["user01"]
    run.notifications = "all"
    # Without a zone it is local time, as datetime has it.
    run.started = datetime(2026, 1, 31, 12, 0, 0, 500).astimezone()
    run.endtime = datetime(2026, 1, 31, 13, 0, 0)
    run.commit()
    read = Run(run.id)
    assert (read.visibility.public, read.visibility.users) == (True, ["user01"])
    assert read.notifications == "all"
    assert read.started == datetime(2026, 1, 31, 12, 0, 0, 500).astimezone()
    assert read.endtime == datetime(2026, 1, 31, 13, 0, 0).astimezone()
    assert isinstance(read.runtime, timedelta)
    run.delete()
    with pytest.raises(ObjectNotFoundError):
        Run(run.id)


def test_metrics_and_events_are_sent_and_read(run):
    rows = [MetricSet(step=k, time=k / 2, values={"loss": 1 / (k + 1)}) for k in range(3)]
    Metrics.new(run=run.id, metrics=rows).commit()
    points = [{"step": k, "value": 1 / (k + 1)} for k in range(3)]
    (found,) = Metrics.get(["loss"], "step", [run.id])
    assert found == {run.id: {"loss": points}}
    assert Metrics().names([run.id]) == ["loss"]
    assert Metrics().span([run.id])["max_step"] == 2
    summary = dict(Run(run.id).metrics)["loss"]
    assert (summary["count"], summary["max"]) == (3, 1)

    Events.new(run=run.id, events=[{"message": "one"}, {"message": "two"}]).commit()
    events = list(Events.get(run.id))
    assert [event.message for event in events] == ["one", "two"]
    assert [event.message for event in Events.get(run.id, count=1, offset=1)] == ["two"]
    now = datetime.now(timezone.utc)
    minute = timedelta(minutes=1)
    bars = Events.new(run=run.id, events=[]).histogram(now - minute, now + minute, 60)
    assert sum(bar["count"] for bar in bars) == 2
    with pytest.raises(SimvueRunError, match="delete the run"):
        Events.new(run=run.id, events=[]).delete()


def test_more_rows_than_one_request_takes_are_sent_in_several(run):
    rows = [{"step": k, "values": {"x": k}} for k in range(16_001)]
    Metrics.new(run=run.id, metrics=rows).commit()
    assert dict(Run(run.id).metrics)["x"]["count"] == 16_001


def test_a_folder_that_is_there_is_found_by_commit(folder):
    first = Folder.new(path=f"{folder}/a/b")
    first.description = "inner"
    first.commit()
    again = Folder.new(path=f"{folder}/a/b")
    again.commit()
    assert again.id == first.id
    found = get_folder_from_path(f"{folder}/a/b")
    assert (found.id, found.description, found.star) == (first.id, "inner", False)
    assert get_folder_from_path(folder).tree == {"a": {"b": {}}}
    with pytest.raises(ObjectNotFoundError, match="nowhere"):
        get_folder_from_path(f"{folder}/nowhere")
    run = Run.new(folder=f"{folder}/a/b")
    run.commit()
    deleted = get_folder_from_path(folder).delete(recursive=True, delete_runs=True)
    assert deleted["runs"] == [run.id]


def test_a_tag_has_a_colour(server):
    tag = Tag.new(name=f"t{wire.new_id()}")
    tag.colour = "#ff8000"
    tag.description = "best"
    tag.commit()
    read = Tag(tag.id)
    assert read.colour == "#ff8000"
    assert (read.colour.r, read.colour.g, read.colour.b) == (1, 128 / 255, 0)
    assert read.description == "best"
    same = Tag.new(name=tag.name)
    same.commit()
    assert same.id == tag.id
    assert tag.id in set(Tag.ids())
    tag.delete()
    with pytest.raises(ObjectNotFoundError):
        Tag(tag.id)


# ---- Alerts ----------------------------------------


def alerts(name: str) -> list[SimvueObject]:
    limits = {"window": 2, "frequency": 3, "aggregation": "all"}
    return [
        UserAlert.new(name=name),
        EventsAlert.new(name=name, pattern="diverged", frequency=2),
        MetricsThresholdAlert.new(name=name, metric="x", threshold=0, rule="is above", **limits),
        MetricsRangeAlert.new(
            name=name, metric="x", range_low=0, range_high=1, rule="is outside range", **limits
        ),
    ]


def test_alerts_of_every_kind_are_fetched_as_what_they_are():
    name = f"alert {wire.new_id()}"
    made = alerts(name)
    for alert in made:
        alert.description = "of the test"
        alert.commit()
        fetched = Alert(alert.id)
        assert type(fetched) is type(alert)
        assert (fetched.name, fetched.description, fetched.enabled) == (name, "of the test", True)
        assert (fetched.auto, fetched.abort, fetched.notification) == (False, False, "none")
        assert fetched.compare(alert)
        again = type(alert)(alert.id, _read_only=False)
        again.abort = True
        again.commit()
        assert Alert(alert.id).abort is True
    sorting = [{"column": "created", "descending": True}]
    (newest,) = Alert.ids(count=1, sorting=sorting)
    assert newest == made[-1].id
    kinds = {alert.id: type(alert) for _, alert in Alert.get() if alert.name == name}
    assert kinds == {alert.id: type(alert) for alert in made}
    events, threshold, limits = (Alert(alert.id).alert for alert in made[1:])
    assert (events.pattern, events.frequency) == ("diverged", 2)
    assert (threshold.metric, threshold.threshold, threshold.rule) == ("x", 0, "is above")
    assert (threshold.window, threshold.frequency, threshold.aggregation) == (2, 3, "all")
    assert (limits.range_low, limits.range_high) == (0, 1)
    for alert in made:
        alert.delete()
        with pytest.raises(ObjectNotFoundError):
            Alert(alert.id)


def test_an_alert_of_the_same_definition_is_made_once():
    name = f"alert {wire.new_id()}"
    for first, second in zip(alerts(name), alerts(name), strict=True):
        first.commit()
        second.commit()
        assert first.id == second.id
    with pytest.raises(ValueError, match="not below"):
        MetricsRangeAlert.new(
            name=name, metric="x", range_low=1, range_high=1, rule="is inside range"
        )


def test_a_user_alert_is_raised_in_a_run(run):
    alert = UserAlert.new(name=f"alert {wire.new_id()}")
    alert.commit()
    run.alerts = [alert.id]
    run.commit()
    assert Run(run.id).alerts == [alert.id]
    assert [one["name"] for one in run.get_alert_details()] == [alert.name]
    assert alert.get_status(run.id) is None
    alert.set_status(run.id, "critical")
    assert Alert(alert.id).get_status(run.id) == "critical"


# ---- Artifacts, storages, grids ----------------------------------------


def test_a_file_is_uploaded_attached_and_downloaded(run, tmp_path):
    file = tmp_path / "in.dat"
    content = bytes(range(256)) * 10_000
    file.write_bytes(content)
    artifact = FileArtifact.new(name="in.dat", file_path=file, metadata={"a": 1})
    artifact.commit()
    artifact.attach_to_run(run.id, "input")
    fetched = Artifact(artifact.id)
    assert isinstance(fetched, FileArtifact)
    assert (fetched.size, fetched.uploaded) == (len(content), True)
    assert fetched.checksum == hashlib.sha256(content).hexdigest()
    assert fetched.original_path == str(file)
    assert b"".join(fetched.download_content()) == content
    assert fetched.get_category(run.id) == "input"
    assert list(fetched.runs) == [run.id]
    assert [entry["name"] for entry in run.artifacts] == ["in.dat"]
    # As simvue-cli builds them from a list.
    built = [FileArtifact(**entry, read_only=True) for entry in run.artifacts]
    assert b"".join(built[0].download_content()) == content
    assert [identifier for identifier, _ in Artifact.from_run(run.id, category="input")] == [
        artifact.id
    ]
    assert list(Artifact.from_run(run.id, category="code")) == []
    assert Artifact.from_name(run.id, "in.dat").id == artifact.id
    assert Artifact.from_name(run.id, "none") is None
    second = FileArtifact.new(name="in.dat", file_path=file)
    second.commit()
    assert second.id != artifact.id
    second.attach_to_run(run.id, "input")
    with pytest.raises(RuntimeError, match="several"):
        Artifact.from_name(run.id, "in.dat")
    artifact.delete()
    assert b"".join(Artifact(second.id).download_content()) == content


def test_an_empty_file_is_an_artifact_as_well(run, tmp_path):
    (tmp_path / "empty").touch()
    artifact = FileArtifact.new(name="empty", file_path=tmp_path / "empty")
    artifact.commit()
    assert b"".join(Artifact(artifact.id).download_content()) == b""


def test_an_object_is_uploaded_and_loaded(run):
    artifact = ObjectArtifact.new(name="object", obj={"a": [1, None]})
    artifact.commit()
    artifact.attach_to_run(run.id, "output")
    fetched = Artifact.from_name(run.id, "object")
    assert isinstance(fetched, ObjectArtifact)
    assert (fetched.mime_type, fetched.load()) == ("application/json", {"a": [1, None]})


def test_storages_are_made_and_listed():
    name = f"storage {wire.new_id()}"
    storage = FileStorage.new(name=name, disable_check=True)
    storage.commit()
    fetched = Storage(storage.id)
    assert isinstance(fetched, FileStorage)
    assert (fetched.name, fetched.type, fetched.is_default) == (name, "File", False)
    bucket = S3Storage.new(
        name=f"{name} s3",
        bucket="dns-style",
        endpoint_url="https://s3.example.org/",
        access_key_id="id",
        secret_access_key=b"secret\n",
        region_name="eu-west-2",
        disable_check=True,
        is_enabled=False,
    )
    bucket.commit()
    fetched = Storage(bucket.id)
    assert isinstance(fetched, S3Storage)
    assert fetched.config.bucket == "dns-style"
    assert fetched.config.endpoint_url == "https://s3.example.org/"
    assert "secret" not in str(fetched.to_dict())
    every = list(Storage.ids())
    assert {storage.id, bucket.id} <= set(every)
    assert Storage.count() == len(every)
    assert list(Storage.ids(count=1)) == every[:1]
    assert list(Storage.ids(count=2, offset=1)) == every[1:3]
    assert list(Storage.ids(offset=1)) == every[1:]
    for made in (storage, bucket):
        made.delete()
        with pytest.raises(ObjectNotFoundError):
            Storage(made.id)


def test_a_grid_carries_arrays(run):
    grid = Grid.new(name="plate", grid=[[0, 1, 2], [0, 0.5]], labels=["x", "y"])
    grid.commit()
    fetched = Grid(grid.id)
    assert (fetched.grid, fetched.dimensions) == ([[0.0, 1.0, 2.0], [0.0, 0.5]], (3, 2))
    fetched.attach_metric_for_run(run.id, "heat")
    values = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    row = {"step": 0, "time": 0, "array": values, "grid": grid.id, "metric": "heat"}
    GridMetrics.new(run=run.id, data=[row]).commit()
    found = fetched.get_run_metric_values(run_id=run.id, metric_name="heat", step=0)
    assert found["array"] == values
    assert fetched.get_run_metric_span(run_id=run.id, metric_name="heat")["max_timestamp"]
    (read,) = GridMetrics.get(runs=[run.id], metrics=["heat"], step=0)
    assert read[run.id]["heat"]["array"] == values
    assert len(run.grids) == 1
    with pytest.raises(ValueError, match="ascend"):
        Grid.new(name="plate", grid=[[1, 0]], labels=["x"])


# ---- Who asks ----------------------------------------


def test_stats_and_whoami():
    stats = Stats()
    assert set(stats.whoami()) >= {"user", "tenant"}
    assert stats.runs.created >= stats.runs.completed >= 0
    assert all(counts["runs"] >= 0 for counts in stats.admin_stats().values())


def test_tenants_and_users_are_made_changed_and_deleted():
    name = f"tenant{wire.new_id()}"
    tenant = Tenant.new(name=name, max_runs=10)
    tenant.commit()
    assert (Tenant(tenant.id).max_runs, Tenant(tenant.id).is_enabled) == (10, True)
    assert Tenant.count() >= 2
    user = User.new(
        username=f"u{wire.new_id()}", fullname="Ada L", email="ada@example.org", tenant=tenant.id
    )
    user.commit()
    fetched = User(user.id, _read_only=False)
    assert (fetched.fullname, fetched.enabled, fetched.is_admin) == ("Ada L", True, False)
    fetched.fullname = "Ada Lovelace"
    fetched.commit()
    assert User(user.id).fullname == "Ada Lovelace"
    user.delete()
    tenant.delete()
    with pytest.raises(ObjectNotFoundError):
        Tenant(tenant.id)


# ---- Requests of one's own -----------------------------------------------------------------


@pytest.fixture
def ask(server):
    """A proxy before the server, and the headers that the server wants."""
    proxy = Proxy(server)
    yield proxy, {"Authorization": f"Bearer {server.token}"}
    proxy.close()


def test_a_request_is_made_again_where_a_gateway_answers_or_nobody(ask, monkeypatch):
    monkeypatch.setattr(request, "WAIT_S", 0.001)
    proxy, headers = ask
    proxy.say(2, 503)
    proxy.cut(1)
    answer = request.get(f"{proxy.url}/api/version", headers=headers)
    assert answer.status_code == 200
    assert len(proxy.requests) == 4
    assert "version" in request.get_json_from_response(answer, [200], "the version")
    proxy.say(1, 500)
    assert request.get(f"{proxy.url}/api/version", headers=headers).status_code == 500
    proxy.say(request.ATTEMPTS, 502)
    assert request.get(f"{proxy.url}/api/version", headers=headers).status_code == 502


def test_an_answer_that_is_not_as_expected_is_an_error_in_words(server, ask):
    proxy, headers = ask
    base = URL(proxy.url) / "api"
    created = request.post(base / "folders", headers, data={"path": "/objects/asked"})
    folder = request.get_json_from_response(created, [200, 409], "the folder")["id"]
    changed = request.put(base / "folders" / folder, headers, data={"description": "d"})
    assert changed.status_code == 200
    found = request.get(base / "folders" / folder, headers)
    assert request.get_json_from_response(found, [200], "the folder")["description"] == "d"
    with pytest.raises(ServerError, match="not as expected"):
        request.get_json_from_response(found, [200], "the folder", expected_type=list)
    assert request.delete(base / "folders" / folder, headers).status_code == 200
    with pytest.raises(ObjectNotFoundError):
        request.get_json_from_response(request.get(base / "folders" / folder, headers), [200], "it")
    with pytest.raises(ServerError, match="401"):
        request.get_json_from_response(request.get(base / "runs"), [200], "runs")


def test_a_list_is_asked_for_page_by_page(folder, ask):
    proxy, headers = ask
    entries = [RunBatchArgs(name=f"n{k}") for k in range(105)]
    ids = list(Run.batch_create(entries, folder=folder))
    inside = f'["folder.path == {folder}"]'
    url = f"{proxy.url}/api/runs"
    pages = [page.json()["data"] for page in request.get_paginated(url, headers, filters=inside)]
    assert [len(page) for page in pages] == [100, 5]
    assert {run["id"] for page in pages for run in page} == set(ids)
    (page,) = request.get_paginated(url, headers, filters=inside, count=3, offset=101)
    assert len(page.json()["data"]) == 3
