"""An address that grows by ``/``."""

from __future__ import annotations

from urllib.parse import urlsplit


class URL:
    """An address: ``URL("https://host/api") / "runs" / run_id``."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def __truediv__(self, segment: str) -> URL:
        return URL(f"{self._url}/{segment.strip('/')}")

    def __str__(self) -> str:
        return self._url

    def __repr__(self) -> str:
        return f"URL({self._url!r})"

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other)

    def __hash__(self) -> int:
        return hash(self._url)

    @property
    def scheme(self) -> str:
        """``http`` or ``https``."""
        return urlsplit(self._url).scheme

    @property
    def hostname(self) -> str | None:
        """The host without its port."""
        return urlsplit(self._url).hostname

    @property
    def port(self) -> int | None:
        """The port, None where the address names none."""
        return urlsplit(self._url).port

    @property
    def path(self) -> str:
        """What stands behind the host."""
        return urlsplit(self._url).path
