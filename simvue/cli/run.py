"""``simvue run``: runs made, fed, ended, listed and fetched from the command line."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .artifact import ARTIFACTS
from .catalogue import (
    Column,
    Kind,
    add_json,
    add_list,
    add_remove,
    chosen_columns,
    created,
    decorate,
    show,
    table_options,
)
from .console import (
    identifiers,
    json_option,
    open_client,
    open_remote,
    print_json,
    read_object,
    settings,
    tell,
)

if TYPE_CHECKING:
    from simvue.remote import Remote

RUNS: Final = Kind(
    "runs",
    (
        Column(("-n", "--name"), "name"),
        Column(("-s", "--status"), "status"),
        Column(("-f", "--folder"), "folder"),
        Column(("-T", "--tags"), "tags"),
        Column(("-u", "--user"), "user"),
        Column(("-t", "--created"), "created"),
        Column(("-d", "--description"), "description"),
    ),
    ("name", "status", "folder", "created"),
    ("created", "started", "endtime", "modified", "name", "metadata.KEY"),
)


@click.group()
def command() -> None:
    """Make runs, record into them, end them, list and fetch them."""


# ---- One run -----------------------------------------------------------------------------------


@command.command()
@click.option("--create-only", is_flag=True, help="Do not start it yet.")
@click.option("--timeout", type=click.IntRange(1), help="Seconds of silence until it is lost.")
@click.option("--name", help="Without it two words are picked.")
@click.option("--description")
@click.option("--tag", "tags", multiple=True, help="May be repeated.")
@click.option("--folder", help="Made if it is not there; else that of the settings, or '/'.")
@click.option("--retention", metavar="SPAN", help="Delete it after so long, '5 days' say.")
@click.option("--environment", is_flag=True, help="Record the packages and commit around here.")
@json_option
def create(
    create_only: bool,
    timeout: int | None,
    name: str | None,
    description: str | None,
    tags: tuple[str, ...],
    folder: str | None,
    retention: str | None,
    environment: bool,
    as_json: bool,
) -> None:
    """Make a run and print its identifier; the other commands record into it.

    Nobody gives signs of life for such a run: with --timeout each command that records does.
    """
    from simvue.arguments import check_folder, check_name, check_tags, parse_span
    from simvue.config import RunDefaults
    from simvue.context import surroundings, system
    from simvue.names import random_name

    defaults = settings().run
    run: dict[str, Any] = {
        "name": check_name(name) or random_name(),
        "folder": check_folder(folder or defaults.folder or "/"),
        "tags": list(dict.fromkeys([*check_tags(tags), *defaults.tags])),
        "description": description,
        "status": "created" if create_only else "running",
        "system": system() if defaults.system else None,
        "metadata": {**defaults.metadata, **(surroundings(RunDefaults()) if environment else {})},
        "heartbeat_timeout": timeout,
        "ttl": parse_span(retention),
    }
    created(open_remote().post("/runs", _given(run)), as_json)


@command.command()
@click.argument("run", metavar="ID")
@json_option
def close(run: str, as_json: bool) -> None:
    """End a run: it has completed."""
    _end(open_remote(), run, "completed")
    tell(run, {"id": run, "status": "completed"}, as_json)


@command.command()
@click.argument("run", metavar="ID")
@click.option("--reason", default="aborted from the command line", show_default=True)
@json_option
def abort(run: str, reason: str, as_json: bool) -> None:
    """Ask a run to stop; it notices when it next hears from the server."""
    from simvue.remote import route

    remote = open_remote()
    members = remote.get(route("runs", run))
    remote.put(route("runs", run, "abort"), {"reason": reason})
    # One without signs of life is of the command line: nobody is there to notice.
    if members.get("status") in ("created", "running") and not members.get("heartbeat_timeout"):
        _end(remote, run, "terminated")
    tell(run, {"id": run, "abort": True}, as_json)


@command.command("log.metrics")
@click.argument("run", metavar="ID")
@click.argument("values", metavar="JSON")
@click.option("--step", type=click.IntRange(0), help="Without it the one after the last.")
@json_option
def log_metrics(run: str, values: str, step: int | None, as_json: bool) -> None:
    """Record one value for each metric of an object such as '{"loss": 0.5}'."""
    from simvue.remote import route
    from simvue.wire import format_timestamp, parse_timestamp

    logged = read_object(values, "JSON")
    wrong = [name for name, value in logged.items() if not isinstance(value, int | float)]
    if wrong or not logged:
        raise click.BadParameter(f"the value of {wrong[0]!r} is no number" if wrong else "empty")
    remote = open_remote()
    members = remote.get(route("runs", run))
    if step is None:
        last = (summary.get("step", -1) for summary in members["metrics"].values())
        step = max(last, default=-1) + 1
    now = time.time_ns() // 1000
    began = parse_timestamp(members.get("started") or members["created"])
    row = {
        "values": logged,
        "time": max(0, now - began) / 1e6,
        "timestamp": format_timestamp(now),
        "step": step,
    }
    _record(remote, "/metrics", {"run": run, "metrics": [row]})
    _live(remote, run, members)
    tell(str(step), {"id": run, "step": step}, as_json)


@command.command("log.event")
@click.argument("run", metavar="ID")
@click.argument("text")
@json_option
def log_event(run: str, text: str, as_json: bool) -> None:
    """Record an event."""
    from simvue.remote import route
    from simvue.wire import format_timestamp

    remote = open_remote()
    members = remote.get(route("runs", run))
    event = {"message": text, "timestamp": format_timestamp(time.time_ns() // 1000)}
    _record(remote, "/events", {"run": run, "events": [event]})
    _live(remote, run, members)
    tell(run, {"id": run}, as_json)


@command.command()
@click.argument("run", metavar="ID")
@click.argument("members", metavar="JSON")
@json_option
def metadata(run: str, members: str, as_json: bool) -> None:
    """Merge an object such as '{"mesh": "fine"}' into the run's metadata."""
    from simvue.remote import route

    open_remote().put(route("runs", run), {"metadata": read_object(members, "JSON")})
    tell(run, {"id": run}, as_json)


def _end(remote: Remote, run: str, status: str) -> None:
    from simvue.remote import route
    from simvue.wire import format_timestamp

    now = format_timestamp(time.time_ns() // 1000)
    remote.put(route("runs", run), {"status": status, "endtime": now})


def _record(remote: Remote, path: str, body: dict[str, Any]) -> None:
    import msgpack

    remote.post(path, body=msgpack.packb(body))


def _live(remote: Remote, run: str, members: dict[str, Any]) -> None:
    from simvue.remote import route

    if members.get("heartbeat_timeout"):
        remote.put(route("runs", run, "heartbeat"))


def _given(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


# ---- Many runs --------------------------------------------------------------------------------

_COMPARISON: Final = re.compile(r"([\w.\-/ ]+?)\s*(==|!=|!~|<=|>=|=|~|<|>)\s*(.*)")
_WORDS: Final = {"=": "==", "~": "contains", "!~": "not contains"}
"""Comparators of the command line that the server calls otherwise."""


def as_filter(text: str) -> str:
    """Write ``column comparator value`` as the server has it; what it has already stays."""
    match = _COMPARISON.fullmatch(text.strip())
    if match is None:
        return text.strip()
    column, comparator, value = match.groups()
    if column == "tag":
        return f"has {'not ' if comparator.startswith('!') else ''}tag.{value}"
    if not value:
        return f"{column} {'not ' if comparator == '!=' else ''}exists"
    column = "folder.path" if column == "folder" else column
    return f"{column} {_WORDS.get(comparator, comparator)} {value}"


def _narrow(filters: tuple[str, ...], shared: bool, starred: bool) -> dict[str, Any]:
    from simvue.listing import array

    conditions = [as_filter(text) for text in filters]
    conditions += [] if shared else ["user == self"]
    conditions += ["starred"] if starred else []
    # So that a server that sends only what is asked for sends what the columns show.
    flags = ("basic", "metadata", "timing")
    return {"filters": array(conditions)} | {f"return_{flag}": True for flag in flags}


add_list(
    command,
    RUNS,
    click.option(
        "-F",
        "--filter",
        "filters",
        multiple=True,
        metavar="FILTER",
        help="column, comparator (= != ~ !~ < > <= >=), value; 'column=': it exists; 'starred'. "
        "May be repeated: all must hold.",
    ),
    click.option("-m", "--metadata", multiple=True, metavar="KEY", help="Show this metadata."),
    click.option("--shared", is_flag=True, help="Those of others, too."),
    click.option("--starred", is_flag=True, help="Only what is starred."),
    narrow=_narrow,
    text="List runs, the newest first.",
)
add_json(command, RUNS, "Print runs as the server has them.")
add_remove(command, RUNS, "Delete runs and all that they recorded.")


# ---- Files ---------------------------------------------------------------------------------------


def _artifacts(identifier: str | None, as_json: bool, **rest: Any) -> None:
    from simvue.remote import route

    chosen = chosen_columns(ARTIFACTS, rest)
    (run,) = identifiers([identifier] if identifier else [])[:1]
    found = open_remote().get(route("runs", run, "artifacts"))
    if as_json:
        print_json(found)
    else:
        show(found, ARTIFACTS, chosen, **rest)


decorate(
    _artifacts,
    click.argument("identifier", metavar="ID", required=False),
    *table_options(ARTIFACTS),
)
command.command("artifacts", help="List the artifacts of a run.")(_artifacts)


@command.command()
@click.argument("identifier", metavar="ID", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("."),
    help="The directory to write into; by default the working one.",
)
@json_option
def pull(identifier: str | None, output: Path, as_json: bool) -> None:
    """Write all artifacts of a run as files, and print their paths."""
    client = open_client()
    paths: list[str] = []
    for run in identifiers([identifier] if identifier else []):
        paths += map(str, client.get_artifacts_as_files(run, output_dir=output))
    if as_json:
        print_json(paths)
    else:
        click.echo("".join(f"{path}\n" for path in paths), nl=False)
