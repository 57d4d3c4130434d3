"""Process: one server from an empty directory to an exit status.

::

    DIR/                 made 0700
      simvue.toml        0600: [server] url and token, ready for clients; written by the
                         first start, its url renewed when host or port change
      ...                the store's own files

The first start makes the administrator's token.  If ``simvue.toml`` is lost, or does not
fit the store, the next start makes a new one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import uvicorn

from simvue.exception import ConfigurationError, StoreError
from simvue.version import __version__

from .app import make_app
from .auth import Hosts, digest, new_token
from .live import Live
from .relay import Relay
from .store import Store, open_store, shown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# What a stop waits for requests in flight; an unanswered body is sent again.
GRACE_S: Final = 10
# Shippers send each second and beat each minute over one connection.
KEEP_ALIVE_S: Final = 75

# glibc's numbers for mallopt.  By default each body's buffer is returned to the system
# and faulted in again, which costs the event loop twice what everything else does
# (measured, docs/design/server.md); 32 MiB is the largest threshold glibc takes.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_MMAP_THRESHOLD: Final = 32 << 20
_TRIM_THRESHOLD: Final = 256 << 20


def serve(
    data: Path,
    host: str,
    port: int,
    names: Sequence[str] = (),
    store_url: str | None = None,
    blobs: str | None = None,
) -> None:
    """Serve the store in *data* until SIGTERM or SIGINT; port 0 picks a free one.

    *names* are more host names this server is known by; *store_url* and *blobs* say where the
    store is if it is not in *data* (open_store).  Raises StoreError or
    ConfigurationError with one clear sentence if it cannot start.
    """
    # What runs say is their owner's business, also in a directory that others may read.
    os.umask(0o077)
    _keep_memory()
    _make_directory(data)
    store = open_store(store_url or str(data), blobs)
    try:
        listener = _listen(host, port)
        with listener:
            port = listener.getsockname()[1]
            url = f"http://{_reachable(host)}:{port}"
            token = _configure(data / "simvue.toml", url, store)
            live = Live()
            app = make_app(store, live, Hosts(host, names), f"simvue_{port}")
            config = uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="on",
                # Its records go where all others go (logs.py).
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                headers=[("X-Content-Type-Options", "nosniff")],
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
            )
            place = shown(store_url) if store_url else str(data)
            server = _Server(config, live, data, place, url, token)
            with Relay(store, live) if store.shared else nullcontext():
                server.run_until_signal(listener)
    finally:
        store.close()


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it is ready and ends with status 0 when told to."""

    def __init__(
        self, config: uvicorn.Config, live: Live, data: Path, place: str, url: str, token: str
    ) -> None:
        super().__init__(config)
        self._live = live
        self._data = data
        self._place = place
        self._url = url
        self._token = token

    def run_until_signal(self, listener: socket.socket) -> None:
        # uvicorn raises a signal again after it has stopped, so that this handler, which
        # also hears one that comes too early, keeps it from killing the process.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self.run(sockets=[listener])

    def _stop(self, number: int, frame: Any) -> None:
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(f"Simvue {__version__}, data in {self._place}")
        if sys.stdout.isatty():
            print(f"Open {self._url}/?token={self._token}")
        else:
            print(f"The token is in {self._data / 'simvue.toml'}")
        # The one line that scripts wait for.
        print(f"ready {self._url}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn waits for every request in flight, and a stream is one that does not end.
        self._live.close()
        await super().shutdown(sockets)


def _keep_memory() -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        # Not glibc: its allocator has its own ideas.
        return
    mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD)
    mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD)


def _make_directory(data: Path) -> None:
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make the data directory {data}: {error.strerror}") from None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # Now, not when the loop starts: two servers may bind one port with REUSEADDR,
        # and only the second listen fails.
        listener.listen(2048)
    except OSError as error:
        listener.close()
        other = error.errno in (errno.EADDRINUSE, errno.EACCES)
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror or error}"
            + ("; choose another with --port, or 0 for any free one" if other else "")
        ) from None
    return listener


def _reachable(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


# ---- simvue.toml ---------------------------------------------------------------------------


def _configure(path: Path, url: str, store: Store) -> str:
    """Bring the file at *path* up to date and return the token it holds."""
    text, token, written = _read(path)
    if not token or store.find_token(digest(token)) is None:
        token, known = new_token("admin", "default", time.time())
        store.add_token(digest(token), known)
        _write(path, f'[server]\nurl = "{url}"\ntoken = "{token}"\n')
    elif written != url:
        # Only that line: the rest of the file is its reader's.
        pattern = re.compile(r"^(\s*url\s*=\s*)([\"']).*?\2", re.MULTILINE)
        _write(path, pattern.sub(lambda match: f'{match[1]}"{url}"', text, count=1))
    return token


def _read(path: Path) -> tuple[str, str, str]:
    try:
        text = path.read_text()
        server = tomllib.loads(text).get("server", {})
        return text, str(server.get("token", "")), str(server.get("url", ""))
    except FileNotFoundError:
        return "", "", ""
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"cannot read {path}: {error}; mend it, or remove it to get a new token"
        ) from None


def _write(path: Path, text: str) -> None:
    draft = path.with_suffix(".toml.new")
    try:
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None
