"""Run: what a simulation calls.

The hot methods, ``log_metrics`` ``log_event`` ``log_series`` ``bind_metrics``, are C methods
of the base class (_batch.pyx).  Everything else a run does is a *call*: one JSON record in
the run's calls stream, in order with its rows, carried out by the shipper.  Nothing here
opens a connection to a server or imports what could.
"""

from __future__ import annotations

import _thread
import atexit
import itertools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal

from simvue import _batch, alerts, grids
from simvue.arguments import (
    check_folder,
    check_metadata,
    check_name,
    check_notification,
    check_pid,
    check_tags,
    check_text,
    check_texts,
    check_timeout,
    parse_span,
    parse_visibility,
    shell_variables,
    wanted_resources,
)
from simvue.config import Config, load
from simvue.context import launched_by, surroundings, system
from simvue.counterpart import Counterpart
from simvue.exception import (
    InvalidValueError,
    NotInitialisedError,
    SimvueRunError,
    UnauthorisedError,
)
from simvue.launch import Launch, this_launch
from simvue.names import random_name
from simvue.recording import Recording, link_of, server_of
from simvue.shared import shared_name, shared_run_id, sharing
from simvue.values import as_plain
from simvue.wire import FOLDER_PATTERN, TERMINAL, format_timestamp, is_id, new_id

if TYPE_CHECKING:
    from subprocess import Popen

    from simvue import staging
    from simvue.config.user import SimvueConfiguration
    from simvue.processes import Completion, Executor, Trigger

# What few runs need, artifacts and external codes, is imported where it is used: the rest pays
# a third less for this module.

_logger = logging.getLogger("simvue")

Mode = Literal["online", "offline", "disabled"]
Policy = Literal["wait", "drop"]
AbortAction = Literal["terminate", "run", "ignore"]
Category = Literal["input", "output", "code"]

# What simvue-cli takes from here.
get_system = system
FOLDER_REGEX: Final = f"^{FOLDER_PATTERN.pattern}"
_HOMES: Final = {
    "RunObject": ("simvue.api.objects", "Run"),
    "SimvueConfiguration": ("simvue.config.user", "SimvueConfiguration"),
    "UserAlert": ("simvue.api.objects", "UserAlert"),
}
"""What its tests take from here besides, and where it really is: loaded when it is asked for."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'simvue.run' has no attribute {name!r}")
    from importlib import import_module

    module, original = _HOMES[name]
    return getattr(import_module(module), original)


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
        self._recording: Recording | None = None
        """None before ``init``, and after the end."""
        self._owner = 0
        """The process that opened the run, whose end is the run's."""
        self._share: dict[str, Any] | None = None
        """Who this process is among those that share the run; None where none do."""
        # Connectors assign to the one, wait for the other.
        self._abort_on_alert: AbortAction = "terminate"
        self._alert_raised_trigger = threading.Event()
        self._sv_obj: Counterpart | None = None
        """The run as connectors hold it; None before ``init``."""
        self._data: dict[str, Any] = {}
        """What the run was registered with, for simvue-tensorflow."""
        self._term_color = True
        """Whether connectors are to print in colours."""
        self._units: list[dict[str, Any]] = []
        """Metadata on units that were said before ``init``."""
        self._alerts: dict[str, dict[str, Any]] = {}
        """The definitions of alerts that were made here, by id."""
        self._grids: dict[str, grids.Grid] = {}
        """By metric; connectors look here whether a metric has one."""
        self._arrays = (0, "", itertools.count())
        """The process that logs arrays, and as which writer, from which number on."""
        self._codes: Executor | None = None
        """The external codes; None before the first."""
        self._wanted: dict[str, Any] = {}
        """What ``config`` said, in place of the configuration's."""
        self._measured_pid: int | None = None
        self._storage: str | None = None
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
        arguments.  The run is completed when all of them have closed it, with ``shared=True``
        all ranks of the job, and failed as soon as one fails.  What is started under the same
        name after that is a new attempt of the same run.

        Waits at most two seconds for the server (SIMVUE_INIT_TIMEOUT): where it does not
        answer, a warning says so and the run goes on, to be registered later.  Raises
        UnauthorisedError if the token is refused, InvalidValueError for an argument that cannot
        be, SimvueRunError if the run is open already.
        """
        if self._recording is not None:
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
        self._share = sharing(shared, launch) if common else None
        # One of all that share a run speaks for them.
        leads = common is None or not launch.rank
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
        if self._share and starts:
            run["process"] = {**self._share, "status": "running"}
        if record_shell_vars is not None:
            run["metadata"]["shell"] = shell_variables(record_shell_vars)
        self._mode, self._data, self._term_color = mode, run, not no_color
        self._sv_obj = Counterpart(mode == "offline", self._amend)
        self._id, self._name, self._status = run["id"], name, run["status"]
        self._open({"call": "open", "run": run, "created": not starts})
        if common and starts and leads:
            # Of the job as a whole; each rank's own would hide the others'.
            launch = launch._replace(rank=None, local_rank=None)
            self._update("init", self._facts(launch))
        if leads and not no_color:
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
        name is ambiguous.

        Where the server cannot be asked, the run is looked for in the spool directory.  If it was
        not created there either, a warning says so: it is found when the data is sent, and until
        then ``run.id`` is a provisional id, which the server never sees as a run.
        """
        key = run_id or uid or name
        if not key:
            raise InvalidValueError("reconnect needs the name or the id of a run")
        if self._recording is not None:
            raise SimvueRunError("this run is open already: close() it first, or use another Run()")
        if self._mode == "disabled":
            return self._disable("reconnect")
        mode: Mode = "offline" if offline else self._mode
        self._config = config = self._load(mode)
        found: dict[str, Any] | None = None
        if mode == "online":
            question = {"find": key, "server": server_of(config)}
            asked = link_of(config).ask(question, config.init_timeout)
            self._raise_refusal(asked)
            found = asked["content"] if asked and asked["outcome"] == "DONE" else None
        changes = {"status": "running", **self._facts(this_launch())}
        call = {"call": "open", "run": None, "changes": changes, "created": False}
        if found is None:
            check_name(key)
            url = None if mode == "offline" else config.url
            from simvue.spool import find_created

            spool = config.cache / "spool"
            known = key if is_id(key) else find_created(spool, key, url, config.init_timeout)
            found = {"id": known or new_id(), "name": key}
            if known is None:
                call |= {"find": key, "provisional": found["id"]}
                _logger.warning(
                    "run %s could not be looked up; it is looked for again when the data is sent",
                    key,
                )
        self._mode, self._share = mode, None
        self._sv_obj = Counterpart(mode == "offline", self._amend)
        self._id, self._name, self._status = found["id"], found["name"], "running"
        self._open(call)
        return True

    def config(
        self,
        suppress_errors: bool | None = None,
        queue_blocking: bool | None = None,
        queue_size: int | None = None,
        *,
        queue_policy: Policy | None = None,
        abort_on_alert: AbortAction | None = None,
        system_metrics_interval: float | None = None,
        resources_metrics_interval: float | None = None,
        disable_resources_metrics: bool | None = None,
        enable_emission_metrics: bool | None = None,
        storage_id: str | None = None,
    ) -> bool:
        """Change how this run records; None leaves a setting as it is.

        What a run uses of the machine is sampled every *system_metrics_interval* seconds (60;
        *resources_metrics_interval* is its older name), unless *disable_resources_metrics*; with
        *enable_emission_metrics*, energy and emissions are estimated from it.  *storage_id* says
        where artifacts go.  These may change at any time, all others before ``init``.

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
        self._abort_on_alert = abort_on_alert or self._abort_on_alert
        if queue_blocking is not None:
            self._blocking = queue_blocking
        self._storage = storage_id or self._storage
        wanted = wanted_resources(
            self._wanted,
            resources_metrics_interval
            if system_metrics_interval is None
            else system_metrics_interval,
            disable_resources_metrics,
            enable_emission_metrics,
        )
        if wanted != self._wanted:
            self._wanted = wanted
            self._tell_resources()
        return True

    def set_pid(self, pid: int) -> None:
        """Have the processes below *pid* measured, and not those of this process."""
        self._measured_pid = check_pid(pid)
        self._tell_resources()

    def _resources(self) -> dict[str, Any]:
        """Return how the shipper is to measure the run."""
        assert self._config is not None
        config = self._config = self._config._replace(**self._wanted)
        return {
            "pid": self._measured_pid,
            "interval": config.resources_interval if config.resources else None,
            "eco": config.eco._asdict() if config.resources and config.emissions else None,
        }

    def _tell_resources(self) -> None:
        if self._recording is not None:
            self._recording.write({"call": "resources", "resources": self._resources()})

    def _facts(self, launch: Launch) -> dict[str, Any]:
        """Return what is recorded unasked of where the run runs, and of what runs."""
        assert self._config is not None
        defaults = self._config.run
        return {
            "system": system() if defaults.system else None,
            "metadata": {**surroundings(defaults), **launched_by(launch)},
        }

    def _load(self, mode: Mode) -> Config:
        config = load(**self._settings)  # type: ignore[arg-type]
        for warning in config.warnings:
            _logger.warning("%s", warning)
        if mode == "online":
            config.require_server()
        return config

    def _disable(self, method: str) -> bool:
        _logger.warning("%s: this run is disabled, nothing will be recorded", method)
        self._sv_obj = Counterpart(False, self._amend)
        self._silence()
        return True

    def _open(self, call: dict[str, Any]) -> None:
        """Make the streams, write the open call, and let the shipper register the run."""
        config, run = self._config, self._id
        assert config is not None
        assert run is not None
        # First, as it may raise: nothing of the run is there then.
        link_of(config)
        self._recording = recording = self._record(run)
        self._owner = os.getpid()
        recording.open(call, self._resources())
        while self._units:
            recording.write({"call": "update", "changes": {"metadata": self._units.pop(0)}})
        _open_runs.add(self)
        _watch_the_end()
        asked = recording.register(self._aborted)
        try:
            self._raise_refusal(asked)
        except SimvueRunError:
            recording.withdraw()
            self._forget()
            raise
        if not call["created"]:
            self._attach(recording.metrics.stream, recording.events.stream)
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

    def _record(self, run: str) -> Recording:
        assert self._config is not None
        return Recording(
            run,
            self._config,
            offline=self._mode == "offline",
            share=self._share,
            policy=self._policy,
            blocking=self._blocking,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a handle: what comes of it records into the same run, as a writer of its own.

        Holds neither rows nor the token, which the other process takes from its own
        configuration, or its node's shipper has already.
        """
        state = {
            "run": self._recording.run if self._recording else None,
            "_id": self._id,
            "_name": self._name,
            "_status": self._status,
            "_share": self._share,
            "_alerts": self._alerts,
            "_grids": self._grids,
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
        self._recording = recording = self._record(run)
        _open_runs.add(self)
        if self._mode == "offline" or (config.url and config.token):
            recording.join()
        if self._status == "running":
            self._attach(recording.metrics.stream, recording.events.stream)

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
        if asked["outcome"] in ("REJECTED", "GONE", "UNRESOLVED"):
            raise SimvueRunError(f"{config.url} does not take this run: {asked['detail']}")

    # ---- While it runs ------------------------------------------------------------------

    log = _batch.Writer.log_metrics
    """Another name of ``log_metrics``, from the first README."""

    def update_metadata(self, metadata: Mapping[str, Any]) -> bool:
        """Add *metadata*; an attribute that exists is replaced, nested dicts are merged."""
        return self._update("update_metadata", {"metadata": check_metadata(metadata)})

    def update_tags(self, tags: Iterable[str]) -> bool:
        """Add *tags* to those that the run has."""
        return self._call("update_tags", {"call": "tags", "tags": check_tags(tags)})

    def set_tags(self, tags: Iterable[str]) -> bool:
        """Replace the tags of the run by *tags*."""
        return self._update("set_tags", {"tags": check_tags(tags)})

    def set_status(self, status: Literal["completed", "failed", "terminated"]) -> bool:
        """Set the terminal status, in order with the data; also after ``close``."""
        if status not in TERMINAL:
            raise InvalidValueError(
                f"status is one of {', '.join(sorted(TERMINAL))}; got {status!r}"
            )
        done = self._amend("set_status", {"status": status})
        self._status = status
        return done

    def set_folder_details(
        self,
        *details: Any,
        path: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        description: str | None = None,
    ) -> bool:
        """Describe the run's folder, or that of *path*: tags replace, metadata are merged.

        By position: metadata, tags and description, after a path if the first is a text.
        """
        if details and isinstance(details[0], str):
            path, *details = details  # type: ignore[assignment]
        given = dict(zip(("metadata", "tags", "description"), details, strict=False))
        metadata, tags = given.get("metadata", metadata), given.get("tags", tags)
        changes = {
            "metadata": None if metadata is None else check_metadata(metadata),
            "tags": None if tags is None else check_tags(tags),
            "description": check_text("description", given.get("description", description)),
        }
        changes = {name: value for name, value in changes.items() if value is not None}
        path = None if path is None else check_folder(path)
        return self._call(
            "set_folder_details", {"call": "folder", "path": path, "changes": changes}
        )

    def set_metric_units(
        self,
        metric_name: str,
        *,
        units: str,
        mks_unit: str | None = None,
        mks_conversion: float | None = None,
    ) -> None:
        """Say what *metric_name* is measured in, also before ``init``.

        *mks_unit* and *mks_conversion* say the same in metres, kilograms and seconds.
        """
        entry = {
            "units": check_text("units", units),
            "mks_units": check_text("mks_unit", mks_unit),
            "mks_conversion": mks_conversion,
        }
        metadata = check_metadata({"simvue": {"metrics": {metric_name: entry}}})
        if self._recording is None and self._id is None:
            self._units.append(metadata)
        else:
            self._update("set_metric_units", {"metadata": metadata})

    # ---- Artifacts ------------------------------------------------------------------------

    def save_file(
        self,
        file_path: str | os.PathLike[str],
        category: Category,
        file_type: str | None = None,
        preserve_path: bool = False,
        name: str | None = None,
        *,
        preserve_path_relative_to: Literal["cwd", "git"] | None = None,
        snapshot: bool = True,
        metadata: Mapping[str, Any] | None = None,
        filetype: str | None = None,
    ) -> bool:
        """Save a file as ``input``, ``output`` or ``code`` of the run.

        A copy is on disk when this returns, however the file or the simulation goes on; it
        shares its blocks with the file where the file system can, and takes as long as a copy
        where it cannot.  With ``snapshot=False`` there is none: the file is read here, once, and
        sent from where it lies; what has changed by then is reported, and not sent.

        The artifact's *name* is the file's, with *preserve_path_relative_to* its path below the
        working directory or the git repository; *file_type* is a MIME type, by default that of
        the file's extension.  Raises InvalidValueError for a file that cannot be read.  Returns
        False, with a warning, if the disk has no room.
        """
        if self._mode == "disabled":
            return True
        self._require("save_file")
        from simvue import artifacts, staging

        path = artifacts.check_file(file_path)
        if preserve_path_relative_to not in (None, "cwd", "git"):
            raise InvalidValueError(
                f"preserve_path_relative_to is 'cwd' or 'git'; got {preserve_path_relative_to!r}"
            )
        relative_to = preserve_path_relative_to or ("cwd" if preserve_path else None)
        return self._save(
            category,
            {
                "name": name or artifacts.name_of_file(path, relative_to),
                "original_path": str(path),
                "mime_type": artifacts.check_mime_type(file_type or filetype, path),
            },
            metadata,
            lambda spool, artifact: staging.take_file(spool, artifact, path, snapshot),
        )

    def save_object(
        self,
        obj: Any,
        category: Category,
        name: str | None = None,
        allow_pickle: bool = False,
        metadata: Mapping[str, Any] | None = None,
    ) -> bool:
        """Save an object: a figure, an array, a table, tensors, whatever JSON can hold.

        Anything else only as a pickle, with *allow_pickle*; else InvalidValueError.  On disk when
        this returns, as ``save_file``.
        """
        if self._mode == "disabled":
            return True
        self._require("save_object")
        from simvue import artifacts, staging

        content, mime_type = artifacts.encode(obj, allow_pickle)
        return self._save(
            category,
            {
                "name": name or artifacts.name_of_object(obj),
                "original_path": "",
                "mime_type": mime_type,
            },
            metadata,
            lambda spool, artifact: staging.stage_bytes(spool, artifact, content),
        )

    def save_directory(
        self,
        directory: str | os.PathLike[str],
        category: Category,
        file_type: str | None = None,
        preserve_path: bool = False,
        *,
        filetype: str | None = None,
    ) -> bool:
        """Save every file below *directory*, named by its path there.

        With *preserve_path* by that below the working directory.  True if all of them are saved.
        """
        if self._mode == "disabled":
            return True
        from simvue import artifacts

        saved = [
            self.save_file(
                path,
                category,
                file_type or filetype,
                name=artifacts.name_of_file(path, "cwd" if preserve_path else root),
            )
            for root, path in artifacts.files_below(directory)
        ]
        return all(saved)

    def save_all(
        self,
        items: Iterable[str | os.PathLike[str]],
        category: Category,
        file_type: str | None = None,
        preserve_path: bool = False,
        *,
        filetype: str | None = None,
    ) -> bool:
        """Save files and directories, each as ``save_file`` and ``save_directory`` do."""
        saved = [
            (self.save_directory if os.path.isdir(item) else self.save_file)(
                item, category, file_type or filetype, preserve_path
            )
            for item in items
        ]
        return all(saved)

    def save(
        self,
        item: Any,
        category: Category,
        filetype: str | None = None,
        preserve_path: bool = False,
        name: str | None = None,
        allow_pickle: bool = False,
    ) -> bool:
        """Save a file, by its path, or an object: the name of both in older releases."""
        if isinstance(item, (str, os.PathLike)):
            return self.save_file(item, category, filetype, preserve_path, name)
        return self.save_object(item, category, name, allow_pickle)

    def _save(
        self,
        category: str,
        artifact: dict[str, Any],
        metadata: Mapping[str, Any] | None,
        stage: Callable[[Path, str], staging.Content],
    ) -> bool:
        from simvue import artifacts
        from simvue.spool import SpoolFull

        if artifacts.check_category(category) == "output" and self._status == "created":
            raise SimvueRunError("a run that has not started yet has no output; use 'input'")
        artifacts.check_artifact_name(artifact["name"])
        details = check_metadata(metadata or {})
        assert self._config is not None
        artifact_id = new_id()
        try:
            content = stage(self._config.cache / "spool", artifact_id)
        except (SpoolFull, OSError) as error:
            _logger.warning("artifact %s is not saved: %s", artifact["name"], error)
            return False
        call = {
            "call": "artifact",
            "category": category,
            "artifact": {
                "id": artifact_id,
                **artifact,
                **({"storage": self._storage} if self._storage else {}),
                "size": content.size,
                "checksum": content.checksum,
                "metadata": details,
            },
            **content.as_members(),
        }
        return self._call("save", call)

    # ---- Alerts ---------------------------------------------------------------------------

    def create_metric_threshold_alert(
        self,
        name: str,
        metric: str,
        threshold: float,
        rule: alerts.ThresholdRule,
        *,
        description: str | None = None,
        window: float | None = None,
        frequency: float = 1,
        aggregation: alerts.Aggregation = "average",
        notification: alerts.Notification = "none",
        trigger_abort: bool = False,
        attach_to_run: bool = True,
    ) -> str:
        """Have the server watch whether *metric* is above or below *threshold*; return the id.

        Every *frequency* minutes the *aggregation* over the last *window* minutes (by default as
        many) is looked at.  With *trigger_abort* the run is asked to stop when it is critical.  An
        alert of the same definition that is there already is taken.
        """
        return self._add_alert(
            alerts.threshold_alert(
                metric, threshold, rule, window, frequency, aggregation,
                name=name, description=description, notification=notification,
                trigger_abort=trigger_abort,
            ),
            attach_to_run,
        )  # fmt: skip

    def create_metric_range_alert(
        self,
        name: str,
        metric: str,
        range_low: float,
        range_high: float,
        rule: alerts.RangeRule,
        *,
        description: str | None = None,
        window: float | None = None,
        frequency: float = 1,
        aggregation: alerts.Aggregation = "average",
        notification: alerts.Notification = "none",
        trigger_abort: bool = False,
        attach_to_run: bool = True,
    ) -> str:
        """Have the server watch whether *metric* is inside or outside of a range; return the id.

        For the rest see ``create_metric_threshold_alert``.
        """
        return self._add_alert(
            alerts.range_alert(
                metric, range_low, range_high, rule, window, frequency, aggregation,
                name=name, description=description, notification=notification,
                trigger_abort=trigger_abort,
            ),
            attach_to_run,
        )  # fmt: skip

    def create_event_alert(
        self,
        name: str,
        pattern: str,
        *,
        description: str | None = None,
        frequency: float = 1,
        notification: alerts.Notification = "none",
        trigger_abort: bool = False,
        attach_to_run: bool = True,
    ) -> str:
        """Have the server watch for events that hold the text *pattern*; return the id."""
        return self._add_alert(
            alerts.event_alert(
                pattern, frequency,
                name=name, description=description, notification=notification,
                trigger_abort=trigger_abort,
            ),
            attach_to_run,
        )  # fmt: skip

    def create_user_alert(
        self,
        name: str,
        *,
        description: str | None = None,
        notification: alerts.Notification = "none",
        trigger_abort: bool = False,
        attach_to_run: bool = True,
    ) -> str:
        """Make an alert that ``log_alert`` sets; return its id."""
        return self._add_alert(
            alerts.user_alert(
                name=name, description=description, notification=notification,
                trigger_abort=trigger_abort,
            ),
            attach_to_run,
        )  # fmt: skip

    def add_alert(
        self,
        name: str,
        source: Literal["metrics", "events", "user"] = "metrics",
        frequency: float = 5,
        window: float = 5,
        rule: Any = None,
        metric: Any = None,
        threshold: Any = None,
        range_low: Any = None,
        range_high: Any = None,
        notification: alerts.Notification = "none",
        pattern: Any = None,
    ) -> str:
        """Make an alert of any kind: the name of the four creators in older releases."""
        if source == "user":
            return self.create_user_alert(name, notification=notification)
        if source == "events":
            return self.create_event_alert(
                name, pattern, frequency=frequency, notification=notification
            )
        if source != "metrics":
            raise InvalidValueError(f"source is metrics, events or user; got {source!r:.100}")
        if threshold is not None:
            return self.create_metric_threshold_alert(
                name, metric, threshold, rule,
                window=window, frequency=frequency, notification=notification,
            )  # fmt: skip
        return self.create_metric_range_alert(
            name, metric, range_low, range_high, rule,
            window=window, frequency=frequency, notification=notification,
        )  # fmt: skip

    def add_alerts(
        self, ids: Iterable[str] | None = None, names: Iterable[str] | None = None
    ) -> bool:
        """Attach alerts that are there already, by *ids* or, where there are none, by *names*."""
        chosen = [self._alerts.get(alert, alert) for alert in check_texts("id", ids or ())]
        called = [] if chosen else check_texts("name", names or ())
        if not chosen and not called:
            raise InvalidValueError("add_alerts needs the ids or the names of alerts")
        return self._call(
            "add_alerts", {"call": "alerts", "alerts": chosen, "names": called, "attach": True}
        )

    def log_alert(
        self,
        identifier: str | None = None,
        name: str | None = None,
        state: alerts.State = "critical",
    ) -> bool:
        """Set the *state* of a user alert, named by its id or its name, for this run."""
        alerts.check_state(state)
        if (identifier is None) == (name is None):
            raise InvalidValueError("log_alert takes the id of an alert or its name, one of them")
        self.executor.said.add(str(identifier or name))
        alert = self._alerts.get(identifier, identifier) if identifier else None
        return self._call(
            "log_alert", {"call": "alert_status", "alert": alert, "name": name, "status": state}
        )

    def _add_alert(self, alert: dict[str, Any], attach: bool) -> str:
        # Kept whole: an id means nothing to a server that gives its own.
        self._alerts[alert["id"]] = alert
        self._call("create_alert", {"call": "alerts", "alerts": [alert], "attach": attach})
        return str(alert["id"])

    # ---- External codes --------------------------------------------------------------------

    def add_process(
        self,
        identifier: str,
        *cmd_args: object,
        executable: str | os.PathLike[str] | None = None,
        script: str | os.PathLike[str] | None = None,
        input_file: str | os.PathLike[str] | None = None,
        completion_callback: Completion | None = None,
        completion_trigger: Trigger | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        **cmd_kwargs: object,
    ) -> None:
        """Start an external code and watch it; returns at once.

        The command is *executable* (or the first of *cmd_args*, or the user's shell), *script*,
        *input_file*, the options *cmd_kwargs* (``n=4`` is ``-n 4``, ``dry_run=True`` is
        ``--dry-run``), then *cmd_args*.  Script and input are saved with the run.  Output goes to
        ``<run>_<identifier>.out`` and ``.err`` in the working directory, and is saved at the end,
        when the alert ``<identifier>_exit_status`` is set.

        At the end *completion_callback* is called with ``status_code``, ``std_out`` and
        ``std_err``, in a thread of ours, then *completion_trigger* is set.  *env* replaces the
        environment.  ``close`` waits for the code; if it fails, the run is failed and ``close``
        leaves the interpreter with its exit status.  Raises FileNotFoundError for an unknown
        program.
        """
        if self._mode != "disabled":
            self._require("add_process")
        started = self.executor.start(
            identifier, cmd_args, cmd_kwargs, executable=executable, script=script,
            input_file=input_file, completion_callback=completion_callback,
            completion_trigger=completion_trigger, env=env, cwd=cwd,
        )  # fmt: skip
        if started is not None:
            # Whoever sees this process die ends that one.
            self._call("add_process", {"call": "child", "child": started})

    def kill_process(self, process_id: str | int) -> None:
        """End a code, named by its identifier or pid, with all that it has started."""
        self.executor.kill_process(process_id)

    def kill_all_processes(self) -> None:
        """End all codes that ``add_process`` started; blocks until they are gone, about 5 s."""
        self.executor.kill_all()

    @property
    def executor(self) -> Executor:
        """The external codes: their output, commands and exit status."""
        if self._codes is None:
            from simvue.processes import Executor

            self._codes = Executor(self)
        return self._codes

    # Connectors reach for it.
    _executor = executor

    @property
    def processes(self) -> list[Popen[bytes]]:
        """The processes that ``add_process`` started."""
        return self.executor.processes

    # ---- Grids ----------------------------------------------------------------------------

    def assign_metric_to_grid(
        self,
        *,
        metric_name: str,
        grid_name: str | None = None,
        axes_ticks: Iterable[Any] | None = None,
        axes_labels: Iterable[str] | None = None,
    ) -> bool:
        """Say on which grid the arrays of *metric_name* lie.

        The grid is made of *axes_ticks*, one or two lists of ascending numbers, and
        *axes_labels*; without them it is the one that another metric of this run was given as
        *grid_name*.  ``log_metrics`` takes arrays of the reversed shape: the last axis first.
        """
        if axes_ticks is not None and axes_labels is not None:
            grid = grids.make_grid(grid_name or metric_name, axes_ticks, axes_labels)
        else:
            known = {grid["name"]: grid for grid in self._grids.values()}
            if grid_name not in known:
                raise InvalidValueError(
                    f"there is no grid {grid_name!r:.100} yet: give axes_ticks and axes_labels"
                )
            grid = known[grid_name]
        return self._assign(metric_name, grid)

    def _log_arrays(
        self, metrics: Mapping[Any, Any], step: int, seconds: float | None, microseconds: int | None
    ) -> tuple[dict[str, float], bool]:
        """Log the arrays among *metrics*; return the others, and whether all were written.

        The slow road of ``log_metrics``, with what it has checked.  Raises InvalidValueError
        before anything is written.
        """
        arrays, others = grids.take_arrays(metrics)
        numbers = as_plain(others)
        placed = grids.place_arrays(arrays, self._grids)
        for name, (grid, _) in placed.items():
            if name not in self._grids:
                self._assign(name, grid)
        if microseconds is None:
            microseconds = time.time_ns() // 1000
        stamp = {
            "time": self.duration if seconds is None else seconds,
            "timestamp": format_timestamp(microseconds),
            "step": step,
        }
        if self._arrays[0] != os.getpid():
            # A fork is a writer of its own: the server knows arrays by writer and number.
            self._arrays = (os.getpid(), new_id(), itertools.count())
        _, writer, numbered = self._arrays
        written = [
            self._call(
                "log_metrics",
                {
                    "call": "tensor",
                    "metric": name,
                    "grid": grid,
                    "row": {**stamp, "array": values},
                    "writer": writer,
                    "number": next(numbered),
                },
            )
            for name, (grid, values) in placed.items()
        ]
        return numbers, all(written)

    def _assign(self, metric: str, grid: grids.Grid) -> bool:
        done = self._call("assign_metric_to_grid", {"call": "grid", "grid": grid, "metric": metric})
        self._grids[metric] = grid
        return done

    def _call(self, method: str, call: dict[str, Any]) -> bool:
        if self._mode == "disabled":
            return True
        return self._require(method).write(call)

    def _update(self, method: str, changes: dict[str, Any]) -> bool:
        return self._call(method, {"call": "update", "changes": changes})

    def _amend(self, method: str, changes: dict[str, Any]) -> bool:
        """Change the run, also after its end: it is opened once more for this one call then."""
        if self._recording is not None or self._id is None:
            return self._update(method, changes)
        self._open({"call": "open", "run": None, "changes": changes, "created": True})
        # Not a connector's own, which may amend the run in its turn.
        return Run._tidy_run(self)

    def _require(self, method: str) -> Recording:
        if self._recording is None:
            raise NotInitialisedError(
                f"{method}: call init() or reconnect() first, and nothing after close()"
            )
        return self._recording

    def _aborted(self) -> None:
        """Do what an abort asks for; called in the link's thread, at every reply that says so."""
        if self._alert_raised_trigger.is_set():
            return
        self._alert_raised_trigger.set()
        _logger.warning("the server asks run %s to stop", self._name)
        # Not in the link's thread, which has to hear what the shipper says meanwhile.
        threading.Thread(target=self._abort, name="simvue-abort", daemon=True).start()

    def _abort(self) -> None:
        if self._abort_callback is not None:
            self._abort_callback(self)
        if self._abort_on_alert == "run":
            self._end("terminated")
        elif self._abort_on_alert == "terminate":
            # As Ctrl-C: `with` and `finally` blocks and exit hooks run, and say `terminated`.
            _thread.interrupt_main()
            # The main thread may be in ``close`` and wait for them; it is interrupted then.
            if self._codes is not None:
                self._codes.kill_all()
            time.sleep(ABORT_GRACE_S)
            os.kill(os.getpid(), signal.SIGTERM)

    # ---- Closing --------------------------------------------------------------------------

    def close(self) -> bool:
        """Finish the run as completed; all that is not yet sent is sent.

        Blocks until the server has everything, or the disk where the server does not answer,
        for at most ``close_timeout`` (10 s); then a warning says where the rest lies and which
        command sends it.  Calling it again, or in a ``with`` block, is harmless.
        """
        done = self._end("completed")
        if self._codes is not None:
            self._codes.exit_if_failed()
        return done

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or (issubclass(kind, SystemExit) and not getattr(error, "code", None)):
            self.close()
            return
        self._record_failure(kind, error, trace)
        self._end("terminated" if issubclass(kind, KeyboardInterrupt) else "failed")

    def _record_failure(
        self,
        kind: type[BaseException],
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._recording is not None and self._status == "running":
            import traceback  # 3 ms that only a failure is worth

            text = "".join(traceback.format_exception(kind, error, trace))
            self.log_event(text, log_level="error")

    def _end_processes(self, status: str) -> str:
        """Wait for the external codes, or end them; return what becomes of the run."""
        codes = self._codes
        if status != "completed":
            if codes is not None:
                codes.kill_all()
            return status
        if codes is not None:
            codes.wait_for_completion()
        if self._alert_raised_trigger.is_set() and self._abort_on_alert != "ignore":
            return "terminated"
        return "failed" if codes is not None and codes.failed else status

    def _end(self, status: str) -> bool:
        status = self._end_processes(status)
        if self._recording is None:
            return self._mode != "disabled"
        # Another process, a fork say, sends what it logged; the run is not its to end.
        if self._status == "running" and self._owner == os.getpid():
            changes: dict[str, Any] = {"status": status}
            if self._share:
                # What it is for the run, the server says: it hears of all of them.
                changes = {"process": {**self._share, "status": status}}
            self._recording.write({"call": "update", "changes": changes})
            self._status = status
        return self._tidy_run()

    def _tidy_run(self) -> bool:
        """Close the streams and wait until everything is on the server, or on disk."""
        if self._recording is None:
            return True
        self._detach()
        sent = self._recording.finish(self._name)
        self._forget()
        return sent

    def _forget(self) -> None:
        assert self._recording is not None
        self._detach()
        self._dropped = self.dropped
        self._recording.forget()
        self._recording = None
        _open_runs.discard(self)

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
        return self._dropped if self._recording is None else self._recording.dropped

    @property
    def _user_config(self) -> SimvueConfiguration:
        """The configuration as connectors read it off a run; made of ours at each reading."""
        from simvue.config.user import SimvueConfiguration

        return SimvueConfiguration.made_of(self._config or load(**self._settings), self._mode)  # type: ignore[arg-type]


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
