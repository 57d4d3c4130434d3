"""``simvue alert``: what watches runs, and what a user raises by hand."""

from __future__ import annotations

from typing import Final

import click

from .catalogue import Column, Kind, add_json, add_list, add_remove, created
from .console import json_option, open_remote, tell

ALERTS: Final = Kind(
    "alerts",
    (
        Column(("--name",), "name"),
        Column(("--source",), "source"),
        Column(("--notification",), "notification"),
        Column(("--enabled",), "enabled"),
        Column(("--abort",), "abort"),
        Column(("--auto",), "auto"),
        Column(("--run-tags",), "run_tags"),
        Column(("--created",), "created"),
        Column(("--description",), "description"),
    ),
    ("name", "source", "enabled", "created"),
    ("created", "name"),
)


@click.group()
def command() -> None:
    """Make, raise, list and delete alerts."""


@command.command()
@click.argument("name")
@click.option("--abort", is_flag=True, help="It asks the run to stop.")
@click.option("--description")
@click.option("--email", is_flag=True, help="Its owner gets mail.")
@json_option
def create(name: str, abort: bool, description: str | None, email: bool, as_json: bool) -> None:
    """Make an alert that is raised by hand, and print its identifier."""
    alert = {
        "name": name,
        "source": "user",
        "description": description,
        "abort": abort,
        "enabled": True,
        "notification": "email" if email else "none",
    }
    created(open_remote().post("/alerts", alert, {"deduplicate": True}), as_json)


@command.command()
@click.argument("run", metavar="RUN")
@click.argument("alert", metavar="ALERT")
@click.option("--ok", is_flag=True, help="All is well again.")
@json_option
def trigger(run: str, alert: str, ok: bool, as_json: bool) -> None:
    """Raise an alert in a run, or end it; it is put onto the run if it is not there."""
    from simvue.remote import route

    remote = open_remote()
    there = [one["alert"]["id"] for one in remote.get(route("runs", run))["alerts"]]
    if alert not in there:
        remote.put(route("runs", run), {"alerts": [*there, alert]})
    status = "ok" if ok else "critical"
    remote.put(route("alerts", alert, "status", run), {"status": status})
    tell(status, {"run": run, "alert": alert, "status": status}, as_json)


add_list(command, ALERTS, text="List alerts, the newest first.")
add_json(command, ALERTS, "Print alerts as the server has them.")
add_remove(command, ALERTS, "Delete alerts, and take them off every run.")
