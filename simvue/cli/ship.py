"""``simvue ship``: send what was recorded offline, or during an outage."""

from __future__ import annotations

import math
import os
import re
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from simvue.config import load
from simvue.exception import ConfigurationError
from simvue.wire import is_id

if TYPE_CHECKING:
    from simvue.courier import Courier, Delivery

_INTERVAL_S: Final = 2.0
"""Between two looks at the directory: a row of a live offline run is on disk after a second,
and is to be seen within five."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a time such as 30s, 4m, 2h or 1d")
    return float(match[1]) * _UNITS[match[2] or "s"]


def _choice(text: str) -> tuple[str, str]:
    # A run's name holds no '='.
    name, _, run = text.partition("=")
    if not name or not is_id(run):
        raise click.BadParameter(f"{text!r} is not NAME=ID, the ID of 22 letters and digits")
    return name, run


def spool_of(cache: Path | None) -> Path:
    """Return the folder of spool files; raises ClickException where the settings are wrong."""
    try:
        return (cache or load().cache) / "spool"
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None


cache_option = click.option(
    "--cache",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the data lies; by default SIMVUE_OFFLINE_DIRECTORY, [offline] cache, ~/.simvue.",
)


@click.command()
@cache_option
@click.option(
    "--for",
    "seconds",
    type=_duration,
    metavar="TIME",
    help="Go on for so long, 4m say, and send what comes meanwhile.",
)
@click.option("--forever", is_flag=True, help="Go on until it is stopped.")
@click.option(
    "--retry-rejected", is_flag=True, help="Send what the server did not take before, too."
)
@click.option(
    "--any-server",
    is_flag=True,
    help="Send runs that were recorded for another address, too: it changed, or is a tunnel.",
)
@click.option(
    "--map",
    "chosen",
    type=_choice,
    multiple=True,
    metavar="NAME=ID",
    help="The run that is meant by a name that was reconnected to offline; may be repeated.",
)
def command(
    cache: Path | None,
    seconds: float | None,
    forever: bool,
    retry_rejected: bool,
    any_server: bool,
    chosen: tuple[tuple[str, str], ...],
) -> None:
    """Send everything that lies in the spool directory, once.

    May run beside the simulation, beside its shipper, and several times at once: the server
    stores each row once.  Exits with 1 if the server is away or refuses, if something was
    set aside or is damaged, if the server does not know which run is meant, or if the time was
    up before.
    """
    from simvue.courier import Courier
    from simvue.remote import Remote

    if forever and seconds is not None:
        raise click.UsageError("--for and --forever exclude each other")
    directory = spool_of(cache)
    try:
        config = load()
        url, token = config.require_server()
        remote = Remote(
            url,
            token,
            token_source=config.token_source,
            ca_file=config.ca_file,
            proxy=config.proxy,
        )
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    progress = _Progress()
    courier = Courier(directory, remote, progress.advance, any_server, dict(chosen))
    if retry_rejected:
        _take_back(directory)
    stays = forever or seconds is not None
    agent = _Agent(stays)
    agent.look()
    if not stays:
        sys.exit(0 if progress.carry(courier, directory) else 1)
    try:
        _keep_shipping(courier, directory, progress, agent, None if forever else seconds)
    except KeyboardInterrupt:
        # Whatever was not acknowledged is still where it was.
        click.echo("stopped", err=True)
    sys.exit(0 if progress.is_good else 1)


def sender() -> None:
    """Run as ``simvue-sender``, by which scripts for the official package know it."""
    command(prog_name="simvue-sender")


def _keep_shipping(
    courier: Courier, directory: Path, progress: _Progress, agent: _Agent, seconds: float | None
) -> None:
    from simvue.backoff import backoff_s

    failures = 0
    end = math.inf if seconds is None else time.monotonic() + seconds
    while True:
        # The last look, at the end of the time, has some of its own.
        progress.carry(courier, directory, max(end, time.monotonic() + _INTERVAL_S))
        agent.look()
        wait = _INTERVAL_S
        failures = failures + 1 if courier.trouble else 0
        if failures:
            wait = max(_INTERVAL_S, backoff_s(failures, _INTERVAL_S))
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(wait, left))


class _Agent:
    """Has a shipper on this node for what lies in shared memory, if there is none.

    While the command *stays*, for living processes, too: where SIMVUE_SHIPPER=external they
    may not start one.
    """

    def __init__(self, stays: bool) -> None:
        self._stays = stays
        self._tried: set[str] = set()

    def look(self) -> None:
        """Start a shipper if one is needed; for what the dead left, once."""
        from simvue.inspection import examine_debts, examine_processes, examine_shipper
        from simvue.link import start_shipper
        from simvue.runtime import Runtime

        try:
            runtime = Runtime.open()
        except ConfigurationError as error:
            click.echo(str(error), err=True)
            return
        try:
            if examine_shipper(runtime).pid is not None:
                return
            living = any(pid is not None for pid in examine_processes(runtime).values())
            debts = [debt for debt in examine_debts(runtime) if debt.rows or debt.calls]
            left = {debt.process for debt in debts if debt.pid is None} - self._tried
            self._tried |= left
            if left or (living and self._stays):
                click.echo("a shipper is started for what lies in shared memory", err=True)
                start_shipper(runtime)
        finally:
            os.close(runtime.fd)


def _take_back(directory: Path) -> None:
    """Put what was rejected among what is to be sent; what is refused again goes back there."""
    from simvue.inspection import holders
    from simvue.spool import copy_without, list_files

    for path in list_files(directory / "rejected"):
        if path.suffix == ".done":
            path.rename(directory / path.name)
        elif holders(path):
            click.echo(f"{path} is still being written; it is left for later", err=True)
            continue
        else:
            # Its writer was killed: what it wrote is sealed in a file of its own.
            sealed = copy_without(path, None)
            if sealed:
                sealed.rename(directory / sealed.name)
            path.unlink()
        path.with_suffix(".answers").unlink(missing_ok=True)


class _Progress:
    """What is told: a bar on a terminal, and a line for each file."""

    def __init__(self) -> None:
        self.is_good = True
        """Whether everything that lies there was delivered, and nothing was ever set aside."""
        self._kept = False
        self._bar: Any = None
        self._rows = 0
        self._begin = 0.0
        self._lines: list[tuple[str, str]] = []
        self._said: dict[str, str] = {}

    def carry(self, courier: Courier, directory: Path, until: float = math.inf) -> bool:
        """Have *courier* carry everything once; True if all of it was delivered."""
        self._rows, self._begin = 0, time.monotonic()
        first = not self._said
        size = courier.size if sys.stdout.isatty() else 0
        bar: AbstractContextManager[Any] = nullcontext()
        if size:
            bar = click.progressbar(
                length=size,
                label="sending",
                show_percent=True,
                show_eta=True,
                item_show_func=self._show_rate,
            )
        with bar as self._bar:
            arrived = courier.carry(self._tell, until)
        self.is_good = arrived and not self._kept
        self._bar = None
        for name, line in self._lines:
            self._say(name, line)
        self._lines.clear()
        if first and not self._said:
            self._say("", f"nothing to send in {directory}")
        for key, reason in courier.unresolved.items():
            self._say(
                f"run {key}",
                f"what was reconnected to {key!r} waits: {reason}; it goes there when there is "
                f"such a run, or with --map '{key}=ID'",
            )
        if courier.trouble:
            click.echo(f"not everything was sent: {courier.trouble}", err=True)
        return self.is_good

    def advance(self, size: int, rows: int) -> None:
        """Note that a parcel was looked at."""
        self._rows += rows
        if self._bar:
            self._bar.update(size, self._rows)

    def _show_rate(self, rows: int | None) -> str | None:
        seconds = time.monotonic() - self._begin
        return None if not rows or seconds < 0.1 else f"{rows / seconds:,.0f} rows/s"

    def _tell(self, delivery: Delivery) -> None:
        self._kept |= delivery.is_kept
        reason = f" ({delivery.reason})" if delivery.reason else ""
        aside = f", {delivery.rejected} records set aside" if delivery.rejected else ""
        line = (
            f"{delivery.path.name}: {len(delivery.runs)} runs, {delivery.rows} rows sent, "
            f"{delivery.known} known before{aside}; {delivery.end.value}{reason}"
        )
        if self._bar:
            self._lines.append((delivery.path.name, line))
        else:
            self._say(delivery.path.name, line)

    def _say(self, name: str, line: str) -> None:
        # A file that cannot be read is found so every time, and told of once.
        if self._said.get(name) != line:
            self._said[name] = line
            click.echo(line)
