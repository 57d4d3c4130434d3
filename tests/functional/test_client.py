"""Client against the real server: what was logged is what is read."""

import math
from datetime import datetime, timezone

import pytest

import simvue
from simvue import wire
from simvue.exception import (
    ConfigurationError,
    InvalidValueError,
    ObjectNotFoundError,
    ServerError,
    UnauthorisedError,
)
from simvue.remote import Remote

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def client(server):
    with simvue.Client(server_url=server.url, server_token=server.token) as client:
        yield client


def row(step: int, values: dict, time: float | None = None) -> dict:
    """A row logged *step* seconds after noon of a day."""
    moment = wire.parse_timestamp("2026-01-31T12:00:00.000000") + step * 1_000_000
    return {
        "step": step,
        "time": float(step) if time is None else time,
        "timestamp": wire.format_timestamp(moment),
        "values": values,
    }


@pytest.fixture
def name(request):
    """A name no other test's run has."""
    return f"client {wire.new_id()}"


# ---- The door ------------------------------------------------------------


def test_client_needs_an_address_and_a_token():
    with pytest.raises(ConfigurationError, match="SIMVUE_URL"):
        simvue.Client()
    with pytest.raises(ConfigurationError, match="SIMVUE_TOKEN"):
        simvue.Client(server_url="http://localhost:1")


def test_a_refused_token_says_where_it_came_from_and_not_what_it_is(server, monkeypatch):
    monkeypatch.setenv("SIMVUE_TOKEN", "tk-wrong-123")
    with simvue.Client(server_url=server.url) as client:
        with pytest.raises(UnauthorisedError, match="variable SIMVUE_TOKEN") as caught:
            client.get_metrics_names("a" * 22)
        assert "tk-wrong-123" not in str(caught.value)


# ---- Runs ------------------------------------------------------------


def test_a_run_is_a_mapping_whose_keys_are_attributes(server, client, name):
    run_id = server.new_run(
        name=name,
        folder="/client/runs",
        tags=["a", "b"],
        description="of the test",
        metadata={"beta": 2.5, "nested": {"k": None}},
    )
    with Remote(server.url, server.token) as remote:
        remote.put(f"/runs/{run_id}", {"metadata": {"bad": math.nan}})
    run = client.get_run(run_id)
    assert run.id == run["id"] == run_id
    assert (run.name, run.status, run.folder) == (name, "running", "/client/runs")
    assert run.tags == ["a", "b"]
    assert run.description == "of the test"
    assert run.metadata["nested"] == {"k": None}
    assert math.isnan(run.metadata["bad"])
    assert dict(run)["metadata"]["beta"] == 2.5
    assert isinstance(run["created"], str)
    assert run.created.tzinfo is timezone.utc
    assert abs((datetime.now(timezone.utc) - run.started).total_seconds()) < 60
    assert run.endtime is None
    assert "name" in dir(run)
    with pytest.raises(AttributeError, match="RunRecord has no 'nmae'"):
        _ = run.nmae


def test_a_run_is_found_by_its_id_and_by_its_name(server, client, name):
    run_id = server.new_run(name=name)
    assert client.get_run_id_from_name(name) == run_id
    assert client.get_run_name_from_id(run_id) == name
    assert client.get_run(name).id == run_id
    assert client.get_metrics_names(name) == []


def test_a_name_of_several_runs_is_refused_with_their_ids(server, client, name):
    ids = {server.new_run(name=name) for _ in range(3)}
    for ask in (client.get_run_id_from_name, client.get_run, client.get_events):
        with pytest.raises(InvalidValueError, match="several runs") as caught:
            ask(name)
        assert all(run_id in str(caught.value) for run_id in ids)


def test_a_run_that_does_not_exist_is_not_found(client):
    for run in ("z" * 22, "no run is called so"):
        with pytest.raises(ObjectNotFoundError, match=run):
            client.get_run(run)
    # As the official client has it: for scripts that catch RuntimeError here.
    with pytest.raises(RuntimeError, match="no run is called"):
        client.get_run_id_from_name("no run is called so")


def test_get_runs_yields_every_run_that_fulfils_the_filters_once(server, client):
    """More than one page: 105 runs of which every fifth has the tag."""
    folder = f"/client/{wire.new_id()}"
    runs = [
        {"name": f"n{k}", "folder": folder, "status": "created", "tags": ["t"] * (k % 5 == 0)}
        for k in range(105)
    ]
    ids = [run["id"] for run in server.post("/runs", runs)]
    within = f"folder.path == {folder}"
    assert dict(client.get_runs([within], count_limit=None)).keys() == set(ids)
    tagged = dict(client.get_runs([within, "has tag.t"]))
    assert tagged.keys() == set(ids[::5])
    assert all(run.tags == ["t"] for run in tagged.values())
    assert len(list(client.get_runs([within]))) == 100
    order = [("name", True)]
    page = client.get_runs([within], count_limit=3, start_index=2, sort_by_columns=order)
    expected = sorted((f"n{k}" for k in range(105)), reverse=True)[2:5]
    assert [run.name for _, run in page] == expected
    assert len(list(client.get_runs([within], show_shared=False, count_limit=None))) == 105


def test_get_runs_as_dicts_and_as_a_frame(server, client):
    folder = f"/client/{wire.new_id()}"
    for beta in (1, 2):
        server.new_run(name=f"b{beta}", folder=folder, metadata={"beta": beta, "in": {"x": beta}})
    filters = [f"folder.path == {folder}"]
    order = [("name", False)]
    dicts = client.get_runs(filters, output_format="dict", sort_by_columns=order)
    assert [(run["name"], run["metadata"]["beta"]) for run in dicts] == [("b1", 1), ("b2", 2)]
    pytest.importorskip("pandas")
    frame = client.get_runs(filters, output_format="dataframe", sort_by_columns=order)
    assert list(frame["name"]) == ["b1", "b2"]
    assert list(frame["metadata.in.x"]) == [1, 2]


@pytest.mark.parametrize(
    "arguments",
    [
        {"output_format": "xml"},
        {"filters": "status == running"},
        {"filters": [3]},
        {"count_limit": 0},
    ],
)
def test_get_runs_refuses_wrong_arguments_before_it_asks(client, arguments):
    with pytest.raises(InvalidValueError):
        client.get_runs(**arguments)


def test_a_filter_that_the_server_cannot_read_is_its_answer_in_words(client):
    with pytest.raises(ServerError) as caught:
        list(client.get_runs(["status =="]))
    assert 400 <= caught.value.status < 500


def test_abort_run_raises_the_flag_that_the_run_will_see(server, client):
    run_id = server.new_run()
    assert server.get(f"/runs/{run_id}/abort") == {"status": False}
    client.abort_run(run_id, "enough")
    assert server.get(f"/runs/{run_id}/abort") == {"status": True}


def test_a_deleted_run_is_gone(server, client, name):
    run_id = server.new_run(name=name)
    assert not client.delete_run(name)
    with pytest.raises(ObjectNotFoundError):
        client.get_run(run_id)


# ---- Metrics ------------------------------------------------------------


def test_metric_values_as_a_dict_keyed_by_x_and_run(server, client):
    one, two = server.new_run(name="values of one"), server.new_run(name="values of two")
    server.send_rows(one, [row(0, {"a": 1.0, "b": 5}), row(1, {"a": 1.5})])
    server.send_rows(two, [row(1, {"a": 2.5}), row(0, {"a": 2.0}, time=0.25)])
    assert client.get_metrics_names(one) == ["a", "b"]

    values = client.get_metric_values(["a", "b", "none"], "step", run_ids=[one, two])
    assert values == {
        "a": {(0, one): 1.0, (0, two): 2.0, (1, one): 1.5, (1, two): 2.5},
        "b": {(0, one): 5},
    }
    assert [x for x, _ in values["a"]] == [0, 0, 1, 1]
    named = client.get_metric_values(["a"], "time", run_ids=["values of two"], use_run_names=True)
    assert named == {"a": {(0.25, "values of two"): 2.0, (1.0, "values of two"): 2.5}}
    stamped = client.get_metric_values(["b"], "timestamp", run_ids=[one])
    assert stamped == {"b": {("2026-01-31T12:00:00.000000", one): 5}}


def test_metric_values_of_the_runs_that_a_filter_finds(server, client):
    folder = f"/client/{wire.new_id()}"
    runs = [server.new_run(name=f"r{k}", folder=folder) for k in range(3)]
    for k, run in enumerate(runs):
        server.send_rows(run, [row(0, {"a": k})])
    filters = [f"folder.path == {folder}"]
    values = client.get_metric_values(["a"], "step", run_filters=filters, use_run_names=True)
    assert values == {"a": {(0, "r0"): 0, (0, "r1"): 1, (0, "r2"): 2}}


def test_metric_values_aggregated_over_runs(server, client):
    runs = [server.new_run() for _ in range(2)]
    for k, run in enumerate(runs):
        server.send_rows(run, [row(0, {"a": 1.0 + 2 * k})])
    values = client.get_metric_values(["a"], "step", run_ids=runs, aggregate=True)
    assert values == {"a": {(0, "average"): 2.0, (0, "min"): 1.0, (0, "max"): 3.0}}
    pytest.importorskip("pandas")
    frame = client.get_metric_values(
        ["a"], "step", run_ids=runs, aggregate=True, output_format="dataframe"
    )
    assert frame.index.name == "step"
    assert frame.loc[0, ("a", "max")] == 3.0


def test_metric_values_as_a_frame_indexed_by_x_and_run(server, client):
    pytest.importorskip("pandas")
    run = server.new_run()
    server.send_rows(run, [row(2, {"a": 1.0, "b": 9}), row(0, {"a": 0.5})])
    frame = client.get_metric_values(["a", "b"], "step", run_ids=[run], output_format="dataframe")
    assert list(frame.index.names) == ["step", "run"]
    assert list(frame.index.levels[0]) == [0, 2]
    assert frame["a"].tolist() == [0.5, 1.0]
    assert frame.loc[(2, run), "b"] == 9
    assert math.isnan(frame.loc[(0, run), "b"])


def test_nothing_found_is_none(server, client):
    run = server.new_run()
    assert client.get_metric_values(["a"], "step", run_ids=[run]) is None
    assert client.get_metric_values(["a"], "step", run_ids=[]) is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"metric_names": []},
        {"metric_names": "loss"},
        {"xaxis": "epoch"},
        {"run_ids": ["a" * 22], "run_filters": ["starred"]},
        {"xaxis": "timestamp", "aggregate": True},
        {"max_points": 0},
        {"output_format": "xml"},
    ],
)
def test_get_metric_values_refuses_wrong_arguments(client, arguments):
    with pytest.raises(InvalidValueError):
        client.get_metric_values(**{"metric_names": ["a"], "xaxis": "step", **arguments})


def test_a_series_has_every_row_exactly_as_it_was_logged(server, client):
    """Repeated steps, exact integers, booleans, numbers that are not finite, any order."""
    run = server.new_run()
    values = [0.1, 2**53 + 1, True, -(2**63), 2**64 - 1, math.nan, -math.inf, False, -0.0]
    steps = [0, 5, 5, 3, 2**63 - 1, 6, 7, 8, 9]
    rows = [
        row(0, {"m": v}, time=k / 8) | {"step": s}
        for k, (v, s) in enumerate(zip(values, steps, strict=True))
    ]
    server.send_rows(run, rows, writer=wire.new_id())
    series = client.get_series(run, "m")
    assert len(series) == 9
    assert list(series.step) == steps
    assert list(series.time) == [k / 8 for k in range(9)]
    noon = wire.parse_timestamp("2026-01-31T12:00:00.000000")
    assert list(series.timestamp) == [noon] * 9
    assert [type(v) for v in series.values] == [type(v) for v in values]
    assert [v for v in series.values if v == v] == [v for v in values if v == v]
    assert math.copysign(1, series.values[8]) == -1
    assert repr(series) == "Series('m', 9 rows)"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.5, math.inf], float),
        ([1, -(2**63)], int),
        ([2**63, 2**64 - 1], int),
        ([True, False], bool),
    ],
)
def test_a_series_of_one_kind_keeps_it(server, client, values, kind):
    run = server.new_run()
    server.send_rows(run, [row(k, {"m": v}) for k, v in enumerate(values)])
    series = client.get_series(run, "m")
    assert list(series.values) == values
    assert all(type(value) is kind for value in series.values)


def test_a_series_becomes_arrays_and_a_frame(server, client):
    np = pytest.importorskip("numpy")
    run = server.new_run()
    server.send_rows(run, [row(k, {"f": k / 2, "i": k, "m": k if k else 0.5}) for k in range(4)])
    columns = client.get_series(run, "f").to_numpy()
    assert columns["values"].dtype == np.float64
    assert columns["values"].tolist() == [0.0, 0.5, 1.0, 1.5]
    assert columns["step"].tolist() == [0, 1, 2, 3]
    assert client.get_series(run, "i").to_numpy()["values"].dtype == np.int64
    assert client.get_series(run, "m").to_numpy()["values"].tolist() == [0.5, 1.0, 2.0, 3.0]
    pytest.importorskip("pandas")
    frame = client.get_series(run, "i").to_dataframe()
    assert list(frame.columns) == ["step", "time", "timestamp", "values"]
    assert frame["values"].tolist() == [0, 1, 2, 3]
    assert frame["timestamp"][1] == datetime(2026, 1, 31, 12, 0, 1, tzinfo=timezone.utc)


def test_a_series_cut_to_buckets_loses_no_extreme(server, client):
    """10,000 rows in at most 100 buckets: every row is counted, and one spike stays visible."""
    run = server.new_run()
    spike = 7777
    rows = [row(k, {"m": 1e9 if k == spike else math.sin(k)}) for k in range(10_000)]
    server.send_rows(run, rows)
    buckets = client.get_series(run, "m", xaxis="step", max_points=100)
    assert 1 <= len(buckets) <= 100
    assert sum(buckets.count) == 10_000
    assert max(buckets.max) == 1e9
    assert buckets.x_max[list(buckets.max).index(1e9)] == spike
    assert (buckets.first[0], buckets.last[-1]) == (0.0, math.sin(9999))
    assert (buckets.x_first[0], buckets.x_last[-1]) == (0, 9999)
    assert sum(buckets.nonfinite) == 0
    zoomed = client.get_series(run, "m", xaxis="step", max_points=100, start=7770, end=7780)
    assert max(zoomed.max) == 1e9
    assert sum(zoomed.count) <= 12


def test_a_series_of_a_metric_nobody_logged_is_not_found(server, client):
    run = server.new_run()
    with pytest.raises(ObjectNotFoundError, match="Metric 'm'"):
        client.get_series(run, "m")


# ---- Events ------------------------------------------------------------


def test_events_come_oldest_first_and_can_be_searched(server, client):
    run = server.new_run()
    events = [
        {"message": f"message {k}", "timestamp": row(k, {})["timestamp"], "log_level": "info"}
        for k in range(5)
    ]
    assert server.send("/events", {"run": run, "events": events}).status_code == 200
    assert client.get_events(run) == events
    assert client.get_events(run, message_contains="ge 3") == [events[3]]
    assert client.get_events(run, start_index=1, count_limit=2) == events[1:3]


# ---- Folders and tags ------------------------------------------------------------


def test_a_folder_is_found_by_its_path(server, client):
    path = f"/client/{wire.new_id()}"
    assert client.get_folder(path) is None
    run = server.new_run(folder=f"{path}/inner")
    folder = client.get_folder(path)
    assert folder.path == path
    assert folder.created.tzinfo is timezone.utc
    found = dict(client.get_folders(filters=[f"path contains {path}"]))
    assert {folder.path for folder in found.values()} == {path, f"{path}/inner"}
    assert client.get_run(run).folder == f"{path}/inner"


def test_a_folder_may_be_asked_for_to_be_changed(server, client):
    path = f"/client/{wire.new_id()}"
    server.new_run(folder=path)
    folder = client.get_folder(path, read_only=False)
    folder.description = "of the test"
    folder.tags = ["a"]
    folder.commit()
    assert (client.get_folder(path).description, client.get_folder(path).tags) == (
        "of the test",
        ["a"],
    )
    assert client.get_folder(f"{path}/none", read_only=False) is None


def test_delete_runs_leaves_the_folder(server, client):
    path = f"/client/{wire.new_id()}"
    runs = {server.new_run(folder=path) for _ in range(2)}
    assert set(client.delete_runs(path)) == runs
    assert client.get_folder(path) is not None
    with pytest.raises(ObjectNotFoundError):
        client.get_run(runs.pop())
    with pytest.raises(ValueError, match="there is no folder"):
        client.delete_runs(f"{path}/none")


def test_a_folder_is_deleted_with_its_runs_only_if_told_so(server, client):
    path = f"/client/{wire.new_id()}"
    run = server.new_run(folder=path)
    with pytest.raises(ServerError) as caught:
        client.delete_folder(path)
    assert 400 <= caught.value.status < 500
    assert client.get_run(run).id == run
    assert client.delete_folder(path, remove_runs=True) == [run]
    assert client.get_folder(path) is None
    assert client.delete_folder(path, allow_missing=True) is None
    with pytest.raises(ObjectNotFoundError, match=path):
        client.delete_folder(path)


def test_tags_of_runs_are_listed_read_and_deleted(server, client):
    tag = f"tag-{wire.new_id()}"
    run = server.new_run(tags=[tag])
    tag_id = next(tag_id for tag_id, entry in client.get_tags() if entry.name == tag)
    assert client.get_tag(tag_id).name == tag
    client.delete_tag(tag_id)
    with pytest.raises(ObjectNotFoundError, match="Tag"):
        client.get_tag(tag_id)
    assert client.get_run(run).tags == []
