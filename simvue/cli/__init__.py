"""The ``simvue`` command: parses, calls, prints.

A module of this folder holds a click command called ``command``, which is a subcommand of
the module's name; but for those that hold what the commands share.  It is imported only when it
is asked for, so ``simvue ship`` does not pay for the server.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Final

import click

from simvue.exception import ObjectNotFoundError, ServerError, SimvueRunError, StoreError
from simvue.version import __version__

from .console import Choices

_SHARED: Final = frozenset({"catalogue", "console", "copies", "stores"})
"""Modules that are no subcommands."""


class _Commands(click.Group):
    """The subcommands found in this folder."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        # Of a word that Python keeps for itself, import, the module's name ends with "_".
        names = {module.name.rstrip("_") for module in pkgutil.iter_modules(__path__)}
        return sorted(name.replace("_", "-") for name in names - _SHARED)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = self.list_commands(ctx)
        # Who thinks of many runs says "simvue runs list".
        name = cmd_name.removesuffix("s") if cmd_name not in known else cmd_name
        if name not in known:
            return None
        module = name.replace("-", "_") + ("_" if name == "import" else "")
        command: click.Command | None = importlib.import_module(f"{__name__}.{module}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (SimvueRunError, ServerError, ObjectNotFoundError, StoreError) as error:
            # Whoever's fault it is, they say so in a sentence; how we came there helps nobody.
            raise click.ClickException(str(error)) from None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="simvue")
@click.option("--profile", metavar="NAME", help="The server of [profiles.NAME] in simvue.toml.")
@click.option("--plain", is_flag=True, help="No tables and colours on a terminal either.")
@click.option("-v", "--verbose", is_flag=True, help="Tell of each request, on standard error.")
@click.pass_context
def simvue(context: click.Context, profile: str | None, plain: bool, verbose: bool) -> None:
    """Track simulations: run a server, send what was recorded offline, look at runs."""
    context.obj = Choices(profile, plain)
    if verbose:
        import logging

        logging.basicConfig(level=logging.DEBUG, format="%(message)s")


def main() -> None:
    """Run the command line."""
    simvue(prog_name="simvue")
