"""``simvue folder``: the tree in which runs lie."""

from __future__ import annotations

from typing import Any, Final

import click

from .catalogue import Column, Kind, add_json, add_list, remove
from .console import choices, identifiers, json_option, open_remote, print_json

FOLDERS: Final = Kind(
    "folders",
    (
        Column(("--path",), "path"),
        Column(("--name",), "name"),
        Column(("--tags",), "tags"),
        Column(("--created",), "created"),
        Column(("--description",), "description"),
    ),
    ("path", "created"),
    ("created", "modified", "path", "metadata.KEY"),
)


@click.group()
def command() -> None:
    """List, draw and delete folders."""


add_list(command, FOLDERS, text="List folders, the newest first.")
add_json(command, FOLDERS, "Print folders as the server has them.")


@command.command("remove")
@click.argument("ids", nargs=-1, metavar="ID...")
@click.option("-i", "--interactive", is_flag=True, help="Ask before each.")
@click.option("-r", "--recurse", is_flag=True, help="The folders in it, too.")
@click.option("-f", "--force", is_flag=True, help="The runs in it, too.")
@click.option("-c", "--content", is_flag=True, help="Only the runs in it.")
@json_option
def remove_folders(
    ids: tuple[str, ...], interactive: bool, recurse: bool, force: bool, content: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Delete folders; one that is not empty only with the options for what is in it."""
    flags = {"recursive": recurse, "runs": force or content, "runs_only": content}
    remove(FOLDERS, identifiers(ids), interactive, as_json, **flags)


@command.command()
@click.argument("identifier", metavar="ID", required=False)
@click.option("-l", "--detail", is_flag=True, help="Show the runs of each folder, too.")
@json_option
def tree(identifier: str | None, detail: bool, as_json: bool) -> None:
    """Draw the folders under one; a path does as well as an identifier."""
    from simvue.exception import ObjectNotFoundError
    from simvue.listing import array, entries
    from simvue.remote import route

    remote = open_remote()
    (name,) = identifiers([identifier] if identifier else [])[:1]
    root = name if name.startswith("/") else str(remote.get(route("folders", name))["path"])
    filters = {"filters": array([f"path contains {root}"])}
    paths = {folder["path"] for folder in entries(remote, "/folders", filters)}
    within = {path for path in paths if path == root or path.startswith(f"{root.rstrip('/')}/")}
    if not within:
        raise ObjectNotFoundError("Folder", root)
    drawn: dict[str, Any] = {}
    for path in sorted(within):
        place = drawn
        for part in filter(None, path[len(root.rstrip("/")) :].split("/")):
            place = place.setdefault(part, {})
        if detail:
            condition = {"filters": array([f"folder.path == {path}"])}
            for run in entries(remote, "/runs", condition):
                place[f"{run['name']} ({run['id']}, {run['status']})"] = {}
    if as_json:
        print_json({root: drawn})
    elif choices().plain:
        _draw(drawn, root)
    else:
        _draw_branches(drawn, root)


def _draw(drawn: dict[str, Any], name: str, depth: int = 0) -> None:
    click.echo(f"{'  ' * depth}{name}")
    for part, below in drawn.items():
        _draw(below, part, depth + 1)


def _draw_branches(drawn: dict[str, Any], name: str) -> None:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    def grow(tree: Tree, below: dict[str, Any]) -> Tree:
        for part, further in below.items():
            grow(tree.add(Text(part)), further)
        return tree

    Console(soft_wrap=True).print(grow(Tree(Text(name)), drawn))
