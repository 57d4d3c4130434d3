"""The ``simvue`` command: parses, calls, prints.

A module of this folder that holds a click command called ``command`` is a subcommand of
the module's name.  It is imported only when it is asked for, so ``simvue ship`` does not
pay for the server.
"""

from __future__ import annotations

import importlib
import pkgutil

import click

from simvue.version import __version__


class _Commands(click.Group):
    """The subcommands found in this folder."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{cmd_name.replace('-', '_')}")
        command: click.Command | None = getattr(module, "command", None)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="simvue")
def simvue() -> None:
    """Track simulations: run a server, send what was recorded offline, look at runs."""


def main() -> None:
    """Run the command line."""
    simvue(prog_name="simvue")
