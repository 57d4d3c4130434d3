"""Resources: CPU, memory and GPU that a run's processes use, sampled by the shipper.

::

    main thread     a meter is due ──> Sampler ──> its row, numbered, among the meter's rows
    one thread                         a table of /proc for all meters, NVML for the GPUs

    resources/cpu.usage.percentage              of one core, summed over the process tree
    resources/cpu.usage.memory                  MiB resident, likewise
    resources/gpu.utilisation.percent.<i>       of each GPU that the tree computes on
    resources/gpu.utilisation.memory.<i>        percent of that GPU's memory that is taken

The simulation takes no part.  A sample costs the shipper 7 us, and a table 15 us for each process
of the machine, 1.5 ms for 100, whoever shares it (measured on 2 busy cores): for 64 ranks on a
node of 1,000 processes 16 ms a minute, and a quarter of a second if no two are due together.
"""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgpack

from simvue import wire
from simvue.emissions import Footprint
from simvue.intake import Piece
from simvue.tree import Process, Table, read_table

FIRST_S: Final = 1.0
"""From the run's start to its first sample: what a share of a core can be told over."""

_TABLE_S_MAX: Final = 0.25
"""A table that is younger serves; the meters of a job's ranks are due together."""

_ROWS_MAX: Final = 10_000
"""Samples that wait for their way out: a week of them, and 2 MB.  Later ones are dropped."""


class Meter:
    """Measures one run of one process; a writer of its own, whose rows wait in memory.

    *told* has the members of an open call's ``resources``.  ``sample`` is the sampler's, in its
    thread; all else is the main thread's.
    """

    kind: Final = "metrics"
    since: Final = None
    """Its rows wait for no company, so nothing has to be woken for them."""

    def __init__(self, told: Mapping[str, Any], cache: Path) -> None:
        self.writer = wire.new_id()
        self.dropped = 0
        self.adopts = False
        """An earlier shipper measured the run before."""
        self.asked = False
        """The sampler has yet to measure it."""
        self._cache = cache
        self._start: float = told["start"]
        self._cpu_s: float = told["cpu_s"]
        self._interval: float = math.inf
        self._pid: int | None = None
        self._eco: Mapping[str, Any] | None = None
        self._due: float | None = None
        """When it is to be sampled next; None before there is anything to compare with."""
        self._fresh: deque[bytes] = deque()
        self._end = 0
        self._pieces: deque[Piece] = deque()
        self._step: int | None = None
        self._before: tuple[Process, float, float] | None = None
        """The root of the tree, the CPU time of all of it, and when that was."""
        self._footprint: Footprint | None = None
        self.heed(told)

    def heed(self, told: Mapping[str, Any]) -> None:
        """Go on as a later call says: another process, interval, or with emissions."""
        if told.get("pid") and told["pid"] != self._pid:
            self._pid, self._due = told["pid"], None
        self._eco = told.get("eco", self._eco)
        if "interval" in told:
            # None where nothing is to be measured.
            self._interval = told["interval"] or math.inf
            if self._due is not None:
                self._due = min(self._due, time.monotonic() + self._interval)

    def ask(self, now: float, pid: int) -> int | None:
        """Return the process whose tree is to be sampled now; None while it is not time.

        That is *pid*, unless the run named another.
        """
        if self.asked or self._interval == math.inf or (self._due or 0.0) > now:
            return None
        self.asked = True
        if self._due is not None:
            self._due += ((now - self._due) // self._interval + 1) * self._interval
        elif self.adopts:
            # By the clock of the run, so that no step is one that an earlier shipper sampled.
            self._due = self._start + self._first_s + (self._count(now) + 1) * self._interval
        else:
            self._due = now + self._first_s
        return self._pid or pid

    @property
    def _first_s(self) -> float:
        return min(FIRST_S, self._interval)

    def _count(self, now: float) -> int:
        """Return how many intervals ago the first sample was due."""
        return int((now - self._start - self._first_s) // self._interval)

    # ---- What it measures: in the sampler's thread -----------------------------------------

    def sample(self, table: Table, pid: int, gpus: Gpus) -> None:
        """Measure the tree of *pid*; add a row if there is something to compare with."""
        tree = table.tree(pid)
        if not tree:
            return
        root = tree[0]
        # What children used that ended is in it: their parents have waited for them.
        cpu_s = sum(process.cpu_s for process in tree)
        before, self._before = self._before, (root, cpu_s, table.time)
        if before is None or (before[0].pid, before[0].started) != (root.pid, root.started):
            return
        seconds = table.time - before[2]
        # Of a child that nobody waited for, all that it used is forgotten when it ends.
        used_s = max(0.0, cpu_s - before[1])
        values = {
            "resources/cpu.usage.percentage": 100 * used_s / seconds,
            "resources/cpu.usage.memory": sum(process.memory for process in tree) / (1 << 20),
        }
        percents = []
        for index, percent, memory in gpus.use_of({process.pid for process in tree}):
            values[f"resources/gpu.utilisation.percent.{index}"] = percent
            values[f"resources/gpu.utilisation.memory.{index}"] = memory
            percents.append(percent)
        if self._eco is not None:
            if self._footprint is None:
                # The kernel has counted on where the shipper before this one ended.
                missed_s = before[1] - self._cpu_s if self.adopts and not self._pid else 0.0
                self._footprint = Footprint(self._eco, self._cache, max(0.0, missed_s))
            mean = sum(percents) / len(percents) if percents else 0.0
            values |= self._footprint.add(used_s, mean, seconds)
        self._add(values, table.time - self._start)

    def has_seen(self, table: Table) -> bool:
        """Whether *table* is the one that it was measured by the last time."""
        return self._before is not None and self._before[2] == table.time

    def _add(self, values: dict[str, float], seconds: float) -> None:
        if self._step is None:
            self._step = self._count(self._start + seconds) if self.adopts else 0
        if len(self._fresh) < _ROWS_MAX:
            row = {
                "values": values,
                "time": seconds,
                "timestamp": wire.format_timestamp(time.time_ns() // 1000),
                "step": self._step,
            }
            self._fresh.append(msgpack.packb(row))
        else:
            self.dropped += 1
        self._step += 1

    # ---- The writer, as an Intake is one ------------------------------------------------------

    def take(
        self, now: float, flush_s: float, size_min: int, header: Callable[[int], bytes]
    ) -> Iterator[Piece]:
        """Yield what was sampled since as one piece; for the arguments see Intake."""
        rows = [self._fresh.popleft() for _ in range(len(self._fresh))]
        if rows:
            first, self._end = self._end, self._end + len(rows)
            self._pieces.append(Piece(first, self._end, header(len(rows)) + b"".join(rows)))
            yield self._pieces[-1]

    def waiting(self) -> list[Piece]:
        """Return the pieces that are taken and not done."""
        return [piece for piece in self._pieces if not piece.done]

    def settle(self) -> bool:
        """Forget what is done."""
        self._pieces = deque(self.waiting())
        return False

    @property
    def owed(self) -> bool:
        """Whether a row is neither acknowledged nor in the spool."""
        return bool(self._fresh or self.waiting())


class Sampler:
    """The thread that measures, begun with the first meter: it keeps shipping from waiting.

    *wake* is called from it when there are rows.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._due: queue.SimpleQueue[tuple[Meter, int]] = queue.SimpleQueue()
        self._begun = False
        self._log = logging.getLogger("simvue.shipper")

    def submit(self, meter: Meter, pid: int) -> None:
        """Have the tree of *pid* measured for *meter*, soon."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._run, name="simvue-sampler", daemon=True).start()
        self._due.put((meter, pid))

    def _run(self) -> None:
        gpus = Gpus()
        table: Table | None = None
        while True:
            meter, pid = self._due.get()
            now = time.monotonic()
            if table is None or now - table.time > _TABLE_S_MAX or meter.has_seen(table):
                table = read_table()
            try:
                meter.sample(table, pid, gpus)
            except Exception:  # noqa: BLE001 - part of the shipper's process boundary
                # That sample is missing; the next one is tried as if nothing had been.
                self._log.exception("the resources of process %d", pid)
            meter.asked = False
            self._wake()


class Gpus:
    """The NVIDIA GPUs of this machine; none where the driver or nvidia-ml-py is missing."""

    def __init__(self) -> None:
        self._nvml: Any = None
        with contextlib.suppress(ImportError):
            import pynvml

            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlInit()
                self._nvml = pynvml

    def use_of(self, pids: set[int]) -> list[tuple[int, float, float]]:
        """Return (index, percent in use, percent of memory taken) of the GPUs that *pids* are on.

        Both are the whole GPU's, whoever else is on it.  The driver must know the processes by
        the same numbers, which inside a container it may not.
        """
        nvml, found = self._nvml, []
        if nvml is None:
            return []
        for index in range(nvml.nvmlDeviceGetCount()):
            # A GPU that is cut into instances, or has just fallen off the bus, tells nothing.
            with contextlib.suppress(nvml.NVMLError):
                gpu = nvml.nvmlDeviceGetHandleByIndex(index)
                there = [
                    *nvml.nvmlDeviceGetComputeRunningProcesses(gpu),
                    *nvml.nvmlDeviceGetGraphicsRunningProcesses(gpu),
                ]
                if pids.isdisjoint(process.pid for process in there):
                    continue
                memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
                percent = nvml.nvmlDeviceGetUtilizationRates(gpu).gpu
                found.append((index, float(percent), 100 * memory.used / memory.total))
        return found
