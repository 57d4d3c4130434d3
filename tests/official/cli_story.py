"""What simvue-cli 1.4.0 does, command by command; run with an environment that has it."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner
from simvue_cli.cli import simvue as command

from simvue.api.objects import Alert, FileArtifact, Run


def say(*arguments: str, stdin: str | None = None) -> str:
    """Run one command and return what it printed; its failure ends the story."""
    done = CliRunner().invoke(command, ["--plain", *arguments], input=stdin)
    if done.exception:
        raise AssertionError(f"{arguments}: {done.output}") from done.exception
    return done.output.strip()


assert say("whoami") == "admin(default)"
assert "1.4.0" in say("about")
assert "status_code=200" in say("ping", "--timeout", "1")
assert "offline" in say("config", "show")

# ---- Runs
run = say(
    *("run", "create", "--name", "story", "--folder", "/cli", "--tag", "a", "--tag", "b"),
    *("--description", "of the cli", "--retention", "3600", "--environment"),
)
say("run", "log.metrics", run, '{"loss": 0.5, "acc": 0.9}')
say("run", "log.metrics", run, '{"loss": 0.25}')
say("run", "log.event", run, "hello event")
say("run", "metadata", run, '{"k": 3}')
told = json.loads(say("run", "json", run))
assert (told["status"], told["tags"], told["metadata"]["k"]) == ("running", ["a", "b"], 3)
assert told["metadata"]["python"]["environment"]["click"]
assert (told["metrics"]["loss"]["last"], told["metrics"]["loss"]["count"]) == (0.25, 2)
listed = say("run", "list", "--name", "--status", "--tags", "--folder", "-m", "metadata.k")
assert run in listed
assert "[a, b]" in listed
assert say("run", "list", "-F", "folder=/cli", "--name") == f"{run}\tstory"
say("run", "close", run)
assert Run(run).status == "completed"
second = say("run", "create", "--name", "second", "--create-only")
say("run", "abort", second, "--reason", "enough")
assert Run(second).status == "terminated"
assert "removed" in say("run", "remove", second)
monitored = say("monitor", "--name", "piped", "--delimiter", " ", stdin="a b\n1 2\n3 4\n")
assert dict(Run(monitored).metrics)["b"]["last"] == 4

# ---- Artifacts
Path("file.txt").write_text("content")
for name in ("file.txt", "inner/file.txt", "file.txt"):
    artifact = FileArtifact.new(name=name, file_path=Path("file.txt"))
    artifact.commit()
    artifact.attach_to_run(run, "output")
columns = ("--name", "--size", "--mime-type", "--uploaded", "--created", "--download-url")
assert "text/plain" in say("run", "artifacts", run, *columns)
assert "inner/file.txt" in say("artifact", "list", "--name")
assert json.loads(say("artifact", "json", artifact.id))["runs"] == [run]
say("run", "pull", run, "-o", "pulled")
pulled = {str(path): path.read_text() for path in Path("pulled").rglob("*.txt")}
assert set(pulled.values()) == {"content"}
assert len(pulled) == 3

# ---- Folders, tags, alerts
assert "/cli" in say("folder", "list", "--path", "--created")
assert json.loads(say("folder", "json", "/cli").partition("\n")[2])["path"] == "/cli"
tag = say("tag", "create", "best", "--color", "red", "--description", "of all")
assert "best\t(1.0, 0.0, 0.0)" in say("tag", "list", "--name", "--color")
assert json.loads(say("tag", "json", tag))["description"] == "of all"
assert "removed" in say("tag", "remove", tag)
alert = say("alert", "create", "mine", "--abort", "--description", "user's")
assert "mine" in say("alert", "list", "--name", "--source", "--run-tags", "--auto", "--created")
third = say("run", "create", "--name", "third")
say("alert", "trigger", third, alert)
assert Alert(alert).get_status(third) == "critical"
assert json.loads(say("alert", "json", alert))["abort"] is True
assert "removed" in say("alert", "remove", alert)

# ---- Batches
Path("runs.json").write_text(
    '{"folder": "/pushed", "runs": [{"name": "one", "metadata": {"a": 1}},'
    ' {"name": "two", "folder": "/inner"}]}'
)
say("push", "runs", "runs.json", "--tenant")
Path("runs.csv").write_text("x,y\n1,2.5\n3,text\n")
say("push", "runs", "runs.csv", "--from-metadata", "--folder", "/csv", "--name", "row")
pushed = {run.name: run for _, run in Run.get(filters=["folder.path contains /"], count=100)}
assert pushed["two"].folder == "/pushed/inner"
assert pushed["row-1"].metadata == {"x": 3, "y": "text"}
assert "inner" in say("folder", "tree", "/pushed")

# ---- Administration
assert "default" in say("storage", "list", "--name", "--backend", "--default", "--created")
tenant = say("admin", "tenant", "add", "guests", "--max-runs", "3")
assert json.loads(say("admin", "tenant", "json", tenant))["max_runs"] == 3
user = say(
    "admin", "user", "add", "ada", "-e", "ada@example.org", "-n", "Ada Lovelace", "-t", tenant
)
assert json.loads(say("admin", "user", "json", user))["fullname"] == "Ada Lovelace"
assert "guests" in say("admin", "tenant", "list", "--name", "--enabled", "--max-runs")
assert "ada" in say("admin", "user", "list", "--username", "--email", "--enabled")
assert "removed" in say("admin", "user", "remove", user)
assert "removed" in say("admin", "tenant", "remove", tenant)

# ---- Its configuration
settings = Path.home() / ".simvue.toml"
settings.write_text(
    settings.read_text() + '[profiles.other]\nurl = "http://127.0.0.1:9"\ntoken = "another"\n'
)
shown = say("config", "show")
assert "[profiles.other]" in shown
assert "another" not in shown
say("config", "--global", "server.url", "https://simvue.example.org")
assert "https://simvue.example.org" in settings.read_text()
print("all said")
