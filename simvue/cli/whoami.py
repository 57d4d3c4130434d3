"""``simvue whoami``: whose token it is."""

from __future__ import annotations

import click

from .console import json_option, open_remote, print_json


@click.command()
@click.option("-u", "--user", is_flag=True, help="Only the user.")
@click.option("-t", "--tenant", is_flag=True, help="Only the tenant.")
@json_option
def command(user: bool, tenant: bool, as_json: bool) -> None:
    """Print the user and tenant that the token speaks for: user(tenant)."""
    if user and tenant:
        raise click.UsageError("--user and --tenant exclude each other")
    who = open_remote().get("/whoami")
    if as_json:
        print_json(who)
    elif user or tenant:
        click.echo(who["user" if user else "tenant"])
    else:
        click.echo(f"{who['user']}({who['tenant']})")
