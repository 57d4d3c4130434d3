"""The road of a row: logged by a simulation, carried by the shipper, stored once, read back."""

from __future__ import annotations

import json
import math
import os
import signal

from fix_node import Node, eventually


def test_every_value_arrives_as_it_was_logged(node: Node) -> None:
    output = node.simulate("""
        run = Run()
        run.init("exact", metadata={"re": 1000, "nested": {"a": [1, None]}}, tags=["b", "a"],
                 description="words", folder="/tests/road")
        run.log_metrics({"x": 0.1, "n": 2**63 + 1, "b": True}, step=3)
        run.log_metrics({"x": float("nan"), "n": -5}, 3, 1.5, "2026-01-31T12:00:00Z")
        run.log_metrics({"x": float("-inf")}, step=1)
        log = run.bind_metrics("x", "y")
        log(0.25, 7)
        run.log_series({"x": [1.0, 2.0]}, steps=[9, 8])
        print(run.id)
        assert run.close() is True
    """)
    run = output.split()[-1]
    client = node.client
    x = client.get_series(run, "x")
    assert list(x.step) == [3, 3, 1, 3, 9, 8]
    values = list(x.values)
    assert values[0] == 0.1
    assert math.isnan(values[1])
    assert values[2:] == [-math.inf, 0.25, 1.0, 2.0]
    assert list(client.get_series(run, "n").values) == [2**63 + 1, -5]
    assert list(client.get_series(run, "b").values) == [True]
    assert list(client.get_series(run, "y").values) == [7]
    stored = node.server.get(f"/runs/{run}")
    assert stored["name"] == "exact"
    assert stored["status"] == "completed"
    assert stored["tags"] == ["b", "a"]
    assert stored["metadata"]["nested"] == {"a": [1, None]}
    assert stored["description"] == "words"
    assert stored["folder"] == "/tests/road"


def test_calls_arrive_in_order_with_the_rows(node: Node) -> None:
    node.simulate("""
        run = Run()
        run.init("ordered", metadata={"keep": 1, "change": "old"}, tags=["first"])
        run.log_event("one")
        run.update_tags(["unconverged", "first"])
        run.update_metadata({"change": "new", "added": {"deep": True}})
        run.log_event("two", log_level="warning")
        run.close()
        run.close()
    """)
    run = node.server.get(f"/runs/{node.run_id('ordered')}")
    assert run["tags"] == ["first", "unconverged"]
    assert run["metadata"]["change"] == "new"
    assert run["metadata"]["keep"] == 1
    assert run["metadata"]["added"] == {"deep": True}
    events = node.client.get_events(run["id"])
    assert [event["message"] for event in events] == ["one", "two"]


def test_a_name_of_two_words_is_given_to_a_run_without_one(node: Node) -> None:
    output = node.simulate("run = Run(); run.init(); print(run.name); run.close()")
    name = output.split()[-1]
    assert len(name.split("-")) == 2
    assert node.status(node.run_id(name)) == "completed"


def test_a_queued_run_starts_when_it_is_reconnected_by_name(node: Node) -> None:
    node.simulate("run = Run(); run.init('queued', status='created', tags=['q']); run.close()")
    run = node.run_id("queued")
    assert node.status(run) == "created"
    node.simulate("""
        run = Run()
        run.reconnect("queued")
        run.log_metrics({"x": 1.0})
        run.close()
    """)
    assert node.status(run) == "completed"
    assert node.steps(run) == [0]
    assert node.server.get(f"/runs/{run}")["tags"] == ["q"]


def test_reconnecting_to_a_run_that_is_not_there_says_so(node: Node) -> None:
    output = node.simulate("Run().reconnect('never-made')", status=1)
    assert "there is no run named 'never-made'" in output


def test_an_exception_in_the_block_fails_the_run_and_its_traceback_arrives(node: Node) -> None:
    output = node.simulate(
        """
        with Run() as run:
            run.init("broken")
            for step in range(600):
                run.log_metrics({"x": float(step)}, step=step)
            raise RuntimeError("the matrix is singular")
        """,
        status=1,
    )
    assert "the matrix is singular" in output
    run = node.run_id("broken")
    assert node.status(run) == "failed"
    assert len(node.steps(run)) == 600
    (event,) = node.client.get_events(run)
    assert "RuntimeError: the matrix is singular" in event["message"]


def test_the_way_a_script_ends_decides_its_status(node: Node) -> None:
    ends = {
        "left-open": ("", 0, "completed"),
        "exit-zero": ("sys.exit(0)", 0, "completed"),
        "exit-three": ("sys.exit(3)", 3, "failed"),
        "uncaught": ("1 / 0", 1, "failed"),
    }
    for name, (end, status, expected) in ends.items():
        block = "with run:\n    " if name.startswith("exit") else ""
        node.simulate(
            f"run = Run(); run.init({name!r}); run.log_metrics({{'x': 1.0}})\n{block}{end}",
            status=status,
        )
        assert node.status(node.run_id(name)) == expected, name


def test_many_runs_in_one_code_one_after_another_and_at_once(node: Node) -> None:
    output = node.simulate("""
        import json
        ids = []
        for i in range(5):
            with Run() as run:
                run.init(f"scan-{i}")
                run.log_metrics({"x": float(i)})
                ids.append(run.id)
        together = [Run() for _ in range(4)]
        for i, run in enumerate(together):
            run.init(f"together-{i}", no_color=True)
            ids.append(run.id)
        for step in range(100):
            for run in together:
                run.log_metrics({"x": float(step)}, step=step)
        for run in together:
            run.close()
        print(json.dumps(ids))
    """)
    ids = json.loads(output.splitlines()[-1])
    assert len(set(ids)) == 9
    for run in ids[:5]:
        assert node.steps(run) == [0]
    for run in ids[5:]:
        assert node.steps(run) == list(range(100))
        assert node.status(run) == "completed"
    assert len(node.shippers()) <= 1


def test_threads_share_a_run_and_lose_nothing(node: Node) -> None:
    node.simulate("""
        run = Run()
        run.init("threads")
        def work(k):
            for i in range(20_000):
                run.log_metrics({"t%d" % k: float(i)}, step=i)
        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        run.close()
    """)
    run = node.run_id("threads")
    for k in range(4):
        assert node.steps(run, f"t{k}") == list(range(20_000))


def test_the_simulation_has_no_polling_thread_and_loads_no_http_library(node: Node) -> None:
    output = node.simulate("""
        run = Run()
        run.init("lean")
        run.log_metrics({"x": 1.0})
        heavy = {"requests", "ssl", "urllib3", "numpy", "pandas", "pydantic", "psutil"}
        print("heavy", sorted(heavy & set(sys.modules)))
        print("threads", [t.name for t in threading.enumerate()])
        # The link's thread blocks in recv: it is not scheduled at all while nothing is said.
        tid = [t.native_id for t in threading.enumerate() if t.name == "simvue-link"][0]
        def switches():
            with open(f"/proc/self/task/{tid}/status") as f:
                return [l for l in f if "ctxt_switches" in l]
        windows = [switches()]
        for _ in range(3):
            time.sleep(1.0)
            windows.append(switches())
        # The first may see it lie down; a thread that polls would wake in each.
        print("asleep", windows[-1] == windows[-2])
        run.close()
    """)
    assert "heavy []" in output
    assert "threads ['MainThread', 'simvue-link']" in output
    assert "asleep True" in output


def test_a_rank_at_1_khz_costs_at_most_1_mib_of_segments(node: Node) -> None:
    output = node.simulate("""
        run = Run()
        run.init("small")
        begin = time.perf_counter()
        for step in range(3000):
            run.log_metrics({"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "x": 5.0}, step=step)
            while time.perf_counter() < begin + step / 1000:
                pass
        folder = os.environ["SIMVUE_RUNTIME_DIRECTORY"]
        sizes = [os.stat(os.path.join(folder, f)).st_size for f in os.listdir(folder)]
        print("bytes", sum(sizes))
        run.close()
    """)
    size = int(output.split("bytes ")[1])
    assert size <= 1 << 20


def test_the_shipper_leaves_when_nobody_is_left_and_takes_its_files_along(node: Node) -> None:
    node.simulate("run = Run(); run.init('brief'); run.log_metrics({'x': 1.0}); run.close()")
    eventually(lambda: not node.shippers(), "the shipper leaves")
    left = {path.name for path in node.runtime.iterdir()}
    assert left <= {"shipper.lock", "shipper.log", "shipper.starting"}


def test_a_refused_token_raises_in_init_and_names_its_source_only(node: Node) -> None:
    secret = "x" * 40
    output = node.simulate("Run().init('refused')", status=1, SIMVUE_TOKEN=secret)
    assert "UnauthorisedError" in output
    assert "the environment variable SIMVUE_TOKEN" in output
    assert secret not in output
    eventually(lambda: not node.shippers(), "the shipper leaves")
    assert secret not in node.log_text()
    assert not list(node.cache.rglob("*.open"))


def test_a_disabled_run_records_nothing_and_needs_nothing(node: Node) -> None:
    output = node.simulate(
        """
        run = Run("disabled")
        run.init("nothing")
        print(run.log_metrics({"x": 1.0}), run.log_event("e"), run.update_tags(["t"]), run.close())
        """,
        SIMVUE_URL="",
        SIMVUE_TOKEN="",
    )
    assert "True True True False" in output
    assert not node.shippers()


def test_ranks_that_start_together_share_one_shipper_and_all_hear_of_it(node: Node) -> None:
    """None finds a shipper, one starts it, and every question is answered."""
    ranks = [
        node.start(f"""
            sys.stdin.readline()
            run = Run()
            run.init("rank-{rank}", no_color=True)
            run.log_metrics({{"x": {rank}.0}})
            print("sent", run.close())
        """)
        for rank in range(12)
    ]
    for rank in ranks:
        assert rank.stdin is not None
        rank.stdin.write("\n")
        rank.stdin.flush()
    eventually(node.shippers, "a shipper")
    assert len(node.shippers()) == 1
    for number, rank in enumerate(ranks):
        output, _ = rank.communicate(timeout=60)
        assert output == "sent True\n", output
        run = node.run_id(f"rank-{number}")
        assert list(node.client.get_series(run, "x").values) == [float(number)]


def test_the_server_knows_how_many_rows_were_dropped(node: Node) -> None:
    """Full is a named policy, and loss is a number: here that of two writers, a fork's too."""
    process = node.start(
        """
        run = Run()
        run.config(queue_policy="drop")
        run.init("dropped", no_color=True)
        print("ready", run.id, flush=True)
        os.read(0, 1)
        for step in range(20_000):
            run.log_metrics({"x": float(step), "y": 1.0, "z": 2.0}, step=step)
        assert run.dropped
        child = os.fork()
        if not child:
            for step in range(20_000):
                run.log_metrics({"x": float(step), "y": 1.0, "z": 2.0}, step=step)
            print("child", run.dropped, flush=True)
            os.read(0, 1)
            run.close()
            os._exit(0)
        print("parent", run.dropped, flush=True)
        os.read(0, 1)
        run.close()
        os.waitpid(child, 0)
        """,
        SIMVUE_BUFFER_SIZE="512 KiB",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    run = next(line for line in process.stdout if line.startswith("ready")).split()[1]
    (shipper,) = node.shippers()
    os.kill(shipper, signal.SIGSTOP)
    try:
        process.stdin.write("\n")
        process.stdin.flush()
        counts: dict[str, int] = {}
        while len(counts) < 2:
            word, _, count = process.stdout.readline().partition(" ")
            if word in ("parent", "child"):
                counts[word] = int(count)
    finally:
        os.kill(shipper, signal.SIGCONT)
    output, _ = process.communicate("\n\n", timeout=60)
    assert process.returncode == 0, output
    assert min(counts.values()) > 0
    dropped = sum(counts.values())
    eventually(lambda: node.server.get(f"/runs/{run}")["dropped"] == dropped, "the count")
    assert node.server.get(f"/runs/{run}")["metrics"]["x"]["count"] == 40_000 - dropped
