"""S10: a spool file that is torn, cut short or has flipped bits costs what was damaged, no more.

The official client reads its offline files one JSON a file, and one that it cannot read stops
every file behind it.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fix_node import Node, eventually

from simvue.spool import Flaw, RecordKind, walk

OFFLINE = """
run = Run()
run.init({name!r}, offline=True)
for step in range({rows}):
    run.log_metrics({{"x": float(step)}}, step=step)
    if step % 20 == 0:
        # So that the rows lie in several records.
        time.sleep(0.06)
print(run.id, run.close())
"""

ROWS = 200


def ask(node: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a ``simvue`` command, whatever its status."""
    return subprocess.run(
        [sys.executable, "-m", "simvue", *arguments],
        env=node.env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def files(node: Node) -> list[tuple[str, Path]]:
    """Record two runs offline, a file each; return (run, file), the damaged one first."""
    made = []
    for name in ("damaged", "healthy"):
        known = set(node.cache.rglob("*.done"))
        source = OFFLINE.format(name=name, rows=ROWS)
        run = node.simulate(source, SIMVUE_FLUSH_INTERVAL="0.01").split()[-2]
        for shipper in node.shippers():
            # It would leave by itself after two seconds.
            os.kill(shipper, signal.SIGTERM)
        eventually(lambda k=known: set(node.cache.rglob("*.done")) - k, "the file is sealed")
        (file,) = set(node.cache.rglob("*.done")) - known
        made.append((run, file))
    return made


def bodies(path: Path) -> list[tuple[int, int, int, int]]:
    """Return (offset, end, first row, end row) of each record of metrics."""
    return [
        (offset, end, content.first, content.end)
        for offset, end, content in walk(path)
        if not isinstance(content, Flaw) and content.kind is RecordKind.METRICS
    ]


def check_others(node: Node, healthy: tuple[str, Path]) -> None:
    run, file = healthy
    assert node.steps(run) == list(range(ROWS))
    assert not file.exists()


def test_a_file_cut_short_is_delivered_up_to_the_cut_kept_and_named(
    node: Node, files: list[tuple[str, Path]], rng: random.Random
) -> None:
    (run, file), healthy = files
    records = bodies(file)
    assert len(records) >= 3
    offset, end, first, _ = records[rng.randrange(1, len(records))]
    with file.open("r+b") as cut:
        cut.truncate(rng.randrange(offset + 1, end))
    doctor = ask(node, "doctor")
    assert doctor.returncode == 1
    assert f"the record at byte {offset} is cut off" in doctor.stdout
    shipped = ask(node, "ship")
    assert shipped.returncode == 1
    assert file.name in shipped.stdout
    assert node.steps(run) == list(range(first))
    check_others(node, healthy)
    (kept,) = (node.cache / "spool" / "damaged").iterdir()
    assert kept.name == file.name
    # It is out of the way of the next, and not forgotten.
    assert "nothing to send" in node.command("ship")
    assert str(kept) in ask(node, "doctor").stdout
    assert "damaged" in node.command("spool")


def test_a_file_cut_between_two_records_is_known_to_be_cut(
    node: Node, files: list[tuple[str, Path]]
) -> None:
    (run, file), healthy = files
    _, end, _, last = bodies(file)[-2]
    with file.open("r+b") as cut:
        cut.truncate(end)
    assert "was cut short" in ask(node, "doctor").stdout
    shipped = ask(node, "ship")
    assert shipped.returncode == 1
    assert "its end is missing" in shipped.stdout
    assert node.steps(run) == list(range(last))
    check_others(node, healthy)


@pytest.mark.parametrize("part", ["header", "payload"])
def test_a_flipped_bit_costs_one_record_and_the_file_is_kept(
    node: Node, files: list[tuple[str, Path]], rng: random.Random, part: str
) -> None:
    (run, file), healthy = files
    records = bodies(file)
    offset, end, first, last = records[rng.randrange(len(records))]
    header = 70  # bytes, with its checksums
    place = rng.randrange(offset, offset + 62) if part == "header" else rng.randrange(
        offset + header, end
    )  # fmt: skip
    spoilt = bytearray(file.read_bytes())
    spoilt[place] ^= 1 << rng.randrange(8)
    file.write_bytes(spoilt)
    doctor = ask(node, "doctor")
    assert doctor.returncode == 1
    assert f"(bytes {offset} to {end})" in doctor.stdout
    shipped = ask(node, "ship")
    assert shipped.returncode == 1
    assert f"byte {offset}" in shipped.stdout
    # The record is lost, those before and behind it are not.
    assert node.steps(run) == [*range(first), *range(last, ROWS)]
    assert node.status(run) == "completed"
    check_others(node, healthy)


def test_a_torn_end_of_a_killed_shipper_is_passed_over(
    node: Node, files: list[tuple[str, Path]], rng: random.Random
) -> None:
    (run, file), healthy = files
    offset, end, first, _ = bodies(file)[-1]
    torn = file.with_suffix(".open")
    torn.write_bytes(file.read_bytes()[: rng.randrange(offset + 1, end)])
    file.unlink()
    doctor = node.command("doctor")
    assert f"the record at byte {offset} is cut off, as a crash leaves it" in doctor
    for _ in range(2):
        # It may still be written, as far as anybody can know, so it is kept.
        node.command("ship")
        assert node.steps(run) == list(range(first))
        assert torn.exists()
    check_others(node, healthy)


def test_what_is_no_spool_file_is_named_and_in_nobodys_way(
    node: Node, files: list[tuple[str, Path]]
) -> None:
    (run, file), healthy = files
    stranger = node.cache / "spool" / "notes-1-2.done"
    stranger.write_text("dear diary, today the disk was full")
    unreadable = node.cache / "spool" / "folder-1-2.done"
    unreadable.mkdir()
    shipped = ask(node, "ship")
    assert shipped.returncode == 1
    assert "notes-1-2.done is not a spool file" in shipped.stdout
    assert "folder-1-2.done" in shipped.stdout
    assert stranger.exists()
    assert node.steps(run) == list(range(ROWS))
    assert not file.exists()
    check_others(node, healthy)
