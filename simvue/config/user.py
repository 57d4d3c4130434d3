"""The configuration in the form of the official package; for simvue-cli and connectors.

What we work with is `simvue.config.Config`; this is made of it and of the same files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_serializer, field_validator

from . import Config, load
from .files import CONFIG_FILE_NAMES, find_file, read_files

Mode: TypeAlias = Literal["online", "offline", "disabled"]

__all__ = ["CONFIG_FILE_NAMES", "ServerSpecifications", "SimvueConfiguration"]


class _Section(BaseModel):
    # A shared file may hold what only another version knows.
    model_config = ConfigDict(extra="allow", validate_assignment=True)


class ServerSpecifications(_Section):
    """A server: its address, which ends in ``/api`` here, and the token for it."""

    url: str | None = None
    token: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _end_in_api(cls, url: str | None) -> str | None:
        return f"{url.rstrip('/').removesuffix('/api')}/api" if url else None


class RunSpecifications(_Section):
    """What a run is called and carries unless it is told otherwise."""

    name: str | None = None
    description: str | None = None
    tags: list[str] = Field(default_factory=list)
    folder: str = "/"
    metadata: dict[str, Any] = Field(default_factory=dict)
    mode: Mode = "online"


class OfflineSpecifications(_Section):
    """Where data waits for a server."""

    cache: Path | None = None

    @field_serializer("cache")
    def _as_text(self, cache: Path | None) -> str | None:
        return str(cache) if cache else None


class ClientSpecifications(_Section):
    """How much is said."""

    debug: bool = False


class SimvueConfiguration(_Section):
    """All settings, by the sections of ``simvue.toml``.

    ``nosim_version`` is None: no server of ours, and no other that we asked, needs it.
    """

    client: ClientSpecifications = Field(default_factory=ClientSpecifications)
    server: ServerSpecifications = Field(default_factory=ServerSpecifications)
    profiles: dict[str, ServerSpecifications] = Field(default_factory=dict)
    run: RunSpecifications = Field(default_factory=RunSpecifications)
    offline: OfflineSpecifications = Field(default_factory=OfflineSpecifications)

    @classmethod
    def fetch(
        cls,
        mode: Mode = "online",
        server_url: str | None = None,
        server_token: object = None,
        profile: str | None = None,
    ) -> SimvueConfiguration:
        """Gather the settings; arguments beat the environment, which beats files.

        Raises ConfigurationError if a setting is wrong, or, online, if there is no server.
        """
        settings = load(url=server_url, token=server_token, profile=profile)
        if mode == "online":
            settings.require_server()
        return cls.made_of(settings, mode)

    @classmethod
    def made_of(cls, settings: Config, mode: Mode = "online") -> SimvueConfiguration:
        """Write what we have gathered in the form of the official package."""
        home = Path(os.path.expanduser("~"))
        return cls.model_validate(
            {
                "server": {"url": settings.url, "token": settings.token},
                "profiles": read_files(Path.cwd(), home).tables.get("profiles", {}),
                "run": {
                    "name": settings.run.name,
                    "description": settings.run.description,
                    "tags": list(settings.run.tags),
                    "folder": settings.run.folder or "/",
                    "metadata": {
                        "environment": settings.run.environment,
                        "git": settings.run.git,
                        "system": settings.run.system,
                        "custom": dict(settings.run.metadata),
                    },
                    "mode": mode,
                },
                "offline": {"cache": settings.cache},
            }
        )

    @classmethod
    def config_file(cls) -> Path:
        """Return the file of settings that is in use; raises FileNotFoundError without one."""
        found = find_file(CONFIG_FILE_NAMES)
        if found is None:
            raise FileNotFoundError("there is no simvue.toml here or above, nor in the home")
        return found

    @property
    def headers(self) -> dict[str, str]:
        """The headers that the server wants with each request."""
        token = self.server.token.get_secret_value() if self.server.token else ""
        return {"Authorization": f"Bearer {token}"}

    @property
    def nosim_version(self) -> None:
        """The version of what official servers call noSim; never asked for."""
        return None
