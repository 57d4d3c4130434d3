"""``simvue about``: which versions meet here."""

from __future__ import annotations

import platform

import click

from simvue.exception import ConfigurationError, ServerError
from simvue.version import __version__

from .console import json_option, open_remote, print_json


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Print the versions of this package, of Python and of the server."""
    found = {"simvue": __version__, "python": platform.python_version(), "server": None}
    try:
        remote = open_remote()
        found["server"] = remote.version
        found["address"] = remote.url
    except (ConfigurationError, ServerError) as error:
        # The other versions are wanted most where the server does not answer.
        found["trouble"] = str(error)
    if as_json:
        print_json(found)
    else:
        for name, value in found.items():
            click.echo(f"{name:8}  {value or 'unknown'}")
