"""A destination's state of health: what one reply teaches about the next request."""

from __future__ import annotations

import threading

import pytest

from simvue.backoff import BACKOFF_S_FIRST
from simvue.delivery import Outcome, Reply
from simvue.destination import (
    IN_FLIGHT_MAX,
    IN_FLIGHT_SIZE,
    REFUSED_S,
    Destination,
)


class Probe:
    """A destination whose requests are answered by the test; nothing is sent anywhere."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        server = {"url": "http://127.0.0.1:9", "token": "t"}
        self.destination = Destination(server, self.arrived.release)

    def ask(self, *replies: Reply, now: float) -> list[Reply]:
        """Have as many requests under way at once as there are *replies*, and collect them."""
        heard: list[Reply] = []
        for reply in replies:
            self.destination.submit(lambda remote, reply=reply: reply, heard.append)
        for _ in replies:
            assert self.arrived.acquire(timeout=30)
        assert self.destination.collect(now)
        return heard


@pytest.fixture
def probe() -> Probe:
    return Probe()


LATER = Reply(Outcome.LATER, "503 later")
DONE = Reply(Outcome.DONE)


def test_requests_that_fail_together_are_one_outage(probe: Probe) -> None:
    """Counted each for itself, eight would mean a wait of a minute for a server that restarts."""
    assert probe.ask(*[LATER] * IN_FLIGHT_MAX, now=100.0) == [LATER] * IN_FLIGHT_MAX
    assert probe.destination.retry_at <= 100.0 + BACKOFF_S_FIRST
    assert probe.destination.is_ready(100.0 + BACKOFF_S_FIRST)


def test_patience_grows_with_each_outage_and_is_forgotten_with_it(probe: Probe) -> None:
    now = 100.0
    for failures in range(4):
        probe.ask(LATER, now=now)
        assert probe.destination.retry_at - now <= BACKOFF_S_FIRST * 2**failures
        now = probe.destination.retry_at
    probe.ask(DONE, now=now)
    assert probe.destination.trouble == ""
    probe.ask(LATER, now=now)
    assert probe.destination.retry_at - now <= BACKOFF_S_FIRST


def test_the_longest_retry_after_of_those_under_way_is_obeyed(probe: Probe) -> None:
    probe.ask(LATER, Reply(Outcome.LATER, "503", retry_after=7.0), LATER, now=100.0)
    assert probe.destination.retry_at == 107.0
    assert not probe.destination.is_ready(106.9)


def test_what_succeeds_beside_a_failure_does_not_end_the_wait_for_it(probe: Probe) -> None:
    probe.ask(Reply(Outcome.LATER, "503", retry_after=7.0), DONE, now=100.0)
    assert not probe.destination.is_ready(106.9)
    probe.ask(DONE, now=107.0)
    assert probe.destination.trouble == ""


def test_after_trouble_one_request_at_a_time_feels_its_way(probe: Probe) -> None:
    probe.ask(LATER, now=100.0)
    later = probe.destination.retry_at
    assert probe.destination.is_ready(later)
    gate = threading.Event()
    probe.destination.submit(lambda remote: DONE if gate.wait(30) else LATER, lambda reply: None)
    assert not probe.destination.is_ready(later)
    gate.set()
    assert probe.arrived.acquire(timeout=30)
    probe.destination.collect(later)
    assert probe.destination.is_ready(later)


def test_a_refused_token_is_tried_again_after_a_minute(probe: Probe) -> None:
    probe.ask(Reply(Outcome.REFUSED, "401"), now=100.0)
    assert probe.destination.refused
    assert probe.destination.is_waiting(100.0 + REFUSED_S - 1)
    assert probe.destination.is_ready(100.0 + REFUSED_S)


def test_large_bodies_fill_the_way_before_many_small_requests_do(probe: Probe) -> None:
    gate = threading.Event()
    for _ in range(2):
        assert probe.destination.is_ready(0.0)
        probe.destination.submit(
            lambda remote: DONE if gate.wait(30) else LATER, lambda reply: None, IN_FLIGHT_SIZE // 2
        )
    assert not probe.destination.is_ready(0.0)
    gate.set()


def test_a_fault_of_ours_is_an_outage_of_that_request(probe: Probe) -> None:
    heard: list[Reply] = []
    probe.destination.submit(lambda remote: 1 // 0, heard.append)  # type: ignore[arg-type,return-value]
    assert probe.arrived.acquire(timeout=30)
    probe.destination.collect(100.0)
    assert heard[0].outcome is Outcome.LATER
    assert "ZeroDivisionError" in heard[0].detail
