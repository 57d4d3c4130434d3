"""The commands that every kind of object of the server has: list, json, remove."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import click

from .console import (
    STYLES,
    identifiers,
    json_option,
    open_remote,
    print_json,
    print_object,
    print_table,
    tell,
)

COUNT: Final = 20
"""Entries of a list that are shown unless more are asked for: a screen of them."""


_TEXTS: Final = frozenset({"name", "path"})
"""Columns that are read from A on; of others the greatest is wanted first."""


class Column(NamedTuple):
    """A column of a list: the options that ask for it, and the member of the entry."""

    flags: tuple[str, ...]
    member: str

    @property
    def title(self) -> str:
        """What stands above it."""
        return self.flags[-1].lstrip("-")


class Kind(NamedTuple):
    """One kind of object: its collection on the wire, its columns, and the usual ones of those."""

    collection: str
    columns: tuple[Column, ...]
    usual: tuple[str, ...]
    sortable: tuple[str, ...] = ()


def add_list(
    group: click.Group,
    kind: Kind,
    *options: Callable[[Any], Any],
    narrow: Callable[..., dict[str, Any]] = dict,
    text: str,
) -> None:
    """Add the command that lists; *narrow* turns *options* of its own into parameters."""

    def listed(count: int, offset: int, as_json: bool, **rest: Any) -> None:
        from simvue.listing import entries, sorted_by

        chosen = chosen_columns(kind, rest)
        chosen += [Column((key,), f"metadata.{key}") for key in rest.pop("metadata", ())]
        layout = {name: rest.pop(name) for name in ("style", "enumerate_rows")}
        order, is_reversed = rest.pop("sort_by", ()), rest.pop("reverse", False)
        params: dict[str, Any] = narrow(**rest)
        if kind.sortable:
            # The newest first, but names from A on.
            sorting = [
                (column, (column not in _TEXTS) != is_reversed) for column in order or ("created",)
            ]
            params["sorting"] = sorted_by(sorting)
        found = entries(open_remote(), f"/{kind.collection}", params, offset, count or None)
        if as_json:
            print_json(list(found))
        else:
            show(found, kind, chosen, **layout)

    ordered = [
        click.option(
            "--sort-by",
            multiple=True,
            metavar="COLUMN",
            help=f"{', '.join(kind.sortable)}; may be repeated.",
        ),
        click.option("--reverse", is_flag=True, help="The other way round."),
    ]
    decorate(
        listed,
        click.option("--count", default=COUNT, show_default=True, help="At most so many; 0: all."),
        click.option("--offset", default=0, help="Leave out so many at the beginning."),
        *(ordered if kind.sortable else ()),
        *table_options(kind),
        *options,
    )
    group.command("list", help=text)(listed)


def table_options(kind: Kind) -> list[Callable[[Any], Any]]:
    """Return the options of a table of such objects, ``--json`` among them."""
    styled = click.option("--format", "style", type=click.Choice(STYLES), help="How it looks.")
    numbered = click.option("--enumerate", "enumerate_rows", is_flag=True, help="Number the rows.")
    columns = [
        click.option(*column.flags, _name(column), is_flag=True, help=f"Show {column.title}.")
        for column in kind.columns
    ]
    return [styled, numbered, json_option, *columns]


def chosen_columns(kind: Kind, options: dict[str, Any]) -> list[Column]:
    """Take out of *options* the columns that were asked for."""
    return [column for column in kind.columns if options.pop(_name(column))]


def show(found: Any, kind: Kind, chosen: Sequence[Column], **layout: Any) -> None:
    """Print a table of objects; in a pipe, unless told otherwise, only their identifiers."""
    import sys

    columns = [(column.title, column.member) for column in chosen]
    if not columns and (layout["style"] or sys.stdout.isatty()):
        columns = [(c.title, c.member) for c in kind.columns if c.title in kind.usual]
    print_table(found, [("id", "id"), *columns], **layout)


def add_json(group: click.Group, kind: Kind, text: str) -> None:
    """Add the command that prints one object as the server has it."""

    @group.command("json", help=text)
    @click.argument("identifier", metavar="ID", required=False)
    @json_option
    def _(identifier: str | None, as_json: bool) -> None:
        from simvue.remote import route

        remote = open_remote()
        for name in identifiers([identifier] if identifier else []):
            found = remote.get(route(kind.collection, name))
            if as_json:
                print_json(found)
            else:
                print_object(found)


def add_remove(group: click.Group, kind: Kind, text: str) -> None:
    """Add the command that deletes objects."""

    @group.command("remove", help=text)
    @click.argument("ids", nargs=-1, metavar="ID...")
    @click.option("-i", "--interactive", is_flag=True, help="Ask before each.")
    @json_option
    def _(ids: tuple[str, ...], interactive: bool, as_json: bool) -> None:
        remove(kind, identifiers(ids), interactive, as_json)


def remove(kind: Kind, ids: Sequence[str], interactive: bool, as_json: bool, **flags: Any) -> None:
    """Delete objects one by one; the first that cannot be deleted ends it, and is named."""
    from simvue.remote import route

    remote = open_remote()
    removed = []
    for identifier in ids:
        if interactive and not click.confirm(f"Remove {identifier}?", err=True):
            continue
        remote.delete(route(kind.collection, identifier), flags or None)
        removed.append(identifier)
        if not as_json:
            click.echo(identifier)
    if as_json:
        print_json({"removed": removed})


def created(answer: Any, as_json: bool) -> None:
    """Print the identifier of what was just made."""
    tell(str(answer["id"]), {"id": answer["id"]}, as_json)


def decorate(function: Callable[..., Any], *options: Callable[[Any], Any]) -> None:
    """Put *options* on a command's function, so that help shows them in this order."""
    for option in reversed(options):
        option(function)


def _name(column: Column) -> str:
    return f"show_{column.title.replace('-', '_')}"
