"""The files that hold settings: which are found, and what each section says."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ..exception import ConfigurationError
from .settings import BRANCHES, LEAVES, SAID, Table

CONFIG_FILE_NAMES: Final = ("simvue.toml", ".simvue.toml")
"""Each is searched from the working directory up to the root, then in the home directory."""


class Sections:
    """Top-level sections as found, the file each came from, and what there is to say of them.

    ``labels`` holds the names that differ: ``server`` reads ``profiles.X`` once X is in use.
    ``exposed`` is a file that holds a token and that everybody can read.
    """

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.files: dict[str, Path] = {}
        self.labels: dict[str, str] = {}
        self.exposed: Path | None = None
        self.notes: list[str] = []

    def add(self, tables: Table, file: Path) -> None:
        """Take the sections of *file*, each whole: they replace, they do not merge."""
        for section, table in tables.items():
            if not isinstance(table, dict):
                if section in BRANCHES:
                    raise ConfigurationError(f"[{section}] in {file} must be a table")
                self._note_unknown(section, file)
                continue
            if section == "profiles":
                for name, profile in table.items():
                    if not isinstance(profile, dict):
                        raise ConfigurationError(f"[profiles.{name}] in {file} must be a table")
                    self._examine(profile, "server", file)
            else:
                self._examine({section: table}, "", file)
            self.tables[section] = table
            self.files[section] = file

    def use_profile(self, name: str) -> None:
        """Put ``[profiles.name]`` in the place of ``[server]``."""
        profiles = self.tables.get("profiles", {})
        if name not in profiles:
            known = ", ".join(sorted(profiles)) or "none are defined"
            where = f" in {self.files['profiles']}" if profiles else ""
            raise ConfigurationError(f"there is no profile {name!r}{where}; profiles: {known}")
        self.tables["server"] = profiles[name]
        self.files["server"] = self.files["profiles"]
        self.labels["server"] = f"profiles.{name}"

    def find(self, key: str) -> tuple[object, Path, str] | None:
        """Return (value, file, key as the file has it), or None if no file sets *key*."""
        section, *rest = key.split(".")
        found: object = self.tables.get(section)
        for part in rest:
            if found is None:
                return None
            if not isinstance(found, dict):
                raise ConfigurationError(f"{key} in {self.files[section]} must lie in a table")
            found = found.get(part)
        if found is None or found == "":
            return None
        within, name = [self.labels.get(section, section), *rest[:-1]], rest[-1]
        return found, self.files[section], f"[{'.'.join(within)}] {name}"

    def _examine(self, table: Table, prefix: str, file: Path) -> None:
        for key, value in table.items():
            dotted = f"{prefix}.{key}" if prefix else key
            if dotted in BRANCHES and isinstance(value, dict):
                self._examine(value, dotted, file)
            elif dotted in SAID:
                self.notes.append(f"{dotted} in {file} has no effect; {SAID[dotted]}")
            elif dotted not in LEAVES and dotted not in BRANCHES:
                self._note_unknown(dotted, file)

    def _note_unknown(self, key: str, file: Path) -> None:
        from difflib import get_close_matches

        near = get_close_matches(key, LEAVES | BRANCHES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        self.notes.append(f"{file} sets {key}, which is not a setting{hint}")


def read_files(cwd: Path | None, home: Path | None) -> Sections:
    """Read the first file of settings, and under it ``[tool.simvue]`` of the nearest project.

    Raises ConfigurationError for a file that is not TOML, a section that is not a table, and a
    project that names a server.
    """
    sections = Sections()
    directories = [cwd, *cwd.parents] if cwd else []
    for file in (directory / "pyproject.toml" for directory in directories):
        raw = _read(file, sections.notes)
        if raw is not None:
            _add_project(sections, raw, file)
            break
    for file in _candidates(directories, home):
        raw = _read(file, sections.notes)
        if raw is None:
            continue
        tables = _parse_ini(raw, file) if file.suffix == ".ini" else _parse_toml(raw, file)
        sections.add(tables, file)
        if file.suffix == ".ini":
            sections.notes.append(f"{file} is of the old format; move its settings to simvue.toml")
        servers = [tables.get("server"), *_profiles(tables)]
        if any(isinstance(server, dict) and _holds_secret(server) for server in servers):
            # The group may share a file on purpose; the whole machine never does.
            sections.exposed = file if file.stat().st_mode & stat.S_IROTH else None
        break
    return sections


def _holds_secret(server: Table) -> bool:
    return bool(server.get("token") or server.get("proxy_auth") or "@" in str(server.get("proxy")))


def find_file(names: Sequence[str], *, in_home: bool = True) -> Path | None:
    """Return the first file of one of those names, from the working directory up, or at home."""
    here = Path.cwd()
    directories = [here, *here.parents]
    homes = [Path(os.path.expanduser("~"))] if in_home else []
    for name in names:
        for directory in (*directories, *homes):
            if (directory / name).is_file():
                return directory / name
    return None


def _profiles(tables: Table) -> list[object]:
    profiles = tables.get("profiles")
    return list(profiles.values()) if isinstance(profiles, dict) else []


def _candidates(directories: list[Path], home: Path | None) -> Iterator[Path]:
    for name in CONFIG_FILE_NAMES:
        yield from (directory / name for directory in directories)
    if home:
        yield from (home / name for name in CONFIG_FILE_NAMES)
    if directories:
        yield directories[0] / "simvue.ini"
    if home:
        yield home / ".simvue.ini"


def _read(file: Path, notes: list[str]) -> bytes | None:
    """Read *file*, or return None if there is none that we may, or should, read."""
    try:
        if not file.is_file():
            return None
        owner, parent = file.stat().st_uid, file.parent.stat()
        # Somebody else's /tmp/simvue.toml must not choose where our token is sent.
        if parent.st_mode & stat.S_IWOTH and owner not in (0, os.geteuid()):
            notes.append(f"{file} is ignored: another user put it where everybody may write")
            return None
        return file.read_bytes()
    except OSError as error:
        notes.append(f"{file} is ignored: it cannot be read ({error.strerror})")
        return None


def _parse_toml(raw: bytes, file: Path) -> Table:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(raw.decode())
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are both one
        raise ConfigurationError(f"{file} is not TOML: {error}") from None


def _parse_ini(raw: bytes, file: Path) -> Table:
    from configparser import Error, RawConfigParser

    parser = RawConfigParser()
    try:
        parser.read_string(raw.decode())
    except (Error, ValueError):
        # The parser's own message quotes the line, which may be the token's.
        raise ConfigurationError(f"{file} is not an INI file; use simvue.toml") from None
    # The only sections that the first generation had.
    return {name: dict(parser[name]) for name in ("server", "offline") if parser.has_section(name)}


def _add_project(sections: Sections, raw: bytes, file: Path) -> None:
    # Looking for the word saves most projects the import of a TOML parser.
    if b"simvue" not in raw:
        return
    try:
        table = _parse_toml(raw, file).get("tool", {}).get("simvue", {})
    except ConfigurationError as error:
        # It is the project's file, and the project's affair.
        sections.notes.append(f"{error}; [tool.simvue] is not read")
        return
    if not isinstance(table, dict):
        raise ConfigurationError(f"[tool.simvue] in {file} must be a table")
    for key in ("server", "profiles"):
        if key in table:
            # Whoever clones a project must not send their token where the project says.
            raise ConfigurationError(
                f"[tool.simvue.{key}] in {file}: a project must not name a server or hold a "
                "token; put them into simvue.toml, outside the project's history"
            )
    if isinstance(table.get("offline"), dict) and "cache" in table["offline"]:
        raise ConfigurationError(f"[tool.simvue.offline] cache in {file}: set it in simvue.toml")
    sections.add(table, file)
