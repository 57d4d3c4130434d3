"""Client against the real server: artifacts, alerts and figures."""

import hashlib

import pytest

import simvue
from simvue import downloads, wire
from simvue.api.objects import FileArtifact, ObjectArtifact, UserAlert
from simvue.exception import InvalidValueError, ObjectNotFoundError, ServerError
from simvue.records import ArtifactRecord
from simvue.remote import Remote

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def client(server):
    with simvue.Client(server_url=server.url, server_token=server.token) as client:
        yield client


@pytest.fixture
def attach(server, tmp_path):
    """Upload bytes as a file of a run."""
    where = {"server_url": server.url, "server_token": server.token}

    def attach(run, name, content, category="output", **members):
        file = tmp_path / f"upload-{wire.new_id()}"
        file.write_bytes(content)
        artifact = FileArtifact.new(name=name, file_path=file, **members, **where)
        artifact.commit()
        artifact.attach_to_run(run, category)
        return artifact.id

    return attach


# ---- Artifacts ------------------------------------------------------------------------


def test_artifacts_are_listed_by_category_and_sorted(server, client, attach):
    run = server.new_run(name=f"artifacts {wire.new_id()}")
    attach(run, "b.txt", b"12", metadata={"k": 2})
    attach(run, "a.txt", b"123", "input", metadata={"k": 1})
    attach(run, "c.txt", b"1", "code")
    found = {(one.name, one.category, one["size"]) for one in client.list_artifacts(run)}
    assert found == {("b.txt", "output", 2), ("a.txt", "input", 3), ("c.txt", "code", 1)}
    assert [one.name for one in client.list_artifacts(run, category="input")] == ["a.txt"]
    by_size = client.list_artifacts(run, sort_by_columns=[("size", True)])
    assert [one.name for one in by_size] == ["a.txt", "b.txt", "c.txt"]
    by_key = client.list_artifacts(run, [("metadata.k", False), ("name", False)])
    assert [one.name for one in by_key] == ["a.txt", "b.txt", "c.txt"]


def test_an_object_comes_back_as_it_was_and_a_file_as_its_bytes(server, client, attach):
    run = server.new_run(name=f"artifacts {wire.new_id()}")
    where = {"server_url": server.url, "server_token": server.token}
    for name, obj in (("json", {"a": [1, 2.5, None]}), ("set", {1, 2})):
        artifact = ObjectArtifact.new(name=name, obj=obj, **where)
        artifact.commit()
        artifact.attach_to_run(run, "output")
    attach(run, "log.txt", b"\x00hello")
    assert client.get_artifact(run, "json") == {"a": [1, 2.5, None]}
    assert client.get_artifact(run, "log.txt") == b"\x00hello"
    # A pickle runs what it holds, so it is bytes until somebody says that they trust it.
    assert isinstance(client.get_artifact(run, "set"), bytes)
    assert client.get_artifact(run, "set", allow_pickle=True) == {1, 2}
    with pytest.raises(ObjectNotFoundError, match="nothing"):
        client.get_artifact(run, "nothing")


def test_files_are_written_into_their_directories(server, client, attach, tmp_path):
    run = server.new_run(name=f"artifacts {wire.new_id()}")
    contents = {"mesh/a.dat": b"a" * 3_000_000, "mesh/b.dat": b"b", "log.txt": b""}
    for name, content in contents.items():
        attach(run, name, content, "input" if name == "log.txt" else "output")
    out = tmp_path / "out"
    paths = client.get_artifacts_as_files(run, output_dir=out)
    written = {str(path.relative_to(out)): path.read_bytes() for path in paths}
    assert written == contents
    assert sorted(out.rglob("*.part")) == []

    some = client.get_artifacts_as_files(run, "output", tmp_path / "some", endswith="b.dat")
    assert [path.name for path in some] == ["b.dat"]
    older = client.get_artifacts_as_files(
        run, path=tmp_path / "old", startswith="mesh", contains="/a"
    )
    assert [path.name for path in older] == ["a.dat"]

    (path,) = [path for path in paths if path.name == "b.dat"]
    before = path.stat().st_mtime_ns
    assert client.get_artifact_as_file(run, "mesh/b.dat", out) == path
    assert path.stat().st_mtime_ns == before, "what is there already is not written again"
    path.write_bytes(b"changed")
    client.get_artifact_as_file(run, "mesh/b.dat", out)
    assert path.read_bytes() == b"b"


def test_artifacts_of_one_name_are_all_written(server, client, attach, tmp_path):
    run = server.new_run(name=f"artifacts {wire.new_id()}")
    for content in (b"1", b"2", b"3"):
        attach(run, "same.txt", content)
    paths = client.get_artifacts_as_files(run, output_dir=tmp_path / "out")
    assert sorted(path.name for path in paths) == ["same.txt", "same_1.txt", "same_2.txt"]
    assert sorted(path.read_bytes() for path in paths) == [b"1", b"2", b"3"]
    with pytest.raises(InvalidValueError, match="3 artifacts"):
        client.get_artifact(run, "same.txt")


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil"])
def test_a_name_never_leads_out_of_the_directory(tmp_path, name):
    with pytest.raises(InvalidValueError, match="outside"):
        downloads.place(ArtifactRecord({"name": name}), tmp_path)


def test_bytes_that_are_not_those_uploaded_are_never_a_file(server, client, attach, tmp_path):
    run = server.new_run(name=f"artifacts {wire.new_id()}")
    attach(run, "real.txt", b"real")
    (entry,) = client.list_artifacts(run)
    wrong = ArtifactRecord({**entry, "checksum": hashlib.sha256(b"other").hexdigest()})
    (tmp_path / "real.txt").write_bytes(b"from before")
    with Remote(server.url, server.token) as remote:
        with pytest.raises(ServerError, match="not those uploaded"):
            downloads.fetch(remote, wrong)
        with pytest.raises(ServerError, match="not those uploaded"):
            downloads.save(remote, wrong, tmp_path / "real.txt")
        gone = ArtifactRecord({**entry, "url": f"{server.url}/api/files/{'z' * 22}"})
        with pytest.raises(ServerError, match="answered the download"):
            downloads.fetch(remote, gone)
    assert [path.read_bytes() for path in tmp_path.glob("*real*")] == [b"from before"]


# ---- Alerts ---------------------------------------------------------------------------


def test_alerts_of_a_run_and_of_all(server, client):
    where = {"server_url": server.url, "server_token": server.token}
    names = [f"alert {wire.new_id()}" for _ in range(2)]
    made = [UserAlert.new(name=name, **where) for name in names]
    for alert in made:
        alert.commit()
    run = server.new_run(name=f"alerts {wire.new_id()}", alerts=[alert.id for alert in made])
    made[1].set_status(run, "critical")

    assert client.get_alerts(run_id=run) == [names[1]]
    assert set(client.get_alerts(run_id=run, critical_only=False)) == set(names)
    one = client.get_alerts(run_id=run, critical_only=False, count_limit=1, start_index=1)
    assert len(one) == 1
    (record,) = client.get_alerts(run_id=run, names_only=False)
    assert (record.name, record.source, record.created.tzinfo is not None) == (
        names[1],
        "user",
        True,
    )
    assert set(names) <= set(client.get_alerts(critical_only=False))
    order = [("created", True)]
    first = client.get_alerts(critical_only=False, count_limit=1, sort_by_columns=order)
    assert first == [names[1]]
    with pytest.raises(InvalidValueError, match="run_id"):
        client.get_alerts()

    client.delete_alert(made[1].id)
    assert client.get_alerts(run_id=run, critical_only=False) == [names[0]]
    with pytest.raises(ObjectNotFoundError):
        client.delete_alert(made[1].id)


# ---- Figures --------------------------------------------------------------------------


def test_a_figure_has_a_line_for_each_run_and_metric(server, client):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    runs = [server.new_run(name=f"plot {k} {wire.new_id()}") for k in range(2)]
    for k, run in enumerate(runs):
        rows = [
            {
                "step": step,
                "time": step / 2,
                "timestamp": f"2026-01-31T12:00:0{step}.000000",
                "values": {"loss": k + step},
            }
            for step in range(3)
        ]
        server.send_rows(run, rows)
    figure = client.plot_metrics(runs, ["loss"], "time")
    (axes,) = figure.axes
    lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()]
    assert lines == [([0.0, 0.5, 1.0], [0, 1, 2]), ([0.0, 0.5, 1.0], [1, 2, 3])]
    assert all("plot" in line.get_label() for line in axes.get_lines())
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time / s", "loss")
    pyplot.close(figure)

    single = client.plot_metrics(runs[:1], ["loss"], "timestamp")
    assert single.axes[0].get_lines()[0].get_label() == "loss"
    pyplot.close(single)
    with pytest.raises(InvalidValueError, match="no values"):
        client.plot_metrics(runs, ["none"], "step")


# ---- For simvue-cli ---------------------------------------------------------------------


def test_simvue_cli_reads_the_address_off_a_client(server, client):
    assert client._user_config.server.url == f"{server.url}/api"
