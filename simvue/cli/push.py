"""``simvue push``: many runs at once, out of a file."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, Final

import click

from .console import json_option, open_remote, print_json, read_object

_MEMBERS: Final = ("name", "description", "folder", "tags")
"""Columns that are members of a run; all others are metadata."""

_BATCH_MAX: Final = 20_000
"""Runs that a server takes in one request."""


@click.group()
def command() -> None:
    """Make many runs at once."""


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Of each that names none.")
@click.option("--folder", default="/", show_default=True, help="Of each that names none.")
@click.option("--tenant", is_flag=True, help="Everybody of the tenant sees them.")
@click.option("--public", is_flag=True, help="Everybody sees them.")
@click.option("--user", "users", multiple=True, help="Who else sees them; may be repeated.")
@click.option("--metadata", metavar="JSON", default="{}", help="For all of them.")
@click.option("--from-metadata", is_flag=True, help="Each entry is metadata and nothing else.")
@json_option
def runs(
    file: Path,
    name: str | None,
    folder: str,
    tenant: bool,
    public: bool,
    users: tuple[str, ...],
    metadata: str,
    from_metadata: bool,
    as_json: bool,
) -> None:
    """Make a run of each entry of a JSON array, or each row of a CSV table.

    An entry may have name, description, folder, tags and metadata; a row's other columns are
    metadata.  Prints their identifiers, in order.
    """
    if tenant and public:
        raise click.UsageError("--tenant and --public exclude each other")
    common = read_object(metadata, "--metadata")
    entries = _read(file)
    made: list[str] = []
    batch = []
    for number, entry in enumerate(entries, 1):
        run = _run(entry, from_metadata, f"entry {number} of {file}")
        run["metadata"] = {**common, **run["metadata"]}
        run.setdefault("folder", folder)
        if name:
            run.setdefault("name", name)
        if tenant or public or users:
            run["visibility"] = {"tenant": tenant, "public": public, "users": list(users)}
        batch.append({**run, "status": "completed"})
    remote = open_remote()
    for first in range(0, len(batch), _BATCH_MAX):
        answer = remote.post("/runs", batch[first : first + _BATCH_MAX])
        made += [one["id"] for one in answer]
    if as_json:
        print_json(made)
    else:
        click.echo("".join(f"{identifier}\n" for identifier in made), nl=False)


def _read(file: Path) -> list[Any]:
    try:
        with file.open(newline="", encoding="utf-8") as opened:
            if file.suffix == ".csv":
                return [{k: _typed(v) for k, v in row.items()} for row in csv.DictReader(opened)]
            entries = json.load(opened)
    except ValueError as error:
        raise click.ClickException(f"{file} cannot be read: {error}") from None
    if not isinstance(entries, list):
        raise click.ClickException(f"{file} holds no array of runs")
    return entries


def _typed(text: Any) -> Any:
    """Read a field of a table as the number that it may be."""
    for kind in (int, float):
        try:
            return kind(text)
        except (TypeError, ValueError):
            continue
    return text


def _run(entry: Any, from_metadata: bool, place: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise click.ClickException(f"{place} is no object")
    if from_metadata:
        return {"metadata": entry}
    run = {name: entry[name] for name in _MEMBERS if entry.get(name) not in (None, "")}
    if isinstance(run.get("tags"), str):
        run["tags"] = [tag.strip() for tag in run["tags"].split(",")]
    given = entry.get("metadata")
    others = {k: v for k, v in entry.items() if k not in (*_MEMBERS, "metadata") and v != ""}
    run["metadata"] = {**others, **(given if isinstance(given, dict) else {})}
    return run
