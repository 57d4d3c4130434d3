"""``simvue venv``: the packages that a run was made with, installed again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

import click

from .console import identifiers, json_option, open_remote, tell

_RECORDED_AS: Final = {
    "python": "python",
    "rust": "rust",
    "julia": "julia",
    "nodejs": "javascript",
}
"""What the metadata of a run calls each language."""


@click.command()
@click.option(
    "--language",
    type=click.Choice(list(_RECORDED_AS)),
    default="python",
    show_default=True,
    help="Of which language.",
)
@click.option("--run", "run", metavar="ID", help="The run; else from standard input.")
@click.option("--allow-existing", is_flag=True, help="Into a directory that is there.")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@json_option
def command(
    language: str, run: str | None, allow_existing: bool, directory: Path, as_json: bool
) -> None:
    """Make a virtual environment with the versions that a run recorded.

    For languages other than Python it writes the file that their own tool reads, and tells how.
    """
    from simvue.remote import route

    name = identifiers([run] if run else [])[0]
    if directory.exists() and not allow_existing:
        raise click.ClickException(f"{directory} exists; --allow-existing writes into it")
    metadata = open_remote().get(route("runs", name)).get("metadata") or {}
    recorded = metadata.get(_RECORDED_AS[language])
    packages = recorded.get("environment") if isinstance(recorded, dict) else None
    if not packages:
        raise click.ClickException(f"run {name} has recorded no packages of {language}")
    next_step = None
    if language == "python":
        _install(directory, packages)
    else:
        directory.mkdir(parents=True, exist_ok=True)
        next_step = _write_manifest(directory, language, packages)
    tell(next_step or str(directory), {"directory": str(directory), "next": next_step}, as_json)


def _install(directory: Path, packages: dict[str, str]) -> None:
    import venv

    venv.create(directory, with_pip=True)
    wanted = [f"{package}=={version}" for package, version in sorted(packages.items())]
    # They are all of them, so what each asks for beside is among them, or was not there.
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--no-deps", *wanted]
    if subprocess.run(pip, check=False, stdout=subprocess.DEVNULL).returncode:
        raise click.ClickException(f"pip could not install all of it into {directory}")


def _write_manifest(directory: Path, language: str, packages: dict[str, str]) -> str:
    """Write what the language's tool reads; return the command that does so."""
    # A basic string of TOML, and of Julia without "$", is escaped as one of JSON.
    pairs = [(json.dumps(n), json.dumps(v)) for n, v in sorted(packages.items())]
    if language == "nodejs":
        text = json.dumps({"dependencies": packages}, indent=2, sort_keys=True) + "\n"
        name, next_step = "package.json", f"npm install --prefix {directory}"
    elif language == "rust":
        # "=" and a version is that one; a bare one would be it or a later.
        lines = [f'{package} = "={version[1:]}' for package, version in pairs]
        head = ["[package]", 'name = "environment"', 'version = "0.0.0"', "", "[dependencies]"]
        text = "\n".join([*head, *lines, ""])
        name, next_step = "Cargo.toml", f"cargo fetch --manifest-path {directory / 'Cargo.toml'}"
    else:
        lines = [f"    PackageSpec(name={name}, version={version})," for name, version in pairs]
        text = "\n".join(["using Pkg", "Pkg.activate(@__DIR__)", "Pkg.add([", *lines, "])", ""])
        name, next_step = "install.jl", f"julia {directory / 'install.jl'}"
    (directory / name).write_text(text)
    return next_step
