"""``simvue doctor``: what is there, what is whole, what is owed, and what to do about it."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from simvue.config import Config, load
from simvue.exception import ConfigurationError, StoreError

from .console import json_option, print_json
from .ship import cache_option
from .spool import how_long, how_much

if TYPE_CHECKING:
    from simvue.inspection import Debt, FileState, ShipperState
    from simvue.runtime import Runtime

Finding = tuple[str, str]
"""How it is, and a sentence."""

GOOD, NOTE, WRONG = "ok", "note", "wrong"

_WAY: Final = ("server", "clock", "proxy", "TLS")
"""The chapters of the way to the server, beside the token."""

_DAY_S: Final = 86400.0

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
@json_option
def command(cache: Path | None, data: Path | None, as_json: bool) -> None:
    """Check the settings, the way to the server, this node's shipper, the spool and a store.

    Changes nothing.  Exits with 1 if something is wrong.
    """
    wrong, found = 0, []
    for title, findings in _chapters(cache, data):
        told = list(findings)
        wrong += sum(how == WRONG for how, _ in told)
        if as_json:
            found += [{"chapter": title, "is": how, "told": said} for how, said in told]
        elif told:
            click.echo("\n".join([title, *(f"  {how:5}  {said}" for how, said in told)]))
    if as_json:
        print_json(found)
    if wrong:
        click.echo(f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong", err=True)
        sys.exit(1)


def _chapters(cache: Path | None, data: Path | None) -> Iterator[tuple[str, Iterable[Finding]]]:
    try:
        config = load()
    except ConfigurationError as error:
        yield "settings", [(WRONG, str(error))]
        config = Config(cache=cache or Path.home() / ".simvue")
    else:
        yield "settings", _check_settings(config)
        way = _check_way(config)
        yield "token", [*_check_token(config), *way.pop("token", [])]
        # In the order in which one looks, and not in which a request passes them.
        yield from ((chapter, way.get(chapter, [])) for chapter in _WAY)
    directory = (cache or config.cache) / "spool"
    yield "shipper", _check_node(config)
    yield "spool", _check_spool(directory)
    yield "disk", _check_disk(directory)
    if data is not None:
        yield "store", _check_store(data)


def _check_settings(config: Config) -> Iterator[Finding]:
    if config.url:
        yield GOOD, f"the server is {config.url}, from {config.url_source}"
    else:
        yield NOTE, "no server address is set; runs have to be offline=True"
    if config.exposed:
        yield WRONG, f"everybody can read the secrets in {config.exposed}; chmod 600 it"
    for note in config.notes:
        yield NOTE, note


def _check_token(config: Config) -> Iterator[Finding]:
    if config.token and config.token_expired:
        yield WRONG, f"the token from {config.token_source} has expired; ask the server for another"
    elif config.token:
        until = "has no end that can be read"
        if config.token_expiry < math.inf:
            days = (config.token_expiry - time.time()) / _DAY_S
            until = f"is good for {days:.0f} days more"
        yield GOOD, f"the token is from {config.token_source}, and {until}"
    elif config.url:
        yield WRONG, f"there is no token for {config.url}; set SIMVUE_TOKEN"


def _check_way(config: Config) -> dict[str, list[Finding]]:
    """Follow the way to the server; return what is found by chapter."""
    from urllib.parse import urlsplit

    from simvue.proxies import is_loopback
    from simvue.reach import trace

    if not config.url or not config.token:
        return {"server": [(NOTE, "not asked")]}
    found: dict[str, list[Finding]] = {}
    try:
        for hop in trace(config):
            finding = GOOD if hop.good else WRONG, f"{hop.name}: {hop.told}"
            found.setdefault(hop.chapter, []).append(finding)
    except ConfigurationError as error:
        found["token"] = [(WRONG, str(error))]
    found.setdefault("proxy", [(GOOD, "none is asked")])
    if urlsplit(config.url).scheme == "http" and not is_loopback(config.url):
        found["TLS"] = [(NOTE, "http:// is not encrypted; who listens on the way has the token")]
    return found


# ---- The node ------------------------------------------------------------------------------


def _check_node(config: Config) -> Iterator[Finding]:
    from importlib.util import find_spec

    from simvue.inspection import examine_debts, examine_shipper
    from simvue.queue import SEGMENT_SIZE_FIRST
    from simvue.runtime import Runtime

    try:
        runtime = Runtime.open()
    except ConfigurationError as error:
        yield WRONG, str(error)
        return
    yield GOOD, f"the runtime directory {runtime.path} is yours alone"
    if Path("/dev/nvidiactl").exists() and find_spec("pynvml") is None:
        yield NOTE, "the use of GPUs is not measured: pip install 'simvue[gpu]'"
    if not runtime.has_room(sum(SEGMENT_SIZE_FIRST.values())):
        yield _describe_overflow(runtime, sum(SEGMENT_SIZE_FIRST.values()))
    shipper = examine_shipper(runtime)
    debts = examine_debts(runtime)
    yield _describe_shipper(shipper, config.shipper, debts)
    if shipper.last_words:
        yield NOTE, f"the last line of its log: {shipper.last_words}"
    for debt in debts:
        yield _describe_debt(debt, is_served=shipper.pid is not None and not shipper.is_stopped)


def _describe_overflow(runtime: Runtime, size: int) -> Finding:
    try:
        with contextlib.closing(runtime.open_overflow()) as room:
            if room.has_room(size):
                return NOTE, f"{runtime.path} is full: rows of a new run go through {room.path}"
            trouble = f"{room.path} has no room either"
    except (ConfigurationError, OSError) as error:
        trouble = str(error)
    return WRONG, f"{runtime.path} is full: a new run finds no memory for its rows; {trouble}"


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
        f"{found.events} events, {found.blobs} files of artifacts{whole}",
    )
