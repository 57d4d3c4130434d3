"""``simvue doctor``: what is there, what is whole, what is owed, and what to do about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from simvue.config import Config, load
from simvue.exception import ConfigurationError, StoreError

from .ship import cache_option
from .spool import how_long, how_much

if TYPE_CHECKING:
    from simvue.inspection import Debt, FileState, ShipperState

Finding = tuple[str, str]
"""How it is, and a sentence."""

GOOD, NOTE, WRONG = "ok", "note", "wrong"

_ROOM_MIN: Final = 0.05
"""The part of a disk that the spool leaves to others: with less free it takes nothing."""


@click.command()
@cache_option
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Check the store of a server, too; it may be running.",
)
def command(cache: Path | None, data: Path | None) -> None:
    """Check the settings, the way to the server, this node's shipper, the spool and a store.

    Changes nothing.  Exits with 1 if something is wrong.
    """
    chapters: list[tuple[str, Iterator[Finding]]] = []
    try:
        config = load()
    except ConfigurationError as error:
        chapters.append(("settings", iter([(WRONG, str(error))])))
        config = Config(cache=cache or Path.home() / ".simvue")
    else:
        chapters += [("settings", _check_settings(config)), ("server", _check_server(config))]
    directory = (cache or config.cache) / "spool"
    chapters += [("shipper", _check_node(config)), ("spool", _check_spool(directory))]
    if data is not None:
        chapters.append(("store", _check_store(data)))
    wrong = 0
    for title, findings in chapters:
        click.echo(title)
        for how, told in findings:
            wrong += how == WRONG
            click.echo(f"  {how:5}  {told}")
    if wrong:
        click.echo(f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong", err=True)
        sys.exit(1)


def _check_settings(config: Config) -> Iterator[Finding]:
    if config.url:
        yield GOOD, f"the server is {config.url}, from {config.url_source}"
    else:
        yield NOTE, "no server address is set; runs have to be offline=True"
    if config.token and config.token_expired:
        yield WRONG, f"the token from {config.token_source} has expired; ask the server for another"
    elif config.token:
        yield GOOD, f"the token is from {config.token_source}"
    elif config.url:
        yield WRONG, f"there is no token for {config.url}; set SIMVUE_TOKEN"
    if config.exposed:
        yield WRONG, f"everybody can read the token in {config.exposed}; chmod 600 {config.exposed}"
    for note in config.notes:
        yield NOTE, note


def _check_server(config: Config) -> Iterator[Finding]:
    from simvue.reach import trace

    if not config.url or not config.token:
        yield NOTE, "not asked"
        return
    try:
        for hop in trace(config.url, config.token, config.token_source, config.ca_file):
            yield GOOD if hop.good else WRONG, f"{hop.name}: {hop.told}"
    except ConfigurationError as error:
        yield WRONG, str(error)


# ---- The node ------------------------------------------------------------------------------


def _check_node(config: Config) -> Iterator[Finding]:
    from simvue.inspection import examine_debts, examine_shipper
    from simvue.queue import SEGMENT_SIZE_FIRST
    from simvue.runtime import Runtime

    try:
        runtime = Runtime.open()
    except ConfigurationError as error:
        yield WRONG, str(error)
        return
    yield GOOD, f"the runtime directory {runtime.path} is yours alone"
    if not runtime.has_room(sum(SEGMENT_SIZE_FIRST.values())):
        yield WRONG, f"{runtime.path} is full: a new run finds no memory for its rows"
    shipper = examine_shipper(runtime)
    debts = examine_debts(runtime)
    yield _describe_shipper(shipper, config.shipper, debts)
    if shipper.last_words:
        yield NOTE, f"the last line of its log: {shipper.last_words}"
    for debt in debts:
        yield _describe_debt(debt, is_served=shipper.pid is not None and not shipper.is_stopped)


def _describe_shipper(shipper: ShipperState, start: str, debts: list[Debt]) -> Finding:
    if shipper.pid is None:
        if start == "external" and any(debt.pid is not None for debt in debts):
            return (
                WRONG,
                "no shipper runs, and SIMVUE_SHIPPER=external: run 'simvue ship --forever'",
            )
        return NOTE, "no shipper runs; the next run starts one"
    if shipper.is_stopped:
        return WRONG, (
            f"the shipper, process {shipper.pid}, is stopped and ships nothing; "
            f"kill -CONT {shipper.pid} lets it go on"
        )
    if shipper.pid == 0:
        return GOOD, "the shipper is alive, in another container"
    return GOOD, f"the shipper is alive, process {shipper.pid}"


def _describe_debt(debt: Debt, is_served: bool) -> Finding:
    who = f"process {debt.pid}" if debt.pid else "a process elsewhere"
    owner = f"run {debt.run} of {'a process that died' if debt.pid is None else who}"
    owed = [f"{debt.rows} rows"] if debt.rows else []
    owed += [f"{debt.calls} calls"] if debt.calls else []
    told = f"{owner}: {' and '.join(owed) or 'nothing'} in memory to be sent"
    if debt.dropped:
        return WRONG, f"{told}; {debt.dropped} rows were dropped, as its queue was full"
    if is_served:
        return GOOD, told
    return WRONG, f"{told}, and nobody sends; the next run on this node, or 'simvue ship', will"


# ---- The spool -----------------------------------------------------------------------------


def _check_spool(directory: Path) -> Iterator[Finding]:
    from simvue.courier import DAMAGED
    from simvue.inspection import examine_file
    from simvue.spool import list_files

    rows = 0
    seen = 0
    for folder in (directory, directory / DAMAGED):
        for path in list_files(folder):
            try:
                state = examine_file(path)
            except FileNotFoundError:
                continue  # It was delivered just now.
            seen += 1
            rows += sum(state.rows.values()) if folder == directory else 0
            yield from _describe_file(state)
    for path in list_files(directory / "rejected"):
        yield (
            WRONG,
            (
                f"{path} holds what the server does not take, the answers beside it; "
                "'simvue ship --retry-rejected' sends it again"
            ),
        )
    if rows:
        yield NOTE, f"{rows} rows are on disk to be sent; 'simvue ship' sends them"
    elif not seen:
        yield GOOD, f"nothing waits in {directory}"
    yield from _check_disk(directory)


def _describe_file(state: FileState) -> Iterator[Finding]:
    told = f"{state.path}: {sum(state.rows.values())} rows of {len(state.rows)} runs"
    for begin, end, reason in state.flaws:
        yield WRONG, f"{reason} (bytes {begin} to {end}); {told} are whole"
    if state.is_stale:
        yield (
            NOTE,
            (
                f"{told}; it has not grown for {how_long(state.age)}: its writer on "
                f"{state.host} is gone; 'simvue ship' sends it, 'simvue spool delete' removes it"
            ),
        )
    if state.torn is not None and not state.flaws:
        yield (
            NOTE,
            (f"{told} are whole; the record at byte {state.torn} is cut off, as a crash leaves it"),
        )
    elif not state.flaws and not state.is_stale:
        yield GOOD, f"{told}, {'being written' if state.writers else state.state}, all whole"


def _check_disk(directory: Path) -> Iterator[Finding]:
    from simvue.spool import SIZE_MAX, list_files

    place = next((p for p in (directory, *directory.parents) if p.exists()), Path("/"))
    if not os.access(place, os.W_OK):
        yield WRONG, f"{place} cannot be written to: nothing can be kept there in an outage"
        return
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    used = sum(path.stat().st_size for path in list_files(directory))
    room = min(free - int(_ROOM_MIN * disk.f_blocks * disk.f_frsize), SIZE_MAX - used)
    if room <= 0:
        yield WRONG, f"there is no room for more in {directory}: the disk or the spool is full"
    else:
        yield GOOD, f"room for {how_much(room)} more"


# ---- The store -----------------------------------------------------------------------------


def _check_store(data: Path) -> Iterator[Finding]:
    try:
        from simvue.server.store.audit import audit
    except ModuleNotFoundError as error:
        yield WRONG, f"a store cannot be read without {error.name}: pip install 'simvue[server]'"
        return
    try:
        found = audit(data)
    except StoreError as error:
        yield WRONG, str(error)
        return
    for fault in found.faults:
        yield WRONG, fault
    whole = "" if found.faults else ": the file is whole, and every row that was noted is there"
    yield (
        NOTE if found.faults else GOOD,
        f"{found.runs} runs, {found.writers} writers, {found.rows} rows of metrics, "
        f"{found.events} events{whole}",
    )
