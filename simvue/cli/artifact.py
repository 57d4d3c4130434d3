"""``simvue artifact``: the files and objects that runs have saved."""

from __future__ import annotations

from typing import Final

import click

from .catalogue import Column, Kind, add_json, add_list

ARTIFACTS: Final = Kind(
    "artifacts",
    (
        Column(("--name",), "name"),
        Column(("--size",), "size"),
        Column(("--mime-type",), "mime_type"),
        Column(("--original-path",), "original_path"),
        Column(("--storage",), "storage_id"),
        Column(("--created",), "created"),
        Column(("--user",), "user"),
        Column(("--download-url",), "url"),
        Column(("--uploaded",), "uploaded"),
        Column(("--checksum",), "checksum"),
    ),
    ("name", "size", "mime-type", "created"),
    ("created", "name", "metadata.KEY"),
)


@click.group()
def command() -> None:
    """Look at artifacts; 'simvue run pull' fetches those of a run."""


add_list(command, ARTIFACTS, text="List artifacts, the newest first.")
add_json(command, ARTIFACTS, "Print artifacts as the server has them.")
