"""Children log into their parent's run, each through a writer of its own, and never end it."""

from __future__ import annotations

import pytest
from fix_node import Node, eventually

FORKED = """
run = Run()
run.init({name!r})
for step in range(500):
    run.log_metrics({{"parent": float(step)}}, step=step)
{fork}
if pid == 0:
    for step in range(500):
        run.log_metrics({{"child": float(step)}}, step=step)
    run.log_event("from the child")
    {leave}
os.waitpid(pid, 0)
for step in range(500, 600):
    run.log_metrics({{"parent": float(step)}}, step=step)
print("closed", run.close())
"""


def assert_both_whole(node: Node, name: str) -> None:
    run = node.run_id(name)
    eventually(lambda: len(node.steps(run, "child")) >= 500, "the child's rows")
    assert node.steps(run, "parent") == list(range(600))
    assert node.steps(run, "child") == list(range(500))
    assert [e["message"] for e in node.client.get_events(run)] == ["from the child"]
    assert node.status(run) == "completed"
    assert len(node.server.get(f"/runs/{run}/writers")) == 3  # metrics twice, events once


@pytest.mark.parametrize("leave", ["os._exit(0)", "sys.exit(0)", "run.close(); os._exit(0)"])
def test_rows_of_a_fork_arrive_and_its_end_is_not_the_runs(node: Node, leave: str) -> None:
    """S8: of a forked child's 500 rows the official client loses 500, in silence."""
    name = "fork " + "".join(filter(str.isalpha, leave))
    output = node.simulate(FORKED.format(name=name, fork="pid = os.fork()", leave=leave))
    assert "closed True" in output
    assert_both_whole(node, name)


def test_a_fork_made_in_c_is_noticed_too(node: Node) -> None:
    """No hook of Python's runs: the kernel wipes the mark."""
    fork = "import ctypes; pid = ctypes.CDLL(None).fork()"
    node.simulate(FORKED.format(name="fork in c", fork=fork, leave="os._exit(0)"))
    assert_both_whole(node, "fork in c")


def test_a_child_that_leaves_the_block_does_not_close_its_parents_run(node: Node) -> None:
    node.simulate("""
        with Run() as run:
            run.init("block")
            pid = os.fork()
            if pid == 0:
                run.log_metrics({"child": 1.0})
                sys.exit(0)
            os.waitpid(pid, 0)
            time.sleep(0.3)  # what the child sends, if anything, would be there by then
            run.log_metrics({"parent": 1.0})
    """)
    run = node.run_id("block")
    assert node.steps(run, "child") == [0]
    assert node.steps(run, "parent") == [0]
    assert node.status(run) == "completed"


def test_a_killed_fork_loses_no_returned_row(node: Node) -> None:
    output = node.simulate("""
        run = Run()
        run.init("killed fork")
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            for step in range(20_000):
                run.log_metrics({"child": float(step)}, step=step)
            os.write(writer, b"logged")
            signal.pause()
        os.read(reader, 6)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        print("closed", run.close())
    """)
    assert "closed True" in output
    run = node.run_id("killed fork")
    eventually(lambda: len(node.steps(run, "child")) == 20_000, "the child's rows")
    assert node.steps(run, "child") == list(range(20_000))


POOL = """
import concurrent.futures, multiprocessing, sys
from simvue import Run

def work(run, k):
    for i in range(200):
        run.log_metrics({f"w{k}": float(i)}, step=i)
    return k

if __name__ == "__main__":
    method = sys.argv[1]
    run = Run()
    run.init("pool " + method)
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(3, mp_context=context) as pool:
        assert sorted(pool.map(work, [run] * 6, range(6))) == list(range(6))
    process = context.Process(target=work, args=(run, 6))
    process.start()
    process.join()
    assert process.exitcode == 0
    print("closed", run.close())
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_log_into_the_run_they_are_sent(node: Node, method: str) -> None:
    """A pickled ``Run`` is a handle: no rows, no token, a writer of its own."""
    script = node.directory / "pool.py"
    script.write_text(POOL)
    output = node.simulate(
        f"import runpy; sys.argv = ['pool.py', {method!r}]\n"
        f"os.execv(sys.executable, [sys.executable, {str(script)!r}, {method!r}])"
    )
    assert "closed True" in output, output
    run = node.run_id(f"pool {method}")
    for k in range(7):
        eventually(lambda k=k: len(node.steps(run, f"w{k}")) >= 200, f"the rows of worker {k}")
        assert node.steps(run, f"w{k}") == list(range(200))
    assert node.status(run) == "completed"


def test_a_pickle_holds_no_token(node: Node) -> None:
    output = node.simulate("""
        import pickle
        run = Run(server_token=os.environ["SIMVUE_TOKEN"])
        run.init("pickled")
        data = pickle.dumps(run)
        print("token" if os.environ["SIMVUE_TOKEN"].encode() in data else "clean")
        again = pickle.loads(data)
        again.log_metrics({"x": 1.0})
        print(again.id == run.id, again.close())
        run.log_metrics({"y": 1.0})
        print("closed", run.close())
    """)
    assert "clean" in output
    assert "True True" in output
    assert "closed True" in output
    run = node.run_id("pickled")
    assert node.steps(run, "x") == [0]
    assert node.steps(run, "y") == [0]
    assert node.status(run) == "completed"


def test_daemon_threads_log_until_the_interpreter_is_gone(node: Node) -> None:
    """What they logged before the end of the main thread arrives; none of it crashes."""
    output = node.simulate("""
        run = Run()
        run.init("daemon")
        def work():
            step = 0
            while True:
                run.log_metrics({"x": float(step)}, step=step)
                step += 1
                if step == 10_000:
                    started.set()
        started = threading.Event()
        threading.Thread(target=work, daemon=True).start()
        started.wait()
    """)
    assert "Fatal" not in output
    assert "Segmentation" not in output
    run = node.run_id("daemon")
    steps = node.steps(run)
    assert len(steps) >= 10_000
    assert steps == list(range(len(steps)))
    assert node.status(run) == "completed"
