"""Run: what a simulation calls.

The hot methods, ``log_metrics`` ``log_event`` ``log_series`` ``bind_metrics``, are C methods
of the base class (_batch.pyx).  Everything else a run does is a *call*: one JSON record in
the run's calls stream, in order with its rows, carried out by the shipper.  Nothing here
opens a connection to a server or imports what could.
"""

from __future__ import annotations

import _thread
import atexit
import json
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Literal

from simvue import _batch
from simvue.arguments import (
    check_folder,
    check_metadata,
    check_name,
    check_notification,
    check_tags,
    check_text,
    check_timeout,
    parse_span,
    parse_visibility,
    plain,
    shell_variables,
)
from simvue.config import Config, load
from simvue.context import launched_by, system
from simvue.exception import (
    InvalidValueError,
    NotInitialisedError,
    SimvueRunError,
    UnauthorisedError,
)
from simvue.launch import Launch, this_launch
from simvue.link import Link, this_link
from simvue.names import random_name
from simvue.queue import ROWS, WAIT_MS_MAX, Queue
from simvue.runtime import this_process
from simvue.shared import shared_name, shared_run_id
from simvue.wire import TERMINAL, new_id

_logger = logging.getLogger("simvue")

_SPOOL_BEFORE_S: Final = 3.0
"""So long before its deadline, ``close`` asks for the rest to be put on disk: what a disk
takes for 64 MiB when it is slow."""

_SLEEP_OF_SHIPPER_S: Final = 0.5
"""More than a shipper that is well takes to answer; it is awake, as it has just settled rows."""

_CLOSE_SLICE_S: Final = 0.001
_CLOSE_SLICE_S_MAX: Final = 0.02
"""Between two looks while ``close`` waits: soon at first, then out of the way of others."""

Mode = Literal["online", "offline", "disabled"]
Policy = Literal["wait", "drop"]
AbortAction = Literal["terminate", "run", "ignore"]

ABORT_GRACE_S: Final = 30.0
"""Between the KeyboardInterrupt of an abort and SIGTERM: time for a checkpoint, and for a code
that is inside a long call of C to come back to Python."""


class Run(_batch.Writer):
    """One run of a simulation, recorded while it happens.

    ::

        with Run() as run:
            run.init("lid-driven-cavity", metadata={"re": 1000}, tags=["test"], folder="/cfd")
            for step in range(1000):
                run.log_metrics({"residual": residual}, step=step)

    Nothing is contacted before ``init``.  Several runs may be open at once; threads may share
    one.  Trouble of the network or the server never raises out of a ``log_*`` call.
    """

    def __init__(
        self,
        mode: Mode = "online",
        abort_callback: Callable[[Run], None] | None = None,
        server_token: object = None,
        server_url: str | None = None,
        debug: bool = False,
        server_profile: str | None = None,
        *,
        disabled: bool = False,
    ) -> None:
        """Prepare a run; *mode* is ``online``, ``offline`` (no network) or ``disabled``.

        *server_url*, *server_token* and *server_profile* beat the environment, which beats
        ``simvue.toml``.  *abort_callback* is called with the run, in a thread of ours, when the
        server asks it to stop.
        """
        if mode not in ("online", "offline", "disabled"):
            raise InvalidValueError(f"mode is online, offline or disabled; got {mode!r}")
        self._mode: Mode = "disabled" if disabled else mode
        self._abort_callback = abort_callback
        self._settings = {"url": server_url, "token": server_token, "profile": server_profile}
        self._config: Config | None = None
        self._name: str | None = None
        self._id: str | None = None
        self._status: str | None = None
        self._policy: Policy | None = None
        self._blocking = False
        self._dropped = 0
        self._queues: tuple[Queue, Queue, Queue] | None = None
        self._owner = self._joined = 0
        self._noted: _batch.Segment | None = None
        self._completes = True
        """Whether it is this process's close that completes the run."""
        self._on_abort: AbortAction = "terminate"
        self._aborted_by_server = False
        self._start = time.monotonic()
        _logger.setLevel(logging.DEBUG if debug else logging.INFO)

    # ---- Opening --------------------------------------------------------------------

    def init(
        self,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        description: str | None = None,
        folder: str | None = None,
        status: Literal["running", "created"] | None = None,
        offline: bool = False,
        *,
        running: bool | None = None,
        notification: Literal["none", "all", "error", "lost"] = "none",
        retention_period: str | None = None,
        timeout: int | None = 180,
        visibility: Literal["public", "tenant"] | list[str] | None = None,
        record_shell_vars: Iterable[str] | None = None,
        no_color: bool = False,
        shared: bool | str | None = None,
    ) -> bool:
        """Create the run and start recording; all arguments are optional.

        *name* defaults to two random words, *folder* to ``/`` (made if it is not there).
        ``status='created'`` (or ``running=False``) registers a queued job, to be started later by
        ``reconnect``.  ``offline=True`` contacts no server and writes everything to disk.
        *timeout* is the silence in seconds after which the server calls the run ``lost``, None
        for never; *retention_period* a span like ``'5 days'`` after which it is deleted.

        With ``shared=True`` all ranks of an MPI job record into ONE run; with a text, or the
        variable SIMVUE_RUN_ID, all processes that are given the same.  They pass the same
        arguments; rank 0 completes the run, and any rank that fails fails it.

        Waits at most two seconds for the server (SIMVUE_INIT_TIMEOUT): where it does not
        answer, a warning says so and the run goes on, to be registered later.  Raises
        UnauthorisedError if the token is refused, InvalidValueError for an argument that cannot
        be, SimvueRunError if the run is open already.
        """
        if self._queues is not None:
            raise SimvueRunError("this run is open already: close() it first, or use another Run()")
        if self._mode == "disabled":
            return self._disable("init")
        if status not in (None, "created", "running"):
            raise InvalidValueError(f"status is 'created' or 'running'; got {status!r}")
        if running is not None and status is not None and running != (status == "running"):
            raise InvalidValueError(f"running={running} contradicts status={status!r}")
        starts = status != "created" if running is None else running
        mode: Mode = "offline" if offline else self._mode
        self._config = config = self._load(mode)
        defaults = config.run
        launch = this_launch()
        common = shared_run_id(shared, launch, config.url)
        self._completes = common is None or not launch.rank
        # What differs between ranks is no part of a registration that they share.
        facts = self._facts(launch) if starts and common is None else {}
        name = check_name(name if name is not None else defaults.name)
        name = name or (shared_name(common) if common else random_name())
        run: dict[str, Any] = {
            "id": common or new_id(),
            "name": name,
            "folder": check_folder(folder or defaults.folder or "/"),
            "status": "running" if starts else "created",
            "tags": list(dict.fromkeys([*check_tags(tags or ()), *defaults.tags])),
            "metadata": {
                **facts.get("metadata", {}),
                **defaults.metadata,
                **check_metadata(metadata or {}),
            },
            "system": facts.get("system"),
            "description": check_text("description", description or defaults.description),
            "heartbeat_timeout": check_timeout(timeout),
            "notifications": {"state": check_notification(notification)},
            "ttl": parse_span(retention_period),
            "visibility": parse_visibility(visibility),
        }
        if record_shell_vars is not None:
            run["metadata"]["shell"] = shell_variables(record_shell_vars)
        self._mode = mode
        self._id, self._name, self._status = run["id"], name, run["status"]
        self._open({"call": "open", "run": run, "created": not starts})
        if common and starts and self._completes:
            # Of the job as a whole; each rank's own would hide the others'.
            launch = launch._replace(rank=None, local_rank=None)
            self._write_call({"call": "update", "changes": self._facts(launch)})
        if self._completes and not no_color:
            _announce(f"Run {self._name} created", self.url)
        return True

    def reconnect(
        self,
        name: str | None = None,
        *,
        run_id: str | None = None,
        uid: str | None = None,
        offline: bool = False,
    ) -> bool:
        """Start a run that was created before, by its *name* or id, and go on recording into it.

        Of several runs of that name the newest in ``created`` is taken.  Relative time and the
        automatic step begin at 0 again.  Raises SimvueRunError if there is no such run or the
        name is ambiguous; where the server cannot be asked, the data goes into a new
        run of that name, and a warning says so.
        """
        key = run_id or uid or name
        if not key:
            raise InvalidValueError("reconnect needs the name or the id of a run")
        if self._queues is not None:
            raise SimvueRunError("this run is open already: close() it first, or use another Run()")
        if self._mode == "disabled":
            return self._disable("reconnect")
        mode: Mode = "offline" if offline else self._mode
        self._config = config = self._load(mode)
        found: dict[str, Any] | None = None
        if mode == "online":
            asked = self._link().ask({"find": key, "server": self._server()}, config.init_timeout)
            self._raise_refusal(asked)
            found = asked["content"] if asked and asked["outcome"] == "DONE" else None
        if found is None:
            _logger.warning(
                "run %s could not be looked up; what follows is recorded as a new run of that name",
                key,
            )
            return self.init(check_name(key), metadata={"reconnect": key}, offline=offline)
        self._mode = mode
        self._id, self._name, self._status = found["id"], found["name"], "running"
        changes = {"status": "running", **self._facts(this_launch())}
        self._open({"call": "open", "run": None, "changes": changes, "created": False})
        return True

    def config(
        self,
        suppress_errors: bool | None = None,
        queue_blocking: bool | None = None,
        queue_size: int | None = None,
        *,
        queue_policy: Policy | None = None,
        abort_on_alert: AbortAction | None = None,
    ) -> bool:
        """Change how this run records, before ``init``; None leaves a setting as it is.

        *queue_policy* says what a full queue does: ``wait`` up to a second for the shipper, then
        count drops; or ``drop`` at once.  *queue_blocking* waits without bound.
        *abort_on_alert* says what an abort by the server does, after the abort callback:
        ``terminate`` raises KeyboardInterrupt in the main thread, and sends SIGTERM if the
        process is still there 30 s later; ``run`` ends only the run; ``ignore`` nothing.
        *suppress_errors* and *queue_size* are accepted for scripts of older releases: server
        trouble never raises here, and the queue's bound is ``buffer_size`` in the configuration.
        """
        if queue_policy not in (None, "wait", "drop"):
            raise InvalidValueError(f"queue_policy is 'wait' or 'drop'; got {queue_policy!r}")
        if abort_on_alert not in (None, "terminate", "run", "ignore"):
            raise InvalidValueError(
                f"abort_on_alert is 'terminate', 'run' or 'ignore'; got {abort_on_alert!r}"
            )
        self._policy = queue_policy or self._policy
        self._on_abort = abort_on_alert or self._on_abort
        if queue_blocking is not None:
            self._blocking = queue_blocking
        return True

    @staticmethod
    def _facts(launch: Launch) -> dict[str, Any]:
        """Return what is recorded unasked of where the run runs."""
        return {"system": system(), "metadata": launched_by(launch)}

    def _load(self, mode: Mode) -> Config:
        config = load(**self._settings)  # type: ignore[arg-type]
        for warning in config.warnings:
            _logger.warning("%s", warning)
        if mode == "online":
            config.require_server()
        return config

    def _server(self) -> dict[str, Any]:
        assert self._config is not None
        return {
            "url": self._config.url,
            "token": self._config.token,
            "token_source": self._config.token_source,
            "ca_file": str(self._config.ca_file) if self._config.ca_file else None,
        }

    def _disable(self, method: str) -> bool:
        _logger.warning("%s: this run is disabled, nothing will be recorded", method)
        self._silence()
        return True

    def _open(self, call: dict[str, Any]) -> None:
        """Make the streams, write the open call, and let the shipper register the run."""
        config, run = self._config, self._id
        assert config is not None
        assert run is not None
        self._make_queues(run)
        self._owner = self._joined = os.getpid()
        self._write_open(call)
        self._watch_signals()
        _open_runs.add(self)
        _watch_the_end()
        link, process = self._link(), this_process().id
        link.runs[run] = self._aborted
        asked = link.ask({"open": run, "process": process}, config.init_timeout)
        try:
            self._raise_refusal(asked)
        except SimvueRunError:
            link.tell({"forget": run, "process": process})
            self._forget()
            raise
        if not call["created"]:
            assert self._queues is not None
            self._attach(self._queues[0].stream, self._queues[1].stream)
        self._start = time.monotonic()
        content = (asked or {}).get("content") or {}
        self._id = content.get("id") or self._id
        self._name = content.get("name") or self._name
        if self._mode == "online" and (asked is None or asked["outcome"] != "DONE"):
            detail = asked["detail"] if asked else "no shipper answered in time"
            _logger.warning(
                "run %s is not registered yet (%s); it goes on, and is sent as soon as possible",
                self._name, detail,
            )  # fmt: skip

    def _make_queues(self, run: str) -> None:
        config = self._config
        assert config is not None
        wait_ms_max = math.inf if self._blocking else WAIT_MS_MAX
        metrics, events = (
            Queue(
                run,
                kind,
                size_max=config.buffer_size,
                policy=self._policy or config.policy,
                wait_ms_max=wait_ms_max,
                on_roll=lambda: this_link().nudge(),
                on_stall=lambda: this_link().revive(),
                on_fork=self._join,
            )
            for kind in ROWS
        )
        self._queues = (metrics, events, Queue(run, "calls"))

    def _write_open(self, call: dict[str, Any]) -> None:
        """Append an open call: *call*, and where the rows behind it go."""
        config = self._config
        assert config is not None
        offline = self._mode == "offline"
        self._write_call(
            {
                **call,
                "server": None if offline else self._server(),
                "offline": offline,
                "cache": os.path.abspath(config.cache),
                "flush_interval": config.flush_interval,
                "linger": config.linger,
            }
        )

    def _watch_signals(self) -> None:
        """Have the signal that ends the process noted where the shipper finds it."""
        assert self._queues is not None
        self._noted = self._queues[2].stream.segment
        if self._noted is not None:
            self._noted.note_signals()

    def _join(self) -> None:
        """Take part in the run from a process that did not open it: a fork, an unpickled one."""
        if self._joined != os.getpid():
            self._joined = os.getpid()
            self._write_open({"call": "open", "run": None, "created": False, "joined": True})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a handle: what comes of it records into the same run, as a writer of its own.

        Holds neither rows nor the token, which the other process takes from its own
        configuration, or its node's shipper has already.
        """
        state = {
            "run": self._local_id if self._queues else None,
            "_id": self._id,
            "_name": self._name,
            "_status": self._status,
            "_mode": self._mode,
            "_settings": {**self._settings, "token": None},
            "_policy": self._policy,
            "_blocking": self._blocking,
        }
        return _unpickle, (type(self), state)

    def _restore(self, state: dict[str, Any]) -> None:
        Run.__init__(self)
        run = state.pop("run")
        self.__dict__.update(state)
        if self._mode == "disabled":
            self._silence()
        if run is None:
            return
        self._config = config = load(**self._settings)  # type: ignore[arg-type]
        self._make_queues(run)
        _open_runs.add(self)
        if self._mode == "offline" or (config.url and config.token):
            self._join()
        assert self._queues is not None
        if self._status == "running":
            self._attach(self._queues[0].stream, self._queues[1].stream)

    def _link(self) -> Link:
        """Return this process's link to the shipper, told whether it may start one."""
        assert self._config is not None
        link = this_link()
        link.starts = self._config.shipper == "auto"
        return link

    def _raise_refusal(self, asked: dict[str, Any] | None) -> None:
        config = self._config
        assert config is not None
        if asked is None:
            return
        if asked["outcome"] == "REFUSED":
            raise UnauthorisedError(
                f"{config.url} refuses the token from {config.token_source}: {asked['detail']}; "
                "make a new one on the server's page, or correct the address"
            )
        if asked["outcome"] in ("REJECTED", "GONE"):
            raise SimvueRunError(f"{config.url} does not take this run: {asked['detail']}")

    # ---- While it runs ------------------------------------------------------------------

    log = _batch.Writer.log_metrics
    """Another name of ``log_metrics``, from the first README."""

    def update_metadata(self, metadata: Mapping[str, Any]) -> bool:
        """Add *metadata*; an attribute that exists is replaced, nested dicts are merged."""
        return self._update("update_metadata", {"metadata": check_metadata(metadata)})

    def update_tags(self, tags: Iterable[str]) -> bool:
        """Add *tags* to those that the run has."""
        checked = check_tags(tags)
        if self._mode == "disabled":
            return True
        self._require("update_tags")
        return self._write_call({"call": "tags", "tags": checked})

    def set_tags(self, tags: Iterable[str]) -> bool:
        """Replace the tags of the run by *tags*."""
        return self._update("set_tags", {"tags": check_tags(tags)})

    def set_status(self, status: Literal["completed", "failed", "terminated"]) -> bool:
        """Set the terminal status, in order with the data; also after ``close``."""
        if status not in TERMINAL:
            raise InvalidValueError(
                f"status is one of {', '.join(sorted(TERMINAL))}; got {status!r}"
            )
        if self._queues is None and self._id is not None:
            # Connectors set it after the end: the run is opened once more for this one call.
            self._open(
                {"call": "open", "run": None, "changes": {"status": status}, "created": True}
            )
            self._status = status
            return self._tidy_run()
        done = self._update("set_status", {"status": status})
        self._status = status
        return done

    def _update(self, method: str, changes: dict[str, Any]) -> bool:
        if self._mode == "disabled":
            return True
        self._require(method)
        return self._write_call({"call": "update", "changes": changes})

    def _require(self, method: str) -> None:
        if self._queues is None:
            raise NotInitialisedError(
                f"{method}: call init() or reconnect() first, and nothing after close()"
            )

    def _write_call(self, call: dict[str, Any]) -> bool:
        """Append *call* to the calls stream, behind the rows that this process logged so far."""
        assert self._queues is not None
        *rows, calls = self._queues
        marks = [queue.mark for queue in rows]
        call["after"] = {writer: row for writer, row in marks if row}
        text = json.dumps(call, separators=(",", ":"), default=plain).encode()
        return bool(calls.stream.write(len(text).to_bytes(4, "big") + text))

    def _aborted(self) -> None:
        """Do what an abort asks for; called in the link's thread, at every reply that says so."""
        if self._aborted_by_server:
            return
        self._aborted_by_server = True
        _logger.warning("the server asks run %s to stop", self._name)
        # Not in the link's thread, which has to hear what the shipper says meanwhile.
        threading.Thread(target=self._abort, name="simvue-abort", daemon=True).start()

    def _abort(self) -> None:
        if self._abort_callback is not None:
            self._abort_callback(self)
        if self._on_abort == "run":
            self._end("terminated")
        elif self._on_abort == "terminate":
            # As Ctrl-C: `with` and `finally` blocks and exit hooks run, and say `terminated`.
            _thread.interrupt_main()
            time.sleep(ABORT_GRACE_S)
            os.kill(os.getpid(), signal.SIGTERM)

    # ---- Closing --------------------------------------------------------------------------

    def close(self) -> bool:
        """Finish the run as completed; all that is not yet sent is sent.

        Blocks until the server has everything, or the disk where the server does not answer,
        for at most ``close_timeout`` (10 s); then a warning says where the rest lies and which
        command sends it.  Calling it again, or in a ``with`` block, is harmless.
        """
        return self._end("completed")

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or (issubclass(kind, SystemExit) and not getattr(error, "code", None)):
            self._end("completed")
            return
        self._record_failure(kind, error, trace)
        self._end("terminated" if issubclass(kind, KeyboardInterrupt) else "failed")

    def _record_failure(
        self,
        kind: type[BaseException],
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._queues is not None and self._status == "running":
            import traceback  # 3 ms that only a failure is worth

            text = "".join(traceback.format_exception(kind, error, trace))
            self.log_event(text, log_level="error")

    def _end(self, status: str) -> bool:
        if self._queues is None:
            return self._mode != "disabled"
        # Another process, a fork say, sends what it logged; the run is not its to end.
        if self._status == "running" and self._owner == os.getpid():
            if self._completes or status != "completed":
                self._write_call({"call": "update", "changes": {"status": status}})
            self._status = status
        return self._tidy_run()

    def _tidy_run(self) -> bool:
        """Close the streams and wait until everything is on the server, or on disk."""
        if self._queues is None:
            return True
        self._detach()
        if self._joined != os.getpid() and not any(queue.mark[1] for queue in self._queues):
            # A fork that never logged leaves no trace.
            self._forget()
            return True
        self._join()
        self._write_call({"call": "end"})
        sent = self._wait_until_sent()
        self._forget()
        return sent

    def _forget(self) -> None:
        self._detach()
        self._dropped = self.dropped
        if self._noted is not None:
            self._noted.forget_signals()
        this_link().runs.pop(self._local_id, None)
        self._queues = None
        _open_runs.discard(self)

    def _wait_until_sent(self) -> bool:
        config, run = self._config, self._local_id
        assert self._queues is not None
        assert config is not None
        link, process = self._link(), this_process().id
        link.revive()
        begun = time.monotonic()
        deadline = begun + config.close_timeout
        spool_at = max(begun, deadline - _SPOOL_BEFORE_S)
        link.tell({"flush": run, "process": process})
        asked = False
        slice_s = _CLOSE_SLICE_S
        while any(queue.owed for queue in self._queues):
            # The last shipper may have gone: what it left is for the next one.
            now = time.monotonic()
            link.revive(max(0.0, deadline - now))
            if now > spool_at and not asked:
                asked = link.tell({"spool": run, "process": process})
            if now > deadline:
                _logger.warning(
                    "run %s: not everything could be sent or put on disk within %g s; it lies in "
                    "%s, and 'simvue ship' sends it",
                    self._name, config.close_timeout, this_process().runtime.path,
                )  # fmt: skip
                return False
            time.sleep(slice_s)
            slice_s = min(slice_s * 1.2, _CLOSE_SLICE_S_MAX)
        self._tell_what_is_left(link, run)
        return True

    def _tell_what_is_left(self, link: Link, run: str) -> None:
        """Say where that lies which is safe, but not yet on the server."""
        if self._mode != "online":
            return
        asked = link.ask({"left": run}, _SLEEP_OF_SHIPPER_S) or {}
        directory = (asked.get("content") or {}).get("directory")
        if directory:
            _logger.warning(
                "run %s: the server did not take everything yet; the rest lies in %s and is sent "
                "when it answers, or by 'simvue ship'",
                self._name, directory,
            )  # fmt: skip

    # ---- What it is ------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """The run's name; None before ``init``."""
        return self._name

    @property
    def id(self) -> str | None:
        """The run's identifier, 22 letters and digits; None before ``init``."""
        return self._id

    @property
    def status(self) -> str | None:
        """The status as this process last set it; None before ``init``."""
        return self._status

    @property
    def mode(self) -> Mode:
        """``online``, ``offline`` or ``disabled``."""
        return self._mode

    @property
    def url(self) -> str | None:
        """The address of the run's page; None before ``init`` and for a run without a server."""
        if self._id is None or self._mode != "online" or self._config is None:
            return None
        return f"{self._config.url}/dashboard/runs/run/{self._id}"

    @property
    def duration(self) -> float:
        """Seconds since the run was opened in this process."""
        return time.monotonic() - self._start

    @property
    def dropped(self) -> int:
        """Rows lost to a full queue in this process so far; see ``config(queue_policy=...)``."""
        if self._queues is None:
            return self._dropped
        return sum(queue.stream.dropped for queue in self._queues)

    @property
    def _local_id(self) -> str:
        """The id under which the streams lie in shared memory."""
        assert self._queues is not None
        return self._queues[0].run


# ---- The end of the process -------------------------------------------------------------

_open_runs: set[Run] = set()
"""Held, so that a run whose last reference the caller dropped is closed all the same."""

_failure: tuple[type[BaseException], BaseException, TracebackType | None] | None = None
_watching = False


def _watch_the_end() -> None:
    """Have runs that nobody closed closed at the process's end, with its cause."""
    global _watching
    if _watching:
        return
    _watching = True
    before = sys.excepthook

    def note_failure(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        global _failure
        _failure = (kind, error, trace)
        before(kind, error, trace)

    sys.excepthook = note_failure
    atexit.register(_close_all)


def _close_all() -> None:
    for run in list(_open_runs):
        if _failure is None:
            run._end("completed")
        else:
            run._record_failure(*_failure)
            run._end("terminated" if issubclass(_failure[0], KeyboardInterrupt) else "failed")


def _unpickle(cls: type[Run], state: dict[str, Any]) -> Run:
    run = cls.__new__(cls)
    run._restore(state)
    return run


def _announce(text: str, url: str | None) -> None:
    """Tell somebody at a terminal, or a job's log, where to look."""
    print(f"[simvue] {text}")
    if url:
        print(f"[simvue] Monitor at {url}", flush=True)
