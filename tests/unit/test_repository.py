"""What is read out of a repository is what git says of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from simvue.repository import describe_repository, find_repository

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git makes what is read")

ADDRESS = "ada@example.org"


class Repository:
    """A repository that the real git makes and changes."""

    def __init__(self, top: Path) -> None:
        self.top = top
        top.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        """Run git there, and return what it says."""
        identity = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "Ada"), ("EMAIL", ADDRESS))
        }
        done = subprocess.run(
            ["git", *arguments], cwd=self.top, check=True, capture_output=True, text=True,
            env={**os.environ, **identity, "GIT_CONFIG_GLOBAL": "/dev/null"},
        )  # fmt: skip
        return done.stdout.strip()

    def commit(self, name: str = "file.txt", text: str = "text") -> str:
        """Commit a file; return the commit."""
        (self.top / name).parent.mkdir(exist_ok=True)
        (self.top / name).write_text(text)
        self.git("add", name)
        self.git("commit", "--quiet", "-m", f"Changed {name}\n\nAs it should be.")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "work")


def test_a_commit_is_told_as_git_tells_it(repository: Repository) -> None:
    ref = repository.commit("src/solver.py")
    found = describe_repository(repository.top / "src")
    assert found["ref"] == ref
    assert found["branch"] == "main"
    assert found["blame"] == ADDRESS
    assert found["msg"] == "Changed src/solver.py\n\nAs it should be."
    assert found["time_stamp"] == repository.git("log", "-1", "--format=%aI").replace("Z", "+00:00")
    assert found["dirty"] is False
    assert find_repository(repository.top / "src") == repository.top


def test_a_packed_commit_is_told_like_a_loose_one(repository: Repository) -> None:
    for number in range(5):
        repository.commit(text=str(number))
    loose = describe_repository(repository.top)
    repository.git("gc", "--quiet", "--aggressive", "--prune=now")
    assert not list((repository.top / ".git" / "objects").glob("??/*"))
    assert not (repository.top / ".git" / "refs" / "heads" / "main").exists()
    assert describe_repository(repository.top) == loose


def test_a_branch_a_detached_head_and_a_second_work_tree(repository: Repository) -> None:
    first = repository.commit(text="1")
    second = repository.commit(text="2")
    repository.git("checkout", "--quiet", "-b", "feature/mesh")
    assert describe_repository(repository.top)["branch"] == "feature/mesh"
    repository.git("checkout", "--quiet", first)
    found = describe_repository(repository.top)
    assert "branch" not in found
    assert found["ref"] == first
    other = repository.top.parent / "other"
    repository.git("worktree", "add", "--quiet", str(other), "main")
    found = describe_repository(other)
    assert (found["branch"], found["ref"], found["dirty"]) == ("main", second, False)


def test_a_change_is_seen_wherever_it_is(repository: Repository) -> None:
    repository.commit("a.txt", "aaaa")
    repository.commit("b.txt", "bbbb")

    def dirty() -> object:
        return describe_repository(repository.top)["dirty"]

    (repository.top / "new.txt").write_text("untracked files are none of the commit")
    assert dirty() is False
    (repository.top / "a.txt").write_text("longer than it was")
    assert dirty() is True
    repository.git("checkout", "a.txt")
    assert dirty() is False
    # The same size and content with a new date, and then another content.
    os.utime(repository.top / "b.txt", (1, 1))
    assert dirty() is False
    (repository.top / "b.txt").write_text("BBBB")
    os.utime(repository.top / "b.txt", (2, 2))
    assert dirty() is True
    repository.git("checkout", "b.txt")
    (repository.top / "a.txt").unlink()
    assert dirty() is True
    repository.git("checkout", "a.txt")
    # What is staged and not committed; git may not have noted its tree, and then it is unknown.
    (repository.top / "a.txt").write_text("staged")
    repository.git("add", "a.txt")
    assert describe_repository(repository.top).get("dirty", True) is True
    repository.git("write-tree")
    assert dirty() is True


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://ada:secret@example.org/lab/code.git", "https://example.org/lab/code.git"),
        ("https://token@example.org/code?private_token=x#y", "https://example.org/code"),
        ("git@example.org:lab/code.git", "git@example.org:lab/code.git"),
        ("ssh://git:secret@example.org:22/code", "ssh://git@example.org:22/code"),
        ("/srv/git/code.git", "/srv/git/code.git"),
    ],
)
def test_the_address_of_the_origin_holds_no_credentials(
    repository: Repository, url: str, told: str
) -> None:
    repository.git("remote", "add", "backup", "https://example.com/other")
    repository.git("remote", "add", "origin", url)
    assert describe_repository(repository.top)["url"] == told


def test_before_the_first_commit_and_outside_of_any_repository(
    repository: Repository, tmp_path: Path
) -> None:
    assert describe_repository(repository.top) == {"branch": "main"}
    assert describe_repository(tmp_path) == {}


def test_what_is_damaged_is_left_out_and_raises_nothing(repository: Repository) -> None:
    repository.commit()
    for name in ("index", "HEAD", "config"):
        path = repository.top / ".git" / name
        content = path.read_bytes()
        for damage in (b"", b"\xff" * 40, content[: len(content) // 2]):
            path.write_bytes(damage)
            describe_repository(repository.top)
        path.write_bytes(content)
    assert describe_repository(repository.top)["dirty"] is False
