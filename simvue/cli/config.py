"""``simvue config``: what is set, and the two settings that everybody needs."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, Final

import click

from simvue.exception import ConfigurationError

from .console import json_option, print_json, settings, tell

_FILE: Final = "simvue.toml"


@click.group()
@click.option("--global", "is_global", is_flag=True, help="In the home, not here.")
@click.option("--all", "shows_all", is_flag=True, help="Show what is not set, too.")
@click.pass_context
def command(context: click.Context, is_global: bool, shows_all: bool) -> None:
    """Show the settings, or write address and token into simvue.toml."""
    directory = Path.home() if is_global else Path.cwd()
    context.meta["simvue.config"] = (directory / _FILE, shows_all)


@command.command("server.url")
@click.argument("url")
@json_option
@click.pass_context
def server_url(context: click.Context, url: str, as_json: bool) -> None:
    """Write the server's address."""
    _write(context, "url", url, as_json)


@command.command("server.token")
@click.argument("token")
@json_option
@click.pass_context
def server_token(context: click.Context, token: str, as_json: bool) -> None:
    """Write the token; '-' reads it from standard input, where nobody else sees it."""
    _write(context, "token", sys.stdin.readline().strip() if token == "-" else token, as_json)


@command.command()
@json_option
@click.pass_context
def show(context: click.Context, as_json: bool) -> None:
    """Print what is set, and where address and token come from; never a secret."""
    config = settings()
    found: dict[str, Any] = {}
    for name, value in config._asdict().items():
        if name == "token":
            value = "(set)" if value else None
        elif name == "proxy":
            value = value.url
        elif hasattr(value, "_asdict"):
            found |= {f"{name}.{key}": _plain(inner) for key, inner in value._asdict().items()}
            continue
        found[name] = _plain(value)
    shown = {
        name: value for name, value in found.items()
        if context.meta["simvue.config"][1] or value not in (None, [], {})
    }  # fmt: skip
    if as_json:
        print_json(shown)
    else:
        for name, value in shown.items():
            click.echo(f"{name} = {value}")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if value is None or isinstance(value, str | int | float | list | dict):
        return value
    return dict(value) if hasattr(value, "keys") else str(value)


# ---- The file -------------------------------------------------------------------------------


def _write(context: click.Context, key: str, value: str, as_json: bool) -> None:
    from simvue.config import load

    file = context.meta["simvue.config"][0]
    try:
        # The same rules as when it is read, before anything is written.
        load(environ={f"SIMVUE_{key.upper()}": value}, cwd=Path("/"))
    except ConfigurationError as error:
        # It would name a variable that nobody has set.
        told = str(error).replace(f"the environment variable SIMVUE_{key.upper()}", f"the {key}")
        raise click.ClickException(told) from None
    text = file.read_text() if file.exists() else ""
    changed = with_key(text, key, value)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    # For the owner's eyes alone from the first byte on.
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.write(changed)
        opened.flush()
        os.fsync(opened.fileno())
    part.replace(file)
    tell(f"{key} is set in {file}", {"file": str(file), "set": f"server.{key}"}, as_json)


_SERVER: Final = re.compile(r"^\[\s*server\s*\][^\n]*$", re.MULTILINE)


def with_key(text: str, key: str, value: str) -> str:
    """Return the TOML *text* with *key* of ``[server]`` set; all else stays as it was written."""
    import json

    # A basic string of TOML is escaped as one of JSON.
    line = f"{key} = {json.dumps(value)}"
    begin = _SERVER.search(text)
    if begin is None:
        gap = "" if not text or text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        return f"{text}{gap}[server]\n{line}\n"
    following = re.compile(r"^\[", re.MULTILINE).search(text, begin.end())
    end = following.start() if following else len(text)
    section = text[begin.end() : end]
    pattern = re.compile(rf"^[ \t]*{key}[ \t]*=.*$", re.MULTILINE)
    if pattern.search(section):
        section = pattern.sub(lambda _: line, section, count=1)
    else:
        section = f"\n{line}{section}"
    return text[: begin.end()] + section + text[end:]
