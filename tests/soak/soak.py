"""Everything that can fail, at random, under load, for as long as is asked: ``make soak``.

::

    senders ──> any of two nodes ─────┐
    simulations ──> shippers ──> balancer ──> two nodes ──> PostgreSQL, SeaweedFS
                                                  every some seconds a fault, mended after some

At the end every row that was acknowledged is held against what each node answers, value by
value, and the store is audited.  The table says what each kind of fault met and cost; the exit
status is 0 if it cost nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import requests

sys.path.insert(0, str(Path(__file__).parent.parent))

from fix_node import Node
from fix_nodes import Balancer, Nodes, Numbers, Sender, differences, start_nodes
from fix_server import Server

from simvue.cli.demo.engines import Postgres, SeaweedFS, room
from simvue.server.store.audit import audit

# Folds of a tenth of their size, so that they come all the time, and are packed at once; leases
# short enough to end within a fault.
LIMITS = """
from simvue.server import lifecycle
from simvue.server.store import fold, leases, packs
fold.ROWS, packs.FOLDS, leases.LEASE_S, lifecycle.FOLD_PAUSE_S = 6554, 2, 5.0, 2.0
"""
# Seconds from one fault to the next, and for which one lasts (chosen: a minute has six).
CALM_S = (1.0, 5.0)
FAULT_S = (1.0, 8.0)
# What is on the way when the load ends has so long to arrive.
END_S_MAX = 180

SIMULATION = """
import select
run = Run()
run.config(queue_blocking=True)
run.init("soak", timeout=None)
print(run.id, flush=True)
step = 0
while not select.select([sys.stdin], [], [], 0.1)[0]:
    for _ in range(300):
        run.log_metrics({"x": step, "y": 7 * step}, step=step)
        step += 1
print("closed", run.close(), run.dropped, step, flush=True)
"""


@dataclass
class Fault:
    """A kind of fault, and what was sent while it lasted."""

    name: str
    harm: Callable[[], None]
    mend: Callable[[], None]
    times: int = 0
    sent: int = 0
    windows: list[tuple[int, int, int]] = field(default_factory=list)
    """Of each time and sender: which one, its first row and the end of those acknowledged."""
    lost: int = 0
    doubled: int = 0

    def take(self, lost: dict[int, Numbers], doubled: dict[int, Numbers]) -> None:
        """Count which of the rows that it met are lost or doubled."""
        for sender, first, end in self.windows:
            for numbers, name in ((lost[sender], "lost"), (doubled[sender], "doubled")):
                met = int(((numbers >= first) & (numbers < end)).sum())
                setattr(self, name, getattr(self, name) + met)

    @property
    def acknowledged(self) -> int:
        """Rows."""
        return sum(end - first for _, first, end in self.windows)


class Soak:
    """What runs, and the faults that it is to survive."""

    def __init__(
        self, postgres: Postgres, seaweed: SeaweedFS, nodes: Nodes, rng: random.Random
    ) -> None:
        self.nodes = nodes
        self._rng = rng
        self._node = nodes[0]
        self._volume = 0
        self.faults = [
            Fault("node killed", self._choose(self._kill), self._restart),
            Fault("folder killed", self._choose_folder, self._restart),
            Fault("node hangs", self._choose(self._pause), self._resume),
            Fault("database killed", postgres.kill, postgres.start),
            Fault("database restarted", postgres.stop, postgres.start),
            Fault("volume server killed", lambda: self._kill_volume(seaweed),
                  lambda: seaweed.start_volume(self._volume)),
            Fault("S3 silent", seaweed.pause, seaweed.resume),
            Fault("S3 gateway killed", seaweed.kill_gateway, seaweed.start_gateway),
        ]  # fmt: skip

    def run(self, seconds: float, senders: list[Sender]) -> None:
        """Have one fault after the other, for so many *seconds* in all."""
        end = time.monotonic() + seconds
        order: list[Fault] = []
        while time.monotonic() < end:
            time.sleep(self._rng.uniform(*CALM_S))  # the load is what is waited for
            # Each as often as the others, whatever the dice say.
            order = order or self._rng.sample(self.faults, len(self.faults))
            fault = order.pop()
            before = [(sender.sent, sender.acknowledged) for sender in senders]
            fault.harm()
            time.sleep(self._rng.uniform(*FAULT_S))
            fault.mend()
            fault.times += 1
            for number, (sender, (sent, first)) in enumerate(zip(senders, before, strict=True)):
                fault.sent += sender.sent - sent
                fault.windows.append((number, first, sender.acknowledged))
            print(f"{time.strftime('%H:%M:%S')}  {fault.name:<22}{fault.acknowledged:>12,}")

    # ---- Nodes ----------------------------------------------------------------------

    def _choose(self, then: Callable[[], None]) -> Callable[[], None]:
        def harm() -> None:
            self._node = self._rng.choice(self.nodes)
            then()

        return harm

    def _choose_folder(self) -> None:
        self._node = max(self.nodes, key=_folds)
        self._kill()

    def _kill(self) -> None:
        assert self._node.process.poll() is None, f"it ended:\n{self._node.log_text()[-4000:]}"
        self._node.kill()

    def _restart(self) -> None:
        self._node.restart()

    def _pause(self) -> None:
        self._node.process.send_signal(signal.SIGSTOP)

    def _resume(self) -> None:
        self._node.process.send_signal(signal.SIGCONT)

    def _kill_volume(self, seaweed: SeaweedFS) -> None:
        self._volume = self._rng.randrange(seaweed.VOLUMES)
        seaweed.kill_volume(self._volume)


def _folds(node: Server) -> float:
    """Return how many steps of folding the node has done."""
    answer = requests.get(
        f"{node.url}/metrics", headers={"Authorization": f"Bearer {node.token}"}, timeout=60
    )
    lines = (line.split() for line in answer.text.splitlines())
    return next((float(line[1]) for line in lines if line[:1] == ["simvue_fold_seconds_count"]), 0)


# ---- Simulations ---------------------------------------------------------------------------


class Simulation:
    """A run that logs through a real shipper of a node of its own."""

    def __init__(self, directory: Path, server: Server, url: str) -> None:
        directory.mkdir()
        self.node = Node(directory, server)
        self.node.env["SIMVUE_URL"] = url
        self.process: subprocess.Popen[str] = self.node.start(
            SIMULATION, SIMVUE_CLOSE_TIMEOUT=str(END_S_MAX), SIMVUE_INIT_TIMEOUT="20"
        )
        assert self.process.stdout is not None
        self.run = next(line for line in self.process.stdout if " " not in line.strip()).strip()

    def end(self) -> int:
        """Let it end; return how many rows it logged."""
        output, _ = self.process.communicate("\n", timeout=2 * END_S_MAX)
        closed, dropped, logged = output.split("closed ")[1].split()[:3]
        assert (closed, dropped) == ("True", "0"), output
        return int(logged)


# ---- The whole -----------------------------------------------------------------------------


def main() -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--simulations", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    rng = random.Random(chosen.seed)
    with ExitStack() as stack:
        place = stack.enter_context(room())
        postgres = stack.enter_context(Postgres(place / "postgres"))
        seaweed = stack.enter_context(SeaweedFS(place / "s3"))
        os.environ.update(seaweed.environment)
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        blobs = f"{seaweed.url}&timeout=2"
        nodes = start_nodes(directory, postgres.url, blobs, LIMITS)
        for node in nodes:
            stack.callback(node.kill)
        balancer = Balancer(nodes)
        stack.callback(balancer.close)
        simulations = []
        for number in range(chosen.simulations):
            one = Simulation(directory / f"simulation-{number}", nodes[0], balancer.url)
            stack.callback(one.node.close)
            simulations.append(one)
        senders = [Sender(nodes, rng.randrange(2**32)).start() for _ in range(chosen.senders)]
        soak = Soak(postgres, seaweed, nodes, rng)
        soak.run(60 * chosen.minutes, senders)
        for sender in senders:
            sender.finish()
        logged = [simulation.end() for simulation in simulations]
        good = report(soak, senders, simulations, logged)
        faults = audit(postgres.url, blobs).faults
        for text in [*faults, *(text for sender in senders for text in sender.refusals)]:
            print(text)
        return 0 if good and not faults and not any(one.refusals for one in senders) else 1


def report(
    soak: Soak, senders: list[Sender], simulations: list[Simulation], logged: list[int]
) -> bool:
    """Compare what each node answers with what was acknowledged; print the table."""
    lost: dict[int, Numbers] = {}
    doubled: dict[int, Numbers] = {}
    for number, sender in enumerate(senders):
        found = [differences(node, sender.run, sender.acknowledged) for node in soak.nodes]
        # At one node is bad enough.
        lost[number], doubled[number] = (
            np.unique(np.concatenate(numbers)) for numbers in zip(*found, strict=True)
        )
    line = "{:<22}{:>7}{:>14}{:>14}{:>8}{:>9}"
    print(line.format("fault", "times", "rows sent", "acknowledged", "lost", "doubled"))
    for fault in soak.faults:
        fault.take(lost, doubled)
        numbers = (fault.times, fault.sent, fault.acknowledged, fault.lost, fault.doubled)
        print(line.format(fault.name, *(f"{number:,}" for number in numbers)))
    totals = [
        sum(fault.times for fault in soak.faults),
        sum(sender.sent for sender in senders),
        sum(sender.acknowledged for sender in senders),
        sum(map(len, lost.values())),
        sum(map(len, doubled.values())),
    ]
    print(line.format("all, and in between", *(f"{number:,}" for number in totals)))
    good = totals[3:] == [0, 0]
    for simulation, rows in zip(simulations, logged, strict=True):
        found = [differences(node, simulation.run, rows) for node in soak.nodes]
        cost = [max(map(len, numbers)) for numbers in zip(*found, strict=True)]
        print(line.format("by a shipper", "", f"{rows:,}", f"{rows:,}", *cost))
        good = good and cost == [0, 0]
    return good


if __name__ == "__main__":
    sys.exit(main())
