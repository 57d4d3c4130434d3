"""Artifacts: saved by a simulation, sent by the shipper, the same bytes on the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import requests
from fix_node import Node, eventually
from fix_proxy import Proxy

from simvue.artifacts import decode
from simvue.spool import ARTIFACTS

SAVE = """
run = Run()
run.init("saves", timeout=None)
print(run.id, flush=True)
"""


def listed(node: Node, run: str) -> list[dict[str, Any]]:
    """Return the run's artifacts as the server has them, by name."""
    found: list[dict[str, Any]] = node.server.get(f"/runs/{run}/artifacts")
    return sorted(found, key=lambda artifact: str(artifact["name"]))


def content(artifact: dict[str, Any]) -> bytes:
    """Download an artifact's bytes, as a browser would: without a token."""
    response = requests.get(artifact["url"], timeout=30)
    assert response.status_code == 200, response.text
    return response.content


def staged(node: Node) -> list[str]:
    """Return what lies in the spool directory to be uploaded."""
    return sorted(path.name for path in (node.cache / "spool" / ARTIFACTS).glob("*"))


def test_a_file_is_on_the_server_when_close_returns(node: Node) -> None:
    data = os.urandom(3 << 20)
    (node.directory / "mesh.dat").write_bytes(data)
    output = node.simulate(
        SAVE
        + """
print(run.save_file("mesh.dat", "input", metadata={"cells": 4}), run.close())
"""
    )
    run, *answers = output.split()[-3:]
    assert answers == ["True", "True"]
    assert "everything" not in output, "nothing was left to be sent"
    (artifact,) = listed(node, run)
    assert artifact["name"] == "mesh.dat"
    assert artifact["category"] == "input"
    assert artifact["uploaded"]
    assert artifact["metadata"] == {"cells": 4}
    assert artifact["original_path"] == str(node.directory / "mesh.dat")
    assert content(artifact) == data
    assert staged(node) == []
    assert node.status(run) == "completed"


def test_what_was_saved_arrives_though_the_simulation_is_killed_and_the_file_is_gone(
    node: Node,
) -> None:
    data = os.urandom(1 << 20)
    (node.directory / "last.chk").write_bytes(data)
    process = node.start(
        SAVE
        + """
run.save_file("last.chk", "output")
os.unlink("last.chk")
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    output, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, output
    run = output.split()[-1]
    eventually(lambda: node.shippers() == [], "the shipper has sent all and left")
    (artifact,) = listed(node, run)
    assert content(artifact) == data
    assert staged(node) == []


def test_what_changes_after_it_was_saved_is_stored_as_it_was(node: Node) -> None:
    output = node.simulate(
        SAVE
        + """
for step in range(3):
    with open("state.txt", "w") as file:
        file.write(f"step {step}")
    run.save_file("state.txt", "output", name=f"state-{step}.txt")
print(run.close())
"""
    )
    run = output.split()[-2]
    assert [(a["name"], content(a)) for a in listed(node, run)] == [
        (f"state-{step}.txt", b"step %d" % step) for step in range(3)
    ]


def test_an_upload_holds_up_no_row_and_no_status(proxied: tuple[Node, Proxy]) -> None:
    """The upload is kept waiting; everything else of the run arrives, then the upload does."""
    node, proxy = proxied
    proxy.only = "/api/files"
    let_go = proxy.hold(1)
    (node.directory / "big.dat").write_bytes(b"x" * (8 << 20))
    process = node.start(SAVE + """
run.save_file("big.dat", "output")
for step in range(100):
    run.log_metrics({"x": float(step)}, step=step)
run.update_metadata({"after": True})
sys.stdin.readline()
run.close()
""", SIMVUE_CLOSE_TIMEOUT="4")  # fmt: skip
    assert process.stdout is not None
    run = next(line for line in process.stdout if " " not in line.strip()).strip()
    eventually(lambda: node.steps(run) == list(range(100)), "rows beside the upload")
    eventually(
        lambda: node.server.get(f"/runs/{run}")["metadata"].get("after"), "calls beside the upload"
    )
    assert listed(node, run) == []
    output, _ = process.communicate("\n", timeout=60)
    assert "the rest lies in" in output, "close says what is not there yet"
    assert node.status(run) == "completed"
    let_go.set()
    eventually(lambda: len(listed(node, run)) == 1, "the upload goes on after the run")
    assert content(listed(node, run)[0]) == b"x" * (8 << 20)
    eventually(lambda: staged(node) == [], "what has arrived is removed")
    assert len([r for r in proxy.requests if r.path.startswith("/api/files")]) == 1


def test_a_shipper_that_is_killed_over_an_upload_leaves_it_to_the_next(
    proxied: tuple[Node, Proxy],
) -> None:
    node, proxy = proxied
    proxy.only = "/api/files"
    let_go = proxy.hold(1)
    data = os.urandom(4 << 20)
    (node.directory / "field.dat").write_bytes(data)
    process = node.start(
        SAVE
        + """
run.save_file("field.dat", "output")
sys.stdin.readline()
print("closed", run.close())
"""
    )
    assert process.stdout is not None
    run = next(line for line in process.stdout if " " not in line.strip()).strip()
    eventually(lambda: any(r.path.startswith("/api/files") for r in proxy.requests), "it is sent")
    node.kill_shipper()
    let_go.set()
    output, _ = process.communicate("\n", timeout=60)
    assert "closed True" in output
    eventually(lambda: staged(node) == [], "the next shipper")
    (artifact,) = listed(node, run)
    assert content(artifact) == data


def test_uploads_that_fail_are_tried_again_and_stored_once(proxied: tuple[Node, Proxy]) -> None:
    node, proxy = proxied
    proxy.only = "/api/artifacts"
    proxy.lose_answers(2)
    proxy.say(2, 503)
    proxy.cut(1)
    (node.directory / "a.txt").write_text("once")
    output = node.simulate(
        SAVE
        + """
print(run.save_file("a.txt", "output"), run.close())
"""
    )
    run = next(line for line in output.splitlines() if line.isalnum())
    eventually(lambda: proxy.is_done and staged(node) == [], "it is tried until it is there")
    (artifact,) = listed(node, run)
    assert content(artifact) == b"once"
    assert len(node.server.get("/artifacts", runs=f'["{run}"]')["data"]) == 1


def test_offline_artifacts_are_copied_and_shipped(node: Node) -> None:
    (node.directory / "case.in").write_text("re = 1000")
    output = node.simulate("""
run = Run(mode="offline")
run.init("offline")
run.save_file("case.in", "input")
run.save_object({"residual": 1e-6}, "output", name="result")
os.unlink("case.in")
print(run.id, run.close())
""")
    run, closed = output.split()[-2:]
    assert closed == "True"
    for shipper in node.shippers():
        os.kill(shipper, signal.SIGTERM)
    eventually(lambda: list(node.cache.rglob("*.done")), "the file is sealed")
    assert len(staged(node)) == 2
    node.command("ship")
    assert staged(node) == []
    case, result = listed(node, run)
    assert content(case) == b"re = 1000"
    assert decode(content(result), result["mime_type"]) == {"residual": 1e-6}


def test_by_reference_a_file_is_read_when_it_is_sent(node: Node) -> None:
    for name in ("kept.dat", "changed.dat"):
        (node.directory / name).write_text(f"{name} as it was")
    output = node.simulate("""
run = Run(mode="offline")
run.init("by reference")
for name in ("kept.dat", "changed.dat"):
    run.save_file(name, "output", snapshot=False)
with open("changed.dat", "a") as file:
    file.write(", and then not")
print(run.id, run.close())
""")
    run = output.split()[-2]
    assert staged(node) == []
    for shipper in node.shippers():
        os.kill(shipper, signal.SIGTERM)
    eventually(lambda: list(node.cache.rglob("*.done")), "the file is sealed")
    done = subprocess.run(
        [sys.executable, "-m", "simvue", "ship"],
        env=node.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "changed.dat was changed after it was saved by reference" in done.stdout
    (artifact,) = listed(node, run)
    assert artifact["name"] == "kept.dat"
    assert content(artifact) == b"kept.dat as it was"
    assert (node.directory / "kept.dat").exists(), "it is the user's"


def test_a_changed_reference_is_told_to_the_simulation(node: Node) -> None:
    (node.directory / "moving.dat").write_text("before")
    output = node.simulate(
        SAVE
        + """
# The shipper is kept from it until it has changed.
shippers = [int(p) for p in os.listdir("/proc") if p.isdigit() and p != str(os.getpid())
            and b"simvue.shipper" in open(f"/proc/{p}/cmdline", "rb").read()
            and os.environ["SIMVUE_RUNTIME_DIRECTORY"].encode()
            in open(f"/proc/{p}/environ", "rb").read()]
for shipper in shippers:
    os.kill(shipper, signal.SIGSTOP)
run.save_file("moving.dat", "output", snapshot=False)
with open("moving.dat", "w") as file:
    file.write("after!")
for shipper in shippers:
    os.kill(shipper, signal.SIGCONT)
print("closed", run.close())
"""
    )
    assert "moving.dat was changed after it was saved by reference" in output
    assert "closed True" in output


def test_objects_come_back_as_they_were(node: Node) -> None:
    output = node.simulate(
        SAVE
        + """
import numpy as np, pandas as pd
run.save_object(np.arange(12.0).reshape(3, 4), "output", name="array")
run.save_object(pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}), "output", name="frame")
run.save_object({"text": "x", "list": [1, None, True]}, "output", name="json")
run.save_object({1, 2}, "output", name="set", allow_pickle=True)
print(run.close())
"""
    )
    run = output.split()[-2]
    there = {
        a["name"]: decode(content(a), a["mime_type"], allow_pickle=True) for a in listed(node, run)
    }
    assert there["array"].tolist() == np.arange(12.0).reshape(3, 4).tolist()
    assert there["frame"].to_dict("list") == {"a": [1, 2], "b": [0.5, 1.5]}
    assert there["json"] == {"text": "x", "list": [1, None, True]}
    assert there["set"] == {1, 2}


def test_directories_and_the_names_of_older_releases(node: Node) -> None:
    (node.directory / "case" / "mesh").mkdir(parents=True)
    (node.directory / "case" / "control").write_text("c")
    (node.directory / "case" / "mesh" / "points").write_text("p")
    (node.directory / "run (1).py").write_text("print()")
    output = node.simulate(
        SAVE
        + """
run.save_directory("case", "input")
run.save_directory("case", "input", "text/plain", True)
run.save("run (1).py", "code", "text/plain")
run.save([1, 2], "output", name="list")
run.save_all(["case/control", "case/mesh"], "code", preserve_path=True)
print(run.close())
"""
    )
    found = [(a["name"], a["category"], a["mime_type"]) for a in listed(node, output.split()[-2])]
    octets = "application/octet-stream"
    assert sorted(found) == [
        ("case/control", "code", octets),
        ("case/control", "input", "text/plain"),
        ("case/mesh/points", "code", octets),
        ("case/mesh/points", "input", "text/plain"),
        ("control", "input", octets),
        ("list", "output", "application/json"),
        ("mesh/points", "input", octets),
        ("run _1_.py", "code", "text/plain"),
    ]


def test_a_queued_run_has_inputs_and_no_outputs(node: Node) -> None:
    (node.directory / "in.txt").write_text("in")
    output = node.simulate("""
run = Run()
run.init("queued", status="created")
run.save_file("in.txt", "input")
try:
    run.save_file("in.txt", "output")
except RuntimeError as error:
    print(error)
print(run.id, run.close())
""")
    assert "a run that has not started yet has no output" in output
    assert [a["category"] for a in listed(node, output.split()[-2])] == ["input"]


def test_a_spool_directory_may_be_moved_and_what_is_deleted_leaves_no_copy(node: Node) -> None:
    """As between the disk of a node and that of a log-in node."""
    runs = [
        node.simulate(f"""
run = Run(mode="offline")
run.init("moved {number}")
run.save_object({{"number": {number}}}, "output", name="number")
print(run.id, run.close())
""").split()[-2]
        for number in range(2)
    ]
    for shipper in node.shippers():
        os.kill(shipper, signal.SIGTERM)
    eventually(lambda: list(node.cache.rglob("*.done")), "the file is sealed")
    moved = node.cache.rename(node.directory / "elsewhere")
    node.command("spool", "--cache", str(moved), "delete", "--yes", "--run", runs[0])
    assert len(list(moved.rglob(f"{ARTIFACTS}/*"))) == 1
    node.command("ship", "--cache", str(moved))
    (artifact,) = listed(node, runs[1])
    assert content(artifact) == b'{"number": 1}'
    assert list(moved.rglob(f"{ARTIFACTS}/*")) == []


def test_on_a_server_without_our_additions_each_is_stored_once(
    proxied: tuple[Node, Proxy],
) -> None:
    """It gives ids of its own to runs, artifacts and alerts; what is sent again finds them."""
    node, proxy = proxied
    # So it looks for whoever asks its version: it lists no features.
    proxy.only = "/api/version"
    proxy.say(1000, 200)
    output = node.simulate(
        SAVE
        + """
run.save_object([1, 2, 3], "output", name="list")
run.log_metrics({"x": 1.0})
mine = run.create_user_alert("on another server")
run.log_alert(mine)
print("closed", run.close(), run.id)
"""
    )
    assert "closed True" in output
    theirs = output.split()[-1]
    assert node.steps(theirs) == [0]
    (artifact,) = listed(node, theirs)
    assert content(artifact) == b"[1, 2, 3]"
    (entry,) = node.server.get(f"/runs/{theirs}")["alerts"]
    status = node.server.get(f"/alerts/{entry['alert']['id']}/status/{theirs}")
    assert status["status"] == "critical"
    assert node.status(theirs) == "completed"


# ---- What is recorded unasked --------------------------------------------------------------------


def test_the_commit_and_the_packages_of_a_run_are_recorded_and_no_process_is_started(
    node: Node,
) -> None:
    top = node.directory
    (top / "uv.lock").write_text('[[package]]\nname = "numpy"\nversion = "2.1.0"\n')
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "uv.lock"],
        ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "first"],
    ):
        subprocess.run(["git", *arguments], cwd=top, check=True)
    source = """
words = ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec", "os.system")
started = []
sys.addaudithook(lambda event, arguments: event in words and started.append(event))
run = Run()
run.init("recorded", metadata={"mine": 1})
print(*started, "were started by", run.id)
run.close()
"""
    output = node.simulate(source)
    # That one is the shipper.
    assert "\nos.posix_spawn were started by" in f"\n{output.splitlines()[-1]}"
    metadata = node.server.get(f"/runs/{output.split()[-1]}")["metadata"]
    ref = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=top, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert metadata["mine"] == 1
    assert (metadata["git"]["ref"], metadata["git"]["dirty"]) == (ref, False)
    assert metadata["git"]["blame"] == "a@example.org"
    assert metadata["python"] == {"environment": {"numpy": "2.1.0"}}
    output = node.simulate(
        source, SIMVUE_DISABLE_GIT_METRICS="1", SIMVUE_DISABLE_ENVIRONMENT_METRICS="True"
    )
    metadata = node.server.get(f"/runs/{output.split()[-1]}")["metadata"]
    assert "git" not in metadata
    assert "python" not in metadata


def test_several_that_ship_at_once_store_each_artifact_once(node: Node) -> None:
    """None of them takes what another has sent, and removed, for lost."""
    run = node.simulate("""
run = Run(mode="offline")
run.init("crowd")
for number in range(12):
    run.save_object(["x" * 300_000, number], "output", name=f"part {number:02}")
print(run.id, run.close())
""").split()[-2]
    for shipper in node.shippers():
        os.kill(shipper, signal.SIGTERM)
    eventually(lambda: list(node.cache.rglob("*.done")), "the file is sealed")
    shipping = [
        subprocess.Popen(
            [sys.executable, "-m", "simvue", "ship"],
            env=node.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for process in shipping:
        output, _ = process.communicate(timeout=90)
        assert process.returncode == 0, output
    assert [a["name"] for a in listed(node, run)] == [f"part {number:02}" for number in range(12)]
    assert decode(content(listed(node, run)[7]), "application/json")[1] == 7
    assert staged(node) == []
    assert not list((node.cache / "spool").glob("rejected/*"))
