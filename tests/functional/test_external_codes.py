"""External codes that a run starts: watched, recorded, and taken along when it ends."""

from __future__ import annotations

import os
import signal
import subprocess

from fix_node import Node, eventually

from simvue.tree import read_process


def alert_of(node: Node, run: str, identifier: str) -> str:
    """The state of a code's alert."""
    alerts = node.server.get(f"/runs/{run}")["alerts"]
    return next(
        entry["status"] for entry in alerts if entry["alert"]["name"] == f"{identifier}_exit_status"
    )


def wait_for(node: Node, run: str, status: str) -> None:
    """Wait for the run's end, which may have gone by way of the disk; all else is before it."""
    eventually(lambda: node.status(run) == status, f"the run is {status}")


def artifacts_of(node: Node, run: str) -> dict[str, str]:
    """Name -> category."""
    found = node.server.get(f"/runs/{run}/artifacts")
    return {artifact["name"]: artifact["category"] for artifact in found}


def events_of(node: Node, run: str) -> str:
    return "\n".join(event["message"] for event in node.client.get_events(run))


def is_there(pid: int) -> bool:
    process = read_process(pid)
    return process is not None and not process.ended


def test_a_code_that_succeeds_leaves_its_output_and_its_alert(node: Node) -> None:
    (node.directory / "solve.sh").write_text('echo "solved $1 $2 $3"; pwd; echo "<$FROM>" >&2')
    (node.directory / "mesh.txt").write_text("mesh")
    (node.directory / "elsewhere").mkdir()
    output = node.simulate(
        """
        import threading
        done = threading.Event()
        def tell(status_code, std_out, std_err):
            print("callback", status_code, std_out.split()[0], std_err.strip(), done.is_set())
        run = Run()
        run.init("solver", no_color=True)
        run.add_process(
            "solve", executable="/bin/sh", script="solve.sh", input_file="mesh.txt", n=4,
            completion_callback=tell, completion_trigger=done,
            env={"FROM": "the run", "PATH": os.environ["PATH"]}, cwd="elsewhere",
        )
        assert done.wait(60)
        print(run.executor.get_command("solve"))
        print("success", run.executor.success, run.executor.exit_status, len(run.processes))
        run.close()
        """
    )
    assert "callback 0 solved <the run> False" in output
    assert "success True 0 1" in output
    run = node.run_id("solver")
    wait_for(node, run, "completed")
    assert alert_of(node, run, "solve") == "ok"
    eventually(lambda: len(artifacts_of(node, run)) == 4, "all artifacts")
    assert artifacts_of(node, run) == {
        "solve.sh": "code",
        "mesh.txt": "input",
        "solver_solve.out": "output",
        "solver_solve.err": "output",
    }
    told = (node.directory / "solver_solve.out").read_text().splitlines()
    # The paths are the same files for the code, which works elsewhere.
    assert told == [f"solved {node.directory}/mesh.txt -n 4", f"{node.directory}/elsewhere"]
    metadata = node.server.get(f"/runs/{run}")["metadata"]
    command = f"/bin/sh {node.directory}/solve.sh {node.directory}/mesh.txt -n 4"
    assert metadata["solve_command"] == command


def test_a_code_that_fails_fails_the_run_and_the_interpreter_and_loses_nothing(node: Node) -> None:
    output = node.simulate(
        """
        run = Run()
        run.init("failing", no_color=True)
        run.add_process("bad", "/bin/sh", "-c", "echo no mesh >&2; exit 3")
        for step in range(1000):
            run.log_metrics({"x": step}, step=step)
        run.close()
        print("not reached")
        """,
        status=3,
    )
    assert "not reached" not in output
    assert "Process 'bad' ended with status 3: no mesh" in output
    run = node.run_id("failing")
    wait_for(node, run, "failed")
    assert alert_of(node, run, "bad") == "critical"
    assert node.steps(run) == list(range(1000))
    assert "Process 'bad' ended with status 3: no mesh" in events_of(node, run)


def test_a_code_killed_by_a_signal_is_told_as_a_shell_does(node: Node) -> None:
    node.simulate(
        """
        with Run() as run:
            run.init("signalled", no_color=True)
            run.add_process("shot", "/bin/sh", "-c", "kill -KILL $$")
        """,
        status=128 + signal.SIGKILL,
    )
    run = node.run_id("signalled")
    wait_for(node, run, "failed")
    assert "Process 'shot' was ended by signal 9" in events_of(node, run)


def test_an_alert_that_the_user_set_is_left_as_it_is(node: Node) -> None:
    node.simulate(
        """
        run = Run()
        run.init("its own judge", no_color=True)
        def judge(status_code, std_out, std_err):
            run.log_alert(identifier=run._executor._alert_ids["job"], state="critical")
        run.add_process("job", "/bin/true", completion_callback=judge)
        run.close()
        """
    )
    run = node.run_id("its own judge")
    wait_for(node, run, "completed")
    assert alert_of(node, run, "job") == "critical"


def test_a_code_is_ended_with_all_that_it_started(node: Node) -> None:
    """A shell that would leave its children behind, and one of them deaf to SIGTERM."""
    output = node.simulate(
        """
        run = Run()
        run.init("killer", no_color=True)
        tree = "(trap '' TERM; echo deaf $$ >&2; sleep 1000) & sleep 1000 & wait"
        run.add_process("tree", "/bin/sh", "-c", tree)
        run.add_process("other", "sleep", "1000")
        while not run.executor.std_err("tree"):
            time.sleep(0.01)
        before = [process.pid for process in run.processes]
        from simvue.tree import read_table
        pids = [p.pid for pid in before for p in read_table().tree(pid)]
        run.kill_process("tree")
        print("after one", run.processes[0].wait(), run.processes[1].poll())
        run.kill_all_processes()
        print("after all", run.processes[1].poll())
        print("pids", *pids)
        run.close()
        """
    )
    assert "after one -15 None" in output
    assert "after all -15" in output
    pids = [int(pid) for pid in output.split("pids ")[1].split()]
    assert len(pids) >= 4
    assert not any(is_there(pid) for pid in pids)
    # The user ended them: nothing failed.
    run = node.run_id("killer")
    wait_for(node, run, "completed")
    assert alert_of(node, run, "tree") == "critical"


def start_sleeper(node: Node, name: str, end: str) -> tuple[subprocess.Popen[str], int]:
    process = node.start(
        f"""
        run = Run()
        run.init({name!r}, no_color=True)
        run.add_process("sleeper", "/bin/sh", "-c", "sleep 1000 & wait")
        print("pid", run.processes[0].pid, flush=True)
        {end}
        """
    )
    assert process.stdout is not None
    while not (line := process.stdout.readline()).startswith("pid"):
        assert line, "it ended before it was ready"
    return process, int(line.split()[1])


def test_an_abort_ends_the_codes_that_close_waits_for(node: Node) -> None:
    process, pid = start_sleeper(node, "aborted codes", "run.close()")
    run = node.run_id("aborted codes")
    node.server.put(f"/runs/{run}/abort", {"reason": "enough"})
    process.communicate(timeout=60)
    assert process.returncode != 0  # as after Ctrl-C
    assert not is_there(pid)
    wait_for(node, run, "terminated")


def test_a_simulation_that_fails_ends_its_codes(node: Node) -> None:
    process, pid = start_sleeper(node, "failing itself", "raise RuntimeError('diverged')")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert not is_there(pid)
    wait_for(node, node.run_id("failing itself"), "failed")


def test_a_simulation_that_is_killed_leaves_no_orphans(node: Node) -> None:
    process, pid = start_sleeper(node, "killed itself", "sys.stdin.readline()")
    children = subprocess.check_output(["pgrep", "-P", str(pid)], text=True).split()
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    for orphan in (pid, *map(int, children)):
        eventually(lambda orphan=orphan: not is_there(orphan), "the end of an orphan")


def test_what_cannot_be_started_says_so_and_a_disabled_run_starts_it_all_the_same(
    node: Node,
) -> None:
    output = node.simulate(
        """
        run = Run()
        try:
            run.add_process("early", "true")
        except RuntimeError as error:
            print("early:", error)
        run.init("wrong", no_color=True)
        for arguments in (["no-such-program"], ["true"], ["true"]):
            try:
                run.add_process("code", *arguments)
            except (FileNotFoundError, ValueError) as error:
                print(type(error).__name__, error)
        run.close()
        with Run("disabled") as run:
            run.init()
            run.add_process("code", "/bin/sh", "-c", "echo here > made")
        print(open("made").read())
        """
    )
    assert "early: add_process: call init()" in output
    assert "FileNotFoundError there is no program 'no-such-program'" in output
    assert "InvalidValueError this run has a process 'code' already" in output
    assert "here" in output
