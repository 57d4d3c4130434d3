"""Ranks under a real ``mpirun``, each with a run of its own; what arrived is asked of the server.

Row S18 of the official client: 8 child processes in every rank that starts in a git repository,
each a fork that Open MPI warns about; here one shell a node, which starts the shipper.
"""

from __future__ import annotations

import socket

from fix_mpi import RANKS, Mpi, launch_of
from fix_node import eventually

ROWS = 500

LOGS = """
run = Run()
run.init({name!r}, folder="/mpi")
for step in range({rows}):
    run.log_metrics({{"x": float(step)}}, step=step)
run.close()
"""


def test_every_rank_is_a_run_that_completes_with_every_row_once(mpi: Mpi):
    name = f"ranks-{mpi.name}"
    mpi.run(LOGS.format(name=name, rows=ROWS))
    runs = mpi.runs(name)
    assert [run["status"] for run in runs] == ["completed"] * RANKS
    for run in runs:
        assert mpi.node.steps(run["id"]) == list(range(ROWS))


def test_rank_size_and_launcher_are_recorded_and_one_filter_lists_the_ranks(mpi: Mpi):
    name = f"facts-{mpi.name}"
    source = f'run = Run()\nrun.init("{name}")\nrun.close()\n'
    mpi.run(source)
    runs = mpi.runs(name)
    launches = [launch_of(run) for run in runs]
    assert [launch["rank"] for launch in launches] == list(range(RANKS))
    # All are on this node, so they are numbered there as they are in the whole.
    assert [launch["local_rank"] for launch in launches] == list(range(RANKS))
    assert {launch["size"] for launch in launches} == {RANKS}
    assert {launch["launcher"] for launch in launches} == {mpi.launcher}
    assert {run["system"]["hostname"] for run in runs} == {socket.gethostname()}
    (group,) = {launch["group"] for launch in launches}

    mpi.run(source)
    # A second launch is another group: the filter finds the first one's ranks alone.
    assert len(mpi.runs(name)) == 2 * RANKS
    found = mpi.select(f"metadata.simvue.launch.group == {group}")
    assert {run["id"] for run in found} == {run["id"] for run in runs}


def test_a_launch_between_mpirun_and_the_rank_hides_nothing(mpi: Mpi):
    """A wrapper script, as sites use them to pin GPUs: the rank is not mpirun's child."""
    name = f"wrapped-{mpi.name}"
    mpi.run(
        f"""
        if "WRAPPED" not in os.environ:
            import subprocess
            again = {{**os.environ, "WRAPPED": "1"}}
            sys.exit(subprocess.run([sys.executable, __file__], env=again).returncode)
        run = Run()
        run.init("{name}")
        run.close()
        """
    )
    launches = [launch_of(run) for run in mpi.runs(name)]
    assert [launch["rank"] for launch in launches] == list(range(RANKS))
    assert len({launch["group"] for launch in launches}) == 1


def test_a_program_that_speaks_mpi_is_told_apart_as_mpi_tells_it(mpi: Mpi):
    """``init`` before MPI_Init and a barrier behind it: what we start is no rank."""
    name = f"speaks-{mpi.name}"
    mpi.run(
        f"""
        run = Run()
        run.init("{name}")
        from mpi4py import MPI
        world = MPI.COMM_WORLD
        run.log_metrics({{"rank": world.Get_rank(), "size": world.Get_size()}}, step=0)
        world.Barrier()
        total = world.allreduce(world.Get_rank())
        run.log_metrics({{"total": total}}, step=1)
        run.close()
        """
    )
    runs = mpi.runs(name)
    assert len(runs) == RANKS
    for rank, run in enumerate(runs):
        assert launch_of(run)["rank"] == rank == run["metrics"]["rank"]["last"]
        assert launch_of(run)["size"] == RANKS == run["metrics"]["size"]["last"]
        assert run["metrics"]["total"]["last"] == sum(range(RANKS))


NOTES = """
started = []
def note(event, arguments):
    if event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty", "os.system",
                 "os.exec", "os.spawn"):
        started.append(event)
sys.addaudithook(note)
run = Run()
run.init({name!r})
run.log_metrics({{"started": len(started), "shells": started.count("os.posix_spawn")}}, step=0)
run.close()
"""


def test_init_in_a_git_repository_starts_no_process_where_a_shipper_is(mpi: Mpi):
    """Row S18: git and lscpu, 8 processes in each rank."""
    name = f"warm-{mpi.name}"
    _make_repository(mpi)
    _hold_a_run_open(mpi)
    mpi.run(NOTES.format(name=name))
    started = [run["metrics"]["started"]["last"] for run in mpi.runs(name)]
    assert started == [0] * RANKS


def test_the_first_rank_of_a_node_starts_the_shipper_and_nothing_else(mpi: Mpi):
    name = f"cold-{mpi.name}"
    _make_repository(mpi)
    mpi.run(NOTES.format(name=name))
    runs = mpi.runs(name)
    assert len(runs) == RANKS
    started = [run["metrics"]["started"]["last"] for run in runs]
    # On a busy machine a shipper that takes more than a second is started again; of several,
    # one takes office.
    assert sum(started) >= 1
    assert min(started) == 0
    assert started == [run["metrics"]["shells"]["last"] for run in runs]


def test_mpirun_returns_while_the_shipper_of_all_ranks_lives_on(mpi: Mpi):
    """Its output is a pipe, which it reads until everybody has closed the other end."""
    # As long as this run is open no shipper leaves; and this process starts none.
    _hold_a_run_open(mpi, SIMVUE_SHIPPER="external", SIMVUE_INIT_TIMEOUT="0.1")
    assert mpi.node.shippers() == []
    name = f"prompt-{mpi.name}"
    mpi.run(LOGS.format(name=name, rows=10))
    assert len(mpi.node.shippers()) == 1
    assert [run["status"] for run in mpi.runs(name)] == ["completed"] * RANKS


def test_a_rank_that_dies_is_a_run_that_did_not_complete(mpi: Mpi):
    """mpirun then ends the others with signals; what they had logged by then arrives."""
    name = f"dies-{mpi.name}"
    mpi.run(
        f"""
        from simvue.launch import this_launch
        run = Run()
        run.init("{name}", timeout=1)
        for step in range({ROWS}):
            run.log_metrics({{"x": float(step)}}, step=step)
        # Every rank has logged when the first dies: a file each, as nobody speaks MPI here.
        open(f"logged-{{this_launch().rank}}", "w").close()
        while sum(name.startswith("logged-") for name in os.listdir()) < {RANKS}:
            time.sleep(0.01)
        if this_launch().rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
        """,
        fails=True,
    )
    runs = mpi.runs(name)
    assert len(runs) == RANKS
    for run in runs:
        eventually(lambda run=run: len(mpi.node.steps(run["id"])) == ROWS, "every row arrives")
        assert mpi.node.steps(run["id"]) == list(range(ROWS))
        assert mpi.node.status(run["id"]) != "completed"


def _make_repository(mpi: Mpi) -> None:
    """Make the ranks' directory a git repository, as far as whoever looks for one can tell."""
    git = mpi.node.directory / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "objects").mkdir()
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "refs" / "heads" / "main").write_text("0123456789abcdef0123456789abcdef01234567\n")


def _hold_a_run_open(mpi: Mpi, **env: str) -> None:
    """Start a process of the node, no rank, that has a run open until the test ends."""
    source = "run = Run(); run.init('holder'); print('open', flush=True); input()"
    holder = mpi.node.start(source, **env)
    assert holder.stdout is not None
    assert any(line == "open\n" for line in holder.stdout)
