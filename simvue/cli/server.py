"""``simvue server``: one command, one directory, and everything runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

from simvue.exception import ConfigurationError, StoreError

# S, I, M, V on a telephone: easy to say, not registered to anybody, below the ports that
# systems hand out by themselves, and not 5000, which macOS and other trackers occupy.
PORT: Final = 7468


def default_data() -> Path:
    """Return the directory used when none is named: the same one wherever one stands.

    A directory below the working directory would make every folder its own server, and
    would end up in repositories and on scratch disks that are swept.
    """
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "simvue"


@click.command()
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_data,
    show_default="~/.local/share/simvue",
    help="Where everything is kept; made if it is not there.  A local disk, not NFS.",
)
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
def command(data: Path, host: str, port: int, names: tuple[str, ...]) -> None:
    """Run the tracking server and its pages."""
    try:
        from simvue.server.process import serve
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the server needs {error.name}: pip install 'simvue[server]'"
        ) from None
    try:
        serve(data.absolute(), host, port, names)
    except (StoreError, ConfigurationError) as error:
        click.echo(f"simvue server: {error}", err=True)
        sys.exit(1)
