"""The half of `_batch` below the line is C, and shared words are only touched in order.

x86 hides a missing barrier, so that no run could show it: the generated C is read instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from Cython.Compiler.Main import compile as cythonize

SOURCE = Path(__file__).parents[2] / "simvue" / "_batch.pyx"
LINE = "# ==== Encode and publish: no Python below this line ="

WORDS = {"number", "first_row", "published", "dropped", "sealed", "shipped", "returned"}
"""The words of a header that one process writes while another may read."""


class Access(NamedTuple):
    """One load or store of a shared word, by the accessor of that name."""

    accessor: str
    word: str


class Generated(NamedTuple):
    """What Cython makes of _batch.pyx: the C, and for each line how much of Python is in it."""

    c: str
    scores: list[int]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    path = tmp_path_factory.mktemp("cython") / "_batch.c"
    cythonize(  # type: ignore[no-untyped-call]
        str(SOURCE), output_file=str(path), annotate=True, language_level=3
    )
    page = path.with_suffix(".html").read_text()
    lines = re.findall(r'<pre class="cython line score-(\d+)"[^>]*>.*?>(\d+)</span>:', page)
    assert [int(number) for _, number in lines] == list(range(1, len(lines) + 1))
    # The comments quote the source.
    code = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
    return Generated(code, [int(score) for score, _ in lines])


def accesses(c: str) -> Iterator[Access]:
    """Yield every access to a word of a header through an accessor, in the order of the text."""
    accessor = r"((?:load|store)_(?:acquire|release|relaxed))\(\(&[\w>.-]*header->(\w+)\)"
    for found in re.finditer(accessor, c):
        yield Access(*found.groups())


def function(c: str, name: str) -> str:
    """Return the body of the C function that Cython made of *name*."""
    bodies = re.findall(rf"^[^\n;]*\b__pyx_\w*{name}\([^;]*?\)\s*{{\n(.*?)^}}", c, re.M | re.S)
    assert bodies, f"no C function is made of {name}"
    return str(max(bodies, key=lambda body: len(list(accesses(body)))))


def test_no_line_below_the_line_touches_python(generated: Generated) -> None:
    lines = SOURCE.read_text().splitlines()
    (start,) = (i for i, line in enumerate(lines) if line.startswith(LINE))
    touching = {
        number + 1: lines[number]
        for number in range(start, len(lines))
        if generated.scores[number] > 0
    }
    assert touching == {}
    # The rule looks at something: the encoder stands there, and the gathering half does not.
    assert any("cdef bint append(" in line for line in lines[start:])
    assert max(generated.scores[:start]) > 10


def test_every_function_below_the_line_can_neither_fail_nor_take_the_gil() -> None:
    _, below = SOURCE.read_text().split(LINE)
    heads = re.findall(r"^cdef [^=\n]*?\([^)]*\)[^:]*:", below, re.M)
    assert len(heads) >= 10
    assert [head for head in heads if not head.endswith("noexcept nogil:")] == []


def test_accessors_are_the_atomics_they_are_called_after(generated: Generated) -> None:
    for name, builtin in (
        ("load_acquire(p)", "__atomic_load_n((p), __ATOMIC_ACQUIRE)"),
        ("load_relaxed(p)", "__atomic_load_n((p), __ATOMIC_RELAXED)"),
        ("store_release(p, v)", "__atomic_store_n((p), (v), __ATOMIC_RELEASE)"),
        ("store_relaxed(p, v)", "__atomic_store_n((p), (v), __ATOMIC_RELAXED)"),
    ):
        assert f"#define {name} {builtin}\n" in generated.c


def test_shared_words_are_touched_only_through_the_accessors(generated: Generated) -> None:
    through = [access.word for access in accesses(generated.c)]
    anyhow = [word for word in re.findall(r"header->(\w+)", generated.c) if word in WORDS]
    assert set(through) == WORDS
    assert len(through) == len(anyhow)


def test_who_reads_a_word_of_the_other_side_acquires_it(generated: Generated) -> None:
    """The shipper reads the run's number and count, the run reads what was returned."""
    for name, expected in (
        ("7Segment_6number___get__", [("load_acquire", "number")]),
        ("9published___get__", [("load_acquire", "published")]),
        ("6sealed___get__", [("load_acquire", "sealed")]),
        ("7shipped___get__", [("load_acquire", "shipped")]),
        ("8returned___get__", [("load_acquire", "returned")]),
        ("7is_free___get__", [("load_acquire", "returned"), ("load_relaxed", "number")]),
    ):
        assert list(accesses(function(generated.c, name))) == expected, name


def test_a_switch_stores_the_number_last(generated: Generated) -> None:
    """The order that test_segment_model.py walks."""
    assert list(accesses(function(generated.c, "switch"))) == [
        ("store_relaxed", "published"),
        ("store_relaxed", "first_row"),
        ("store_relaxed", "dropped"),
        ("store_release", "number"),
    ]


def test_a_filling_is_sealed_behind_its_last_count(generated: Generated) -> None:
    assert list(accesses(function(generated.c, "6Stream_\\d+seal"))) == [
        ("store_release", "sealed")
    ]


def test_a_segment_is_handed_back_by_its_last_store(generated: Generated) -> None:
    stores = [
        access
        for access in accesses(function(generated.c, "hand_back"))
        if access.accessor.startswith("store")
    ]
    assert stores == [("store_relaxed", "shipped"), ("store_release", "returned")]


def test_a_row_is_published_behind_its_bytes(generated: Generated) -> None:
    publish = "__pyx_f_6simvue_6_batch_publish("
    assert list(accesses(function(generated.c, "publish"))) == [("store_release", "published")]
    for name in ("_append", "append_event", "append_bytes"):
        *before, after = function(generated.c, name).split(publish)
        assert len(before) == 1, name
        # Only append_bytes hands its one copy over as an argument, which C evaluates first.
        assert ("put_" in before[0]) == (name != "append_bytes")
        assert ("put_" in after) == (name == "append_bytes")
    assert generated.c.count(publish) == 3 + 2
