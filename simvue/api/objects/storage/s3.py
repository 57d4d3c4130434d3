"""Storages in a bucket of S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..base import Part
from .base import StorageBase

if TYPE_CHECKING:
    from typing_extensions import Self


class Config(Part):
    """Where the bucket is; its secret never comes back."""

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return str(self._read("bucket"))

    @bucket.setter
    def bucket(self, bucket: str) -> None:
        self._change("bucket", bucket)

    @property
    def endpoint_url(self) -> str | None:
        """The address of the service, None for Amazon's own."""
        url: str | None = self._read("endpoint_url")
        return url

    @endpoint_url.setter
    def endpoint_url(self, endpoint_url: object) -> None:
        self._change("endpoint_url", str(endpoint_url))

    @property
    def region_name(self) -> str | None:
        """The region, where the service has some."""
        region: str | None = self._read("region_name")
        return region

    @region_name.setter
    def region_name(self, region_name: str) -> None:
        self._change("region_name", region_name)


def _plain(secret: Any) -> Any:
    """Return the text of a secret, which may come wrapped, or as a file's bytes."""
    reveal = getattr(secret, "get_secret_value", None)
    text = reveal() if reveal else secret
    return text.decode().strip() if isinstance(text, bytes) else text


class S3Storage(StorageBase):
    """A storage in a bucket of S3."""

    @property
    def config(self) -> Config:
        """Where the bucket is."""
        return Config(self, "config")

    def get_config(self) -> dict[str, Any]:
        """Return where the bucket is, as the server describes it."""
        return dict(self._get_attribute("config", None) or {})

    @classmethod
    def new(
        cls,
        *,
        name: str,
        bucket: str,
        endpoint_url: object = None,
        access_key_id: str | None = None,
        secret_access_key: object = None,
        region_name: str | None = None,
        ca_cert: object = None,
        disable_check: bool = False,
        is_tenant_useable: bool = True,
        is_default: bool = False,
        is_enabled: bool = True,
        **settings: Any,
    ) -> Self:
        """Prepare a storage called *name*; the server tries the bucket unless told otherwise.

        *secret_access_key* and *ca_cert* are texts, bytes, or have ``get_secret_value()``.
        """
        where = {
            "bucket": bucket,
            "endpoint_url": str(endpoint_url) if endpoint_url else None,
            "access_key_id": access_key_id,
            "secret_access_key": _plain(secret_access_key),
            "region_name": region_name,
            "ca_cert": _plain(ca_cert),
        }
        return cls._prepare(
            settings,
            name=name,
            backend="S3",
            disable_check=disable_check,
            is_tenant_useable=is_tenant_useable,
            is_default=is_default,
            is_enabled=is_enabled,
            config={key: value for key, value in where.items() if value is not None},
        )
