"""64 ranks on one machine: a `Run` each, 100 rows a second of five metrics, for half a minute.

The first opens its run alone, and so starts the shipper; the others have all been started
when they are let go at the same moment, as behind a barrier, so each ``init`` meets 62 others.
One shipper serves them all.  All have to complete, and every row has to be there once.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from pathlib import Path

from benches.node import Node
from benches.producer import sums_of

RANKS = 64
PACE = 100.0
SECONDS = 30.0


def measure(ranks: int = RANKS, seconds: float = SECONDS) -> dict[str, float]:
    """Return seconds of ``init``, bytes a rank, and how many shippers there were."""
    rows = int(seconds * PACE)
    code = f"from benches.producer import produce; produce({rows}, {PACE}, init_at_once=False)"
    with tempfile.TemporaryDirectory(dir=".") as directory, Node(Path(directory)) as node:
        children = [node.start(code, linger=60, close_timeout=60) for _ in range(ranks)]
        for child in children:
            child.hear()
        told = [children[0].ask("")]
        for child in children[1:]:
            child.go_on()
        told += [child.hear() for child in children[1:]]
        for child in children:
            child.go_on()
        logged = [child.hear() for child in children]
        sizes = [path.stat().st_size for path in node.runtime.glob("*.seg")]
        shippers = count_shippers(node)
        for child in children:
            child.close_input()
        for child in children:
            child.end()
        assert not any(each["dropped"] for each in logged)
        sums = sums_of(rows)
        for each in told:
            # A server that is busy for a second gets the end out of the spool.
            node.wait_for_status(each["ready"], "completed")
            node.check(each["ready"], rows, sums)
    inits = sorted(each["init_s"] for each in told[1:])
    memory = [each["memory"] for each in logged]
    return {
        "init_median_s": statistics.median(inits),
        "init_max_s": inits[-1],
        "memory": max(memory),
        "segments": sum(sizes) / ranks,
        "shippers": shippers,
    }


def count_shippers(node: Node) -> int:
    """Return how many shippers of the node there are, by what the kernel says of each process."""
    mark = f"SIMVUE_RUNTIME_DIRECTORY={node.runtime}\0".encode()
    found = 0
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            found += (
                b"simvue.shipper\0" in command and mark in Path(f"/proc/{pid}/environ").read_bytes()
            )
        except OSError:
            continue  # It has ended meanwhile, or is somebody else's.
    return found


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
