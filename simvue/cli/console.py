"""What the commands share: the server that they speak to, and how they print what it answers.

A table on a terminal, plain lines in a pipe, and with ``--json`` one value on one line: what the
server sent, whole, whatever columns were asked for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from simvue.config import Config, load

if TYPE_CHECKING:
    from simvue.client import Client
    from simvue.remote import Remote


@dataclass
class Choices:
    """What was chosen for the whole command line, in front of the subcommand."""

    profile: str | None = None
    plain: bool = False


def choices() -> Choices:
    """Return what was chosen in front of the subcommand."""
    found = click.get_current_context().find_object(Choices)
    return found or Choices()


def settings() -> Config:
    """Gather the settings, of the chosen profile; raises ConfigurationError."""
    return load(profile=choices().profile)


def open_remote() -> Remote:
    """Return a session with the server; closed when the command ends."""
    from simvue.remote import Remote

    config = settings()
    url, token = config.require_server()
    remote = Remote(
        url,
        token,
        token_source=config.token_source,
        ca_file=config.ca_file,
        proxy=config.proxy,
    )
    click.get_current_context().call_on_close(remote.close)
    return remote


def open_client() -> Client:
    """Return a client of the server; closed when the command ends."""
    from simvue.client import Client

    client = Client(server_profile=choices().profile)
    click.get_current_context().call_on_close(client.close)
    return client


# ---- What is read ---------------------------------------------------------------------------


def identifiers(given: Sequence[str]) -> list[str]:
    """Return the identifiers given, or else those on standard input, a word each."""
    if given:
        return list(given)
    if sys.stdin.isatty():
        raise click.UsageError("name an identifier, or pipe some in")
    found = sys.stdin.read().split()
    if not found:
        raise click.ClickException("no identifier came from standard input")
    return found


def read_object(text: str, what: str) -> dict[str, Any]:
    """Read a JSON object off the command line; raises BadParameter naming *what* it is."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise click.BadParameter(f'{what} is an object such as {{"loss": 0.5}}')
    return value


# ---- What is printed ------------------------------------------------------------------------

json_option = click.option("--json", "as_json", is_flag=True, help="For programs: one line.")

STYLES: Final = ("plain", "simple", "grid", "rounded", "github")


def print_json(value: Any) -> None:
    """Print one value on one line."""
    click.echo(json.dumps(value))


def print_object(value: Any) -> None:
    """Print a value for somebody to read on a terminal, on one line in a pipe."""
    if sys.stdout.isatty() and not choices().plain:
        from rich.console import Console

        Console().print_json(data=value)
    else:
        print_json(value)


def tell(text: str, value: Any, as_json: bool) -> None:
    """Print *text*, or for programs *value*."""
    if as_json:
        print_json(value)
    else:
        click.echo(text)


def print_table(
    entries: Iterable[dict[str, Any]],
    columns: Sequence[tuple[str, str]],
    *,
    style: str | None,
    enumerate_rows: bool,
) -> None:
    """Print *columns*, (title, member) each, of *entries*: tabs between them where no table is."""
    rows = [[_cell(entry, member) for _, member in columns] for entry in entries]
    titles = [title for title, _ in columns]
    if enumerate_rows:
        rows = [[str(number), *row] for number, row in enumerate(rows, 1)]
        titles = ["#", *titles]
    if style is None:
        style = "simple" if sys.stdout.isatty() and not choices().plain else "plain"
    if style == "plain":
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    boxes = {
        "simple": box.SIMPLE,
        "grid": box.ASCII2,
        "rounded": box.ROUNDED,
        "github": box.MARKDOWN,
    }
    table = Table(*titles, box=boxes[style], show_edge=style != "simple")
    for row in rows:
        # As text: a name like "[red]" is a name.
        table.add_row(*map(Text, row))
    # In a pipe there is no width to fit into, and what is cut off is lost.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    with console.capture() as drawn:
        console.print(table)
    # Some boxes have an edge of nothing.
    click.echo("\n".join(line.rstrip() for line in drawn.get().splitlines() if line.strip()))


_WIDTH: Final = 10_000
"""Characters of a line that goes to no terminal; chosen: wider than any row."""


def _cell(entry: dict[str, Any], member: str) -> str:
    table, _, key = member.partition(".")
    value = entry.get(table)
    if key:
        value = value.get(key) if isinstance(value, dict) else None
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    # One row, one line: what a stranger called a run must not look like two.
    return " ".join(text.split())
