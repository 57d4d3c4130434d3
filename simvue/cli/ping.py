"""``simvue ping``: whether the server answers, and how fast, once a second."""

from __future__ import annotations

import itertools
import sys
import time
from typing import Any, Final

import click

from simvue.exception import ServerError

from .console import json_option, open_remote, print_json

_PERIOD_S: Final = 1.0


@click.command()
@click.option(
    "-t", "--timeout", type=click.FloatRange(0.01), metavar="SECONDS", default=5.0,
    show_default=True, help="How long to wait for one answer.",
)  # fmt: skip
@click.option("-c", "--count", type=click.IntRange(1), help="Stop after so many; else on Ctrl-C.")
@json_option
def command(timeout: float, count: int | None, as_json: bool) -> None:
    """Ask the server for its version once a second: status and milliseconds, a line each.

    Exits with 1 if there was no good answer to the last.
    """
    remote = open_remote()
    is_good = False
    try:
        for number in itertools.islice(itertools.count(), count):
            begin = time.perf_counter()
            status: int | None = None
            told = ""
            try:
                answer = remote.send("GET", "/version", timeout=timeout)
                status, told, is_good = answer.status, answer.detail, answer.ok
            except ServerError as error:
                told, is_good = str(error), False
            milliseconds = (time.perf_counter() - begin) * 1000
            _print(status, milliseconds, told, as_json)
            if number + 1 != count:
                time.sleep(max(0.0, _PERIOD_S - (time.perf_counter() - begin)))
    except KeyboardInterrupt:
        pass  # That is how it ends.
    sys.exit(0 if is_good else 1)


def _print(status: int | None, milliseconds: float, told: str, as_json: bool) -> None:
    if as_json:
        line: dict[str, Any] = {"status": status, "ms": round(milliseconds, 3), "told": told}
        print_json(line)
    else:
        click.echo(f"{status or 'no answer'}\t{milliseconds:.1f} ms\t{told}".rstrip())
