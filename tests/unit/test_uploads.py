"""Uploads: two at a time, each with its own patience, each once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simvue import uploads
from simvue.delivery import Outcome, Reply
from simvue.uploads import Uploads

DONE = Reply(Outcome.DONE)


class Wire:
    """Threads and server in the hands of the test, and the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.started: list[tuple[Any, Callable[[Reply], None]]] = []
        self.ended: list[tuple[str, Outcome]] = []
        self.uploads = Uploads(lambda send, then: self.started.append((send, then)))
        monkeypatch.setattr(uploads.time, "monotonic", lambda: self.now)

    def add(self, name: str) -> None:
        self.uploads.add(
            name,
            lambda remote: DONE,
            lambda reply: self.ended.append((name, reply.outcome)),
        )

    def step(self) -> int:
        """Begin what is due; return how many began."""
        before = len(self.started)
        self.uploads.step(self.now)
        return len(self.started) - before


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


def test_two_go_at_a_time_the_oldest_first(wire: Wire) -> None:
    for name in "abc":
        wire.add(name)
    assert wire.step() == 2
    assert wire.step() == 0
    wire.started[0][1](DONE)
    assert wire.step() == 1
    wire.started[1][1](DONE)
    wire.started[2][1](DONE)
    assert wire.ended == [(name, Outcome.DONE) for name in "abc"]
    assert wire.uploads.under_way == 0


def test_what_is_on_its_way_is_not_sent_twice(wire: Wire) -> None:
    wire.add("a")
    assert wire.step() == 1
    wire.add("a")
    assert wire.step() == 0
    wire.started[0][1](DONE)
    assert wire.ended == [("a", Outcome.DONE)] * 2
    wire.add("a")
    assert wire.step() == 1, "it may have been asked for anew"


@pytest.mark.parametrize("outcome", [Outcome.LATER, Outcome.REFUSED, Outcome.TOO_LARGE])
def test_what_may_pass_is_tried_again_later_and_holds_up_no_other(
    wire: Wire, outcome: Outcome
) -> None:
    wire.add("a")
    wire.step()
    wire.started[0][1](Reply(outcome, "not now", retry_after=30.0))
    assert wire.ended == []
    assert wire.uploads.trouble == "not now"
    wire.add("b")
    wire.now += 29.0
    assert wire.step() == 1, "only the other"
    wire.started[1][1](DONE)
    assert wire.uploads.trouble == ""
    wire.now += 61.0
    assert wire.step() == 1
    wire.started[2][1](DONE)
    assert wire.ended == [("b", Outcome.DONE), ("a", Outcome.DONE)]


def test_what_is_refused_for_good_is_told(wire: Wire) -> None:
    wire.add("a")
    wire.step()
    wire.started[0][1](Reply(Outcome.REJECTED, "changed"))
    assert wire.ended == [("a", Outcome.REJECTED)]
    assert wire.step() == 0
