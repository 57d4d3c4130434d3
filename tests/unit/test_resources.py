"""A meter: when it is due, what it makes of two tables, and how its rows go out."""

import sys

import msgpack
import pytest

from simvue.config import Eco
from simvue.resources import Gpus, Meter
from simvue.tree import Process, Table

CPU = "resources/cpu.usage.percentage"
MEMORY = "resources/cpu.usage.memory"


class NoGpus(Gpus):
    """A machine without."""

    def __init__(self):
        self._nvml = None


def told(**members):
    return {"start": 1000.0, "cpu_s": 0.0, "pid": None, "interval": 60.0, "eco": None, **members}


def table_of(moment, *processes):
    """A table at *moment* of (pid, parent, CPU seconds, MiB, started)."""
    return Table(
        moment,
        [
            Process(pid, parent, started, cpu_s, mebibytes << 20, ended=False)
            for pid, parent, cpu_s, mebibytes, started in processes
        ],
    )


def rows_of(meter):
    pieces = list(meter.take(0.0, 1.0, 1 << 20, lambda count: b""))
    unpacker = msgpack.Unpacker()
    for piece in pieces:
        unpacker.feed(piece.body)
    return list(unpacker), pieces


def ask(meter, now, pid=7):
    """Ask, and be done with the sample at once."""
    root = meter.ask(now, pid)
    meter.asked = False
    return root


def test_the_first_sample_comes_after_a_second_and_then_one_each_interval(tmp_path):
    meter = Meter(told(), tmp_path)
    due = [now for now in range(1000, 1300) if ask(meter, float(now)) is not None]
    # The first of all has nothing to compare with, and makes no row.
    assert due == [1000, 1001, 1061, 1121, 1181, 1241]


def test_a_sample_that_comes_late_is_followed_by_none_in_haste(tmp_path):
    meter = Meter(told(), tmp_path)
    for now in (1000.0, 1001.0, 1190.0):
        assert ask(meter, now) == 7
    assert ask(meter, 1230.0) is None
    assert ask(meter, 1241.0) == 7


def test_a_meter_that_follows_another_numbers_no_sample_again(tmp_path):
    meter = Meter(told(), tmp_path)
    meter.adopts = True
    assert ask(meter, 1100.0) == 7
    assert ask(meter, 1120.9) is None
    assert ask(meter, 1121.0) == 7
    for moment in (1100.0, 1121.0, 1181.0):
        meter.sample(table_of(moment, (7, 1, moment, 1, 5)), 7, NoGpus())
    rows, _ = rows_of(meter)
    # The one before it had sampled steps 0 and 1 at 1001 and 1061.
    assert [row["step"] for row in rows] == [2, 3]


def test_nothing_is_due_where_nothing_is_to_be_measured_until_it_is(tmp_path):
    meter = Meter(told(interval=None), tmp_path)
    assert ask(meter, 2000.0) is None
    meter.heed(told(interval=5.0))
    assert ask(meter, 2000.0) == 7
    assert ask(meter, 2001.0) == 7
    assert ask(meter, 2006.0) == 7
    meter.heed({"interval": None})
    assert ask(meter, 9000.0) is None


def test_another_process_may_be_measured_and_is_compared_with_itself(tmp_path):
    meter = Meter(told(), tmp_path)
    assert ask(meter, 1000.0) == 7
    meter.sample(table_of(1000.0, (7, 1, 10.0, 1, 5)), 7, NoGpus())
    meter.heed({"pid": 8})
    assert ask(meter, 1000.1) == 8
    for moment, cpu_s in ((1000.1, 500.0), (1001.1, 500.5)):
        meter.sample(table_of(moment, (7, 1, 0.0, 1, 5), (8, 1, cpu_s, 2, 5)), 8, NoGpus())
    rows, _ = rows_of(meter)
    assert [row["values"][CPU] for row in rows] == [pytest.approx(50)]


def test_what_a_tree_uses_is_summed_and_children_that_ended_count(tmp_path):
    meter = Meter(told(), tmp_path)
    before = ((7, 1, 1.0, 100, 5), (8, 7, 4.0, 50, 6), (9, 1, 99.0, 999, 6))
    # 8 ended after one more second, and 7 waited for it; 10 was started by 7's other child.
    after = ((7, 1, 7.0, 100, 5), (11, 7, 0.5, 20, 9), (10, 11, 0.5, 30, 9), (9, 1, 999.0, 999, 6))
    meter.sample(table_of(1000.0, *before), 7, NoGpus())
    meter.sample(table_of(1004.0, *after), 7, NoGpus())
    (row,), (piece,) = rows_of(meter)
    assert row["values"] == {CPU: pytest.approx(100 * 3 / 4), MEMORY: 150.0}
    assert row["time"] == 4.0
    assert (piece.first, piece.end) == (0, 1)


def test_a_tree_that_is_gone_or_another_of_its_number_makes_no_row(tmp_path):
    meter = Meter(told(), tmp_path)
    meter.sample(table_of(1000.0, (7, 1, 1.0, 1, 5)), 7, NoGpus())
    meter.sample(table_of(1001.0), 7, NoGpus())
    meter.sample(table_of(1002.0, (7, 1, 9.0, 1, 6)), 7, NoGpus())
    assert rows_of(meter) == ([], [])


def test_rows_are_numbered_without_holes_and_owed_until_they_are_done(tmp_path):
    meter = Meter(told(), tmp_path)
    for moment in range(1000, 1004):
        meter.sample(table_of(float(moment), (7, 1, 1.0, 1, 5)), 7, NoGpus())
    rows, (piece,) = rows_of(meter)
    assert [row["step"] for row in rows] == [0, 1, 2]
    meter.sample(table_of(1004.0, (7, 1, 1.0, 1, 5)), 7, NoGpus())
    _, (later,) = rows_of(meter)
    assert (piece.first, piece.end, later.first, later.end) == (0, 3, 3, 4)
    assert meter.waiting() == [piece, later]
    later.done = piece.done = True
    meter.settle()
    assert not meter.owed


def test_rows_that_nobody_takes_are_dropped_and_counted(tmp_path):
    meter = Meter(told(), tmp_path)
    table = table_of(1000.0, (7, 1, 1.0, 1, 5))
    for moment in range(10_011):
        table.time = float(moment)
        meter.sample(table, 7, NoGpus())
    rows, _ = rows_of(meter)
    assert len(rows) == 10_000
    assert meter.dropped == 10


def test_energy_goes_by_rated_power_also_of_what_an_earlier_shipper_measured(tmp_path):
    eco = Eco(cpu_power=90.0, cpu_cores=3.0, co2_intensity=0.2)._asdict()
    meter = Meter(told(cpu_s=10.0, eco=eco), tmp_path)
    meter.adopts = True
    meter.sample(table_of(1100.0, (7, 1, 130.0, 1, 5)), 7, NoGpus())
    meter.sample(table_of(1121.0, (7, 1, 140.0, 1, 5)), 7, NoGpus())
    (row,), _ = rows_of(meter)
    energy = 30 * (140 - 10) / 3.6e6
    assert row["values"]["sustainability.energy_consumed.total"] == pytest.approx(energy)
    assert row["values"]["sustainability.emissions.total"] == pytest.approx(0.2 * energy)
    assert row["values"]["sustainability.energy_consumed.delta"] == pytest.approx(300 / 3.6e6)


class Nvml:
    """What nvidia-ml-py says on a machine with three GPUs, of which the last has fallen off."""

    class NVMLError(Exception):
        pass

    class Told:
        def __init__(self, **members):
            self.__dict__.update(members)

    def nvmlInit(self):
        pass

    def nvmlDeviceGetCount(self):
        return 3

    def nvmlDeviceGetHandleByIndex(self, index):
        if index == 2:
            raise self.NVMLError
        return index

    def nvmlDeviceGetComputeRunningProcesses(self, gpu):
        return [self.Told(pid=8)] if gpu == 1 else [self.Told(pid=99)]

    def nvmlDeviceGetGraphicsRunningProcesses(self, gpu):
        return []

    def nvmlDeviceGetMemoryInfo(self, gpu):
        return self.Told(used=20 << 30, total=80 << 30, free=60 << 30)

    def nvmlDeviceGetUtilizationRates(self, gpu):
        return self.Told(gpu=70, memory=3)


def test_only_the_gpus_that_the_tree_is_on_are_told(tmp_path, monkeypatch):
    """Stands in for a driver: no machine of ours has one.  What it says is what the real one says
    of the same names, by the documentation of NVML."""
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    eco = Eco(cpu_power=1.0, gpu_power=100.0, co2_intensity=1.0)._asdict()
    meter, gpus = Meter(told(eco=eco), tmp_path), Gpus()
    for moment in (1000.0, 1010.0):
        meter.sample(table_of(moment, (7, 1, 1.0, 1, 5), (8, 7, 1.0, 1, 5)), 7, gpus)
    (row,), _ = rows_of(meter)
    values = row["values"]
    assert {name: value for name, value in values.items() if "gpu" in name} == {
        "resources/gpu.utilisation.percent.1": 70.0,
        "resources/gpu.utilisation.memory.1": 25.0,
    }
    # 70 % of 100 W for ten seconds.
    assert values["sustainability.energy_consumed.total"] == pytest.approx(700 / 3.6e6)
