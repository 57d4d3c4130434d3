"""``simvue spool``: list what waits on disk to be sent, and delete what shall never be."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from .console import json_option, tell
from .ship import cache_option, spool_of

if TYPE_CHECKING:
    from simvue.inspection import FileState

_RUNS_SHOWN: Final = 3
"""Names of runs in one line of the list; --json has them all."""


@click.group(invoke_without_command=True)
@cache_option
@json_option
@click.pass_context
def command(context: click.Context, cache: Path | None, as_json: bool) -> None:
    """List the files of the spool directory: what could not be sent yet."""
    directory = spool_of(cache)
    context.obj = directory
    if context.invoked_subcommand is not None:
        return
    states = _examine(directory)
    if as_json:
        click.echo(json.dumps([_as_object(state) for state in states]))
        return
    if not states:
        click.echo(f"nothing waits in {directory}")
    for state in states:
        click.echo(_line(state, directory))


@command.command()
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("--run", "run", metavar="ID", help="Delete what lies there of this run instead.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_context
def delete(
    context: click.Context, files: tuple[str, ...], run: str | None, yes: bool, as_json: bool
) -> None:
    """Delete files, or one run, from the spool directory.  What is in them is lost.

    FILE is a name as 'simvue spool' lists it.
    """
    directory: Path = context.obj
    if bool(files) == bool(run):
        raise click.UsageError("name the files, or a run with --run")
    states = {str(state.path.relative_to(directory)): state for state in _examine(directory)}
    if run:
        chosen = [state for state in states.values() if run in state.rows]
        if not chosen:
            raise click.ClickException(f"nothing of run {run} lies in {directory}")
    else:
        strangers = [name for name in files if name not in states]
        if strangers:
            raise click.ClickException(f"there is no {strangers[0]} in {directory}")
        chosen = [states[name] for name in files]
    for state in chosen:
        if state.writers:
            raise click.ClickException(
                f"{state.path} is being written by process {state.writers[0]}; "
                "close its runs first, or end the shipper with kill -TERM"
            )
        if run and len(state.rows) > 1 and (state.flaws or not state.sealed):
            raise click.ClickException(
                f"{state.path} is damaged or not sealed, so one run cannot be taken out of it"
            )
    rows = sum(s.rows.get(run, 0) if run else sum(s.rows.values()) for s in chosen)
    names = {name or key for s in chosen for key, name in _runs(s) if not run or key == run}
    whose = ", ".join(sorted(names)) or "no run"
    # With --json standard output is for the one line at the end.
    lost = f"{rows} rows of {whose} are lost, but for those that are on the server already:"
    click.echo(lost, err=as_json)
    for state in chosen:
        click.echo(f"  {_line(state, directory)}", err=as_json)
    if not yes:
        click.confirm("Delete them?", abort=True, err=as_json)
    for state in chosen:
        _remove(directory, state, run)
    tell(f"deleted {rows} rows", {"deleted": rows}, as_json)


def how_much(size: float) -> str:
    """Say *size* bytes in the unit that suits."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


def how_long(seconds: float) -> str:
    """Say *seconds* in the largest unit of which there are two."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _examine(directory: Path) -> list[FileState]:
    from simvue.courier import DAMAGED
    from simvue.inspection import examine_file
    from simvue.spool import list_files

    found = []
    for folder in (directory, directory / DAMAGED, directory / "rejected"):
        for path in list_files(folder):
            try:
                found.append(examine_file(path))
            except FileNotFoundError:
                continue  # It was delivered just now.
    return found


def _remove(directory: Path, state: FileState, run: str | None) -> None:
    from simvue.spool import copy_without
    from simvue.staging import located, unstage

    artifacts = _calls(state.path, run)
    try:
        if run and len(state.rows) > 1:
            # The new file is whole before the old one goes: between them all is there twice.
            copy_without(state.path, run)
        state.path.unlink(missing_ok=True)
        state.path.with_suffix(".answers").unlink(missing_ok=True)
        for call in artifacts:
            unstage(located(directory, call))
    except (OSError, RuntimeError) as error:
        click.echo(f"{state.path}: {error}", err=True)
        sys.exit(1)


def _calls(path: Path, run: str | None) -> list[dict[str, Any]]:
    """Return the calls that are whole in a file, of one run or of all."""
    from simvue.spool import Record, walk

    found = []
    with contextlib.suppress(OSError, ValueError):  # It is deleted all the same.
        for _, _, record in walk(path):
            if isinstance(record, Record) and run in (None, record.run):
                found.append(record.call)
    return found


def _runs(state: FileState) -> list[tuple[str, str]]:
    return [(run, state.names.get(run, "")) for run in state.rows]


def _line(state: FileState, directory: Path) -> str:
    runs = [name or run for run, name in _runs(state)]
    shown = ", ".join(runs[:_RUNS_SHOWN]) + (" ..." if len(runs) > _RUNS_SHOWN else "")
    return (
        f"{state.path.relative_to(directory)}  {state.host}  {state.state}  "
        f"{len(runs)} runs ({shown})  {sum(state.rows.values())} rows  "
        f"{how_much(state.size)}  {how_long(state.age)} old"
    )


def _as_object(state: FileState) -> dict[str, Any]:
    return {
        "file": str(state.path),
        "host": state.host,
        "state": state.state,
        "runs": [{"id": run, "name": name, "rows": state.rows[run]} for run, name in _runs(state)],
        "rows": sum(state.rows.values()),
        "calls": state.calls,
        "bytes": state.size,
        "age_s": round(state.age, 3),
        "writers": state.writers,
        "torn_at": state.torn,
        "damage": [{"first": a, "end": b, "reason": reason} for a, b, reason in state.flaws],
    }
