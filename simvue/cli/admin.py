"""``simvue admin``: tenants and users, for administrators."""

from __future__ import annotations

from typing import Final

import click

from .catalogue import Column, Kind, add_json, add_list, add_remove, created
from .console import json_option, open_remote

TENANTS: Final = Kind(
    "tenants",
    (
        Column(("--name",), "name"),
        Column(("--enabled",), "is_enabled"),
        Column(("--max-runs",), "max_runs"),
        Column(("--max-data-volume",), "max_data_volume"),
        Column(("--max-request-rate",), "max_request_rate"),
        Column(("--created",), "created"),
    ),
    ("name", "enabled", "created"),
)

USERS: Final = Kind(
    "users",
    (
        Column(("--username",), "username"),
        Column(("--full-name",), "fullname"),
        Column(("--email",), "email"),
        Column(("--admin",), "is_admin"),
        Column(("--manager",), "is_manager"),
        Column(("--enabled",), "is_enabled"),
        Column(("--read-only",), "is_readonly"),
        Column(("--deleted",), "is_deleted"),
    ),
    ("username", "full-name", "email", "admin", "enabled"),
)


@click.group()
def command() -> None:
    """Tenants and users; only for administrators."""


@command.group()
def tenant() -> None:
    """Who shares the server without seeing each other."""


@tenant.command("add")
@click.argument("name")
@click.option("--disabled", is_flag=True, help="Its users may not work yet.")
@click.option("-m", "--max-runs", default=0, help="0: as many as they like.")
@click.option("-r", "--max-request-rate", default=0, help="Requests a minute; 0: any.")
@click.option("-V", "--max-data-volume", default=0, help="Bytes; 0: any.")
@json_option
def add_tenant(
    name: str,
    disabled: bool,
    max_runs: int,
    max_request_rate: int,
    max_data_volume: int,
    as_json: bool,
) -> None:
    """Add a tenant, and print its identifier."""
    members = {
        "name": name,
        "is_enabled": not disabled,
        "max_runs": max_runs,
        "max_request_rate": max_request_rate,
        "max_data_volume": max_data_volume,
    }
    created(open_remote().post("/tenants", members), as_json)


add_list(tenant, TENANTS, text="List tenants.")
add_json(tenant, TENANTS, "Print tenants as the server has them.")
add_remove(tenant, TENANTS, "Delete tenants.")


@command.group()
def user() -> None:
    """Who may ask the server."""


@user.command("add")
@click.argument("username")
@click.option("-e", "--email", required=True)
@click.option("-n", "--full-name", required=True)
@click.option("-t", "--tenant", "of_tenant", required=True, metavar="ID")
@click.option("--manager", is_flag=True, help="They manage their tenant.")
@click.option("--admin", is_flag=True, help="They administer the server.")
@click.option("--disabled", is_flag=True, help="They may not ask yet.")
@click.option("--read-only", is_flag=True, help="They may only look.")
@click.option("--welcome", is_flag=True, help="They get mail.")
@json_option
def add_user(
    username: str,
    email: str,
    full_name: str,
    of_tenant: str,
    manager: bool,
    admin: bool,
    disabled: bool,
    read_only: bool,
    welcome: bool,
    as_json: bool,
) -> None:
    """Add a user, and print their identifier."""
    members = {
        "username": username,
        "fullname": full_name,
        "email": email,
        "is_manager": manager,
        "is_admin": admin,
        "is_readonly": read_only,
        "is_enabled": not disabled,
        "welcome": welcome,
    }
    answer = open_remote().post("/users", {"user": members, "tenant": of_tenant})
    created(answer, as_json)


add_list(user, USERS, text="List users.")
add_json(user, USERS, "Print users as the server has them.")
add_remove(user, USERS, "Delete users.")
