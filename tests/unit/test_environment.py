"""Packages are read out of the files that the package managers write."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from simvue.environment import describe_environment

LOCK = """
version = 1

[[package]]
name = "numpy"
version = "2.1.0"
source = { registry = "https://packages.example/simple" }

[[package]]
name = "scipy"
version = "1.14.1"
"""


@pytest.mark.parametrize("name", ["poetry.lock", "uv.lock"])
def test_the_project_and_its_locked_packages(tmp_path: Path, name: str) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\n\n[project]\nname = "solver"\nversion = "0.3"\n\n'
        '[project.scripts]\nname = "not this"\n'
    )
    (tmp_path / name).write_text(LOCK)
    assert describe_environment(tmp_path)["python"] == {
        "project": {"name": "solver", "version": "0.3"},
        "environment": {"numpy": "2.1.0", "scipy": "1.14.1"},
    }


def test_conda_writes_another_file(tmp_path: Path) -> None:
    (tmp_path / "environment.yml").write_text(
        "name: sim\ndependencies:\n  - python=3.11\n  - numpy=2.1.0=py311h\n  - pip:\n"
        "    - emcee==3.1.6\n"
    )
    assert describe_environment(tmp_path)["python"]["environment"] == {
        "python": "3.11",
        "numpy": "2.1.0",
        "emcee": "3.1.6",
    }


def test_without_a_lock_file_the_installed_packages_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for place, name in (
        (first, "numpy-2.2.0.dist-info"),
        (second, "numpy-1.0.dist-info"),
        (second, "old_style-0.1-py3.11.egg-info"),
    ):
        (place / name).mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(first), str(second), str(tmp_path / "gone")])
    found = describe_environment(tmp_path)["python"]["environment"]
    assert found["numpy"] == "2.2.0", "the first in the path is the one that is imported"


def test_rust_julia_and_javascript(tmp_path: Path) -> None:
    (tmp_path / "Cargo.toml").write_text('[package]\nname = "flow"\nversion = "1.0.0"\n')
    (tmp_path / "Cargo.lock").write_text('[[package]]\nname = "serde"\nversion = "1.0.200"\n')
    (tmp_path / "Project.toml").write_text('name = "Waves"\nuuid = "1-2"\nversion = "0.2.0"\n')
    (tmp_path / "Manifest.toml").write_text(
        'julia_version = "1.10.2"\n\n[[deps.Dates]]\nuuid = "ade2"\n\n'
        '[[deps.JSON]]\ndeps = ["Dates"]\nuuid = "682c"\nversion = "0.21.4"\n'
    )
    lock = {
        "name": "page",
        "version": "3.0.0",
        "packages": {"": {"name": "page"}, "node_modules/uplot": {"version": "1.6.30"}},
    }
    (tmp_path / "package-lock.json").write_text(json.dumps(lock))
    found = describe_environment(tmp_path)
    assert found["rust"] == {
        "project": {"name": "flow", "version": "1.0.0"},
        "environment": {"serde": "1.0.200"},
    }
    assert found["julia"] == {
        "project": {"name": "Waves", "version": "0.2.0"},
        "environment": {"JSON": "0.21.4"},
    }
    assert found["javascript"] == {
        "project": {"name": "page", "version": "3.0.0"},
        "environment": {"uplot": "1.6.30"},
    }


def test_files_are_looked_for_up_to_the_top_of_the_repository_and_no_further(
    tmp_path: Path,
) -> None:
    inner = tmp_path / "repository" / "cases" / "one"
    inner.mkdir(parents=True)
    (tmp_path / "repository" / ".git").mkdir()
    (tmp_path / "Cargo.lock").write_text('[[package]]\nname = "stranger"\nversion = "1"\n')
    assert "rust" not in describe_environment(inner)
    (tmp_path / "repository" / "Cargo.lock").write_text(
        '[[package]]\nname = "ours"\nversion = "2"\n'
    )
    describe_environment.cache_clear()
    assert describe_environment(inner)["rust"]["environment"] == {"ours": "2"}


def test_what_cannot_be_read_as_expected_is_left_out(tmp_path: Path) -> None:
    for name in ("package-lock.json", "Cargo.lock", "Project.toml", "environment.yml"):
        (tmp_path / name).write_bytes(b'\xff\xfe["')
    assert set(describe_environment(tmp_path)) <= {"python"}
