"""``simvue server backup``, ``restore``, ``migrate`` and ``check``: a store as a whole."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any

import click

from simvue.exception import StoreError

from .console import json_option, tell
from .spool import how_much
from .stores import Place, blobs_option, chosen, data_option, store_options


def _guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Run *command* as the server runs: with files for their owner, and its packages."""

    @wraps(command)
    def guarded(*arguments: Any, **options: Any) -> None:
        os.umask(0o077)
        try:
            command(*arguments, **options)
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"the server needs {error.name}: pip install 'simvue[server]'"
            ) from None

    return guarded


# ---- Copies -----------------------------------------------------------------------------


@click.command()
@click.argument("dest", type=click.Path(path_type=Path))
@store_options
@json_option
@_guarded
def backup(dest: Path, data: Path, store: str | None, blobs: str | None, as_json: bool) -> None:
    """Copy the whole store to the directory DEST, which must be empty or not there.

    The server may run meanwhile.  DEST is a data directory: 'simvue server --data DEST' serves
    it, 'simvue server restore DEST' brings it back.  A copy that is cut off leaves DEST.new.
    """
    _copy(chosen(data, store, blobs), Place(str(dest.absolute()), None), as_json)


@click.command()
@click.argument("src", type=click.Path(exists=True, file_okay=False, path_type=Path))
@store_options
@json_option
@_guarded
def restore(src: Path, data: Path, store: str | None, blobs: str | None, as_json: bool) -> None:
    """Copy the backup in SRC to an empty place, of either kind."""
    _copy(Place(str(src.absolute()), None), chosen(data, store, blobs), as_json)


@click.command()
@data_option
@click.option("--data-blobs", metavar="URL", help="The blobs of --data, if they lie elsewhere.")
@click.option("--to", metavar="URL", required=True, help="An empty database: postgresql://...")
@blobs_option
@click.option("--despite-faults", is_flag=True, help="Go on where the store lacks something.")
@json_option
@_guarded
def migrate(
    data: Path,
    data_blobs: str | None,
    to: str,
    blobs: str | None,
    despite_faults: bool,
    as_json: bool,
) -> None:
    """Copy a data directory, whose server is stopped, to PostgreSQL, and serve it there.

    The directory stays as it is, marked as moved: no server opens it any more.
    """
    from simvue.server.store import moved, open_store, shown
    from simvue.server.store.sources import in_postgres

    data = data.absolute()
    if not in_postgres(to):
        raise click.BadParameter(f"{to} is no address of a database: postgresql://...")
    if not (data / "simvue.db").exists():
        raise StoreError(f"there is no store in {data}: it has no simvue.db")
    # Whoever holds the lock is the only one who writes, and an older store is upgraded.
    held = open_store(str(data), data_blobs)
    try:
        _copy(
            Place(str(data), data_blobs),
            Place(to, blobs),
            as_json,
            whole=not despite_faults,
            done=lambda: moved.mark(data, shown(to)),
        )
    finally:
        held.close()


def _copy(
    origin: Place,
    goal: Place,
    as_json: bool,
    whole: bool = False,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Copy a store and say what was copied; with *whole* only if it lacks nothing."""
    from simvue.server.store import shown
    from simvue.server.store.copies import copy
    from simvue.server.store.sources import open_source
    from simvue.server.store.targets import open_target

    begin = time.monotonic()
    with open_source(*origin) as source, open_target(*goal) as target:
        copied = copy(source, target)
        if whole and copied.faults:
            raise StoreError(
                "\n".join(
                    [*copied.faults, "nothing was changed; --despite-faults goes on without it"]
                )
            )
    done()
    took = time.monotonic() - begin
    where = shown(goal.store)
    tell(
        f"{where} holds {copied.runs} runs, {copied.points} points, {copied.blobs} files of "
        f"{how_much(copied.size)}, copied in {took:.1f} s",
        {"store": where, **asdict(copied), "seconds": round(took, 3)},
        as_json,
    )
    _tell_faults(copied.faults)


# ---- Check ------------------------------------------------------------------------------


@click.command()
@store_options
@json_option
@_guarded
def check(data: Path, store: str | None, blobs: str | None, as_json: bool) -> None:
    """Read the whole store and say what is damaged or lacks; the server may run meanwhile.

    Exits with 1 if something is wrong.
    """
    from simvue.server.store.audit import audit

    found = audit(*chosen(data, store, blobs))
    tell(
        f"{found.runs} runs, {found.writers} writers, {found.rows} rows of metrics, "
        f"{found.events} events, {found.blobs} files of artifacts",
        asdict(found),
        as_json,
    )
    _tell_faults(found.faults)


def _tell_faults(faults: Sequence[str]) -> None:
    """Say what is wrong with a store, and exit with 1 if anything is."""
    for fault in faults:
        click.echo(fault, err=True)
    if faults:
        sys.exit(1)
