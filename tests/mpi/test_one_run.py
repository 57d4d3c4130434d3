"""``init(shared=True)``: all ranks of a job in one run, without a word between them."""

from __future__ import annotations

from fix_mpi import RANKS, Mpi, launch_of

ROWS = 200

SHARED = """
from simvue.launch import this_launch
rank = this_launch().rank
for number in range(2):
    run = Run()
    run.init(f"{name}-{{number}}", shared=True, metadata={{"re": 1000}})
    for step in range({rows}):
        run.log_metrics({{"x": float(rank)}}, step=step)
    run.close()
"""


def test_all_ranks_record_into_one_run_every_row_once(mpi: Mpi):
    name = f"shared-{mpi.name}"
    mpi.run(SHARED.format(name=name, rows=ROWS))
    ids = set()
    # Two runs one after the other in every rank: the first goes with the first.
    for number in range(2):
        (run,) = mpi.runs(f"{name}-{number}")
        ids.add(run["id"])
        assert run["status"] == "completed"
        assert run["metrics"]["x"]["count"] == RANKS * ROWS
        series = mpi.node.client.get_series(run["id"], "x")
        rows = sorted(zip(series.values, series.step, strict=True))
        assert rows == [(float(rank), step) for rank in range(RANKS) for step in range(ROWS)]
        assert list(series.rank) == [rank for rank in range(RANKS) for _ in range(ROWS)]
        assert [float(rank) for rank in series.rank] == list(series.values)
        of_one = mpi.node.client.get_series(run["id"], "x", rank=2)
        assert list(of_one.values) == [2.0] * ROWS
        writers = mpi.node.server.get(f"/runs/{run['id']}/writers")
        assert list(writers.values()) == [[[0, ROWS]]] * RANKS
    assert len(ids) == 2


def test_it_says_how_many_ranks_there_are_and_not_which_it_is(mpi: Mpi):
    name = f"whole-{mpi.name}"
    mpi.run(SHARED.format(name=name, rows=1))
    (run,) = mpi.runs(f"{name}-0")
    launch = launch_of(run)
    assert (launch["launcher"], launch["size"]) == (mpi.launcher, RANKS)
    assert not {"rank", "local_rank"} & set(launch)
    assert run["metadata"]["re"] == 1000
    assert run["system"]["hostname"]


def test_it_is_completed_when_the_last_rank_has_closed_it_not_when_the_first_has(mpi: Mpi):
    name = f"last-{mpi.name}"
    mpi.run(
        f"""
        from simvue import Client
        from simvue.launch import this_launch
        rank = this_launch().rank
        run = Run()
        run.init("{name}", shared=True)
        if rank == {RANKS} - 1:
            while sum(name.startswith("closed-") for name in os.listdir()) < {RANKS - 1}:
                time.sleep(0.01)
            assert Client().get_run(run.id)["status"] == "running"
        run.log_metrics({{"x": float(rank)}}, step=0)
        run.close()
        open(f"closed-{{rank}}", "w").close()
        """
    )
    (run,) = mpi.runs(name)
    assert run["status"] == "completed"
    assert mpi.node.server.get(f"/runs/{run['id']}")["ranks"] == list(range(RANKS))


def test_one_rank_that_fails_behind_the_others_fails_the_run(mpi: Mpi):
    name = f"fails-{mpi.name}"
    mpi.run(
        f"""
        from simvue.launch import this_launch
        rank = this_launch().rank
        with Run() as run:
            run.init("{name}", shared=True)
            run.log_metrics({{"x": 1.0}}, step=0)
            if rank == 2:
                while sum(name.startswith("closed-") for name in os.listdir()) < {RANKS - 1}:
                    time.sleep(0.01)
                raise RuntimeError("rank 2 has had enough")
        open(f"closed-{{rank}}", "w").close()
        """,
        fails=True,
    )
    (run,) = mpi.runs(name)
    assert run["status"] == "failed"
    assert run["metrics"]["x"]["count"] == RANKS


def test_a_name_from_outside_joins_launches(mpi: Mpi):
    name = f"joined-{mpi.name}"
    source = f"""
    run = Run()
    run.init("{name}", timeout=None)
    run.log_metrics({{"x": 1.0}}, step=0)
    run.close()
    """
    for _ in range(2):
        mpi.run(source, SIMVUE_RUN_ID=name)
    (run,) = mpi.runs(name)
    assert run["metrics"]["x"]["count"] == 2 * RANKS
