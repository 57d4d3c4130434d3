"""``simvue import``: runs out of TensorBoard's event files and CSV tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from simvue.exception import InvalidValueError

from .console import json_option, open_remote, print_json

if TYPE_CHECKING:
    from simvue.imports import Source


@click.command()
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="PATH...",
    type=click.Path(exists=True, path_type=Path),
)
@click.option("--name", help="Of the run; by default that of the file or directory.")
@click.option("--folder", default="/", show_default=True, help="Made if it is not there.")
@click.option("--tag", "tags", multiple=True, help="May be repeated.")
@click.option(
    "--key",
    help="What stands for the file: under one key a table that grows, or moves, stays one run.",
)
@click.option("--delimiter", default=",", show_default=True, help="Of a table.")
@click.option("--step", default="step", show_default=True, help="A table's column of steps.")
@click.option("--time", default="time", show_default=True, help="Of seconds since the start.")
@click.option("--timestamp", default="timestamp", show_default=True, help="Of moments.")
@json_option
def command(
    paths: tuple[Path, ...],
    name: str | None,
    folder: str,
    tags: tuple[str, ...],
    key: str | None,
    delimiter: str,
    step: str,
    time: str,
    timestamp: str,
    as_json: bool,
) -> None:
    """Make a run of each CSV table, and of each directory that holds event files.

    What was imported before is not doubled: the same table is the same run, and an event file
    that has grown brings what is new.
    """
    from simvue.imports import EventSource, TableSource, event_directories, import_run

    wanted: list[tuple[str, list[Source]]] = []
    try:
        for path in paths:
            if path.is_dir():
                known = len(wanted)
                for title, files in event_directories(path):
                    wanted.append((title, [EventSource(file) for file in files]))
                if len(wanted) == known:
                    raise click.ClickException(f"there is no event file of TensorBoard in {path}")
            elif "tfevents" in path.name:
                wanted.append((path.resolve().parent.name, [EventSource(path)]))
            else:
                table = TableSource(path, key, delimiter, step, time, timestamp)
                wanted.append((path.stem, [table]))
        if len(wanted) > 1 and (name or key):
            raise click.UsageError("--name and --key are for one run; here are several")
        remote = open_remote()
        told = []
        for title, sources in wanted:
            try:
                made = import_run(
                    remote, sources, name=name or title, folder=folder, tags=tags, key=key
                )
            except InvalidValueError as error:
                # One of many directories without a number is no reason to stop.
                click.echo(f"Error: {error}", err=True)
                continue
            told.append(made._asdict())
            if not as_json:
                click.echo(f"{made.run}\t{made.name}\t{made.rows} rows\t{made.new} new")
                for note in made.notes:
                    click.echo(note, err=True)
    except (OSError, ValueError) as error:
        # A file of another kind, or none that may be read; whatever it is, it says so.
        raise click.ClickException(str(error)) from None
    if as_json:
        print_json(told)
    sys.exit(0 if len(told) == len(wanted) else 1)
