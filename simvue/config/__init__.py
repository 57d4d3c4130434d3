"""Every setting, gathered once into one frozen object.

::

    arguments  >  environment  >  simvue.toml  >  [tool.simvue] of pyproject.toml  >  defaults
                                  (.simvue.toml; simvue.ini of the first generation)

A wrong type is an error that names the file and the key.  A key that nobody knows is only
a note: a typo must not stop a job that waited a week in a queue.  ``docs/reference/settings.md``
lists what `SETTINGS` lists, held equal by a test.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ..exception import ConfigurationError
from .files import Sections, read_files
from .settings import DIRECT, SETTINGS, Setting, Table

__all__ = ["DIRECT", "Config", "Eco", "Proxy", "RunDefaults", "load"]


class RunDefaults(NamedTuple):
    """What a run is called and carries when ``init`` is not told otherwise."""

    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    folder: str | None = None
    metadata: Mapping[str, Any] = MappingProxyType({})
    environment: bool = True
    git: bool = True
    system: bool = True


class Proxy(NamedTuple):
    """What requests to the server pass; with ``url`` None what the environment names, if anything.

    ``url`` holds no credentials, and is ``none`` where no proxy is to be asked; ``auth`` is
    ``user:password``; ``exceptions`` are hosts, and domains, that are reached without it.
    """

    url: str | None = None
    auth: str | None = None
    exceptions: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # A repr ends up in logs and tracebacks.
        return f"Proxy(url={self.url!r}, exceptions={self.exceptions!r})"


class Eco(NamedTuple):
    """What emissions are estimated with: power in watts, intensity in kg CO2e a kWh."""

    token: str | None = None
    zone: str | None = None
    co2_intensity: float | None = None
    refresh_interval: float = 3600.0
    cpu_power: float = 80.0
    cpu_cores: float = 4.0
    gpu_power: float = 130.0

    def __repr__(self) -> str:
        shown = (f"{k}={v!r}" for k, v in self._asdict().items() if k != "token")
        return f"Eco({', '.join(shown)})"


class Config(NamedTuple):
    """All settings of one run or client; times in seconds, sizes in bytes.

    ``url`` has no trailing slash and no ``/api``.  ``url_source`` and ``token_source`` say in
    words where the two came from, for messages; they are None where the value is None.
    ``exposed`` is a file that holds a token or password and that everybody can read.
    """

    cache: Path
    url: str | None = None
    url_source: str | None = None
    token: str | None = None
    token_source: str | None = None
    ca_file: Path | None = None
    proxy: Proxy = Proxy()
    profile: str | None = None
    run: RunDefaults = RunDefaults()
    resources: bool = True
    resources_interval: float = 60.0
    emissions: bool = False
    eco: Eco = Eco()
    buffer_size: int = 64 << 20
    policy: str = "wait"
    shipper: str = "auto"
    flush_interval: float = 1.0
    init_timeout: float = 2.0
    close_timeout: float = 10.0
    linger: float = 600.0
    exposed: Path | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # A repr ends up in logs and tracebacks.
        shown = (f"{k}={v!r}" for k, v in zip(self._fields, self, strict=True) if k != "token")
        return f"Config({', '.join(shown)})"

    def require_server(self) -> tuple[str, str]:
        """Return (url, token); raise ConfigurationError that says how to set what is missing."""
        if not self.url:
            raise ConfigurationError(
                "no server address: set the environment variable SIMVUE_URL, or url in [server] "
                "of simvue.toml, or pass server_url="
            )
        if not self.token:
            raise ConfigurationError(
                f"no token for {self.url}: set the environment variable SIMVUE_TOKEN, or token in "
                "[server] of simvue.toml, or pass server_token="
            )
        return self.url, self.token

    @property
    def token_expiry(self) -> float:
        """When the token expires, in seconds since the epoch: ``exp`` of a JWT, else infinity."""
        return _expiry(self.token) if self.token else math.inf

    @property
    def token_expired(self) -> bool:
        """Whether the token is a JWT whose ``exp`` is past; an opaque token never is."""
        return self.token_expiry < time.time()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know, a sentence each; nothing here stops a run."""
        told = list(self.notes)
        if self.token_expired:
            told.append(f"The token from {self.token_source} has expired; the server may refuse it")
        if self.exposed:
            told.append(
                f"{self.exposed} holds a token or password and every user of this machine can read "
                f"it; chmod 600 {self.exposed}"
            )
        return tuple(told)


# ---- The door ------------------------------------------------------------------------

# A shipper that lingers inside a batch job is killed with the job's last process anyway,
# and on some systems it keeps the allocation, and the bill, alive.
_BATCH_JOB: Final = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID", "FLUX_JOB_ID")


def load(
    *,
    url: str | None = None,
    token: object = None,
    profile: str | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
) -> Config:
    """Gather all settings; an argument beats a variable, which beats a file.

    *token* is a text or anything with ``get_secret_value()``.  A *profile* named here beats the
    environment as well: its address never meets the token of another server.  Costs some stat
    calls and at most two small files.  Raises ConfigurationError naming the variable, or the
    file and key, that cannot be read.
    """
    environ = os.environ if environ is None else environ
    home = _home(environ)
    directory = _working_directory(cwd)
    base = directory or home or Path("/")
    sections = read_files(directory, home)
    chosen = profile or environ.get("SIMVUE_SERVER_PROFILE") or None
    if chosen:
        sections.use_profile(chosen)
    reveal = getattr(token, "get_secret_value", None)
    arguments = {"url": url, "token": reveal() if reveal else token}

    values: Table = {"cache": (home or base) / ".simvue"}
    run: Table = {}
    proxy: Table = {}
    eco: Table = {}
    if any(environ.get(variable) for variable in _BATCH_JOB):
        values["linger"] = 0.0
    for setting in SETTINGS:
        places = [_in_environment(setting, environ, base), _in_files(setting, sections)]
        if profile and setting.key.startswith("server."):
            places.reverse()
        places.insert(0, _in_arguments(setting, arguments, base))
        place = next((place for place in places if place), None)
        if place is None:
            continue
        target, _, name = setting.field.rpartition(".")
        {"": values, "run": run, "proxy": proxy, "eco": eco}[target][name] = place.read(setting)
        if setting.field in ("url", "token"):
            values[f"{name}_source"] = place.source
        if setting.field == "url" and "@" in str(place.value):
            sections.notes.append(
                f"the user and password in the address from {place.source} are not used; "
                "the token is"
            )
    return Config(
        **values,
        proxy=_part_proxy(proxy),
        run=RunDefaults(**run),
        eco=Eco(**eco),
        profile=chosen,
        exposed=sections.exposed,
        notes=tuple(sections.notes),
    )


def _part_proxy(found: Table) -> Proxy:
    """Take the credentials out of the address, where many a site writes them."""
    from urllib.parse import unquote

    front, _, host = str(found.get("url") or "").rpartition("@")
    if front:
        scheme, _, credentials = front.partition("://")
        return Proxy(**{"auth": unquote(credentials), **found, "url": f"{scheme}://{host}"})
    return Proxy(**found)


class _Place(NamedTuple):
    """A value as it was found, what a relative path in it starts from, and where, in words."""

    value: object
    base: Path
    source: str
    key: str | None = None

    def read(self, setting: Setting) -> Any:
        try:
            return setting.read(self.value, self.base)
        except ValueError as error:
            name = f"{self.key} in {self.source}" if self.key else self.source
            raise ConfigurationError(f"{name} {error}") from None


def _in_arguments(setting: Setting, arguments: Table, base: Path) -> _Place | None:
    value = arguments.get(setting.field)
    return _Place(value, base, f"the argument server_{setting.field}") if value else None


def _in_environment(setting: Setting, environ: Mapping[str, str], base: Path) -> _Place | None:
    # Set but empty means not set: job scripts clear variables that way.
    text = environ.get(setting.variable) if setting.variable else None
    return _Place(text, base, f"the environment variable {setting.variable}") if text else None


def _in_files(setting: Setting, sections: Sections) -> _Place | None:
    found = sections.find(setting.key)
    if found is None:
        return None
    value, file, key = found
    return _Place(value, file.parent, str(file), key)


def _home(environ: Mapping[str, str]) -> Path | None:
    # A container may run us under a uid that has neither HOME nor an entry in passwd.
    text = environ.get("HOME") or os.path.expanduser("~")
    return Path(text) if os.path.isabs(text) else None


def _working_directory(cwd: Path | str | None) -> Path | None:
    try:
        return Path(os.path.abspath(cwd or "."))
    except FileNotFoundError:  # the directory was deleted under us
        return None


def _expiry(token: str) -> float:
    """Read ``exp`` of a JWT, unverified; infinity where there is none to read."""
    import base64
    import json

    parts = token.split(".")
    if len(parts) != 3:
        return math.inf
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return float(json.loads(payload)["exp"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return math.inf
