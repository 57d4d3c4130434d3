"""Process trees as /proc shows them."""

import os
import subprocess
import sys

import pytest

from simvue.tree import end, parse_stat, read_process, read_table

FRONT = "S {parent} 9 9 0 -1 4194560 100 0 0 0 150 50 20 30 20 0 3 0 {started} 9999 512 184 1 1"


def write(root, pid, parent, name="python", started=7):
    (root / str(pid)).mkdir()
    line = f"{pid} ({name}) " + FRONT.format(parent=parent, started=started) + "\n"
    (root / str(pid) / "stat").write_bytes(line.encode())


@pytest.mark.parametrize("name", ["a b", ") S 1 (", "((", "x) R 2 3", "\n", "naïve", ""])
def test_a_name_may_hold_anything(tmp_path, name):
    write(tmp_path, 42, 7, name, started=99)
    process = read_process(42, str(tmp_path))
    assert process is not None
    assert (process.pid, process.parent, process.started, process.ended) == (42, 7, 99, False)
    # Its own time and that of children that it waited for: 150 + 50 + 20 + 30 ticks.
    assert process.cpu_s == 250 / os.sysconf("SC_CLK_TCK")
    assert process.memory == 512 * os.sysconf("SC_PAGE_SIZE")


def test_what_is_no_process_is_an_error_and_one_that_is_gone_is_none(tmp_path):
    with pytest.raises(ValueError, match="not the line"):
        parse_stat(b"")
    assert read_process(42, str(tmp_path)) is None
    (tmp_path / "43").mkdir()
    (tmp_path / "self").mkdir()
    assert read_table(str(tmp_path)).processes == {}


def test_a_tree_is_a_process_and_all_its_descendants(tmp_path):
    for pid, parent in ((1, 0), (10, 1), (11, 10), (12, 11), (13, 10), (20, 1), (21, 20)):
        write(tmp_path, pid, parent)
    table = read_table(str(tmp_path))
    assert [process.pid for process in table.tree(10)] in ([10, 11, 13, 12], [10, 13, 11, 12])
    assert [process.pid for process in table.tree(21)] == [21]
    assert table.tree(99) == []


def test_the_kernel_says_the_same_of_this_process():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    table = read_table()
    assert child.pid in [process.pid for process in table.tree(os.getpid())]
    mine = table.processes[os.getpid()]
    assert mine.parent == os.getppid()
    assert mine.cpu_s == pytest.approx(sum(os.times()[:4]), abs=1)
    assert mine.memory > 1 << 20
    child.communicate(b"\n")


def test_a_process_of_the_same_number_is_not_the_same():
    child = subprocess.Popen(["sleep", "1000"])
    process = read_process(child.pid)
    assert process is not None
    earlier = process._replace(started=process.started - 1)
    assert read_table().has(process)
    assert not read_table().has(earlier)
    end([earlier])
    assert child.poll() is None
    end([process])
    assert child.wait(timeout=60) == -15
