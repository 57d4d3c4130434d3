"""The page's files: their types hold, they stay small, they make no markup of text."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from simvue.server.pages import read_pages, shorter

ROOT = Path(__file__).parent.parent.parent
UI = ROOT / "simvue" / "ui"

# What a phone loads in a second over a slow line, and issue 6's number.
SCRIPTS_MAX = 120_000


def test_the_types_in_the_comments_hold() -> None:
    tsc = shutil.which("tsc")
    if tsc is None:
        missing = "needs tsc (Debian: node-typescript)"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    checked = subprocess.run(
        [tsc, "--project", ROOT / "jsconfig.json"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    unchecked = [path.name for path in UI.glob("*.js") if "@ts-nocheck" in path.read_text()]
    assert unchecked == []


def test_no_script_makes_markup_of_text() -> None:
    doors = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|Function\("
    )
    assert [path.name for path in UI.glob("*.js") if doors.search(path.read_text())] == []


def test_all_scripts_together_are_small() -> None:
    """As they go out: what the browser is sent when it has seen every view."""
    files = read_pages().files
    sizes = {path: len(page.compressed or page.content) for path, page in files.items()}
    assert sum(size for path, size in sizes.items() if path.endswith(".js")) <= SCRIPTS_MAX


# Prints, for each of the files named, the code in the one and only form that the compiler gives it.
PLAIN = """
const { transpileModule } = require("typescript");
const { readFileSync } = require("fs");
const compilerOptions = { target: "es2022", module: "es2022", removeComments: true };
const plain = (path) => transpileModule(readFileSync(path, "utf8"), { compilerOptions }).outputText;
console.log(JSON.stringify(process.argv.slice(1).map(plain)));
"""


def test_only_comments_and_indents_are_left_out_on_the_way(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node (Debian: node-typescript)")
    written = sorted(UI.glob("*.js"))
    sent = [tmp_path / path.name for path in written]
    for path, bare in zip(written, sent, strict=True):
        bare.write_bytes(shorter(path.read_bytes()))
        assert bare.read_bytes().count(b"\n") == path.read_bytes().count(b"\n")
    printed = subprocess.run(
        [node, "-e", PLAIN, *written, *sent],
        capture_output=True,
        check=True,
        env={**os.environ, "NODE_PATH": "/usr/share/nodejs"},
    )
    plain = json.loads(printed.stdout)
    assert plain[: len(written)] == plain[len(written) :]
