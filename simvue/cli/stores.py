"""Which store: the options that ``simvue server`` and its subcommands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click


class Place(NamedTuple):
    """A store and its blobs, as ``open_store`` takes them."""

    store: str
    blobs: str | None


def default_data() -> Path:
    """Return the directory used when none is named: the same one wherever one stands.

    A directory below the working directory would make every folder its own server, and
    would end up in repositories and on scratch disks that are swept.
    """
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "simvue"


data_option = click.option(
    "--data",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_data,
    show_default="~/.local/share/simvue",
    help="Where everything is kept; made if it is not there.  A local disk, not NFS.",
)
store_option = click.option(
    "--store",
    metavar="URL",
    envvar="SIMVUE_SERVER_STORE",
    help="Where to keep everything instead: postgresql://..., for any number of servers.",
)
blobs_option = click.option(
    "--blobs",
    metavar="URL",
    envvar="SIMVUE_SERVER_BLOBS",
    help="Where to keep what is big: s3://BUCKET/PREFIX?endpoint=URL, or a directory.",
)


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the parameters data, store and blobs, which ``chosen`` takes."""
    return data_option(store_option(blobs_option(command)))


def chosen(data: Path, store: str | None, blobs: str | None) -> Place:
    """Return the place that the options name."""
    if is_typed("data") and is_typed("store"):
        raise click.UsageError("a store is in a directory or in a database: --data or --store")
    if store is None or is_typed("data"):
        # Who names a directory means it, whatever the environment says of this machine's server.
        return Place(str(data.absolute()), blobs if store is None or is_typed("blobs") else None)
    return Place(store, blobs)


def is_typed(parameter: str) -> bool:
    """Tell whether *parameter* of this command was given on its line."""
    source = click.get_current_context().get_parameter_source(parameter)
    return source is click.core.ParameterSource.COMMANDLINE
