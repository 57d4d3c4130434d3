"""Other users of the node: what is ours they neither read, take over, nor get us to write to.

Two users of numbers that belong to nobody, which takes root; elsewhere
tests/unit/test_queue.py has one user in two roles.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_node import PROLOGUE, ROOT, Node, eventually
from fix_server import Server

VICTIM, STRANGER, LARGE = 1_987_600_001, 1_987_600_002, 4_000_100_001

ATTACK = """
def attempt(what, action):
    try:
        action()
    except (PermissionError, ConnectionError) as error:
        print("denied", what)
    except OSError as error:
        print("failed", what, error)
    else:
        print("DONE", what)

directory, segment, pid = sys.argv[1:]

def connect():
    socket.socket(socket.AF_UNIX).connect(os.path.join(directory, "shipper.sock"))

attempt("list", lambda: os.listdir(directory))
attempt("read a segment", lambda: open(os.path.join(directory, segment), "rb").read())
attempt("make a segment", lambda: open(os.path.join(directory, "x.seg"), "x"))
attempt("remove a segment", lambda: os.unlink(os.path.join(directory, segment)))
attempt("take the office", lambda: open(os.path.join(directory, "shipper.lock"), "r+"))
attempt("connect", connect)
attempt("move the directory", lambda: os.rename(directory, directory + "-mine"))
attempt("open it up", lambda: os.chmod(directory, 0o777))
attempt("read its environment", lambda: open(f"/proc/{pid}/environ", "rb").read())
attempt("read its memory", lambda: open(f"/proc/{pid}/mem", "rb").read(1))
attempt("open its files", lambda: os.listdir(f"/proc/{pid}/fd"))
attempt("end it", lambda: os.kill(int(pid), 15))
"""


class User:
    """Somebody on the node, with a home; all that is shared with others is ``/dev/shm``."""

    def __init__(self, uid: int, server: Server) -> None:
        self.uid = uid
        # Not below pytest's directory, which is root's alone.
        self.home = Path(tempfile.mkdtemp(prefix="simvue-test-"))
        os.chown(self.home, uid, uid)
        self.env = {
            **{key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ},
            "HOME": str(self.home),
            "TMPDIR": str(self.home),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SIMVUE_URL": server.url,
            "SIMVUE_TOKEN": server.token,
            # A shipper that has something to wait for stays until it is ended.
            "SIMVUE_LINGER": "60",
        }

    @property
    def plain_path(self) -> Path:
        """Where this user's runtime directory is, if nobody else holds the name."""
        return Path(f"/dev/shm/simvue-{self.uid}")

    def start(self, source: str) -> subprocess.Popen[str]:
        """Start a simulation as this user."""
        # The interpreter may lie in root's home, so reading, and only that, is allowed anywhere.
        reading = [f"--{kind}-caps=+dac_read_search" for kind in ("inh", "ambient")]
        ids = [f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
        python = [sys.executable, "-c", PROLOGUE + textwrap.dedent(source)]
        return self._run("setpriv", *ids, *reading, *python)

    def intrude(self, source: str, *arguments: str) -> list[str]:
        """Run a program of this user's that has no right beyond that; return its lines."""
        drop = f"""
import os, socket, sys
os.setgroups([])
os.setresgid(*[{self.uid}] * 3)
os.setresuid(*[{self.uid}] * 3)
"""
        process = self._run(sys.executable, "-c", drop + source, *arguments)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        return output.splitlines()

    def _run(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=self.home, env=self.env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def simulate(self, source: str) -> str:
        """Run a simulation to its end; return what it printed."""
        process = self.start(source)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        return output

    def directories(self) -> list[Path]:
        """Every runtime directory in ``/dev/shm`` with this user's number in its name."""
        return sorted(Path("/dev/shm").glob(f"simvue-{self.uid}*"))

    def processes(self) -> list[int]:
        """The pids of all that this user runs."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and is_owned(entry, self.uid)
        ]

    def shippers(self) -> list[int]:
        """The pids of this user's shippers."""
        # What has ended and waits for its parent has no command line.
        return [
            pid
            for pid in self.processes()
            if b"\0simvue.shipper" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    def close(self) -> None:
        """End what the user runs, and remove what the user has."""
        for pid in self.processes():
            os.kill(pid, 9)
        for path in self.directories():
            shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)


Users = tuple[User, User, User]


def is_owned(entry: Path, uid: int) -> bool:
    """Whether a directory of ``/proc`` is that user's."""
    try:
        return entry.stat().st_uid == uid
    except FileNotFoundError:
        return False


@pytest.fixture
def users(server: Server) -> Iterator[Users]:
    """Users of the node: a victim, a stranger, and one with a large number."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can be somebody else")
    made = [User(uid, server) for uid in (VICTIM, STRANGER, LARGE)]
    try:
        probe = made[0].start("import simvue.shipper")
        output, _ = probe.communicate(timeout=60)
        if probe.returncode != 0:
            pytest.skip(f"another user cannot run the package from here: {output.splitlines()[-1]}")
        yield tuple(made)
    finally:
        for user in made:
            user.close()


def test_a_stranger_reads_takes_and_ends_nothing_of_ours(users: Users) -> None:
    victim, stranger, _ = users
    process = victim.start("""
        run = Run()
        run.init("guarded", no_color=True)
        run.log_metrics({"x": 1.0})
        print(run.id, flush=True)
        sys.stdin.readline()
        print("closed", run.close())
    """)
    assert process.stdout is not None
    assert process.stdout.readline().strip().isalnum()
    (directory,) = victim.directories()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    segment = next(path.name for path in directory.glob("*.metrics.*.seg"))
    (shipper,) = victim.shippers()
    attempts = stranger.intrude(ATTACK, str(directory), segment, str(shipper))
    assert [line for line in attempts if not line.startswith("denied")] == []
    assert len(attempts) == 12
    # What everybody may see of a process names no secret.
    for pid in (shipper, process.pid):
        told = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert victim.env["SIMVUE_TOKEN"].encode() not in told
    output, _ = process.communicate("\n", timeout=60)
    assert "closed True" in output


def test_two_users_of_a_node_have_a_shipper_each(users: Users, server: Server, node: Node) -> None:
    source = """
        run = Run()
        run.init("of-user-%d" % os.getuid(), no_color=True)
        for step in range(1000):
            run.log_metrics({"x": float(step)}, step=step)
        print("closed", run.close())
    """
    for user in users[:2]:
        assert "closed True" in user.simulate(source)
        assert [path.stat().st_uid for path in user.directories()] == [user.uid]
        assert len(user.shippers()) <= 1
        assert node.steps(node.run_id(f"of-user-{user.uid}")) == list(range(1000))


@pytest.mark.parametrize("bait", ["open to all", "private", "a link to the victim's home"])
def test_a_directory_that_a_stranger_put_in_our_place_gets_nothing(
    users: Users, node: Node, bait: str
) -> None:
    """``/dev/shm`` is everybody's: whoever is first may take the name of another's directory."""
    victim, *_ = users
    if bait.startswith("a link"):
        victim.plain_path.symlink_to(victim.home)
        os.chown(victim.plain_path, STRANGER, STRANGER, follow_symlinks=False)
    else:
        victim.plain_path.mkdir()
        victim.plain_path.chmod(0o777 if bait == "open to all" else 0o700)
        os.chown(victim.plain_path, STRANGER, STRANGER)
    try:
        output = victim.simulate(f"""
            run = Run()
            run.init("baited {bait[:4]}", no_color=True)
            for step in range(1000):
                run.log_metrics({{"x": float(step)}}, step=step)
            print("closed", run.close())
        """)
        assert "closed True" in output
        (own,) = (path for path in victim.directories() if path != victim.plain_path)
        assert own.stat().st_uid == VICTIM
        assert stat.S_IMODE(own.stat().st_mode) == 0o700
        if not bait.startswith("a link"):
            assert list(victim.plain_path.iterdir()) == []
            assert victim.plain_path.stat().st_uid == STRANGER
        assert not list(victim.home.glob("*.seg"))
        assert node.steps(node.run_id(f"baited {bait[:4]}")) == list(range(1000))
        # The next run finds the same one, and so the same shipper.
        victim.simulate("run = Run(); run.init('again', no_color=True); run.close()")
        assert [p for p in victim.directories() if p != victim.plain_path] == [own]
    finally:
        if victim.plain_path.is_symlink():
            victim.plain_path.unlink()


def test_what_lies_on_disk_is_for_its_user_alone(users: Users) -> None:
    """In a home that others may enter, and without a umask."""
    victim, stranger, _ = users
    victim.home.chmod(0o755)
    victim.simulate("""
        os.umask(0)
        run = Run("offline")
        run.init("on disk", no_color=True)
        run.log_metrics({"x": 1.0})
        assert run.close()
    """)
    eventually(lambda: list(victim.home.rglob("*.done")), "the spool file is sealed")
    (file,) = victim.home.rglob("*.done")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    read = """
try:
    open(sys.argv[1], "rb")
except PermissionError:
    print("denied")
"""
    assert stranger.intrude(read, str(file)) == ["denied"]


def test_a_user_number_beyond_two_to_the_31_is_one_like_any_other(users: Users, node: Node) -> None:
    """User namespaces and directory services give such numbers."""
    *_, user = users
    output = user.simulate("""
        run = Run()
        run.init("large number", no_color=True)
        run.log_metrics({"x": 1.0})
        print("closed", run.close())
    """)
    assert output == "closed True\n", "no warning: its shipper knows it"
    assert node.steps(node.run_id("large number")) == [0]
