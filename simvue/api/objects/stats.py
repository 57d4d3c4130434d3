"""What there is in all, and who asks."""

from __future__ import annotations

from typing import Any

from .base import SimvueObject


class RunStatistics:
    """How many runs there are, in all and by state."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    @property
    def created(self) -> int:
        """Runs in all."""
        return int(self._stats.get_run_stats()["created"])

    @property
    def running(self) -> int:
        """Runs that are running."""
        return int(self._stats.get_run_stats()["running"])

    @property
    def completed(self) -> int:
        """Runs that have completed."""
        return int(self._stats.get_run_stats()["completed"])

    @property
    def data(self) -> int:
        """Runs with data."""
        return int(self._stats.get_run_stats()["data"])


class Stats(SimvueObject):
    """Counts of the server; they can only be read, and each reading asks anew."""

    _collection = "stats"

    def __init__(self, *, server_url: str | None = None, server_token: object = None) -> None:
        super().__init__(server_url=server_url, server_token=server_token, _read_only=True)

    @property
    def runs(self) -> RunStatistics:
        """How many runs there are."""
        return RunStatistics(self)

    def whoami(self) -> dict[str, Any]:
        """Return the ``user`` and ``tenant`` that the token speaks for."""
        return dict(self._remote.get("/whoami"))

    def get_run_stats(self) -> dict[str, int]:
        """Return the counts of runs."""
        return dict(self._remote.get("/stats")["runs"])

    def admin_stats(self, *, tenant: str | None = None) -> dict[str, dict[str, int]]:
        """Return the counts of each user, of one tenant or of all; for administrators."""
        return dict(self._remote.get("/stats", {"single": False, "tenant": tenant}))

    def to_dict(self) -> dict[str, Any]:
        """Return what the server answers."""
        return dict(self._remote.get("/stats"))
