"""What engines are made of: processes that end with whoever started them, ports, a directory."""

from __future__ import annotations

import os
import pwd
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from simvue.exception import StoreError

START_S_MAX: Final = 60
"""PostgreSQL takes half a second and SeaweedFS two; this is for a machine that is busy with
everything else."""

# Between two looks at another process, short against a start.
_LOOK_S: Final = 0.02
# Below those that a kernel gives to outgoing connections, which could take the port of an
# engine that is down for a moment.
_PORTS: Final = range(20_000, 32_768)


class EngineMissing(StoreError):
    """An engine's programs are not installed; the message says what to install."""


@contextmanager
def room() -> Iterator[Path]:
    """Make a directory for engines, which an unprivileged user can reach; remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="simvue-engines-", ignore_cleanup_errors=True) as made:
        os.chmod(made, 0o711)
        yield Path(made)


def launch(
    command: Sequence[str],
    log: IO[bytes],
    *,
    owner: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start *command* as *owner*, to be killed when this thread ends, however it does."""
    return subprocess.Popen(
        [*as_user(owner, "--pdeathsig", "KILL"), *command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=cwd or "/",
        env=env,
        # Ctrl-C is for the demo, which stops its engines last.
        start_new_session=True,
    )


def as_user(owner: str | None, *more: str) -> list[str]:
    """Return what to put before a command so that *owner* runs it, None: who asks.

    *more* are other options of setpriv.
    """
    if owner:
        entry = pwd.getpwnam(owner)
        more = (f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups", *more)
    return ["setpriv", *more, "--"] if more else []


def await_ready(
    condition: Callable[[], bool],
    engine: str,
    processes: Sequence[subprocess.Popen[bytes]],
    log_text: Callable[[], str],
) -> None:
    """Wait until *condition* holds.

    Raises StoreError with the end of the log if one of *processes* ends before, or it is too long.
    """
    deadline = time.monotonic() + START_S_MAX
    while not condition():
        ended = any(process.poll() is not None for process in processes)
        if ended or time.monotonic() > deadline:
            state = "ended" if ended else f"is not ready after {START_S_MAX} s"
            raise StoreError(f"{engine} {state}, and said:\n{log_text()[-4000:]}")
        time.sleep(_LOOK_S)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
