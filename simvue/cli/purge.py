"""``simvue purge``: leave nothing of this user's on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from simvue.config import load
from simvue.exception import ConfigurationError

from .console import json_option, tell


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Even if it holds data that was never sent.")
@json_option
def command(yes: bool, force: bool, as_json: bool) -> None:
    """Delete the cache and the settings in the home; unsent data only with --force."""
    from simvue.config.files import CONFIG_FILE_NAMES
    from simvue.spool import list_files

    try:
        cache = load().cache
    except ConfigurationError:
        cache = Path.home() / ".simvue"
    waiting = [path for part in ("", "rejected") for path in list_files(cache / "spool" / part)]
    if waiting and not force:
        raise click.ClickException(
            f"{cache / 'spool'} holds {len(waiting)} files that were not sent; 'simvue ship' "
            "sends them, --force deletes them"
        )
    files = [Path.home() / name for name in CONFIG_FILE_NAMES]
    doomed = [path for path in (cache, *files) if path.exists()]
    if doomed and not yes:
        click.echo("\n".join(map(str, doomed)), err=True)
        click.confirm("Delete them?", abort=True, err=True)
    for path in doomed:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    deleted = [str(path) for path in doomed]
    told = f"deleted {', '.join(deleted)}" if deleted else "there is nothing to delete"
    tell(told, {"deleted": deleted}, as_json)
