"""Processes: external codes that a run starts, watches, and takes along when it ends.

::

    add_process        the code, its output in two files; a thread blocks in wait, none polls
    it ends            callback, alert <identifier>_exit_status, output saved, trigger set
    close              waits for all of them; one that failed fails the run
    failure, abort     SIGTERM to the tree of each, SIGKILL to what is there 5 s later
    kill -9            the shipper sees the death, and does the same

A code stays in the session and process group of the simulation, by which terminals and batch
systems know what belongs together.  It is not tied to its parent by PR_SET_PDEATHSIG: that asks
for code of ours between fork and exec, so for a fork that copies the page tables of a whole
simulation, and it would end the code with the *thread* that started it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from simvue import tree
from simvue.exception import InvalidValueError, NotInitialisedError
from simvue.wire import NAME_PATTERN

if TYPE_CHECKING:
    from subprocess import Popen

    from simvue.run import Run

_logger = logging.getLogger("simvue")

_TAIL_SIZE: Final = 2000
"""Characters of a code's last words in an event; chosen: a traceback, and not a log."""

Completion = Callable[..., object]
"""Called with ``status_code``, ``std_out`` and ``std_err``."""


class Trigger(Protocol):
    """An event of ``threading`` or ``multiprocessing``."""

    def set(self) -> None:
        """Say that it happened."""


def command_line(
    arguments: Sequence[object],
    executable: str | os.PathLike[str] | None = None,
    script: str | os.PathLike[str] | None = None,
    input_file: str | os.PathLike[str] | None = None,
    options: Mapping[str, object] | None = None,
) -> list[str]:
    """Build the command of a code: executable, script, input file, options, other arguments.

    Without *executable* the first of *arguments* is it, or else the user's shell.  An option of
    one letter is ``-x value``, a longer one ``--with-dashes value``; True leaves out the value,
    False and None the option.
    """
    rest = [str(argument) for argument in arguments]
    if executable is None:
        executable = rest.pop(0) if rest else os.environ.get("SHELL") or "/bin/sh"
    command = [os.fspath(part) for part in (executable, script, input_file) if part is not None]
    for name, value in (options or {}).items():
        if value is None or value is False:
            continue
        command.append(f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}")
        if value is not True:
            command.append(str(value))
    return command + rest


@dataclass(eq=False)
class _Code:
    """One external code."""

    command: list[str]
    popen: Popen[bytes]
    out: Path
    err: Path
    alert: str
    killed: bool = False
    """We ended it: it did not fail."""
    watcher: threading.Thread = field(init=False)

    @property
    def failed(self) -> bool:
        return bool(self.popen.returncode) and not self.killed


class Executor:
    """The external codes of one run, by their identifiers."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._codes: dict[str, _Code] = {}
        self._owner = os.getpid()
        self._alert_ids: dict[str, str] = {}
        """The alert of each; simvue-fds looks here."""
        self.said: set[str] = set()
        """Ids and names of alerts that the user set."""
        self._told = False

    # ---- Begin and end ------------------------------------------------------------------

    def start(
        self,
        identifier: str,
        arguments: Sequence[object],
        options: Mapping[str, object],
        *,
        executable: str | os.PathLike[str] | None,
        script: str | os.PathLike[str] | None,
        input_file: str | os.PathLike[str] | None,
        completion_callback: Completion | None,
        completion_trigger: Trigger | None,
        env: Mapping[str, str] | None,
        cwd: str | os.PathLike[str] | None,
    ) -> tree.Process | None:
        """Start a code and watch it; return what it is, or None if it has ended already.

        Raises InvalidValueError, or FileNotFoundError if there is no such program, before
        anything is recorded.
        """
        from subprocess import DEVNULL, Popen  # 5 ms that most simulations save

        if not isinstance(identifier, str) or not NAME_PATTERN.fullmatch(identifier):
            raise InvalidValueError(
                f"identifier {identifier!r:.100}: allowed are letters, digits, spaces and - _ / . :"
            )
        if identifier in self._codes:
            raise InvalidValueError(f"this run has a process {identifier!r} already")
        script, input_file = _locate(script, cwd), _locate(input_file, cwd)
        command = command_line(arguments, executable, script, input_file, options)
        program = _find_program(command[0], cwd)
        run = self._run
        for path, category in ((script, "code"), (input_file, "input")):
            if path is not None:
                run.save_file(path, category)  # type: ignore[arg-type]
        run.update_metadata({f"{identifier}_command": shlex.join(command)})
        alert = run.create_user_alert(
            f"{identifier}_exit_status",
            description=f"Exit status of the process '{identifier}'",
        )
        front = f"{run.name or 'run'}_{identifier}".replace(os.sep, "_")
        out, err = Path(f"{front}.out").absolute(), Path(f"{front}.err").absolute()
        with open(out, "wb") as out_file, open(err, "wb") as err_file:
            popen = Popen(
                command,
                executable=program,
                stdin=DEVNULL,
                stdout=out_file,
                stderr=err_file,
                env=env,
                cwd=cwd,
            )
        code = _Code(command, popen, out, err, alert)
        self._codes[identifier] = code
        self._alert_ids[identifier] = alert
        code.watcher = threading.Thread(
            target=self._watch,
            args=(identifier, code, completion_callback, completion_trigger),
            name=f"simvue-process-{identifier}",
            daemon=True,
        )
        code.watcher.start()
        return tree.read_process(popen.pid)

    def _watch(
        self,
        identifier: str,
        code: _Code,
        callback: Completion | None,
        trigger: Trigger | None,
    ) -> None:
        status = code.popen.wait()
        try:
            if callback is not None:
                callback(status_code=status, std_out=_read(code.out), std_err=_read(code.err))
        finally:
            # The callback may have closed the run.
            with contextlib.suppress(NotInitialisedError):
                self._record_end(identifier, code)
            if trigger is not None:
                trigger.set()

    def _record_end(self, identifier: str, code: _Code) -> None:
        run = self._run
        for path in (code.out, code.err):
            if path.is_file() and path.stat().st_size:
                run.save_file(path, "output", "text/plain")
        if not self.said & {code.alert, f"{identifier}_exit_status"}:
            run.log_alert(code.alert, state="critical" if code.popen.returncode else "ok")
        if code.failed:
            message = f"Process '{identifier}' {_describe(code)}"
            _logger.error("run %s: %s", run.name, message)
            run.log_event(message, log_level="error")

    def wait_for_completion(self) -> None:
        """Wait until all codes have ended and their ends are recorded."""
        if self._owner != os.getpid():
            return  # A fork has none of its own.
        for code in list(self._codes.values()):
            # A callback that closes the run must not wait for itself.
            if code.watcher is not threading.current_thread():
                code.watcher.join()

    def kill_process(self, process: str | int, *, kill_children_only: bool = False) -> None:
        """End a code, named by its identifier or pid, with all that it has started.

        Waits up to five seconds for them to end by themselves, then kills them.
        """
        code = self._codes.get(str(process))
        if code is None:
            code = next((c for c in self._codes.values() if c.popen.pid == process), None)
        if code is None:
            raise InvalidValueError(f"this run has no process {process!r}")
        self._kill([code], kill_children_only)

    def kill_all(self) -> None:
        """End all codes, as ``kill_process`` does, and wait until their ends are recorded."""
        if self._owner == os.getpid():
            self._kill(list(self._codes.values()))
            self.wait_for_completion()

    def _kill(self, codes: list[_Code], children_only: bool = False) -> None:
        running = [code for code in codes if code.popen.returncode is None]
        if not running:
            return
        table = tree.read_table()
        ending = []
        for code in running:
            code.killed = code.killed or not children_only
            ending += table.tree(code.popen.pid)[int(children_only) :]
        tree.end(ending)

    def exit_if_failed(self) -> None:
        """Leave the interpreter with the exit status of a code that failed, the first time."""
        if self.failed and not self._told:
            self._told = True
            raise SystemExit(next(_status(c) for c in self._codes.values() if c.failed))

    # ---- What they are and how they ended ----------------------------------------------

    @property
    def processes(self) -> list[Popen[bytes]]:
        """The codes' processes, those that ended as well."""
        return [code.popen for code in self._codes.values()]

    @property
    def failed(self) -> bool:
        """Whether one ended with a status that is not 0, and not because we ended it."""
        return any(code.failed for code in self._codes.values())

    @property
    def success(self) -> bool:
        """Whether all have ended with status 0."""
        return all(code.popen.returncode == 0 for code in self._codes.values())

    @property
    def exit_status(self) -> int:
        """The first exit status that is not 0, else 0."""
        return next((_status(c) for c in self._codes.values() if c.popen.returncode), 0)

    def get_command(self, process_id: str) -> str:
        """Return the command of a code as a shell would read it."""
        return shlex.join(self._code(process_id).command)

    def std_out(self, process_id: str) -> str:
        """Return all that a code has written to its standard output so far."""
        return _read(self._code(process_id).out)

    def std_err(self, process_id: str) -> str:
        """Return all that a code has written to its standard error so far."""
        return _read(self._code(process_id).err)

    def get_error_summary(self) -> dict[str, str]:
        """Return how each code failed that did, with its last words."""
        return {key: _describe(code) for key, code in self._codes.items() if code.failed}

    def _code(self, identifier: str) -> _Code:
        if identifier not in self._codes:
            raise InvalidValueError(f"this run has no process {identifier!r}")
        return self._codes[identifier]


def _locate(path: str | os.PathLike[str] | None, cwd: str | os.PathLike[str] | None) -> str | None:
    """Return *path* so that it is the same file for us and for a code that starts in *cwd*."""
    if path is None or cwd is None:
        return path if path is None else os.fspath(path)
    return os.path.abspath(path if os.path.exists(path) else os.path.join(cwd, path))


def _find_program(name: str, cwd: str | os.PathLike[str] | None) -> str:
    """Return the absolute path of a program, which a shell would find, or one below *cwd*."""
    import shutil  # and the compressors behind it, for those who start something

    found = shutil.which(name) or (shutil.which(os.path.join(cwd, name)) if cwd else None)
    if found is None:
        raise FileNotFoundError(f"there is no program {name!r} on the PATH of this process")
    return os.path.abspath(found)


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


def _status(code: _Code) -> int:
    """Return its exit status as a shell tells it: 128 and the signal for one that was killed."""
    status = code.popen.returncode
    return 128 - status if status < 0 else status


def _describe(code: _Code) -> str:
    status = code.popen.returncode
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    last_words = _read(code.err).strip()[-_TAIL_SIZE:]
    return f"{how}: {last_words}" if last_words else how
