"""Which proxy a request passes on its way, and what it shows there.

::

    this machine           none, whatever is set: a proxy cannot reach it
    a host of no_proxy     none
    anything else          the proxy of the settings, or else the one that the environment names
"""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote, urlsplit

from .config import DIRECT, Proxy


def is_loopback(url: str) -> bool:
    """Whether *url* is of this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")


def proxies_for(proxy: Proxy, url: str) -> dict[str, str] | None:
    """Return the proxies of a request to *url* as requests takes them; None: the environment's."""
    if proxy.url is None:
        return None
    address = address_for(proxy, url)
    if address is None:
        # Not an empty table, which requests would fill from the environment.
        return {"http": "", "https": ""}
    if proxy.auth:
        user, _, password = proxy.auth.partition(":")
        # In the address, the one place from where it reaches a tunnel and a plain request alike.
        scheme, _, host = address.partition("://")
        address = f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{host}"
    return {"http": address, "https": address}


def address_for(proxy: Proxy, url: str) -> str | None:
    """Return the address of the proxy that a request to *url* passes, without credentials."""
    if is_loopback(url):
        return None
    if proxy.url is None:
        return _without_credentials(_of_environment(url))
    if proxy.url == DIRECT or _is_excepted(urlsplit(url).hostname or "", proxy.exceptions):
        return None
    return proxy.url


def authorisation_for(proxy: Proxy, url: str) -> str | None:
    """Return what the header Proxy-Authorization says for a request to *url*, if anything."""
    if proxy.url is None:
        from requests.utils import get_auth_from_url

        user, password = get_auth_from_url(_of_environment(url) or "")
        auth = f"{user}:{password}" if user else None
    else:
        auth = proxy.auth
    return f"Basic {b64encode(auth.encode()).decode()}" if auth else None


def _of_environment(url: str) -> str | None:
    from requests.utils import get_environ_proxies, select_proxy

    found: str | None = select_proxy(url, get_environ_proxies(url))
    return f"http://{found}" if found and "://" not in found else found


def _without_credentials(address: str | None) -> str | None:
    if not address or "@" not in address:
        return address
    return f"{address.partition('://')[0]}://{address.rpartition('@')[2]}"


def _is_excepted(host: str, exceptions: tuple[str, ...]) -> bool:
    return any(
        name == "*" or host == name.lstrip(".") or host.endswith(f".{name.lstrip('.')}")
        for name in exceptions
    )
