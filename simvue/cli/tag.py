"""``simvue tag``: names that runs and folders wear."""

from __future__ import annotations

from typing import Final

import click

from .catalogue import Column, Kind, add_json, add_list, add_remove, created
from .console import json_option, open_remote

TAGS: Final = Kind(
    "tags",
    (
        Column(("--name",), "name"),
        Column(("--color", "--colour"), "colour"),
        Column(("--created",), "created"),
        Column(("--description",), "description"),
    ),
    ("name", "colour", "created"),
    ("created", "name"),
)


@click.group()
def command() -> None:
    """Make, list and delete tags."""


@command.command()
@click.argument("name")
@click.option("--color", "--colour", "colour", help="Of CSS: red, or #ff8800.")
@click.option("--description")
@json_option
def create(name: str, colour: str | None, description: str | None, as_json: bool) -> None:
    """Make a tag, and print its identifier; if there is one of that name, that one's."""
    members = {"name": name, "colour": colour, "description": description}
    given = {member: value for member, value in members.items() if value is not None}
    created(open_remote().post("/tags", given), as_json)


add_list(command, TAGS, text="List tags, the newest first.")
add_json(command, TAGS, "Print tags as the server has them.")
add_remove(command, TAGS, "Delete tags, and take them off every run.")
