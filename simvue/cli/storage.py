"""``simvue storage``: where the bytes of artifacts lie."""

from __future__ import annotations

from typing import IO, Final

import click

from .catalogue import Column, Kind, add_json, add_list, add_remove, created
from .console import json_option, open_remote

STORAGES: Final = Kind(
    "storage",
    (
        Column(("--name",), "name"),
        Column(("--backend",), "backend"),
        Column(("--created",), "created"),
        Column(("--default",), "is_default"),
        Column(("--tenant-usable",), "is_tenant_useable"),
        Column(("--enabled",), "is_enabled"),
    ),
    ("name", "backend", "default", "enabled"),
)


@click.group()
def command() -> None:
    """Add, list and delete storages."""


@command.group()
def add() -> None:
    """Add a storage."""


@add.command()
@click.argument("name")
@click.option("--bucket", required=True)
@click.option("--region-name")
@click.option("--endpoint-url", help="Of a service that is not Amazon's own.")
@click.option("--access-key-id", required=True)
@click.option(
    "--access-key-file",
    type=click.File("rb"),
    required=True,
    help="A file that holds the secret key, '-' for standard input: arguments are seen by all.",
)
@click.option("--disable-check", is_flag=True, help="Do not try the bucket.")
@click.option("--block-tenant", is_flag=True, help="Not for the others of the tenant.")
@click.option("--default", "is_default", is_flag=True, help="Artifacts go there from now on.")
@click.option("--disable", is_flag=True, help="Do not use it yet.")
@json_option
def s3(
    name: str,
    bucket: str,
    region_name: str | None,
    endpoint_url: str | None,
    access_key_id: str,
    access_key_file: IO[bytes],
    disable_check: bool,
    block_tenant: bool,
    is_default: bool,
    disable: bool,
    as_json: bool,
) -> None:
    """Add a bucket of S3, and print the storage's identifier."""
    where = {
        "bucket": bucket,
        "region_name": region_name,
        "endpoint_url": endpoint_url,
        "access_key_id": access_key_id,
        "secret_access_key": access_key_file.read().decode().strip(),
    }
    storage = {
        "name": name,
        "backend": "S3",
        "disable_check": disable_check,
        "is_tenant_useable": not block_tenant,
        "is_default": is_default,
        "is_enabled": not disable,
        "config": {member: value for member, value in where.items() if value is not None},
    }
    created(open_remote().post("/storage", storage), as_json)


add_list(command, STORAGES, text="List storages.")
add_json(command, STORAGES, "Print storages as the server has them.")
add_remove(command, STORAGES, "Delete storages that hold nothing.")
