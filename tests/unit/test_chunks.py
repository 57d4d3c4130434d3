"""Chunks give back what was put in, take little room, and know when they are damaged."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simvue._columns import Block
from simvue.exception import StoreError
from simvue.server.store import chunks, spans


def block(rows: int, metrics: int, seed: int, places: bool = False) -> Block:
    """Make a block of random walks at about 1 kHz, the kind of series simulations write."""
    generator = np.random.default_rng(seed)
    words = np.empty((3 + metrics, rows), np.uint64)
    moments = np.cumsum(generator.integers(990, 1010, rows))
    words[0] = np.arange(rows)
    words[1] = (moments / 1e6).view(np.uint64)
    words[2] = moments + 1_760_000_000_000_000
    walks = 1 + np.cumsum(generator.normal(scale=1e-3, size=(metrics, rows)), axis=1)
    words[3:] = walks.view(np.uint64)
    return Block(
        tuple(f"m{i}" for i in range(metrics)),
        bytes(metrics),
        np.cumsum(generator.integers(1, 4, rows)).astype(np.uint32) if places else None,
        words,
    )


@settings(deadline=None)
@given(
    st.sampled_from([1, 2, 7, 8, 100, 3000, 20_000]),
    st.sampled_from([1, 2, 5, 40]),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_decode_gives_back_what_encode_took(
    rows: int, metrics: int, seed: int, places: bool
) -> None:
    given = block(rows, metrics, seed, places)
    wanted = random.Random(seed).sample(range(metrics), random.Random(seed).randint(0, metrics))
    found = chunks.decode(chunks.encode(given), wanted)
    assert (found.step == given.step).all()
    assert (found.time == given.time).all()
    assert (found.timestamp == given.timestamp).all()
    assert found.kinds == [0] * len(wanted)
    for metric, values in zip(wanted, found.values, strict=True):
        assert (values == given.values[metric]).all()
    if given.rows is None:
        assert found.places is None
    else:
        assert found.places is not None
        assert found.places.tolist() == given.rows.tolist()


def test_smooth_series_take_less_than_nine_and_a_half_bytes_a_point() -> None:
    """The share of step, time and timestamp included: 26,000 rows of 5 are a 4 MiB body."""
    given = block(26_000, 5, 1)
    assert len(chunks.encode(given)) / given.values.size < 7.5


def test_a_damaged_chunk_is_told_from_a_whole_one() -> None:
    """Method: every cut, and bits turned over in every part; all is read, or refused."""
    given = block(300, 3, 2, places=True)
    whole = chunks.encode(given)
    for size in range(0, len(whole), 7):
        with pytest.raises(StoreError, match="damaged"):
            chunks.decode(whole[:size], [0, 1, 2])
    generator = random.Random(3)
    frames = chunks.decode(whole, [0, 1, 2])
    for _ in range(300):
        spoilt = bytearray(whole)
        spoilt[generator.randrange(40, len(whole))] ^= 1 << generator.randrange(8)
        try:
            found = chunks.decode(bytes(spoilt), [0, 1, 2])
        except StoreError:
            continue
        assert (found.step == frames.step).all()
        assert [(a == b).all() for a, b in zip(found.values, frames.values, strict=True)]


def test_a_chunk_of_a_newer_program_is_refused_in_words() -> None:
    with pytest.raises(StoreError, match="format 9, newer than this program"):
        chunks.decode(b"\x09" + chunks.encode(block(3, 1, 0))[1:], [0])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=30))
def test_spans_are_sets(steps: list[tuple[int, int]]) -> None:
    """Method: every range added to a set of integers as well."""
    stored: list[spans.Range] = []
    there: set[int] = set()
    for first, size in steps:
        end = first + size
        gaps = spans.missing(stored, first, end)
        assert [i for a, b in gaps for i in range(a, b)] == sorted(set(range(first, end)) - there)
        stored = spans.grown(stored, first, end)
        there |= set(range(first, end))
        assert [i for a, b in stored for i in range(a, b)] == sorted(there)
        assert all(a[1] < b[0] for a, b in pairwise(stored))
