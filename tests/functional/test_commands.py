"""The command line: each command as a process against a real server."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import click
import pytest
from fix_node import Node
from fix_server import Server

from simvue.cli import simvue
from simvue.version import __version__
from simvue.wire import new_id

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Shell:
    """A shell with the settings of *server*: runs commands and returns what they print."""

    def __init__(self, directory: Path, server: Server) -> None:
        self.directory = directory
        self.server = server
        self.env = {
            **os.environ,
            "HOME": str(directory),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "SIMVUE_URL": server.url,
            "SIMVUE_TOKEN": server.token,
        }

    def run(self, line: str, *more: str, stdin: str = "", status: int = 0) -> str:
        """Run ``simvue`` and the words of *line*; return stdout, or stderr if it is to fail."""
        done = subprocess.run(
            [sys.executable, "-m", "simvue", *line.split(), *more],
            env=self.env, cwd=self.directory, input=stdin,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert self.server.token not in done.stdout + done.stderr
        return done.stderr if status else done.stdout.rstrip("\n")

    def json(self, line: str, *more: str, stdin: str = "") -> Any:
        """Run a command with ``--json``; return the value of its one line."""
        printed = self.run(line, *more, "--json", stdin=stdin)
        assert "\n" not in printed
        return json.loads(printed)


@pytest.fixture
def shell(server: Server, tmp_path: Path) -> Shell:
    return Shell(tmp_path, server)


def folder() -> str:
    """A folder of the test's own."""
    return f"/commands/{new_id()}"


# ---- Runs ---------------------------------------------------------------------------------------


def test_a_run_is_made_fed_looked_at_and_ended_by_commands(shell: Shell):
    place = folder()
    run = shell.run(f"run create --name wing --tag fast --tag new --folder {place}")
    assert shell.run("run log.metrics", run, '{"loss": 0.5, "n": 3}') == "0"
    assert shell.run("run log.metrics", run, '{"loss": 0.25}') == "1"
    shell.run("run log.event", run, "it goes on")
    shell.run("run metadata", run, '{"mesh": {"cells": 5}}')
    found = json.loads(shell.run("run json", stdin=run))
    assert found["metrics"]["loss"]["last"] == 0.25
    assert found["metrics"]["loss"]["count"] == 2
    assert found["metadata"]["mesh"] == {"cells": 5}
    assert found["tags"] == ["fast", "new"]
    assert found["status"] == "running"
    # Nobody gives signs of life, so silence must not end it.
    assert found["heartbeat_timeout"] is None
    events = shell.server.get("/events", run=run, start=0, count=0, filters="[]")["data"]
    assert [event["message"] for event in events] == ["it goes on"]
    assert shell.json("run close", run) == {"id": run, "status": "completed"}
    found = shell.server.get(f"/runs/{run}")
    assert found["status"] == "completed"
    assert found["endtime"] is not None


def test_lists_can_be_piped_into_removal(shell: Shell):
    place = folder()
    runs = [shell.run(f"run create --folder {place} --name n{n}") for n in range(3)]
    listed = shell.run(f"run list -F folder={place}")
    assert listed.split() == runs[::-1]
    assert shell.run(f"runs list -F folder={place} --count 2 --reverse").split() == runs[:2]
    assert shell.run("run remove", stdin=listed).split() == runs[::-1]
    assert shell.run(f"run list -F folder={place}") == ""
    refused = shell.run("run remove", runs[0], status=1)
    assert refused == f"Error: Run '{runs[0]}' was not found\n"


def test_columns_are_those_that_were_asked_for(shell: Shell):
    place = folder()
    run = shell.run(f"run create --folder {place} --name wing")
    shell.run("run metadata", run, '{"alpha": 7}')
    line = shell.run(f"run list -n -s -f -m alpha -F folder={place}")
    assert line.split("\t") == [run, "wing", "running", place, "7"]
    table = shell.run(f"run list --format github --enumerate -n -F folder={place}").splitlines()
    assert [cell.strip() for cell in table[0].strip("|").split("|")] == ["#", "id", "name"]
    assert [cell.strip() for cell in table[2].strip("|").split("|")] == ["1", run, "wing"]
    (entry,) = shell.json(f"run list -n -F folder={place}")
    assert entry["metadata"]["alpha"] == 7


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("name=a", ["a"]), ("name!=a", ["b", "c"]), ("name~c", ["c"]),
        ("metadata.k=", ["a", "b"]), ("metadata.k!=", ["c"]), ("metadata.k>1", ["b"]),
        ("metadata.k <= 1", ["a"]), ("tag=x", ["b"]), ("tag!=x", ["a", "c"]),
        ("has tag.x", ["b"]), ("status=completed", ["c"]), ("starred", ["c"]),
    ],
)  # fmt: skip
def test_a_filter_means_what_it_says(
    shell: Shell, three_runs: str, condition: str, expected: list[str]
):
    listed = shell.run("run list --sort-by name -n -F", condition, "-F", f"folder={three_runs}")
    assert [line.split("\t")[1] for line in listed.splitlines()] == expected


@pytest.fixture(scope="module")
def three_runs(server: Server) -> str:
    """The folder of three runs that differ."""
    place = folder()
    server.new_run(folder=place, name="a", metadata={"k": 1})
    server.new_run(folder=place, name="b", metadata={"k": 2}, tags=["x"])
    run = server.new_run(folder=place, name="c", status="completed")
    server.put(f"/runs/{run}/starred", {"starred": True})
    return place


def test_an_abort_ends_a_run_that_nobody_would_end(shell: Shell):
    run = shell.run("run create")
    watched = shell.run("run create --timeout 600")
    shell.run("run abort", run, "--reason", "enough")
    assert shell.server.get(f"/runs/{run}")["status"] == "terminated"
    # Its own process is there to notice.
    shell.run("run abort", watched)
    assert shell.server.get(f"/runs/{watched}")["status"] == "running"
    assert shell.server.get(f"/runs/{watched}/abort")["status"] is True


def test_artifacts_are_listed_and_pulled(node: Node, shell: Shell, tmp_path: Path):
    printed = node.simulate(
        """
        open("a.txt", "w").write("of a")
        run = Run()
        run.init("with files")
        run.save_file("a.txt", category="output", name="deep/a.txt")
        run.close()
        print("id", run.id)
        """
    )
    run = re.search(r"^id (\w+)", printed, re.MULTILINE)[1]  # type: ignore[index]
    (line,) = shell.run("run artifacts --name --size", run).splitlines()
    assert line.split("\t")[1:] == ["deep/a.txt", "4"]
    (entry,) = shell.json("run artifacts", run)
    assert entry["category"] == "output"
    assert json.loads(shell.run("artifact json", entry["id"]))["name"] == "deep/a.txt"
    assert entry["id"] in shell.run("artifact list --count 0").split()
    written = shell.run("run pull", run, "-o", str(tmp_path / "out"))
    assert Path(written).read_text() == "of a"
    assert Path(written) == tmp_path / "out" / "deep" / "a.txt"


# ---- Everything else that a server has ---------------------------------------------------------


def test_tags(shell: Shell):
    name = f"t{new_id()}"
    tag = shell.run(f"tag create {name} --color #ff8800 --description hot")
    assert json.loads(shell.run("tag json", tag))["colour"] == "#ff8800"
    line = shell.run("tag list --name --color --count 1")
    assert line.split("\t") == [tag, name, "#ff8800"]
    assert shell.json("tag remove", tag) == {"removed": [tag]}


def test_folders(shell: Shell):
    place = folder()
    run = shell.run(f"run create --name leaf --folder {place}/inner")
    drawn = shell.run(f"--plain folder tree {place}").splitlines()
    assert drawn == [place, "  inner"]
    detailed = shell.run(f"folder tree {place} --detail")
    assert f"leaf ({run}, running)" in detailed
    (parent,) = [f["id"] for f in shell.json("folder list --count 0") if f["path"] == place]
    assert json.loads(shell.run("folder json", parent))["path"] == place
    refused = shell.run("folder remove", parent, status=1)
    assert refused.startswith("Error: ")
    shell.run("folder remove -r -f", parent)
    assert shell.server.ask("GET", f"/runs/{run}").status_code in (404, 410)


def test_alerts(shell: Shell):
    run = shell.run("run create")
    alert = shell.run(f"alert create a{new_id()} --description loud")
    assert shell.run(f"alert trigger {run} {alert}") == "critical"
    assert shell.server.get(f"/alerts/{alert}/status/{run}")["status"] == "critical"
    assert shell.run(f"alert trigger {run} {alert} --ok") == "ok"
    assert [one["alert"]["id"] for one in shell.server.get(f"/runs/{run}")["alerts"]] == [alert]
    assert alert in shell.run("alert list --name --source --count 0")
    assert json.loads(shell.run("alert json", alert))["description"] == "loud"
    assert shell.run("alert remove", stdin=alert) == alert


def test_storages(shell: Shell, tmp_path: Path):
    secret = tmp_path / "key"
    secret.write_text("s3cret\n")
    made = shell.run(
        "storage add s3 attic --bucket attic --region-name here --access-key-id me "
        f"--endpoint-url http://127.0.0.1:9 --access-key-file {secret} --disable-check"
    )
    printed = shell.run("storage json", made)
    assert json.loads(printed)["config"]["bucket"] == "attic"
    assert "s3cret" not in printed
    lines = [line.split("\t") for line in shell.run("storage list --name --backend").splitlines()]
    assert [made, "attic", "S3"] in lines
    assert shell.run("storage remove", made) == made


def test_tenants_and_users(shell: Shell):
    tenant = shell.run(f"admin tenant add t{new_id()} --max-runs 5")
    assert json.loads(shell.run("admin tenant json", tenant))["max_runs"] == 5
    name = f"u{new_id()}"
    user = shell.run(f"admin user add {name} -e {name}@x.org -n Someone -t {tenant} --read-only")
    lines = shell.run("admin user list --username --read-only --count 0").splitlines()
    assert f"{user}\t{name}\tyes" in lines
    shell.run("admin user remove", user)
    shell.run("admin tenant remove", tenant)
    assert tenant not in shell.run("admin tenant list --count 0").split()


def test_many_runs_are_pushed_out_of_a_file(shell: Shell):
    place = folder()
    table = shell.directory / "runs.csv"
    table.write_text('name,tags,alpha,note\nfirst,"a, b",1,x\nsecond,,2.5,\n')
    made = shell.run(f"push runs {table} --folder {place}", "--metadata", '{"of": "us"}').split()
    first, second = (shell.server.get(f"/runs/{run}") for run in made)
    assert (first["name"], first["tags"], first["folder"]) == ("first", ["a", "b"], place)
    assert first["metadata"] == {"of": "us", "alpha": 1, "note": "x"}
    assert second["metadata"] == {"of": "us", "alpha": 2.5}
    (shell.directory / "runs.json").write_text('[{"beta": 1}, {"beta": 2}]')
    made = shell.json(f"push runs runs.json --folder {place} --name scan --from-metadata")
    assert [shell.server.get(f"/runs/{run}")["metadata"] for run in made] == [
        {"beta": 1},
        {"beta": 2},
    ]
    (shell.directory / "bad.json").write_text("[{]")
    assert "cannot be read" in shell.run("push runs bad.json", status=1)


def test_what_another_program_prints_becomes_a_run(node: Node, shell: Shell):
    shell.env.update(node.env)
    lines = "loss,acc\n0.5,1\n0.25,nonsense\n\n0.125,3\n"
    made = shell.json("monitor --delimiter , --name piped --tag t", stdin=lines)
    assert made["steps"] == 3
    series = node.client.get_series(made["id"], "loss")
    assert list(series.values) == [0.5, 0.25, 0.125]
    assert list(node.client.get_series(made["id"], "acc").step) == [0, 2]
    assert node.client.get_run(made["id"])["status"] == "completed"


# ---- Who, where, whether ------------------------------------------------------------------------


def test_who_and_where(shell: Shell):
    who = shell.server.get("/whoami")
    assert shell.run("whoami") == f"{who['user']}({who['tenant']})"
    assert shell.run("whoami -u") == who["user"]
    assert shell.json("whoami") == who
    about = shell.json("about")
    assert about["simvue"] == __version__
    assert about["server"] is not None
    lines = shell.run("ping --count 2").splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(r"200\t[\d.]+ ms", line) for line in lines)
    shell.env["SIMVUE_URL"] = "http://127.0.0.1:9"
    assert "connection refused" in shell.run("whoami", status=1)
    shell.run("ping --count 1", status=1)
    assert shell.json("about")["server"] is None


def test_settings_are_written_and_shown_without_secrets(shell: Shell):
    file = shell.directory / "simvue.toml"
    file.write_text('# mine\n[run]\nfolder = "/x"\n\n[server]  # here\nurl = "http://old"\n')
    url, token = shell.env.pop("SIMVUE_URL"), shell.env.pop("SIMVUE_TOKEN")
    shell.run(f"config server.url {url}")
    shell.run("config server.token -", stdin=f"{token}\n")
    text = file.read_text()
    assert text.startswith('# mine\n[run]\nfolder = "/x"\n\n[server]  # here\n')
    assert file.stat().st_mode & 0o777 == 0o600
    assert shell.run("whoami -u") == shell.server.get("/whoami")["user"]
    shown = shell.run("config show")
    assert f"url = {url}" in shown
    assert "token = (set)" in shown
    assert shell.json("config show")["run.folder"] == "/x"
    refused = shell.run("config server.url ftp://x", status=1)
    assert refused.startswith("Error: the url must look like")
    assert file.read_text() == text


def test_a_profile_chooses_the_server(shell: Shell):
    (shell.directory / "simvue.toml").write_text(
        f'[profiles.real]\nurl = "{shell.server.url}"\ntoken = "{shell.server.token}"\n'
    )
    (shell.directory / "simvue.toml").chmod(0o600)
    shell.env["SIMVUE_URL"] = "http://127.0.0.1:9"
    assert shell.run("--profile real whoami -u") == shell.server.get("/whoami")["user"]
    assert "there is no profile 'none'" in shell.run("--profile none whoami", status=1)


def test_purge_spares_what_was_never_sent(shell: Shell):
    cache = shell.directory / ".simvue"
    (cache / "spool").mkdir(parents=True)
    (cache / "spool" / "host-x.open").write_bytes(b"unsent")
    assert "were not sent" in shell.run("purge --yes", status=1)
    assert cache.exists()
    shell.run("purge --yes --force")
    assert not cache.exists()
    assert shell.run("purge --yes") == "there is nothing to delete"


# ---- How it speaks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "status", "told"),
    [
        ("run json nonsense", 1, "Error: "),
        ("run log.metrics x {", 2, "JSON is not JSON"),
        ("run list --sort-by shape", 1, "Error: "),
        ("run lists", 2, "No such command 'lists'"),
        ("rum", 2, "No such command 'rum'"),
        ("run remove", 1, "no identifier came from standard input"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(shell: Shell, line: str, status: int, told: str):
    assert told in shell.run(line, status=status)


def test_without_settings_the_way_to_set_them_is_told(shell: Shell):
    del shell.env["SIMVUE_URL"]
    assert "SIMVUE_URL" in shell.run("run list", status=1)


def on_a_terminal(shell: Shell, *arguments: str) -> str:
    """Run a command whose standard output is a terminal; return what that shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "simvue", *arguments],
        env={**shell.env, "TERM": "xterm", "COLUMNS": "120"}, cwd=shell.directory,
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:
        pass  # So a terminal tells that nobody writes to it any more.
    _, said = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0, said
    return re.sub(r"\x1b\[[\d;]*m", "", shown.decode())


def test_a_terminal_shows_a_table(shell: Shell):
    place = folder()
    # Square brackets are rich's own language, and here only a name.
    run = shell.server.new_run(folder=place, name="wing", tags=["[red]"])
    table = on_a_terminal(shell, "run", "list", "-F", f"folder={place}")
    assert re.search(r"id\s+name\s+status\s+folder\s+created", table)
    assert re.search(rf"{run}\s+wing\s+running", table)
    assert "[red]" in on_a_terminal(shell, "run", "list", "-T", "-F", f"folder={place}")
    plain = on_a_terminal(shell, "--plain", "run", "list", "-n", "-F", f"folder={place}")
    assert plain == f"{run}\twing\r\n"


def test_every_command_that_tells_something_tells_it_to_programs_too():
    """But for what is JSON, or a stream of words for somebody who watches, already."""
    without = []

    def walk(command: click.Command, path: str) -> None:
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None, name
                walk(inner, f"{path} {name}".strip())
        elif not any("--json" in option.opts for option in command.params):
            without.append(path)

    context = click.Context(simvue)
    walk(simvue, "")
    assert set(without) <= {"completion", "demo", "server", "ship"}


def test_the_shell_completes_words(shell: Shell):
    assert "_simvue_completion" in shell.run("completion bash")
    shell.env |= {
        "_SIMVUE_COMPLETE": "bash_complete",
        "COMP_WORDS": "simvue run l",
        "COMP_CWORD": "2",
    }
    found = subprocess.run(
        [sys.executable, "-c", "from simvue.cli import main; main()"],
        env=shell.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert found.stdout.split() == ["plain,list", "plain,log.event", "plain,log.metrics"]


def test_the_commands_of_a_compute_node_load_no_server_and_no_tables():
    code = (
        "import sys; sys.argv = ['simvue', 'ship', '--help']\n"
        "from simvue.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"rich", "requests", "litestar", "pydantic", "numpy", "pyarrow"}


# ---- The packages of a run ----------------------------------------------------------------------


def wheel(directory: Path, name: str, version: str) -> None:
    """Write the smallest wheel there can be."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(directory / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", f"version = {version!r}\n")
        told = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        file.writestr(f"{info}/METADATA", told)
        told = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        file.writestr(f"{info}/WHEEL", told)
        file.writestr(f"{info}/RECORD", "")


def test_the_packages_of_a_run_are_installed_again(shell: Shell):
    wheel(shell.directory, "wing", "1.0")
    wheel(shell.directory, "wing", "2.0")
    recorded = {
        "python": {"environment": {"wing": "1.0"}},
        "rust": {"environment": {"serde": "1.0.3"}},
        "julia": {"environment": {"Plots": "1.2.0"}},
        "javascript": {"environment": {"uplot": "1.6.32"}},
    }
    run = shell.server.new_run(metadata=recorded)
    shell.env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shell.directory)}
    shell.run("venv made --run", run)
    python = shell.directory / "made" / "bin" / "python"
    env = {name: value for name, value in shell.env.items() if name != "PYTHONPATH"}
    told = subprocess.run(
        [python, "-c", "import wing; print(wing.version)"],
        env=env, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert told.stdout == "1.0\n"
    assert "exists; --allow-existing" in shell.run("venv made --run", run, status=1)
    next_step = shell.run("venv r --language rust --run", run)
    assert next_step == "cargo fetch --manifest-path r/Cargo.toml"
    cargo = tomllib.loads((shell.directory / "r" / "Cargo.toml").read_text())
    assert cargo["dependencies"] == {"serde": "=1.0.3"}
    shell.run("venv n --language nodejs --run", run)
    assert json.loads((shell.directory / "n" / "package.json").read_text()) == {
        "dependencies": {"uplot": "1.6.32"}
    }
    shell.run("venv j --language julia", stdin=run)
    julia = (shell.directory / "j" / "install.jl").read_text()
    assert 'PackageSpec(name="Plots", version="1.2.0")' in julia
    bare = shell.server.new_run()
    assert "recorded no packages" in shell.run("venv b --run", bare, status=1)
