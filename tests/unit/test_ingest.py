"""Repeats: what knows a body that came before."""

from __future__ import annotations

import threading

import pytest

from simvue.server.ingest import REPEAT_S, Repeats
from simvue.server.store import Stored


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class TestRepeats:
    def test_a_body_is_stored_once_in_ten_minutes(self) -> None:
        clock = Clock()
        repeats = Repeats(clock)
        calls = []

        def store() -> Stored:
            calls.append(1)
            return Stored(7, False)

        assert repeats.once(b"key", store) == Stored(7, False)
        clock.now = REPEAT_S - 1
        assert repeats.once(b"key", store) == Stored(0, False)
        assert repeats.once(b"other", store) == Stored(7, False)
        clock.now = REPEAT_S
        assert repeats.once(b"key", store) == Stored(7, False)
        assert len(calls) == 3

    def test_a_failed_try_is_no_try(self) -> None:
        repeats = Repeats(Clock())

        def fail() -> Stored:
            raise OSError("disk")

        with pytest.raises(OSError, match="disk"):
            repeats.once(b"key", fail)
        assert repeats.once(b"key", lambda: Stored(1, False)) == Stored(1, False)

    def test_a_repeat_waits_for_the_first_try(self) -> None:
        repeats = Repeats(Clock())
        begun, finish = threading.Event(), threading.Event()
        answers: list[Stored] = []

        def slow() -> Stored:
            begun.set()
            assert finish.wait(30)
            return Stored(5, True)

        def never() -> Stored:
            raise AssertionError("the repeat was stored")

        first = threading.Thread(target=lambda: answers.append(repeats.once(b"key", slow)))
        first.start()
        assert begun.wait(30)
        second = threading.Thread(target=lambda: answers.append(repeats.once(b"key", never)))
        second.start()
        finish.set()
        first.join()
        second.join()
        assert sorted(answer.stored for answer in answers) == [0, 5]
        # The answer of a repeat carries the flag of the try it waited for, or none.
        assert answers[0].abort
