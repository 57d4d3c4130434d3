"""The settings, each once: where it is found, and how its value is read.

``docs/reference/settings.md`` has one row for each of `SETTINGS`, held equal by a test.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from datetime import date, time
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..wire import FOLDER_PATTERN, NAME_PATTERN

Table = dict[str, Any]

# ---- How a value is read: from TOML, or as the text of a variable ------------------------
#
# Each takes the value and the directory that a relative path starts from, and raises
# ValueError whose message goes on after the name of the setting: "must be ...".


def _text(value: object, base: Path) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a text, not {value!r}")
    return value


def _path(value: object, base: Path) -> Path:
    # Absolute, because the shipper reads it too, and works in another directory.
    return Path(os.path.abspath(base / os.path.expanduser(_text(value, base))))


def _seconds(value: object, base: Path) -> float:
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"must be a number of seconds, 0 or more, not {value!r}")
    return seconds


def _interval(value: object, base: Path) -> float:
    seconds = _seconds(value, base)
    if seconds == 0:
        raise ValueError("must be more than 0 seconds")
    return seconds


def _amount(value: object, base: Path) -> float:
    try:
        amount = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        amount = math.nan
    if not 0 < amount < math.inf:
        raise ValueError(f"must be a number more than 0, not {value!r}")
    return amount


_UNITS: Final = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

_SIZE_MIN: Final = 256 << 10
"""One segment as it is first made; with less a writer could not hold a single row."""


def _size(value: object, base: Path) -> int:
    number, factor = value, 1
    if isinstance(value, str):
        text = value.strip()
        unit = next((unit for unit in _UNITS if text.endswith(unit)), "")
        number, factor = text.removesuffix(unit), _UNITS.get(unit, 1)
    try:
        size = 0 if isinstance(number, bool | float) else int(number) * factor  # type: ignore[call-overload]
    except (TypeError, ValueError):
        size = 0
    if size < _SIZE_MIN:
        raise ValueError(f'must be bytes, or a text like "64 MiB", 256 KiB or more, not {value!r}')
    return int(size)


def _choice(*words: str) -> Callable[[object, Path], str]:
    def read(value: object, base: Path) -> str:
        if value not in words:
            raise ValueError(f"must be {' or '.join(map(repr, words))}, not {value!r}")
        return str(value)

    return read


def _name(value: object, base: Path) -> str:
    if not NAME_PATTERN.fullmatch(_text(value, base)):
        raise ValueError(f"must be letters, digits, spaces and - _ / . : only, not {value!r}")
    return str(value)


def _folder(value: object, base: Path) -> str:
    if not FOLDER_PATTERN.fullmatch(_text(value, base)):
        raise ValueError(f"must begin with '/', not {value!r}")
    return str(value)


def _tags(value: object, base: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise ValueError(f"must be a list of texts, not {value!r}")
    return tuple(value)


def _metadata(value: object, base: Path) -> Table:
    if not isinstance(value, dict):
        raise ValueError(f"must be a table, not {value!r}")
    return {key: _plain(member) for key, member in value.items()}


def _plain(value: Any) -> Any:
    # Dates are the one thing that TOML has and JSON has not.
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    return [_plain(member) for member in value] if isinstance(value, list) else value


def _token(value: object, base: Path) -> str:
    # Whatever is wrong with it, the message must not repeat it.
    if not isinstance(value, str):
        raise ValueError("must be a text")
    token = value.strip()
    if not all("!" <= character <= "~" for character in token):
        raise ValueError("holds a space, a line break or a letter beyond ASCII; copy it again")
    return token


def _recorded(value: object, base: Path) -> bool:
    # The file says what is recorded, and the variables of the official client what is not.
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise ValueError(f"must be true or false, not {value!r}")
    return value.strip().lower() in ("", "0", "false", "no")


def _switch(value: object, base: Path) -> bool:
    if isinstance(value, bool) or value in ("true", "false"):
        return value in (True, "true")
    raise ValueError(f"must be true or false, not {value!r}")


def _url(value: object, base: Path) -> str:
    from urllib.parse import urlsplit

    text = _text(value, base).strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"is not an address: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"must look like https://simvue.example.org, not {_redacted(text)!r}")
    if ":" in host:
        host = f"[{host}]"
    path = parts.path.rstrip("/").removesuffix("/api").rstrip("/")
    return f"{parts.scheme}://{host}{f':{port}' if port is not None else ''}{path}"


DIRECT: Final = "none"
"""What stands for no proxy at all, where the environment names one."""


def _proxy(value: object, base: Path) -> str:
    from urllib.parse import urlsplit

    text = _text(value, base).strip().rstrip("/")
    if text == DIRECT:
        return text
    text = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in ("http", "https") and parts.hostname and not parts.path
        _ = parts.port  # which is read, and may be none, only now
    except ValueError:
        is_address = False
    if not is_address:
        # Redacted, because people write the password into it.
        raise ValueError(
            f"must be {DIRECT!r} or look like http://proxy.example.org:3128, "
            f"not {_redacted(text.partition('://')[2])!r}"
        )
    return text


def _credentials(value: object, base: Path) -> str:
    # Whatever is wrong with it, the message must not repeat it.
    if not isinstance(value, str) or value.find(":") < 1:
        raise ValueError("must be a text like user:password")
    if not all(" " <= character <= "~" for character in value):
        raise ValueError("holds a line break or a letter beyond ASCII; copy it again")
    return value


def _hosts(value: object, base: Path) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"must be a list of host names, not {value!r}")
    return tuple(name.strip().lower() for name in names if name.strip())


def _redacted(url: str) -> str:
    return url.rpartition("@")[2]


# ---- The settings, each once ----------------------------------------------------------------


class Setting(NamedTuple):
    """Where one field of `Config` is found: a key of the file, and an environment variable."""

    field: str
    key: str
    variable: str | None
    read: Callable[[object, Path], Any]


_CERTIFICATES: Final = "server.certificates"

SETTINGS: Final = (
    Setting("url", "server.url", "SIMVUE_URL", _url),
    Setting("token", "server.token", "SIMVUE_TOKEN", _token),
    Setting("ca_file", f"{_CERTIFICATES}.server_ca_cert", "SIMVUE_SERVER_CA_CERTIFICATE", _path),
    Setting("proxy.url", "server.proxy", "SIMVUE_PROXY", _proxy),
    Setting("proxy.auth", "server.proxy_auth", "SIMVUE_PROXY_AUTH", _credentials),
    Setting("proxy.exceptions", "server.no_proxy", "SIMVUE_NO_PROXY", _hosts),
    Setting("cache", "offline.cache", "SIMVUE_OFFLINE_DIRECTORY", _path),
    Setting("run.name", "run.name", None, _name),
    Setting("run.description", "run.description", None, _text),
    Setting("run.tags", "run.tags", None, _tags),
    Setting("run.folder", "run.folder", None, _folder),
    Setting("run.metadata", "run.metadata.custom", None, _metadata),
    Setting(
        "run.environment",
        "run.metadata.environment",
        "SIMVUE_DISABLE_ENVIRONMENT_METRICS",
        _recorded,
    ),
    Setting("run.git", "run.metadata.git", "SIMVUE_DISABLE_GIT_METRICS", _recorded),
    Setting("run.system", "run.metadata.system", "SIMVUE_DISABLE_SYSTEM_METRICS", _recorded),
    Setting("resources", "metrics.resources", "SIMVUE_DISABLE_RESOURCES_METRICS", _recorded),
    Setting("resources_interval", "metrics.system_metrics_interval", None, _interval),
    Setting("emissions", "metrics.enable_emission_metrics", None, _switch),
    Setting("eco.token", "eco.co2_signal_api_token", None, _token),
    Setting("eco.zone", "eco.zone", None, _text),
    Setting("eco.co2_intensity", "eco.co2_intensity", None, _amount),
    Setting("eco.refresh_interval", "eco.intensity_refresh_interval", None, _interval),
    Setting("eco.cpu_power", "eco.cpu_thermal_design_power", None, _amount),
    Setting("eco.cpu_cores", "eco.cpu_n_cores", None, _amount),
    Setting("eco.gpu_power", "eco.gpu_thermal_design_power", None, _amount),
    Setting("buffer_size", "queue.buffer_size", "SIMVUE_BUFFER_SIZE", _size),
    Setting("policy", "queue.policy", "SIMVUE_QUEUE_POLICY", _choice("wait", "drop")),
    Setting("shipper", "shipper.start", "SIMVUE_SHIPPER", _choice("auto", "external")),
    Setting("flush_interval", "shipper.flush_interval", "SIMVUE_FLUSH_INTERVAL", _interval),
    Setting("init_timeout", "shipper.init_timeout", "SIMVUE_INIT_TIMEOUT", _seconds),
    Setting("close_timeout", "shipper.close_timeout", "SIMVUE_CLOSE_TIMEOUT", _seconds),
    Setting("linger", "shipper.linger", "SIMVUE_LINGER", _seconds),
)

WITHOUT_EFFECT: Final = frozenset(
    {
        "server.env",
        "server.certificates.storage_ca_cert",
        "server.certificates.client_cert",
        "server.certificates.client_key",
        "run.mode",
        "run.record_shell_vars",
        "run.metadata.record_shell_vars",
        "client.debug",
    }
)
"""Keys of the official client that a shared file may hold and that change nothing here."""

SAID: Final = {
    "run.mode": "pass Run(mode=...) instead",
    "server.env": "set the variables in the shell that starts the job",
}
"""Those of them whose silence would surprise: what to do instead."""

LEAVES: Final = frozenset(setting.key for setting in SETTINGS) | WITHOUT_EFFECT
"""Every key that a file may hold."""

BRANCHES: Final = frozenset(
    ".".join(parts[:depth])
    for parts in (leaf.split(".") for leaf in LEAVES)
    for depth in range(1, len(parts))
) | {"profiles"}
"""Every table that a file may hold."""
