"""``simvue demo``: the whole road on one's own machine, every number checked.

::

    simvue server  <──── shipper <──── examples/*.py, each a process of its own
        │                                    │
        │  Client reads everything back      │  the same scripts once more, on paper
        v                                    v
        └──────────> comparison <────────────┘

With ``--store postgresql`` or ``--blobs s3`` the server keeps what it gets in a PostgreSQL or
a SeaweedFS cluster, which run as long as the demo does.

Nothing of it touches the user's own runs: store, spool, shared memory and home are
directories of the demo's own, swept away at its end (a ``--data`` directory is kept, and the
engines' clusters in it).
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import metadata
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

import click

from simvue.exception import StoreError

from .engines import Postgres, SeaweedFS, room
from .opening import TICKED, opening

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from simvue.client import Client

    from .paper import Paper, Sheet

EXAMPLES: Final[tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]] = (
    ("lorenz96", ((),)),
    ("heat2d", ((),)),
    ("seed_basics", ((),)),
    # As a batch system runs it: one process registers the job, another does it.
    ("seed_queue", (("--submit",), ("--work", "queued-job"))),
    ("seed_scan", ((),)),
    # Over and over, so that a percentile of its calls means something.
    ("edge_values", (("--steps", "50"),)),
)
"""Which examples run, in which order, each with the arguments of its processes."""

# What holds the package: the checkout, or the directory that it is installed in.
_ROOT: Final = Path(__file__).parents[3]

# The longest example takes seconds; on a loaded machine, a minute or two.
_EXAMPLE_S_MAX: Final = 600
# A server that stops answers what is in flight first, for at most ten seconds.
_STOP_S_MAX: Final = 20
# What a script could not send before its end its shipper sends after it, within a second or
# two; a minute later it is lost, and the comparison says so.
_SETTLE_S_MAX: Final = 60
# Short against the fastest example.
_LOOK_S: Final = 0.01
# Of many differences the first few tell what is wrong.
_DIFFERENCES_MAX: Final = 5


@click.command()
@click.option("--once", is_flag=True, help="End after the check instead of serving on.")
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the store in DIR.  [default: a directory that goes away with the demo]",
)
@click.option(
    "--store",
    type=click.Choice(["postgresql"]),
    help="Keep runs and rows in a PostgreSQL of the demo's own.",
)
@click.option(
    "--blobs",
    type=click.Choice(["s3"]),
    help="Keep artifacts, and rows that are packed, in a SeaweedFS cluster of the demo's own.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of the demo's server.  [default: any free one]",
)
def command(once: bool, data: Path | None, store: str | None, blobs: str | None, port: int) -> None:
    """Run the examples against a server of their own, and check every number."""
    # Asked to end in whichever way, it takes its server along.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    examples = find_examples()
    with (
        scratch() as place,
        keeping(data, store is not None, blobs is not None) as settings,
        serving(data or place.disk / "data", port, place, settings) as server,
    ):
        click.echo(f"Server ready at {server.url}; the examples run.\n")
        exact = True
        ticked: list[str] = []
        click.echo(_HEADING)
        for name, processes in EXAMPLES:
            outcome = check(examples / f"{name}.py", processes, server, place)
            click.echo(outcome.line())
            for sentence in outcome.differences[:_DIFFERENCES_MAX]:
                click.echo(f"    {sentence}")
            if len(outcome.differences) > _DIFFERENCES_MAX:
                click.echo(
                    f"    and {len(outcome.differences) - _DIFFERENCES_MAX} more differences"
                )
            exact &= not outcome.differences
            if name == TICKED:
                ticked = outcome.runs
        click.echo(
            "\nEvery value, step, time, event, tag and metadata came back exactly as logged."
            if exact
            else "\nSomething came back otherwise than it was logged; see above."
        )
        if not once:
            click.echo(f"\n{opening(server.url, server.token, ticked)}Serving until Ctrl-C.")
            server.wait()
    if not exact:
        sys.exit(1)


def find_examples() -> Path:
    """Return the directory of the examples: of the checkout, or of the installed distribution."""
    checkout = _ROOT / "examples"
    if (checkout / "lorenz96.py").is_file():
        return checkout
    try:
        shipped = metadata.files("simvue") or []
    except metadata.PackageNotFoundError:
        shipped = []
    for file in shipped:
        if file.match("share/simvue/examples/lorenz96.py"):
            return Path(str(file.locate())).resolve().parent
    raise click.ClickException(
        "the examples are not installed with this simvue; run `simvue demo` from a checkout of "
        "the repository, or reinstall from a wheel"
    )


# ---- Surroundings ----------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where everything of the demo lies: on disk, and in shared memory."""

    disk: Path
    memory: Path

    def surroundings(self, **settings: str) -> dict[str, str]:
        """Return an environment that knows nothing of the user's own servers and settings."""
        kept = {
            key: text
            for key, text in os.environ.items()
            if not key.startswith(("SIMVUE_", "AWS_", "PG"))
        }
        known = kept.get("PYTHONPATH")
        return kept | {
            "HOME": str(self.disk),
            "XDG_RUNTIME_DIR": str(self.memory),
            "SIMVUE_OFFLINE_DIRECTORY": str(self.disk / "spool"),
            "SIMVUE_RUNTIME_DIRECTORY": str(self.memory),
            # Its own shipper leaves with the last example.
            "SIMVUE_LINGER": "0",
            # With another home Python would lose what `pip install --user` put there.
            "PYTHONUSERBASE": site.getuserbase(),
            "PYTHONPATH": f"{_ROOT}{os.pathsep}{known}" if known else str(_ROOT),
            **settings,
        }


@contextmanager
def scratch() -> Iterator[Place]:
    """Make directories for all that the demo leaves behind, and sweep them away at the end."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    made = [tempfile.mkdtemp(prefix="simvue-demo-", dir=parent) for parent in (None, memory)]
    try:
        yield Place(*map(Path, made))
    finally:
        for folder in made:
            # A shipper that is just leaving may take a file away from under this.
            shutil.rmtree(folder, ignore_errors=True)


class Server:
    """The demo's server: a process, its address and its token."""

    def __init__(self, process: subprocess.Popen[str], data: Path) -> None:
        self._process = process
        settings = tomllib.loads((data / "simvue.toml").read_text())["server"]
        self.url: str = settings["url"]
        self.token: str = settings["token"]

    def wait(self) -> None:
        """Wait until the server ends, or the user says so."""
        try:
            self._process.wait()
        except KeyboardInterrupt:
            click.echo()


@contextmanager
def keeping(data: Path | None, postgresql: bool, s3: bool) -> Iterator[dict[str, str]]:
    """Start the engines that are wanted, in *data* if it is to be kept; stop them at the end.

    Yields what tells the server of them, as its environment: their addresses hold secrets.
    """
    settings: dict[str, str] = {}
    try:
        with ExitStack() as running:
            if postgresql or s3:
                base = running.enter_context(room()) if data is None else _reachable(data)
            if postgresql:
                database = running.enter_context(Postgres(base / "postgresql"))
                settings["SIMVUE_SERVER_STORE"] = database.url
            if s3:
                storage = running.enter_context(SeaweedFS(base / "s3"))
                settings |= {"SIMVUE_SERVER_BLOBS": storage.url, **storage.environment}
            elif postgresql:
                # Beside the database, as the embedded store has them.
                settings["SIMVUE_SERVER_BLOBS"] = str(base / "blobs")
            yield settings
    except StoreError as error:
        raise click.ClickException(str(error)) from None


def _reachable(data: Path) -> Path:
    """Make *data* such that the unprivileged user of root's PostgreSQL can reach what is in it."""
    if not data.exists():
        data.mkdir(parents=True)
        data.chmod(0o711)
    return data.absolute()


@contextmanager
def serving(data: Path, port: int, place: Place, settings: Mapping[str, str]) -> Iterator[Server]:
    """Start ``simvue server`` over *data* with *settings*, and stop it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "simvue", "server", "--data", str(data), "--port", str(port)],
        env=place.surroundings(**settings),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if not any(line.startswith("ready ") for line in process.stdout):
            raise click.ClickException("the server did not start; what it said stands above")
        yield Server(process, data)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ---- One example -------------------------------------------------------------------------


@dataclass
class Outcome:
    """What became of one example."""

    name: str
    runs: list[str]
    logged: int
    stored: int
    seconds: float
    p99_ns: float
    differences: list[str]
    url: str

    def line(self) -> str:
        """Return its row of the table."""
        return _ROW.format(
            self.name,
            f"{self.logged:,}",
            f"{self.stored:,}",
            f"{self.logged / self.seconds:,.0f}",
            f"{self.p99_ns / 1000:.2f} us",
            "no" if self.differences else "yes",
            self.url,
        )


_ROW: Final = "{:<12} {:>10} {:>10} {:>10} {:>10}  {:<5}  {}"
_HEADING: Final = _ROW.format("example", "logged", "stored", "rows/s", "p99", "exact", "page")


def check(
    script: Path, processes: Sequence[Sequence[str]], server: Server, place: Place
) -> Outcome:
    """Run one example for real and on paper, and compare."""
    from simvue.client import Client

    from .comparison import Comparison

    sheets = on_paper(script, processes).sheets
    began = time.time()
    reports = [_run(script, arguments, server, place) for arguments in processes]
    with Client(server_url=server.url, server_token=server.token) as client:
        runs = [_newest(client, sheet.name) for sheet in sheets]
        ended = max(_settled(client, run, sheet) for run, sheet in zip(runs, sheets, strict=True))
        found = [
            Comparison(client, run, sheet, (began, ended))
            for run, sheet in zip(runs, sheets, strict=True)
        ]
    return Outcome(
        name=script.stem,
        runs=runs,
        logged=sum(sheet.rows for sheet in sheets),
        stored=sum(one.rows for one in found),
        seconds=ended - min(report["first"] for report in reports if report["first"]),
        p99_ns=max(report["p99_ns"] for report in reports if report["p99_ns"] is not None),
        differences=[sentence for one in found for sentence in one.differences()],
        url=_page(server.url, sheets, runs[0]),
    )


def _run(
    script: Path, arguments: Sequence[str], server: Server, place: Place
) -> dict[str, float | None]:
    report = place.disk / "report.json"
    command = [sys.executable, "-m", "simvue.cli.demo.stopwatch", str(report), str(script)]
    done = subprocess.run(
        [*command, *arguments],
        env=place.surroundings(SIMVUE_URL=server.url, SIMVUE_TOKEN=server.token),
        # No simvue.toml of the directory one happens to stand in.
        cwd=place.disk,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_EXAMPLE_S_MAX,
        check=False,
    )
    if done.returncode:
        raise click.ClickException(
            f"{script} ended with {done.returncode} and said:\n{done.stdout}"
        )
    findings: dict[str, float | None] = json.loads(report.read_text())
    return findings


def on_paper(script: Path, processes: Sequence[Sequence[str]]) -> Paper:
    """Run the example's ``main`` here, with a ``Run`` that only writes down what it is told."""
    from .paper import Paper

    paper = Paper()
    module = _load(script)
    vars(module)["Run"] = paper.Run
    # What it prints it has printed once, as a process.
    with redirect_stdout(StringIO()):
        for arguments in processes:
            module.main(list(arguments))
    return paper


def _load(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"simvue_example_{script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _newest(client: Client, name: str) -> str:
    """Return the id of the newest run of that name: a ``--data`` directory may hold older ones."""
    newest = client.get_runs(
        [f"name == {name}"], sort_by_columns=[("created", True)], count_limit=1
    )
    for identifier, _ in newest:
        return identifier
    raise click.ClickException(f"the server has never heard of the run {name!r}")


def _settled(client: Client, run_id: str, sheet: Sheet) -> float:
    """Wait until the store says that the run has ended, and return when that was.

    Its end is told after its rows, so from then on all of them can be read.
    """
    until = time.time() + _SETTLE_S_MAX
    while client.get_run(run_id)["status"] != sheet.status and time.time() < until:
        time.sleep(_LOOK_S)
    return time.time()


def _page(url: str, sheets: Sequence[Sheet], run_id: str) -> str:
    """Return the address of the run's page, or of the table cut to the example's runs."""
    if len(sheets) == 1:
        return f"{url}/dashboard/runs/run/{run_id}"
    # The table's search finds them by the part of the name that stands before its number.
    return f"{url}/dashboard/runs?find={sheets[0].name.rpartition('-')[0]}"
