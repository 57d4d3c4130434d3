"""``simvue monitor``: a run out of lines that some other program prints."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import click

from .console import choices, json_option, tell


@click.command()
@click.option("--name", help="Without it two words are picked.")
@click.option("--description")
@click.option("--tag", "tags", multiple=True, help="May be repeated.")
@click.option("--folder", help="Made if it is not there.")
@click.option("--retention", metavar="SPAN", help="Delete the run after so long, '5 days' say.")
@click.option("--delimiter", help="What stands between two values; by default space and tab.")
@click.option(
    "--environment", is_flag=True, help="Record the packages and commit, though settings say no."
)
@json_option
def command(
    name: str | None,
    description: str | None,
    tags: tuple[str, ...],
    folder: str | None,
    retention: str | None,
    delimiter: str | None,
    environment: bool,
    as_json: bool,
) -> None:
    """Record metrics that come on standard input, a step a line; the first line names them.

    A field that is no number is left out.  The run has completed when the input ends.
    """
    from simvue.config import RunDefaults
    from simvue.context import surroundings
    from simvue.run import Run

    names = _split(sys.stdin.readline(), delimiter)
    if not names:
        raise click.ClickException("the first line of standard input names no metrics")
    # Standard output is for the identifier alone.
    with redirect_stdout(sys.stderr), Run(server_profile=choices().profile) as run:
        run.init(
            name,
            tags=list(tags),
            description=description,
            folder=folder,
            retention_period=retention,
            metadata=surroundings(RunDefaults()) if environment else None,
        )
        steps = 0
        for line in sys.stdin:
            row = dict(_numbers(names, _split(line, delimiter)))
            if row:
                run.log_metrics(row, step=steps)
                steps += 1
        identifier = run.id
    tell(str(identifier), {"id": identifier, "steps": steps}, as_json)


def _split(line: str, delimiter: str | None) -> list[str]:
    return [field.strip() for field in line.strip().split(delimiter)] if line.strip() else []


def _numbers(names: list[str], fields: list[str]) -> list[tuple[str, float]]:
    found = []
    # A line that is cut off, or too long, has what it has.
    for name, field in zip(names, fields, strict=False):
        try:
            found.append((name, float(field)))
        except ValueError:
            continue
    return found
