"""Sets of row numbers, kept as ranges: what makes "sent twice, stored once" true.

A set is a list of (first, end) pairs, ascending, disjoint and not even touching; *end* is
exclusive.  A high-water mark would be smaller and wrong: bodies may arrive in any order and
cut in any way, so what is below the highest row seen need not be there.
"""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]


def missing(stored: Iterable[Range], first: int, end: int) -> list[Range]:
    """Return the ranges of rows from *first* to *end* that are not in *stored*."""
    gaps = []
    for known_first, known_end in stored:
        if known_end <= first:
            continue
        if known_first >= end:
            break
        if first < known_first:
            gaps.append((first, known_first))
        first = known_end
    if first < end:
        gaps.append((first, end))
    return gaps


def grown(stored: Iterable[Range], first: int, end: int) -> list[Range]:
    """Return *stored* with the rows from *first* to *end* added."""
    if first == end:
        return list(stored)
    merged = []
    for known_first, known_end in stored:
        if known_end < first or known_first > end:
            merged.append((known_first, known_end))
        else:
            first, end = min(first, known_first), max(end, known_end)
    merged.append((first, end))
    merged.sort()
    return merged
