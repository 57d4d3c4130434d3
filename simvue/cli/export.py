"""``simvue export``: runs and series as tables for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .catalogue import decorate
from .console import identifiers, json_option, open_client, open_remote, tell
from .run import as_filter

_OPTIONS = (
    click.option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The file to write; its name may tell the format.  Without it standard output.",
    ),
    click.option("--format", "chosen", type=click.Choice(["csv", "parquet"]), help="Else CSV."),
    json_option,
)


@click.group()
def command() -> None:
    """Write runs and series to CSV or Parquet."""


def _runs(
    filters: tuple[str, ...],
    count: int,
    shared: bool,
    output: Path | None,
    chosen: str | None,
    as_json: bool,
) -> None:
    from simvue.exports import format_of, write_runs
    from simvue.listing import array, entries

    kind = format_of(output, chosen)
    conditions = [as_filter(text) for text in filters] + ([] if shared else ["user == self"])
    flags = {f"return_{flag}": True for flag in ("basic", "metadata", "metrics", "timing")}
    found = entries(
        open_remote(), "/runs", {"filters": array(conditions), **flags}, 0, count or None
    )
    rows = write_runs(found, output, kind)
    _tell(output, kind, rows, as_json)


decorate(
    _runs,
    click.option("-F", "--filter", "filters", multiple=True, help="As of 'simvue run list'."),
    click.option("--count", default=0, help="At most so many; without it all."),
    click.option("--shared", is_flag=True, help="Those of others, too."),
    *_OPTIONS,
)
command.command("runs", help="A row a run: members, metadata, the last value of each metric.")(
    _runs
)


def _series(
    ids: tuple[str, ...],
    metrics: tuple[str, ...],
    output: Path | None,
    chosen: str | None,
    as_json: bool,
) -> None:
    from simvue.exports import format_of, series_writer

    kind = format_of(output, chosen)
    client = open_client()
    rows = 0
    with series_writer(output, kind) as writer:
        for given in identifiers(ids):
            run = client.get_run(given)["id"]
            for name in metrics or client.get_metrics_names(run):
                series = client.get_series(run, name)
                writer.write(run, series)
                rows += len(series)
    _tell(output, kind, rows, as_json)


decorate(
    _series,
    click.argument("ids", nargs=-1, metavar="RUN..."),
    click.option("-m", "--metric", "metrics", multiple=True, help="May be repeated; else all."),
    *_OPTIONS,
)
command.command("series", help="A row a value, every one exactly as it was logged.")(_series)


def _tell(output: Path | None, kind: str, rows: int, as_json: bool) -> None:
    if output is None:
        return  # Standard output is the table itself.
    written: dict[str, Any] = {"file": str(output), "format": kind, "rows": rows}
    tell(f"{output}: {rows} rows", written, as_json)
