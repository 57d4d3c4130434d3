"""``simvue server``: one command, one directory, and everything runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from simvue.exception import ConfigurationError, StoreError

from . import copies
from .stores import is_typed, store_options

# S, I, M, V on a telephone: easy to say, not registered to anybody, below the ports that
# systems hand out by themselves, and not 5000, which macOS and other trackers occupy.
PORT: Final = 7468


@click.group(invoke_without_command=True)
@store_options
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 for all of this machine.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Port to listen on; 0 for any free one.",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    help="A host name by which people reach this server, behind a proxy say; may be repeated.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to write the log, on stderr: lines for people, or one JSON object a line.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    show_default=True,
    help="What to log: at debug every request, at info those that failed or were slow.",
)
@click.pass_context
def command(
    context: click.Context,
    data: Path,
    store: str | None,
    blobs: str | None,
    host: str,
    port: int,
    names: tuple[str, ...],
    log_format: str,
    log_level: str,
) -> None:
    """Run the tracking server and its pages; or, with a command, care for its store."""
    if context.invoked_subcommand is not None:
        if any(map(is_typed, context.params)):
            raise click.UsageError(f"options go behind {context.invoked_subcommand}")
        return
    try:
        from simvue.server.logs import configure
        from simvue.server.process import serve
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the server needs {error.name}: pip install 'simvue[server]'"
        ) from None
    configure(log_format, log_level)
    try:
        serve(data.absolute(), host, port, names, store, blobs)
    except (StoreError, ConfigurationError) as error:
        click.echo(f"simvue server: {error}", err=True)
        sys.exit(1)


for subcommand in (copies.backup, copies.restore, copies.migrate, copies.check):
    command.add_command(subcommand)
