"""What launched this process: rank, job and scheduler, read from the environment.

::

    torchrun > Open MPI > MVAPICH2 > Hydra > PALS > JSM > Flux > srun > any other PMI > PMIx
                the innermost launcher says which rank this is
    SLURM > PBS > LSF > SGE > Flux
                the scheduler says which job

Inside a job the scheduler's own rank variables describe the launcher's daemon, so a launcher's
come first.  No MPI library is loaded and nothing is started.  docs/mpi.md has what is recorded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple


class Launcher(NamedTuple):
    """The variables by which a launcher tells its ranks apart; of several the first that is set."""

    name: str
    marks: tuple[str, ...]
    """All of them set: this launcher started us.  The first is the rank."""
    size: tuple[str, ...] = ()
    local_rank: tuple[str, ...] = ()
    local_size: tuple[str, ...] = ()
    launch: tuple[str, ...] = ()
    """The same in all ranks of a launch, and another in the next launch of the same job."""


LAUNCHERS: Final = (
    Launcher(
        "torchrun",
        # RANK alone is anybody's name.
        ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
        ("WORLD_SIZE",),
        ("LOCAL_RANK",),
        ("LOCAL_WORLD_SIZE",),
        ("TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT"),
    ),
    Launcher(
        "openmpi",
        ("OMPI_COMM_WORLD_RANK",),
        ("OMPI_COMM_WORLD_SIZE",),
        ("OMPI_COMM_WORLD_LOCAL_RANK",),
        ("OMPI_COMM_WORLD_LOCAL_SIZE",),
        ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "OMPI_MCA_orte_precondition_transports"),
    ),
    Launcher(
        "mvapich2",
        ("MV2_COMM_WORLD_RANK",),
        ("MV2_COMM_WORLD_SIZE",),
        ("MV2_COMM_WORLD_LOCAL_RANK",),
        ("MV2_COMM_WORLD_LOCAL_SIZE",),
        ("PMI_JOBID", "MPIRUN_ID"),
    ),
    Launcher(
        "hydra",
        ("PMI_RANK", "MPI_LOCALRANKID"),
        ("PMI_SIZE",),
        ("MPI_LOCALRANKID",),
        ("MPI_LOCALNRANKS",),
    ),
    Launcher(
        "pals",
        ("PALS_RANKID",),
        ("PALS_SIZE", "PMI_SIZE"),
        ("PALS_LOCAL_RANKID", "PMI_LOCAL_RANK"),
        ("PALS_LOCAL_SIZE", "PMI_LOCAL_SIZE"),
        ("PALS_APID",),
    ),
    Launcher(
        "jsm",
        ("JSM_NAMESPACE_RANK",),
        ("JSM_NAMESPACE_SIZE",),
        ("JSM_NAMESPACE_LOCAL_RANK",),
        ("JSM_NAMESPACE_LOCAL_SIZE",),
        ("PMIX_NAMESPACE",),
    ),
    Launcher(
        "flux",
        ("FLUX_TASK_RANK",),
        ("FLUX_JOB_SIZE",),
        ("FLUX_TASK_LOCAL_ID",),
        (),
        ("FLUX_JOB_ID",),
    ),
    Launcher(
        "srun",
        # A batch script has the rank too, and is none: only the step tells.
        ("SLURM_PROCID", "SLURM_STEP_ID"),
        ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),
        ("SLURM_LOCALID",),
        (),
        ("SLURM_STEP_ID",),
    ),
    Launcher(
        "pmi",
        ("PMI_RANK", "PMI_SIZE"),
        ("PMI_SIZE",),
        ("PMI_LOCAL_RANK",),
        ("PMI_LOCAL_SIZE",),
        ("PMI_JOBID",),
    ),
    Launcher("pmix", ("PMIX_RANK", "PMIX_NAMESPACE"), launch=("PMIX_NAMESPACE",)),
)
"""Innermost first: what comes earlier is started by what comes later, never the reverse."""


class Scheduler(NamedTuple):
    """The variables by which a batch system tells a job about itself."""

    name: str
    job: str
    mark: str = ""
    """Set as well, where the name of ``job`` is anybody's."""
    cluster: str = ""
    task: str = ""
    """The element of a job array, where the job's id does not say it."""
    step: str = ""
    restarts: str = ""
    started: str = ""


SCHEDULERS: Final = (
    Scheduler(
        "slurm",
        "SLURM_JOB_ID",
        cluster="SLURM_CLUSTER_NAME",
        step="SLURM_STEP_ID",
        restarts="SLURM_RESTART_COUNT",
        started="SLURM_JOB_START_TIME",
    ),
    # The id ends in the server's name.
    Scheduler("pbs", "PBS_JOBID"),
    Scheduler("lsf", "LSB_JOBID", cluster="LSB_SUB_HOST", task="LSB_JOBINDEX"),
    Scheduler(
        "sge",
        "JOB_ID",
        mark="SGE_ROOT",
        cluster="SGE_CLUSTER_NAME",
        task="SGE_TASK_ID",
        restarts="RESTARTED",
    ),
    # Last: inside another's job it is a launcher.
    Scheduler("flux", "FLUX_JOB_ID"),
)

_NO_STEP: Final = 4_294_967_000
"""SLURM numbers what is no step of ranks (a batch script, an interactive shell) from above."""

_TAG_SIZE: Final = 16
"""Digits of a group that stand for a launch: 64 bits."""


class Launch(NamedTuple):
    """What launched this process; None where nothing says so."""

    launcher: str | None = None
    rank: int | None = None
    size: int | None = None
    local_rank: int | None = None
    scheduler: str | None = None
    cluster: str | None = None
    job: str | None = None
    step: str | None = None
    restarts: int | None = None
    group: str | None = None
    """The same text in all ranks of a launch, on all nodes, and in no other launch."""
    attempt: str = ""
    """Says which start of the same job this is."""

    def attributes(self) -> dict[str, Any]:
        """Return what a run's metadata says of it; empty for a process that was just started."""
        named = (
            "launcher", "rank", "size", "local_rank",
            "scheduler", "cluster", "job", "step", "restarts", "group",
        )  # fmt: skip
        return {name: value for name in named if (value := getattr(self, name)) is not None}


def this_launch(environ: Mapping[str, str] | None = None) -> Launch:
    """Say what launched this process, as its environment (or *environ*) tells.  Never raises."""
    environ = os.environ if environ is None else environ
    launcher = next((found for found in LAUNCHERS if _started_by(found, environ)), None)
    scheduler = next((found for found in SCHEDULERS if _is_job(found, environ)), None)
    if launcher is None and scheduler is None:
        return Launch()
    restarts, attempt = _restarts(scheduler, environ)
    facts: dict[str, Any] = {"restarts": restarts, "attempt": attempt}
    if launcher is not None:
        facts["launcher"] = launcher.name
        facts["rank"] = _number(environ, launcher.marks[:1])
        facts["size"] = _number(environ, launcher.size)
        facts["local_rank"] = _number(environ, launcher.local_rank)
    if scheduler is not None:
        facts["scheduler"] = scheduler.name
        facts["cluster"] = environ.get(scheduler.cluster) or None
        facts["job"] = _job(scheduler, environ)
        if _is_step(environ.get(scheduler.step)):
            facts["step"] = environ[scheduler.step]
    return Launch(**facts, group=_group(launcher, facts, environ))


def _started_by(launcher: Launcher, environ: Mapping[str, str]) -> bool:
    if not all(environ.get(mark) for mark in launcher.marks):
        return False
    if launcher.name == "srun" and not _is_step(environ["SLURM_STEP_ID"]):
        return False
    return _number(environ, launcher.marks[:1]) is not None


def _is_job(scheduler: Scheduler, environ: Mapping[str, str]) -> bool:
    return bool(environ.get(scheduler.job) and (not scheduler.mark or environ.get(scheduler.mark)))


def _is_step(text: str | None) -> bool:
    return text is not None and text.isdecimal() and int(text) < _NO_STEP


def _job(scheduler: Scheduler, environ: Mapping[str, str]) -> str:
    task = environ.get(scheduler.task, "")
    # Outside an array LSF says 0 and SGE says undefined.
    return environ[scheduler.job] + (f"[{task}]" if task not in ("", "0", "undefined") else "")


def _restarts(scheduler: Scheduler | None, environ: Mapping[str, str]) -> tuple[int | None, str]:
    """Return how often the job or the launch began anew, and a text that tells its starts apart."""
    names = [scheduler.restarts] if scheduler and scheduler.restarts else []
    counts = [_number(environ, (name,)) for name in [*names, "TORCHELASTIC_RESTART_COUNT"]]
    known = [count for count in counts if count is not None]
    started = environ.get(scheduler.started, "") if scheduler else ""
    return sum(known) if known else None, f"{counts} {started}"


def _number(environ: Mapping[str, str], names: tuple[str, ...]) -> int | None:
    for name in names:
        text = environ.get(name, "")
        if text.isdecimal():
            return int(text)
    return None


# ---- The group ------------------------------------------------------------------------------


def _group(
    launcher: Launcher | None, facts: Mapping[str, Any], environ: Mapping[str, str]
) -> str | None:
    """Return the text that all ranks of the launch have in common, None if nothing is unique."""
    parts = [facts[name] for name in ("scheduler", "cluster", "job") if facts.get(name)]
    if launcher is None:
        return "-".join(parts)
    if launcher.name == "srun":
        return "-".join([*parts, facts.get("step") or environ["SLURM_STEP_ID"]])
    told = [environ[name] for name in launcher.launch if environ.get(name)]
    process = _launcher_process(launcher.marks[0]) if environ is os.environ else None
    local_size = _number(environ, launcher.local_size)
    if process is not None and local_size is not None and local_size == facts["size"]:
        # All ranks are on this node: they know one another by who started them.
        told.append(process.identity)
    elif process is not None and process.control_port:
        told.append(process.control_port)
        if not parts:
            return None
    elif not parts and not any(map(_is_random, told)):
        # A number that a launcher counts up, or its pid: another machine has it too.
        return None
    return "-".join([*(parts or [launcher.name]), *([_tag(told)] if told else [])])


def _is_random(text: str) -> bool:
    """Whether *text* is a key of 128 random bits, as Open MPI and torchrun make them."""
    digits = text.replace("-", "")
    if len(digits) != 32 or set(digits.lower()) - set("0123456789abcdef"):
        return False
    # Started by srun, Open MPI's consists of two small numbers.
    return not (digits[8:16] == digits[24:] == "00000000")


class _Process(NamedTuple):
    """The process that started this node's ranks."""

    identity: str
    """Unique in space and time: boot, pid, moment of start."""
    control_port: str
    """Where Hydra's proxy finds its head: ``host:port``, the same on all nodes; else empty."""


def _launcher_process(rank_variable: str) -> _Process | None:
    """Find the nearest process above us that is no rank: wrappers of ours have the variable too."""
    mark = f"{rank_variable}=".encode()
    try:
        for pid in _ancestors():
            with open(f"/proc/{pid}/environ", "rb") as file:
                if any(entry.startswith(mark) for entry in file.read().split(b"\0")):
                    continue
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                arguments = file.read().split("\0")
            with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
                boot = file.read().strip()
            begun = _stat(pid)[19]
            port = ""
            if "--control-port" in arguments[:-1]:
                port = arguments[arguments.index("--control-port") + 1]
            return _Process(f"{boot} {pid} {begun}", port)
    except (OSError, ValueError, IndexError):
        pass  # Hidden from us, or gone: somebody else's rules for /proc.
    return None


def _ancestors() -> Iterator[int]:
    pid = os.getppid()
    while pid > 1:
        yield pid
        pid = int(_stat(pid)[1])


def _stat(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` behind the name, which may hold anything."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def _tag(parts: list[str]) -> str:
    import hashlib  # OpenSSL is behind it: only ranks pay for that

    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_TAG_SIZE]
