"""Eight ranks at 1 kHz: what the shipper and the server cost, and how soon a row is committed.

Eight processes log five metrics a row, a thousand times a second.  Before they begin, while
they are open and idle, each thread of each of them is watched for a second: one that goes to
sleep meanwhile polls.  Then, in the first half of the logging, the processor time of the
shipper and of the server is read from /proc, and nobody asks the server anything.  In the
second half this process asks every few milliseconds how many rows of the first rank are
committed: a row's latency is the moment of the first answer that counts it less the
timestamp it carries, both of this machine's wall clock.  What asking takes is part of it.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from pathlib import Path

from benches.node import Child, Node
from benches.processes import cpu_seconds, sleeps
from benches.producer import sums_of
from simvue import Client

RANKS = 8
PACE = 1000.0
SECONDS = 20.0

_SETTLE_S = 1.5
"""More than a flush of a second: by then every rank's rows are on their way."""

_IDLE_S = 1.0
_ASK_S = 0.005


def measure(flush_s: float, seconds: float = SECONDS, ranks: int = RANKS) -> dict[str, float]:
    """Return shares of a core, latencies in seconds, bytes a rank, and polling threads."""
    rows = int(seconds * PACE)
    code = f"from benches.producer import produce; produce({rows}, {PACE})"
    with tempfile.TemporaryDirectory(dir=".") as directory, Node(Path(directory)) as node:
        children = [node.start(code, flush_interval=flush_s) for _ in range(ranks)]
        runs = [child.hear()["ready"] for child in children]
        figures: dict[str, float] = {"polling": count_polling(children)}
        for child in children:
            child.go_on()
        start = time.monotonic()
        figures |= watch_time(node, start + _SETTLE_S, start + seconds / 2)
        seen = watch_commits(node, runs[0], start + seconds - _SETTLE_S)
        told = [child.hear() for child in children]
        sizes = [path.stat().st_size for path in node.runtime.glob("*.seg")]
        for child in children:
            child.end()
        assert not any(each["dropped"] for each in told)
        sums = sums_of(rows)
        for run in runs:
            node.check(run, rows, sums)
        late = latencies(node, runs[0], seen)
    figures["latency_p50_s"] = late[len(late) // 2]
    figures["latency_p99_s"] = late[int(len(late) * 0.99)]
    figures["latency_max_s"] = late[-1]
    figures["memory"] = max(each["memory"] for each in told)
    figures["segments"] = sum(sizes) / ranks
    return figures


def count_polling(children: list[Child]) -> int:
    """Return how many threads of these idle processes go to sleep within a second."""
    # The link's thread has just answered ``init``, and goes to sleep for good meanwhile.
    time.sleep(_IDLE_S / 2)
    before = [sleeps(child.pid) for child in children]
    time.sleep(_IDLE_S)
    after = [sleeps(child.pid) for child in children]
    return sum(
        count != earlier.get(thread)
        for earlier, later in zip(before, after, strict=True)
        for thread, count in later.items()
    )


def watch_time(node: Node, start: float, end: float) -> dict[str, float]:
    """Return which share of a core the shipper and the server take from *start* to *end*."""
    time.sleep(max(0.0, start - time.monotonic()))
    shipper = node.shipper
    assert shipper is not None
    pids = {"shipper": shipper, "server": node.server.pid}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    begun = time.monotonic()
    time.sleep(max(0.0, end - begun))
    elapsed = time.monotonic() - begun
    return {name: (cpu_seconds(pid) - before[name]) / elapsed for name, pid in pids.items()}


def watch_commits(node: Node, run: str, end: float) -> list[tuple[float, int]]:
    """Ask until *end* how many rows of *run* are committed; return what (moment, rows) it was."""
    seen = [(time.time(), node.stored(run))]
    while time.monotonic() < end:
        time.sleep(_ASK_S)
        count = node.stored(run)
        if count > seen[-1][1]:
            seen.append((time.time(), count))
    return seen


def latencies(node: Node, run: str, seen: list[tuple[float, int]]) -> list[float]:
    """Return, in order of size, the seconds from a row's timestamp to the answer that counts it."""
    with Client(server_url=node.url, server_token=node.token) as client:
        stamps = client.get_series(run, "loss").timestamp
    found = []
    for (_, before), (moment, count) in itertools.pairwise(seen):
        found += [moment - stamp / 1e6 for stamp in stamps[before:count]]
    assert found, "nothing was committed while it was watched"
    return sorted(found)


if __name__ == "__main__":
    for flush_s in (1.0, 0.1):
        print(json.dumps({"flush_s": flush_s, **measure(flush_s)}, indent=2))
